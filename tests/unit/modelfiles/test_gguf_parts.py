"""Parts of a model in several files: which they are, and what all of them say."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf, gguf_parts, header_facts, tensor_values
from orchestrator.modelfiles.format_error import FormatError
from tests.support.gguf_pairs import Model, write_gguf, write_parts


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return write_parts(tmp_path, Model(), (1, 3))


def test_a_part_names_all_others_and_another_file_itself(tmp_path: Path) -> None:
    names = [f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]

    assert [one.name for one in gguf_parts.named(tmp_path / names[1])] == names
    assert gguf_parts.named(tmp_path / "m-1-of-3.gguf") == (tmp_path / "m-1-of-3.gguf",)


@pytest.mark.parametrize("given", [0, 1, 2])
def test_any_part_stands_for_the_set(parts: list[Path], given: int) -> None:
    assert [one.path for one in gguf_parts.read(parts[given])] == parts


def test_the_header_of_a_set_counts_all_its_parts(tmp_path: Path, parts: list[Path]) -> None:
    whole = header_facts.header(write_gguf(tmp_path / "whole.gguf", Model()), "gguf")

    found = header_facts.header(parts[0], "gguf")

    assert len(found.tensors) == len(whole.tensors)
    assert (found.parameters, found.bits_per_weight) == (whole.parameters, whole.bits_per_weight)
    assert found.size == sum(one.stat().st_size for one in parts)


def test_a_file_that_is_only_named_like_a_part_is_whole(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m-00001-of-00002.gguf", Model())

    assert [one.path for one in gguf_parts.read(path)] == [path]


@pytest.mark.parametrize("given", [0, 2])
def test_the_missing_part_is_named(parts: list[Path], given: int) -> None:
    parts[1].unlink()

    with pytest.raises(FormatError, match=r"m-00002-of-00003\.gguf is missing: .* is one of 3"):
        header_facts.header(parts[given], "gguf")


def test_the_cut_part_is_named(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-40])

    with pytest.raises(FormatError, match=r"m-00002-of-00003\.gguf: at byte"):
        gguf_parts.read(parts[0])


def test_damaged_values_are_told_with_their_part(parts: list[Path]) -> None:
    header = gguf.read(parts[1])
    damaged = next(one for one in header.tensors if one.type in ("F16", "F32"))
    data = bytearray(parts[1].read_bytes())
    start = header.data_offset + damaged.offset
    data[start : start + 4] = b"\xff\x7f\xff\x7f"
    parts[1].write_bytes(data)

    [found] = tensor_values.scan(parts[0])

    assert str(found).startswith(f"{damaged.name} in m-00002-of-00003.gguf holds")


def test_a_folder_with_one_set_stands_for_it(tmp_path: Path, parts: list[Path]) -> None:
    assert gguf_parts.only_set(tmp_path) in parts
    parts[0].unlink()
    assert gguf_parts.only_set(tmp_path) == parts[1]
    write_gguf(tmp_path / "other.gguf", Model())
    assert gguf_parts.only_set(tmp_path) is None


def test_the_header_of_the_whole_is_that_of_a_file_in_one_piece(
    tmp_path: Path, parts: list[Path]
) -> None:
    whole = write_gguf(tmp_path / "whole.gguf", Model())
    start = parts[0].read_bytes()[: gguf.read(parts[0]).data_offset]

    found = gguf_parts.whole_header(gguf_parts.read(parts[1]), start)

    assert found == whole.read_bytes()[: gguf.read(whole).data_offset]


def test_headers_in_another_order_are_refused(parts: list[Path]) -> None:
    with pytest.raises(FormatError, match=r"says that it is part 2 \(from 0\) of 3, not part 0"):
        gguf_parts.check(gguf_parts.read(parts[0])[::-1])
