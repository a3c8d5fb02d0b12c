"""Results as a table of files and a record of how they were made; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from orchestrator.base import units
from orchestrator.base.safe_markdown import Safe, block, code, inline
from orchestrator.base.shell_words import command
from orchestrator.base.step_values import JSON, Step
from orchestrator.history import run_states
from orchestrator.measures import number_tables, timing
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.file_numbers import ByMeasure, Numbered
from orchestrator.measures.timing import Taken
from orchestrator.runs.judge_measures import worst

FORMAT = 1


def _mark(status: Status) -> Safe:
    """A status as people read it everywhere, bold where one should look."""
    if status is Status.SKIP:
        return Safe("-")
    found = run_states.of(status.value)
    return Safe(f"**{found.label}**" if found.needs_attention else found.label)


@dataclass(frozen=True)
class Row(Numbered):
    """One file; its ``numbers`` are by measure and number, in their units.

    ``taken`` says of measures whose numbers are the machine's when and where that was.
    """

    file: str
    type: str
    sha256: str
    status: Status
    checks: tuple[Check, ...]
    numbers: ByMeasure
    taken: Mapping[str, Taken] = field(default_factory=dict)


@dataclass(frozen=True)
class MadeStep:
    """How a step went: ``calls`` are {argv, seconds, peak_memory} without machine paths."""

    key: str
    label: str
    seconds: float
    calls: tuple[Mapping[str, JSON], ...]


@dataclass(frozen=True)
class Warned:
    """What a step found worth saying though it did its work; ``step`` is its label."""

    step: str
    message: str
    numbers: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All there is to say about one recipe's files.

    ``pins`` maps what was used (tool chain, model, recipe, ...) to its exact version;
    ``missing`` are files that were to be made and are not there. ``source`` says what became
    of the source's tensors, where they were counted.
    """

    name: str
    description: str
    rows: tuple[Row, ...]
    pins: Mapping[str, str]
    steps: tuple[MadeStep, ...] = ()
    notes: tuple[str, ...] = ()
    full_name: str = "F16"
    missing: tuple[str, ...] = ()
    warnings: tuple[Warned, ...] = ()
    source: Warned | None = None

    @property
    def taken(self) -> dict[str, Mapping[str, Taken]]:
        """When and where numbers of the machine were taken, by type and measure."""
        return {row.type: row.taken for row in self.rows}

    @property
    def status(self) -> Status:
        """The worst status of all files that the recipe was asked to make."""
        return worst([*(row.status for row in self.rows), *[Status.FAIL] * bool(self.missing)])


def made_steps(
    steps: Iterable[Step],
    manifests: Mapping[str, Mapping[str, JSON]],
    earlier: Mapping[str, JSON] | None = None,
) -> tuple[MadeStep, ...]:
    """How each step of a plan was done, in the plan's order.

    Args:
        steps: The plan's.
        manifests: What the store knows of a step, by its key.
        earlier: The report of an earlier run, for steps whose results were released since.
    """
    before = _before(earlier or {})
    found = []
    for step in steps:
        if step.key in manifests:
            manifest = manifests[step.key]
            calls = tuple(map(_anywhere, manifest.get("facts", {}).get("calls", ())))
            found.append(MadeStep(step.key, step.label, manifest["seconds"], calls))
        elif step.key in before:
            found.append(before[step.key])
    return tuple(found)


