"""Import once what every run of the converter needs.

    python warm.py SRC

The run itself is convert.py, census.py or shapes.py, in a fork of the process that ran this.
"""

from __future__ import annotations

import sys

import torch  # noqa: F401
import transformers  # noqa: F401

sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf  # noqa: F401
