"""The steps that say what will be made, and of what, before a weight is fetched; pure."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.base.step_values import JSON
from orchestrator.planning import file_steps, source_steps
from orchestrator.planning.plan import MODEL
from orchestrator.planning.step_collector import Basis, verbs


def forecast(basis: Basis) -> str:
    """Add the exact sizes of all outputs; '' where the tool chain cannot predict them."""
    convert = basis.recipe.convert
    options = {*basis.converting}.union(*(one.options for one in basis.recipe.quantize))
    names = ("describe", "plan_quantize", "shapes")
    argvs, context = verbs(basis.chain, *names, options=options, unnamed=convert.unnamed)
    format_ = basis.sources.shaped.format if basis.sources.shaped else "hf"
    if not {"describe", "plan_quantize"} <= set(argvs) or format_ not in ("hf", "mistral", "gguf"):
        _describe(basis)
        return ""
    inputs, params = _header(basis, argvs, context)
    given = source_steps.matrix(basis)
    return basis.collector.add(
        "forecast",
        f"predict sizes of {basis.recipe.name}",
        {
            "argv": {"plan_quantize": argvs["plan_quantize"]},
            "outputs": _outputs(basis),
            **params,
        },
        {**inputs, **basis.built, **({"imatrix": given} if given else {})},
        context={**context, "requantize": basis.reads_quantizable},
        keep="always",
    )


def _describe(basis: Basis) -> None:
    """Add what can be known of the weights where nothing predicts files: what is to be fetched."""
    for name, source in source_steps.weights(basis).items():
        kept = source.original or source.format == "lora"
        if kept or source.identity["kind"] != "path":
            source_steps.outline(basis, source, "" if name == "model" else name)


def census(basis: Basis) -> str:
    """Add the count of what becomes of the source's tensors; '' where nothing can tell.

    Of a base and a delta the merge itself holds both sides' tensors against each other.
    """
    source, options = basis.sources.shaped, basis.converting
    recipe = basis.recipe
    own = (one for one in recipe.parts if one not in recipe.adapter_parts)
    parts = {one: _not_of(basis, one) for one in (*own, *recipe.parts_apart)}
    unmade = [one for one in parts if one not in basis.recipe.parts]
    if source is None or not source.original or "census" not in basis.chain.verbs:
        return ""
    argvs, context = verbs(basis.chain, "census", "shapes", options=[*options, *parts])
    return basis.collector.add(
        "census",
        f"account for the tensors of {basis.recipe.name}",
        {
            **basis.chain.verb("census").given(options),
            "outtype": basis.recipe.convert.outtype,
            "trust_remote_code": file_steps.trusts_code(basis.recipe.model),
            "argv": argvs,
            **({"parts": parts} if parts else {}),
            **({"unmade": unmade} if unmade else {}),
        },
        {"model": source_steps.outline(basis, source, ""), **basis.tools},
        context=context,
        keep="always",
    )


def _not_of(basis: Basis, part: str) -> list[JSON]:
    """The options of converting the text model that do not hold for a part."""
    known = basis.chain.verb(part).options
    return sorted(one for one in basis.converting if one not in known)


def part_headers(basis: Basis) -> dict[str, str]:
    """Add the headers of the parts that become files of their own; their keys by name."""
    found = {}
    for name, outtype in basis.recipe.parts.items():
        converts, context = file_steps.part_conversion(basis, name, outtype)
        source = basis.sources.shaped
        if source is None:  # of a merge there is no outline
            continue
        inputs = {MODEL: source_steps.outline(basis, source, ""), **basis.tools}
        names = source_steps.names(basis)
        adapter = name in basis.recipe.adapter_parts
        if adapter:
            inputs = file_steps.adapter_inputs(basis, name, source_steps.outline)
            own = source_steps.name(basis.sources.corpora[f"adapter {name}"])
            names = {"base": source_steps.name(source), MODEL: own}
        found[name] = basis.collector.add(
            "header",
            f"try converting {name} of {basis.recipe.name} without weights",
            {
                **converts,
                "part": converts["verb"],
                "trust_remote_code": not adapter and file_steps.trusts_code(basis.recipe.model),
            },
            inputs,
            context={**context, **names},
            keep="always",
        )
    return found


def _outputs(basis: Basis) -> list[dict[str, JSON]]:
    dataset = basis.sources.dataset
    return [
        {
            "name": quant.name,
            **file_steps.quantization(basis, quant),
            **({"dataset": dataset} if quant.imatrix else {}),
        }
        for quant in basis.recipe.quantize
    ]


def _header(
    basis: Basis, argvs: Mapping[str, JSON], context: Mapping[str, JSON]
) -> tuple[dict[str, str], dict[str, JSON]]:
    """The input of the forecast: a header of the converted file, or the GGUF itself."""
    model = basis.sources.model
    if model is not None and model.format == "gguf":
        header = source_steps.peek(basis.collector, model)
        return {"header": header}, {"full": basis.recipe.converted_name}
    key = basis.collector.add(
        "header",
        f"try converting {basis.recipe.name} without weights",
        {
            **file_steps.conversion(basis, "describe"),
            "argv": {name: argvs[name] for name in ("describe", "shapes") if name in argvs},
            "trust_remote_code": file_steps.trusts_code(basis.recipe.model),
            **source_steps.scales(basis),
        },
        {**source_steps.outlines(basis), **basis.tools},
        context={**context, **source_steps.names(basis)},
        keep="always",
    )
    return {"header": key}, {"full": ""}