def _anywhere(call: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """A call whose program, where it is one of the machine's own, goes by its name."""
    program, *rest = call["argv"]
    shown = {name: value for name, value in call.items() if name != "portable"}
    return {**shown, "argv": [PurePath(program).name if program[0] != "{" else program, *rest]}


def _before(earlier: Mapping[str, JSON]) -> dict[str, MadeStep]:
    """The steps of an earlier report; none when somebody has edited it out of shape."""
    try:
        return {
            str(one["key"]): MadeStep(
                str(one["key"]), str(one["label"]), float(one["seconds"]), tuple(one["calls"])
            )
            for one in earlier.get("steps", ())
        }
    except (KeyError, TypeError, ValueError):
        return {}


def as_json(report: Report) -> dict[str, JSON]:
    """The report as JSON values; equal reports give equal text with sorted keys."""
    return {
        "format": FORMAT,
        "name": report.name,
        "description": report.description,
        "status": report.status.value,
        "pins": dict(report.pins),
        "files": [_row_json(row) for row in report.rows],
        "steps": [
            {"key": s.key, "label": s.label, "seconds": s.seconds, "calls": list(s.calls)}
            for s in report.steps
        ],
        "notes": list(report.notes),
        "missing": list(report.missing),
        "warnings": [_warned_json(one) for one in report.warnings],
        "source": _warned_json(report.source) if report.source is not None else None,
    }


def _warned_json(one: Warned) -> dict[str, JSON]:
    return {"step": one.step, "message": one.message, "numbers": dict(one.numbers)}


def _row_json(row: Row) -> dict[str, JSON]:
    """A row: numbers by measure, and those that have a key of their own by that, too."""
    values = row.by_key()
    values |= {name: value for name, value in vars(row).items() if name != "numbers"}
    values |= {
        "status": row.status.value,
        "measures": {name: dict(found) for name, found in row.numbers.items()},
        "taken": {name: dict(found) for name, found in row.taken.items()},
    }
    values["checks"] = [
        {**vars(check), "status": check.status.value, "numbers": dict(check.numbers)}
        for check in row.checks
    ]
    return values


def markdown(report: Report) -> str:
    """The report for people: tables as a model card has them, and how the files were made."""
    parts = [
        f"# {inline(report.name)}",
        inline(report.description),
        f"Checks: {_mark(report.status)}",
    ]
    parts += [f"- {_mark(Status.FAIL)}: {inline(file)}: it was not made" for file in report.missing]
    parts += [f"- {_mark(Status.WARN)}: {inline(one.message)}" for one in report.warnings]
    parts += [inline(report.source.message)] if report.source is not None else []
    parts += ["## Files", files_table(report), inline(timing.line(report.taken))]
    parts += ["## Checksums (SHA-256)", markdown_table(("File", "SHA-256"), _sums(report.rows))]
    parts += ["## Checks", *(_checks(row) for row in report.rows)]
    parts += [
        "## How it was made",
        markdown_table(("What", "Exactly"), sorted(report.pins.items())),
    ]
    parts += [_step(step) for step in report.steps if step.calls]
    if report.notes:
        parts += ["## Notes", "\n".join(f"- {inline(note)}" for note in report.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def files_table(report: Report) -> str:
    """The table of files in Markdown, without columns that would be empty."""
    named = [[row.file, row.type] for row in report.rows]
    measured = number_tables.table(report.rows, "report", report.full_name)
    marks = [[_mark(row.status)] for row in report.rows]
    parts = zip(named, measured.texts, marks, strict=True)
    lines = [[*one, *two, *three] for one, two, three in parts]
    return markdown_table(["File", "Type", *measured.titles, "Checks"], lines)


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells may hold anything, and markup where they are safe."""
    lines = [list(titles), ["---"] * len(titles), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(map(inline, line)) + " |" for line in lines)


def _sums(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return [(row.file, code(row.sha256)) for row in rows if row.sha256]


def _checks(row: Row) -> str:
    table = markdown_table(
        ("Check", "Result", "What was found"),
        [(check.name, _mark(check.status), check.message) for check in row.checks],
    )
    return f"### {inline(row.file)}\n\n{table}"


def _step(step: MadeStep) -> str:
    """The commands of a step; what was done without any is among the pins."""
    head = f"**{inline(step.label)}** ({units.duration(step.seconds)})"
    commands = "\n".join(command(call["argv"]) for call in step.calls)
    return f"{head}\n\n{block(commands, 'sh')}"
