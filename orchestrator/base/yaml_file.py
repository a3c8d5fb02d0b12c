"""The YAML of ``vendor/``: tables of hundreds of lines that every command reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read(path: Path) -> Any:
    """The content of a file.

    Raises:
        OSError, yaml.YAMLError: It cannot be read, or is no YAML.
    """
    # Twenty times faster, where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506 - a safe loader
