"""The steps that measure files: one for each measure of each file, and the full file's logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Resources
from orchestrator.measures import further_texts, registry
from orchestrator.measures.definition import ADAPTER, ORIGINAL, ORIGINAL_TEXTS, Measure, Work
from orchestrator.planning import source_steps
from orchestrator.planning.plan import MODEL
from orchestrator.planning.step_collector import Basis, verbs
from orchestrator.planning.toolchain_steps import add_program
from orchestrator.recipe.models import Recipe
from orchestrator.recipe.source_fields import Source
from orchestrator.toolchain.load import ToolChain

_HEADER, _LOADED = "header", "load"


@dataclass(frozen=True)
class Measured:
    """One file to measure.

    Attributes:
        name: What the output is called.
        step: Key of the step that makes it.
        file: What it is called in the store.
        full: Key of the step that makes the unquantized file.
        logits: Keys from :func:`logits`.
        full_measures: Keys of the unquantized file's own measures, empty for that file itself.
    """

    name: str
    step: str
    file: str
    full: str
    logits: Mapping[str, str]
    full_measures: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether it is the unquantized file itself."""
        return self.step == self.full


def logits(basis: Basis, full: str) -> dict[str, str]:
    """Add the full file's own perplexity on each text, and its logits where divergence is wanted.

    Returns:
        The steps' keys by the names of texts, the first's being empty.
    """
    asked = basis.recipe.verify.sections
    if "perplexity" not in asked or "logits" not in basis.chain.verbs or not basis.choices.verify:
        return {}
    compared = [one for one in registry.measures() if one.work and one.work.compares]
    save = any(one.asked_by in asked and _can(basis, one.work) for one in compared)
    texts = ("", *further_texts.asked(asked))
    return {text: _logits(basis, full, text, save=save) for text in texts}


def _logits(basis: Basis, full: str, text: str, *, save: bool) -> str:
    recipe, wanted = basis.recipe, basis.recipe.verify.sections["perplexity"]
    argvs, context = verbs(basis.chain, "logits")
    settings = {"context": wanted["context"], "chunks": wanted["chunks"] or -1}
    corpus = source_steps.corpus(basis, further_texts.name_of("perplexity", text))
    return basis.collector.add(
        "logits",
        f"perplexity of {recipe.name} {recipe.converted_name}" + (f" on {text}" if text else ""),
        {"argv": argvs, "file": basis.file, "save": save, **settings, **basis.runtime},
        {MODEL: full, "corpus": corpus, **basis.tools},
        context=context,
        resources=Resources(cpu=True),
        keep="intermediate" if save else "always",
    )


def texts_read(recipe: Recipe, chain: ToolChain) -> dict[str, Source]:
    """The recipe's texts that a measure reads which the tool chain can take, by their names."""
    works = [one.work for one in registry.measures() if one.work is not None]
    read = {one.text for one in works if chain.verbs.keys() >= set(one.verbs)}
    texts = recipe.verify.texts.items()
    return {name: source for name, source in texts if further_texts.split(name)[0] in read}


def _all(basis: Basis) -> tuple[Measure, ...]:
    """All measures, on all texts that the recipe names."""
    return registry.measures(further_texts.asked(basis.recipe.verify.sections))


def measures(
    basis: Basis, file: Measured, which: Literal["all", "numbers", "texts"] = "all"
) -> dict[str, str]:
    """Add the steps that measure one file; their keys by the names of measures.

    ``texts`` are those whose results a header's texts may change, ``numbers`` all others; whether
    a file is one and can be loaded is looked at in any case.
    """
    wanted = {
        one.name: one
        for one in _all(basis)
        if _wanted(basis, one, file)
        if which == "all"
        or one.name in (_HEADER, _LOADED)
        or (one.work is not None and one.work.reads_texts == (which == "texts"))
    }
    keys: dict[str, str] = {}
    for name, measure in wanted.items():
        work = measure.work
        assert work is not None
        if work.covered_by not in wanted:
            keys[name] = _step(basis, measure, work, file, keys)
    return keys


def of_part(basis: Basis, name: str, step: str) -> dict[str, str]:
    """Add the measures of a part of the model: those that no tool takes, for it runs no part.

    There is no other file that it is compared with.
    """
    file = Measured(name, step, basis.file, step, {})
    return {
        one.name: _step(basis, one, one.work, file, {})
        for one in _all(basis)
        if one.work is not None and not one.work.loads
    }


def of_adapter(basis: Basis, name: str, step: str, full: str) -> dict[str, str]:
    """Add the measures of an adapter's file: its header, and what the full file writes with it."""
    found, adapter = of_part(basis, name, step), basis.recipe.adapter_parts[name]
    [measure] = [one for one in _all(basis) if one.work and one.work.part == ADAPTER]
    if not _can(basis, measure.work):
        return found
    argvs, context = verbs(basis.chain, *(measure.work.verbs if measure.work else ()))
    said = adapter.model_dump(include={"prompt", "expect", "tokens"})
    key = basis.collector.add(
        "measure",
        f"measure {basis.recipe.name} {name}: a text with it",
        {"measure": measure.name, "file": basis.file, "argv": argvs, **said, **basis.runtime},
        {MODEL: full, ADAPTER: step, **basis.tools},
        context=context,
        resources=Resources(cpu=True),
        keep="always",
    )
    return {**found, measure.name: key}


