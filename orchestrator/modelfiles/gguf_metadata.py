"""The key-value section of a GGUF file: scalars and strings are read, arrays only walked."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.modelfiles.untrusted_reader import MAX_LISTED_TEXT, Reader, Strings, open_reader

MAX_KEY_BYTES = 65535
MAX_STRING_BYTES = 64 << 20
MAX_LISTED = 16 << 20

# The numbers are those of enum gguf_value_type in the specification of GGUF.
_SCALARS: Mapping[int, tuple[str, struct.Struct]] = {
    0: ("u8", struct.Struct("<B")),
    1: ("i8", struct.Struct("<b")),
    2: ("u16", struct.Struct("<H")),
    3: ("i16", struct.Struct("<h")),
    4: ("u32", struct.Struct("<I")),
    5: ("i32", struct.Struct("<i")),
    6: ("f32", struct.Struct("<f")),
    7: ("bool", struct.Struct("<B")),
    10: ("u64", struct.Struct("<Q")),
    11: ("i64", struct.Struct("<q")),
    12: ("f64", struct.Struct("<d")),
}
_FORMATS = dict(_SCALARS.values())
_STRING = 8
_ARRAY = 9

Scalar = int | float | bool | str


@dataclass(frozen=True)
class ArrayInfo:
    """An array that stays in the file.

    Attributes:
        type: Type of the items: u8, i8, ..., f64, bool or str.
        count: How many items.
        offset: Byte of the file where the first item starts.
        nbytes: Bytes of all items, length prefixes of strings included.
        c_nbytes: The same after a copy through C strings, which end at the first NUL.
    """

    type: str
    count: int
    offset: int
    nbytes: int
    c_nbytes: int


Value = int | float | bool | str | ArrayInfo


@dataclass(frozen=True)
class Field:
    """One value of the header with its GGUF type (``arr`` for an array)."""

    type: str
    value: Value


def read_fields(reader: Reader, count: int) -> dict[str, Field]:
    """``count`` key-value pairs from the cursor on; FormatError on any defect."""
    fields: dict[str, Field] = {}
    for index in range(count):
        start = reader.position
        key = reader.text(reader.u64(f"key {index}"), f"key {index}", MAX_KEY_BYTES)
        if not key or "\0" in key:
            raise reader.error(f"key {index} is empty or holds a NUL", start)
        if key in fields:
            raise reader.error(f"the key {key!r} appears twice", start)
        fields[key] = _field(reader, key)
    return fields


def _field(reader: Reader, key: str) -> Field:
    start = reader.position
    number = reader.u32(f"the type of {key!r}")
    if number == _STRING:
        length = reader.u64(f"the length of {key!r}")
        return Field("str", reader.text(length, repr(key), MAX_STRING_BYTES))
    if number == _ARRAY:
        return Field("arr", _array(reader, key))
    if number not in _SCALARS:
        raise reader.error(f"{key!r} has the unknown value type {number}", start)
    name, form = _SCALARS[number]
    value = form.unpack(reader.take(form.size, repr(key)))[0]
    if name != "bool":
        return Field(name, value)
    if value not in (0, 1):
        raise reader.error(f"{key!r} is a boolean of value {value}", reader.position - 1)
    return Field(name, bool(value))


def _array(reader: Reader, key: str) -> ArrayInfo:
    start = reader.position
    number = reader.u32(f"the item type of {key!r}")
    count = reader.u64(f"the item count of {key!r}")
    offset = reader.position
    if number == _STRING:
        found = reader.skip_strings(count, wide=True, trailer=0, what=f"item of {key!r}")
        return _text_array(found, offset)
    if number not in _SCALARS:
        # llama.cpp knows no arrays of arrays either, though the specification allows them.
        what = "nested arrays" if number == _ARRAY else f"items of the unknown type {number}"
        raise reader.error(f"{key!r} holds {what}", start)
    name, form = _SCALARS[number]
    nbytes = count * form.size
    reader.skip(nbytes, f"the array {key!r}")
    return ArrayInfo(name, count, offset, nbytes, nbytes)


def _text_array(found: Strings, offset: int) -> ArrayInfo:
    prefixes = 8 * found.count
    return ArrayInfo("str", found.count, offset, prefixes + found.text, prefixes + found.c_text)


def read_array(path: Path | str, info: ArrayInfo) -> list[Scalar]:
    """The items of an array of the file ``path``; at most 16 Mi items.

    Raises:
        FormatError: There are too many items, one is not UTF-8, or the file has changed.
    """
    with open_reader(path) as reader:
        if info.count > MAX_LISTED:
            raise reader.error(f"{info.count} items are too many to list", info.offset)
        reader.skip(info.offset, "the array's place")
        if info.type == "str":
            return [
                reader.text(reader.u64("an item's length"), "an item", MAX_LISTED_TEXT)
                for _ in range(info.count)
            ]
        data = reader.take(info.nbytes, "the array")
    values = [one for (one,) in _FORMATS[info.type].iter_unpack(data)]
    return [bool(one) for one in values] if info.type == "bool" else values


def written_bytes(key: str, field: Field) -> int:
    """Bytes that ``key`` and its value take in a file that llama-quantize writes.

    It copies strings as C strings, so a text with a NUL becomes shorter.
    """
    return 8 + len(key.encode()) + 4 + _value_bytes(field)


def stored_bytes(key: str, field: Field) -> int:
    """Bytes that ``key`` and its value take in the file that they were read from."""
    value = field.value
    if isinstance(value, ArrayInfo):
        size = 4 + 8 + value.nbytes
    elif isinstance(value, str):
        size = 8 + len(value.encode())
    else:
        size = _FORMATS[field.type].size
    return 8 + len(key.encode()) + 4 + size


def _value_bytes(field: Field) -> int:
    value = field.value
    if isinstance(value, ArrayInfo):
        return 4 + 8 + value.c_nbytes
    if isinstance(value, str):
        return 8 + len(value.split("\0", 1)[0].encode())
    return _FORMATS[field.type].size
