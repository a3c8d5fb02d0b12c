"""The converted file's predictions beside those that transformers makes of the original."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import ORIGINAL, Measure, Number, Numbers, Section, Work
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import unmeasured

# Nats. Converted files of 16-bit floats have less than a millionth; docs/explanation/damage.md
# has what damaged ones have.
MOST = 0.01


def _run(task: Task) -> dict[str, JSON]:
    """``inputs["original"]`` is the folder that the file was converted from.

    Returns:
        ``tokens`` that were compared; ``mean`` and ``max`` KL divergence (nats), ``same_top``
        and ``largest_change`` of a probability (shares of 1); ``plain``, ``rare`` and
        ``added``: where the tokens of plain sentences, of other text, and those put around a
        text differ, as ``reference`` and ``file``, or None.

    Raises:
        StepError: transformers cannot load the model, or a prediction is no number.
    """
    values = {"source": str(task.inputs[ORIGINAL])}
    found: dict[str, JSON] = taking.call(
        task, "reference_logits", values, "reference logits"
    ).parsed
    return found


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    found = facts.get(MEASURE.name) or {}
    return {one.name: found.get(one.name) for one in MEASURE.numbers} if found else {}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = facts.get(measure.name)
    if found:
        yield _predictions(measure, found)
        yield _tokens(found)
    elif expectation.is_full and measure.name in expectation.failed | expectation.lacking:
        yield unmeasured(measure, expectation)


def _predictions(measure: Measure, found: Mapping[str, JSON]) -> Check:
    told = {name: found[name] for name in ("mean", "max", "same_top", "largest_change", "tokens")}
    fact = (
        f"mean KL divergence {found['mean']:.2g} from transformers' own predictions on "
        f"{found['tokens']} tokens, same top {found['same_top'] * 100:.2f} %"
    )
    if found["mean"] <= MOST:
        return Check(measure.name, Status.PASS, fact, told)
    message = f"{fact}, but at most {MOST:g} is sound: converting changed what the model computes"
    return Check(measure.name, Status.FAIL, message, told)


def _tokens(found: Mapping[str, JSON]) -> Check:
    name = "reference_tokens"
    for where, what, status in (
        ("plain", "plain text is split into other tokens", Status.FAIL),
        ("rare", "code, numbers or other scripts are split into other tokens", Status.WARN),
        ("added", "other tokens are put around a text", Status.WARN),
    ):
        if odd := found[where]:
            at = f" from {odd['text']!r} on" if "text" in odd else ""
            message = f"{what}{at}: {odd['reference']} by transformers, {odd['file']} by the file"
            return Check(name, status, message, {where: odd})
    return Check(name, Status.PASS, "text becomes the tokens that transformers makes of it")


MEASURE = Measure(
    name="reference_logits",
    order=45,
    judge=_judge,
    read=_read,
    work=Work(_run, "reference logits", ("reference_logits",), original="weights"),
    section=Section(
        "reference_logits",
        "Predictions of the converted file against those of transformers from the original.",
    ),
    numbers=(
        Number("mean", "KL divergence from transformers", form="{:.2g}", better="lower"),
        Number("same_top", "same top as transformers", better="higher"),
    ),
)
