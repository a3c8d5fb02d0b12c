"""The folder of a run, held against its own record and against what was found of its files.

Nothing is believed that was changed since the run: every file is hashed, the readable report
is made again from the other one, and the recipe must still say what it said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.process.run_process import check_stopped
from orchestrator.base.step_values import JSON, Progress
from orchestrator.engine.digest_cache import Digests
from orchestrator.measures.check_status import Check, Status
from orchestrator.planning.plan import Output, Plan
from orchestrator.recipe import without_checksums
from orchestrator.runs import output_folder, report
from orchestrator.runs.judge_measures import verdict
from orchestrator.runs.report import MadeStep, Report, Row, Warned
from orchestrator.workflows import reproduce

# What stands in the folder beside the files of the record.
_OTHERS = frozenset(
    {
        output_folder.SUMS,
        output_folder.REPORT_JSON,
        output_folder.REPORT_MD,
        output_folder.REPORT_HTML,
        reproduce.RECORD,
    }
)
_MARKS = {Status.FAIL: "failed", Status.WARN: "passed with warnings", Status.SKIP: "unverified"}


@dataclass(frozen=True)
class Checked:
    """A folder that is as its run left it.

    Attributes:
        folder: The folder.
        report: What the run found.
        record: Size and SHA-256 of every file of the run, by name.
    """

    folder: Path
    report: Report
    record: Mapping[str, Mapping[str, JSON]]

    def row(self, file: str) -> Row:
        """What was found of one file."""
        return next(row for row in self.report.rows if row.file == file)

    def size(self, file: str) -> int:
        """The bytes of a file."""
        return int(self.record[file]["size"])

    def sha256(self, file: str) -> str:
        """The digest of a file."""
        return str(self.record[file]["sha256"])


def checked(
    plan: Plan,
    folder: Path,
    digests: Digests,
    *,
    warnings: bool,
    report_to: Callable[[Progress], None] = lambda _progress: None,
) -> Checked:
    """Read a run's folder and refuse what must not be published.

    Args:
        plan: The plan of the recipe as it is now.
        folder: The folder that the run left.
        digests: Told what was read, so that a run makes again what is damaged.
        warnings: Whether files whose checks gave warnings will do.
        report_to: Receives the bytes that were hashed.

    Raises:
        UsageError: The folder, the recipe or a file is not as the run left it.
        StepError: A file did not pass its verification, or was not verified.
    """
    again = f"Run 'orchestrate run {plan.recipe.file}' again."
    told = output_folder.earlier_report(folder)
    if not told:
        raise UsageError(
            f"{folder} holds no {output_folder.REPORT_JSON} of a run",
            f"{again} Or name another --out.",
        )
    found = read_report(told, plan.full.name, folder / output_folder.REPORT_JSON, again)
    _same_recipe(plan, found, again)
    _verdicts(plan, found, told, warnings)
    _same_steps(plan, found, again)
    whole = Checked(folder, found, told[output_folder.RECORD])
    _unchanged(whole, again, digests, report_to)
    return whole


# -- the report ------------------------------------------------------------------------------


def read_report(told: Mapping[str, JSON], full_name: str, path: Path, again: str) -> Report:
    """The report that a run wrote, from its JSON.

    Args:
        told: The JSON.
        full_name: What the recipe calls the unquantized file.
        path: Where it stands, for the sentence.
        again: What to do about it.

    Raises:
        UsageError: It is not what a run of this version writes.
    """
    try:
        record = told[output_folder.RECORD]
        if told["format"] != report.FORMAT or not all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
            for entry in record.values()
        ):
            raise UsageError(f"{path} is of another version of this program", again)
        found = Report(
            name=_text(told["name"]),
            description=_text(told["description"]),
            rows=tuple(_row(one) for one in told["files"]),
            pins={what: _text(exactly) for what, exactly in dict(told["pins"]).items()},
            steps=tuple(MadeStep(**one) for one in told["steps"]),
            notes=tuple(map(_text, told["notes"])),
            full_name=full_name,
            missing=tuple(map(_text, told["missing"])),
            warnings=tuple(Warned(**one) for one in told["warnings"]),
            source=Warned(**told["source"]) if told["source"] else None,
        )
        report.markdown(found)  # values of other types do not get through this
        same = {**_again(found), output_folder.RECORD: record} == told
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is not the report of a run ({error})", again) from error
    if not same:
        raise UsageError(f"{path} was changed since its run, or is of another version", again)
    return found


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _again(found: Report) -> Mapping[str, JSON]:
    """A report as it is written, to be held against what was read."""
    told: Mapping[str, JSON] = json.loads(json.dumps(report.as_json(found)))
    return told


def _row(told: Mapping[str, Any]) -> Row:
    checks = tuple(Check(**{**one, "status": Status(one["status"])}) for one in told["checks"])
    known = {field.name for field in fields(Row)}
    values = {name: value for name, value in told.items() if name in known}
    values |= {name: _text(told[name]) for name in ("file", "type", "sha256")}
    values["numbers"] = told["measures"]
    return Row(**{**values, "status": Status(told["status"]), "checks": checks})


def _same_recipe(plan: Plan, found: Report, again: str) -> None:
    recipe = plan.recipe
    if recipe.digest not in str(found.pins.get("recipe", "")) or found.name != recipe.name:
        raise UsageError(f"{recipe.file} was changed since its files were made", again)


def _same_steps(plan: Plan, found: Report, again: str) -> None:
    made = [step.key for step in found.steps]
    for output in plan.outputs:
        if output.step not in made:
            raise UsageError(
                f"{output.file} would be made differently now: the model, the tool chain or a text "
                f"that {plan.recipe.file} names has changed since",
                again,
            )


# -- what was found of the files -------------------------------------------------------------


def _verdicts(plan: Plan, found: Report, told: Mapping[str, JSON], warnings: bool) -> None:
    """Every file of the recipe must have passed, and the unquantized one must not have failed.

    The verdict is taken from the checks, not from the word that sums them up.
    """
    if without_checksums.NOTE in found.notes:
        raise StepError(
            f"{plan.recipe.name}: limits were not held against these files (--no-limits)",
            "Run without --no-limits.",
        )
    rows = {row.file: row for row in found.rows}
    for row in found.rows:
        status = verdict(row.checks)
        if row.file not in told[output_folder.RECORD] and status is Status.FAIL:
            raise StepError(
                f"{row.file}: {_trouble(row, status)}, so nothing made from it is published",
                "Fix the cause and run again.",
            )
    for output in plan.outputs:
        _verdict(output, rows.get(output.file), warnings)


def _verdict(output: Output, row: Row | None, warnings: bool) -> None:
    status = Status.SKIP if row is None else verdict(row.checks)
    if status is Status.PASS or (status is Status.WARN and warnings):
        return
    if row is None or status is Status.SKIP:
        raise StepError(
            f"{output.file} was not verified, and only verified files are published",
            "Run without --no-verify, and without --only.",
        )
    hint = "Fix the cause and run again."
    if status is Status.WARN:
        hint = "If that is acceptable, publish with --allow-warnings."
    raise StepError(f"{output.file} {_trouble(row, status)}", hint)


def _trouble(row: Row, status: Status) -> str:
    found = [check for check in row.checks if check.status is status]
    return f"{_MARKS[status]}: " + "; ".join(f"{one.name}: {one.message}" for one in found)


# -- the files -------------------------------------------------------------------------------


def _unchanged(
    told: Checked, again: str, digests: Digests, report_to: Callable[[Progress], None]
) -> None:
    folder, record = told.folder, told.record
    for path in sorted(folder.iterdir()):
        if path.name not in record and path.name not in _OTHERS:
            raise UsageError(
                f"{path} was not made by this recipe's runs", "Move it out of the folder."
            )
    text = folder / output_folder.REPORT_MD
    if not text.is_file() or text.read_text("utf-8") != report.markdown(told.report):
        raise UsageError(f"{text} does not say what {output_folder.REPORT_JSON} says", again)
    for problem in _differences(folder, record, digests, report_to):
        raise UsageError(problem, again)
    for row in told.report.rows:
        if row.file in record and row.sha256 != record[row.file]["sha256"]:
            raise UsageError(f"{folder / row.file} is not the file that was verified", again)


def _differences(
    folder: Path,
    record: Mapping[str, Mapping[str, JSON]],
    digests: Digests,
    report_to: Callable[[Progress], None],
) -> Iterator[str]:
    total = sum(int(entry["size"]) for entry in record.values())
    done = 0
    for name, entry in sorted(record.items()):
        path = folder / name
        if not path.is_file() or path.is_symlink():
            yield f"{path} is missing"
        elif digests.read_again(path, check_stopped) != entry["sha256"]:
            yield f"{path} was changed since it was made"
        done += int(entry["size"])
        report_to(Progress(done, total, "B", "checking"))
