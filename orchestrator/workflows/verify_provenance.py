"""Does a published file agree with its provenance, and is it made again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base import dsse_signature, json_text
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.base.terminal_colours import status
from orchestrator.engine import isolated_run, step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.planning.plan import Output
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import find_recipes, load_and_plan, provenance_statement
from orchestrator.runs.provenance_statement import PAYLOAD
from orchestrator.runs.session import Session
from orchestrator.workflows.reproduce import say_nothing


@dataclass(frozen=True)
class Verified:
    """What was found about a file: whether all is well, and a sentence for each check."""

    sound: bool
    lines: tuple[str, ...]


def verify(path: Path, key: Path | None) -> tuple[Verified, Mapping[str, JSON]]:
    """Compare a file with its statement, and the statement with its signature.

    Args:
        path: The file; its statement lies beside it.
        key: The publisher's public key; without one no signature is looked at.

    Returns:
        What was found, and the statement.

    Raises:
        UsageError: There is no statement, no envelope for the key, or the key is none.
        OrchestrateError: The statement is not one, or its signature is not of this key.
    """
    told = _signed(path, key) if key is not None else _plain(path)
    subjects = [one.get("digest", {}).get("sha256") for one in told["subject"]]
    names = [str(one.get("name")) for one in told["subject"]]
    sha256 = file_sha256(path)
    lines = [f"signature: of {key}" if key is not None else "signature: not checked (no --key)"]
    if sha256 not in subjects:
        lines.append(f"digest: {sha256} is not that of {', '.join(names)}")
        return Verified(False, tuple(lines)), told
    lines.append(f"digest: {sha256} as stated")
    if path.name not in names:
        lines.append(f"name: stated as {', '.join(names)}")
    return Verified(True, tuple(lines)), told


def _plain(path: Path) -> Mapping[str, JSON]:
    return _statement(_file_next_to(path, provenance_statement.SUFFIX).read_bytes())


def _signed(path: Path, key: Path) -> Mapping[str, JSON]:
    """The signed statement; the plain one beside it, if any, must not say anything else."""
    envelope = _file_next_to(path, provenance_statement.SIGNED_SUFFIX).read_bytes()
    payload = dsse_signature.verify(envelope, PAYLOAD, key)
    plain = path.with_name(path.name + provenance_statement.SUFFIX)
    if plain.exists() and plain.read_bytes() != payload:
        raise OrchestrateError(f"{plain} is not what was signed", "Believe the signed one only.")
    return _statement(payload)


def _file_next_to(path: Path, suffix: str) -> Path:
    found = path.with_name(path.name + suffix)
    if not found.is_file():
        raise UsageError(f"{found} is missing", "Get it from where the file was published.")
    return found


def _statement(data: bytes) -> Mapping[str, JSON]:
    """A statement of ours, or an error that says what it is instead."""
    try:
        told = json_text.parse(data)
        kinds = told["_type"], told["predicateType"]
        build = told["predicate"]["buildDefinition"]["buildType"]
        told["predicate"]["buildDefinition"]["externalParameters"]["recipe"]["digest"]["sha256"]
        subjects = [one["digest"]["sha256"] for one in told["subject"]]
    except (ValueError, KeyError, TypeError) as error:
        raise OrchestrateError("this is no provenance statement") from error
    wanted = provenance_statement.STATEMENT, provenance_statement.PREDICATE
    if (kinds, build) != (wanted, provenance_statement.BUILD_TYPE) or not subjects:
        raise OrchestrateError(
            f"this is another kind of statement ({build})", "Use the tool that made it."
        )
    return dict(told)


def rederive(path: Path, told: Mapping[str, JSON], recipe: Path, session: Session) -> Verified:
    """Make a file again in an empty store and compare it.

    Args:
        path: The file.
        told: Its statement.
        recipe: The recipe that it is said to be made by.
        session: Its store lends the built tool chain.

    Raises:
        UsageError: The recipe has no such file.
        StepError: Something could not be made.
    """
    stated = told["predicate"]["buildDefinition"]["externalParameters"]
    # Texts that files are measured on need not be there: bytes need only what made them.
    [loaded] = load_and_plan.load([find_recipes.one(recipe)], check_files=False)
    lines = []
    only = replace(session.choices, only=(str(stated.get("output", "")),), verify=False)
    [plan] = load_and_plan.make([loaded], replace(session, choices=only))
    output = plan.outputs[0]
    same_recipe = loaded.digest == stated["recipe"]["digest"]["sha256"]
    if not same_recipe and output.step != _step_of(told):
        lines.append(f"recipe: {recipe} is not, or no longer, the recipe of the statement")
    found = _made_again(plan, output, session)
    same = found == file_sha256(path)
    lines.append(f"made again: {found}, {status('identical' if same else 'DIFFERENT')}")
    return Verified(same, tuple(lines))


def _step_of(told: Mapping[str, JSON]) -> JSON:
    """The key of the step that made a statement's file; none in statements of others."""
    details = told["predicate"].get("runDetails")
    metadata = details.get("metadata") if isinstance(details, dict) else None
    return metadata.get("invocationId") if isinstance(metadata, dict) else None


def _made_again(plan: Plan, output: Output, session: Session) -> str:
    """The digest of an output that was made with nothing but built tools."""
    tools = list(filter(step_kinds.is_tool, plan.steps))
    isolated_run.run_here(tools, [step.key for step in tools], session.runner)
    with (
        session.store.hold([step.key for step in tools]),
        isolated_run.temporary_folder(session.store) as place,
    ):
        store = Store(place / "store", say_nothing)
        isolated_run.link_tools(plan.steps, session.store, store)
        isolated_run.run_here(plan.steps, [output.step], session.alone_in(store).runner)
        made = store.find(output.step)
        assert made is not None, "the runner said it was done"
        return file_sha256(made.path / output.artifact_file)
