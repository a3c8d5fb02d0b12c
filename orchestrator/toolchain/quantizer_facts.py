"""What several steps and the report know about quantizing."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base import units
from orchestrator.base.errors import StepError

_SHOWN = 5


def refuse_fallbacks(label: str, fallbacks: Sequence[Mapping[str, str]], allowed: bool) -> None:
    """Fail when tensors fell back to other types and nobody accepted that.

    Raises:
        StepError: It lists the first tensors and how to accept the rest.
    """
    if allowed or not fallbacks:
        return
    shown = "; ".join(
        f"{one['tensor']} ({one['columns']} columns: {one['wanted']} -> {one['got']})"
        for one in fallbacks[:_SHOWN]
    )
    more = f"; and {len(fallbacks) - _SHOWN} more" if len(fallbacks) > _SHOWN else ""
    count = units.plural(len(fallbacks), "tensor")
    raise StepError(
        f"{label}: {count} would silently get another type: {shown}{more}",
        "Choose a type whose blocks fit, or accept it: 'allow_fallback: true' on the type, or "
        "under 'defaults' for all.",
    )


def override_values(overrides: Mapping[str, str]) -> dict[str, Any]:
    """``type:value`` texts of metadata overrides as the values they stand for."""
    kinds = {"int": int, "float": float, "str": str, "bool": lambda text: text == "true"}
    found = {}
    for key, text in overrides.items():
        kind, _, value = text.partition(":")
        found[key] = kinds[kind](value)  # type: ignore[operator]
    return found


def write_stand_in(path: Path, tensors: Collection[str] = ("none",)) -> None:
    """Write an importance matrix of one number for each tensor, in the old format.

    A dry run reads no values, but with a matrix the quantizer chooses other types.
    """
    dataset, names = b"none", [name.encode() for name in tensors]
    entries = [struct.pack(f"<i{len(one)}siif", len(one), one, 1, 1, 1.0) for one in names]
    end = struct.pack(f"<ii{len(dataset)}s", 1, len(dataset), dataset)
    path.write_bytes(struct.pack("<i", len(names)) + b"".join(entries) + end)
