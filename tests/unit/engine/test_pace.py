"""Which of how many steps it is, and what the rest takes."""

from __future__ import annotations

import io
from collections.abc import Mapping

from rich.console import Console

from orchestrator.base.step_values import Activity, Ended, Outcome, Progress
from orchestrator.engine.pace import Pace
from orchestrator.engine.progress_listeners import Bars, Plain

STEPS = [Activity("quantize", f"quantize to {name}", name) for name in ("Q4_0", "Q8_0", "Q6_K")]
TOOK: Mapping[str, float] = {"quantize to Q4_0": 60.0, "quantize to Q8_0": 120.0}


def test_each_step_has_its_place_and_what_is_left_shrinks() -> None:
    pace = Pace(lambda: TOOK)
    pace.begin(STEPS)
    # Q6_K was never made: it takes what its kind takes.
    assert pace.remaining() == "about 5 min"
    assert pace.end(Ended(STEPS[1], Outcome.DONE)) == "1 of 3"
    assert pace.end(Ended(STEPS[1], Outcome.DONE)) == ""
    assert pace.end(Ended(STEPS[0], Outcome.FAILED)) == "2 of 3"
    assert pace.remaining() == "about 2 min"


def test_nothing_is_guessed_where_a_kind_was_never_done() -> None:
    pace = Pace(lambda: TOOK)
    pace.begin([*STEPS, Activity("convert", "convert", "c")])
    assert pace.remaining() == ""
    assert pace.end(Ended(STEPS[0], Outcome.DONE)) == "1 of 4"


def test_a_single_step_is_not_counted_and_no_work_asks_for_nothing() -> None:
    asked: list[str] = []
    pace = Pace(lambda: asked.append("asked") or {})  # type: ignore[func-returns-value]
    assert not asked
    pace.begin(STEPS[:1])
    assert pace.end(Ended(STEPS[0], Outcome.DONE)) == ""
    assert pace.total == 0


def test_plain_lines_say_both() -> None:
    out = io.StringIO()
    plain = Plain(out, pace=Pace(lambda: TOOK))
    plain.planned(STEPS[:2])
    for step in STEPS[:2]:
        plain.started(step)
        plain.finished(Ended(step, Outcome.DONE, seconds=2))
    assert out.getvalue().splitlines() == [
        "… 2 steps to do, about 3 min",
        "… quantize to Q4_0",
        "✓ quantize to Q4_0  2.0 s  (1 of 2)",
        "… quantize to Q8_0",
        "✓ quantize to Q8_0  2.0 s  (2 of 2)",
    ]


def test_a_narrow_terminal_keeps_the_times() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, color_system=None)
    bars = Bars(console, pace=Pace(lambda: TOOK))
    step = Activity("quantize", "measure a model with a very long name Q4_0: smoke test", "Q4_0")
    bars.planned([step, STEPS[1]])
    bars.started(step)
    bars.progressed(step, Progress(1, 20, "chunks"))
    bars.close()
    lines = out.getvalue().split("\n")
    whole = next(one for one in lines if "0 of 2" in one)
    one = next(one for one in lines if "measure" in one and "1/20 chunks" in one)
    assert "0:00:0" in whole
    assert "…" in one
    assert "0:00:0" in one
