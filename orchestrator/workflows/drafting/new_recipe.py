"""Write a recipe for a model of the Hub: find out, decide, write, and see that it loads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from orchestrator.base import text_table, units
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.toolchain import draft_policy, families, find_toolchain
from orchestrator.workflows.drafting import (
    decide_draft,
    drafted_recipe,
    recipe_yaml,
    save_recipe,
    survey_repository,
)
from orchestrator.workflows.drafting.decide_draft import Draft, Wanted
from orchestrator.workflows.drafting.survey_findings import Found

FOLDER = Path("recipes")


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        repo: ORGANISATION/NAME, a folder of it behind that, or the address of its page.
        revision: A branch, a tag or a full commit; empty for what the page shows, or main.
        target: The recipe to write; None for the place of its name.
        types: The wanted types; empty for those of the tool chain's data.
        imatrix: Whether to make an importance matrix; None for "where it is needed".
        corpus: A text to measure on; None for WikiText-2.
        calibration: A text to make the importance matrix from; None for WikiText-2.
        chain: The tool chain.
        force: Whether a recipe that is there may be overwritten.
    """

    repo: str
    revision: str = ""
    target: Path | None = None
    types: tuple[str, ...] = ()
    imatrix: bool | None = None
    corpus: Path | None = None
    calibration: Path | None = None
    chain: str = "llama.cpp"
    force: bool = False


@dataclass(frozen=True)
class Written:
    """A recipe that was written and loads."""

    path: Path
    draft: Draft
    notes: tuple[str, ...]


def write(request: Request) -> Written:
    """Write the recipe of a repository.

    Raises:
        UsageError: The repository is no model that can be converted, an option is wrong, or
            the recipe exists.
        EnvironmentProblem: The Hub cannot be reached or read, or the file not be written.
        StepError: A file of the repository is damaged.
    """
    beside = request.target.parent if request.target else FOLDER
    chain = find_toolchain.load(request.chain, beside)
    _refuse_existing(request, request.target)
    repo, revision, folder = survey_repository.named(request.repo, request.revision)
    known = families.load(chain.folder)
    found = survey_repository.survey(repo, revision, chain, known, folder)
    target = request.target or _place(found.named)
    _refuse_existing(request, target)
    wanted = Wanted(
        request.types,
        request.imatrix,
        _relative(request.corpus, target),
        _relative(request.calibration, target),
    )
    draft = decide_draft.draft(found, wanted, chain, draft_policy.load(chain.folder))
    day = datetime.now(timezone.utc).date().isoformat()
    save_recipe.publish(drafted_recipe.recipe(draft, day), target.parent, target)
    return Written(target, draft, tuple(_notes(draft)))


def _place(repo: str) -> Path:
    name = f"{decide_draft.recipe_name(repo)}.yaml"
    return FOLDER / name if FOLDER.is_dir() else Path(name)


def _refuse_existing(request: Request, target: Path | None) -> None:
    if target is not None and target.exists() and not request.force:
        raise UsageError(
            f"{target} exists already", "Choose another name with -o, or pass --force."
        )


def _relative(path: Path | None, target: Path) -> str:
    """A file as the recipe names it."""
    return "" if path is None else Path(os.path.relpath(path, target.parent)).as_posix()


def _notes(draft: Draft) -> Iterator[str]:
    """What the user should know before running it."""
    found = draft.found
    if found.code:
        yield (
            "The repository brings Python code. It is not run unless the recipe says "
            "'trust_remote_code: true'."
        )
    if found.quantized:
        yield f"The weights are quantized already ({found.quantized}); an original is better."
    if found.licence.gated:
        yield "The repository is gated: others must accept its terms before they can run this."
    if not found.licence.free:
        yield (
            f"{_licence(found)}: publishing needs 'redistribute: true' in the recipe, which only "
            "you can decide."
        )
    if any(output.fallback for output in draft.outputs):
        yield "Some rows do not fit the types' blocks; the recipe accepts larger types there."
    if found.silent:
        yield f"This model does not generate text: {_instead(found)}."
    if found.weights.layout == "bin":
        yield "Pickled weights state no sizes: parameters and sizes are estimated from the files'."
    elif not found.weights.exact:
        yield "Packed weights hide their number of parameters: the numbers shown are too small."


def _instead(found: Found) -> str:
    if not found.encodes:
        return "no prompt, perplexity or speed is checked"
    what = "scores of pairs of texts" if found.encodes == "text-ranking" else "embeddings of texts"
    return f"{what} are compared with the unquantized file's"


def _licence(found: Found) -> str:
    licence = found.licence
    known = licence.id if not licence.name else f"{licence.id} ({licence.name})".strip()
    return f"Licence {recipe_yaml.line(known)}" if known else "No licence is stated"


def text(written: Written) -> str:
    """What was found and decided, for people."""
    draft, found = written.draft, written.draft.found
    about = "about " if not found.weights.exact else ""
    stored = f"{units.plural(found.weights.files, 'file')} of {found.weights.layout}"
    facts = [
        ("Model", f"{found.repo} at {found.commit}"),
        *([("Adapter", f"{one.repo} at {one.commit}")] if (one := found.adapter) else ()),
        ("Architecture", f"{found.architecture}, family {found.family}"),
        ("Parameters", about + _count(found.weights.parameters)),
        ("Weights", f"{found.weights.dtype}, {stored}, {units.size(found.weights.size)}"),
        ("Licence", _licence(found).removeprefix("Licence ")),
    ]
    width = max(len(name) for name, _ in facts)
    lines = [f"{written.path} is written", ""]
    lines += [f"{name:<{width}}  {value}" for name, value in facts]
    rows = [(one.type, f"~{units.size(one.size)}" if one.size else "") for one in draft.outputs]
    lines += ["", text_table.table(("Type", "Size"), rows, right=(1,)), ""]
    lines += [f"note: {note}" for note in written.notes]
    return "\n".join([*lines, f"Next: {_next(written.path)}"])


def _next(path: Path) -> str:
    return f"orchestrate run {path}"


def _count(number: int) -> str:
    """A number of parameters as people say it."""
    for limit, unit in ((10**9, "billion"), (10**6, "million")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


def as_json(written: Written) -> dict[str, JSON]:
    """The same for programs."""
    told = decide_draft.as_json(written.draft)
    return {
        "recipe": str(written.path),
        **told,
        "notes": list(written.notes),
        "next": _next(written.path),
    }
