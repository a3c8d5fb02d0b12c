"""Run our convert.py with an upstream whose converter is one script.

    python one_script.py CONVERT.PY ARGUMENTS

Later upstreams have the class that convert.py changes in a module of its own.
"""

from __future__ import annotations

import runpy
import sys
from types import ModuleType


class InTheScript(ModuleType):
    """A module whose names are the script's; it had one class for all models before two."""

    def __getattr__(self, name: str) -> object:
        script = sys.modules["convert_hf_to_gguf"]
        return getattr(script, name, None) or script.Model


sys.modules["conversion"] = ModuleType("conversion")
sys.modules["conversion.base"] = InTheScript("conversion.base")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
