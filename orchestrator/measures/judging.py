"""Checks that several measures make in the same way; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.base.step_values import JSON
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Limit, Measure, Numbers
from orchestrator.measures.expectation import Expectation

OFF = "not held against limits: they only hold for the real weights"
_NAMED = 3


def held(
    check: Check,
    found: Numbers,
    limits: Sequence[Limit],
    expectation: Expectation,
) -> Check:
    """A check that holds a fact against its limits; without limits it is only told.

    Args:
        check: The fact in words, and the numbers that it carries.
        found: The measure's numbers by name; a limit on one that is not known is not kept.
        limits: Those that may be set.
        expectation: Says which are.
    """
    limits = [one for one in limits if one.key in expectation.limits]
    name, fact = check.name, check.message
    told = {**check.numbers, **{one.key: expectation.limits[one.key] for one in limits}}
    if limits and not expectation.strict:
        return Check(name, Status.SKIP, f"{fact}; {OFF}", told)
    broken = [one for one in limits if not _kept(one, found, expectation.limits[one.key])]
    status = Status.FAIL if broken else Status.PASS
    bounds = " and ".join(_bound(one, expectation) for one in broken or limits)
    verb = "but" if broken else "and"
    message = f"{fact}, {verb} {bounds} is allowed" if bounds else fact
    return Check(name, status, message, told)


def _kept(limit: Limit, found: Numbers, bound: float) -> bool:
    value = found.get(limit.number)
    if value is None:
        return False
    return value >= bound if limit.least else value <= bound


def _bound(limit: Limit, expectation: Expectation) -> str:
    least = "at least" if limit.least else "at most"
    return f"{least} {limit.says(expectation.limits[limit.key])}"


def unmeasured(measure: Measure, expectation: Expectation, *, limited: bool = False) -> Check:
    """The check of a measure that was not taken: a limit on it must not pass silently.

    ``limited`` says that the recipe holds it against something that is no limit.
    """
    name = measure.name
    limited = limited or any(one.key in expectation.limits for one in measure.limits)
    if name in expectation.failed:
        return Check(name, Status.FAIL, "it was asked for, and measuring it failed")
    if name in expectation.lacking:
        status = Status.WARN if limited and expectation.strict else Status.SKIP
        return Check(name, status, "this tool chain cannot measure it")
    if limited and expectation.strict:
        return Check(name, Status.FAIL, "the recipe limits it, but it was not measured")
    return Check(name, Status.SKIP, "not asked for")


def some(items: Sequence[JSON]) -> str:
    """The first of several names."""
    names = [item["name"] if isinstance(item, Mapping) else str(item) for item in items]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def percent(share: float) -> str:
    """A share of 1 as a bound in percent."""
    return f"{share * 100:g} %"
