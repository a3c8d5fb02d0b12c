"""Importance matrices of others: both formats, damage, and whether they fit a model."""

from __future__ import annotations

import math
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import ExplainedFailure
from orchestrator.modelfiles import importance_matrix
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.modelfiles.importance_matrix import Matrix
from tests.support.importance_matrices import Entries, gguf_matrix, old_matrix
from tests.support.model_files import GGUFSpec, Tensor, gguf_bytes

Q, UP = "blk.0.attn_q.weight", "blk.1.ffn_up_exps.weight"
ENTRIES = {Q: [1.0, 2.0, 3.0, 4.0], UP: [0.5] * 8}
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)
VALUES = st.lists(st.floats(0, 2.0**99, width=32), min_size=1, max_size=9)
WRITERS = pytest.mark.parametrize("writer", [old_matrix, gguf_matrix])


def read(folder: Path, data: bytes) -> Matrix:
    path = folder / "x.imatrix"
    path.write_bytes(data)
    return importance_matrix.read(path)


def tensor(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, shape, 0, "F32", 0, 0)


MODEL = [tensor("token_embd.weight", 4, 9), tensor(Q, 4, 4), tensor(UP, 4, 6, 2)]


@WRITERS
def test_entries_text_and_chunks_are_read(tmp_path: Path, writer: Callable[..., bytes]) -> None:
    found = read(tmp_path, writer(ENTRIES, chunks=7, dataset="a/b.txt"))

    assert {name: one.count for name, one in found.entries.items()} == {Q: 4, UP: 8}
    data = (tmp_path / "x.imatrix").read_bytes()
    assert struct.unpack_from("<4f", data, found.entries[Q].offset) == (1, 2, 3, 4)
    assert found.header("X/X.dat") == {
        "quantize.imatrix.file": "X/X.dat",
        "quantize.imatrix.dataset": "a/b.txt",
        "quantize.imatrix.entries_count": 2,
        "quantize.imatrix.chunks_count": 7,
    }


def test_the_first_old_files_say_nothing_of_their_text(tmp_path: Path) -> None:
    found = read(tmp_path, old_matrix(ENTRIES, dataset=None))

    assert (found.form, found.dataset, found.chunks) == ("dat", "", 0)
    assert "quantize.imatrix.dataset" not in found.header("x")


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5), st.integers(0, 9), NAMES)
def test_what_was_written_in_the_old_format_is_read(
    tmp_path_factory: pytest.TempPathFactory, entries: Entries, chunks: int, dataset: str
) -> None:
    if not any(value for values in entries.values() for value in values):
        entries = {**entries, "one": [1.0]}
    data = old_matrix(entries, chunks=chunks, dataset=dataset)

    found = read(tmp_path_factory.mktemp("x"), data)

    assert (found.form, found.dataset, found.chunks) == ("dat", dataset, chunks)
    for name, values in entries.items():
        where = found.entries[name]
        assert list(struct.unpack_from(f"<{where.count}f", data, where.offset)) == list(values)


@given(st.data())
def test_damage_is_an_error_and_costs_little_memory(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(old_matrix(ENTRIES))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 4))
        whole[at : at + 4] = data.draw(st.sampled_from([b"\xff" * 4, bytes(4), b"\0\0\0\x40"]))
    cut = data.draw(st.integers(0, len(whole)))
    tracemalloc.start()
    with suppress(FormatError):
        read(tmp_path_factory.mktemp("x"), bytes(whole[:cut]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 4 << 20


@WRITERS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none(tmp_path: Path, writer: Callable[..., bytes], value: float) -> None:
    with pytest.raises(FormatError, match=f"the entry {UP} holds NaN or infinite"):
        read(tmp_path, writer({**ENTRIES, UP: [1.0, value]}))


@WRITERS
def test_nothing_but_zeros(tmp_path: Path, writer: Callable[..., bytes]) -> None:
    with pytest.raises(FormatError, match="nothing but zeros"):
        read(tmp_path, writer({Q: [0.0, 0.0]}))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is no importance matrix: neither GGUF nor the older format"),
        (bytes(4), "is no importance matrix"),
        (b"<!doctype html><html>not found</html>", "is no importance matrix"),
        (b"PK\3\4" + bytes(99), "is no importance matrix"),
        (gguf_bytes(GGUFSpec(tensors=[Tensor(Q, (4, 4))])), "a GGUF file of 'another kind', no"),
        (old_matrix({"a": [1.0]}) + b"more", "4 bytes follow the end"),
        (old_matrix({"abcdefgh": [1.0] * 8})[:-40], "needs 32 bytes but"),
        (gguf_matrix(ENTRIES)[:-40], "ends at byte"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(FormatError) as it:
        read(tmp_path, data)

    assert said in it.value.message


def test_an_entry_that_comes_twice(tmp_path: Path) -> None:
    one = old_matrix({"a": [1.0]}, dataset=None)[4:]

    with pytest.raises(FormatError, match="'a' appears twice"):
        read(tmp_path, struct.pack("<i", 2) + one + one)


def test_what_git_lfs_left(tmp_path: Path) -> None:
    with pytest.raises(ExplainedFailure, match="what git-lfs left"):
        read(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


@WRITERS
def test_a_matrix_of_the_model_fits(tmp_path: Path, writer: Callable[..., bytes]) -> None:
    found = read(tmp_path, writer({**ENTRIES, "output.weight": [1.0]}))

    importance_matrix.expect_of_model(found, MODEL)

    [note] = importance_matrix.notes(found, MODEL)
    assert note["numbers"] == {"entries": ["output.weight"]}
    assert (
        "has 1 entry for tensors that the model has not, such as output.weight" in (note["message"])
    )
    assert found.lacking([UP, "blk.1.attn_k.weight", "output.weight"]) == ["blk.1.attn_k.weight"]
    assert not importance_matrix.notes(read(tmp_path, writer(ENTRIES)), MODEL)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"layers.0.q": [1.0]}, "it has layers.0.q, the model has blk.0.attn_q.weight, blk.1"),
        ({Q: [1.0] * 5, UP: [1.0] * 8}, "rows have other lengths in blk.0.attn_q.weight (5 numb"),
        ({UP: [1.0] * 4}, "blk.1.ffn_up_exps.weight (4 numbers for 8)"),
        ({Q: [1.0] * 4, "blk.2.x.weight": [1.0]}, "entries for 3 layers, the model has 2"),
    ],
)
def test_a_matrix_of_another_model_is_refused(tmp_path: Path, entries: Entries, said: str) -> None:
    with pytest.raises(FormatError) as it:
        importance_matrix.expect_of_model(read(tmp_path, old_matrix(entries)), MODEL)

    assert "the importance matrix is of another model: " in it.value.message
    assert said in it.value.message


def test_embeddings_may_have_one_number_a_token(tmp_path: Path) -> None:
    entries = {**ENTRIES, "token_embd.weight": [1.0] * 9}

    importance_matrix.expect_of_model(read(tmp_path, old_matrix(entries)), MODEL)
