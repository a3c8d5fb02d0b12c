"""Upstream's gguf_new_metadata with changes from a file, and without questions.

    python new_metadata.py SRC CHANGES.json INPUT.gguf [OUTPUT.gguf]

CHANGES holds ``template`` (a text), ``special_tokens`` (texts or numbers by names such as
eos), ``set`` (values by keys) and ``remove`` (keys). Without OUTPUT they are only tried. Upstream's
script would write what names no token or key, and asks a terminal before it removes one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(sys.argv[1]) / "gguf-py"))

import gguf
from gguf.constants import Keys
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

Type = gguf.GGUFValueType
Details = dict[str, MetadataDetails]

TEMPLATE, TOKENS = Keys.Tokenizer.CHAT_TEMPLATE, Keys.Tokenizer.LIST
# What the tensors and the vocabulary are read by.
FIXED = re.compile(r"GGUF\..*|split\..*|general\.(architecture|alignment)|tokenizer\.ggml\.tokens")
RANGES = {
    Type.UINT8: (0, 2**8),
    Type.INT8: (-(2**7), 2**7),
    Type.UINT16: (0, 2**16),
    Type.INT16: (-(2**15), 2**15),
    Type.UINT32: (0, 2**32),
    Type.INT32: (-(2**31), 2**31),
    Type.UINT64: (0, 2**64),
    Type.INT64: (-(2**63), 2**63),
}
FLOATS = (Type.FLOAT32, Type.FLOAT64)


def refuse(why: str) -> None:
    """End with the sentence that is told."""
    raise SystemExit(f"header: {why}")


def main() -> None:
    """Look at all changes, then write the new file."""
    told, source, *target = sys.argv[2:]
    changes = json.loads(Path(told).read_text("utf-8"))
    reader = gguf.GGUFReader(source, "r")
    arch = reader.get_field(Keys.General.ARCHITECTURE).contents()
    new = {**tokens(changes["special_tokens"], reader), **values(changes["set"], reader, arch)}
    if changes["template"] is not None:
        new[TEMPLATE] = MetadataDetails(Type.STRING, changes["template"])
    for key in changes["remove"]:
        if FIXED.fullmatch(key):
            refuse(f"{key} cannot be removed: the tensors or the vocabulary are read by it")
        if key not in reader.fields:
            refuse(f"{key} cannot be removed: the file has no such key")
    for path in target:
        writer = gguf.GGUFWriter(path, arch=arch, endianess=reader.endianess)
        writer.data_alignment = reader.alignment
        copy_with_new_metadata(reader, writer, new, changes["remove"])


def tokens(given: dict[str, str | int], reader: Any) -> Details:
    """The numbers of special tokens, which may be given by their texts."""
    names = [one for name, one in vars(Keys.Tokenizer).items() if not name.startswith("_")]
    known = {re.sub(r".*\.|_token_id$", "", one): one for one in names if one.endswith("_token_id")}
    field = reader.get_field(TOKENS)
    listed = field.contents() if given and field else []
    found = {}
    for name, token in given.items():
        if name not in known:
            refuse(f"there is no special token {name!r}, only {', '.join(known)}")
        at = (
            [token]
            if isinstance(token, int)
            else [i for i, one in enumerate(listed) if one == token]
        )
        if len(at) != 1 or not 0 <= at[0] < len(listed):
            times = f"{len(at)} times" if len(at) > 1 else "not"
            where = f"{times} in the vocabulary of {len(listed)} tokens"
            refuse(f"{token!r}, which is to be {name}, is {where}")
        found[known[name]] = MetadataDetails(Type.UINT32, at[0])
    return found


def values(given: dict[str, Any], reader: Any, arch: str) -> Details:
    """Values by keys, of the type that the file has or that they have themselves."""
    return {key: value_of(key, value, reader, arch) for key, value in given.items()}


def value_of(key: str, value: Any, reader: Any, arch: str) -> MetadataDetails:
    """One value; a key that neither the file has nor gguf-py knows is refused."""
    field = reader.get_field(key)
    if FIXED.fullmatch(key):
        refuse(f"{key} cannot be set: the tensors or the vocabulary are read by it")
    if field is None and not any(re.fullmatch(one, key) for one in patterns(Keys, arch)):
        refuse(f"{key} is neither in the file nor a key that llama.cpp knows")
    kind = own_type(value) if field is None else field.types[0]
    if field is not None and kind == Type.ARRAY and field.types[-1] != Type.STRING:
        refuse(f"{key} is a list of numbers, which cannot be set")
    if not fits(kind, value):
        refuse(f"{key} is {kind.name.lower()}, which {value!r} is not")
    value = float(value) if kind in FLOATS else value
    if kind == Type.ARRAY:
        return MetadataDetails(kind, value, sub_type=Type.STRING)
    return MetadataDetails(kind, value)


def patterns(keys: Any, arch: str) -> Iterator[str]:
    """Patterns of all keys that gguf-py knows."""
    for name, one in vars(keys).items():
        if isinstance(one, str) and not name.startswith("_"):
            literal = re.escape(one.replace("{arch}", arch))
            yield re.sub(r"\\\{\w+\\\}", r"[\\w.-]+", literal)
        elif isinstance(one, type):
            yield from patterns(one, arch)


def own_type(value: Any) -> Any:
    """The type of a value for which the file has none."""
    if isinstance(value, bool):
        return Type.BOOL
    if isinstance(value, int):
        return Type.UINT32 if value >= 0 else Type.INT32
    if isinstance(value, float):
        return Type.FLOAT32
    return Type.STRING if isinstance(value, str) else Type.ARRAY


def fits(kind: Any, value: Any) -> bool:
    """Whether a value of JSON can be one of this type."""
    if isinstance(value, bool) or kind == Type.BOOL:
        return isinstance(value, bool) and kind == Type.BOOL
    if kind in RANGES:
        low, high = RANGES[kind]
        return isinstance(value, int) and low <= value < high
    if kind in FLOATS:
        return isinstance(value, int | float)
    return isinstance(value, str if kind == Type.STRING else list)


if __name__ == "__main__":
    main()
