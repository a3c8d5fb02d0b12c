"""JSON that others wrote: its value, or one kind of error, whatever is odd about it."""

from __future__ import annotations

import json
import math
import re

from orchestrator.base.step_values import JSON

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(text: bytes, *, finite: bool = True) -> JSON:
    """The value of a JSON text in UTF-8.

    Args:
        text: The text.
        finite: Refuse numbers that are not: Python writes and reads NaN and Infinity, and some
            configurations of models hold them.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or holds what cannot be written again:
            half of a surrogate pair, or a number of thousands of digits.
    """
    number = _finite if finite else None
    try:
        found = json.loads(text.decode("utf-8-sig"), parse_float=number, parse_constant=number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _HALF.search(text):
        json.dumps(found, ensure_ascii=False).encode()
    return found


def _finite(spelling: str) -> float:
    number = float(spelling)
    if not math.isfinite(number):
        raise ValueError(f"{spelling[:40]} is not a finite number")
    return number
