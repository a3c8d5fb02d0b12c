"""A comparison in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from orchestrator.base import safe_text, units
from orchestrator.modelfiles.comparing.comparison import (
    NEAR_PERCENT,
    Comparison,
    KeyChange,
    Shown,
    Side,
    TensorComparison,
    Verdict,
)

_MEANING = {
    Verdict.IDENTICAL: "every byte is the same",
    Verdict.SAME_TENSORS: "only the header differs",
    Verdict.NEAR: f"same types and shapes, under {NEAR_PERCENT} % of the bytes differ",
    Verdict.DIFFERENT: "",
}
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


def text(found: Comparison, style: Callable[[str], str] = str) -> str:
    """Header changes, tensors that are not identical, and the verdict on the last line.

    ``style`` is how the verdict's word is shown.
    """
    return "\n".join(_lines(found, style))


def _lines(found: Comparison, style: Callable[[str], str]) -> Iterator[str]:
    yield _side("A", found.a)
    yield _side("B", found.b)
    if found.keys or found.notes:
        yield ""
        yield "Header"
        for key in found.keys:
            yield from _key(key)
        yield from (f"  {safe_text.line(note)}" for note in found.notes)
    changed = [one for one in found.tensors if one.state != "identical"]
    if changed:
        yield ""
        yield "Tensors"
        yield from _table([_HEAD, *(_row(one) for one in changed)])
    yield ""
    yield _count(found)
    meaning = _MEANING[found.verdict]
    yield f"Verdict: {style(found.verdict.value)}{f' ({meaning})' if meaning else ''}"


def _side(letter: str, side: Side) -> str:
    parts = f" in {units.plural(len(side.files), 'file')}" if len(side.files) > 1 else ""
    return (
        f"{letter}: {safe_text.line(side.path)} ({side.format}, {units.size(side.nbytes)}{parts})"
    )


def _key(change: KeyChange) -> Iterator[str]:
    yield f"  {_SIGNS[change.kind]} {safe_text.line(change.key)}"
    for letter, shown in (("A", change.a), ("B", change.b)):
        if shown:
            yield f"      {letter}: {_shown(shown)}"


def _shown(value: Shown) -> str:
    if value.count is None:
        return f"{value.type} {safe_text.line(value.text)}"
    return f"{value.type} of {value.count}, sha256 {value.sha256[:16]}"


_HEAD = ("name", "what", "type", "shape", "blocks", "max |diff|", "mean |diff|")


def _row(one: TensorComparison) -> tuple[str, ...]:
    what = "bytes" if one.state == "differs" else one.state
    kind = safe_text.line(_both(*one.types))
    shape = _both(*("x".join(map(str, shape)) or "1" for shape in one.shapes))
    if one.state.startswith("only"):
        shape = "x".join(map(str, one.shapes[0] or one.shapes[1])) or "1"
    share = f"{_percent(one.share)} of {one.blocks}" if one.state == "differs" else ""
    return (safe_text.line(one.name), what, kind, shape, share, *_values(one))


def _both(a: str, b: str) -> str:
    return a if a == b else " -> ".join(part for part in (a, b) if part)


def _values(one: TensorComparison) -> tuple[str, str]:
    if one.values is None:
        return ("", "")
    lost = f" ({one.values.not_finite} not finite)" if one.values.not_finite else ""
    return f"{one.values.largest:.4g}", f"{one.values.mean:.4g}{lost}"


def _percent(share: float) -> str:
    """Never 0 % of something nor 100 % of less than all."""
    if 0 < share < 0.0001:
        return "<0.01 %"
    if 0.9999 < share < 1:
        return ">99.99 %"
    return units.percent(share)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()


def _count(found: Comparison) -> str:
    counts = ", ".join(f"{count} {_STATES[state]}" for state, count in found.counts.items())
    share = _percent(found.differing_bytes / found.tensor_bytes if found.tensor_bytes else 0.0)
    same_kind = found.verdict is not Verdict.DIFFERENT or not _SHAPED & found.counts.keys()
    bytes_ = f"; {share} of {units.size(found.tensor_bytes)} differ" if same_kind else ""
    return f"Tensors: {counts or 'none'}{bytes_}"


_STATES = {
    "identical": "identical",
    "differs": "with other bytes",
    "type": "of another type",
    "shape": "of another shape",
    "only in A": "only in A",
    "only in B": "only in B",
}
_SHAPED = {"type", "shape", "only in A", "only in B"}
