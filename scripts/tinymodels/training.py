"""Trains a small causal language model on one thread, and measures it."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch  # type: ignore[import-not-found,unused-ignore]

from tinymodels.tokenizing import Encoder

CONTEXT = 512


@dataclass(frozen=True)
class Phase:
    """A stretch of training: sequences of `length` tokens, `batch` of them in each step."""

    steps: int
    length: int
    batch: int


@dataclass(frozen=True)
class Schedule:
    """How a model is trained; the learning rate warms up, then falls on a cosine to a tenth."""

    phases: tuple[Phase, ...]
    rate: float = 3e-3
    warmup: int = 50

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (0.55 + 0.45 * math.cos(math.pi * done))


SCHEDULE = Schedule((Phase(1000, 128, 8), Phase(400, CONTEXT, 2)))


def make_deterministic(seed: int) -> None:
    """One thread, seeded, deterministic kernels only: same machine, same weights."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def chunks(documents: Sequence[str], encoder: Encoder, at_once: int = 12) -> list[list[int]]:
    """Token ids of `at_once` documents at a time, long enough for one CONTEXT."""
    groups = ["".join(documents[i : i + at_once]) for i in range(0, len(documents), at_once)]
    return [ids for ids in map(encoder.encode, groups) if len(ids) > CONTEXT]


def batches(
    data: Sequence[list[int]], phase: Phase, prefix: Sequence[int], source: random.Random
) -> Iterator[torch.Tensor]:
    """Batches [batch, length]; half of the sequences start where a document does.

    The others start anywhere, as the windows of llama.cpp's perplexity do; both have the prefix.
    """
    body = phase.length - len(prefix)
    for _ in range(phase.steps):
        rows = []
        for _ in range(phase.batch):
            ids = data[source.randrange(len(data))]
            start = source.choice((0, source.randrange(len(ids) - body)))
            rows.append([*prefix, *ids[start : start + body]])
        yield torch.tensor(rows)


def loss_of(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood (nats per token) of [batch, length] ids after the first."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def train(
    model: Any, data: Sequence[list[int]], prefix: Sequence[int], schedule: Schedule, seed: int
) -> None:
    """Trains in place with AdamW; prints the loss now and then."""
    source = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0.01)
    began, step = time.monotonic(), 0
    model.train()
    for phase in schedule.phases:
        for ids in batches(data, phase, prefix, source):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate_at(step)
            loss = loss_of(model, ids)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            if step % 100 == 0:
                took = time.monotonic() - began
                at = f"{step}/{schedule.steps}"
                print(f"  step {at} loss {loss.item():.3f} {took:.0f} s", flush=True)
    model.eval()


def round_to_half(model: Any) -> None:
    """Gives every weight the value it has in float16, so that what is measured is what is saved."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())


def perplexity(model: Any, text: str, encoder: Encoder, prefix: Sequence[int]) -> float:
    """Perplexity over the first 16 windows of CONTEXT tokens of a text."""
    ids = encoder.encode(text)
    body = CONTEXT - len(prefix)
    starts = range(0, len(ids) - body, body)[:16]
    windows = torch.tensor([[*prefix, *ids[i : i + body]] for i in starts])
    with torch.no_grad():
        losses = [loss_of(model, window[None]).item() for window in windows]
    return math.exp(sum(losses) / len(losses))


def complete(model: Any, prompt: str, encoder: Encoder, prefix: Sequence[int], count: int) -> str:
    """The greedy continuation of a prompt by `count` tokens, without the prompt."""
    ids = [*prefix, *encoder.encode(prompt)]
    start = len(ids)
    for _ in range(count):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    before = encoder.decode(ids[len(prefix) : start])
    return encoder.decode(ids[len(prefix) :])[len(before) :]
