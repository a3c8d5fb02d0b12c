"""How CPU-bound steps share the cores of a machine; pure.

With ``--jobs`` so many run at once, each with its share of the threads. Without it a step has the
whole machine, unless it is small and others are ready too: tools hardly scale on small models, so
that several side by side with fewer threads each are done sooner. A step whose numbers are of the
machine is always alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.base.step_values import Resources

# A cautious limit, and no other was tried: the tiny models gain below it (measured on two cores);
# the quantizers of a 7B model lie above it.
SMALL_BYTES = 512 << 20


@dataclass(frozen=True)
class Cores:
    """What there is to share: threads of all tools, and ``--jobs``, 0 if it was not given."""

    threads: int
    jobs: int = 0


@dataclass(frozen=True)
class Share:
    """What a step that runs has: its needs and its threads."""

    needs: Resources
    threads: int


def threads_for(
    needs: Resources, busy: Sequence[Share], waiting: int, cores: Cores, free_bytes: int
) -> int:
    """How many threads a CPU-bound step gets now, or 0 if it has to wait.

    Args:
        needs: What it needs.
        busy: The CPU-bound steps that run.
        waiting: How many of those that could start now share cores, itself among them.
        cores: What there is.
        free_bytes: The memory that the steps that run and it may use together.
    """
    if busy and (needs.alone or any(one.needs.alone for one in busy)):
        return 0
    if cores.jobs:
        return max(1, cores.threads // cores.jobs) if len(busy) < cores.jobs else 0
    left = cores.threads - sum(one.threads for one in busy)
    if not shares(needs):
        return cores.threads if not busy else 0
    if busy and needs.memory_bytes + sum(one.needs.memory_bytes for one in busy) > free_bytes:
        return 0
    return min(max(0, left), max(1, cores.threads // (waiting + len(busy))))


def shares(needs: Resources) -> bool:
    """Whether a step runs beside others where nothing else is said."""
    return needs.cpu and not needs.alone and 0 < needs.memory_bytes <= SMALL_BYTES
