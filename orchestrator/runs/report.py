"""Results as a table of files and a record of how they were made; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from orchestrator.base import units
from orchestrator.base.safe_markdown import Safe, block, code, inline
from orchestrator.base.shell_words import command
from orchestrator.base.step_values import JSON, Step
from orchestrator.runs.check_status import Check, Status
from orchestrator.runs.judge_measures import perplexity_increase, verdict

FORMAT = 1
_MARKS = {
    Status.PASS: Safe("pass"),
    Status.WARN: Safe("**warn**"),
    Status.FAIL: Safe("**FAIL**"),
    Status.SKIP: Safe("-"),
}


@dataclass(frozen=True)
class Row:
    """One file. Numbers that were not measured are None.

    ``size`` and ``memory`` are bytes, ``increase`` is relative to the full file's
    perplexity, ``same_top`` is a share of 1, the times are milliseconds per token.
    """

    file: str
    type: str
    sha256: str
    status: Status
    checks: tuple[Check, ...]
    size: int
    bits_per_weight: float
    perplexity: float | None = None
    perplexity_error: float | None = None
    increase: float | None = None
    kld: float | None = None
    same_top: float | None = None
    prompt_ms: float | None = None
    prompt_per_second: float | None = None
    generation_ms: float | None = None
    generation_per_second: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class MadeStep:
    """How a step went: ``calls`` are {argv, seconds, peak_memory} without machine paths."""

    key: str
    label: str
    seconds: float
    calls: tuple[Mapping[str, JSON], ...]


@dataclass(frozen=True)
class Report:
    """All there is to say about one recipe's files.

    ``pins`` maps what was used (tool chain, model, recipe, ...) to its exact version.
    """

    name: str
    description: str
    rows: tuple[Row, ...]
    pins: Mapping[str, str]
    steps: tuple[MadeStep, ...] = ()
    notes: tuple[str, ...] = ()
    full_name: str = "F16"

    @property
    def status(self) -> Status:
        """The worst status of all files."""
        return verdict(check for row in self.rows for check in row.checks)


def make_row(
    *,
    file: str,
    name: str,
    sha256: str,
    measures: Mapping[str, JSON],
    checks: Sequence[Check],
    full_perplexity: float | None = None,
) -> Row:
    """The row of one file from its measures and checks."""
    perplexity, kld = measures["perplexity"] or {}, measures["kld"] or {}
    speed = measures["speed"] or {}
    prompt, generation = speed.get("prompt") or {}, speed.get("generation") or {}
    return Row(
        file=file,
        type=name,
        sha256=sha256,
        status=verdict(checks),
        checks=tuple(checks),
        size=measures["size"],
        bits_per_weight=measures["bits_per_weight"],
        perplexity=perplexity.get("value"),
        perplexity_error=perplexity.get("error"),
        increase=perplexity_increase(measures, full_perplexity),
        kld=kld.get("mean"),
        same_top=kld.get("same_top"),
        prompt_ms=prompt.get("ms_per_token"),
        prompt_per_second=prompt.get("tokens_per_second"),
        generation_ms=generation.get("ms_per_token"),
        generation_per_second=generation.get("tokens_per_second"),
        memory=(measures["memory"] or {}).get("peak"),
    )


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
    }


def _row_json(row: Row) -> dict[str, JSON]:
    values: dict[str, JSON] = {**vars(row), "status": row.status.value}
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
        f"Checks: {_MARKS[report.status]}",
    ]
    parts += ["## Files", files_table(report)]
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


@dataclass(frozen=True)
class _Column:
    """A column: its title, and a row's cell or an empty text."""

    title: str
    cell: Callable[[Row], str]


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _speed(milliseconds: float | None, per_second: float | None) -> str:
    if milliseconds is None or per_second is None:
        return ""
    return f"{milliseconds:.2f} ({per_second:.1f})"


def _columns(full_name: str) -> tuple[_Column, ...]:
    return (
        _Column("File", lambda row: row.file),
        _Column("Type", lambda row: row.type),
        _Column("Size", lambda row: units.size(row.size)),
        _Column("Bits/weight", lambda row: f"{row.bits_per_weight:.2f}"),
        _Column("Perplexity", _perplexity),
        _Column(f"Δ to {full_name}", lambda row: _increase(row.increase)),
        _Column("KLD, mean", lambda row: _shown(row.kld, "{:.5f}")),
        _Column("Same top", lambda row: _shown(_percent(row.same_top), "{:.2f} %")),
        _Column("Prompt, ms/token (tokens/s)", lambda r: _speed(r.prompt_ms, r.prompt_per_second)),
        _Column(
            "Generation, ms/token (tokens/s)",
            lambda row: _speed(row.generation_ms, row.generation_per_second),
        ),
        _Column("Memory", lambda row: units.size(row.memory) if row.memory else ""),
        _Column("Checks", lambda row: _MARKS[row.status]),
    )


def _perplexity(row: Row) -> str:
    error = _shown(row.perplexity_error, " ± {:.4f}")
    return _shown(row.perplexity, "{:.4f}") + error


def _percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _increase(share: float | None) -> str:
    return _shown(_percent(share), "{:+.2f} %")


def files_table(report: Report) -> str:
    """The table of files in Markdown, without columns that would be empty."""
    columns = _columns(report.full_name)
    used = [column for column in columns if any(column.cell(row) for row in report.rows)]
    cells = [[column.cell(row) for column in used] for row in report.rows]
    return markdown_table([column.title for column in used], cells)


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells may hold anything, and markup where they are safe."""
    lines = [list(titles), ["---"] * len(titles), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(map(inline, line)) + " |" for line in lines)


def _sums(rows: Iterable[Row]) -> list[tuple[str, str]]:
    return [(row.file, code(row.sha256)) for row in rows if row.sha256]


def _checks(row: Row) -> str:
    table = markdown_table(
        ("Check", "Result", "What was found"),
        [(check.name, _MARKS[check.status], check.message) for check in row.checks],
    )
    return f"### {inline(row.file)}\n\n{table}"


def _step(step: MadeStep) -> str:
    """The commands of a step; what was done without any is among the pins."""
    head = f"**{inline(step.label)}** ({units.duration(step.seconds)})"
    commands = "\n".join(command(call["argv"]) for call in step.calls)
    return f"{head}\n\n{block(commands, 'sh')}"
