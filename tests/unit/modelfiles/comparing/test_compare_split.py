"""GGUF files in parts are compared as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.modelfiles.comparing import Verdict, compare
from orchestrator.modelfiles.format_error import FormatError
from tests.support.gguf_pairs import SOME, Model, flip, tensor, write_gguf, write_parts


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "whole.gguf", Model())


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return write_parts(tmp_path, Model(), (1, 3))


def test_parts_hold_the_same_tensors_as_the_whole(whole: Path, parts: list[Path]) -> None:
    for part in parts:
        found = compare(whole, part)

        assert found.verdict is Verdict.SAME_TENSORS
        assert found.keys == ()
        assert found.notes == ("A is in 1 and B in 3 files",)
        assert found.b.files == tuple(parts)
        assert found.b.nbytes == sum(one.stat().st_size for one in parts)


def test_equal_parts_are_identical(tmp_path: Path, parts: list[Path]) -> None:
    other = write_parts(tmp_path, Model(), (1, 3), "other")

    assert compare(parts[0], other[2]).verdict is Verdict.IDENTICAL


def test_another_cut_is_not_identical(tmp_path: Path, parts: list[Path]) -> None:
    other = write_parts(tmp_path, Model(), (2, 3), "other")

    assert compare(parts[0], other[0]).verdict is Verdict.SAME_TENSORS


def test_a_flipped_byte_in_the_last_part_is_found(whole: Path, parts: list[Path]) -> None:
    at = next(one.offset for one in (tensor(parts[0], "output"),))
    flip(parts[2], at, parts[2])

    found = compare(whole, parts[0])

    assert [one.name for one in found.tensors if one.state == "differs"] == ["output"]
    assert found.verdict is Verdict.NEAR


def test_a_missing_part_is_named(whole: Path, parts: list[Path]) -> None:
    parts[1].unlink()

    with pytest.raises(FormatError, match=r"m-00002-of-00003\.gguf is missing"):
        compare(whole, parts[0])


def test_a_part_of_another_number_is_refused(whole: Path, parts: list[Path]) -> None:
    parts[2].write_bytes(parts[1].read_bytes())

    with pytest.raises(FormatError, match=r"says that it is part 1 \(from 0\) of 3"):
        compare(whole, parts[0])


def test_a_part_must_be_named_like_one(whole: Path, parts: list[Path], tmp_path: Path) -> None:
    alone = parts[0].rename(tmp_path / "first.gguf")

    with pytest.raises(FormatError, match="its name does not say which"):
        compare(whole, alone)


def test_parts_that_lack_a_tensor_are_refused(whole: Path, tmp_path: Path) -> None:
    parts = write_parts(tmp_path, Model(), (1, 3))
    write_parts(tmp_path, Model(SOME[:-1]), (1, 3), "short")
    (tmp_path / "short-00003-of-00003.gguf").replace(parts[2])

    with pytest.raises(FormatError, match="4 tensors, not 5"):
        compare(whole, parts[0])


def test_a_tensor_in_two_parts_is_refused(whole: Path, tmp_path: Path) -> None:
    parts = write_parts(tmp_path, Model([*SOME[:3], *SOME[4:]]), (1, 3))
    other = write_parts(tmp_path, Model([*SOME[:3], SOME[0]]), (1, 3), "other")
    other[2].replace(parts[2])

    with pytest.raises(FormatError, match="'embd' is in another part too"):
        compare(whole, parts[0])
