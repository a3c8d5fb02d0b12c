"""LoRA adapters in peft's layout: result = base + scale * (B @ A), as merge_and_unload makes it.

Each adapter is added in float32, in the order of the recipe, and the sum is rounded once to the
type that the base's tensor has; what no adapter changes keeps its bytes. The order of additions
within a product is said in :mod:`~.lora_addition`. Only names, shapes and adapter_config.json are
looked at here, so outlines (see ``steps.inspect_model``) do as well as whole folders.

Names: peft/utils/save_and_load.py; scales: LoraLayer.update_layer; both of peft 0.21.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.merging.checkpoint import Checkpoint, open_checkpoint, outlined
from orchestrator.modelfiles.merging.delta import FLOATS, HEAD
from orchestrator.modelfiles.merging.merge_plan import Adapted, MergePlan, Term
from orchestrator.modelfiles.merging.tensor_location import TensorRef

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_FACTOR = re.compile(
    r"(?P<module>.+?)(\.base_layer)?\.lora_(?P<embedding>embedding_)?(?P<side>[AB])"
    r"(\.default)?(?P<weight>\.weight)?"
)
_WHOLE = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
# Keys that say how an adapter was trained, or what its tensors say again by their names.
_TOLD = frozenset(
    {
        *("auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "eva_config"),
        *("exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights"),
        *("layers_pattern", "layers_to_transform", "lora_alpha", "lora_dropout", "modules_to_save"),
        *("peft_type", "peft_version", "r", "revision", "rank_pattern", "alpha_pattern"),
        *("runtime_config", "target_modules", "task_type", "use_rslora", "megatron_core"),
        *("qalora_group_size", "loftq_config", "corda_config"),
    }
)
# Others, such as pissa and olora, change the base's own weights before training.
_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
# Patterns of names: what repeats inside of a repetition can take for ever.
_PLAIN_PATTERN = re.compile(r"[^*+{}?]{1,300}")
_SHOWN = 10
# What upstream's files of adapters cannot say, and their converter does not look at.
_NOT_IN_FILES = ("use_rslora", "alpha_pattern", "fan_in_fan_out")


@dataclass
class _Found:
    """What one adapter does to the base's tensors, and what is wrong with it."""

    adapter: Checkpoint
    base: Checkpoint
    scale: float
    terms: dict[str, Term] = field(default_factory=dict)
    whole: dict[str, TensorRef] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def open_sides(base: Path, adapters: Sequence[Path]) -> tuple[Checkpoint, ...]:
    """Open a base and its adapters; raises as :func:`open_checkpoint`."""
    return open_checkpoint(base), *(open_checkpoint(one, CONFIG) for one in adapters)


def expect_outlines_fit(base: Path, adapters: Sequence[Path], scales: Sequence[float]) -> None:
    """Refuse before weights are fetched what :func:`plan_lora` would refuse after that.

    Raises:
        StepError: One of the adapters cannot be merged into the base.
    """
    _checked(outlined(base), [outlined(one, CONFIG) for one in adapters], scales)


def expect_own_file(outline: Path) -> Mapping[str, TensorRef]:
    """The tensors of an adapter that can become a file of its own.

    Raises:
        StepError: Its changes are not those of a file, which has one alpha, over the rank.
    """
    adapter = outlined(outline, CONFIG)
    other = [name for name in _NOT_IN_FILES if adapter.config.get(name)]
    other += [] if adapter.tensors else ["no tensors in a safetensors file"]
    if other:
        raise StepError(
            f"The adapter in {outline} cannot be a file of its own: it has {', '.join(other)}.",
            "Merge it into its base instead: 'model: {base: ..., lora: [...]}'.",
        )
    return adapter.tensors


