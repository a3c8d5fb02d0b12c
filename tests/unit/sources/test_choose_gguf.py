"""The GGUF files of one model, among those of a listing or a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import StepError, UsageError
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.sources import choose_gguf
from orchestrator.sources.choose_model_files import HubFile
from tests.support.gguf_pairs import Model, write_gguf, write_parts

PARTS = [f"Q8_0/big-0000{number}-of-00003.gguf" for number in (1, 2, 3)]


def listing(*paths: str) -> list[HubFile]:
    return [HubFile(path, 1, None, None) for path in paths]


@pytest.mark.parametrize("named", [*PARTS, "", "Q8_0/*.gguf"])
def test_any_part_stands_for_all_in_their_order(named: str) -> None:
    found = choose_gguf.chosen(listing("README.md", *reversed(PARTS)), named)

    assert [one.path for one in found] == PARTS


def test_of_several_models_one_must_be_named() -> None:
    files = listing("small.gguf", *PARTS)

    with pytest.raises(UsageError, match=rf"2 GGUF models: {PARTS[0]}, small\.gguf"):
        choose_gguf.chosen(files, "")
    assert [one.path for one in choose_gguf.chosen(files, "small.gguf")] == ["small.gguf"]


def test_a_missing_part_is_named() -> None:
    with pytest.raises(StepError, match=r"one of 3 parts, of which there is no Q8_0/big-00002"):
        choose_gguf.chosen(listing(PARTS[0], PARTS[2]), "")


def test_a_folder_is_the_one_model_in_it(tmp_path: Path) -> None:
    parts = write_parts(tmp_path, Model(), (1, 3))
    (tmp_path / "README.md").touch()

    assert choose_gguf.in_folder(tmp_path) == choose_gguf.in_folder(parts[1]) == parts

    parts[2].unlink()
    with pytest.raises(StepError, match=r"there is no m-00003-of-00003\.gguf"):
        choose_gguf.in_folder(tmp_path)
    with pytest.raises(FormatError, match=r"m-00003-of-00003\.gguf is missing"):
        choose_gguf.in_folder(parts[0])


def test_a_folder_of_several_models_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There are no GGUF models"):
        choose_gguf.in_folder(tmp_path)
    for name in ("a.gguf", "b.gguf"):
        write_gguf(tmp_path / name, Model())
    with pytest.raises(UsageError, match=rf"{tmp_path}: There are 2 GGUF models: a\.gguf, b"):
        choose_gguf.in_folder(tmp_path)
