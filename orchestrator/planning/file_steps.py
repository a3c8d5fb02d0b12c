"""The steps that make model files: converted, importance matrix, quantized; pure."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Resources
from orchestrator.planning import source_steps
from orchestrator.planning.plan import MODEL
from orchestrator.planning.step_collector import Basis, verbs
from orchestrator.recipe.models import Quant
from orchestrator.recipe.source_fields import Model


def full(basis: Basis) -> str:
    """Add the file that is quantized: converted, or rewritten from a GGUF."""
    model, source, recipe = source_steps.merged(basis), basis.sources.model, basis.recipe
    if source is not None and source.format == "gguf":
        return _rewrite(basis, model)
    verb = "import_ggml" if source is not None and source.format == "ggml" else "convert"
    argvs, context = verbs(basis.chain, verb, options=recipe.convert.options)
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


def trusts_code(model: Model) -> bool:
    """Whether the recipe trusts all code that a model brings: of a merge, that of both sides."""
    sides = [side.trust_remote_code for side in (model.base, model.delta) if side is not None]
    return model.trust_remote_code or (bool(sides) and all(sides))


def conversion(basis: Basis, verb: str) -> dict[str, JSON]:
    """What the recipe says of converting, for the conversion itself and for trying it.

    Raises:
        UsageError: The verb lacks an option that the recipe gives.
    """
    convert = basis.recipe.convert
    return {
        **basis.chain.verb(verb).given(convert.options),
        "outtype": convert.outtype,
        "model_name": convert.model_name or basis.recipe.name,
        "file": basis.file,
    }


def _rewrite(basis: Basis, model: str) -> str:
    recipe = basis.recipe
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

    Raises:
        UsageError: The tool chain makes none.
    """
    wanted = basis.recipe.imatrix
    if wanted is None or not any(quant.imatrix for quant in basis.recipe.quantize):
        return ""
    given = basis.chain.verb("imatrix").given(wanted.options)
    argvs, context = verbs(basis.chain, "imatrix", options=given)
    return basis.collector.add(
        "imatrix",
        f"importance matrix of {basis.recipe.name}",
        {
            "argv": argvs,
            "chunks": wanted.chunks or -1,
            "context": wanted.context,
            **({"options": given} if given else {}),
        },
        {
            MODEL: full_key,
            "corpus": source_steps.corpus(basis, "calibration"),
            **basis.built,
        },
        context=context,
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
    }


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
            "format": chain.format,
            "layout": chain.layout,
        },
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="final",
    )
