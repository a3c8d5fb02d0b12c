"""How fast a file reads a prompt and writes, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Alarm,
    Column,
    Form,
    Measure,
    Number,
    Numbers,
    Option,
    Place,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import unmeasured
from orchestrator.toolchain.tool_results import BenchmarkFields

_WAYS = ("prompt", "generation")


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``prompt`` and ``generate`` (tokens), ``repetitions``.

    Returns:
        ``source``, and ``prompt`` and ``generation`` {ms_per_token, tokens_per_second, stddev}.
    """
    wanted = task.step.params
    values = {
        "prompt_tokens": str(wanted["prompt"]),
        "generate_tokens": str(wanted["generate"]),
        "repetitions": str(wanted["repetitions"]),
    }
    printed = taking.call(task, "bench", values, "speed").parsed
    return _from_bench(printed, taking.verb(task, "bench").results, task.step.label)


def _from_bench(parsed: JSON, fields: Mapping[Any, BenchmarkFields], what: str) -> dict[str, JSON]:
    """Speeds out of a benchmark's list of tests: the prompt's and the generation's."""
    speed: dict[str, JSON] = {"source": "bench"}
    try:
        for test in parsed:
            [name, one], *_ = [given for given in fields.items() if test[given[1].tokens]]
            speed[name] = {
                "ms_per_token": test[one.nanoseconds] / 1e6 / test[one.tokens],
                "tokens_per_second": test[one.tokens_per_second],
                "stddev": test[one.stddev],
            }
    except (KeyError, TypeError, ValueError) as error:
        raise StepError(f"{what}: the benchmark's JSON lacks {error}") from error
    return speed


def _found(facts: Facts, expectation: Expectation) -> Mapping[str, JSON]:
    """The speeds; for tool chains without a benchmark those that the smoke test printed."""
    if facts.get("speed"):
        return facts["speed"]
    smoke = facts.get("smoke") or {}
    if "speed" not in expectation.asked:
        return {}
    times = {"prompt": smoke.get("prompt_ms"), "generation": smoke.get("generate_ms")}
    return {
        name: {"ms_per_token": time, "tokens_per_second": 1000 / time, "stddev": None}
        for name, time in times.items()
        if time
    }


def _read(facts: Facts, expectation: Expectation) -> Numbers:
    found = _found(facts, expectation)
    numbers: dict[str, float | None] = {}
    for way in _WAYS:
        one = found.get(way) or {}
        numbers[f"{way}_ms"] = one.get("ms_per_token")
        numbers[f"{way}_per_second"] = one.get("tokens_per_second")
        numbers[f"{way}_stddev"] = one.get("stddev")
    return numbers


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = _found(facts, expectation)
    parts = [
        f"{name} {found[name]['ms_per_token']:.2f} ms per token "
        f"({found[name]['tokens_per_second']:.1f} tokens per second)"
        for name in _WAYS
        if name in found
    ]
    if parts:
        yield Check(measure.name, Status.PASS, ", ".join(parts), dict(found))
    else:
        yield unmeasured(measure, expectation)


def _numbers(way: str, title: str, alarm: Alarm | None) -> tuple[Number, ...]:
    return (
        Number(
            f"{way}_ms",
            f"{title}, ms per token",
            key=f"{way}_ms",
            better="lower",
            unit="ms",
            timed=True,
        ),
        Number(
            f"{way}_per_second",
            title,
            key=f"{way}_per_second",
            form="{:.1f}",
            better="higher",
            error=f"{way}_stddev",
            unit="tokens/s",
            timed=True,
            alarm=alarm,
        ),
        Number(f"{way}_stddev", f"deviation of the {title}", timed=True),
    )


def _both(way: str) -> Column:
    def cell(found: Numbers) -> str:
        time, rate = found.get(f"{way}_ms"), found.get(f"{way}_per_second")
        return "" if time is None or rate is None else f"{time:.2f} ({rate:.1f})"

    return Column(f"{way.capitalize()}, ms/token (tokens/s)", cell)


def _rate(way: str, title: str, form: Form, place: Place) -> Column:
    def cell(found: Numbers) -> str:
        rate = found.get(f"{way}_per_second")
        return "" if rate is None else form(rate)

    return Column(title, cell, (place,), f"{way}_per_second")


def _three_digits(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 99.95 else f"{rate:.1f}"


_ALARM = Alarm(
    "speed",
    0.2,
    "Largest loss of speed, by the medians of several nights on one machine.",
)

MEASURE = Measure(
    name="speed",
    order=70,
    judge=_judge,
    read=_read,
    found_with="smoke",
    work=Work(_run, "speed", ("bench",), lambda sections: dict(sections["speed"])),
    section=Section(
        "speed",
        "Speed of prompt and generation; false: not measured.",
        (
            Option("prompt", "count", "Tokens of the prompt.", 512),
            Option("generate", "count", "Tokens to generate.", 128),
            Option("repetitions", "count", "How often it is measured.", 3),
        ),
        describes="Speed of reading a prompt and of writing.",
        in_digest=True,
        default=True,
    ),
    numbers=(
        *_numbers("prompt", "prompt speed", _ALARM),
        *_numbers("generation", "generation speed", _ALARM),
    ),
    columns=(
        _both("prompt"),
        _both("generation"),
        _rate("prompt", "Prompt t/s", "{:.0f}".format, "terminal"),
        _rate("generation", "Gen. t/s", "{:.0f}".format, "terminal"),
        _rate("prompt", "Prompt, tokens/s", _three_digits, "site"),
        _rate("generation", "Generation, tokens/s", _three_digits, "site"),
        _rate("generation", "Gen. t/s", "{:.1f}".format, "history"),
    ),
)
