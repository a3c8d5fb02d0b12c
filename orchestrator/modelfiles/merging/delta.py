"""Delta weights: result = base + delta, as LLMZoo's tools/apply_delta.py makes it.

Both sides are rounded to float16, rows that the delta adds to the vocabulary are zero in the
base, the configuration is the base's with the new vocabulary size, the tokenizer the delta's.
Where that tool goes wrong this one differs and says so in the warnings:

- no row is new: the tool then zeroes every embedding (``[-0:]`` is everything); here the
  delta is added to all rows;
- tied embeddings: the tool adds the delta to the one shared tensor twice; here once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.merging.checkpoint import Checkpoint, outlined, same_bytes
from orchestrator.modelfiles.merging.merge_plan import MergePlan, PlannedTensor
from orchestrator.modelfiles.merging.tensor_location import TensorRef

FLOATS = frozenset({"F16", "BF16", "F32"})
# Constants that old checkpoints saved; every reader computes them from the configuration.
IGNORED_SUFFIX = "rotary_emb.inv_freq"
HEAD = "lm_head.weight"
# The last parts of the names of input embeddings: llama and most others, bloom and falcon,
# gpt2, gpt-neox, glm.
_EMBEDDINGS = ("embed_tokens.weight", "word_embeddings.weight", "wte.weight", "embed_in.weight")
_VOCABULARY = (*_EMBEDDINGS, HEAD, "lm_head.bias", "embed_out.weight", "output_layer.weight")
TOKENIZER_FILES = (
    "tokenizer.model",
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)
_VOCABULARIES = TOKENIZER_FILES[:4]
_LISTED = 10
# Keys of configurations, new and old, that decide about the shapes of tensors.
_SIZES = (
    *("hidden_size", "n_embed", "n_embd", "d_model"),
    *("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    *("intermediate_size", "ffn_hidden_size", "n_inner"),
    *("num_attention_heads", "n_head", "num_key_value_heads"),
)

Tensors = Mapping[str, TensorRef]


@dataclass(frozen=True)
class _Sides:
    base: Tensors
    delta: Tensors
    tied: bool


def plan_delta(base: Checkpoint, delta: Checkpoint) -> MergePlan:
    """Check that ``delta`` fits ``base`` and say what to write; writes nothing.

    Raises:
        StepError: names or shapes do not fit (all are counted, the first ten listed), a
            tensor is not of a floating type, or configuration or tokenizer are missing.
    """
    sides = _match_heads(base, delta)
    problems = [*_name_problems(sides), *_type_problems(sides), *_shape_problems(sides)]
    if problems:
        raise _mismatch(base.folder, delta.folder, problems)
    tensors = tuple(
        PlannedTensor(name, sides.delta[name].shape, ref, sides.delta[name])
        for name, ref in sides.base.items()
    )
    new_rows = max(map(_added_rows, tensors), default=0)
    rows = next((t.shape[0] for t in tensors if t.name.endswith(_EMBEDDINGS)), 0)
    return MergePlan(
        tensors,
        merged_config(base.config, rows if new_rows else None, base.folder),
        copies(base.folder, delta.folder),
        new_rows,
        tuple(_warnings(sides, new_rows, rows)),
    )


def expect_outlines_fit(base: Path, delta: Path) -> tuple[Checkpoint, Checkpoint]:
    """Open the outlines of both sides; raises as :func:`expect_fit`."""
    sides = outlined(base), outlined(delta)
    shapes = all(one.dtype for side in sides for one in side.tensors.values())
    expect_fit(*sides, shapes=shapes and all(side.tensors for side in sides))
    return sides


def expect_same_shapes(base: Path, others: Sequence[Path]) -> None:
    """Refuse models to merge whose outlines, where they tell, hold other tensors than the base's.

    Raises:
        StepError: Names or shapes differ.
    """
    known = _weights(outlined(base))
    for folder in others:
        found = _weights(outlined(folder))
        if not known or not found:
            continue
        other = [
            name
            for name in sorted(known.keys() | found.keys())
            if name not in known or name not in found or _differ(known[name], found[name])
        ]
        if other:
            raise StepError(
                f"{folder} cannot be merged with {base}: "
                f"{units.plural(len(other), 'tensor')} of another name or shape, as {other[0]}",
                "Only models of one architecture, size and vocabulary can be merged so.",
            )


def _differ(one: TensorRef, other: TensorRef) -> bool:
    """Whether shapes differ; an index alone tells none, and no type."""
    return bool(one.dtype and other.dtype) and one.shape != other.shape


def expect_fit(base: Checkpoint, delta: Checkpoint, *, shapes: bool) -> None:
    """Refuse before weights are fetched what :func:`plan_delta` would refuse after that.

    Args:
        base: Its ``folder`` is what errors call it. Without tensors their names are unknown.
        delta: As ``base``.
        shapes: Whether types and shapes of the tensors are known; if not, the sizes that the
            configurations state are compared.

    Raises:
        StepError: The two cannot fit.
    """
    left, right = _weights(base), _weights(delta)
    if (HEAD in left) != (HEAD in right):  # only its bytes tell whether it copies the embeddings
        left.pop(HEAD, None)
        right.pop(HEAD, None)
    sides = _Sides(left, right, tied=False)
    problems = list(_name_problems(sides)) if left and right else []
    if shapes:
        problems += [*_type_problems(sides), *_shape_problems(sides)]
    else:
        problems += _config_problems(base.config, delta.config)
    if problems:
        raise _mismatch(base.folder, delta.folder, problems)


def _config_problems(base: Mapping[str, JSON], delta: Mapping[str, JSON]) -> Iterator[str]:
    for key in _SIZES:
        left, right = base.get(key), delta.get(key)
        if type(left) is type(right) is int and left != right:
            yield f"{key} is {left} in the base, {right} in the delta"
    left, right = base.get("vocab_size"), delta.get("vocab_size")
    if type(left) is type(right) is int and right < left:
        yield f"the delta's vocabulary ({right}) is smaller than the base's ({left})"


def _warnings(sides: _Sides, new_rows: int, rows: int) -> Iterator[str]:
    if not new_rows:
        yield (
            f"no vocabulary row is new (base and delta have {rows}): all rows were added as "
            "they are, where apply_delta.py can zero the base's embeddings first"
        )
    if sides.tied:
        yield (
            "the embeddings are tied: the delta was added to them once, where "
            "apply_delta.py adds it twice"
        )


def _match_heads(base: Checkpoint, delta: Checkpoint) -> _Sides:
    """Settle an output matrix that only one side's file holds.

    A tied model's file may hold a copy of the embeddings as output matrix, or nothing. A copy
    is dropped; a delta without one, for a base that is not tied, gives its embeddings, as
    apply_delta.py does. What stays unsettled is reported with the other missing names.
    """
    left, right = _weights(base), _weights(delta)
    if (HEAD in left) != (HEAD in right):
        holder, lacking = (left, delta) if HEAD in left else (right, base)
        untied = _tied(base) is False or _tied(lacking) is False
        embedding, other = _embedding(holder), _embedding(right)
        if embedding and not untied and same_bytes(holder[HEAD], embedding):
            del holder[HEAD]
        elif other and holder is left and _tied(delta) and not _tied(base):
            right[HEAD] = other
    tied = _tied(base) or (_tied(base) is None and HEAD not in left)
    return _Sides(left, right, bool(tied and _embedding(left)))


def _tied(checkpoint: Checkpoint) -> bool | None:
    """What the configuration says; None if nothing."""
    value = checkpoint.config.get("tie_word_embeddings")
    return value if isinstance(value, bool) else None


def _weights(checkpoint: Checkpoint) -> dict[str, TensorRef]:
    tensors = checkpoint.tensors.items()
    return {name: ref for name, ref in tensors if not name.endswith(IGNORED_SUFFIX)}


def _embedding(tensors: Tensors) -> TensorRef | None:
    found = [ref for name, ref in tensors.items() if name.endswith(_EMBEDDINGS)]
    return found[0] if len(found) == 1 else None


def _name_problems(sides: _Sides) -> Iterator[str]:
    for name in sides.base:
        if name not in sides.delta:
            yield f"{name} is missing in the delta"
    for name in sides.delta:
        if name not in sides.base:
            yield f"{name} is missing in the base"


def _type_problems(sides: _Sides) -> Iterator[str]:
    for side, tensors in (("base", sides.base), ("delta", sides.delta)):
        for name, ref in tensors.items():
            if ref.dtype not in FLOATS:
                yield f"{name} is {ref.dtype} in the {side}, not F16, BF16 or F32"


def _shape_problems(sides: _Sides) -> Iterator[str]:
    growth: int | None = None  # every matrix over the vocabulary grows by as many rows
    for name, base in sides.base.items():
        delta = sides.delta.get(name)
        if delta is None:
            continue
        added = _growth(base, delta) if name.endswith(_VOCABULARY) else 0
        if added is None or (not added and base.shape != delta.shape):
            yield f"{name} is {list(base.shape)} in the base, {list(delta.shape)} in the delta"
        elif name.endswith(_VOCABULARY):
            growth = added if growth is None else growth
            if added != growth:
                rows = units.plural(added, "new row")
                yield f"{name} has {rows}, another matrix over the vocabulary {growth}"


def _growth(base: TensorRef, delta: TensorRef) -> int | None:
    """How many rows the delta adds at the end; None if the shapes differ otherwise."""
    if not base.shape or len(base.shape) != len(delta.shape) or base.shape[1:] != delta.shape[1:]:
        return None
    added = delta.shape[0] - base.shape[0]
    return added if added >= 0 else None


def _added_rows(tensor: PlannedTensor) -> int:
    return tensor.shape[0] - tensor.left.shape[0] if tensor.shape else 0


def _mismatch(base: Path, delta: Path, problems: list[str]) -> StepError:
    listed = "; ".join(problems[:_LISTED])
    rest = len(problems) - _LISTED
    more = f"; and {rest} more" if rest > 0 else ""
    return StepError(
        f"The delta in {delta} does not fit the base in {base}: {listed}{more}.",
        "Check that the recipe's base is the very model that the delta was made from, and that "
        "the two are not swapped.",
    )


def merged_config(config: Mapping[str, JSON], rows: int | None, where: Path) -> dict[str, JSON]:
    """The configuration of the merged model: the base's, with the new vocabulary size.

    Args:
        config: The base's configuration.
        rows: Rows of the merged embeddings, or None where none is new.
        where: The base's folder, for the error.

    Raises:
        StepError: Rows are new, and the base's configuration names no vocabulary size.
    """
    merged = dict(config)
    if rows is not None:
        if "vocab_size" not in merged:
            raise StepError(
                f"{where}/config.json has no vocab_size, but the delta adds rows to it.",
                "Use a base whose configuration names the size of its vocabulary.",
            )
        merged["vocab_size"] = rows
    # transformers 4.56 renamed the key; a configuration that has the new one keeps it.
    merged["dtype" if "dtype" in merged else "torch_dtype"] = "float16"
    return merged


def copies(base: Path, delta: Path) -> dict[str, Path]:
    """The files that the merged model has from either side: name there -> source.

    Raises:
        StepError: The delta holds no tokenizer.
    """
    found = {name: delta / name for name in TOKENIZER_FILES if (delta / name).is_file()}
    if not any(name in found for name in _VOCABULARIES):
        raise StepError(
            f"{delta} holds no tokenizer (none of {', '.join(_VOCABULARIES)}).",
            "The merged model takes its tokenizer from the delta; fetch the delta again.",
        )
    generation = base / "generation_config.json"
    return found | ({generation.name: generation} if generation.is_file() else {})
