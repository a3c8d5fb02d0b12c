"""The search for the best file of a size, with real tools on the tiny llama."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.support.typed_commands import TINY, Said, typed
from tests.support.warm_store import link


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store that has the tool chain."""
    made = tmp_path_factory.mktemp("fit")
    link(made / "store", "llama.cpp")
    return made


def searched(place: Path, *words: str | Path) -> Said:
    """A search on the tiny llama, with what was made for earlier ones."""
    own = ("--no-imatrix", "--chunks", "2")
    return typed("fit", TINY, *own, *words, home=place / "store")


@pytest.fixture(scope="module")
def fitted(place: Path) -> Path:
    """The recipe of a search for two sizes."""
    target = place / "fitted.yaml"
    said = searched(place, "--as", "Q4_0", "--size", "1.4MB", "--threads", "2", "-o", target)
    assert said.code == 0, said.err
    assert "fit-1.40MB" in said.out
    return target


def test_the_recipe_makes_files_of_the_size_that_are_better_without_a_search(
    fitted: Path, place: Path
) -> None:
    said = typed("run", fitted, "--out", place / "dist", "-t", "2", home=place / "store")
    assert said.code == 0, said.out
    rows = {
        row["type"]: row
        for row in json.loads((place / "dist/fitted/report.json").read_text("utf-8"))["files"]
    }
    content = yaml.safe_load(fitted.read_text("utf-8"))
    for name, stated in content["fit"]["files"].items():
        assert rows[name]["kld"] == pytest.approx(stated["mean_kld"])
        assert stated["mean_kld"] < stated["standard_mean_kld"]
    assert rows["fit-1.40MB"]["size"] <= 1_400_000
    assert "quantize fitted to fit-1.40MB" in said.err
    assert "probe" not in said.err


def test_the_same_search_gives_the_same_recipe_and_measures_nothing_again(
    fitted: Path, place: Path
) -> None:
    again = place / "again.yaml"
    said = searched(place, "--as", "Q4_0", "--size", "1.4MB", "--threads", "1", "-o", again)
    assert said.code == 0, said.err
    assert "divergence" not in said.err
    mine, theirs = (yaml.safe_load(path.read_text("utf-8")) for path in (again, fitted))
    assert {**mine, "name": ""} == {**theirs, "name": ""}


def test_the_record_has_every_probe_and_the_picture_the_files(fitted: Path) -> None:
    record = json.loads(fitted.with_suffix(".fit.json").read_text("utf-8"))
    groups = {one["name"] for one in record["groups"]}
    assert {one["group"] for one in record["probes"]} == groups
    assert "fit-1.40MB" in fitted.with_suffix(".fit.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "100kB"], "no mix of types is as small as 100kB: the smallest has"),
        (["--as", "Q4_K_M", "--text", "same"], "stands in the text of the search too"),
        (["--as", "Q9_9"], "'Q9_9' is no type of llama.cpp"),
        (["--vram", "1MB", "--context", "4096"], "a context of 4096 tokens and its buffers need "),
        ([], "nothing says how large the file may be"),
    ],
)
def test_what_cannot_be_is_refused(place: Path, options: list[str], said: str) -> None:
    text = str(TINY.parent / "corpus" / "perplexity.txt")
    given = [text if one == "same" else one for one in options]
    found = searched(place, *given, "-o", place / "no.yaml")
    assert found.code == 2
    assert said in found.err
    assert not (place / "no.yaml").exists()