def of_full_alone(basis: Basis, file: Measured) -> dict[str, str]:
    """Add what of the full file others are held against, where it is no output itself."""
    return {
        one.name: _step(basis, one, one.work, file, {})
        for one in _all(basis)
        if one.work is not None and _held_against(basis, one, file)
    }


def reads_texts(basis: Basis) -> bool:
    """Whether something is measured of the full file alone that its header's texts may change."""
    found = [one for one in _all(basis) if one.work and one.work.reads_texts and one.work.original]
    asked = basis.recipe.verify.sections
    return any(one.asked_by in asked and _can(basis, one.work) for one in found)


def _held_against(basis: Basis, measure: Measure, full: Measured) -> bool:
    work = measure.work
    assert work is not None
    if work.against_full:
        return _wanted(basis, measure, full)
    return work.text == "perplexity" and work.on in full.logits


def lacking(basis: Basis) -> frozenset[str]:
    """Measures that the recipe asks for and that the tool chain cannot take."""
    asked = basis.recipe.verify.sections
    return frozenset(
        one.name
        for one in _all(basis)
        if one.work is not None and not _can(basis, one.work)
        if not one.asked_by or one.asked_by in asked
    )


def _can(basis: Basis, work: Work | None) -> bool:
    return work is not None and all(verb in basis.chain.verbs for verb in work.verbs)


def _wanted(basis: Basis, measure: Measure, file: Measured) -> bool:
    if measure.work is None or not _can(basis, measure.work):
        return False
    if measure.work.part and measure.work.part not in basis.parts:
        return False
    if measure.work.compares and (file.is_full or measure.work.on not in file.logits):
        return False
    if measure.work.original and not file.is_full:
        return False
    if measure.work.original == "weights" and not _has_original(basis, measure):
        return False
    return not measure.asked_by or measure.asked_by in basis.recipe.verify.sections


def _has_original(basis: Basis, measure: Measure) -> bool:
    """Whether the full file was converted from a folder that transformers reads.

    Raises:
        UsageError: It was not, and the recipe asks for the measure.
    """
    formats = [one.format for one in source_steps.weights(basis).values()]
    other = [one for one in formats if one not in ("hf", "lora")]
    if other and measure.asked_by in basis.recipe.verify.sections:
        raise UsageError(
            f"{basis.recipe.name}: 'verify.{measure.asked_by}' needs the original model, and the "
            f"recipe starts from a file in the format {other[0]!r}",
            f"Say 'verify: {{{measure.asked_by}: false}}'.",
        )
    return not other


def _step(
    basis: Basis, measure: Measure, work: Work, file: Measured, before: Mapping[str, str]
) -> str:
    argvs, context = verbs(basis.chain, *work.verbs)
    options = work.options(basis.recipe.verify.sections) if work.options is not None else {}
    params: dict[str, JSON] = {"measure": measure.name, "file": file.file, **options}
    if work.loads:
        params |= {"argv": argvs, **basis.runtime}
    else:
        params |= {"format": basis.chain.format, "layout": basis.chain.layout}
        params |= {"full_file": basis.file}
    return basis.collector.add(
        "measure",
        f"measure {basis.recipe.name} {file.name}: {work.doing}",
        params,
        _inputs(basis, measure, file, before),
        context=context,
        resources=Resources(cpu=work.loads, alone=any(one.timed for one in measure.numbers)),
        keep="always",
    )


def _inputs(
    basis: Basis, measure: Measure, file: Measured, before: Mapping[str, str]
) -> dict[str, str]:
    """What a measure reads; a file is only measured by tools once upstream has loaded it."""
    work = measure.work
    assert work is not None
    if not work.loads:
        return {MODEL: file.step, "full": file.full}
    pinned = any(basis.chain.verbs[verb].pinned for verb in work.verbs)
    tools = basis.reader() if pinned else basis.tools
    inputs = {MODEL: file.step, **tools, **_programs(basis, work, tools)}
    inputs |= _original(basis, work)
    inputs |= {work.part: basis.parts[work.part]} if work.part else {}
    inputs |= {name: before[name] for name in (_HEADER, _LOADED) if name in before}
    # The full file's perplexity on its own text was found with its logits.
    reads_logits = work.compares or (file.is_full and work.text == "perplexity")
    if work.against_full and measure.name in file.full_measures:
        inputs["full"] = file.full_measures[measure.name]
    if reads_logits and work.on in file.logits:
        inputs["logits"] = file.logits[work.on]
    elif work.text:
        inputs["corpus"] = source_steps.corpus(basis, further_texts.name_of(work.text, work.on))
    return inputs


def _original(basis: Basis, work: Work) -> dict[str, str]:
    """What a measure reads of the original model."""
    if work.original == "weights":
        return {ORIGINAL: source_steps.merged(basis)}
    source = basis.sources.delta or basis.sources.shaped
    header = basis.recipe.header
    if not work.original or (header is not None and header.changes_template):
        return {}
    if source is None or source.format != "hf":
        return {}
    return {ORIGINAL_TEXTS: source_steps.outline(basis, source, "")}


def _programs(basis: Basis, work: Work, tools: Mapping[str, str]) -> dict[str, str]:
    """A program that its verb calls, with the whole build beside it, in the build's place."""
    called = [basis.chain.verbs[verb] for verb in work.verbs if basis.chain.verbs[verb].program]
    if not called:
        return {}
    [verb] = called
    chain = (verb.pinned and basis.chain.pinned) or basis.chain
    build = basis.collector.step(tools["toolchain"])
    return {"toolchain": add_program(basis.collector, chain, verb.program, build)}
