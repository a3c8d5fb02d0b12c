"""Let a Hub lie by chance to each step that reads from it, for so many seconds.

    python -m scripts.campaigns.lying_hub [--seed N] [--seconds N]

Each try is one step against one lie: odd JSON, headers, status and lengths, by chance, and those
that tests/hub/lies.py names. After it nothing may lie outside the cache or in it under a wrong
digest, no error may be unexpected, and the same fetch from the honest Hub must work. Prints a
table of how the tries ended; the exit code is 1 when one found a fault, which is then described
with its seed.
"""

from __future__ import annotations

import argparse
import logging
import resource
import sys
import tempfile
from pathlib import Path

from tests.support.lying_rounds import round_of


def main() -> int:
    """Run a round and print what became of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as work:
        report = round_of(Path(work), seed=asked.seed, seconds=asked.seconds)
    for (step, kind), count in sorted(report.counts.items()):
        print(f"{step:12} {kind:8} {count:6}")
    print(f"{'in all':21} {sum(report.counts.values()):6}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{'peak memory, MiB':21} {peak:6}")
    print(*report.faults, sep="\n", end="\n" if report.faults else "")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
