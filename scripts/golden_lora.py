"""Ask peft for the digests that the tests of merged adapters expect.

By hand, in an environment with torch 2.13.0, transformers 4.57.6 and peft 0.21.2::

    python scripts/golden_lora.py

Each base is loaded in float32, each adapter merged with merge_and_unload, and the result rounded
once to the type of the base.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch  # type: ignore[import-not-found,unused-ignore]
from peft import PeftModel  # type: ignore[import-not-found,unused-ignore]
from transformers import LlamaForCausalLM  # type: ignore[import-not-found,unused-ignore]

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import lora_adapters, merge_pairs

TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def merged(folder: Path, dtype: str) -> merge_pairs.Tensors:
    """What peft makes of the tests' base in a type and their two adapters."""
    weights = merge_pairs.llama(merge_pairs.VOCABULARY, dtype, 1)
    base = merge_pairs.write_model(folder / "base", weights)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    for adapter in lora_adapters.golden_adapters(folder):
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    found = {}
    for name, tensor in model.state_dict().items():
        data = tensor.to(TYPES[dtype]).contiguous().view(torch.uint8).numpy().tobytes()
        found[name] = merge_pairs.Tensor(dtype, tuple(tensor.shape), data)
    return found


def main() -> None:
    """Print a digest for each type."""
    for dtype in TYPES:
        with tempfile.TemporaryDirectory() as folder:
            print(dtype, merge_pairs.digest(merged(Path(folder), dtype)))


if __name__ == "__main__":
    main()
