"""What names, files and folders of recipes mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base import installed_data
from orchestrator.base.errors import UsageError
from orchestrator.runs import find_recipes, load_and_plan

TINY = installed_data.RECIPES / "tiny"


def written(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return paths


def test_a_recipe_that_comes_along_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipes.files([Path("tiny-llama"), Path("chimera-7b")]) == [
        TINY / "llama.yaml",
        installed_data.RECIPES / "chimera-7b.yaml",
    ]


def test_every_recipe_that_comes_along_is_named_as_it_says() -> None:
    found = installed_data.recipes()
    usable = [Path(name) for name in found if "ggml" not in name and "ggjt" not in name]
    assert {one.name for one in load_and_plan.load(usable)} == {path.name for path in usable}
    assert len(found) == len(list(installed_data.RECIPES.rglob("*.yaml")))


def test_a_file_comes_before_a_name_and_a_name_before_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "tiny-llama/x.yaml", "tiny-bloom")
    assert find_recipes.files([Path("tiny-llama")]) == [TINY / "llama.yaml"]
    assert find_recipes.files([Path("tiny-bloom")]) == [Path("tiny-bloom")]
    assert find_recipes.files([tmp_path / "tiny-llama"]) == [tmp_path / "tiny-llama" / "x.yaml"]


def test_a_folder_stands_for_its_recipes_alone(tmp_path: Path) -> None:
    written(tmp_path, "a.lock.yaml", ".hidden/x.yaml", "vendor/mine/toolchain.yaml")
    written(tmp_path, "vendor/mine/drafts.yaml", "notes.txt")
    a, b = written(tmp_path, "a.yaml", "sub/b.yaml")
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    assert find_recipes.files([tmp_path, b, a]) == [a, b]
    with pytest.raises(UsageError, match=r"there is no recipe in .*vendor"):
        find_recipes.files([tmp_path / "vendor"])


def test_a_near_miss_is_suggested() -> None:
    with pytest.raises(UsageError, match=r"recipe 'lama-7b'; did you mean 'llama-7b'\?"):
        find_recipes.files([Path("lama-7b")])


def test_a_path_that_is_missing_is_left_to_who_reads_it() -> None:
    assert find_recipes.files([Path("x.yaml"), Path("a/b")]) == [Path("x.yaml"), Path("a/b")]


def test_a_model_in_place_of_a_recipe_is_told_what_can_be_done_with_it(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=r"m\.gguf is a model, not a recipe"):
        find_recipes.files([tmp_path / "m.gguf"])
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="is the folder of a model, and holds no recipe"):
        find_recipes.files([tmp_path])
    written(tmp_path, "a.yaml")
    assert find_recipes.files([tmp_path]) == [tmp_path / "a.yaml"]


def test_one_recipe_is_one(tmp_path: Path) -> None:
    written(tmp_path, "a.yaml", "b.yaml")
    with pytest.raises(UsageError, match="holds 2 recipes"):
        find_recipes.one(tmp_path)