def plan_lora(base: Checkpoint, *adapters: Checkpoint, scales: Sequence[float]) -> MergePlan:
    """Check that adapters fit ``base`` and say what to write; writes nothing.

    Args:
        base: Its ``folder`` is what errors call it.
        adapters: In the order in which they are added.
        scales: By how much each counts, beside what its configuration says.

    Raises:
        StepError: Names or shapes do not fit (the first ten are listed), or the adapter is of a
            kind that is not merged.
    """
    tensors = {name: Adapted(name, ref, ref.dtype) for name, ref in base.tensors.items()}
    for found in _checked(base, adapters, scales):
        if not (found.terms or found.whole):
            raise _mismatch(found, ["it holds no tensors"])
        for name, ref in found.whole.items():
            tensors[name] = replace(tensors[name], left=ref, terms=())
        for name, term in found.terms.items():
            tensors[name] = replace(tensors[name], terms=(*tensors[name].terms, term))
    return MergePlan(tuple(tensors.values()), {}, _beside(base))


def _beside(base: Checkpoint) -> dict[str, Path]:
    """The base's files that hold no weights and list none, by their names below its folder."""
    weights = {ref.file for ref in base.tensors.values()}
    files = (path for path in sorted(base.folder.rglob("*")) if path.is_file())
    small = (one for one in files if one not in weights and not one.name.endswith(".index.json"))
    return {one.relative_to(base.folder).as_posix(): one for one in small}


def _checked(
    base: Checkpoint, adapters: Sequence[Checkpoint], scales: Sequence[float]
) -> list[_Found]:
    """What each adapter does.

    Raises:
        StepError: As :func:`plan_lora`.
    """
    done = []
    for adapter, scale in zip(adapters, scales, strict=True):
        unknown = list(obstacles(adapter.config))
        if unknown:
            raise StepError(
                f"The adapter in {adapter.folder} is not merged: {'; '.join(unknown)}.",
                "Merge it with peft's merge_and_unload, and name the result as the model.",
            )
        found = _read(adapter, base, scale)
        if found.problems:
            raise _mismatch(found, found.problems)
        done.append(found)
    return done


def obstacles(config: Mapping[str, JSON]) -> Iterator[str]:
    """What an adapter's configuration says that would make other sums, or may."""
    if config.get("peft_type") != "LORA":
        yield f"its peft_type is {str(config.get('peft_type'))[:40]!r}, not 'LORA'"
        return
    if config.get("init_lora_weights") not in _STARTS:
        start = str(config["init_lora_weights"])[:40]
        yield f"it was started from {start!r}, which changes the base's own weights"
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        yield "its rank 'r' is no positive whole number"
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        yield "its 'lora_alpha' is no number"
    for name in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(name) or {}
        numbers = isinstance(patterns, dict) and all(
            type(one) in (int, float) and math.isfinite(one) for one in patterns.values()
        )
        if not numbers or not all(map(_is_plain, patterns)):
            yield f"its {name!r} is no mapping of plain names to numbers"
    other = sorted(name[:60] for name, value in config.items() if value and name not in _TOLD)
    if other:
        yield f"it says {', '.join(map(repr, other))}"


def _read(adapter: Checkpoint, base: Checkpoint, scale: float) -> _Found:
    """Find the base's tensors that an adapter's belong to."""
    found = _Found(adapter, base, scale)
    pairs: dict[tuple[str, bool], dict[str, TensorRef]] = {}
    for name, ref in adapter.tensors.items() if base.tensors else ():
        known = _FACTOR.fullmatch(name.removeprefix(_PREFIX))
        odd = not name.startswith(_PREFIX) or ref.dtype not in FLOATS
        if odd or (not known and ".lora_" in name):
            found.problems.append(f"{name} ({ref.dtype}) is not known in an adapter")
        elif known and bool(known["weight"]) is not bool(known["embedding"]):
            pair = pairs.setdefault((known["module"], bool(known["embedding"])), {})
            if known["side"] in pair:
                found.problems.append(f"{name} is there twice")
            pair[known["side"]] = ref
        else:
            _whole(found, name, ref)
    for (module, embedding), pair in pairs.items():
        _pair(found, module, pair, across=embedding or bool(adapter.config.get("fan_in_fan_out")))
    return found


