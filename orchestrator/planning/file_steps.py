"""The steps that make model files: converted, importance matrix, quantized; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Resources
from orchestrator.planning import source_steps
from orchestrator.planning.plan import MODEL
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.step_collector import Basis, verbs
from orchestrator.planning.toolchain_steps import add_program
from orchestrator.recipe.field_types import NAME
from orchestrator.recipe.models import Imatrix, Quant
from orchestrator.recipe.source_fields import Model
from orchestrator.toolchain.model import Verb

LORA = "lora"
Bring = Callable[[Basis, Resolved, str], str]
_ABOVE = "models"  # the folder that upstream's README of 2023 puts a model's into


def full(basis: Basis) -> str:
    """Add the file that is quantized: converted, or rewritten from a GGUF."""
    model, source, recipe = source_steps.merged(basis), basis.sources.model, basis.recipe
    if source is not None and source.format == "gguf":
        return _rewrite(basis, model)
    verb = "import_ggml" if source is not None and source.format == "ggml" else "convert"
    unnamed = recipe.convert.unnamed
    argvs, context = verbs(basis.chain, verb, options=basis.converting, unnamed=unnamed)
    return basis.collector.add(
        "convert",
        f"convert {recipe.name} to {recipe.converted_name}",
        {**conversion(basis, verb), "verb": verb, "argv": argvs, **basis.runtime},
        {MODEL: model, **basis.tools},
        context={
            **context,
            "trust_remote_code": trusts_code(recipe.model),
            "stand_in": basis.choices.stand_in,
        },
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="f16",
    )


def part(basis: Basis, name: str, outtype: str) -> str:
    """Add the file of a part of the model beside the text model, such as its projector.

    Raises:
        UsageError: The tool chain makes none, or the model comes without its original weights.
    """
    recipe = basis.recipe
    converts, context = part_conversion(basis, name, outtype)
    whole = name not in recipe.adapter_parts
    return basis.collector.add(
        "convert",
        f"convert {name} of {recipe.name} to {outtype.upper()}",
        converts,
        {MODEL: source_steps.merged(basis), **basis.tools}
        if whole
        else adapter_inputs(basis, name, source_steps.brought),
        context={**context, "trust_remote_code": trusts_code(recipe.model), "stand_in": False},
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="final",
    )


def part_conversion(
    basis: Basis, name: str, outtype: str
) -> tuple[dict[str, JSON], dict[str, JSON]]:
    """Parameters and context of converting a part, for the conversion and for trying it.

    Raises:
        UsageError: As :func:`part`.
    """
    adapter = basis.recipe.adapter_parts.get(name)
    called = name if adapter is None else LORA
    convert, verb = basis.recipe.convert, basis.chain.verb(called)
    kept = (one.original or one.format == "lora" for one in source_steps.weights(basis).values())
    if not all(kept):
        raise UsageError(
            f"{basis.recipe.name}: {name!r} is made of the original model, and the recipe starts "
            "from a converted file",
            f"Leave {name!r} out, or name the original model.",
        )
    given = {**convert.options, **basis.layout}
    options = {key: value for key, value in given.items() if key in verb.options}
    argvs, context = verbs(basis.chain, called, options=options, unnamed=convert.unnamed)
    # The converter of adapters calls the model like the folder, and takes no other name.
    folder = {"model_name": name.removeprefix(f"{LORA}-")} if adapter else _named(basis, verb)
    named = {"outtype": outtype, **folder, "file": basis.file}
    return {**verb.given(options), **named, "verb": called, "argv": argvs}, context


def adapter_inputs(basis: Basis, name: str, bring: Bring) -> dict[str, str]:
    """What an adapter's file is made from: it and its base's outline; and the converter.

    Raises:
        UsageError: It is one file.
    """
    base, source = basis.sources.shaped, basis.sources.corpora[f"adapter {name}"]
    assert base is not None  # the recipe is checked for that
    source_steps.expect_folder(basis.recipe.name, source)
    build = basis.collector.step(basis.tools["toolchain"])
    program = basis.chain.verb(LORA).program
    return {
        MODEL: bring(basis, source, name),
        "base": source_steps.outline(basis, base, ""),
        "script": add_program(basis.collector, basis.chain, program, build),
        **basis.tools,
    }


def trusts_code(model: Model) -> bool:
    """Whether the recipe trusts all code that a model brings: of a merge, that of both sides."""
    sides = [side.trust_remote_code for side in (model.base, model.delta) if side is not None]
    return model.trust_remote_code or (bool(sides) and all(sides))


def conversion(basis: Basis, verb: str) -> dict[str, JSON]:
    """What the recipe says of converting, for the conversion itself and for trying it.

    Raises:
        UsageError: The verb lacks an option that the recipe gives, or cannot give that name.
    """
    convert = basis.recipe.convert
    return {
        **basis.chain.verb(verb).given(basis.converting),
        "outtype": convert.outtype,
        **_named(basis, basis.chain.verb(verb)),
        "file": basis.file,
    }


def _named(basis: Basis, verb: Verb) -> dict[str, JSON]:
    """The name that the converter is told, and the folder where it sees the model.

    Without a flag for names it takes the folder's. Then there is no other than the name.
    """
    convert, recipe = basis.recipe.convert, basis.recipe
    said = convert.model_name or recipe.name
    if convert.unnamed:
        folder = _usual_folder(basis)
        return {"model_name": _ABOVE if verb.named_twice else folder, "folder": folder}
    if not verb.named_by and "/" in said:
        raise UsageError(
            f"{recipe.name}: this commit's converter takes the model's name from its folder, "
            f"which cannot be called {said!r}",
            "Give 'convert.model_name' without a slash.",
        )
    plain = re.fullmatch(NAME, said) or not verb.named_by
    return {"model_name": said, **({} if plain else {"folder": _usual_folder(basis)})}


def _usual_folder(basis: Basis) -> str:
    """What the model's folder is called by those who convert by hand: like the repository."""
    source = basis.sources.model
    if source is not None and source.identity["kind"] == "hub":
        return str(source.identity["repo"]).rpartition("/")[2]
    if source is not None and source.identity["kind"] == "path":
        return Path(str(source.context["path"])).name or basis.recipe.name
    return basis.recipe.name


