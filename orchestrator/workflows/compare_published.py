"""Files that several people published of one model, measured against one unquantized file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base.atomic_file import put
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import UsageError
from orchestrator.base.safe_markdown import code
from orchestrator.base.step_values import JSON
from orchestrator.engine import progress_listeners
from orchestrator.measures import closeness, number_tables
from orchestrator.measures.check_status import Status
from orchestrator.modelfiles import gguf
from orchestrator.runs import execute_plans, plan_one_file, report
from orchestrator.runs.collect_results import collect
from orchestrator.runs.report import Row
from orchestrator.runs.session import Session
from orchestrator.workflows.drafting import published_files
from orchestrator.workflows.drafting.published_files import Place
from orchestrator.workflows.publishing import model_tables

TABLE, PICTURE = "compare.md", "compare.svg"
_REPEATED = "the same bytes as {}"
_NOT_MEASURED = "not measured"
_ITSELF = "the original itself"


@dataclass(frozen=True)
class Candidate:
    """One published file: who published it, how it is called, and where it is now."""

    where: str
    name: str
    path: Path


@dataclass(frozen=True)
class Compared:
    """What was found: files by their digests, and why some could not be measured.

    Attributes:
        against: Name of the unquantized file.
        original: Its SHA-256.
        files: Each measured file; its row goes by a short label.
        problems: Sentences about files that could not be measured.
    """

    against: str
    original: str
    files: tuple[tuple[Candidate, Row], ...]
    problems: tuple[str, ...] = ()


def candidates(whats: Sequence[str], only: Sequence[str], session: Session) -> list[Candidate]:
    """The files that are meant, those of repositories fetched into the Hub's cache.

    Args:
        whats: Files, folders, and repositories as ``owner/name`` or ``owner/name@revision``.
        only: Parts of file names; files with none of them are left out.
        session: What all commands share.

    Raises:
        UsageError: There is no such file, or none with such a name.
        EnvironmentProblem: The Hub cannot be reached.
    """
    found = [one for what in whats for one in _of(what, only, session)]
    if not found:
        raise UsageError(
            f"no GGUF file there has {' or '.join(only)} in its name",
            "Choose another --only, or leave it out.",
        )
    return found


def _of(what: str, only: Sequence[str], session: Session) -> Iterator[Candidate]:
    path = Path(what)
    if path.exists():
        place = published_files.here(path, session.store.file_digest)
    else:
        place = published_files.on_hub(what, offline=session.settings.offline)
    wanted = [
        one
        for one in place.files
        if not only or any(part.casefold() in one.name.casefold() for part in only)
    ]
    root = _brought(place, [name for one in wanted for name in one.digests], session)
    owner = what.partition("@")[0] if place.where else str(place.folder)
    for one in wanted:
        yield Candidate(owner, one.name, root / one.name)


def _brought(place: Place, names: Sequence[str], session: Session) -> Path:
    """The folder that the files lie in; those of a repository are fetched and checked."""
    if not place.where:
        assert place.folder is not None, "a place is a repository or a folder"
        return place.folder
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    repo, commit = place.where["hub"], place.where["revision"]
    return download.fetch(repo, commit, names, offline=session.settings.offline)


def compare(found: Sequence[Candidate], against: Path, corpus: Path, session: Session) -> Compared:
    """Measure each file once, by its digest, on one text against one unquantized file.

    Raises:
        FormatError: The unquantized file is no GGUF file, or a part of a file is missing.
    """
    gguf.read(against, partial=True)  # without it nothing can be measured
    digests = {one: session.store.file_digest(one.path) for one in found}
    first = {digest: one for one, digest in reversed(digests.items())}
    plans = {
        digest: plan_one_file.plan_of(one.path, against, corpus, "", session, timed=False)
        for digest, one in first.items()
    }
    done = execute_plans.execute(list(plans.values()), session)
    labels = dict(zip(found, _labels(found), strict=True))
    rows: dict[str, Row] = {}
    for digest, plan in plans.items():
        [*_, row] = collect(plan, session.known).report.rows or [None]
        if row is not None and row.file == plan.outputs[0].file and row.sha256:
            rows[digest] = row
    files = [
        (one, replace(rows[digest], file=one.name, type=labels[one], sha256=digest))
        for one, digest in digests.items()
        if digest in rows
    ]
    others = [
        f"{one.name} is not of this model: {_other(row)}" for one, row in files if _other(row)
    ]
    original = session.store.file_digest(against)
    return Compared(
        against.stem, original, tuple(files), (*progress_listeners.failures(done), *others)
    )


def _other(row: Row) -> str:
    """How the tensors of a file are not the unquantized one's, so that nothing was measured."""
    failed = (one for one in row.checks if one.name == "structure" and one.status is Status.FAIL)
    return next((one.message for one in failed), "")


def _labels(found: Sequence[Candidate]) -> list[str]:
    """Short names: the last word of the file's, with the publisher where that is not enough."""
    words = [re.split(r"[-.]", Path(one.name).stem)[-1] for one in found]
    seen = Counter(words)
    full = [
        word if seen[word] == 1 else f"{word} {one.where.partition('/')[0] or one.where}"
        for word, one in zip(words, found, strict=True)
    ]
    again = Counter(full)
    return [
        label if again[label] == 1 else f"{one.where}/{one.name}"
        for label, one in zip(full, found, strict=True)
    ]


def text(one: Compared) -> str:
    """The table in Markdown, best first."""
    ordered = sorted(one.files, key=lambda each: each[1].size)
    rows = [row for _, row in ordered]
    measured = number_tables.table(rows, "card", one.against)
    first = {row.sha256: row.type for row in reversed(rows)}
    lines = [
        [
            row.type,
            each.where,
            *cells,
            _words(row, rows, first, one.original),
            code(row.sha256[:12]),
        ]
        for (each, row), cells in zip(ordered, measured.texts, strict=True)
    ]
    head = ["File", "Published by", *measured.titles, "Good for", "SHA-256"]
    return report.markdown_table(head, lines)


def _words(row: Row, rows: Sequence[Row], first: Mapping[str, str], original: str) -> str:
    if row.sha256 == original:
        return _ITSELF
    if first[row.sha256] != row.type:
        return _REPEATED.format(first[row.sha256])
    if not closeness.compared(row):
        return _NOT_MEASURED
    return closeness.words(row, [one for one in rows if first[one.sha256] == one.type])


def write(one: Compared, folder: Path, corpus: Path) -> Path:
    """Write table and plot into a folder; returns the table's file."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn, title = model_tables.picture([row for _, row in one.files], one.against)
    parts = [f"# Compared with {one.against}", f"Measured on {code(corpus.name)}.", text(one)]
    if drawn:
        put(folder / PICTURE, drawn.encode("utf-8"))
        parts.append(f"![{title}]({PICTURE})")
    parts += [f"- not measured: {problem}" for problem in one.problems]
    put(folder / TABLE, ("\n\n".join(parts) + "\n").encode("utf-8"))
    return folder / TABLE


def as_json(one: Compared, corpus: Path) -> dict[str, JSON]:
    """What was found, for programs."""
    return {
        "against": one.against,
        "corpus": {"name": corpus.name, "sha256": file_sha256(corpus)},
        "files": [
            {
                "label": row.type,
                "published_by": each.where,
                "file": each.name,
                "sha256": row.sha256,
                **row.by_key(),
            }
            for each, row in one.files
        ],
        "problems": list(one.problems),
    }
