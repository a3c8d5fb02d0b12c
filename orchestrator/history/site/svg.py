"""SVG as text: everything that goes into it is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.history.site.format_values import plain

_EXACT = {"viewBox"}


def tag(name: str, values: Mapping[str, object], *children: str) -> str:
    """An element; ``children`` are elements or escaped text already."""
    told = "".join(f' {_key(key)}="{_value(value)}"' for key, value in values.items())
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def _key(key: str) -> str:
    return key if key in _EXACT else key.replace("_", "-")


def _value(value: object) -> str:
    return place(value) if isinstance(value, float) else text(str(value))


def text(content: str) -> str:
    """Any text, for an element or an attribute."""
    return html.escape(plain(content).replace("\n", " "), quote=True)


def place(value: float) -> str:
    """A coordinate to a tenth of a pixel, as short as it goes."""
    shown = f"{value:.1f}"
    return shown.removesuffix(".0")


def words(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """A line of text."""
    values: dict[str, object] = {"x": x, "y": y}
    if kind:
        values["class"] = kind
    if anchor != "start":
        values["text_anchor"] = anchor
    return tag("text", values, text(content))


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A straight line."""
    return tag("path", {"class": kind, "d": f"M{place(x1)} {place(y1)}L{place(x2)} {place(y2)}"})


def strokes(places: Iterable[float], top: float, bottom: float, kind: str) -> str:
    """Upright lines, all in one element: there can be hundreds."""
    ends = f"{place(top)}V{place(bottom)}"
    return tag("path", {"class": kind, "d": "".join(f"M{place(x)} {ends}" for x in places)})


def path(points: Sequence[tuple[float, float]], kind: str, *, steps: bool = False) -> str:
    """A line through points; with ``steps`` a value holds until the next point's."""
    start, *rest = points
    begin = f"M{place(start[0])} {place(start[1])}"
    return tag("path", {"class": kind, "d": begin + "".join(_moves(start, rest, steps))})


def _moves(
    start: tuple[float, float], rest: Iterable[tuple[float, float]], steps: bool
) -> Iterable[str]:
    before = start
    for x, y in rest:
        if not steps:
            yield f"L{place(x)} {place(y)}"
        else:
            yield f"H{place(x)}" + (f"V{place(y)}" if y != before[1] else "")
        before = (x, y)


def drawing(ident: str, title: str, description: str, wide: float, high: float, *parts: str) -> str:
    """A whole picture, with a title and a description for those who do not see it."""
    values = {
        "class": "chart",
        "viewBox": f"0 0 {place(wide)} {place(high)}",
        "role": "img",
        "aria-labelledby": f"{ident}-t {ident}-d",
        "xmlns": "http://www.w3.org/2000/svg",
    }
    names = (
        tag("title", {"id": f"{ident}-t"}, text(title)),
        tag("desc", {"id": f"{ident}-d"}, text(description)),
    )
    return tag("svg", values, *names, *parts)


def alone(picture: str, style: str) -> str:
    """A picture as a file of its own, with its style sheet and its ground.

    Args:
        picture: From :func:`drawing`.
        style: The style sheet of the pages.
    """
    head, _, rest = picture.partition(">")
    fonts = "svg { font-family: system-ui, sans-serif; }"
    ground = tag("rect", {"width": "100%", "height": "100%", "style": "fill: var(--ground)"})
    return f"{head}><style>{html.escape(style + fonts, quote=False)}</style>{ground}{rest}\n"
