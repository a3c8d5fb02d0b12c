"""What a round of a campaign found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What a round found.

    Attributes:
        counts: Tries by what was tried and how they ended.
        faults: What should not have been, with what it takes to see it again.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """How many there were."""
        return sum(self.counts.values())
