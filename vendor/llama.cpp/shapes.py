"""Tensor names, types and shapes of a checkpoint from its config.json alone.

    python shapes.py MODELDIR OUT.json [--trust-remote-code]

The model is built on PyTorch's meta device, where tensors have a shape and no data.
The type is the config's: ``.bin`` checkpoints do not say theirs before they are read.
Which names a checkpoint uses, only its index says: with or without the prefix of the inner
model, with or without tensors that are tied to others.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def main() -> None:
    """Write ``{tensors: {name: {dtype, shape}}, tied: [name], prefix}``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trust-remote-code", action="store_true")
    args = parser.parse_args()
    config = AutoConfig.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
    dtype = getattr(config, "dtype", None) or torch.float16
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config, trust_remote_code=args.trust_remote_code, dtype=dtype
        )
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    tied = tied if getattr(config, "tie_word_embeddings", False) else set()
    tensors = {
        name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for name, tensor in model.state_dict().items()
    }
    found = {"tensors": tensors, "tied": sorted(tied), "prefix": model.base_model_prefix}
    args.out.write_text(json.dumps(found))


main()