def _rewrite(basis: Basis, model: str) -> str:
    recipe = basis.recipe
    if recipe.converted_name not in basis.chain.types:
        raise UsageError(
            f"{recipe.name}: {recipe.converted_name} is no type of the quantizer, "
            "which rewrites a GGUF",
            "Choose another 'convert.outtype', such as f16.",
        )
    argvs, context = verbs(basis.chain, "quantize")
    return basis.collector.add(
        "quantize",
        f"rewrite {recipe.name} as {recipe.converted_name}",
        {
            "argv": argvs,
            "type": recipe.converted_name,
            "file": basis.file,
            "allow_requantize": True,
        },
        {MODEL: model, **basis.built},
        context={**context, "allow_fallback": True, "stand_in": basis.choices.stand_in},
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="f16",
    )


def imatrix(basis: Basis, full_key: str) -> str:
    """Add the importance matrix, if the recipe has a type that wants one; else ''.

    It is fetched, or made from one text and then extended by others in the order of their names.

    Raises:
        UsageError: The tool chain makes none, or none of several texts.
    """
    wanted = basis.recipe.used_imatrix
    if wanted is None or wanted.file is not None:
        return source_steps.matrix(basis)
    key = ""
    for name in ("", *sorted(wanted.more)):
        key = _on_text(basis, wanted, name, {MODEL: full_key, **({"previous": key} if key else {})})
    return key


def _on_text(basis: Basis, wanted: Imatrix, name: str, inputs: Mapping[str, str]) -> str:
    """Add the importance matrix on one more text."""
    verb = "extend_imatrix" if "previous" in inputs else "imatrix"
    given = basis.chain.verb(verb).given(wanted.options)
    argvs, context = verbs(basis.chain, verb, options=given)
    last = name == max(wanted.more, default="")
    return basis.collector.add(
        "imatrix",
        f"importance matrix of {basis.recipe.name}{f' with {name}' if name else ''}",
        {
            "argv": argvs,
            "chunks": wanted.chunks or -1,
            "context": wanted.context,
            **({"options": given} if given else {}),
        },
        {
            **inputs,
            "corpus": source_steps.corpus(basis, f"calibration {name}".strip()),
            **basis.built,
        },
        context={**context, "last": last},
        resources=Resources(cpu=True),
        keep="always",
    )


