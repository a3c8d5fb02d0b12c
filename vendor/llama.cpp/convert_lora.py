"""Run upstream's convert_lora_to_gguf.py by our convert.py, with the tree that it belongs to.

    python convert_lora.py SCRIPT CONVERT.PY SRC [--header-only] -- CONVERTER-ARGUMENTS

The script has no function to call, and is kept apart from its tree: it is run as a program where
convert.py calls the converter of whole models.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

script, ours, source = sys.argv[1:4]
sys.path[:0] = [source, str(Path(source) / "gguf-py")]
import gguf  # noqa: E402 - its folder is an argument


class Converter(ModuleType):
    """What convert.py takes for the converter."""

    gguf = gguf

    @staticmethod
    def main() -> None:
        """Run the script, which takes its arguments from the command line."""
        runpy.run_path(script, run_name="__main__")


sys.modules["convert_hf_to_gguf"] = Converter("convert_hf_to_gguf")
sys.argv = [ours, *sys.argv[3:]]
runpy.run_path(ours, run_name="__main__")
