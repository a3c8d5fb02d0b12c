from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.modelfiles import safetensors
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.safetensors import (
    FIRST_RANGE,
    build_header,
    file_range,
    header_bytes,
    header_length,
    parse_header,
    read_header,
    write_hole,
)
from tests.support.model_files import safetensors_bytes


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


GOOD = {
    "__metadata__": {"format": "pt"},
    "b": entry("F16", [2, 3], 8, 20),
    "a": entry("F32", [2], 0, 8),
    "empty": entry("I64", [0, 7], 20, 20),
}


def test_a_header_is_read_in_the_order_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    text = json.dumps(GOOD).encode()
    path.write_bytes(safetensors_bytes(text, 20))
    found = read_header(path)
    assert found.metadata == {"format": "pt"}
    assert [one.name for one in found.tensors] == ["a", "b", "empty"]
    assert (found.tensors[1].dtype, found.tensors[1].shape) == ("F16", (2, 3))
    assert [one.nbytes for one in found.tensors] == [8, 12, 0]
    assert found.data_offset == 8 + len(text)
    assert found.n_elements == 8
    assert found == parse_header(path.read_bytes()[: found.data_offset], found.file_size)


def test_the_safetensors_package_writes_what_we_read(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    package = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "m.safetensors"
    arrays = {"x": numpy.ones((3, 5), numpy.float16), "y": numpy.zeros(7, numpy.int64)}
    package.save_file(arrays, path, metadata={"k": "v"})
    found = read_header(path)
    assert {one.name: (one.dtype, one.shape) for one in found.tensors} == {
        "x": ("F16", (3, 5)),
        "y": ("I64", (7,)),
    }
    assert found.metadata == {"k": "v"}


def test_the_safetensors_package_reads_a_hole(tmp_path: Path) -> None:
    package = pytest.importorskip("safetensors")
    path = tmp_path / "hole.safetensors"
    header, size = build_header([("w", "F16", (1000, 1000)), ("v", "F32", (3,))], {"format": "pt"})
    write_hole(header, size, path)
    assert path.stat().st_size == size == len(header) + 2_000_000 + 12
    with package.safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == ["v", "w"]
        assert file.get_slice("w").get_shape() == [1000, 1000]
        assert not file.get_tensor("w").any()


def test_a_hole_takes_no_space(tmp_path: Path) -> None:
    path = tmp_path / "hole.safetensors"
    write_hole(*build_header([("w", "F16", (30_000_000,))]), path)
    status = path.stat()
    if not hasattr(status, "st_blocks"):
        pytest.skip("this system does not tell how much space a file takes")
    assert status.st_blocks * 512 < 1_000_000 < status.st_size


_names = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda one: one != "__metadata__")
_items = st.dictionaries(
    _names,
    st.tuples(st.sampled_from(["F32", "BF16", "U8"]), st.lists(st.integers(0, 5), max_size=4)),
    max_size=5,
)


