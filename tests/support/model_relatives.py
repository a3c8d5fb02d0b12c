"""Models of one shape that differ a little, as models trained from one another do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from orchestrator.modelfiles import safetensors
from tests.support.typed_commands import MODELS
from tests.support.vision_models import write_tensors


def write_relatives(folder: Path, *names: str) -> None:
    """The tiny llama under the first name, and copies that chance has changed under the others."""
    source = MODELS / "llama"
    whole = (source / "model.safetensors").read_bytes()
    header = safetensors.read_header(source / "model.safetensors")
    for seed, name in enumerate(names):
        shutil.copytree(source, folder / name)
        chance = np.random.default_rng(seed)
        changed = {}
        for one in header.tensors:
            start, end = header.data_offset + one.start, header.data_offset + one.end
            values = np.frombuffer(whole[start:end], np.float16).reshape(one.shape)
            change = chance.normal(0, 0.01, one.shape) if seed else 0
            changed[one.name] = (values.astype(np.float32) + change).astype(np.float16)
        write_tensors(folder / name / "model.safetensors", changed)
