"""What is known of saved logits before a tool reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.step_values import JSON
from orchestrator.toolchain.artifact_file_names import FACTS


def full_facts(folder: Path) -> Mapping[str, JSON]:
    """What was found with the logits: ``perplexity`` and its error, ``context``, ``chunks``."""
    found: Mapping[str, JSON] = json.loads((folder / FACTS).read_text("utf-8"))
    return found
