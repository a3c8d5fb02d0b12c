"""Read published files and write the recipe that would make them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.engine import progress_listeners
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES, PLAIN
from orchestrator.planning import source_steps
from orchestrator.planning.step_collector import StepCollector, verbs
from orchestrator.planning.toolchain_steps import add_tools
from orchestrator.runs.session import Session
from orchestrator.toolchain import families, find_toolchain
from orchestrator.toolchain.artifact_file_names import HEADER
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting import adopted_recipe, origin_guesses, save_recipe
from orchestrator.workflows.drafting.adopted_recipe import File, Given
from orchestrator.workflows.drafting.published_files import Place, Published

CHAIN = "llama.cpp"


def adopt(
    session: Session, place: Place, target: Path | None, model: str, corpus: Path | None
) -> str:
    """The recipe of published files, written to ``target`` when one is given; returns its text.

    Args:
        session: What all commands share; its runner builds the tool chain if need be.
        place: The published files.
        target: The recipe to write; paths in it are relative to its folder.
        model: Where the model is: a folder, a GGUF file, or ``owner/name@commit``.
        corpus: The calibration text: None when it is not known.

    Raises:
        UsageError: The target exists, or the text that came out is no valid recipe.
        OrchestrateError: The quantizer cannot be built or can read none of the files.
        EnvironmentProblem: The target cannot be written.
    """
    if target is not None and target.exists():
        raise UsageError(f"{target} exists already", "Choose another name with -o.")
    folder = target.parent if target is not None else Path()
    source = _source(model, folder)
    files, left_out = _alike(*read(session, place))
    guesses = origin_guesses.guess(files, place, find_toolchain.load(CHAIN), session)
    given = Given(
        model=source,
        corpus=None if corpus is None else {"path": str(_relative(corpus, folder))},
        matrices=tuple(_shown(one, folder) for one in place.matrices),
        where=place.where or {"folder": str(_relative(place.folder or Path(), folder))},
        left_out=left_out,
        guesses=guesses,
    )
    recipe = adopted_recipe.recipe(files, given)
    save_recipe.publish(recipe, folder, target)
    return recipe


def read(session: Session, place: Place) -> tuple[list[File], dict[str, str]]:
    """The headers of published files and what the pinned quantizer says of their types.

    Returns:
        What could be read, and why the rest could not, by name.

    Raises:
        OrchestrateError: The tool chain cannot be built, or no file can be read.
    """
    chain = find_toolchain.load(CHAIN)
    collector = StepCollector()
    tools = add_tools(collector, chain, chain.source.commit, session.choices)
    peeked = {one.name: source_steps.peek(collector, one.source) for one in place.files}
    problems = _run(session, collector, list(peeked.values()))
    headers, keys = {}, {}
    for one in place.files:
        if (made := session.store.find(peeked[one.name])) is not None:
            headers[one.name] = gguf.read(made.path / HEADER, partial=True)
            inputs = {"header": peeked[one.name], "toolchain": tools["toolchain"]}
            keys[one.name] = _explain(collector, chain, one.name, headers[one.name], inputs)
    problems += _run(session, collector, list(keys.values()))
    files = [
        _file(one, headers[one.name], made.facts)
        for one in place.files
        if one.name in keys and (made := session.store.find(keys[one.name])) is not None
    ]
    if not files:
        raise OrchestrateError(problems[0])
    unread = {one.name for one in place.files} - {one.name for one in files}
    return files, dict.fromkeys(sorted(unread), "the pinned llama.cpp cannot read it")


def _run(session: Session, collector: StepCollector, keys: Sequence[str]) -> list[str]:
    return progress_listeners.failures(session.runner.run(collector.steps, list(keys)))


def _explain(
    collector: StepCollector,
    chain: ToolChain,
    name: str,
    header: gguf.GGUF,
    inputs: Mapping[str, str],
) -> str:
    """Add what the pinned quantizer would have to be told to choose the file's types."""
    argvs, context = verbs(chain, "plan_quantize")
    params: dict[str, JSON] = {
        "argv": argvs,
        "types": _candidates(header, chain),
        "plain": sorted(PLAIN),
        "imatrix": any(key.startswith("quantize.imatrix.") for key in header.metadata),
    }
    return collector.add("explain", f"explain the types of {name}", params, inputs, context=context)


def _file(one: Published, header: gguf.GGUF, facts: Mapping[str, JSON]) -> File:
    known = families.load(find_toolchain.load(CHAIN).folder)
    family = known.of_gguf(str(header.metadata.get("general.architecture", "")))
    return File(one.name, one.digests, one.size, header, facts, family)


def _alike(files: list[File], left_out: dict[str, str]) -> tuple[list[File], dict[str, str]]:
    """The files of the one model that most of them are of, the largest first."""
    [(most, _)] = Counter(map(_identity, files)).most_common(1)
    other = {one.name: "it is of another model" for one in files if _identity(one) != most}
    kept = [one for one in files if _identity(one) == most]
    return sorted(kept, key=lambda one: -one.size), {**left_out, **other}


def _identity(file: File) -> tuple[str, str, frozenset[str]]:
    names = frozenset(one.name for one in file.header.tensors)
    return file.text("general.architecture"), file.text("general.name"), names


def _candidates(header: gguf.GGUF, chain: ToolChain) -> list[str]:
    """The type that the header states, or all of them when it states none that is known."""
    stated = header.metadata.get("general.file_type")
    name = FILE_TYPES.get(stated) if isinstance(stated, int) else None
    if name in chain.types:
        return [str(name)]
    known = set(FILE_TYPES.values())
    return [kind for kind in chain.types if kind in known]


def _source(text: str, folder: Path) -> dict[str, JSON] | None:
    """A model as the recipe says it; None when the user did not say."""
    if not text:
        return None
    path = Path(text)
    if path.exists():
        form = "gguf" if path.is_file() else "hf"
        return {"path": str(_relative(path, folder)), "format": form}
    repository, _, revision = text.partition("@")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UsageError(
            f"--model {text}: there is no such file or folder",
            "Give a path, or a repository as owner/name@commit.",
        )
    return {"hub": repository, "revision": revision or "main"}


def _shown(source: Mapping[str, str], folder: Path) -> dict[str, JSON]:
    """A source with its path relative to the recipe."""
    if "path" not in source:
        return dict(source)
    return {**source, "path": str(_relative(Path(source["path"]), folder))}


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))
