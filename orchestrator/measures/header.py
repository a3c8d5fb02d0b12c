"""What the header of a file shows: its tensors, their types, its size. Always looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Alarm, Column, Limit, Measure, Number, Numbers, Work
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, some
from orchestrator.modelfiles import header_facts


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``format``, ``layout``; ``inputs["full"]`` has ``params["full_file"]``.

    Raises:
        StepError: The file is malformed.
    """
    params = task.step.params
    name, form, layout = (params[key] for key in ("file", "format", "layout"))
    found = header_facts.header(task.inputs["model"] / name, form, layout)
    header_facts.expect_layout(found, layout, name)
    full = None
    if "full" in task.inputs:
        full = header_facts.header(task.inputs["full"] / params["full_file"], form, layout)
    return header_facts.facts(found, full)


def differs(facts: Mapping[str, JSON]) -> bool:
    """Whether the tensors are not the full file's, so that no tool would believe the file."""
    structure = facts.get("structure", {})
    return any(structure.get(kind) for kind in ("missing", "extra", "reshaped"))


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    found = facts["header"]
    return {name: found[name] for name in ("size", "bits_per_weight")}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found, numbers = facts["header"], _read(facts, expectation)
    yield _structure(found)
    yield _census(found, expectation)
    size, bits = found["size"], found["bits_per_weight"]
    said = {
        "size": f"{size} bytes ({units.size(size)})",
        "bits_per_weight": f"{bits:.2f} bits per weight",
    }
    for name, fact in said.items():
        limits = [one for one in measure.limits if one.number == name]
        check = Check(name, Status.PASS, fact, {name: found[name]})
        yield held(check, numbers, limits, expectation)


def _structure(found: Mapping[str, JSON]) -> Check:
    structure = found["structure"]
    problems = [
        f"{units.plural(len(structure[kind]), 'tensor')} {words} ({some(structure[kind])})"
        for kind, words in (("missing", "missing"), ("extra", "too many"), ("reshaped", "reshaped"))
        if structure.get(kind)
    ]
    count = found["tensors"]
    numbers = {"tensors": count, "version": structure["version"]}
    if problems:
        return Check("structure", Status.FAIL, "; ".join(problems), numbers)
    compared = ", named and shaped as in the full file" if structure["compared"] else ""
    message = f"{units.plural(count, 'tensor')}, all inside the file{compared}"
    return Check("structure", Status.PASS, message, numbers)


def _census(found: Mapping[str, JSON], expectation: Expectation) -> Check:
    census: Mapping[str, int] = found["census"]
    shown = ", ".join(f"{count} {name}" for name, count in census.items())
    count, which = _fallbacks(census, expectation)
    numbers = {"census": dict(census), "fallbacks": count}
    if not count:
        return Check("census", Status.PASS, shown, numbers)
    message = f"{count} of {found['tensors']} tensors fell back to other types ({which})"
    if expectation.allow_fallback:
        return Check("census", Status.WARN, f"{message}, as accepted: {shown}", numbers)
    hint = "accept that with 'allow_fallback: true'"
    return Check("census", Status.FAIL, f"{message}; {hint}", numbers)


def _fallbacks(census: Mapping[str, int], expectation: Expectation) -> tuple[int, str]:
    """How many tensors fell back: as the quantizer said, or as the census shows."""
    if expectation.fallbacks:
        named = [f"{one['tensor']} to {one['got']}" for one in expectation.fallbacks]
        return len(named), some(named)
    if not expectation.mix:
        return 0, ""
    known = {name.upper() for name in expectation.mix} | {"F32", "F16", "BF16"}
    strange = {name: count for name, count in census.items() if name.upper() not in known}
    return sum(strange.values()), ", ".join(strange)


def _size(found: Numbers) -> str:
    size = found.get("size")
    return units.size(size) if size else ""


def _bits(found: Numbers) -> str:
    bits = found.get("bits_per_weight")
    return "" if bits is None else f"{bits:.2f}"


MEASURE = Measure(
    name="header",
    order=10,
    judge=_judge,
    read=_read,
    work=Work(_run, "header", loads=False),
    numbers=(
        Number(
            "size",
            "size",
            key="size",
            unit="bytes",
            better="lower",
            alarm=Alarm("size", 0.01, "Largest change of the file's size, either way."),
            tolerance=0.04,
        ),
        Number(
            "bits_per_weight",
            "bits per weight",
            key="bits_per_weight",
            form="{:.2f}",
            better="lower",
            tolerance=0.005,
        ),
    ),
    limits=(
        Limit(
            "max_size",
            "size",
            "size",
            "Largest file, such as 4 GB.",
            lambda most: f"{most:.0f} bytes",
            in_digest=True,
        ),
        Limit(
            "max_bits_per_weight",
            "bits_per_weight",
            "number",
            "Most bits per weight, over the whole file.",
            lambda most: f"{most:g}",
            in_digest=True,
        ),
    ),
    columns=(
        Column("Size", _size, ("report", "terminal", "card", "site", "history"), "size"),
        Column("Bits/weight", _bits, ("report", "card")),
        Column("Bits per weight", _bits, ("site",), "bits_per_weight"),
        Column("Bits/w", _bits, ("terminal",)),
    ),
)
