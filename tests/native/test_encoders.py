"""Encoders and rerankers by upstream's own llama-embedding, which is built when one is measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.encoders import write_encoder
from tests.support.typed_commands import typed
from tests.support.warm_store import link, ready

RECIPE = """\
name: chance
family: bert
toolchain: llama.cpp
model: {{path: chance-F16.gguf, format: gguf}}
defaults: {{allow_fallback: true}}
quantize: [Q8_0, Q4_0]
verify: {{speed: false{more}}}
"""


def run(place: Path, *, ranks: bool = False, more: str = "") -> tuple[int, str, dict[str, Any]]:
    """Exit code, what was said, and the numbers of the measure by type."""
    home = place / "store"
    link(home, "llama.cpp", programs=["llama-embedding"])
    write_encoder(place / "chance-F16.gguf", ranks=ranks)
    (place / "chance.yaml").write_text(RECIPE.format(more=more))
    said = typed("run", place / "chance.yaml", "--out", place / "dist", "-t", "1", home=home)
    report = json.loads((place / "dist" / "chance" / "report.json").read_text())
    found = {row["type"]: row["measures"].get("embedding", {}) for row in report["files"]}
    return said.code, said.all, found


def test_the_program_lies_beside_the_builds_libraries_and_none_of_them_is_another() -> None:
    folders = ready("llama.cpp", programs=["llama-embedding"])
    program, build = (folders[kind] / "bin" for kind in ("program", "build"))

    added = {path.name for path in program.iterdir()} - {path.name for path in build.iterdir()}
    assert added == {"llama-embedding"}
    libraries = [path.name for path in build.iterdir() if path.name.startswith("lib")]
    assert libraries
    for name in libraries:
        assert (program / name).read_bytes() == (build / name).read_bytes(), name


def test_an_encoder_is_measured_though_its_recipe_asks_for_nothing(tmp_path: Path) -> None:
    code, said, found = run(tmp_path)

    assert code == 0, said
    assert found["Q8_0"]["texts"] == 24
    assert 0.999 < found["Q8_0"]["min_cosine"] <= found["Q8_0"]["mean_cosine"] <= 1.000001
    assert found["Q4_0"]["mean_cosine"] < found["Q8_0"]["mean_cosine"]
    assert found["Q4_0"]["rank_agreement"] < found["Q8_0"]["rank_agreement"]


def test_a_reranker_is_measured_by_its_scores(tmp_path: Path) -> None:
    code, said, found = run(tmp_path, ranks=True)

    assert code == 0, said
    # Scores of weights of chance lie close together.
    assert 0.4 < found["Q8_0"]["rank_agreement"] <= 1
    assert "mean_cosine" not in found["Q8_0"]


def test_a_limit_that_is_not_kept_fails_the_run(tmp_path: Path) -> None:
    code, said, _ = run(tmp_path, more=", limits: {min_rank_agreement: 0.99999999}")

    assert code == 1
    assert "failed: chance-Q4_0.gguf: cosine 0.9" in said


@pytest.mark.parametrize(
    "asked", ["smoke: {prompt: Once, expect: .}", "perplexity: {corpus: text.txt}"]
)
def test_what_continues_a_text_is_refused_before_anything_is_made(
    tmp_path: Path, asked: str
) -> None:
    (tmp_path / "text.txt").write_text("once upon a time " * 200)
    home = tmp_path / "store"
    link(home, "llama.cpp")
    write_encoder(tmp_path / "chance-F16.gguf")
    (tmp_path / "chance.yaml").write_text(RECIPE.format(more=f", {asked}"))
    ran = typed("run", tmp_path / "chance.yaml", "--out", tmp_path / "dist", home=home)

    assert ran.code == 2
    assert "continue no text" in ran.all
    assert "embeddings are measured instead" in ran.all