def _whole(found: _Found, name: str, ref: TensorRef) -> None:
    """Settle a tensor that takes the place of the base's."""
    base = found.base
    target = _located(_WHOLE.sub("", name.removeprefix(_PREFIX)), base)
    if target is None:
        found.problems.append(f"{name} has no counterpart in the base{_tied(name, base)}")
    elif base.tensors[target].dtype and base.tensors[target].shape != ref.shape:
        shape = list(base.tensors[target].shape)
        found.problems.append(f"{target} is {shape} in the base, {list(ref.shape)} in the adapter")
    else:
        found.whole[target] = ref


def _pair(found: _Found, module: str, pair: Mapping[str, TensorRef], *, across: bool) -> None:
    """Settle the two factors of one module's change."""
    target = _located(f"{module}.weight", found.base)
    if len(pair) < 2:
        found.problems.append(f"{module} has only lora_{next(iter(pair))}")
    elif target is None:
        tied = _tied(f"{module}.weight", found.base)
        found.problems.append(f"{module}.weight, which it changes, is not in the base{tied}")
    else:
        rank, factor = _scale(found.adapter.config, module, found.scale)
        term = Term(pair["A"], pair["B"], factor, across)
        problem = _misfit(found.base.tensors[target], term, rank)
        found.problems += [f"{target}: {problem}"] if problem else []
        found.terms[target] = term


def _misfit(base: TensorRef, term: Term, rank: int) -> str:
    """Why the factors do not make a change of the base's tensor; empty if they do."""
    a, b = term.a, term.b
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
        return f"lora_A is {list(a.shape)} and lora_B {list(b.shape)}, which have no product"
    if a.shape[0] != rank:
        return f"its rank is {a.shape[0]}, the adapter's configuration says {rank}"
    made = (b.shape[0], a.shape[1])[:: -1 if term.across else 1]
    if base.dtype and base.shape != made:
        return f"it is {list(base.shape)} in the base, the adapter's change {list(made)}"
    return "" if base.dtype in (*FLOATS, "") else f"it is {base.dtype}, not F16, BF16 or F32"


def _scale(config: Mapping[str, JSON], module: str, scale: float) -> tuple[int, float]:
    """The rank that a module's factors must have, and what their product is multiplied with."""
    rank = int(_by_pattern(config, "rank_pattern", module, config["r"]))
    alpha = _by_pattern(config, "alpha_pattern", module, config["lora_alpha"])
    return rank, scale * alpha / (math.sqrt(rank) if config.get("use_rslora") else max(rank, 1))


def _by_pattern(config: Mapping[str, JSON], name: str, module: str, usual: float) -> float:
    for pattern, value in (config.get(name) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return float(value)
    return usual


def _is_plain(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return _PLAIN_PATTERN.fullmatch(pattern) is not None


def _located(name: str, base: Checkpoint) -> str | None:
    """The name that the base's files have for a tensor: some leave out the model's own part."""
    return next((one for one in (name, name.partition(".")[2]) if one in base.tensors), None)


def _tied(name: str, base: Checkpoint) -> str:
    tied = name.endswith(HEAD) and base.config.get("tie_word_embeddings") is not False
    return ", whose output matrix is that of its embeddings" if tied else ""


def _mismatch(found: _Found, problems: Sequence[str]) -> StepError:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    made = str(found.adapter.config.get("base_model_name_or_path") or "")[:200]
    return StepError(
        f"The adapter in {found.adapter.folder} does not fit the base in {found.base.folder}: "
        f"{'; '.join(problems[:_SHOWN])}{more}.",
        f"It says that it was made for {made!r}."
        if made
        else "Name the model that the adapter was made for as 'base'.",
    )
