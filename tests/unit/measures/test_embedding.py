"""Embeddings and rerankers' scores against the full file's, out of what llama-embedding printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Step, Task
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.embedding import TEXTS
from orchestrator.runs.judge_measures import Expectation, judge
from orchestrator.steps import measure
from orchestrator.toolchain import load
from tests.support.measures import measured
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes

NORTH, EAST, BETWEEN = [0.0, 1.0], [1.0, 0.0], [0.8, 0.6]
ROWS = [NORTH, EAST, BETWEEN]
CLASSIFIER = Tensor("cls.output.weight", (32, 1), "F32")
# Stands in for the tool: shows its arguments and lines on stderr, its rows on stdout.
TOOL = """\
import sys
texts = open(sys.argv[sys.argv.index("-f") + 1], encoding="utf-8").read()
print(sys.argv[3:], texts.count("\\n") + 1, texts.count("\\t"), file=sys.stderr)
print(open(sys.argv[1]).read())
"""


def model(folder: Path, *tensors: Tensor, pooling: int | None = 1) -> Path:
    fields = {"general.architecture": KV("str", "bert")}
    if pooling is not None:
        fields["bert.pooling_type"] = KV("u32", pooling)
    folder.mkdir()
    path = folder / "model.gguf"
    path.write_bytes(
        gguf_bytes(GGUFSpec(fields, [Tensor("token_embd.weight", (32, 4), "F16"), *tensors]))
    )
    return folder


def taken(
    place: Path,
    rows: Sequence[Sequence[float]],
    *,
    model_folder: Path,
    full: Path | None = None,
    texts: Sequence[str] = ("a b", "c", "d"),
) -> tuple[dict[str, JSON], str, Path]:
    """The facts, what the tool was given, and where the step's files lie."""
    for name in ("work", "scratch"):
        (place / name).mkdir(parents=True)
    printed = "\n".join(" ".join(f"{one:.7f}" for one in row) for row in rows)
    (place / "printed").write_text(f"\n{printed}\n\n")
    data = load.load("llama.cpp").verbs["embed"].model_dump(mode="json")
    argv = [sys.executable, "-c", TOOL, str(place / "printed"), *data["argv"]]
    context = {"verbs": {"embed": {**data, "argv": argv}}}
    params = {"measure": "embedding", "file": "model.gguf", "texts": texts, "questions": 8}
    inputs = {"model": model_folder, "toolchain": place, **({"full": full} if full else {})}
    step = Step("measure", "measure x: embeddings", "0" * 64, params, context=context)
    log = place / "log"
    task = Task(step, inputs, place / "work", place / "scratch", log, 1)
    return measure.run(task), log.read_text(), place / "work"


def check(facts: Mapping[str, JSON], **limits: float) -> Check:
    found = measured(embedding=facts)
    expected = Expectation(limits=limits, asked={"embedding": {"texts": None}})
    [one] = [one for one in judge(found, expected) if one.name == "embedding"]
    return one


def test_the_full_files_embeddings_are_kept_for_the_others(tmp_path: Path) -> None:
    facts, given, work = taken(tmp_path / "f", ROWS, model_folder=model(tmp_path / "m"))

    assert facts == {"texts": 3, "pooling": "mean", "pooling_stated": True, "dimensions": 2}
    assert json.loads((work / "embeddings.json").read_text()) == ROWS
    assert "'--pooling'" not in given
    assert "3 texts, 2 numbers each, pooling: mean" in check(facts).message


def test_a_file_that_states_no_pooling_is_measured_with_the_mean(tmp_path: Path) -> None:
    place = model(tmp_path / "m", pooling=None)
    facts, given, _ = taken(tmp_path / "f", ROWS, model_folder=place)

    assert (facts["pooling"], facts["pooling_stated"]) == ("mean", False)
    assert "'--pooling', 'mean'" in given
    assert check(facts).message.endswith("pooling: mean, not stated")


def test_the_same_embeddings_are_as_near_as_can_be_whatever_their_length(tmp_path: Path) -> None:
    place = model(tmp_path / "m")
    _, _, full = taken(tmp_path / "f", ROWS, model_folder=place)
    longer = [[3 * one for one in row] for row in ROWS]

    facts, _, _ = taken(tmp_path / "q", longer, model_folder=place, full=full)

    for name in ("mean_cosine", "min_cosine", "rank_agreement", "same_nearest"):
        assert facts[name] == pytest.approx(1), name


