"""A recipe's draft from what was found and what the user wants; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import gcd

from orchestrator.base import safe_text
from orchestrator.base.errors import UsageError
from orchestrator.base.near_match import near
from orchestrator.base.step_values import JSON
from orchestrator.measures import registry
from orchestrator.measures.definition import Limit, Measure
from orchestrator.toolchain.draft_policy import LARGEST_BLOCK, Policy
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting.survey_findings import Found

# The text that upstream and this repository's recipes measure on: WikiText-2, in the archive
# that llama.cpp's own tests use. Its training split is for calibration, the other for measuring.
_WIKITEXT: Mapping[str, str] = {
    "hub": "ggml-org/ci",
    "repo_type": "dataset",
    "revision": "main",
    "file": "wikitext-2-raw-v1.zip",
}
MEASURED = {**_WIKITEXT, "member": "wikitext-2-raw/wiki.test.raw"}
CALIBRATING = {**_WIKITEXT, "member": "wikitext-2-raw/wiki.train.raw"}
# From this on a type keeps so much that an importance matrix changes nothing to speak of.
_PRECISE_BITS = 8
# Saved logits take two bytes a token of the vocabulary: 32 pieces of a large one are 2.5 GB.
_LARGE_VOCABULARY = 100_000
_BPW_BYTE = 8


@dataclass(frozen=True)
class Wanted:
    """What the user says.

    Attributes:
        types: The types; empty for those of the policy.
        imatrix: Whether to make an importance matrix; None for "where it is needed".
        corpus: Path of the text to measure on, relative to the recipe; empty for WikiText-2.
        calibration: Path of the calibration text, likewise.
    """

    types: tuple[str, ...] = ()
    imatrix: bool | None = None
    corpus: str = ""
    calibration: str = ""


@dataclass(frozen=True)
class Output:
    """One file of the recipe; ``size`` in bytes is an estimate, 0 if the type has no bits."""

    type: str
    size: int
    imatrix: bool
    fallback: bool
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Draft:
    """Everything that a recipe says.

    Attributes:
        name: Of the recipe.
        chain: The tool chain.
        form: What its files are: GGUF or GGML.
        found: The model.
        outtype: Type of the converted file.
        outputs: The files.
        rows: Row lengths that are no multiple of the quantizer's largest block.
        corpus: What perplexity is measured on; None where nothing is measured.
        calibration: What the importance matrix is made from; None without one.
        chunks: How many pieces of ``corpus`` are used.
        compared: Sections that compare files with the full one on ``corpus``, as far as the
            tool chain can.
        reference: Whether predictions are compared with those of the original model.
        chat: Whether its chat template is tried.
        facts: Whether it is large enough to know facts.
    """

    name: str
    chain: str
    form: str
    found: Found
    outtype: str
    outputs: tuple[Output, ...]
    rows: tuple[int, ...]
    corpus: Mapping[str, str] | None
    calibration: Mapping[str, str] | None
    chunks: int
    compared: tuple[str, ...]
    reference: bool
    chat: bool
    facts: bool


def draft(found: Found, wanted: Wanted, chain: ToolChain, policy: Policy) -> Draft:
    """What the recipe should say.

    Raises:
        UsageError: A wanted type is unknown, is what the converter writes anyway, or needs an
            importance matrix that the user does not want.
    """
    outtype = _outtype(found, chain)
    types = _types(found, wanted, chain, policy)
    if outtype.upper() in types:
        raise UsageError(
            f"--quantize {outtype.upper()}: that is the converted file, which is not quantized",
            "Leave it out; 'orchestrate run --keep all' keeps that file in the store.",
        )
    matrix = _matrix(types, wanted, chain)
    measured = "logits" in chain.verbs and not found.silent
    made = [_output(kind, found, chain, policy, matrix=matrix) for kind in types]
    limited = measured or bool(found.encodes)
    outputs = made if limited else [replace(one, limits={}) for one in made]
    return Draft(
        name=recipe_name(found.named),
        chain=chain.name,
        form=chain.format.upper(),
        found=found,
        outtype=outtype,
        outputs=tuple(outputs),
        rows=tuple(row for row in found.weights.rows if row % LARGEST_BLOCK),
        corpus=_text(wanted.corpus, MEASURED) if measured else None,
        calibration=_text(wanted.calibration, CALIBRATING) if matrix else None,
        chunks=16 if found.vocabulary > _LARGE_VOCABULARY else 32,
        compared=tuple(_compared(chain)) if measured else (),
        reference="reference_logits" in chain.verbs and _has_reference(found, policy),
        chat="render" in chain.verbs and found.chat and not found.silent,
        facts=not 0 < found.weights.parameters < policy.facts,
    )


def _has_reference(found: Found, policy: Policy) -> bool:
    """Whether transformers can be expected to load the model: as it is, and without its code."""
    odd = found.file or found.silent or found.code or found.quantized
    return not odd and 0 < found.weights.parameters <= policy.reference


def recipe_name(repo: str) -> str:
    """The repository's name as a recipe's: lower case, of the characters that names have."""
    bare = repo.partition("/")[2].replace("/", "-").lower().removesuffix("-gguf")
    return safe_text.file_name(bare, 100) or "model"


def _outtype(found: Found, chain: ToolChain) -> str:
    """The one that keeps the weights' range, as the data says; else the usual one."""
    dtype = found.weights.dtype
    suiting = [name for name, one in chain.outtypes.items() if dtype.startswith(one.suits)]
    return next(iter([*suiting, *chain.outtypes]))


