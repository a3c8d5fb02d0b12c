"""Numbers out of the output of upstream's tools, believed only when they are numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

from orchestrator.base.errors import StepError

_HINT = "The file's weights hold NaN or infinite values, or do not fit the tool; see the log."


def number(values: Mapping[str, str], name: str, what: str) -> float:
    """The value of this name as a finite number.

    Raises:
        StepError: The tool printed none, or one that is not finite.
    """
    found = optional(values, name)
    if found is None:
        spoken = name.replace("_", " ")
        raise StepError(f"{what}: the tool printed no {spoken} that is a number", _HINT)
    return found


def optional(values: Mapping[str, str], name: str) -> float | None:
    """The value of this name, or None when it is missing or no finite number."""
    try:
        found = float(values[name])
    except (KeyError, ValueError):
        return None
    return found if math.isfinite(found) else None
