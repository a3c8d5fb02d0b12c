"""Which intermediates each policy gives back."""

from __future__ import annotations

from collections.abc import Mapping

# What each --keep releases as soon as its last consumer is done.
RELEASED: Mapping[str, frozenset[str]] = {
    "all": frozenset(),
    "f16": frozenset({"intermediate"}),
    "final": frozenset({"intermediate", "f16"}),
}
