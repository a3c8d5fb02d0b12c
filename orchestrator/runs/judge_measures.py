"""Measures of one file against what its recipe expects, as checks; pure.

Every check says in one sentence what was found and what it was held against.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.base import units
from orchestrator.base.step_values import JSON
from orchestrator.runs.check_status import Check, Status
from orchestrator.runs.expectation import Expectation, Reference

__all__ = ["Expectation", "Reference", "judge", "perplexity_increase", "verdict"]

# How far a measured number may be off a published one before that is worth a warning:
# published sizes are rounded to two digits, perplexities change a little with every kernel.
REFERENCE_TOLERANCE = {"perplexity": 0.01, "size": 0.04, "bits_per_weight": 0.005}
_NAMED = 3
_SHOWN_TEXT = 60
_OFF = "not held against limits: they only hold for the real weights"


@dataclass(frozen=True)
class _Limit:
    """One limit, what it allows in words, and whether it is kept (None: not measured)."""

    name: str
    value: float
    bound: str
    kept: bool | None


def judge(measures: Mapping[str, JSON], expectation: Expectation) -> tuple[Check, ...]:
    """Every check of one file, in the order of a report."""
    return (
        _structure(measures),
        _census(measures, expectation),
        _size(measures, expectation),
        _bits_per_weight(measures, expectation),
        *(_smoke(measures, expectation, way) for way in ("cli", "python")),
        _perplexity(measures, expectation),
        _kld(measures, expectation),
        _speed(measures),
        _sha256(expectation),
        *_references(measures, expectation),
    )


def verdict(checks: Iterable[Check]) -> Status:
    """The worst status of several checks; skipped ones do not count."""
    found = {check.status for check in checks}
    order = (Status.FAIL, Status.WARN, Status.PASS)
    return next((status for status in order if status in found), Status.SKIP)


def perplexity_increase(measures: Mapping[str, JSON], full: float | None) -> float | None:
    """Relative increase over the full file's perplexity: 0.08 is 8 %; None if not known.

    The base of the same pass over saved logits wins over ``full``.
    """
    perplexity = measures.get("perplexity")
    if not perplexity:
        return None
    base = perplexity["base"] or full
    return perplexity["value"] / base - 1 if base else None


def _structure(measures: Mapping[str, JSON]) -> Check:
    structure = measures["structure"]
    problems = [
        f"{len(structure[kind])} tensors {words} ({_some(structure[kind])})"
        for kind, words in (("missing", "missing"), ("extra", "too many"), ("reshaped", "reshaped"))
        if structure.get(kind)
    ]
    count = measures["tensors"]
    numbers = {"tensors": count, "version": structure["version"]}
    if problems:
        return Check("structure", Status.FAIL, "; ".join(problems), numbers)
    compared = ", named and shaped as in the full file" if structure["compared"] else ""
    message = f"{count} tensors, all inside the file{compared}"
    return Check("structure", Status.PASS, message, numbers)


def _some(items: Sequence[JSON]) -> str:
    names = [item["name"] if isinstance(item, Mapping) else str(item) for item in items]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _census(measures: Mapping[str, JSON], expectation: Expectation) -> Check:
    census: Mapping[str, int] = measures["census"]
    shown = ", ".join(f"{count} {name}" for name, count in census.items())
    count, which = _fallbacks(census, expectation)
    numbers = {"census": dict(census), "fallbacks": count}
    if not count:
        return Check("census", Status.PASS, shown, numbers)
    message = f"{count} of {measures['tensors']} tensors fell back to other types ({which})"
    if expectation.allow_fallback:
        return Check("census", Status.WARN, f"{message}, as accepted: {shown}", numbers)
    hint = "accept that with 'allow_fallback: true'"
    return Check("census", Status.FAIL, f"{message}; {hint}", numbers)


def _fallbacks(census: Mapping[str, int], expectation: Expectation) -> tuple[int, str]:
    """How many tensors fell back: as the quantizer said, or as the census shows."""
    if expectation.fallbacks:
        named = [f"{one['tensor']} to {one['got']}" for one in expectation.fallbacks]
        return len(named), _some(named)
    if not expectation.mix:
        return 0, ""
    known = {name.upper() for name in expectation.mix} | {"F32", "F16", "BF16"}
    strange = {name: count for name, count in census.items() if name.upper() not in known}
    return sum(strange.values()), ", ".join(strange)


def _held(
    name: str,
    fact: str,
    numbers: Mapping[str, JSON],
    limits: Sequence[_Limit],
    expectation: Expectation,
) -> Check:
    """A fact and its limits as one check; without limits it is only told."""
    numbers = {**numbers, **{limit.name: limit.value for limit in limits}}
    if limits and not expectation.strict:
        return Check(name, Status.SKIP, f"{fact}; {_OFF}", numbers)
    status = Status.PASS
    if any(not limit.kept for limit in limits):
        status = Status.FAIL
        limits = [limit for limit in limits if not limit.kept]
    bounds = " and ".join(limit.bound for limit in limits)
    verb = "but" if status is Status.FAIL else "and"
    message = f"{fact}, {verb} {bounds} is allowed" if bounds else fact
    return Check(name, status, message, numbers)


def _most(
    limits: Mapping[str, float], name: str, found: float | None, form: Callable[[float], str]
) -> list[_Limit]:
    """The limit of this name as an upper bound, if it is set."""
    if name not in limits:
        return []
    most = limits[name]
    kept = None if found is None else found <= most
    return [_Limit(name, most, f"at most {form(most)}", kept)]


def _size(measures: Mapping[str, JSON], expectation: Expectation) -> Check:
    size = measures["size"]
    limits = _most(expectation.limits, "max_size", size, lambda most: f"{most:.0f} bytes")
    fact = f"{size} bytes ({units.size(size)})"
    return _held("size", fact, {"size": size}, limits, expectation)


def _bits_per_weight(measures: Mapping[str, JSON], expectation: Expectation) -> Check:
    found = measures["bits_per_weight"]
    limits = _most(expectation.limits, "max_bits_per_weight", found, lambda most: f"{most:g}")
    fact = f"{found:.2f} bits per weight"
    return _held("bits_per_weight", fact, {"bits_per_weight": found}, limits, expectation)


def _unmeasured(name: str, verb: str, measures: Mapping[str, JSON], limited: bool) -> Check:
    """The check of something that was not measured: a limit on it must not pass silently."""
    if verb in measures["unavailable"]:
        status = Status.WARN if limited else Status.SKIP
        return Check(name, status, "this tool chain cannot measure it")
    if limited:
        return Check(name, Status.FAIL, "the recipe limits it, but it was not measured")
    return Check(name, Status.SKIP, "not asked for")


def _smoke(measures: Mapping[str, JSON], expectation: Expectation, way: str) -> Check:
    name = "smoke" if way == "cli" else "smoke_python"
    texts = measures["smoke"]
    if texts is None or texts[way] is None:
        verb = "complete" if way == "cli" else "complete_python"
        return _unmeasured(name, verb, measures, bool(texts is None and expectation.smoke))
    text = " ".join(texts[way].split())
    shown = repr(text if len(text) <= _SHOWN_TEXT else text[:_SHOWN_TEXT] + "...")
    numbers = {"text": texts[way]}
    if not expectation.strict:
        return Check(name, Status.SKIP, f"wrote {shown}; {_OFF}", numbers)
    if not text:
        return Check(name, Status.FAIL, "the model wrote nothing", numbers)
    if re.search(expectation.smoke, texts[way]):
        return Check(name, Status.PASS, f"wrote {shown}", numbers)
    message = f"wrote {shown}, in which nothing matches {expectation.smoke!r}"
    return Check(name, Status.FAIL, message, numbers)


def _perplexity(measures: Mapping[str, JSON], expectation: Expectation) -> Check:
    limits, found = expectation.limits, measures["perplexity"]
    if found is None:
        limited = expectation.strict and bool({"max_ppl", "max_ppl_increase"} & set(limits))
        return _unmeasured("perplexity", "logits", measures, limited)
    value = found["value"]
    increase = perplexity_increase(measures, expectation.full_perplexity)
    error = f" ± {found['error']:.4f}" if found["error"] is not None else ""
    fact = f"{value:.4f}{error}"
    if increase is not None:
        fact += f", {increase * 100:+.2f} % against {expectation.full_name}"
    elif "max_ppl_increase" in limits:
        fact += f", {expectation.full_name}'s is not known"
    held = _most(limits, "max_ppl", value, lambda most: f"{most:g}")
    held += _most(limits, "max_ppl_increase", increase, lambda most: f"{most * 100:+g} %")
    numbers = {"perplexity": value, "error": found["error"], "increase": increase}
    return _held("perplexity", fact, numbers, held, expectation)


def _kld(measures: Mapping[str, JSON], expectation: Expectation) -> Check:
    limits, found = expectation.limits, measures["kld"]
    if found is None:
        limited = expectation.strict and bool({"max_mean_kld", "min_same_top"} & set(limits))
        return _unmeasured("kld", "divergence", measures, limited)
    same = found["same_top"]
    fact = f"mean {found['mean']:.6f} from {expectation.full_name}, same top {same * 100:.2f} %"
    held = _most(limits, "max_mean_kld", found["mean"], lambda most: f"a mean of {most:g}")
    if "min_same_top" in limits:
        least = limits["min_same_top"]
        bound = f"at least {least * 100:g} % same top"
        held.append(_Limit("min_same_top", least, bound, same >= least))
    return _held("kld", fact, dict(found), held, expectation)


def _speed(measures: Mapping[str, JSON]) -> Check:
    found = measures["speed"]
    parts = [
        f"{name} {found[name]['ms_per_token']:.2f} ms per token "
        f"({found[name]['tokens_per_second']:.1f} tokens per second)"
        for name in ("prompt", "generation")
        if found and name in found
    ]
    if not parts:
        return _unmeasured("speed", "bench", measures, False)
    return Check("speed", Status.PASS, ", ".join(parts), dict(found))


def _sha256(expectation: Expectation) -> Check:
    have, want = expectation.sha256, expectation.expected_sha256.lower()
    numbers = {"sha256": have}
    if not want:
        return Check("sha256", Status.SKIP, "the recipe states none", numbers)
    if not expectation.strict:
        return Check("sha256", Status.SKIP, f"{have}; {_OFF}", numbers)
    if have == want:
        return Check("sha256", Status.PASS, f"{have}, as the recipe states", numbers)
    return Check(
        "sha256", Status.FAIL, f"{have or 'unknown'}, but the recipe states {want}", numbers
    )


def _references(measures: Mapping[str, JSON], expectation: Expectation) -> tuple[Check, ...]:
    reference = expectation.reference
    if reference is None:
        return ()
    perplexity = measures["perplexity"] or {"value": None}
    found = {
        "perplexity": perplexity["value"],
        "size": measures["size"],
        "bits_per_weight": measures["bits_per_weight"],
    }
    published = {name: getattr(reference, name) for name in found}
    return tuple(
        _reference(name, found[name], want, measures, expectation)
        for name, want in published.items()
        if want is not None and found[name] is not None
    )


def _reference(
    name: str,
    found: float,
    want: float,
    measures: Mapping[str, JSON],
    expectation: Expectation,
) -> Check:
    reference = expectation.reference
    assert reference is not None
    off = found / want - 1
    words = name.replace("_", " ")
    message = f"{words} {found:.6g}, published {want:.6g} ({off * 100:+.2f} %)"
    numbers = {"found": found, "published": want, "source": reference.source}
    check = f"reference_{name}"
    if not expectation.strict:
        return Check(check, Status.SKIP, f"{message}; {_OFF}", numbers)
    if name == "perplexity" and not _same_setting(measures["perplexity"], reference):
        return Check(check, Status.SKIP, f"{message}, measured on another text or context", numbers)
    tolerance = REFERENCE_TOLERANCE[name]
    if abs(off) <= tolerance:
        return Check(check, Status.PASS, message, numbers)
    said = f"{message}, more than {tolerance * 100:g} % off"
    return Check(check, Status.WARN, said, numbers)


def _same_setting(perplexity: Mapping[str, JSON], reference: Reference) -> bool:
    """Whether a published perplexity was measured as ours: same context, same pieces."""
    chunks = perplexity.get("wanted_chunks")
    wanted = None if chunks is None or chunks < 0 else chunks
    return reference.context == perplexity["context"] and reference.chunks == wanted
