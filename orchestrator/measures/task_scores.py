"""Measures that count right answers over the tasks of a text: what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Column,
    Limit,
    Measure,
    Number,
    Numbers,
    Option,
    Place,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, percent, unmeasured
from orchestrator.toolchain.output_numbers import number, optional

_PLACES: tuple[Place, ...] = ("report", "terminal", "card", "site", "history")


@dataclass(frozen=True)
class Tasks:
    """One kind of tasks: its name under ``verify:`` (its verb's too), title, place in reports.

    ``text`` says what the file of tasks must be.
    """

    name: str
    title: str
    order: int
    text: str

    def run(self, task: Task) -> dict[str, JSON]:
        """Answer ``params["tasks"]`` tasks of the text (0: all).

        Returns:
            ``score`` (share of right answers), ``tasks``, and as far as the tool says them
            ``low`` and ``high`` (its interval of 95 %) and ``error`` (standard error).
        """
        values = {"corpus": taking.text(task), "tasks": task.step.params["tasks"] or ""}
        done, what = taking.call(task, self.name, values, self.title), task.step.label
        shares = ("low", "high", "error")
        return {
            "score": number(done.values, "score", what) / 100,
            "tasks": int(number(done.values, "tasks", what)),
            **{name: _share(done.values, name) for name in shares},
        }

    def read(self, facts: Facts, _expectation: Expectation) -> Numbers:
        """The score and what belongs to it."""
        return facts.get(self.name) or {}

    def judge(self, measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
        """The score against its limit; nothing where nobody asked for it."""
        found = self.read(facts, expectation)
        if not found and self.name not in expectation.asked:
            return
        if not found:
            yield unmeasured(measure, expectation)
            return
        told = {name: value for name, value in found.items() if value is not None}
        check = Check(self.name, Status.PASS, _fact(found), told)
        yield held(check, found, measure.limits, expectation)

    def cell(self, found: Numbers) -> str:
        """The score in percent."""
        score = found.get("score")
        return "" if score is None else units.percent(score)


def _share(values: Mapping[str, str], name: str) -> float | None:
    percents = optional(values, name)
    return None if percents is None else percents / 100


def _fact(found: Numbers) -> str:
    fact = f"{units.percent(found['score'] or 0)} of {found['tasks']} tasks"
    low, high, error = (found.get(name) for name in ("low", "high", "error"))
    if low is not None and high is not None:
        return f"{fact} (95 % interval: {low * 100:.2f} to {high * 100:.2f} %)"
    return fact if error is None else f"{fact} ± {units.percent(error)}"


def measure_of(tasks: Tasks) -> Measure:
    """The measure of one kind of tasks, with its section, its limit and its column."""
    name = tasks.name
    return Measure(
        name=name,
        order=tasks.order,
        judge=tasks.judge,
        read=tasks.read,
        work=Work(
            tasks.run,
            tasks.title,
            (name,),
            lambda sections: {"tasks": sections[name]["tasks"] or 0},
            text=name,
        ),
        section=Section(
            name,
            f"Share of right answers to tasks of {tasks.title}.",
            (
                Option("corpus", "text", tasks.text, required=True),
                Option("tasks", "count or all", "How many tasks; without it, all."),
            ),
            describes=f"Tasks of {tasks.title}.",
        ),
        numbers=(
            Number(
                "score",
                f"{tasks.title} score",
                better="higher",
                error="error",
                unit="share",
                quality=True,
            ),
            Number("error", f"error of the {tasks.title} score"),
            Number("low", f"low end of the {tasks.title} score's 95 % interval"),
            Number("high", f"high end of the {tasks.title} score's 95 % interval"),
            Number("tasks", f"tasks of {tasks.title}"),
        ),
        limits=(
            Limit(
                f"min_{name}",
                "score",
                "percentage",
                f"Lowest share of right answers to tasks of {tasks.title}.",
                percent,
                least=True,
            ),
        ),
        columns=(Column(tasks.title, tasks.cell, _PLACES, "score"),),
        note=f"{tasks.title}: share of tasks with the right answer.",
    )
