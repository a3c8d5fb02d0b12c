"""Makes one model folder: tokenizer, training, the checks that let it be committed, files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from tinymodels import checker, corpora
from tinymodels.families import Family
from tinymodels.tokenizing import Encoder
from tinymodels.training import (
    chunks,
    complete,
    make_deterministic,
    perplexity,
    round_to_half,
    train,
)

# Each prompt ends where a sentence does; what follows must be the grammar's, pronouns included.
PROMPTS = (
    "Once upon a time there was a little girl named Lily.",
    "There once was a brave boy called Tom. He had a red kite and he liked it very much.",
)
LEAST_GAIN = 20
CONTINUATION = 80


def make_family(family: Family, folder: Path, seed: int) -> None:
    """Trains a family's model and writes its folder anew.

    Raises SystemExit when held-out perplexity fell less than LEAST_GAIN times, or when a
    completion leaves the grammar: then nothing of the folder should be committed.
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
    print(f"{family.name}: perplexity {before:.1f} before, {after:.3f} after training", flush=True)
    if before < LEAST_GAIN * after:
        raise SystemExit(f"{family.name}: perplexity fell less than {LEAST_GAIN} times")
    check_stories(model, encoder, family.prefix)
    save(model, folder)
    family.extras(folder)


def check_stories(model: Any, encoder: Encoder, prefix: tuple[int, ...]) -> None:
    """Greedy continuations must be sentences of the grammar; SystemExit names those that are not.

    The last sentence is unfinished and not looked at; at least two others must be there.
    """
    for prompt in PROMPTS:
        text = prompt + complete(model, prompt, encoder, prefix, CONTINUATION)
        print(f"  {text!r}", flush=True)
        first_story = text.split("\n")[0]
        whole = checker.sentences(first_story)
        if not first_story.endswith("."):
            whole = whole[:-1]
        wrong = checker.errors(" ".join(whole))
        if wrong or len(whole) < len(checker.sentences(prompt)) + 2:
            raise SystemExit(f"not a story of the grammar: {wrong or text!r}")


def save(model: Any, folder: Path) -> None:
    """model.safetensors in float16, config.json and generation_config.json."""
    model.to(torch.float16).save_pretrained(folder, safe_serialization=True)
