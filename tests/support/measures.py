"""The measures of one good file, as their steps state them."""

from __future__ import annotations

import copy
from typing import Any

from orchestrator.measures import registry

# By measure; the perplexity was found with the divergence, as that of every quantized file.
MEASURES: dict[str, Any] = {
    "header": {
        "structure": {
            "version": 3,
            "layout": "gguf",
            "compared": True,
            "missing": [],
            "extra": [],
            "reshaped": [],
        },
        "census": {"F32": 7, "Q4_K": 18, "Q6_K": 3},
        "tensors": 28,
        "parameters": 2_000_000,
        "size": 1_200_000,
        "bits_per_weight": 4.84,
    },
    "load": {"loaded": True},
    "smoke": {"text": "Paris.", "peak": 30_000_000, "prompt_ms": 2.0, "generate_ms": 8.0},
    "smoke_python": {"text": "Paris, of course."},
    "perplexity": {
        "value": 5.4,
        "error": 0.02,
        "context": 512,
        "wanted_chunks": 18,
        "chunks": 18,
    },
    "kld": {
        "mean": 0.05,
        "mean_error": 0.001,
        "max": 1.0,
        "p99": 0.4,
        "median": 0.03,
        "same_top": 0.9,
        "same_top_error": 0.01,
        "mean_change": -0.01,
        "mean_change_error": 0.002,
        "rms_change": 0.04,
        "rms_change_error": 0.003,
        "log_ratio_error": 0.01,
    },
    "speed": {
        "source": "bench",
        "prompt": {"ms_per_token": 2.0, "tokens_per_second": 500.0, "stddev": 3.0},
        "generation": {"ms_per_token": 8.0, "tokens_per_second": 125.0, "stddev": 1.0},
    },
}
# The full file's.
FULL: dict[str, Any] = {"perplexity": {**MEASURES["perplexity"], "value": 5.0}}


def measured(**changes: Any) -> dict[str, Any]:
    """The measures with others in their place; those that are None were not taken."""
    found = {**copy.deepcopy(MEASURES), **changes}
    return {name: facts for name, facts in found.items() if facts is not None}


def asked(**changes: Any) -> dict[str, Any]:
    """The sections of a recipe that asks for all of them."""
    sections: dict[str, Any] = {
        "smoke": {"prompt": "The capital is", "expect": "", "tokens": 8},
        "perplexity": {"corpus": {}, "context": 512, "chunks": 18},
        "kld": True,
        "speed": {"prompt": 4, "generate": 4, "repetitions": 1},
    }
    return {**sections, **changes}


def numbered(**values: float | None) -> dict[str, dict[str, float | None]]:
    """Numbers of a row by measure, from their keys in reports."""
    found: dict[str, dict[str, float | None]] = {}
    for measure, number in registry.numbers():
        if values.get(number.key) is not None:
            found.setdefault(measure.name, {})[number.name] = values[number.key]
    return found
