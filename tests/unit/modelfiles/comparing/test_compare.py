"""Which verdict two files get, and where they are said to differ."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.step_values import Progress
from orchestrator.modelfiles.comparing import Verdict, compare
from orchestrator.modelfiles.comparing.comparison import ValueDifference
from orchestrator.modelfiles.comparing.opened_files import open_model, open_pair
from orchestrator.modelfiles.format_error import FormatError
from tests.support.gguf_pairs import SOME, Model, data_of, flip, tensor, write_gguf
from tests.support.model_files import Tensor


def states(a: Path, b: Path) -> dict[str, str]:
    found = compare(a, b)
    return {one.name: one.state for one in found.tensors if one.state != "identical"}


def floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def pair(folder: Path, a: Model, b: Model) -> tuple[Path, Path]:
    return write_gguf(folder / "a.gguf", a), write_gguf(folder / "b.gguf", b)


def test_copies_are_identical(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(), Model())

    found = compare(a, b)

    assert found.verdict is Verdict.IDENTICAL
    assert (found.keys, found.notes) == ((), ())
    assert found.counts == {"identical": len(SOME)}
    assert found.tensor_bytes == sum(len(data_of(one)) for one in SOME)
    assert found.differing_bytes == 0


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_one_flipped_byte_is_found_where_it_is(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        a = write_gguf(Path(name, "a.gguf"), Model())
        tensors = open_model(a).tensors
        one = data.draw(st.sampled_from(tensors))
        at = data.draw(st.integers(0, one.nbytes - 1))
        mask = data.draw(st.integers(1, 255))
        b = flip(a, one.offset + at, Path(name, "b.gguf"), mask)

        found = compare(a, b)

    (changed,) = (other for other in found.tensors if other.state != "identical")
    assert (changed.name, changed.state) == (one.name, "differs")
    assert (changed.differing_bytes, changed.differing_blocks) == (1, 1)
    assert changed.blocks == one.nbytes // one.block_bytes
    assert changed.share == pytest.approx(one.block_bytes / one.nbytes)
    assert found.verdict is Verdict.NEAR
    assert not found.keys


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 255), unique=True, min_size=1, max_size=40))
def test_the_share_of_blocks_is_counted(blocks: list[int]) -> None:
    shape = Tensor("w", (32, 256), "Q4_0")
    data = bytearray(data_of(shape))
    for one in blocks:  # two bytes in each
        data[18 * one + 3] ^= 1
        data[18 * one + 17] ^= 16
    with tempfile.TemporaryDirectory() as name:
        a, b = pair(Path(name), Model([shape]), Model([shape], data={"w": bytes(data)}))

        (found,) = compare(a, b).tensors

    assert found.differing_blocks == len(blocks)
    assert found.differing_bytes == 2 * len(blocks)
    assert found.share == len(blocks) / 256


def test_a_tensor_of_many_pieces_is_compared_to_its_end(tmp_path: Path) -> None:
    shape = Tensor("w", (32, 60000), "Q4_0")  # 1 MB
    a = write_gguf(tmp_path / "a.gguf", Model([shape]))
    data = bytearray(data_of(shape))
    for at in (0, len(data) // 2, len(data) - 1):
        data[at] ^= 1
    b = write_gguf(tmp_path / "b.gguf", Model([shape], data={"w": bytes(data)}))

    (found,) = compare(a, b).tensors

    assert (found.differing_blocks, found.differing_bytes) == (3, 3)


@pytest.mark.parametrize(
    ("differing", "verdict"), [(1, Verdict.NEAR), (9, Verdict.NEAR), (10, Verdict.DIFFERENT)]
)
def test_near_is_under_one_percent_of_the_bytes(
    tmp_path: Path, differing: int, verdict: Verdict
) -> None:
    tensors = [Tensor("v", (500,), "I8"), Tensor("w", (500,), "I8")]
    other = bytes([1] * differing + [0] * (500 - differing))
    a, b = pair(
        tmp_path,
        Model(tensors, data={"v": bytes(500), "w": bytes(500)}),
        Model(tensors, data={"v": bytes(500), "w": other}),
    )

    found = compare(a, b)

    assert found.differing_bytes == differing
    assert found.verdict is verdict


def test_values_are_compared_as_numbers(tmp_path: Path) -> None:
    shape = [Tensor("w", (4,), "F32")]
    a, b = pair(
        tmp_path,
        Model(shape, data={"w": floats([1.0, -2.0, 3.0, 4.0])}),
        Model(shape, data={"w": floats([1.0, 2.0, 3.0, 3.0])}),
    )

    (found,) = compare(a, b).tensors

    assert found.values is not None
    assert (found.values.largest, found.values.mean) == (4.0, 1.25)
    assert (found.differing_blocks, found.blocks) == (2, 4)


def test_values_that_are_not_finite_are_counted_apart(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    shape = [Tensor("w", (6,), "F32"), Tensor("v", (2,), "F64")]
    left = [nan, nan, inf, inf, 0.0, 1.0]
    right = [1.0, nan, inf, -inf, 0.0, 3.0]
    a, b = pair(
        tmp_path,
        Model(shape, data={"w": floats(left), "v": struct.pack("<2d", 1e300, 0)}),
        Model(shape, data={"w": floats(right), "v": struct.pack("<2d", -1e300, 0)}),
    )

    by_name = {one.name: one.values for one in compare(a, b).tensors}

    assert by_name["w"] is not None
    assert by_name["w"].not_finite == 2
    assert by_name["w"].largest == 2.0
    assert by_name["w"].mean == pytest.approx(2 / 6)
    assert by_name["v"] is not None
    assert by_name["v"].largest == 2e300


def test_two_ways_to_write_no_number_are_no_difference(tmp_path: Path) -> None:
    shape = [Tensor("w", (1,), "F32")]
    a, b = pair(
        tmp_path,
        Model(shape, data={"w": struct.pack("<I", 0x7FC00000)}),
        Model(shape, data={"w": struct.pack("<I", 0xFFC00001)}),
    )

    (found,) = compare(a, b).tensors

    assert (found.state, found.differing_blocks) == ("differs", 1)
    assert found.values == ValueDifference(0.0, 0.0, 0)


def test_all_values_of_a_large_piece_are_counted(tmp_path: Path) -> None:
    shape = [Tensor("w", (32, 10_000), "Q8_0")]
    steps = [1 + index % 100 for index in range(10_000)]
    zero = struct.pack("<e", 1.0) + bytes(32)
    other = b"".join(struct.pack("<e", 1.0) + bytes([one]) + bytes(31) for one in steps)
    a, b = pair(tmp_path, Model(shape, data={"w": zero * 10_000}), Model(shape, data={"w": other}))

    (found,) = compare(a, b).tensors

    assert found.differing_blocks == 10_000
    assert found.values == ValueDifference(100.0, sum(steps) / 320_000)


def test_values_of_another_type_are_compared_too(tmp_path: Path) -> None:
    values = [float(one) for one in range(-16, 16)]
    q8 = struct.pack("<e32b", 0.5, *(2 * one + 1 for one in range(-16, 16)))
    a, b = pair(
        tmp_path,
        Model([Tensor("w", (32, 1), "F32")], data={"w": floats(values)}),
        Model([Tensor("w", (32, 1), "Q8_0")], data={"w": q8}),
    )

    found = compare(a, b)

    (one,) = found.tensors
    assert (one.state, one.types) == ("type", ("F32", "Q8_0"))
    assert one.values is not None
    assert (one.values.largest, one.values.mean) == (0.5, 0.5)
    assert found.verdict is Verdict.DIFFERENT


def test_without_values_only_bytes_are_compared(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    b = flip(a, tensor(a, "ffn").offset, tmp_path / "b.gguf")

    found = compare(a, b, values=False)

    assert found.verdict is Verdict.NEAR
    assert found.differing_bytes == 1
    assert all(one.values is None for one in found.tensors)


CHANGES: Mapping[str, tuple[Sequence[Tensor], dict[str, str]]] = {
    "shape": ([replace(SOME[0], shape=(256, 4)), *SOME[1:]], {"embd": "shape"}),
    "type": ([replace(SOME[0], type="BF16"), *SOME[1:]], {"embd": "type"}),
    "missing": (SOME[1:], {"embd": "only in A"}),
    "added": ([*SOME, Tensor("new", (3,))], {"new": "only in B"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_names_types_and_shapes_are_different(tmp_path: Path, change: str) -> None:
    tensors, wanted = CHANGES[change]
    a, b = pair(tmp_path, Model(), Model(tensors))

    assert states(a, b) == wanted
    assert compare(a, b).verdict is Verdict.DIFFERENT


def test_another_order_of_tensors_is_only_a_note(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(), Model(SOME[::-1]))

    found = compare(a, b)

    assert found.verdict is Verdict.SAME_TENSORS
    assert found.notes == ("the tensors are in another order",)


def test_padding_is_no_tensor_but_not_nothing(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    norm = tensor(a, "norm")  # 20 bytes, then 12 of padding
    b = flip(a, norm.offset + norm.nbytes, tmp_path / "b.gguf")

    found = compare(a, b)

    assert found.verdict is Verdict.SAME_TENSORS
    assert found.notes == ("bytes outside of keys and tensors differ, such as padding",)


def test_bytes_after_the_last_tensor_are_noticed(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    b = tmp_path / "b.gguf"
    b.write_bytes(a.read_bytes() + b"\0" * 32)

    assert compare(a, b).verdict is Verdict.SAME_TENSORS


def test_a_shape_written_with_ones_at_its_end_is_the_same(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model([Tensor("w", (8,))]), Model([Tensor("w", (8, 1))]))

    assert compare(a, b).verdict is Verdict.SAME_TENSORS


def test_files_without_tensors_are_compared(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model([]), Model([]))

    assert compare(a, b).verdict is Verdict.IDENTICAL


def test_a_header_that_is_the_same_is_as_good_as_read(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(), Model())

    assert open_pair(a, b) == (open_model(a), open_model(b))
    assert open_pair(a, b)[1].side.files == (b,)


def test_equal_headers_with_files_of_other_lengths_are_read(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(), Model())
    b.write_bytes(b.read_bytes()[:-40])

    with pytest.raises(FormatError, match=r"b\.gguf: .*tensor 'output' ends at byte"):
        open_pair(a, b)


def test_progress_ends_at_all_bytes(tmp_path: Path) -> None:
    a, b = pair(tmp_path, Model(), Model())
    seen: list[Progress] = []

    found = compare(a, b, report=seen.append)

    assert [one.done for one in seen] == sorted(one.done for one in seen)
    assert seen[-1].done == seen[-1].total == found.tensor_bytes


def test_other_files_are_refused(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    text, cut = tmp_path / "b.txt", tmp_path / "c.gguf"
    text.write_text("no model")
    cut.write_bytes(a.read_bytes()[:-40])

    with pytest.raises(FormatError, match=r"b\.txt is neither a GGUF nor a GGML file"):
        compare(a, text)
    with pytest.raises(FormatError, match=r"c\.gguf: .*tensor 'output' ends at byte"):
        compare(a, cut)
    with pytest.raises(FormatError, match="cannot be read"):
        compare(tmp_path / "none.gguf", a)


def test_verdicts_are_ordered() -> None:
    assert Verdict.IDENTICAL.meets(Verdict.NEAR)
    assert Verdict.NEAR.meets(Verdict.NEAR)
    assert not Verdict.DIFFERENT.meets(Verdict.NEAR)
    assert not Verdict.SAME_TENSORS.meets(Verdict.IDENTICAL)
