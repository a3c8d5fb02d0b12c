from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.gguf import ArrayInfo
from tests.support.model_files import (
    KV,
    SCALARS,
    GGUFSpec,
    Tensor,
    gguf_bytes,
    gguf_header,
    gguf_text,
)

Write = Callable[[bytes], Path]

TOKENS = KV("arr", ["a", "bc", "ü"], "str")
MODEL = GGUFSpec(
    {"general.architecture": KV("str", "llama"), "tokens": TOKENS, "n": KV("u32", 7)},
    [Tensor("a.weight", (32, 3), "Q4_0"), Tensor("b", (5,)), Tensor("c", (256, 2), "Q6_K")],
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(data: bytes) -> Path:
        path = tmp_path / "model.gguf"
        path.write_bytes(data)
        return path

    return _write


def test_a_small_file_is_read(write: Write) -> None:
    path = write(gguf_bytes(MODEL))
    found = gguf.read(path)
    assert (found.version, found.alignment, found.file_size) == (3, 32, path.stat().st_size)
    assert found.metadata["general.architecture"] == "llama"
    assert found.metadata["n"] == 7
    assert [(one.name, one.shape, one.type) for one in found.tensors] == [
        ("a.weight", (32, 3), "Q4_0"),
        ("b", (5,), "F32"),
        ("c", (256, 2), "Q6_K"),
    ]
    assert [(one.offset, one.nbytes) for one in found.tensors] == [(0, 54), (64, 20), (96, 420)]
    assert found.data_offset == len(gguf_header(MODEL))
    assert found.n_elements == 96 + 5 + 512
    assert found.bits_per_weight == 8 * (54 + 20 + 420) / (96 + 5 + 512)
    assert found.data_end == found.data_offset + 96 + 420
    assert gguf.type_counts(found) == {"F32": 1, "Q4_0": 1, "Q6_K": 1}


def test_metadata_bytes_are_the_length_of_the_key_value_section(write: Write) -> None:
    bare = GGUFSpec(MODEL.fields)
    assert gguf.read(write(gguf_bytes(bare))).metadata_bytes == len(gguf_bytes(bare)) - 24


def test_arrays_stay_in_the_file_until_they_are_asked_for(write: Write) -> None:
    path = write(gguf_bytes(MODEL))
    info = gguf.read(path).metadata["tokens"]
    assert isinstance(info, ArrayInfo)
    assert (info.type, info.count, info.nbytes) == ("str", 3, 3 * 8 + 5)
    assert gguf.read_array(path, info) == ["a", "bc", "ü"]


def test_version_2_is_the_same_layout(write: Write) -> None:
    assert gguf.read(write(gguf_bytes(GGUFSpec(version=2)))).version == 2


def test_a_vocabulary_only_file_has_no_tensors(write: Write) -> None:
    found = gguf.read(write(gguf_bytes(GGUFSpec({"x": KV("bool", 1)}))))
    assert found.tensors == ()
    assert found.metadata == {"x": True}
    assert found.bits_per_weight == 0


def test_a_header_alone_is_read_only_when_asked(write: Write) -> None:
    path = write(gguf_header(MODEL))
    with pytest.raises(FormatError, match=r"tensor 'a.weight' ends at byte \d+, the file at"):
        gguf.read(path)
    assert len(gguf.read(path, partial=True).tensors) == 3


_numbers: dict[str, st.SearchStrategy[Any]] = {
    "f32": st.floats(width=32, allow_nan=False),
    "f64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "str": st.text(max_size=40),
    **{
        f"{sign}{bits}": st.integers(low, high)
        for bits in (8, 16, 32, 64)
        for sign, low, high in (
            ("u", 0, 2**bits - 1),
            ("i", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        )
    },
}


def _scalar(kind: str) -> st.SearchStrategy[KV]:
    return st.builds(KV, type=st.just(kind), value=_numbers[kind])


def _array(kind: str) -> st.SearchStrategy[KV]:
    values = st.lists(_numbers[kind], max_size=6)
    return st.builds(KV, type=st.just("arr"), value=values, item=st.just(kind))


_values = st.sampled_from(sorted(_numbers)).flatmap(lambda kind: _scalar(kind) | _array(kind))
_names = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
)
_shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3)
_tensor_specs = st.dictionaries(
    _names, st.tuples(st.sampled_from(["F32", "F16", "Q8_0", "Q4_K"]), _shapes), max_size=4
).map(
    lambda named: [
        Tensor(name, [shape[0] * 256, *shape[1:]], kind) for name, (kind, shape) in named.items()
    ]
)
_specs = st.builds(
    GGUFSpec,
    fields=st.dictionaries(_names, _values, max_size=6),
    tensors=_tensor_specs,
)


