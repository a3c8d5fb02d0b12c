"""Tables and picture of a model card: what each file is good for, and what it needs; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.base import safe_markdown, units
from orchestrator.history import FileRow
from orchestrator.history.site import charts, render_template, svg
from orchestrator.measures import closeness, number_tables, registry
from orchestrator.modelfiles import context_cache, header_consistency
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.runs.report import Row, markdown_table
from orchestrator.workflows.publishing.published_files import Model

_CONTEXTS = (4096, 16384)
_EMBEDDING, _OUTPUT = "token_embd.weight", "output.weight"


def recommended(models: Sequence[Model], stated: str | None = None) -> Model:
    """The file for those who do not want to choose: the recipe's, or that of the numbers."""
    own = [one for one in models if stated and one.output.name.casefold() == stated.casefold()]
    if own:
        return own[0]
    best = closeness.recommended([one.row for one in models])
    return next(one for one in models if one.row is best)


def files_table(models: Sequence[Model], full: str, whole: str) -> str:
    """The files with what was measured, without columns that would be empty.

    Args:
        models: The files.
        full: What the file is called that numbers compare with.
        whole: The same in words, for what a file is good for.
    """
    rows = [one.row for one in models]
    found = number_tables.table(rows, "card", full)
    made = _made(models)
    head = ["File", *found.titles, *made, "Good for"]
    lines = [
        [safe_markdown.Safe(_link(one)), *measured, *cells, closeness.words(one.row, rows, whole)]
        for one, measured, *cells in zip(models, found.texts, *made.values(), strict=True)
    ]
    return markdown_table(head, lines)


def _made(models: Sequence[Model]) -> dict[str, list[str]]:
    """How files were made: types of the tensors that matter most, and with which matrix."""
    found: dict[str, list[str]] = {}
    if all(one.header is not None for one in models):
        found["Embeddings / output"] = [_ends(one.header) for one in models if one.header]
    weighed = [one.output.quant is not None and one.output.quant.imatrix for one in models]
    if any(weighed):
        found["imatrix"] = ["yes" if one else "no" for one in weighed]
    return found


def _ends(header: GGUF) -> str:
    types = {one.name: one.type for one in header.tensors}
    first = types.get(_EMBEDDING, "-")
    return f"{first} / {types[_OUTPUT]}" if _OUTPUT in types else f"{first}, shared"


def _link(model: Model) -> str:
    parts = f" and {len(model.pieces) - 1} more" if model.split else ""
    return f"[{safe_markdown.inline(model.first)}]({safe_markdown.link(model.first)}){parts}"


def memory(models: Sequence[Model]) -> str:
    """What a file and a context take together, by the length of the context; may be empty."""
    header = models[0].header
    each = context_cache.bytes_per_token(header) if header is not None else None
    if header is None or each is None:
        return ""
    longest = header_consistency.context_length(header) or 0
    lengths = sorted({one for one in _CONTEXTS if one < longest} | {longest or _CONTEXTS[0]})
    head = ["File", *(f"{one:,} tokens" for one in lengths)]
    return markdown_table(
        head,
        (
            [one.name.encoding, *(units.size(one.row.size + each * many) for many in lengths)]
            for one in sorted(models, key=lambda one: one.row.size)
        ),
    )


def picture(files: Sequence[Row], whole: str) -> tuple[str, str]:
    """Size against distance from the full file as SVG, and its title; empty if not measured."""
    rows = [FileRow(one.file, one.type, "", "", numbers=one.numbers) for one in files]
    colours = {row.type: number for number, row in enumerate(rows)}
    wanted = [one for one in registry.quality() if one in registry.relative()]
    full = FileRow(f"{whole}, for comparison", whole, "", "")
    for one in charts.quality([full, *rows], colours, wanted):
        style = render_template.static(render_template.STYLE)
        return svg.alone(one.drawing, style), one.title
    return "", ""


def notes(models: Sequence[Model], full: str) -> Iterator[str]:
    """Sentences about the columns of the files' table."""
    for measure in registry.measures():
        if measure.note and any(one.row.numbers.get(measure.name) for one in models):
            yield measure.note.format(full=full)
