"""How near a file's embeddings, or a reranker's scores, are to the unquantized file's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import hypot
from operator import mul
from pathlib import Path
from statistics import correlation, mean

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import (
    Alarm,
    Column,
    Limit,
    Measure,
    Number,
    Numbers,
    Option,
    Section,
    Work,
)
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import held, percent, unmeasured
from orchestrator.modelfiles import gguf_parts

Rows = Sequence[Sequence[float]]

# Of near and of far relatives, so that each has an order of the others that can be lost.
TEXTS = (
    "The cat sleeps on the warm windowsill.",
    "A kitten is dozing in the sun.",
    "Our dog barks whenever the postman comes.",
    "Wolves hunt in packs during the winter.",
    "Boil the potatoes for twenty minutes, then mash them with butter.",
    "How long does it take to cook potatoes?",
    "The soup needs more salt and a little pepper.",
    "Bread rises because yeast makes carbon dioxide.",
    "The train to Berlin leaves from platform nine.",
    "Trains between the two cities were late again today.",
    "She missed her flight because of the traffic.",
    "The new bridge carries cars, bicycles and trams.",
    "Water freezes at zero degrees Celsius.",
    "At what temperature does water turn to ice?",
    "Iron expands when it is heated.",
    "The moon pulls on the oceans and makes the tides.",
    "The central bank raised interest rates by half a point.",
    "Loans become more expensive when rates go up.",
    "The company sold fewer phones than a year ago.",
    "Unemployment fell to its lowest level in ten years.",
    "The function returns the length of the list.",
    "This program crashes when the file is empty.",
    "He has played the violin since he was six.",
    "The orchestra performed a symphony in four movements.",
)
_FILE = "embeddings.json"
# As llama.cpp numbers them; a file that states none is measured with the mean.
_POOLING = ("none", "mean", "first token", "last token", "rank")
_CLASSIFIER = {"cls.weight", "cls.output.weight"}
# A reranker reads all of a pair for each score, so not every text is a question.
_QUESTIONS = 8
# All of a batch must fit, and none is longer than a model's positions by itself.
_CONTEXT = 2048


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``texts``, ``questions``; ``inputs["full"]`` has the full file's embeddings.

    A reranker scores each text as an answer to about so many others.

    Returns:
        ``texts``, ``pooling``, ``pooling_stated`` (whether the file says it), ``dimensions`` (1
        for a reranker). Against the full file also
        ``mean_cosine`` and ``min_cosine`` between both files' embeddings of a text (None for a
        reranker); ``rank_agreement``, Spearman's correlation between both files' orders of the
        other texts by nearness to a text, the mean over texts; and ``same_nearest``, the share
        of texts with the same nearest one.

    Raises:
        StepError: The tool failed, or did not print numbers for each text.
    """
    texts = list(task.step.params["texts"])
    pooling, stated = _pooling(task.inputs["model"] / str(task.step.params["file"]))
    ranks = pooling == "rank"
    vectors = _printed(task, texts, pooling="" if stated else pooling, ranks=ranks)
    (task.workdir / _FILE).write_text(json.dumps(vectors), encoding="utf-8")
    facts = {
        "texts": len(texts),
        "pooling": pooling,
        "pooling_stated": stated,
        "dimensions": len(vectors[0]),
    }
    if "full" not in task.inputs:
        return facts
    full = json.loads((task.inputs["full"] / _FILE).read_text("utf-8"))
    if len(full[0]) != len(vectors[0]):
        raise StepError(
            f"{task.step.label}: {len(vectors[0])} numbers a text, the full file has {len(full[0])}"
        )
    return {**facts, **compared(vectors, full, len(texts), ranks=ranks)}


def _pooling(path: Path) -> tuple[str, bool]:
    """How the numbers of a text's tokens become the text's, and whether the file says so.

    Converters write classifiers' output tensors without saying that they are to be used.
    """
    parts = gguf_parts.read(path)
    metadata = parts[0].metadata
    stated = metadata.get(f"{metadata.get('general.architecture')}.pooling_type")
    if any(one.name in _CLASSIFIER for part in parts for one in part.tensors):
        return "rank", stated == _POOLING.index("rank")
    if isinstance(stated, int) and 0 < stated < len(_POOLING):
        return _POOLING[stated], True
    return "mean", False


