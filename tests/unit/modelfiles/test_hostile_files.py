"""Damaged files parse or raise FormatError, whatever the damage, and cost little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import detect_format, ggml, gguf, safetensors
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.untrusted_reader import Reader
from tests.support.model_files import (
    KV,
    GGMLSpec,
    GGUFSpec,
    Tensor,
    ggml_bytes,
    gguf_bytes,
    gguf_text,
    whole_model,
)

GGUF_FILE = gguf_bytes(
    GGUFSpec(
        {
            "general.name": KV("str", "näme"),
            "general.alignment": KV("u32", 32),
            "words": KV("arr", ["a", "bcd"], "str"),
            "ids": KV("arr", [1, 2, 3], "i32"),
            "flag": KV("bool", 1),
            "eps": KV("f32", 1e-5),
        },
        [Tensor("a", (32, 2), "Q4_0"), Tensor("b", (4, 3, 2)), Tensor("c", (256,), "Q4_K")],
    )
)
SAFE_FILE = safetensors.build_header([("a", "F32", (2, 2)), ("b", "U8", (3,))], {"k": "v"})[0] + (
    b"\1" * 19
)


def read_gguf(data: bytes) -> None:
    gguf.predicted_size(gguf.parse(reader(data)), {})
    gguf.parse(reader(data), partial=True)


def reader(data: bytes) -> Reader:
    return Reader(io.BytesIO(data), "file", len(data))


def ggml_file(magic: str, family: ggml.Family) -> bytes:
    return ggml_bytes(GGMLSpec(magic, family=family, tensors=whole_model(family)))


READERS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    "gguf": (GGUF_FILE, read_gguf),
    "ggml": (ggml_file("ggml", "llama"), lambda data: ggml.parse(reader(data), "llama")),
    "ggjt": (ggml_file("ggjt", "llama"), lambda data: ggml.parse(reader(data), "llama")),
    "bloom": (ggml_file("ggml", "bloom"), lambda data: ggml.parse(reader(data), "bloom")),
    "safetensors": (SAFE_FILE, lambda data: safetensors.parse_header(data, len(data))),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "file"


@pytest.mark.parametrize("name", READERS)
def test_the_undamaged_files_are_read(scratch: Path, name: str) -> None:
    data, read = READERS[name]
    read(data)
    scratch.write_bytes(data)
    assert detect_format.kind(scratch) == {"bloom": "ggml"}.get(name, name)


@pytest.mark.parametrize("name", READERS)
def test_every_truncation_is_an_error(name: str) -> None:
    data, read = READERS[name]
    full = len(data) if name != "gguf" else len(data) - 16  # the last tensor's padding may go
    for length in range(full):
        with pytest.raises(FormatError, match=r"^(file|safetensors): at byte "):
            read(data[:length])


@pytest.mark.parametrize("name", READERS)
def test_any_single_byte_may_be_anything(name: str) -> None:
    data, read = READERS[name]
    refused = 0
    for at in range(len(data)):
        for value in {0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1} - {data[at]}:
            with suppress(FormatError):
                read(data[:at] + bytes([value]) + data[at + 1 :])
                continue
            refused += 1
    assert refused > 100


_edits = st.lists(st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=9)), max_size=6)


@pytest.mark.parametrize("name", READERS)
@given(edits=_edits, keep=st.floats(0, 1.2))
def test_any_damage_is_survived(name: str, edits: list[tuple[int, bytes]], keep: float) -> None:
    data, read = READERS[name]
    damaged = bytearray(data)
    for at, new in edits:
        place = at % len(data)
        damaged[place : place + len(new)] = new
    with suppress(FormatError):
        read(bytes(damaged)[: int(keep * len(data))])


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=9))
def test_arrays_of_damaged_files_are_read_or_refused(scratch: Path, at: int, new: bytes) -> None:
    place = at % len(GGUF_FILE)
    scratch.write_bytes(GGUF_FILE[:place] + new + GGUF_FILE[place + len(new) :])
    with suppress(FormatError):
        for value in gguf.read(scratch).metadata.values():
            if isinstance(value, gguf.ArrayInfo):
                assert len(gguf.read_array(scratch, value)) == value.count


ONE_KEY = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
ONE_VALUE = ONE_KEY + gguf_text("a")
HUGE = {
    "tensors": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
    "keys": b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60),
    "tensors with a sign": b"GGUF" + struct.pack("<IqQ", 3, -1, 0),
    "array": ONE_VALUE + struct.pack("<IIQ", 9, 8, 2**60),
    "numbers": ONE_VALUE + struct.pack("<IIQ", 9, 12, 2**60),
    "text": ONE_VALUE + struct.pack("<IQ", 8, 2**60),
    "key": ONE_KEY + struct.pack("<Q", 2**60),
}


@pytest.mark.parametrize("name", HUGE)
def test_claims_cost_no_memory(scratch: Path, name: str) -> None:
    scratch.write_bytes(HUGE[name] + b"\0" * 4096)
    assert peak(lambda: gguf.read(scratch)) < 1_000_000


@pytest.mark.parametrize("data", [b"\xff" * 8, struct.pack("<Q", 2**60), struct.pack("<Q", 10**8)])
def test_a_claimed_header_of_safetensors_costs_no_memory(scratch: Path, data: bytes) -> None:
    scratch.write_bytes(data + b"{" + b" " * 4096)
    assert peak(lambda: safetensors.read_header(scratch)) < 1_000_000


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_claimed_vocabulary_costs_no_memory(scratch: Path, family: ggml.Family) -> None:
    numbers = (2**24, 32, 1, 1, 1, 1, 1)
    scratch.write_bytes(b"lmgg" + struct.pack("<7I", *numbers) + b"\xff" * 4096)
    assert peak(lambda: ggml.read(scratch, family)) < 1_000_000


def test_a_big_file_full_of_claims_is_refused_too(scratch: Path) -> None:
    """A hole of 8 GiB makes the counts believable; only limits help then."""
    with scratch.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 2**28, 2**28))
        file.truncate(8 << 30)
    assert peak(lambda: gguf.read(scratch)) < 1_000_000
    with scratch.open("wb") as file:
        file.write(b"lmgg" + struct.pack("<7I", 1, 32, 1, 1, 1, 1, 1))
        file.truncate(8 << 30)
    assert peak(lambda: ggml.read(scratch, "llama")) < 3_000_000


def test_a_text_of_gigabytes_is_refused(scratch: Path) -> None:
    with scratch.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + gguf_text("a"))
        file.write(struct.pack("<IQ", 8, 4 << 30))
        file.truncate(8 << 30)
    assert peak(lambda: gguf.read(scratch)) < 1_000_000


@pytest.mark.parametrize(("tensors", "keys"), [(2**28, 0), (0, 2**28)])
def test_counts_have_limits_however_big_the_file_is(scratch: Path, tensors: int, keys: int) -> None:
    with scratch.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, tensors, keys))
        file.truncate(8 << 30)
    with pytest.raises(FormatError, match=f"cannot have {2**28}"):
        gguf.read(scratch)


def peak(read: Callable[[], object]) -> int:
    """Peak of allocated bytes while ``read`` fails, which it must."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_error_is_a_step_error_that_travels_between_processes() -> None:
    import pickle

    error = FormatError("m.gguf: at byte 3: bad", "Fetch it again.")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, StepError)
    assert str(again) == "m.gguf: at byte 3: bad\n  Fetch it again."
