"""Perplexity on a text, and its increase over the unquantized file's on the same pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Alarm,
    Column,
    Limit,
    Measure,
    Number,
    Numbers,
    Option,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, unmeasured
from orchestrator.toolchain.call_verb import Result
from orchestrator.toolchain.output_numbers import number, optional
from orchestrator.toolchain.saved_logits import full_facts

# With fewer pieces of text a perplexity says little about another text.
_FEW = 10


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``context``, ``chunks`` (-1: all). With ``inputs["logits"]`` the file is the
    full one itself, and its perplexity is the one that was found with its logits.

    Returns:
        ``value``, ``error``, ``context``, ``wanted_chunks``, ``chunks``.
    """
    wanted = task.step.params
    if "logits" in task.inputs:
        saved = full_facts(task.inputs["logits"])
        return {
            "value": saved["perplexity"],
            "error": saved["perplexity_error"],
            "chunks": saved["chunks"],
            **setting(wanted),
        }
    values = {
        "corpus": taking.text(task),
        "context": str(wanted["context"]),
        "chunks": str(wanted["chunks"]),
        "save": "",
    }
    return printed(taking.call(task, "logits", values, "perplexity"), task)


def printed(done: Result, task: Task) -> dict[str, JSON]:
    """The perplexity that a verb printed.

    Raises:
        StepError: It printed none that is a number.
    """
    chunks = optional(done.values, "chunks")
    return {
        "value": number(done.values, "perplexity", task.step.label),
        "error": optional(done.values, "perplexity_error"),
        "chunks": int(chunks) if chunks else None,
        **setting(task.step.params),
    }


def setting(wanted: Mapping[str, JSON]) -> dict[str, JSON]:
    """What was asked for, for those who compare perplexities."""
    return {"context": wanted["context"], "wanted_chunks": wanted["chunks"]}


def asked(sections: Mapping[str, JSON]) -> dict[str, JSON]:
    """Context and pieces, -1 for all; the text itself is an input."""
    wanted = sections["perplexity"]
    return {"context": wanted["context"], "chunks": wanted["chunks"] or -1}


def found_in(facts: Facts) -> Mapping[str, JSON]:
    """The perplexity of a file, found by itself or with its divergence; empty without one."""
    own = facts.get("perplexity") or (facts.get("kld") or {}).get("perplexity")
    return own or {}


def _read(facts: Facts, expectation: Expectation) -> Numbers:
    found, full = found_in(facts), found_in(expectation.full)
    if not found:
        return {}
    same = full and found["chunks"] == full["chunks"] and found["context"] == full["context"]
    increase = found["value"] / full["value"] - 1 if same else None
    # The error of the paired difference; the mean of upstream's pairs is taken against saved
    # logits, which are clamped, so only its error is of use.
    paired = (facts.get("kld") or {}).get("log_ratio_error") if increase is not None else None
    error = paired * (1 + increase) if paired is not None and increase is not None else None
    return {
        "value": found["value"],
        "error": found["error"],
        "chunks": found["chunks"],
        "increase": increase,
        "increase_error": error,
    }


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = _read(facts, expectation)
    if not found:
        yield unmeasured(measure, expectation)
        return
    told = {
        "perplexity": found["value"],
        "error": found["error"],
        "increase": found["increase"],
        "increase_error": found["increase_error"],
    }
    check = Check(measure.name, Status.PASS, _fact(found, expectation), told)
    yield held(check, found, measure.limits, expectation)


def _fact(found: Numbers, expectation: Expectation) -> str:
    fact = _value(found)
    increase, error = found["increase"], found["increase_error"]
    if increase is not None:
        paired = f" ± {units.percent(error)}" if error is not None else ""
        fact += f", {units.percent(increase, sign=True)}{paired} against {expectation.full_name}"
        # Two standard errors: what lies within comes by chance in 95 of 100 texts.
        if error is not None and abs(increase) <= 2 * error:
            fact += " (no difference seen)"
    elif "max_ppl_increase" in expectation.limits:
        fact += f", {expectation.full_name}'s is not known"
    chunks = found["chunks"]
    if chunks is not None and chunks < _FEW:
        fact += f", on only {chunks} pieces of text"
    return fact


def _value(found: Numbers) -> str:
    if found.get("value") is None:
        return ""
    error = found["error"]
    return f"{found['value']:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _plain(found: Numbers) -> str:
    value = found.get("value")
    return "" if value is None else f"{value:.4f}"


def _increase(found: Numbers) -> str:
    increase = found.get("increase")
    return "" if increase is None else units.percent(increase, sign=True)


MEASURE = Measure(
    name="perplexity",
    order=50,
    judge=_judge,
    read=_read,
    work=Work(_run, "perplexity", ("logits",), asked, text="perplexity", covered_by="kld"),
    section=Section(
        "perplexity",
        "Perplexity on a text.",
        (
            Option("corpus", "text", "The text: a path or a source.", required=True),
            Option("context", "count", "Tokens in each piece.", 512),
            Option(
                "chunks",
                "count or all",
                "How many pieces of the text are used; without it, all.",
            ),
        ),
        describes="Perplexity on a text.",
        in_digest=True,
    ),
    numbers=(
        Number(
            "value",
            "perplexity",
            key="perplexity",
            form="{:.4f}",
            better="lower",
            error="error",
            alarm=Alarm("perplexity", 0.01, "Largest change of the perplexity, either way."),
            tolerance=0.01,
            quality=True,
        ),
        Number("error", "error of the perplexity", key="perplexity_error"),
        Number("chunks", "pieces of text"),
        Number(
            "increase",
            "increase of the perplexity",
            key="increase",
            better="lower",
            error="increase_error",
        ),
        Number("increase_error", "error of the increase", key="increase_error"),
    ),
    limits=(
        Limit(
            "max_ppl",
            "value",
            "number",
            "Highest perplexity.",
            lambda most: f"{most:g}",
            in_digest=True,
        ),
        Limit(
            "max_ppl_increase",
            "increase",
            "percentage",
            "Highest increase of the perplexity over the F16's, such as 8%.",
            lambda most: f"{most * 100:+g} %",
            in_digest=True,
        ),
    ),
    columns=(
        Column("Perplexity", _value),
        Column("Perplexity", _plain, ("terminal", "card")),
        Column("Δ to {full}", _increase, ("report", "card")),
        Column("Δ", _increase, ("terminal",)),
    ),
)
