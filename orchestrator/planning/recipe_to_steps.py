"""A recipe as ordered, keyed steps; pure.

Keys of steps come from the keys of their inputs, so the whole plan is known, hits and
misses included, before a weight file is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.planning import file_steps, measure_steps, source_steps
from orchestrator.planning.forecast_steps import census, forecast, part_headers
from orchestrator.planning.measure_steps import Measured
from orchestrator.planning.plan import MODEL, Choices, Output, Plan, Sources, union
from orchestrator.planning.step_collector import Basis, StepCollector, of_layout
from orchestrator.planning.toolchain_steps import add_tools, toolchain_steps
from orchestrator.recipe.free_licences import why_not_free
from orchestrator.recipe.models import Quant, Recipe
from orchestrator.recipe.publish_section import Publish
from orchestrator.toolchain.load import ToolChain

__all__ = [
    "MODEL",
    "Choices",
    "Output",
    "Plan",
    "Sources",
    "make",
    "make_single",
    "toolchain_steps",
    "union",
]


def make(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan one recipe.

    Raises:
        UsageError: The tool chain has no such profile or back end or does not read such
            models, or ``--only`` names no file of the recipe.
    """
    _check_types(recipe, chain, sources.commit)
    basis = _basis(recipe, chain, sources, choices)
    source_steps.check_weights(basis)
    predicted, headers, counted = forecast(basis), part_headers(basis), census(basis)
    rehearsed = _rehearsal(basis, predicted)
    gate = tuple(filter(None, (predicted, counted, rehearsed, *headers.values())))
    basis = replace(basis, gate=gate)
    parts = {name: file_steps.part(basis, name, one) for name, one in recipe.parts.items()}
    basis = replace(basis, parts=parts)
    full = file_steps.full(basis)
    read = _read(basis, full, recipe.converted_name)
    imatrix = file_steps.imatrix(basis, read)
    made = [
        (quant, file_steps.quantize(basis, quant, full, imatrix))
        for quant in _chosen(recipe, choices.only)
    ]
    logits = measure_steps.logits(basis, read)
    whole = _output(basis, recipe.converted_name, full, read, logits)
    outputs = tuple(
        _output(basis, quant.name, key, read, logits, quant=quant, whole=whole.measures)
        for quant, key in made
    )
    outputs += tuple(
        _part(basis, name, key, read)
        for name, key in parts.items()
        if not choices.only or name in choices.only
    )
    terms = _terms(basis)
    return Plan(
        recipe,
        chain,
        sources,
        tuple(replace(one, context={**one.context, **terms}) for one in basis.collector.steps),
        outputs,
        whole,
        forecast=predicted,
        census=counted,
        parts=parts,
        part_headers=headers,
        rehearsal=rehearsed,
    )