def _types(found: Found, wanted: Wanted, chain: ToolChain, policy: Policy) -> tuple[str, ...]:
    if wanted.types:
        return tuple(dict.fromkeys(_spelled(one, chain) for one in wanted.types))
    chosen = policy.types_for(found.weights.parameters)
    return (*policy.calibrated, *chosen) if _asked_for_matrix(wanted) else chosen


def _spelled(name: str, chain: ToolChain) -> str:
    known = chain.canonical_type(name)
    if known is None:
        raise UsageError(
            f"{name!r} is not a quantization type of {chain.name}{near(name, chain.types)}",
            f"It knows {', '.join(chain.types)}.",
        )
    return known


def _asked_for_matrix(wanted: Wanted) -> bool:
    return wanted.imatrix is True or (wanted.imatrix is None and bool(wanted.calibration))


def _matrix(types: Sequence[str], wanted: Wanted, chain: ToolChain) -> bool:
    """Whether the recipe has an importance matrix."""
    needy = [kind for kind in types if chain.types[kind].imatrix == "required"]
    if needy and wanted.imatrix is False:
        raise UsageError(
            f"{needy[0]} cannot be made without an importance matrix",
            "Leave out --no-imatrix or this type.",
        )
    if _asked_for_matrix(wanted) and "imatrix" not in chain.verbs:
        raise UsageError(
            f"the tool chain {chain.name} makes no importance matrices",
            "Leave out --imatrix and --calibration.",
        )
    return bool(needy) or _asked_for_matrix(wanted)


def _output(kind: str, found: Found, chain: ToolChain, policy: Policy, *, matrix: bool) -> Output:
    bits = chain.types[kind].bits
    common = gcd(*found.weights.rows)
    return Output(
        type=kind,
        size=round(found.weights.parameters * bits / _BPW_BYTE),
        imatrix=matrix and 0 < bits < _PRECISE_BITS,
        fallback=common % policy.block(kind) != 0,
        limits=_limits(policy, bits, found, chain),
    )


def _limits(policy: Policy, bits: float, found: Found, chain: ToolChain) -> Mapping[str, float]:
    """What the policy says, of what the tool chain measures."""
    held = policy.limits_for(bits, found.weights.parameters)
    able = {
        limit.key
        for measure, limit in registry.limits()
        if _able(measure, chain) and _fits(measure, limit, found)
    }
    return {name: value for name, value in held.items() if name in able}


def _able(measure: Measure, chain: ToolChain) -> bool:
    return measure.work is not None and set(measure.work.verbs) <= chain.verbs.keys()


def _fits(measure: Measure, limit: Limit, found: Found) -> bool:
    """Whether a measure is one of such models; scores of texts have no cosines."""
    of_encoders = measure.section is not None and measure.section.of_encoders
    scored = found.encodes == "text-ranking" and "cosine" in limit.number
    return of_encoders == bool(found.encodes) and not scored


def _compared(chain: ToolChain) -> Iterator[str]:
    for one in registry.measures():
        compares = one.work is not None and one.work.compares
        if one.section is not None and compares and _able(one, chain):
            yield one.section.name


def _text(path: str, default: Mapping[str, str]) -> Mapping[str, str]:
    return {"path": path} if path else default


def as_json(one: Draft) -> dict[str, JSON]:
    """The draft as ``--json`` prints it."""
    found = one.found
    return {
        "name": one.name,
        "repository": found.repo,
        "commit": found.commit,
        "revision": found.asked,
        "file": found.file or None,
        "adapter": asdict(found.adapter) if found.adapter else None,
        "architecture": found.architecture,
        "family": found.family,
        "parameters": found.weights.parameters,
        "parameters_exact": found.weights.exact,
        "weights": {
            "layout": found.weights.layout,
            "files": found.weights.files,
            "size": found.weights.size,
            "type": found.weights.dtype,
        },
        "licence": {
            "id": found.licence.id or None,
            "name": found.licence.name or None,
            "link": found.licence.link or None,
            "redistribute": True if found.licence.free else None,
            "gated": found.licence.gated,
        },
        "converted": one.outtype,
        "files": [
            {"type": output.type, "estimated_size": output.size or None, "imatrix": output.imatrix}
            for output in one.outputs
        ],
    }
