"""The process in which a chat template is run: JSON in a file, the prompt as JSON on stdout.

Started by chat_prompt.py as a file, without this package.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

_MEMORY, _SECONDS = 1 << 30, 10
_SYSTEM = {"role": "system", "content": "{system_prompt}"}
_USER = {"role": "user", "content": "{prompt}"}


def _refuse(message: str) -> None:
    raise ValueError(message)


def prompt(template: str, special: Mapping[str, str]) -> str:
    """A question as the template writes it, with a system message if it takes any."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        autoescape=False,
    )
    environment.globals.update(raise_exception=_refuse, strftime_now=lambda _form: "{date}")
    made = environment.from_string(template)

    def of(messages: Sequence[Mapping[str, str]]) -> str:
        return made.render(messages=messages, add_generation_prompt=True, **special)

    try:
        return of([_SYSTEM, _USER])
    except Exception:
        return of([_USER])


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    told = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    print(json.dumps(prompt(told["template"], told["special"])))
