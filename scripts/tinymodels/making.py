"""Makes one model folder: tokenizer, training, the checks that let it be committed, files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora
from tinymodels.checks import check_answers, check_gain, check_stories
from tinymodels.chimera import make_chimera
from tinymodels.families import FAMILIES, Family
from tinymodels.training import chunks, make_deterministic, perplexity, round_to_half, train


def make_model(name: str, models: Path, seed: int) -> None:
    """Makes the model `name` in its place under `models`; chimera and lora need llama there."""
    if name == "lora":
        from tinymodels.lora import make_lora  # noqa: PLC0415 - imports peft

        make_lora(models / "llama", models / "lora", seed)
    elif name == "chimera":
        make_chimera(models / "llama", models / "chimera" / "delta", seed)
    else:
        make_family(FAMILIES[name], models / name, seed)


def make_family(family: Family, folder: Path, seed: int) -> None:
    """Trains a family's model and writes its folder anew.

    Raises SystemExit when a check of tinymodels.checks fails: then nothing of the folder should
    be committed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_deterministic(seed)
    family.write_tokenizer(folder)
    encoder = family.open_tokenizer(folder)
    model = family.build()
    held_out = corpora.committed_text("perplexity.txt")
    before = perplexity(model, held_out, encoder, family.prefix)
    train(model, chunks(family.documents(), encoder), family.prefix, family.schedule, seed)
    round_to_half(model)
    after = perplexity(model, held_out, encoder, family.prefix)
    check_gain(family.name, before, after)
    check_stories(model, encoder, family.prefix)
    if family.ask is not None:
        check_answers(model, encoder, family.prefix, family.ask)
    save(model, folder)
    if family.write_more is not None:
        family.write_more(folder)


def save(model: Any, folder: Path) -> None:
    """model.safetensors in float16, config.json and generation_config.json."""
    model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    (folder / "model.safetensors").chmod(0o644)
