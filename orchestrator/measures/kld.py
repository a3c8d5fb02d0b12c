"""How far a file's predictions diverge from the unquantized one's, on the perplexity's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import perplexity, taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Alarm,
    Column,
    Form,
    Limit,
    Measure,
    Number,
    Numbers,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, percent, unmeasured
from orchestrator.toolchain.artifact_file_names import LOGITS
from orchestrator.toolchain.output_numbers import number, optional
from orchestrator.toolchain.saved_logits import full_facts

# Values of the verb by the numbers that they are; what one tool lacks is None.
_PRINTED = {
    "mean_error": "mean_kld_error",
    "max": "max_kld",
    "p99": "kld_99",
    "median": "median_kld",
    "log_ratio_error": "log_ratio_error",
}
_SHARES = {
    "same_top_error": "same_top_error",
    "mean_change": "mean_change",
    "mean_change_error": "mean_change_error",
    "rms_change": "rms_change",
    "rms_change_error": "rms_change_error",
}


def _run(task: Task) -> dict[str, JSON]:
    """``inputs["logits"]`` are the full file's; ``params`` as the perplexity's.

    Returns:
        ``mean``, ``max``, ``p99``, ``median`` (nats), ``same_top``, ``mean_change`` and
        ``rms_change`` of the right token's probability (shares of 1), some with ``_error``;
        ``log_ratio_error``: of the paired logarithm of perplexities; ``perplexity`` as
        that measure's facts.
    """
    logits, what = task.inputs["logits"], task.step.label
    _expect_enough(full_facts(logits), task)
    values = {
        "context": str(task.step.params["context"]),
        "chunks": str(task.step.params["chunks"]),
        "logits": borrow(logits / LOGITS, task.scratch / LOGITS).name,
    }
    done = taking.call(task, "divergence", values, "divergence")
    return {
        "mean": number(done.values, "mean_kld", what),
        "same_top": number(done.values, "same_top", what) / 100,
        **{name: optional(done.values, value) for name, value in _PRINTED.items()},
        **{name: _share(done.values, value) for name, value in _SHARES.items()},
        "perplexity": perplexity.printed(done, task),
    }


def _share(values: Mapping[str, str], name: str) -> float | None:
    percents = optional(values, name)
    return None if percents is None else percents / 100


def _expect_enough(facts: Mapping[str, JSON], task: Task) -> None:
    """Statistics need so many tokens, or the tool exits 0 without any."""
    layout = taking.verb(task, "logits").saved
    if layout is None:
        return
    tokens = layout.scored_tokens(context=int(facts["context"]), chunks=facts["chunks"] or 0)
    if tokens < layout.enough:
        raise StepError(
            f"{task.step.label}: {tokens} tokens are too few to say how far a file diverges, at "
            f"least {layout.enough} are needed",
            "Raise 'chunks' or 'context' of 'verify: perplexity:', or say 'kld: false'.",
        )


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    found = facts.get("kld") or {}
    return {one.name: found.get(one.name) for one in MEASURE.numbers} if found else {}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = _read(facts, expectation)
    if not found:
        yield unmeasured(measure, expectation)
        return
    same = found["same_top"] or 0.0
    fact = f"mean {found['mean']:.6f} from {expectation.full_name}, same top {units.percent(same)}"
    told = {name: value for name, value in found.items() if value is not None}
    check = Check(measure.name, Status.PASS, fact, told)
    yield held(check, found, measure.limits, expectation)


def _cell(name: str, form: Form) -> Callable[[Numbers], str]:
    def cell(found: Numbers) -> str:
        value = found.get(name)
        return "" if value is None else form(value)

    return cell


def _with_error(name: str, form: Form) -> Callable[[Numbers], str]:
    plain, error = _cell(name, form), _cell(f"{name}_error", form)
    return lambda found: " ± ".join(filter(None, (plain(found), error(found))))


MEASURE = Measure(
    name="kld",
    order=60,
    judge=_judge,
    read=_read,
    work=Work(_run, "divergence", ("divergence", "logits"), perplexity.asked, compares=True),
    by_text=True,
    section=Section(
        "kld",
        "Kullback-Leibler divergence from the F16, on that text.",
        needs="perplexity",
        why="it is measured on the same text",
        in_digest=True,
    ),
    numbers=(
        Number(
            "mean",
            "mean KL divergence",
            key="kld",
            form="{:.6f}",
            better="lower",
            error="mean_error",
            alarm=Alarm(
                "kld",
                0.1,
                "Largest change of the mean divergence from the F16, either way.",
                # Divergences are printed to the sixth digit, and a tenth of next to nothing
                # is nothing.
                floor=0.0005,
            ),
            quality=True,
        ),
        Number("mean_error", "error of the mean KL divergence", key="kld_error"),
        Number("p99", "99 % KL divergence", key="kld_p99", form="{:.6f}", better="lower"),
        Number("max", "maximum KL divergence", key="kld_max", form="{:.6f}", better="lower"),
        Number("median", "median KL divergence", key="kld_median", form="{:.6f}", better="lower"),
        Number(
            "same_top",
            "same top",
            key="same_top",
            better="higher",
            error="same_top_error",
            unit="share",
        ),
        Number("same_top_error", "error of same top", key="same_top_error"),
        Number("mean_change", "mean change of probability", error="mean_change_error"),
        Number("mean_change_error", "error of the mean change of probability"),
        Number(
            "rms_change",
            "RMS change of probability",
            key="rms_change",
            better="lower",
            error="rms_change_error",
        ),
        Number("rms_change_error", "error of the RMS change of probability"),
    ),
    limits=(
        Limit(
            "max_mean_kld",
            "mean",
            "number",
            "Highest mean Kullback-Leibler divergence from the F16.",
            lambda most: f"a mean of {most:g}",
            in_digest=True,
        ),
        Limit(
            "min_same_top",
            "same_top",
            "percentage",
            "Lowest share of tokens whose most likely guess is the F16's.",
            lambda least: f"{percent(least)} same top",
            least=True,
            in_digest=True,
        ),
        Limit(
            "max_p99_kld",
            "p99",
            "number",
            "Highest divergence of 99 % of all tokens.",
            lambda most: f"{most:g} for 99 % of all tokens",
        ),
        Limit(
            "max_kld",
            "max",
            "number",
            "Highest divergence of any token.",
            lambda most: f"{most:g} for any token",
        ),
        Limit(
            "max_rms_change",
            "rms_change",
            "percentage",
            "Highest RMS change of the right token's probability, in percentage points.",
            lambda most: f"an RMS change of {percent(most)}",
        ),
    ),
    columns=(
        Column("KLD, mean", _with_error("mean", "{:.5f}".format), ("report", "card")),
        Column("KLD, mean", _cell("mean", "{:.5f}".format), ("site",), "mean"),
        Column("KLD", _cell("mean", "{:.5f}".format), ("terminal", "history")),
        Column("KLD, 99 %", _cell("p99", "{:.5f}".format)),
        Column("KLD, maximum", _cell("max", "{:.5f}".format)),
        Column("Same top", _with_error("same_top", units.percent), ("report", "card")),
        Column("Same top", _cell("same_top", units.percent), ("site",), "same_top"),
        Column("RMS Δp", _with_error("rms_change", units.percent)),
    ),
    note="KLD is the mean Kullback-Leibler divergence from {full} in nats per token: 0 would be "
    "the same model. Same top is the share of tokens that both think most likely.",
)