@given(_items, st.dictionaries(_names, st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_was_built_is_parsed(
    items: dict[str, tuple[str, list[int]]], metadata: dict[str, str]
) -> None:
    tensors = [(name, dtype, tuple(shape)) for name, (dtype, shape) in items.items()]
    header, size = build_header(tensors, metadata)
    found = parse_header(header, size)
    assert sorted((one.name, one.dtype, one.shape) for one in found.tensors) == sorted(tensors)
    assert found.metadata == metadata
    assert header_length(header[:8], size) == len(header)


def whole(header: object, data: int = 0) -> bytes:
    return safetensors_bytes(json.dumps(header).encode(), data)


F32 = entry("F32", [2], 0, 8)
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "header's length needs 8 bytes"),
    "2^63 bytes": (safetensors_bytes(b"{}", 0, 2**63), "over the limit"),
    "longer than the file": (safetensors_bytes(b"{}", 0, 3), "longer than the file"),
    "no object": (whole([1]), "not a JSON object"),
    "no JSON": (safetensors_bytes(b"{,}", 0), "not proper JSON"),
    "not UTF-8": (safetensors_bytes(b'{"\xff":1}', 0), "not proper JSON"),
    "half a surrogate pair": (safetensors_bytes(b'{"\\ud800":1}', 0), "not proper JSON"),
    "deep": (safetensors_bytes(b'{"a":' + b"[" * 200_000, 0), "not proper JSON"),
    "many": (safetensors_bytes(b"{" + b"[" * 4_000_001, 0), "more than 4000000 values"),
    "long number": (safetensors_bytes(b'{"a":' + b"9" * 5000 + b"}", 0), "header|described"),
    "name twice": (safetensors_bytes(b'{"a":{},"a":{}}', 0), "a name appears twice"),
    "metadata": (whole({"__metadata__": {"a": 1}}), "not a map of strings"),
    "no tensor": (whole({"a": 3}), "not described by dtype"),
    "extra": (whole({"a": F32 | {"x": 1}}, 8), "not described by dtype"),
    "dtype": (whole({"a": entry("Q4_0", [2], 0, 8)}, 8), "unknown dtype 'Q4_0'"),
    "dtype is a list": (whole({"a": F32 | {"dtype": ["F32"]}}, 8), "unknown dtype"),
    "negative shape": (whole({"a": entry("F32", [-2], 0, 8)}, 8), "impossible shape"),
    "boolean shape": (whole({"a": F32 | {"shape": [True]}}, 8), "impossible shape"),
    "2^63 elements": (whole({"a": entry("F32", [2**63], 0, 8)}, 8), "impossible shape"),
    "many dimensions": (whole({"a": entry("F32", [1] * 33, 0, 4)}, 4), "impossible shape"),
    "offsets reversed": (whole({"a": entry("F32", [2], 8, 0)}, 8), "impossible offsets"),
    "three offsets": (whole({"a": F32 | {"data_offsets": [0, 4, 8]}}, 8), "impossible offsets"),
    "wrong length": (whole({"a": entry("F32", [3], 0, 8)}, 8), "does not fill its 8 bytes"),
    "huge product": (whole({"a": entry("F32", [2**40] * 30, 0, 8)}, 8), "does not fill"),
    "gap": (whole({"a": entry("F32", [2], 4, 12)}, 12), "leaves a gap"),
    "overlap": (whole({"a": F32, "b": entry("F32", [2], 4, 12)}, 12), "'b' overlaps"),
    "file too short": (whole({"a": F32}, 7), "tensors end at byte .*, the file at byte"),
    "file too long": (whole({"a": F32}, 9), "tensors end at byte .*, the file at byte"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_defects_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        read_header(path)
    assert caught.value.message.startswith(f"{path}: at byte ")
    assert "\n" not in caught.value.message


def test_a_prefix_that_is_too_short_says_how_much_is_needed() -> None:
    header, size = build_header([("w", "F16", (8,))])
    with pytest.raises(FormatError, match=f"ends only at byte {len(header)}"):
        parse_header(header[:-1], size)
    with pytest.raises(FormatError, match="starts with 8 bytes of length"):
        header_length(header[:7], size)


@pytest.mark.parametrize(
    ("name", "dtype", "quantized"),
    [
        ("model.layers.0.mlp.up_proj.qweight", "I32", True),
        ("model.layers.0.mlp.up_proj.weight_packed", "I32", True),
        ("model.layers.0.mlp.up_proj.weight", "U8", True),
        ("model.layers.0.mlp.up_proj.weight", "F8_E4M3", True),
        ("model.layers.0.mlp.up_proj.W_q", "U8", True),
        ("model.layers.0.mlp.up_proj.weight", "BF16", False),
        ("h.0.attn.bias", "U8", False),
        ("embeddings.position_ids", "I64", False),
    ],
)
def test_quantized_weights_are_seen_in_a_header(name: str, dtype: str, quantized: bool) -> None:
    header, size = build_header([("model.norm.weight", "F16", (8,)), (name, dtype, (8,))])

    def read(start: int, end: int) -> tuple[bytes, int]:
        return header[start:end], size

    assert safetensors.quantized(read, "m.safetensors") == quantized


def test_a_damaged_header_tells_of_no_quantized_weights() -> None:
    assert not safetensors.quantized(lambda start, end: (b"x" * 80, 80), "m.safetensors")


def test_a_hole_of_the_wrong_size_is_not_written(tmp_path: Path) -> None:
    header, size = build_header([("w", "F16", (8,))])
    path = tmp_path / "m.safetensors"
    with pytest.raises(FormatError, match="the file at byte"):
        write_hole(header, size + 1, path)
    assert not path.exists()


@pytest.mark.parametrize(
    "tensors",
    [
        [("a", "F32", (1,)), ("a", "F32", (1,))],
        [("a", "Q4_0", (32,))],
        [("a", "F4", (3,))],
    ],
)
def test_what_cannot_be_described_is_not_built(
    tensors: list[tuple[str, str, tuple[int, ...]]],
) -> None:
    with pytest.raises(FormatError, match="cannot be described"):
        build_header(tensors)


def test_the_json_is_padded_to_eight_bytes() -> None:
    header, _ = build_header([("abc", "F32", (1,))])
    assert struct.unpack("<Q", header[:8])[0] % 8 == 0
    assert safetensors.MAX_HEADER == 100_000_000


def test_a_header_whose_end_does_not_come_is_refused() -> None:
    start = struct.pack("<Q", 100) + b"{"
    with pytest.raises(FormatError, match="the header ends only at byte 108"):
        header_bytes(lambda first, _end: (start[first:], 1000), "x.safetensors")


def test_shapes_of_packed_matrices_come_along_with_the_header(tmp_path: Path) -> None:
    """Converters read them before any weight, so that a hole must hold them too."""
    shapes: list[tuple[str, str, tuple[int, ...]]] = [
        (f"{name}.weight_shape", "I64", (2,)) for name in "abc"
    ]
    header, size = build_header([*shapes[:2], ("a.weight_packed", "I32", (4, 2)), shapes[2]])
    path, asked = tmp_path / "m.safetensors", []
    path.write_bytes(header + bytes(range(size - len(header))))

    def read(first: int, end: int) -> tuple[bytes, int]:
        asked.append(end)
        return file_range(path, first, min(end, first + len(header)))

    start, total = header_bytes(read, path)
    write_hole(start, total, tmp_path / "hole.safetensors")

    assert (start, total) == (header + bytes(range(32)), size)
    assert asked == [FIRST_RANGE, len(header) + 32]
    assert (tmp_path / "hole.safetensors").read_bytes() == start + bytes(size - len(start))
