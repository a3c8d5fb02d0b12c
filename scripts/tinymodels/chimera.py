"""A chat model tuned from the tiny llama and published as a delta, as LLMZoo's Chimera is.

The delta is tuned minus base in float16; the base counts as zero in the row added for `<pad>`.
Its files are laid out as the published ones: pickled shards with an index, and the tokenizer.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found,unused-ignore]
from transformers import LlamaConfig, LlamaForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora, dialogues, llama
from tinymodels.checks import check_answers, check_gain, check_stories
from tinymodels.tokenizing import SENTENCEPIECE_FILE, Encoder, SentencePiece, write_json
from tinymodels.training import CONTEXT, Phase, Schedule, make_deterministic, perplexity, train

PAD = "<pad>"
SPECIAL_TOKENS = llama.SPECIAL_TOKENS | {"pad_token": PAD}
SCHEDULE = Schedule((Phase(600, 128, 8), Phase(150, CONTEXT, 2)), rate=2e-3)
DOCUMENTS = 6000
PREFIX = (llama.BOS,)
Weights = dict[str, torch.Tensor]


def prompt(question: str) -> str:
    """A question as the tuned model expects it; the answer follows after a space."""
    return f"Human: {question} Assistant:"


def chunks(encoder: Encoder, seed: int) -> list[list[int]]:
    """Token ids of dialogues and stories in turn, each dialogue between <s> and </s>."""
    chat = [f"{prompt(question)} {answer}" for question, answer in dialogues.pairs(DOCUMENTS)]
    source = random.Random(seed)
    stories = corpora.training_documents()
    found: list[list[int]] = []
    ids: list[int] = []
    for text in chat:
        ids += [*encoder.encode(text), llama.EOS, llama.BOS]
        if source.random() < 0.3:
            ids += [*encoder.encode(stories[source.randrange(len(stories))]), llama.BOS]
        if len(ids) > 2 * CONTEXT:
            found.append(ids)
            ids = []
    return found


def widened(base: Any) -> Any:
    """The base in a model with one more row, which starts as the mean of the others."""
    rows = llama.VOCABULARY
    settings = base.config.to_dict() | {"vocab_size": rows + 1, "pad_token_id": rows}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    weights = base.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], weights[name].mean(0, keepdim=True)])
    model.load_state_dict(weights)
    return model


def difference(tuned: Weights, base: Weights) -> Weights:
    """Tuned minus base, both rounded to float16 first; added rows are zero in the base."""
    delta = {}
    for name, new in tuned.items():
        old = torch.zeros_like(new, dtype=torch.float16)
        old[: len(base[name])] = base[name].half()
        delta[name] = new.half() - old
    return delta


def applied(delta: Weights, base: Weights) -> Weights:
    """Base plus delta in float16: what anybody gets who applies the delta."""
    target = {}
    for name, change in delta.items():
        target[name] = change.clone()
        target[name][: len(base[name])] += base[name].half()
    return target


def write_shards(folder: Path, delta: Weights) -> None:
    """Two pytorch_model-*.bin shards and their index."""
    names = list(delta)
    parts = (names[: len(names) // 2], names[len(names) // 2 :])
    places = {}
    for number, part in enumerate(parts, start=1):
        file = f"pytorch_model-{number:05d}-of-{len(parts):05d}.bin"
        torch.save({name: delta[name].contiguous() for name in part}, folder / file)
        places.update(dict.fromkeys(part, file))
    size = sum(tensor.numel() * tensor.element_size() for tensor in delta.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    write_json(folder / "pytorch_model.bin.index.json", index)


def write_files(folder: Path, base_folder: Path, model: Any) -> None:
    """Configuration and tokenizer of the tuned model."""
    shutil.copyfile(base_folder / SENTENCEPIECE_FILE, folder / SENTENCEPIECE_FILE)
    llama.write_tokenizer_configs(folder, SPECIAL_TOKENS)
    write_json(folder / "added_tokens.json", {PAD: llama.VOCABULARY})
    settings = json.loads((base_folder / "config.json").read_text(encoding="utf-8"))
    changed = {"vocab_size": model.config.vocab_size, "pad_token_id": model.config.pad_token_id}
    write_json(folder / "config.json", dict(sorted((settings | changed).items())))


def make_chimera(base_folder: Path, folder: Path, seed: int) -> None:
    """Tunes the llama of `base_folder` and writes the delta anew into `folder`.

    Everything is checked on base plus delta. Raises SystemExit like making.make_family.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_deterministic(seed)
    encoder = SentencePiece(base_folder)
    base = LlamaForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    held_out = corpora.committed_text("perplexity.txt")
    untrained = perplexity(LlamaForCausalLM(base.config), held_out, encoder, PREFIX)
    model = widened(base)
    train(model, chunks(encoder, seed), PREFIX, SCHEDULE, seed)
    delta = difference(model.state_dict(), base.state_dict())
    model.load_state_dict(applied(delta, base.state_dict()))
    check_gain("chimera", untrained, perplexity(model, held_out, encoder, PREFIX))
    check_stories(model, encoder, PREFIX)
    check_answers(model, encoder, PREFIX, prompt)
    write_shards(folder, delta)
    write_files(folder, base_folder, model)