@given(_specs)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, spec: GGUFSpec) -> None:
    path = tmp_path_factory.mktemp("round") / "m.gguf"
    path.write_bytes(gguf_bytes(spec))
    found = gguf.read(path)
    values = {
        key: gguf.read_array(path, value) if isinstance(value, ArrayInfo) else value
        for key, value in found.metadata.items()
    }
    assert values == {key: one.value for key, one in spec.fields.items()}
    assert [(one.name, list(one.shape), one.type) for one in found.tensors] == [
        (one.name, list(one.shape), one.type) for one in spec.tensors
    ]


def test_another_alignment_is_respected(write: Write) -> None:
    fields = {"general.alignment": KV("u32", 128)}
    spec = GGUFSpec(fields, [Tensor("a", (3,)), Tensor("b", (3,))], alignment=128)
    found = gguf.read(write(gguf_bytes(spec)))
    assert found.data_offset % 128 == 0
    assert found.tensors[1].offset == 128


def test_the_gguf_package_writes_what_we_read(tmp_path: Path) -> None:
    package = pytest.importorskip("gguf")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "m.gguf"
    writer = package.GGUFWriter(path, "llama")
    writer.add_uint16("a.u16", 65535)
    writer.add_float64("a.f64", 0.1)
    writer.add_array("a.list", [1, -2, 3])
    writer.add_array("a.words", ["x", "yz"])
    writer.add_tensor("w", numpy.ones((3, 64), numpy.float16))
    quantized = package.quants.quantize(
        numpy.ones((2, 64), numpy.float32), package.GGMLQuantizationType.Q8_0
    )
    writer.add_tensor("q", quantized, raw_dtype=package.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf.read(path)
    assert found.metadata["a.u16"] == 65535
    assert found.metadata["a.f64"] == 0.1
    lists = [found.metadata[key] for key in ("a.list", "a.words")]
    assert [gguf.read_array(path, one) for one in lists if isinstance(one, ArrayInfo)] == [
        [1, -2, 3],
        ["x", "yz"],
    ]
    assert [(one.name, one.shape, one.type, one.nbytes) for one in found.tensors] == [
        ("w", (64, 3), "F16", 384),
        ("q", (64, 2), "Q8_0", 136),
    ]
    assert found.data_end <= found.file_size


def kv(key: str, raw: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text(key) + raw


_two = [Tensor("a", (8,)), Tensor("b", (8,))]
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the magic needs 4 bytes"),
    "other magic": (b"GGML" + b"\0" * 40, "not a GGUF file"),
    "version 1": (gguf_bytes(GGUFSpec(version=1)), "version 1 is not supported"),
    "version 0": (gguf_bytes(GGUFSpec(version=0)), "version 0 is not supported"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "2^63 tensors": (gguf_bytes(GGUFSpec(n_tensors=2**63)), f"cannot have {2**63} tensors"),
    "2^60 keys": (gguf_bytes(GGUFSpec(n_keys=2**60)), f"cannot have {2**60} keys"),
    "tensors for the size": (gguf_bytes(GGUFSpec(n_tensors=9)), "cannot have 9 tensors"),
    "keys for the size": (gguf_bytes(GGUFSpec(n_keys=9)), "cannot have 9 keys"),
    "long key": (kv("", b"")[:-8] + struct.pack("<4Q", 2**62, 0, 0, 0), "key 0 claims"),
    "empty key": (kv("", struct.pack("<II", 4, 1)), "key 0 is empty"),
    "key with NUL": (kv("a\0b", struct.pack("<II", 4, 1)), "holds a NUL"),
    "key not UTF-8": (kv("", b"")[:-8] + gguf_text(b"a\xff") + b"\0" * 8, "key 0 is not UTF-8"),
    "value type": (kv("a", struct.pack("<II", 13, 1)), "unknown value type 13"),
    "boolean 2": (kv("a", struct.pack("<IB", 7, 2)), "a boolean of value 2"),
    "text cut": (kv("a", struct.pack("<IQ", 8, 9) + b"abc"), "'a' needs 9 bytes"),
    "text of 2^60": (kv("a", struct.pack("<IQ", 8, 2**60)), f"claims {2**60} bytes"),
    "text not UTF-8": (kv("a", struct.pack("<IQ", 8, 1) + b"\xc3"), "'a' is not UTF-8"),
    "array of 2^60": (kv("a", struct.pack("<IIQ", 9, 0, 2**60)), f"needs {2**60} bytes"),
    "strings of 2^60": (kv("a", struct.pack("<IIQ", 9, 8, 2**60)), "item of 'a' needs"),
    "string in list cut": (
        kv("a", struct.pack("<IIQ", 9, 8, 2) + gguf_text("x") + struct.pack("<Q", 5) + b"ab"),
        "item of 'a' 1 claims 5 bytes but the file has 2 more",
    ),
    "nested array": (kv("a", struct.pack("<IIQ", 9, 9, 1)), "'a' holds nested arrays"),
    "array type": (kv("a", struct.pack("<IIQ", 9, 77, 1)), "items of the unknown type 77"),
    "key twice": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + (gguf_text("a") + struct.pack("<IB", 0, 1)) * 2,
        "the key 'a' appears twice",
    ),
    "alignment type": (
        gguf_bytes(GGUFSpec({"general.alignment": KV("u64", 32)})),
        "is of type u64, not u32",
    ),
    "alignment 0": (
        gguf_bytes(GGUFSpec({"general.alignment": KV("u32", 0)})),
        "alignment is 0, not a power of two",
    ),
    "alignment 48": (gguf_bytes(GGUFSpec({"general.alignment": KV("u32", 48)})), "is 48, not"),
    "name twice": (gguf_bytes(GGUFSpec(tensors=[_two[0]] * 2)), "'a' appears twice"),
    "long name": (gguf_bytes(GGUFSpec(tensors=[Tensor("x" * 64, (8,))])), "claims 64 bytes"),
    "five dimensions": (
        gguf_bytes(GGUFSpec(tensors=[Tensor("a", (1, 1, 1, 1, 1))])),
        "has 5 dimensions, more than 4",
    ),
    "zero dimension": (gguf_bytes(GGUFSpec(tensors=[Tensor("a", (0, 3))])), "impossible shape"),
    "unknown type": (
        gguf_bytes(GGUFSpec(tensors=[Tensor("a", (8,), type_id=4)])),
        "tensor 'a': 4 is no tensor type",
    ),
    "partial block": (
        gguf_bytes(GGUFSpec(tensors=[Tensor("a", (33,), type_id=2)])),
        "33 elements do not fill the 32-element blocks of Q4_0",
    ),
    "misaligned": (
        gguf_bytes(GGUFSpec(tensors=[_two[0], Tensor("b", (8,), offset=33)])),
        "tensor 'b' at offset 33 is not a multiple of 32; it must start at 32",
    ),
    "overlap": (
        gguf_bytes(GGUFSpec(tensors=[_two[0], Tensor("b", (8,), offset=0)])),
        "overlaps the one before",
    ),
    "gap": (
        gguf_bytes(GGUFSpec(tensors=[_two[0], Tensor("b", (8,), offset=64)])),
        "leaves a gap",
    ),
    "offset 2^63": (
        gguf_bytes(GGUFSpec(tensors=[Tensor("a", (8,), offset=2**63)])),
        "must start at 0",
    ),
    "cut data": (gguf_bytes(GGUFSpec(tensors=_two))[:-1], "tensor 'b' ends at byte"),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_defects_are_named(write: Write, data: bytes, message: str) -> None:
    path = write(data)
    with pytest.raises(FormatError, match=message.replace("^", r"\^")) as caught:
        gguf.read(path)
    assert caught.value.message.startswith(f"{path}: at byte ")
    assert "\n" not in caught.value.message


def test_an_impossible_shape_costs_nothing(write: Write) -> None:
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + gguf_text("a")
    shape = struct.pack("<I4Q", 4, 2**40, 2**40, 2**40, 2**40)
    path = write(header + shape + struct.pack("<IQ", 0, 0) + b"\0" * 64)
    with pytest.raises(FormatError, match="impossible shape"):
        gguf.read(path, partial=True)


def test_what_is_no_file_is_an_error_of_the_same_kind(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a regular file"):
        gguf.read(tmp_path)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        gguf.read(tmp_path / "missing")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of POSIX")
def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a regular file"):
        gguf.read(tmp_path / "pipe")


def test_lists_that_are_too_long_are_not_materialised(write: Write) -> None:
    path = write(gguf_bytes(MODEL))
    with pytest.raises(FormatError, match="too many to list"):
        gguf.read_array(path, ArrayInfo("u8", 1 << 40, 0, 1 << 40, 1 << 40))


def test_a_listed_string_that_is_not_text_is_an_error(write: Write) -> None:
    path = write(gguf_bytes(GGUFSpec({"a": KV("arr", [b"\xff"], "str")})))
    info = gguf.read(path).metadata["a"]
    assert isinstance(info, ArrayInfo)
    with pytest.raises(FormatError, match="is not UTF-8"):
        gguf.read_array(path, info)


def test_strings_longer_than_a_block_of_reading_are_refused_in_lists(write: Write) -> None:
    path = write(gguf_bytes(GGUFSpec({"a": KV("arr", ["x" * (1 << 21)], "str")})))
    with pytest.raises(FormatError, match="over the limit for a list"):
        gguf.read(path)


def test_long_lists_are_walked_across_blocks(write: Write) -> None:
    words = ["w" * (index % 50) for index in range(60_000)]
    path = write(gguf_bytes(GGUFSpec({"a": KV("arr", words, "str"), "b": KV("u8", 3)})))
    assert path.stat().st_size > 1 << 20
    found = gguf.read(path)
    info = found.metadata["a"]
    assert isinstance(info, ArrayInfo)
    assert gguf.read_array(path, info) == words
    assert found.metadata["b"] == 3


def test_scalar_types_of_the_builder_are_all_of_them() -> None:
    assert set(SCALARS) | {"str"} == set(_numbers)
