"""Read a published file and write the recipe that would make it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.engine import progress_listeners
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES, PLAIN
from orchestrator.planning import source_steps
from orchestrator.planning.recipe_to_steps import MODEL
from orchestrator.planning.step_collector import StepCollector, verbs
from orchestrator.planning.toolchain_steps import add_tools
from orchestrator.recipe.source_fields import Weights
from orchestrator.runs.resolve_sources import Resolver
from orchestrator.runs.session import Session
from orchestrator.toolchain import families, find_toolchain
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting import adopted_recipe, save_recipe
from orchestrator.workflows.drafting.adopted_recipe import File, Given

CHAIN = "llama.cpp"
_SPLIT = "split.count"


def adopt(
    session: Session, path: Path, target: Path | None, model: str, corpus: Path | None
) -> str:
    """The recipe of a file, written to ``target`` when one is given; returns its text.

    Args:
        session: What all commands share; its runner builds the tool chain if need be.
        path: The published file.
        target: The recipe to write; paths in it are relative to its folder.
        model: Where the model is: a folder, a GGUF file, or ``owner/name@commit``.
        corpus: The calibration text: None when it is not known.

    Raises:
        UsageError: The target exists, the file is one part of several, or the text that
            came out is no valid recipe.
        FormatError: The file is no GGUF file.
        OrchestrateError: The quantizer cannot be built or cannot read the file.
        EnvironmentProblem: The target cannot be written.
    """
    if target is not None and target.exists():
        raise UsageError(f"{target} exists already", "Choose another name with -o.")
    header = gguf.read(path)
    parts = header.metadata.get(_SPLIT, 1)
    if isinstance(parts, int) and parts > 1:
        raise UsageError(
            f"{path} is one of {parts} parts", "Merge the parts first; the recipe is of the whole."
        )
    folder = target.parent if target is not None else Path()
    text = None if corpus is None else {"path": str(_relative(corpus, folder))}
    given = Given(_source(model, folder), text)
    # The recipe names the file itself only when nothing better is known of the model.
    shown = replace(header, path=_relative(path, folder))
    facts = explained(session, path, header)
    known = families.load(find_toolchain.load(CHAIN).folder)
    family = known.of_gguf(str(header.metadata.get("general.architecture", "")))
    file = File(path.name, session.store.file_digest(path), shown, facts, family)
    recipe = adopted_recipe.recipe(file, given)
    save_recipe.publish(recipe, folder, target)
    return recipe


def explained(session: Session, path: Path, header: gguf.GGUF) -> Mapping[str, JSON]:
    """What the pinned quantizer would have to be told to choose the file's types.

    Raises:
        OrchestrateError: The tool chain cannot be built, or the quantizer failed.
    """
    chain = find_toolchain.load(CHAIN)
    resolver = Resolver(session.store.file_digest, offline=True)
    source = resolver.resolve(Weights(path=path.absolute(), format="gguf"))
    collector = StepCollector()
    tools = add_tools(collector, chain, chain.source.commit, session.choices)
    argvs, context = verbs(chain, "plan_quantize")
    params: dict[str, JSON] = {
        "argv": argvs,
        "types": _candidates(header, chain),
        "plain": sorted(PLAIN),
        "imatrix": any(key.startswith("quantize.imatrix.") for key in header.metadata),
    }
    inputs = {MODEL: source_steps.fetch(collector, source), "toolchain": tools["toolchain"]}
    label = f"explain the types of {path.name}"
    key = collector.add("explain", label, params, inputs, context=context)
    [*results] = session.runner.run(collector.steps, [key])
    problems = progress_listeners.failures(results)
    if problems:
        raise OrchestrateError(problems[0])
    made = session.store.find(key)
    assert made is not None, "the runner said it was done"
    return made.facts


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


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))