def quantization(basis: Basis, quant: Quant) -> dict[str, JSON]:
    """The options of one quantization for the verb's template; unset ones are left out.

    Raises:
        UsageError: The verb lacks an option that the recipe gives.
    """
    options: dict[str, JSON] = {
        "pure": quant.pure,
        "leave_output_tensor": quant.leave_output_tensor,
        "output_tensor_type": quant.output_tensor_type or "",
        "token_embedding_type": quant.token_embedding_type or "",
        "tensor_types": dict(quant.tensor_types),
        "override_kv": dict(quant.override_kv),
        "order": quant.order,
        "allow_requantize": quant.allow_requantize,
        "options": basis.chain.verb("quantize").given(quant.options),
    }
    return {
        "type": basis.chain.types[quant.type].argument or quant.type,
        "imatrix": quant.imatrix,
        **{name: value for name, value in options.items() if value},
        **(_recorded(basis) if quant.imatrix else {}),
    }


def _recorded(basis: Basis) -> dict[str, JSON]:
    """What files say of their importance matrix's path, where that is not the usual name."""
    wanted, given = basis.recipe.used_imatrix, basis.sources.corpora.get("imatrix")
    said = wanted.recorded_as if wanted is not None else None
    name = said or (given.file_name if given is not None else "")
    return {"imatrix_name": name} if name else {}


def quantize(basis: Basis, quant: Quant, full_key: str, imatrix_key: str) -> str:
    """Add one quantized file."""
    chain = basis.chain
    argvs, context = verbs(chain, "quantize", options=quant.options)
    rewrites = quant.type == "COPY" and basis.reads_quantizable
    model = source_steps.merged(basis) if rewrites else full_key
    weighing = {"imatrix": imatrix_key} if quant.imatrix else {}
    return basis.collector.add(
        "quantize",
        f"quantize {basis.recipe.name} to {quant.name}",
        {"argv": argvs, **quantization(basis, quant), "file": basis.file},
        {MODEL: model, **basis.built, **weighing},
        context={
            **context,
            "allow_fallback": quant.allow_fallback,
            "stand_in": basis.choices.stand_in,
            "mix": list(chain.types[quant.type].mix),
            "imatrix_formats": list(chain.imatrix_formats) if basis.given_imatrix else [],
            "format": chain.format,
            "layout": chain.layout,
        },
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="final" if basis.recipe.header is None else "f16",
    )


def with_header(basis: Basis, step: str, name: str) -> str:
    """Add the file with what the recipe says of its header; without that, the step itself.

    Raises:
        UsageError: The tool chain changes no headers.
    """
    if basis.recipe.header is None:
        return step
    params, inputs, context = _header_changes(basis)
    return basis.collector.add(
        "rewrite",
        f"change the header of {basis.recipe.name} {name}",
        params,
        {MODEL: step, **inputs},
        context=context,
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="final",
    )


def rehearsal(basis: Basis, header: str) -> str:
    """Add trying the changes on a header that is known before weights are; '' without any.

    Raises:
        UsageError: As :func:`with_header`.
    """
    if basis.recipe.header is None:
        return ""
    params, inputs, context = _header_changes(basis)
    return basis.collector.add(
        "rehearse",
        f"try the header of {basis.recipe.name}",
        params,
        {"header": header, **inputs},
        context=context,
        keep="always",
    )


def _header_changes(basis: Basis) -> tuple[dict[str, JSON], dict[str, str], dict[str, JSON]]:
    """Parameters, inputs beside the file, and context."""
    stated = basis.recipe.header
    assert stated is not None
    if "rewrite_header" not in basis.chain.verbs:
        chain = f"{basis.chain.name} {basis.sources.commit[:12]}"
        raise UsageError(
            f"{basis.recipe.name}: {chain} changes no headers",
            "Leave 'header' out of the recipe, or take a newer commit.",
        )
    argvs, context = verbs(basis.chain, "rewrite_header")
    own = stated.model_dump(mode="json", include={"special_tokens", "set", "remove"})
    params = {"argv": argvs, "file": basis.file, **own}
    return params, {**basis.tools, **source_steps.template(basis)}, context
