"""Hostile input, kills or full disks by chance, for so many seconds.

    python -m scripts.campaigns CAMPAIGN [--seed N] [--seconds N]

Each try is made from a number of its own, counted up from --seed. Prints a table of how the
tries ended; the exit code is 1 when one found a fault, which is then described with its seed.
docs/reference/campaigns.md says what each campaign tries and what must hold.
"""

from __future__ import annotations

import argparse
import functools
import logging
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support import lying_rounds
from tests.support.campaigns import children, disks, kills
from tests.support.campaigns.report import Report

CAMPAIGNS: dict[str, Callable[..., Report]] = {
    "lying-hub": lying_rounds.round_of,
    "kills": kills.round_of,
    "disks": disks.round_of,
    **{name: functools.partial(children.round_of, name) for name in children.ATTEMPTS},
}


def main() -> int:
    """Run a round and print what became of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as work:
        report = CAMPAIGNS[asked.campaign](Path(work), seed=asked.seed, seconds=asked.seconds)
    for (what, kind), count in sorted(report.counts.items()):
        print(f"{what:24} {kind:8} {count:6}")
    print(f"{'in all':33} {report.tries:6}")
    own, children_ = (
        resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"{'peak memory, MiB':33} {max(own, children_):6}")
    print(*report.faults, sep="\n", end="\n" if report.faults else "")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
