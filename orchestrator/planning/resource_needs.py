"""What a plan costs before it is paid: bytes to fetch, disk over time, memory; pure.

Sizes come from the forecast, which is exact. Without one (no tool chain built yet) they are
estimates and are called so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.base.step_values import JSON, Resources, Step
from orchestrator.engine.retention_policy import RELEASED
from orchestrator.planning.recipe_to_steps import MODEL, Plan

# Measured on the pinned converter: PyTorch and transformers before the first tensor.
CONVERTER_BASE = 700 << 20
TOOL_BASE = 200 << 20


@dataclass(frozen=True)
class Forecast:
    """The sizes of one recipe's files in bytes.

    ``full`` and ``outputs`` map to the forecast step's facts; ``exact`` says whether they are
    the quantizer's own or estimated from nominal bits per weight.
    """

    full: Mapping[str, JSON]
    outputs: Mapping[str, Mapping[str, JSON]]
    fetch_bytes: int = 0
    exact: bool = True


@dataclass(frozen=True)
class Moment:
    """Disk and memory while one step runs, in bytes; ``disk`` is what this plan adds."""

    step: Step
    disk: int
    memory: int


def with_sizes(plan: Plan, forecast: Forecast) -> Plan:
    """The plan with the forecast's sizes as its steps' resources."""
    steps = tuple(_sized(plan, step, forecast) for step in plan.steps)
    return replace(plan, steps=steps)


def _sized(plan: Plan, step: Step, forecast: Forecast) -> Step:
    table = {
        "fetch": _fetch,
        "merge": _merge,
        "convert": _convert,
        "quantize": _quantize,
        "imatrix": _evaluate,
        "logits": _logits,
        "measure": _measure,
    }
    if step.kind not in table:
        return step
    found = table[step.kind](plan, step, forecast)
    return replace(step, resources=replace(found, exact=forecast.exact))


def _full_size(forecast: Forecast) -> int:
    return int(forecast.full.get("size", 0))


def _fetch(plan: Plan, step: Step, forecast: Forecast) -> Resources:
    return replace(step.resources, fetch_bytes=fetch_bytes(plan, step, forecast))


def fetch_bytes(plan: Plan, step: Step, forecast: Forecast) -> int:
    """Bytes a fetch step brings from elsewhere: the model's; corpora are small."""
    sources = [plan.sources.model, plan.sources.base, plan.sources.delta]
    identities = [dict(one.identity) for one in sources if one is not None]
    from_afar = step.params["source"]["kind"] != "path"
    return forecast.fetch_bytes if from_afar and step.params["source"] in identities else 0


def _merge(_plan: Plan, step: Step, forecast: Forecast) -> Resources:
    largest = int(forecast.full.get("largest_tensor", 0)) * 2
    memory = (64 << 20) + min(3 * largest, 512 << 20)
    return replace(step.resources, disk_bytes=_full_size(forecast), memory_bytes=memory)


def _convert(_plan: Plan, step: Step, forecast: Forecast) -> Resources:
    largest = int(forecast.full.get("largest_tensor", 0)) * 4
    memory = CONVERTER_BASE + 3 * largest
    return replace(step.resources, disk_bytes=_full_size(forecast), memory_bytes=memory)


def _quantize(plan: Plan, step: Step, forecast: Forecast) -> Resources:
    """Rows are quantized from 32-bit floats, one tensor in memory at a time."""
    size = _size_of(plan, step, forecast)
    largest = int(forecast.full.get("largest_tensor", 0))
    return replace(step.resources, disk_bytes=size, memory_bytes=TOOL_BASE + largest * 6)


def _size_of(plan: Plan, step: Step, forecast: Forecast) -> int:
    if step.key == plan.full.step:
        return _full_size(forecast)
    names = [output.name for output in plan.outputs if output.step == step.key]
    return int(forecast.outputs.get(names[0], {}).get("size", 0)) if names else 0


def _evaluate(_plan: Plan, step: Step, forecast: Forecast) -> Resources:
    return replace(step.resources, memory_bytes=_inference(_full_size(forecast)))


def _inference(size: int) -> int:
    """The mapped file, the key-value cache and the compute buffers."""
    return size + size // 8 + (400 << 20)


def logits_bytes(vocabulary: int, context: int, chunks: int) -> int:
    """Size of the saved logits: 16 bits for each token of the vocabulary, second halves only.

    The layout is that of llama.cpp's tools/perplexity: per scored position a row of
    ``2 * ((vocabulary + 1) / 2) + 4`` 16-bit numbers, ``context - 1 - context / 2`` positions
    in each chunk, and the tokens of all chunks before them.
    """
    row = 2 * (2 * ((vocabulary + 1) // 2) + 4)
    header = 8 + 4 + 4 + 4 + 4 * chunks * context
    return header + chunks * (context - 1 - context // 2) * row


def _logits(plan: Plan, step: Step, forecast: Forecast) -> Resources:
    memory = _inference(_full_size(forecast))
    chunks = max(int(step.params["chunks"]), 0)
    if not step.params["save"]:
        return replace(step.resources, memory_bytes=memory)
    size = logits_bytes(
        int(forecast.full.get("vocabulary", 0)), int(step.params["context"]), chunks
    )
    del plan
    return replace(step.resources, disk_bytes=size, memory_bytes=memory)


def _measure(plan: Plan, step: Step, forecast: Forecast) -> Resources:
    key = step.inputs[MODEL]
    producer = plan.step(key)
    return replace(step.resources, memory_bytes=_inference(_size_of(plan, producer, forecast)))


def timeline(steps: Sequence[Step], hits: Collection[str], keep: str) -> list[Moment]:
    """Disk and memory during each step that is to run, one after the other.

    Args:
        steps: All steps in order.
        hits: Keys of the steps whose artifacts are there already.
        keep: The release policy; what it releases stops counting after its last reader.
    """
    todo = [step for step in steps if step.key not in hits]
    last_use = {key: index for index, step in enumerate(todo) for key in step.inputs.values()}
    held: dict[str, int] = {}
    moments = []
    for index, step in enumerate(todo):
        cost = step.resources
        held[step.key] = cost.disk_bytes + cost.fetch_bytes
        now = sum(held.values()) + cost.scratch_bytes
        moments.append(Moment(step, now, cost.memory_bytes))
        for other in todo[: index + 1]:
            over = last_use.get(other.key, index) <= index
            if over and other.keep in RELEASED[keep] and other.key in held:
                del held[other.key]
    return moments
