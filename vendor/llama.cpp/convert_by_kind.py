"""Run the one of two converters that knows a model, as people chose it before June 2024.

    python convert_by_kind.py SRC CONVERTER-ARGUMENTS MODEL

convert-hf-to-gguf.py names the architectures that it converts; convert.py is for llama's.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

source, arguments = Path(sys.argv[1]), sys.argv[2:]
script = source / "convert-hf-to-gguf.py"
architectures = json.loads((Path(arguments[-1]) / "config.json").read_text("utf-8"))[
    "architectures"
]
if not any(f'"{name}"' in script.read_text("utf-8") for name in architectures):
    script = source / "convert.py"
sys.path.insert(0, str(source))
sys.argv = [script.name, *arguments]
runpy.run_path(str(script), run_name="__main__")
