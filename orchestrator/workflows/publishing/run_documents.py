"""What a run wrote beside its files, as it is published: under the published names.

Report and provenance name the files as they lie beside them, and the recipe by the digest of the
file that goes with them. No path of the publisher's machine stays in any of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import yaml

from orchestrator.base import dsse_signature, json_text
from orchestrator.base.step_values import JSON
from orchestrator.planning import lockfile
from orchestrator.planning.plan import Plan
from orchestrator.recipe import portable
from orchestrator.recipe.extends import read_tree
from orchestrator.runs import output_folder, provenance_statement, report
from orchestrator.runs.provenance_statement import PAYLOAD
from orchestrator.runs.provenance_statement import SUFFIX as PROVENANCE
from orchestrator.runs.report import Report
from orchestrator.workflows.publishing.check_run_folder import Checked
from orchestrator.workflows.publishing.published_files import Model, Piece, file_piece, text_piece


def release(plan: Plan) -> str:
    """Upstream's name for the tool chain's commit, such as b3821; empty if it is not known."""
    tried, commit = plan.chain.source.tried, plan.sources.commit
    return next((one.release for one in tried if one.commit == commit), "")


def renamed(plan: Plan, checked: Checked, models: Sequence[Model], recipe: Piece) -> Report:
    """A run's report with the published names, and the recipe's file by its digest."""
    chain, commit = plan.chain, plan.sources.commit
    name = release(plan)
    names = {one.output.file: one.file for one in models}
    rows = [replace(row, file=names.get(row.file, row.file)) for row in checked.report.rows]
    pins = {**checked.report.pins, "recipe": f"{recipe.name} (SHA-256 {recipe.sha256})"}
    pins |= {"tool chain": f"{chain.name} {name} ({commit})"} if name else {}
    return replace(checked.report, rows=tuple(rows), pins=pins)


def reports(checked: Checked, models: Sequence[Model], described: Report) -> Iterator[Piece]:
    """The report for programs and for people."""
    ends = ("", *output_folder.BESIDE)
    names = {one.output.file + end: one.file + end for one in models for end in ends}
    record = {names.get(name, name): entry for name, entry in checked.record.items()}
    content = {**report.as_json(described), output_folder.RECORD: record}
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    yield text_piece(output_folder.REPORT_JSON, text)
    yield text_piece(output_folder.REPORT_MD, report.markdown(described))


def provenance(
    checked: Checked, models: Sequence[Model], key: Path | None, notes: list[str]
) -> Iterator[Piece]:
    """Provenance beside each file, of its name; without a key what was signed stays as it is.

    Raises:
        UsageError: The key cannot sign.
    """
    for one in models:
        told, signed = (one.output.file + end for end in output_folder.BESIDE)
        if told not in checked.record:
            continue
        text = _of_name((checked.folder / told).read_bytes(), one.file)
        if key is not None:
            envelope = dsse_signature.sign(text.encode("utf-8"), PAYLOAD, key)
            yield text_piece(one.file + provenance_statement.SIGNED_SUFFIX, envelope)
        elif signed in checked.record:
            text = (checked.folder / told).read_text("utf-8")
            yield file_piece(one.file + provenance_statement.SIGNED_SUFFIX, checked.folder / signed)
            notes.append(
                f"the signed provenance of {one.file} calls it {one.output.file}; "
                "--sign-key signs it anew"
            )
        yield text_piece(one.file + PROVENANCE, text)


def _of_name(data: bytes, name: str) -> str:
    """A statement about the file of another name."""
    told: dict[str, JSON] = json_text.parse(data)
    subject = [{**one, "name": name} for one in told["subject"]]
    return provenance_statement.text({**told, "subject": subject})


def lock(plan: Plan) -> Iterator[Piece]:
    """The lock beside the recipe, if there is one."""
    path = lockfile.path_of(plan.recipe.file)
    if path.is_file():
        yield file_piece(path.name, path)


def recipe(plan: Plan) -> Piece:
    """The recipe as it is; written in whole if it extends others or names places outside.

    What lies outside of its folder is then named by its own name alone.
    """
    path = plan.recipe.file
    folder, text = path.parent.absolute(), path.read_text("utf-8")
    data = read_tree(path).data
    whole = portable(_inside(data, folder), folder)
    if plan.recipe.extends is None:
        if whole == portable(data, folder) and str(folder) not in text:
            return text_piece(path.name, text)
        head = f"# {path.name}, with the names of files outside of its folder alone.\n"
    else:
        parent = PurePath(str(whole.pop("extends"))).name
        head = f"# {path.name} with all that it inherited from {parent}.\n"
    return text_piece(path.name, head + yaml.safe_dump(whole, sort_keys=False, width=100))


def _inside(value: JSON, folder: Path) -> JSON:
    """Paths of a recipe's folder as they are, of others only the names."""
    if isinstance(value, Path):
        return value if value.is_relative_to(folder) else folder / value.name
    if isinstance(value, Mapping):
        return {name: _inside(item, folder) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_inside(item, folder) for item in value]
    return value
