"""Waiting for the network: longer each time, and as long as servers ask for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.base.errors import NetworkProblem
from orchestrator.base.interruptible_sleep import sleep

# Minutes, not seconds: short faults were waited for where they happened.
FIRST_SECONDS = 60.0
FACTOR = 4.0
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class NetworkRetries:
    """How often the network is asked again, and until when (``time.monotonic``).

    ``say`` is told before each wait; ``sleep`` waits,
    :func:`orchestrator.base.interruptible_sleep.sleep` if it is not given.
    """

    retries: int = 3
    deadline: float = math.inf
    say: Callable[[str], None] = lambda _text: None
    sleep: Callable[[float], None] | None = None

    def wait_and_retry(self, attempt: int, errors: Sequence[NetworkProblem]) -> bool:
        """Wait after the attempt of this number (from 0); whether to try again."""
        if not errors or attempt >= self.retries:
            return False
        own = FIRST_SECONDS * FACTOR**attempt
        seconds = min(max(own, *(error.wait for error in errors)), LONGEST_SECONDS)
        if time.monotonic() + seconds >= self.deadline:
            return False
        first = errors[0].message.splitlines()[0]
        self.say(f"{first}; asking again in {seconds:.0f} s ({attempt + 1} of {self.retries})")
        (self.sleep or sleep)(seconds)
        return True
