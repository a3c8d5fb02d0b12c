"""How a chat template writes a conversation, for the card.

A template is a program of strangers: it is run in a process of its own, in Jinja's sandbox, with
little time and memory, without network and home folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.errors import Interrupted, OrchestrateError
from orchestrator.base.process import isolation, run_process

_PROGRAM = Path(__file__).with_name("chat_prompt_program.py")
_SECONDS = 30
_LONGEST = 2000  # characters of a prompt that is worth showing


def shown(template: str, special: Mapping[str, str]) -> str:
    """A conversation of one question as a template writes it; empty where it cannot.

    Args:
        template: Jinja text, as a model brings it.
        special: Texts of special tokens, such as ``bos_token``.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = folder / "template.json"
        job.write_text(json.dumps({"template": template, "special": dict(special)}), "utf-8")
        try:
            done = run_process.run(
                [sys.executable, "-I", str(_PROGRAM), str(job)],
                cwd=folder,
                log=folder / "log",
                timeout=_SECONDS,
                visible=isolation.Visible((folder, _PROGRAM, Path(sys.prefix))),
            )
            found = str(json.loads(done.stdout.splitlines()[-1]))
        except Interrupted:
            raise
        except (OrchestrateError, ValueError, IndexError):
            return ""  # one that needs more than messages is no error of ours
    return found.strip("\n") if len(found) <= _LONGEST else ""