def _printed(task: Task, texts: Sequence[str], *, pooling: str, ranks: bool) -> list[list[float]]:
    """What the verb printed: a row of numbers for each text, or a score for each pair."""
    lines = _pairs(texts, int(task.step.params["questions"])) if ranks else texts
    asked = task.scratch / "texts.txt"
    asked.write_text("\n".join(lines), encoding="utf-8")
    values = {"texts": asked.name, "context": _CONTEXT, "pooling": pooling, "ranks": ranks}
    found = taking.call(task, "embed", values, "embeddings").lists["vectors"]
    rows = [[float(one) for one in row["numbers"].split()] for row in found]
    if ranks:  # a classifier has a score for each of its labels, the first is that of "relevant"
        rows = [row[:1] for row in rows]
    if len(rows) != len(lines) or len({len(row) for row in rows}) != 1:
        raise StepError(
            f"{task.step.label}: the tool printed {len(rows)} rows of numbers "
            f"for {len(lines)} texts",
            "The file's weights hold NaN or infinite values, or do not fit the tool; see the log.",
        )
    return rows


def _pairs(texts: Sequence[str], questions: int) -> list[str]:
    """Some texts, as questions, with every other one as an answer."""
    asked = range(0, len(texts), max(1, len(texts) // questions))
    return [f"{texts[at]}\t{text}" for at in asked for i, text in enumerate(texts) if i != at]


def compared(rows: Rows, full: Rows, texts: int, *, ranks: bool) -> dict[str, JSON]:
    """The numbers of :func:`_run` that compare two files.

    Args:
        rows: The numbers of each text, or the score of each pair of texts.
        full: The same of the full file.
        texts: How many texts there are.
        ranks: Whether there are scores.
    """
    cosines = [] if ranks else [_cosine(*pair) for pair in zip(rows, full, strict=True)]
    near = [_nearness(one, texts, ranks=ranks) for one in (rows, full)]
    pairs = [(_order(mine), _order(whole)) for mine, whole in zip(*near, strict=True)]
    return {
        "mean_cosine": mean(cosines) if cosines else None,
        "min_cosine": min(cosines) if cosines else None,
        "rank_agreement": mean(correlation(_ranks(mine), _ranks(whole)) for mine, whole in pairs),
        "same_nearest": mean(mine[0] == whole[0] for mine, whole in pairs),
    }


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product: float = sum(map(mul, one, other))
    return product / (hypot(*one) * hypot(*other))


def _nearness(rows: Rows, texts: int, *, ranks: bool) -> list[list[float]]:
    """How near each other text is to a text, a row a text (or question)."""
    if ranks:
        scores, wide = [row[0] for row in rows], texts - 1
        return [scores[at : at + wide] for at in range(0, len(scores), wide)]
    return [[_cosine(one, other) for other in rows if other is not one] for one in rows]


def _order(values: Sequence[float]) -> list[int]:
    """Places from the largest value on; what is equal keeps its order."""
    return sorted(range(len(values)), key=lambda at: -values[at])


def _ranks(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=lambda at: order[at])


def _read(facts: Facts, _expectation: Expectation) -> Numbers:
    found = facts.get("embedding") or {}
    return {one.name: found[one.name] for one in MEASURE.numbers if found.get(one.name) is not None}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = facts.get("embedding")
    if not found:
        if "embedding" in expectation.asked:
            yield unmeasured(measure, expectation)
        return
    numbers = _read(facts, expectation)
    told = {**numbers, **{name: found[name] for name in ("pooling", "pooling_stated")}}
    if "rank_agreement" not in numbers:
        fact = f"{found['texts']} texts, {found['dimensions']} numbers each, {_kind(found)}"
        yield Check(measure.name, Status.PASS, fact, told)
        return
    check = Check(measure.name, Status.PASS, _fact(numbers, expectation), told)
    yield held(check, numbers, measure.limits, expectation)


def _kind(found: Mapping[str, JSON]) -> str:
    if found["pooling"] == "rank":
        return "scored in pairs"
    return f"pooling: {found['pooling']}" + ("" if found["pooling_stated"] else ", not stated")


def _fact(numbers: Numbers, expectation: Expectation) -> str:
    cosine = numbers.get("mean_cosine")
    near = (
        "scores" if cosine is None else f"cosine {cosine:.5f} (lowest {numbers['min_cosine']:.5f})"
    )
    agreement, same = numbers["rank_agreement"], numbers["same_nearest"]
    return (
        f"{near} to {expectation.full_name}, orders of {numbers['texts']} texts agree by "
        f"{agreement:.4f}, the nearest text is the same for {(same or 0) * 100:.0f} %"
    )


def _cell(name: str, form: str, factor: float = 1) -> Callable[[Numbers], str]:
    def cell(found: Numbers) -> str:
        value = found.get(name)
        return "" if value is None else form.format(value * factor)

    return cell


MEASURE = Measure(
    name="embedding",
    order=70,
    judge=_judge,
    read=_read,
    work=Work(
        _run,
        "embeddings",
        ("embed",),
        lambda sections: {
            "texts": sections["embedding"]["texts"] or list(TEXTS),
            "questions": _QUESTIONS,
        },
        against_full=True,
    ),
    section=Section(
        "embedding",
        "Embeddings of texts, or a reranker's scores of pairs of them, against the F16's; "
        "measured of encoders unless false.",
        (Option("texts", "lines", "The texts, one line each; without them, 24 English ones."),),
        describes="Embeddings of texts, or a reranker's scores of pairs of them.",
        of_encoders=True,
    ),
    numbers=(
        Number("texts", "texts"),
        Number(
            "mean_cosine",
            "mean cosine similarity",
            key="mean_cosine",
            form="{:.5f}",
            better="higher",
            alarm=Alarm(
                "embedding", 0.001, "Largest change of embeddings' cosine to the F16's, either way."
            ),
            quality=True,
        ),
        Number(
            "min_cosine",
            "lowest cosine similarity",
            key="min_cosine",
            form="{:.5f}",
            better="higher",
        ),
        Number(
            "rank_agreement",
            "rank agreement",
            key="rank_agreement",
            form="{:.4f}",
            better="higher",
            quality=True,
        ),
        Number("same_nearest", "same nearest text", key="same_nearest", better="higher"),
    ),
    limits=(
        Limit(
            "min_mean_cosine",
            "mean_cosine",
            "number",
            "Lowest mean of the cosine similarities between embeddings and the F16's.",
            lambda least: f"a mean cosine of {least:g}",
            least=True,
        ),
        Limit(
            "min_cosine",
            "min_cosine",
            "number",
            "Lowest cosine similarity between any text's embedding and the F16's.",
            lambda least: f"a cosine of {least:g} for any text",
            least=True,
        ),
        Limit(
            "min_rank_agreement",
            "rank_agreement",
            "number",
            "Lowest agreement with the F16's orders of texts by nearness (Spearman's correlation).",
            lambda least: f"an agreement of {least:g}",
            least=True,
        ),
        Limit(
            "min_same_nearest",
            "same_nearest",
            "percentage",
            "Lowest share of texts whose nearest text is the F16's.",
            lambda least: f"the same nearest text for {percent(least)}",
            least=True,
        ),
    ),
    note="Cosine is the similarity of both files' embeddings of a text. Rank agreement is how well "
    "the orders of texts by nearness, or by score, agree with those of {full} (Spearman's "
    "correlation). 1 would be the same.",
    columns=(
        Column("Cosine", _cell("mean_cosine", "{:.5f}"), ("report", "terminal", "card")),
        Column("Cosine, lowest", _cell("min_cosine", "{:.5f}")),
        Column("Rank agreement", _cell("rank_agreement", "{:.4f}"), ("report", "card")),
        Column("Ranks", _cell("rank_agreement", "{:.4f}"), ("terminal",)),
        Column("Same nearest", _cell("same_nearest", "{:.0f} %", 100)),
    ),
)