def make_single(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan the measuring of one file that is there.

    ``sources.base`` is the file, ``sources.model`` the unquantized one that it is compared
    with, or the file itself. Of a model in parts each has all, the first one first.
    """
    assert sources.model is not None
    assert sources.base is not None
    file, name = (next(iter(one.identity["files"])) for one in (sources.model, sources.base))
    own = replace(choices, profile="", backend="")
    basis = replace(_basis(recipe, chain, sources, own), file=file)
    full = source_steps.fetch(basis.collector, sources.model)
    step = source_steps.fetch(basis.collector, sources.base)
    logits = measure_steps.logits(basis, full) if step != full else {}
    alone = Measured(recipe.converted_name, full, file, full, logits)
    compared = measure_steps.of_full_alone(basis, alone) if step != full else {}
    measures = measure_steps.measures(basis, Measured(name, step, name, full, logits, compared))
    output = Output(name, name, name, step, measures, lacking=measure_steps.lacking(basis))
    whole = Output(recipe.converted_name, file, file, full, compared)
    return Plan(recipe, chain, sources, basis.collector.steps, (output,), whole)


def _basis(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Basis:
    """What all steps are made from, with the tool chain's steps collected already."""
    collector, stated = StepCollector(), recipe.toolchain
    profile, backend = choices.profile or stated.profile, choices.backend or stated.backend
    chosen = replace(choices, profile=profile, backend=backend)
    chain = chain.with_packages([*recipe.convert.options, *of_layout(chain, sources)])
    tools = add_tools(collector, chain, sources.commit, chosen)
    file = f"{MODEL}{chain.extension}"

    def reader() -> dict[str, str]:
        pinned = chain.pinned
        return add_tools(collector, pinned, pinned.source.commit, chosen) if pinned else tools

    return Basis(recipe, chain, sources, choices, collector, file, tools, reader)


def _terms(basis: Basis) -> dict[str, JSON]:
    """What decides whether others may have the results of steps: no part of their keys."""
    own = (one for one in basis.sources.corpora.values() if one.format == "lora")
    weights = (*source_steps.weights(basis).values(), *own)
    hubs = [one.identity["repo"] for one in weights if one.identity["kind"] == "hub"]
    return {"terms": {"why": _why_kept(basis.recipe.publish), "hubs": hubs}}


def _why_kept(publish: Publish) -> str:
    """Why what a recipe makes is not passed on, by the recipe's own word; empty if it may be."""
    if publish.redistribute is not None:
        return "" if publish.redistribute else "the recipe says 'redistribute: false'"
    return why_not_free(publish.license) if publish.license else "its licence is not stated"


def _check_types(recipe: Recipe, chain: ToolChain, commit: str) -> None:
    """Refuse types that other commits of upstream have and this one has not."""
    lacking = [one.type for one in recipe.quantize if one.type not in chain.types]
    if recipe.convert.outtype not in chain.outtypes:
        lacking.append(recipe.convert.outtype)
    if lacking:
        raise UsageError(
            f"{recipe.name}: {chain.name} {commit[:12]} has no type {', '.join(lacking)}",
            f"It has {', '.join(chain.types)}; its converter writes {', '.join(chain.outtypes)}.",
        )
    of_tensors = [one.name for one in recipe.quantize if one.tensor_types]
    if of_tensors and not chain.tensor_types:
        raise UsageError(
            f"{recipe.name}: {chain.name} {commit[:12]} gives no types to single tensors",
            f"Leave 'tensor_types' out of {', '.join(of_tensors)}, or take a newer commit.",
        )


def _chosen(recipe: Recipe, only: Sequence[str]) -> list[Quant]:
    quants = list(recipe.quantize)
    if not only:
        return quants
    wanted = {name.casefold() for name in only}
    chosen = [q for q in quants if {q.name.casefold(), q.type.casefold()} & wanted]
    if not chosen and wanted.isdisjoint(recipe.parts):
        raise UsageError(
            f"{recipe.name} has no file {', '.join(only)}",
            f"It has: {', '.join([*(q.name for q in quants), *recipe.parts])}.",
        )
    return chosen


def _rehearsal(basis: Basis, forecast: str) -> str:
    """Add trying the changes of headers where one is known before weights are."""
    header = basis.collector.step(forecast).inputs["header"] if forecast else ""
    return file_steps.rehearsal(basis, header) if header else ""


def _read(basis: Basis, step: str, name: str) -> str:
    """The file that tools compute with: after its header was changed only if that matters to them.

    So another chat template leaves numbers and importance matrices as they are.
    """
    header = basis.recipe.header
    return (
        step if header is None or header.texts_only else file_steps.with_header(basis, step, name)
    )


def _part(basis: Basis, name: str, step: str, full: str) -> Output:
    file, keys = f"{basis.recipe.part_name(name)}{basis.chain.extension}", dict[str, str]()
    if basis.choices.verify and name in basis.recipe.adapter_parts:
        keys = measure_steps.of_adapter(basis, name, step, full)
    elif basis.choices.verify:
        keys = measure_steps.of_part(basis, name, step)
    return Output(name, file, basis.file, step, keys, part=name)


def _output(
    basis: Basis,
    name: str,
    step: str,
    full: str,
    logits: Mapping[str, str],
    *,
    quant: Quant | None = None,
    whole: Mapping[str, str] | None = None,
) -> Output:
    file = f"{basis.recipe.name}-{name}{basis.chain.extension}"
    read, keys = _read(basis, step, name), {}
    # Of the full file nothing but its header's texts may be wanted.
    final = quant is not None or (basis.choices.verify and measure_steps.reads_texts(basis))
    made = file_steps.with_header(basis, step, name) if final else read
    if basis.choices.verify:
        measured = Measured(name, read, basis.file, full, logits, whole or {})
        keys = measure_steps.measures(basis, measured, "all" if made == read else "numbers")
        if made != read:
            own = replace(measured, step=made, full=full if quant else made)
            keys |= measure_steps.measures(basis, own, "texts")
    lacking = measure_steps.lacking(basis) if basis.choices.verify else frozenset()
    before = step if made != step else ""
    return Output(name, file, basis.file, made, keys, quant, lacking, base=before)
