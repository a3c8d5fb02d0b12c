"""Tools that somebody installed: shell scripts that say a version and make something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.toolchain.load import ToolChain
from tests.support.plans import changed

INSTALLED: dict[str, Any] = {
    "asked": ["tool", "other-tool"],
    "version": r"version: (?P<build>\d+) \((?P<commit>[0-9a-f]{7,40}|(?=unknown))",
    "release": "b{build}",
    "libraries": ["libtool*", "../lib/libtool*"],
    "bindings": r"libtool\.so",
    "archives": {
        "url": "https://localhost/{release}/{name}",
        "names": {"linux/x86_64": ["t-{release}.tar.gz", "t-{release}.zip"]},
    },
}
COMPARED: dict[str, Any] = {
    "argv": ["{bin}/tool", "sample", "{output}", "{type}"],
    "types": ["Q4_0", "Q8_0", "NOT_HERE"],
}
_SCRIPT = """\
#!/bin/sh
case "$1" in
  --version) echo "version: {version}" >&2;;
  --help) echo "usage: tool [--dry-run] [--help]";;
  sample) echo "{makes} $3" > "$2";;
  *) echo "fine";;
esac
"""


def installing(chain: ToolChain, **portable: Any) -> ToolChain:
    """The chain with data about installed tools; ``portable`` is what is recorded of builds."""
    one = changed(chain, "installed", INSTALLED)
    return changed(one, "compared", {**COMPARED, "portable": portable})


def tool(folder: Path, name: str = "tool", version: str = "7 (aaaaaaa)", makes: str = "1") -> Path:
    """A program of the folder that says what it is, and makes files that hold ``makes``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(_SCRIPT.format(version=version, makes=makes))
    path.chmod(0o755)
    return path