def test_what_is_lost_is_found(tmp_path: Path) -> None:
    place = model(tmp_path / "m")
    _, _, full = taken(tmp_path / "f", ROWS, model_folder=place)
    # The third text moves from east to north: its cosine is 0.96, and both its order and that
    # of the second text turn round. The first text has the third as its nearest all the same.
    facts, _, _ = taken(tmp_path / "q", [NORTH, EAST, [0.6, 0.8]], model_folder=place, full=full)

    assert facts["mean_cosine"] == pytest.approx((1 + 1 + 0.96) / 3)
    assert facts["min_cosine"] == pytest.approx(0.96)
    assert facts["rank_agreement"] == pytest.approx((1 + 1 - 1) / 3)
    assert facts["same_nearest"] == pytest.approx(2 / 3)


FACTS: dict[str, Any] = {
    "texts": 24,
    "pooling": "mean",
    "pooling_stated": True,
    "dimensions": 384,
    "mean_cosine": 0.99313,
    "min_cosine": 0.99147,
    "rank_agreement": 0.983,
    "same_nearest": 0.92,
}


@pytest.mark.parametrize(
    ("limit", "good", "bad", "words"),
    [
        ("min_mean_cosine", 0.993, 0.994, "at least a mean cosine of 0.994"),
        ("min_cosine", 0.99, 0.992, "at least a cosine of 0.992 for any text"),
        ("min_rank_agreement", 0.98, 0.99, "at least an agreement of 0.99"),
        ("min_same_nearest", 0.92, 0.93, "at least the same nearest text for 93 %"),
    ],
)
def test_each_number_is_held_against_its_limit(
    limit: str, good: float, bad: float, words: str
) -> None:
    assert check(FACTS, **{limit: good}).status is Status.PASS
    failed = check(FACTS, **{limit: bad})
    assert failed.status is Status.FAIL
    assert failed.message.startswith("cosine 0.99313 (lowest 0.99147) to F16, orders of 24 texts")
    assert failed.message.endswith(f"but {words} is allowed")


def test_a_reranker_scores_pairs_and_has_no_cosine(tmp_path: Path) -> None:
    place = model(tmp_path / "m", CLASSIFIER, pooling=None)
    # Two labels: the first is the score. Each of three texts is asked for both others.
    scores = [[0.1, 9.0], [0.2, 9.0], [0.5, 9.0], [0.4, 9.0], [-1.0, 9.0], [-2.0, 9.0]]
    _, given, full = taken(tmp_path / "f", scores, model_folder=place)
    turned = [*scores[:4], scores[5], scores[4]]

    facts, _, _ = taken(tmp_path / "q", turned, model_folder=place, full=full)

    assert "'--pooling', 'rank', '--embd-normalize', '-1'" in given
    assert "] 6 6\n" in given  # lines and tabs
    assert (facts["dimensions"], facts["mean_cosine"]) == (1, None)
    assert facts["rank_agreement"] == pytest.approx(1 / 3)
    assert facts["same_nearest"] == pytest.approx(2 / 3)
    assert check(facts).message.startswith("scores to F16, orders of 3 texts agree by 0.3333")
    assert check(facts, min_cosine=0.5).status is Status.FAIL  # it has none


@pytest.mark.parametrize("rows", [ROWS[:2], [*ROWS, NORTH], [NORTH, EAST, [1.0]]])
def test_other_than_a_row_for_each_text_is_no_success(
    tmp_path: Path, rows: list[list[float]]
) -> None:
    with pytest.raises(StepError, match=r"printed \d rows of numbers for 3 texts"):
        taken(tmp_path / "f", rows, model_folder=model(tmp_path / "m"))


def test_numbers_that_are_none_are_no_success(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="exited 0 but said 'nan"):
        taken(tmp_path / "f", [[float("nan")] * 2, *ROWS[1:]], model_folder=model(tmp_path / "m"))


def test_an_encoder_that_was_to_be_measured_and_was_not_fails() -> None:
    expected = Expectation(asked={"embedding": {}}, failed=frozenset({"embedding"}))
    [one] = [one for one in judge(measured(), expected) if one.name == "embedding"]

    assert one.status is Status.FAIL


def test_the_own_texts_fit_into_short_models() -> None:
    assert len(set(TEXTS)) == 24
    assert max(map(len, TEXTS)) < 128
