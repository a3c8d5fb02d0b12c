"""The measures of one good file, as its step states them."""

from __future__ import annotations

import copy
from typing import Any

MEASURES: dict[str, Any] = {
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
    "smoke": {"cli": "Paris.", "python": "Paris, of course."},
    "memory": {"peak": 30_000_000},
    "perplexity": {
        "value": 5.4,
        "error": 0.02,
        "base": 5.0,
        "context": 512,
        "wanted_chunks": 8,
        "chunks": 8,
    },
    "kld": {"mean": 0.05, "max": 1.0, "p99": 0.4, "median": 0.03, "same_top": 0.9},
    "speed": {
        "source": "bench",
        "prompt": {"ms_per_token": 2.0, "tokens_per_second": 500.0, "stddev": 3.0},
        "generation": {"ms_per_token": 8.0, "tokens_per_second": 125.0, "stddev": 1.0},
    },
    "unavailable": [],
}


def measured(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(MEASURES), **changes}
