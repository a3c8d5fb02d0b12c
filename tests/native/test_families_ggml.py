"""The recipes of GGML files as they are, on miniatures, made by the tools of 2023.

Those tools compute models of 32 layers: layers that add nothing are put upon the miniatures.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.recipe.without_checksums import NOTE
from orchestrator.toolchain import load
from tests.miniatures import hubs, repositories
from tests.miniatures.repositories import Layout
from tests.support.model_families import PERPLEXITY, Ran, python, run, served
from tests.support.reachable import reachable
from tests.support.typed_commands import RECIPES, typed
from tests.support.warm_store import link

OLD = ("llama-7b", "llama-7b-v3", "chimera-7b")
BLOOMZ = ("bloomz-7b1", "phoenix-7b")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recipes with Meta's files where the recipes want them."""
    place = tmp_path_factory.mktemp("copied")
    shutil.copytree(RECIPES, place / "recipes")
    layout = Layout(place / "recipes" / "ggml" / "models" / "7B")
    layout.folder.mkdir(parents=True)
    repositories.meta_files(layout, layers=32)
    hubs.torch_writes([layout], python(), place / "jobs")
    return place / "recipes" / "ggml"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, copied: Path) -> Iterator[Ran]:
    """The llama recipes of 2023. Their tools wait by spinning, so they get one thread."""
    place = tmp_path_factory.mktemp("old")
    for name in ("llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3"):
        link(place / "store", name)
    for hub in served(place, repositories.OLD):
        yield run(place, hub, copied, OLD, "-t", "1")


@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        ("llama-7b-ggml", {"F16": 16.0, "Q4_0": 5.0, "Q4_1": 6.0}),
        (
            "llama-7b-ggml-v3",
            {"F16": 16.0, "Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5},
        ),
        ("chimera-7b-ggml", {"F16": 16.0, "Q4_0": 5.0}),
    ],
)
def test_files_of_2023_are_made_and_measured(old: Ran, recipe: str, bits: dict[str, float]) -> None:
    assert old.said.code == 0, old.said.all
    assert [one["type"] for one in old.report(recipe)["files"]] == list(bits)
    for kind, expected in bits.items():
        row = old.row(recipe, kind)
        assert row["bits_per_weight"] == pytest.approx(expected, abs=0.05)
        checks = old.checks(recipe, kind)
        assert checks["structure"]["status"] == "pass"
        assert 1 < checks["perplexity"]["numbers"]["perplexity"] < 3
        assert checks["smoke"]["numbers"]["text"].strip()


def test_both_chains_of_2023_make_the_same_f16(old: Ran) -> None:
    """As upstream's SHA256SUMS of both commits state it for the real one."""
    first, third = old.converted("llama-7b-ggml"), old.converted("llama-7b-ggml-v3")
    assert file_sha256(first) == file_sha256(third)


def test_two_ways_to_one_model_tell_the_same_stories(old: Ran) -> None:
    """Layers that add nothing stand for those that the old tools want."""
    for recipe in ("llama-7b-ggml", "llama-7b-ggml-v3"):
        assert old.perplexity(recipe) == pytest.approx(PERPLEXITY["llama"], rel=0.02)
    assert old.perplexity("chimera-7b-ggml") == pytest.approx(PERPLEXITY["chimera"], rel=0.05)


def test_input_checksums_hold_without_the_flag(old: Ran, copied: Path, tmp_path: Path) -> None:
    said = typed("run", copied / "llama-7b.yaml", "--out", tmp_path, home=old.store)
    assert said.code == 2
    assert "is not the file the recipe means" in said.all
    assert NOTE in old.report("llama-7b-ggml")["notes"]


@pytest.fixture(scope="module")
def bloomz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The recipes of bloomz.cpp, where its repository or a mirror of it can be had."""
    names = ("bloomz.cpp", "bloomz.cpp-phoenix")
    problems = {reachable(load.load(name).source.git) for name in names} - {""}
    if problems:
        pytest.skip("; ".join(problems))
    place = tmp_path_factory.mktemp("bloomz")
    for name in names:
        link(place / "store", name)
    for hub in served(place, repositories.OLD):
        yield run(place, hub, RECIPES / "ggml", BLOOMZ, "-t", "2")


@pytest.mark.parametrize("recipe", [f"{name}-ggml" for name in BLOOMZ])
def test_files_of_bloomz_are_made_and_checked(bloomz: Ran, recipe: str) -> None:
    assert bloomz.said.code == 0, bloomz.said.all
    row = bloomz.row(recipe, "Q4_0")
    checks = bloomz.checks(recipe, "Q4_0")
    assert checks["structure"]["status"] == "pass"
    assert checks["census"]["numbers"]["census"] == {"F32": 20, "Q4_0": 10}
    assert checks["smoke"]["numbers"]["text"].strip()
    assert row["bits_per_weight"] == pytest.approx(5.1, abs=0.05)


def test_safetensors_and_bin_become_the_same_ggml_file(bloomz: Ran) -> None:
    """Phoenix's shards and bloomz's one file hold the same weights here."""
    first, second = bloomz.converted("bloomz-7b1-ggml"), bloomz.converted("phoenix-7b-ggml")
    assert file_sha256(first) == file_sha256(second)
