"""What a comparison finds: frozen values, in words and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

from orchestrator.base.step_values import JSON

NEAR_PERCENT = 1

State = Literal["identical", "differs", "type", "shape", "only in A", "only in B"]


class Verdict(Enum):
    """How near two files are; from the strongest to the weakest."""

    IDENTICAL = "identical"
    SAME_TENSORS = "same tensors"
    NEAR = "near"
    DIFFERENT = "different"

    def meets(self, wanted: Verdict) -> bool:
        """Whether it is at least as strong as ``wanted``."""
        order = list(Verdict)
        return order.index(self) <= order.index(wanted)


@dataclass(frozen=True)
class Side:
    """One of the two things compared: the file that was named, all its parts, their bytes."""

    path: Path
    files: tuple[Path, ...]
    format: str
    nbytes: int

    def as_json(self) -> dict[str, JSON]:
        """For json.dumps."""
        files = [one.name for one in self.files]
        return {"path": str(self.path), "files": files, "format": self.format, "size": self.nbytes}


@dataclass(frozen=True)
class Shown:
    """A value of a header as it is shown.

    Attributes:
        type: Its type in the file: u32, str, arr[f32], ...
        text: The value, shortened; empty for arrays.
        count: Items of an array, otherwise None.
        sha256: Digest of an array's bytes in the file; empty for other values.
    """

    type: str
    text: str
    count: int | None = None
    sha256: str = ""

    def as_json(self) -> dict[str, JSON]:
        """For json.dumps."""
        if self.count is None:
            return {"type": self.type, "value": self.text}
        return {"type": self.type, "count": self.count, "sha256": self.sha256}


@dataclass(frozen=True)
class KeyChange:
    """A header key that is not the same: ``a`` is None where B added it, ``b`` where it is gone."""

    key: str
    a: Shown | None
    b: Shown | None

    @property
    def kind(self) -> Literal["added", "removed", "changed"]:
        """What happened to it on the way from A to B."""
        return "added" if self.a is None else "removed" if self.b is None else "changed"

    def as_json(self) -> dict[str, JSON]:
        """For json.dumps."""
        sides = {"a": self.a, "b": self.b}
        shown = {name: one.as_json() if one else None for name, one in sides.items()}
        return {"key": self.key, "kind": self.kind, **shown}


@dataclass(frozen=True)
class ValueDifference:
    """How far two tensors are apart as numbers.

    Attributes:
        largest: The largest absolute difference of two dequantized values.
        mean: The mean of the absolute difference over all elements, equal ones included.
        not_finite: Elements where the values differ and one of them is infinite or NaN; they
            are in neither of the two numbers above.
    """

    largest: float
    mean: float
    not_finite: int = 0


@dataclass(frozen=True)
class TensorComparison:
    """One tensor name.

    Attributes:
        name: The name.
        state: ``identical`` bytes; ``differs`` in bytes only; another ``type``; another
            ``shape`` (and perhaps type); or it is in one file only.
        types: Its type in A and in B, empty where it is not.
        shapes: The same for its shape, row length first.
        nbytes: Its bytes in A, or in B where A lacks it.
        blocks: Blocks that it has; 0 unless type and shape are the same.
        differing_blocks: Those of them whose bytes differ.
        differing_bytes: Bytes that differ.
        values: None for identical tensors, other shapes, and types that cannot be
            dequantized.
    """

    name: str
    state: State
    types: tuple[str, str]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    nbytes: int
    blocks: int = 0
    differing_blocks: int = 0
    differing_bytes: int = 0
    values: ValueDifference | None = None

    @property
    def share(self) -> float:
        """Differing blocks of all blocks, 0 to 1."""
        return self.differing_blocks / self.blocks if self.blocks else 0.0

    def as_json(self) -> dict[str, JSON]:
        """For json.dumps."""
        found: dict[str, JSON] = {"name": self.name, "state": self.state}
        found |= {"types": list(self.types), "shapes": [list(one) for one in self.shapes]}
        if self.state == "differs":
            found |= {
                "blocks": self.blocks,
                "differing_blocks": self.differing_blocks,
                "differing_bytes": self.differing_bytes,
            }
        if self.values:
            found |= {
                "max_abs_diff": self.values.largest,
                "mean_abs_diff": self.values.mean,
                "not_finite": self.values.not_finite,
            }
        return found


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found.

    Attributes:
        a, b: The two sides.
        verdict: The summary.
        keys: Header keys that are not the same, by name.
        tensors: All tensors, in the order of A, then those only in B.
        notes: Differences that are in no key and no tensor, one sentence each.
    """

    a: Side
    b: Side
    verdict: Verdict
    keys: tuple[KeyChange, ...]
    tensors: tuple[TensorComparison, ...]
    notes: tuple[str, ...]

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(one.nbytes for one in self.tensors)

    @property
    def differing_bytes(self) -> int:
        """Bytes that differ, of tensors of the same type and shape."""
        return sum(one.differing_bytes for one in self.tensors)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many tensors there are in each state."""
        return Counter(one.state for one in self.tensors)

    def as_json(self) -> dict[str, JSON]:
        """For json.dumps; finite numbers only."""
        return {
            "verdict": self.verdict.value,
            "a": self.a.as_json(),
            "b": self.b.as_json(),
            "keys": [one.as_json() for one in self.keys],
            "tensor_bytes": self.tensor_bytes,
            "differing_bytes": self.differing_bytes,
            "counts": dict(self.counts),
            "tensors": [one.as_json() for one in self.tensors],
            "notes": list(self.notes),
        }
