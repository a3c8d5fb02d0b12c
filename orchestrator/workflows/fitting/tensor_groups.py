"""Tensors that get one type together: a role, such as ``attn_q``, or a third of its depth; pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.modelfiles.ggml_types import tensor_bytes, type_by_name
from orchestrator.modelfiles.gguf import TensorInfo

_BLOCK = re.compile(r"(?P<before>.*\bblk\.)(?P<number>\d+)(?P<after>\..+)")


@dataclass(frozen=True)
class Group:
    """Tensors of one role, of ``blocks`` only if that is not all of them.

    ``types`` are those of the tool chain that all of their rows fit, in rising order of bits.
    """

    name: str
    pattern: str
    tensors: tuple[TensorInfo, ...]
    types: tuple[str, ...]

    @property
    def elements(self) -> int:
        """Weights of all its tensors."""
        return sum(one.n_elements for one in self.tensors)

    def nbytes(self, type_: str) -> int:
        """Bytes of its tensors' data in a type."""
        return sum(tensor_bytes(type_.upper(), one.shape) for one in self.tensors)


@dataclass(frozen=True)
class _Place:
    role: str
    block: int | None


def groups(
    tensors: Iterable[TensorInfo], families: Sequence[Sequence[str]], *, thirds: bool
) -> tuple[Group, ...]:
    """Sort the tensors that a quantizer quantizes into groups, in the order of the file.

    Args:
        tensors: Those tensors.
        families: Lists of types in rising order of bits; a group gets the first family whose
            types all fit its rows. Tensors that none fits are left out.
        thirds: Whether each third of the blocks is a group of its own.
    """
    known = list(tensors)
    depth = 1 + max((_place(one.name).block or 0 for one in known), default=0)
    found: dict[tuple[str, int, tuple[str, ...]], list[TensorInfo]] = {}
    for one in known:
        family = next((tuple(each) for each in families if _all_fit(each, one)), None)
        if family is not None:
            place = _place(one.name)
            third = 3 * (place.block or 0) // depth if thirds and place.block is not None else -1
            found.setdefault((place.role, third, family), []).append(one)
    names = [_name(role, third) for role, third, _ in found]
    return tuple(
        Group(_unlike(names, index), _pattern(members, known), tuple(members), family)
        for index, ((_, _, family), members) in enumerate(found.items())
    )


def _all_fit(family: Collection[str], tensor: TensorInfo) -> bool:
    return all(tensor.shape[0] % type_by_name(name.upper()).block == 0 for name in family)


def _place(name: str) -> _Place:
    match = _BLOCK.fullmatch(name)
    if match is None:
        return _Place(name, None)
    return _Place(f"{match['before']}*{match['after']}", int(match["number"]))


def _name(role: str, third: int) -> str:
    short = re.sub(r"^.*\*\.|\.weight$", "", role)
    return short if third < 0 else f"{short} {('first', 'middle', 'last')[third]} third"


def _unlike(names: Sequence[str], index: int) -> str:
    """The name of one of several groups; rows of two lengths make two groups of a role."""
    before = names[:index].count(names[index])
    return names[index] if before == 0 else f"{names[index]} ({before + 1})"


def _pattern(members: Sequence[TensorInfo], known: Sequence[TensorInfo]) -> str:
    """A pattern that is found in these names and in no others of the model."""
    first = members[0].name
    match = _BLOCK.fullmatch(first)
    if match is None:
        return f"^{re.escape(first)}$"
    role = _place(first).role
    others = {one.name for one in known if _place(one.name).role == role}
    numbers = [str(_place(one.name).block) for one in members]
    which = r"\d+" if len(others) == len(members) else f"({'|'.join(numbers)})"
    return f"^{re.escape(match['before'])}{which}{re.escape(match['after'])}$"
