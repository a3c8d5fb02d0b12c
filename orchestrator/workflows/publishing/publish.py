"""Publish one recipe's files: check, assemble, compare with the place, bring it up to date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.step_values import Activity
from orchestrator.engine.progress_listeners import watched
from orchestrator.planning.plan import Plan
from orchestrator.recipe.publish_section import DIR, HUB, OCI, destination
from orchestrator.runs.session import Session
from orchestrator.workflows.publishing import assemble, gguf_naming, licences, model_facts
from orchestrator.workflows.publishing.assemble import Material
from orchestrator.workflows.publishing.check_run_folder import checked
from orchestrator.workflows.publishing.destination import Done, Place
from orchestrator.workflows.publishing.destination_folder import Folder
from orchestrator.workflows.publishing.publication_record import Changes
from orchestrator.workflows.publishing.published_files import Tree
from orchestrator.workflows.publishing.split_files import DEFAULT_LIMIT, HUB_LIMIT


@dataclass(frozen=True)
class Request:
    """What the command line says.

    Attributes:
        to: The destination; empty for the recipe's own.
        out: Where the folders of runs are.
        warnings: Whether files with warnings will do.
        max_file: Bytes that a file may have; 0 for the recipe's own limit.
        private: Whether a repository that is made is for members only.
        message: First line of the commit.
        dry: Only look.
        key: A private key that signs what goes out.
    """

    to: str
    out: Path
    warnings: bool = False
    max_file: int = 0
    private: bool = False
    message: str = ""
    dry: bool = False
    key: Path | None = None


@dataclass(frozen=True)
class Preview:
    """What is going to be done: the tree, the place, and what differs there."""

    tree: Tree
    place: Place
    exists: bool
    changes: Changes


@dataclass(frozen=True)
class Publication:
    """What was foreseen, and what was done; nothing in a dry run."""

    preview: Preview
    done: Done | None


def prepare(plan: Plan, session: Session, request: Request) -> Preview:
    """Say what publishing one recipe's files would do, and make what it needs in the store.

    Args:
        plan: Its plan, as it would run now.
        session: What all commands share.
        request: What the command line says.

    Raises:
        UsageError: The destination, the licence, or the folder of the run is not right.
        StepError: A file did not pass its verification, or its chat template is another.
        EnvironmentProblem: The place cannot be reached.
    """
    return _preview(plan, session, request, _place(plan, session, request))


def publish_prepared(preview: Preview, session: Session) -> Publication:
    """Bring the place up to date; nothing is asked or sent when there is nothing to do.

    Raises:
        EnvironmentProblem: The place cannot be reached or written.
        StepError: The Hub refuses the model card.
    """
    if not preview.changes:
        return Publication(preview, Done(preview.changes, preview.place.url))
    return Publication(preview, preview.place.publish(preview.tree, session.listener))


def _preview(plan: Plan, session: Session, request: Request, place: Place) -> Preview:
    recipe = plan.recipe
    if not plan.outputs:
        raise UsageError(f"{recipe.file} makes no quantized file", "Add one under 'quantize'.")
    if recipe.publish.redistribute is False:
        licences.require_right(recipe.publish, "", False, str(recipe.file))
    folder = request.out / recipe.name
    with watched(session.listener, Activity("check", f"check {folder}", "check")) as report:
        digests = session.store.digests
        verified = checked(plan, folder, digests, warnings=request.warnings, report_to=report)
    origin = model_facts.origin(plan, session)
    facts = model_facts.facts(plan, origin)
    licences.require_right(recipe.publish, facts.license, origin.gated, str(recipe.file))
    repo = place.name.removeprefix(HUB) if place.name.startswith(HUB) else ""
    limit = request.max_file or recipe.publish.max_file or DEFAULT_LIMIT
    if repo and limit > HUB_LIMIT:
        raise UsageError(
            f"the Hub takes no files of more than {units.size(HUB_LIMIT)}",
            "Choose a smaller --max-file, or 'publish: {max_file: ...}' in the recipe.",
        )
    title = repo.partition("/")[2] or f"{gguf_naming.model_of(plan)} {plan.chain.format.upper()}"
    material = Material(plan, verified, origin, facts, limit, title, repo, request.key)
    models = assemble.models(material, session, split=not request.dry)
    tree = assemble.tree(material, models, session.store)
    changes, exists = place.plan(tree)
    return Preview(tree, place, exists, changes)


def _place(plan: Plan, session: Session, request: Request) -> Place:
    recipe = plan.recipe
    text = request.to or recipe.publish.to or ""
    if not text:
        raise UsageError(
            f"{recipe.file} does not say where to publish",
            "Say --to hub:ORG/NAME, dir:PATH or oci:REGISTRY/NAME, or 'publish: {to: ...}' in "
            "the recipe.",
        )
    try:
        destination(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if text.startswith(DIR):
        path = _folder(plan, _expanded(text.removeprefix(DIR)), request)
        return Folder(path, session.store.digests)
    if session.settings.offline:
        raise EnvironmentProblem(
            f"{text} cannot be reached offline", "Publish to dir:PATH, or without --offline."
        )
    if text.startswith(OCI):
        from orchestrator.sources import oci_registry  # noqa: PLC0415 - heavy
        from orchestrator.workflows.publishing.destination_oci import Registry  # noqa: PLC0415

        return Registry(oci_registry.reference(text.removeprefix(OCI)))
    from orchestrator.workflows.publishing.destination_hub import Repository  # noqa: PLC0415 - heavy

    return Repository(text.removeprefix(HUB), request.private, request.message)


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{path} names the home of a user whom this machine does not know",
            "Write the whole path, as in --to dir:/srv/models.",
        ) from error


def _folder(plan: Plan, path: Path, request: Request) -> Path:
    if not request.to:
        path = plan.recipe.file.parent / path
    if path.resolve() == (request.out / plan.recipe.name).resolve():
        raise UsageError(
            f"{path} is the folder of the run itself", "Publish to a folder of its own."
        )
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is no folder", "Publish to a folder, there or new.")
    return path
