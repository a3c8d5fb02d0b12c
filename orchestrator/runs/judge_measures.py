"""Measures of one file against what its recipe expects, as checks; pure.

Every check says in one sentence what was found and what it was held against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.base import units
from orchestrator.base.step_values import JSON
from orchestrator.measures import further_texts, registry
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Number, Numbers
from orchestrator.measures.expectation import Expectation, Facts, Reference
from orchestrator.measures.judging import OFF

__all__ = ["Expectation", "Reference", "judge", "numbers", "verdict"]


def judge(facts: Facts, expectation: Expectation) -> tuple[Check, ...]:
    """Every check of one file, in the order of a report."""
    checks = [
        check
        for measure in registry.measures(further_texts.asked(expectation.asked))
        if measure.name in facts or not expectation.is_part
        for check in measure.judge(measure, facts, expectation)
    ]
    constant = values(expectation.constant, strict=expectation.strict)
    found = (*_configs(expectation), *_references(facts, expectation))
    return (*checks, *constant, _sha256(expectation), *found)


def values(constant: Sequence[str], *, strict: bool) -> tuple[Check, ...]:
    """A failure for matrices of one value, in a file that was made where they were accepted.

    Where they are not, the step that makes the file fails; but the file may be there already.
    """
    if not constant or not strict:
        return ()
    message = (
        f"{units.plural(len(constant), 'matrix', 'matrices')} of one value, such as "
        f"{constant[0]}, which only runs with --no-limits accept"
    )
    return (Check("values", Status.FAIL, message, {"tensors": list(constant)}),)


def numbers(facts: Facts, expectation: Expectation) -> dict[str, Numbers]:
    """Every number of one file by measure; measures without any are left out."""
    measures = registry.measures(further_texts.asked(expectation.asked))
    found = {one.name: one.read(facts, expectation) for one in measures}
    return {name: values for name, values in found.items() if values}


def verdict(checks: Iterable[Check]) -> Status:
    """The worst status of several checks; skipped ones do not count."""
    return worst(check.status for check in checks)


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of several; skipped ones do not count."""
    found = set(statuses)
    order = (Status.FAIL, Status.WARN, Status.PASS)
    return next((status for status in order if status in found), Status.SKIP)


def _sha256(expectation: Expectation) -> Check:
    have, want = expectation.sha256, expectation.expected_sha256.lower()
    told = {"sha256": have}
    if not want:
        return Check("sha256", Status.SKIP, "the recipe states none", told)
    if not expectation.strict:
        return Check("sha256", Status.SKIP, f"{have}; {OFF}", told)
    if have == want:
        return Check("sha256", Status.PASS, f"{have}, as the recipe states", told)
    return Check("sha256", Status.FAIL, f"{have or 'unknown'}, but the recipe states {want}", told)


def _configs(expectation: Expectation) -> Iterator[Check]:
    """What the file says otherwise than its source's configs."""
    for one in expectation.contradictions if expectation.strict else ():
        yield Check("configs", Status.FAIL if one["wrong"] else Status.WARN, one["said"])


def _references(facts: Facts, expectation: Expectation) -> Iterator[Check]:
    """Published numbers beside those of the file, where both are known."""
    reference = expectation.reference
    if reference is None:
        return
    found = numbers(facts, expectation)
    for measure, number in registry.numbers():
        value = found.get(measure.name, {}).get(number.name)
        if number.tolerance is not None and value is not None and number.key in reference.numbers:
            setting = facts.get(measure.name, {})
            yield _reference(number, value, setting, reference, strict=expectation.strict)


def _reference(
    number: Number,
    found: float,
    setting: Mapping[str, JSON],
    reference: Reference,
    *,
    strict: bool,
) -> Check:
    want = reference.numbers[number.key]
    off = found / want - 1
    message = f"{number.title} {found:.6g}, published {want:.6g} ({units.percent(off, sign=True)})"
    told = {"found": found, "published": want, "source": reference.source}
    check = f"reference_{number.key}"
    if not strict:
        return Check(check, Status.SKIP, f"{message}; {OFF}", told)
    if not _same_setting(setting, reference):
        return Check(check, Status.SKIP, f"{message}, measured on another text or context", told)
    assert number.tolerance is not None
    if abs(off) <= number.tolerance:
        return Check(check, Status.PASS, message, told)
    said = f"{message}, more than {number.tolerance * 100:g} % off"
    return Check(check, Status.WARN, said, told)


def _same_setting(setting: Mapping[str, JSON], reference: Reference) -> bool:
    """Whether a published number was measured as ours: same context, same pieces of a text."""
    if "context" not in setting:
        return True
    chunks = setting.get("wanted_chunks")
    wanted = None if chunks is None or chunks < 0 else chunks
    return reference.context == setting["context"] and reference.chunks == wanted
