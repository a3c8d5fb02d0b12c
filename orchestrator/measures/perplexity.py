"""Perplexity on a text, and its increase over the unquantized file's on the same pieces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import differences, taking
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
# How far the perplexity may be off the one that a recipe states: other programs and number
# formats move it by 1 to 2 %, the smallest damage in docs/explanation/damage.md by 17 %.
_OFF = 0.05
# About what one gets by knowing only how often each token occurs, whatever stands before it.
_UNKNOWING = 1000


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``context``, ``chunks`` (-1: all). With ``inputs["logits"]`` the file is the
    full one itself, and its perplexity is the one that was found with its logits.

    Returns:
        ``value``, ``error``, ``context``, ``wanted_chunks``, ``chunks``; with saved logits also
        ``vocabulary`` (tokens).
    """
    wanted = task.step.params
    if "logits" in task.inputs:
        saved = full_facts(task.inputs["logits"])
        return {
            "value": saved["perplexity"],
            "error": saved["perplexity_error"],
            "chunks": saved["chunks"],
            "vocabulary": saved.get("vocabulary"),
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
    if expectation.strict:
        yield from _against_stated(found, expectation)
        yield from _against_earlier(found, expectation)
        yield from _against_unknowing(found_in(facts))


def _stated(expectation: Expectation) -> float | None:
    """What the recipe says that the unquantized file's perplexity is."""
    asked = expectation.asked.get("perplexity") or {}
    stated: float | None = asked.get("expected") if expectation.is_full else None
    return stated


def _against_stated(found: Numbers, expectation: Expectation) -> Iterator[Check]:
    value, stated = found["value"], _stated(expectation)
    if value is None or stated is None:
        return
    off = value / stated - 1
    kept = abs(off) <= _OFF
    bound = "" if kept else f", and at most {_OFF * 100:g} % off is allowed"
    message = f"perplexity {value:.4f}, {off * 100:+.2f} % off the expected {stated:g}{bound}"
    told = {"found": value, "expected": stated}
    yield Check("perplexity_expected", Status.PASS if kept else Status.FAIL, message, told)


def _against_earlier(found: Numbers, expectation: Expectation) -> Iterator[Check]:
    """A warning when it is worse than before; what the recipe states is better known."""
    value, before = found["value"], expectation.earlier
    if value is None or before is None or _stated(expectation) is not None:
        return
    error = before.error if before.error is not None else before.perplexity / 100
    if value <= before.perplexity + error:
        return
    message = (
        f"perplexity {value:.4f}, but {before.perplexity:.4f} ± {error:.4f} in the run of "
        f"{before.when}, whose file was made from other weights or in another way; if this one "
        "is right, state it as 'verify.perplexity.expected'"
    )
    told = {"found": value, "earlier": before.perplexity}
    yield Check("perplexity_earlier", Status.WARN, message, told)


def _against_unknowing(found: Mapping[str, JSON]) -> Iterator[Check]:
    """A warning about what no sound model of language has on a text of its language."""
    bound = min(_UNKNOWING, found.get("vocabulary") or _UNKNOWING)
    if found["value"] <= bound:
        return
    known = "knows only how often each token occurs" if bound == _UNKNOWING else "guesses blindly"
    message = (
        f"perplexity {found['value']:.4f}, beyond {bound}: worse than a model that {known}; it is "
        "damaged, or the text is in no language that it has learned"
    )
    yield Check("perplexity_bound", Status.WARN, message, {"bound": bound})


def _fact(found: Numbers, expectation: Expectation) -> str:
    fact = _value(found)
    increase, error = found["increase"], found["increase_error"]
    if increase is not None:
        paired = f" ± {units.percent(error)}" if error is not None else ""
        fact += f", {units.percent(increase, sign=True)}{paired} against {expectation.full_name}"
        if error is not None and abs(increase) <= differences.ERRORS * error:
            fact += f" ({differences.NONE_SEEN})"
    elif "max_ppl_increase" in expectation.limits:
        fact += f", {expectation.full_name}'s is not known"
    chunks = found["chunks"]
    if chunks is not None and chunks < _FEW:
        fact += f", on only {chunks} pieces of text"
    return fact


def _value(found: Numbers) -> str:
    if found.get("value") is None:
        return ""
    error = found.get("error")
    return f"{found['value']:.4f}" + ("" if error is None else f" ± {error:.4f}")


def _plain(found: Numbers) -> str:
    value = found.get("value")
    return "" if value is None else f"{value:.4f}"


def _increase(found: Numbers) -> str:
    increase = found.get("increase")
    return "" if increase is None else units.percent(increase, sign=True)


def _increase_with_error(found: Numbers) -> str:
    error = found.get("increase_error")
    return _increase(found) + ("" if error is None else f" ± {units.percent(error)}")


MEASURE = Measure(
    name="perplexity",
    order=50,
    judge=_judge,
    read=_read,
    work=Work(_run, "perplexity", ("logits",), asked, text="perplexity", covered_by="kld"),
    by_text=True,
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
            Option(
                "expected",
                "number",
                "The unquantized file's perplexity as it is known from elsewhere; more than 5 % "
                "off is a failure.",
                in_digest=False,
            ),
            Option(
                "more",
                "texts",
                "Further texts by name, each measured in the same way.",
                in_digest=False,
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
            paired="increase",
        ),
        Number("error", "error of the perplexity", key="perplexity_error"),
        Number("chunks", "pieces of text"),
        Number(
            "increase",
            "increase of the perplexity",
            key="increase",
            better="lower",
            error="increase_error",
            unit="share",
            relative=True,
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
            one_text=True,
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
        Column("Perplexity", _value, ("report", "site", "card"), "value"),
        Column("Perplexity", _plain, ("terminal", "history")),
        Column("Δ to {full}", _increase_with_error, ("report", "card")),
        Column("Change to full", _increase, ("site",), "increase"),
        Column("Δ", _increase, ("terminal",)),
    ),
    note="Perplexity: lower is better.",
)
