"""When and where speeds were measured, and that a table of several days says so."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from orchestrator.measures import timing

HERE = {"machine": "1a2b", "processor": "a processor", "cores": 2}
FIRST = {"date": "2026-11-20T23:00:00+00:00", **HERE}
NOW = datetime(2026, 11, 21, 2, tzinfo=timezone.utc)


def files(**speeds: dict[str, object]) -> timing.ByFile:
    return {name: {"speed": taken} for name, taken in speeds.items()}


def test_what_was_measured_in_one_night_is_told_once() -> None:
    later = {**FIRST, "date": "2026-11-21T01:00:00+00:00"}
    told = {**files(Q8_0=FIRST, Q4_0=later), "F16": {"speed": FIRST, "memory": later}, "Q2_K": {}}

    line = timing.line(told)

    assert line == ("Speed and memory: measured 2026-11-21 on machine 1a2b (a processor, 2 cores).")
    assert timing.remark(told, NOW) == ""


@pytest.mark.parametrize(
    ("other", "shown"),
    [
        (
            {**FIRST, "date": "2026-11-25T01:00:00+00:00"},
            "Q4_0 2026-11-25 on machine 1a2b (a processor, 2 cores)",
        ),
        (
            {**FIRST, "machine": "ffff", "cores": 1},
            "Q4_0 2026-11-20 on machine ffff (a processor, 1 core)",
        ),
        ({"date": FIRST["date"]}, "Q4_0 2026-11-20 on a machine that was not noted"),
    ],
)
def test_other_days_and_machines_do_not_compare(other: dict[str, object], shown: str) -> None:
    told = files(Q8_0=FIRST, Q5_0=FIRST, Q4_0=other)

    line = timing.line(told)

    assert line == (
        "Speed: not measured together, so files do not compare: "
        f"Q8_0, Q5_0 2026-11-20 on machine 1a2b (a processor, 2 cores); {shown}. "
        "'orchestrate run --measure-again NAME' measures one of these for all files anew."
    )
    assert timing.remark(told, NOW) == line


def test_measures_that_were_taken_apart_are_told_apart() -> None:
    other = {**FIRST, "machine": "ffff"}
    told = {"Q8_0": {"speed": FIRST, "memory": other}, "Q4_0": {"speed": FIRST, "memory": other}}

    assert timing.line(told) == (
        "Speed: measured 2026-11-20 on machine 1a2b (a processor, 2 cores). "
        "Memory: measured 2026-11-20 on machine ffff (a processor, 2 cores)."
    )
    assert timing.remark(told, NOW) == ""


def test_old_numbers_are_told_where_a_run_shows_them() -> None:
    told = files(Q8_0=FIRST)

    assert timing.remark(told, NOW) == ""
    assert timing.remark(told, NOW.replace(day=23)) == timing.line(told) != ""


def test_without_numbers_of_the_machine_nothing_is_said() -> None:
    assert timing.line({"Q8_0": {}}) == timing.remark({}, NOW) == ""
