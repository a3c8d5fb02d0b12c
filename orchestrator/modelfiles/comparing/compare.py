"""Compare two model files without loading either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import lcm
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.step_values import Progress
from orchestrator.modelfiles.comparing.byte_ranges import CHUNK, Pair, Range
from orchestrator.modelfiles.comparing.comparison import (
    NEAR_PERCENT,
    Comparison,
    State,
    TensorComparison,
    Verdict,
)
from orchestrator.modelfiles.comparing.header_changes import changed_keys
from orchestrator.modelfiles.comparing.opened_files import (
    PLANAR,
    Family,
    Located,
    Opened,
    open_pair,
)

if TYPE_CHECKING:
    from orchestrator.modelfiles.comparing.tensor_distance import Distance

# Elements to look at together where blocks of two types, or rows, set the step.
ELEMENTS = 2**17

Report = Callable[[Progress], None]


def compare(
    a: Path,
    b: Path,
    *,
    values: bool = True,
    family: Family = "auto",
    report: Report = lambda _progress: None,
) -> Comparison:
    """Compare the GGUF or GGML files ``a`` and ``b``.

    Reads each byte once, and tensors that differ in chunks of 256 KiB (or of one row, for a
    type of early 2023); memory stays below 200 MiB whatever the files' size.

    Args:
        a: A file, or any part of a split GGUF file.
        b: The other.
        values: Dequantize tensors that differ; without it, only bytes are compared.
        family: Whose GGML files they are; ``auto`` takes the one that fits.
        report: Called with the bytes of A's tensors that are done; must be cheap.

    Raises:
        FormatError: A file cannot be read, is malformed, or lacks a part.
    """
    left, right = open_pair(a, b, family)
    with Pair() as pair:
        tensors = tuple(_tensors(pair, left, right, values, report))
        same = _same_gaps(pair, left, right)
    keys = () if same else changed_keys(left, right)
    notes = () if same else tuple(_notes(left, right))
    if not (same or keys or notes or _changed(tensors)):
        notes = ("bytes outside of keys and tensors differ, such as padding",)
    verdict = _verdict(tensors, same)
    return Comparison(left.side, right.side, verdict, keys, tensors, notes)


def _changed(tensors: tuple[TensorComparison, ...]) -> bool:
    """Whether names, types or shapes are not the same."""
    return any(one.state not in ("identical", "differs") for one in tensors)


def _verdict(tensors: tuple[TensorComparison, ...], same: bool) -> Verdict:
    if _changed(tensors):
        return Verdict.DIFFERENT
    differing = sum(one.differing_bytes for one in tensors)
    if not differing:
        return Verdict.IDENTICAL if same else Verdict.SAME_TENSORS
    total = sum(one.nbytes for one in tensors)
    return Verdict.NEAR if 100 * differing < NEAR_PERCENT * total else Verdict.DIFFERENT


def _notes(a: Opened, b: Opened) -> Iterator[str]:
    """What differs in a header beside keys and tensors."""
    if len(a.side.files) != len(b.side.files):
        yield f"A is in {len(a.side.files)} and B in {len(b.side.files)} files"
    for what, left, right in (
        ("keys", list(a.entries), list(b.entries)),
        ("tensors", [one.name for one in a.tensors], [one.name for one in b.tensors]),
    ):
        if left != right and set(left) == set(right):
            yield f"the {what} are in another order"


def _same_gaps(pair: Pair, a: Opened, b: Opened) -> bool:
    if a.gaps != b.gaps:
        return False
    return all(
        pair.equal(Range(left, start, end - start), Range(right, start, end - start))
        for left, right, gaps in zip(a.side.files, b.side.files, a.gaps, strict=True)
        for start, end in gaps
    )


def _tensors(
    pair: Pair, a: Opened, b: Opened, values: bool, report: Report
) -> Iterator[TensorComparison]:
    others = {one.name: one for one in b.tensors}
    total = sum(one.nbytes for one in a.tensors)
    done = 0
    for one in a.tensors:
        other = others.pop(one.name, None)
        start = done

        def tell(count: int, start: int = start) -> None:
            report(Progress(start + count, total, "B"))

        yield _tensor(pair, one, other, values, tell) if other else _lonely(one, "only in A")
        done += one.nbytes
    yield from (_lonely(one, "only in B") for one in others.values())


def _lonely(one: Located, state: State) -> TensorComparison:
    in_a = state == "only in A"
    types = (one.type, "") if in_a else ("", one.type)
    shapes = (one.shape, ()) if in_a else ((), one.shape)
    return TensorComparison(one.name, state, types, shapes, one.nbytes)


def _tensor(
    pair: Pair, a: Located, b: Located, values: bool, tell: Callable[[int], None]
) -> TensorComparison:
    found = TensorComparison(a.name, "identical", (a.type, b.type), (a.shape, b.shape), a.nbytes)
    if a.shape != b.shape:
        return replace(found, state="shape")
    if a.type != b.type:
        distance = _distance(pair, a, b, values, tell) if values else None
        return replace(found, state="type", values=distance.values if distance else None)
    found = replace(found, blocks=a.nbytes // a.block_bytes)
    distance = _distance(pair, a, b, values, tell)
    if distance is None:
        return found
    return replace(
        found,
        state="differs",
        differing_blocks=distance.differing_blocks,
        differing_bytes=distance.differing_bytes,
        values=distance.values,
    )


def _distance(
    pair: Pair, a: Located, b: Located, values: bool, tell: Callable[[int], None]
) -> Distance | None:
    """The distance of two tensors of one shape; None when their bytes are the same."""
    found: Distance | None = None
    done = 0
    left, right = (Range(one.path, one.offset, one.nbytes) for one in (a, b))
    for piece_a, piece_b in pair.chunks(left, right, *_pieces(a, b)):
        if a.type != b.type or piece_a != piece_b:
            found = found or _new_distance(a, b, values)
            found.add(piece_a, piece_b)
        done += len(piece_a)
        tell(done)
    return found


def _new_distance(a: Located, b: Located, values: bool) -> Distance:
    from orchestrator.modelfiles.comparing.tensor_distance import Distance  # noqa: PLC0415 - 0.3 s for numpy

    return Distance(a, b, values)


def _pieces(a: Located, b: Located) -> tuple[int, int]:
    """Bytes of A and of B to look at together: whole blocks of the same elements."""
    if a.type == b.type != PLANAR:
        size = CHUNK // a.block_bytes * a.block_bytes
        return size, size
    unit = lcm(*(one.shape[0] if one.type == PLANAR else one.block for one in (a, b)))
    elements = max(1, ELEMENTS // unit) * unit
    return elements // a.block * a.block_bytes, elements // b.block * b.block_bytes
