"""Who gets which threads: by --jobs, or by what the steps need."""

from __future__ import annotations

from orchestrator.base.step_values import Resources
from orchestrator.engine.core_shares import SMALL_BYTES, Cores, Share, shares, threads_for

ROOM = 1 << 40
SMALL = Resources(cpu=True, memory_bytes=SMALL_BYTES)
LARGE = Resources(cpu=True, memory_bytes=SMALL_BYTES + 1)
UNKNOWN = Resources(cpu=True)
SPEED = Resources(cpu=True, memory_bytes=SMALL_BYTES, alone=True)


def given(needs: list[Resources], cores: int, jobs: int = 0, room: int = ROOM) -> list[int]:
    """The threads of steps that are ready together, in turn; 0 where one has to wait."""
    busy: list[Share] = []
    found: list[int] = []
    waiting = sum(map(shares, needs))
    for one in needs:
        found.append(threads_for(one, busy, waiting, Cores(cores, jobs), room))
        waiting -= shares(one) and found[-1] > 0
        if found[-1]:
            busy.append(Share(one, found[-1]))
    return found


def test_with_jobs_so_many_run_with_equal_shares() -> None:
    assert given([LARGE, UNKNOWN, SMALL], 8, jobs=2) == [4, 4, 0]
    assert given([LARGE] * 3, 2, jobs=3) == [1, 1, 1]


def test_one_step_has_all_cores() -> None:
    for one in (SMALL, LARGE, UNKNOWN, SPEED):
        assert given([one], 8) == [8]


def test_large_steps_and_those_of_unknown_size_run_one_after_the_other() -> None:
    assert given([LARGE, LARGE], 8) == [8, 0]
    assert given([UNKNOWN, SMALL], 8) == [8, 0]
    assert given([SMALL, LARGE], 8) == [8, 0]
    assert given([SMALL, LARGE, SMALL], 8) == [4, 0, 4]


def test_small_steps_share_the_cores() -> None:
    assert given([SMALL] * 2, 8) == [4, 4]
    assert given([SMALL] * 3, 8) == [2, 2, 2]
    assert given([SMALL] * 3, 2) == [1, 1, 0]


def test_small_steps_wait_where_memory_does_not_do_for_two() -> None:
    assert given([SMALL] * 2, 8, room=2 * SMALL_BYTES - 1) == [4, 0]


def test_what_measures_speed_is_alone() -> None:
    assert given([SPEED, SMALL], 8) == [8, 0]
    assert given([SMALL, SPEED], 8) == [8, 0]
    assert given([LARGE, SPEED], 8, jobs=2) == [4, 0]
    assert given([SPEED, LARGE], 8, jobs=2) == [4, 0]
