"""Sound files made odd by chance: where lengths, counts, offsets and types stand, and anywhere."""

from __future__ import annotations

import copy
import json
import pickletools
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

Mutation = Callable[[Path, Random], None]

_NUMBERS = (
    *(0, 1, 2, 7, 8, 255, 256, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32),
    *(2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
_FORMS = ("<H", "<I", "<Q", ">H", ">I", ">Q")
_DEEP = 100_000
ODD_TEXTS = (
    *("", " ", "x", "0", "-1", "../../evil", "/etc/passwd", "\x1b[2J", "\u202e", "a" * 5000),
    *("<script>alert(1)</script>", "é" * 300, "²", "1e400", "nan", "[[", "{{", "%s", "\\", "\n"),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[[]]], {"x": {}}, [None], -1, 0, 1, 2**31, 2**63, 2**64),
    *(10**30, 10**400, 1.5, -0.0, 1e308, float("nan"), float("inf"), float("-inf")),
    *ODD_TEXTS,
)


# -- bytes --------------------------------------------------------------------------------------


def of_bytes(path: Path, chance: Random) -> None:
    """One to four changes: numbers that may be lengths, single bits, cuts, repeats."""
    data = path.read_bytes()
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(_BYTES)(data, chance)
    path.write_bytes(data)


def _number(data: bytes, chance: Random) -> bytes:
    """Another number where a small one stands: a length, a count, an offset or a type."""
    form = chance.choice(_FORMS)
    size = struct.calcsize(form)
    places = [
        at
        for at in (chance.randrange(max(1, len(data) - size)) for _ in range(64))
        if at + size <= len(data) and 0 < struct.unpack_from(form, data, at)[0] < 4 * len(data)
    ]
    if not places:
        return data
    at = places[0]
    old = struct.unpack_from(form, data, at)[0]
    value = chance.choice((*_NUMBERS, old + 1, old - 1, old * 2, len(data), len(data) - at))
    return data[:at] + struct.pack(form, value % 256**size) + data[at + size :]


def _flipped(data: bytes, chance: Random) -> bytes:
    if not data:
        return b"\0"
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _overwritten(data: bytes, chance: Random) -> bytes:
    at, size = chance.randrange(len(data) + 1), chance.randrange(1, 16)
    return data[:at] + chance.randbytes(size) + data[at + size :]


def _cut(data: bytes, chance: Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _without(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.randrange(1, 64) :]


def _repeated(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    part = data[at : at + chance.randrange(1, 256)]
    return data[:at] + part * chance.choice((2, 3, 1000)) + data[at + len(part) :]


_BYTES = (*[_number] * 6, _flipped, _flipped, _overwritten, _cut, _without, _repeated)


# -- JSON and YAML ------------------------------------------------------------------------------


def of_json(path: Path, chance: Random) -> None:
    """Odd values, odd keys and deep nesting in JSON that parses, or bytes of it."""
    if chance.random() < 0.2:
        of_bytes(path, chance)
        return
    text = json.dumps(_odd_tree(json.loads(path.read_bytes()), chance))
    path.write_text(_odd_text(text, chance, "[", "]"), "utf-8", errors="surrogatepass")


def of_yaml(path: Path, chance: Random) -> None:
    """As :func:`of_json`, and what only YAML has: tags, aliases, numbers of base sixty."""
    if chance.random() < 0.2:
        of_bytes(path, chance)
        return
    tree = _odd_tree(yaml.safe_load(path.read_text("utf-8")), chance)
    with suppress(ValueError):  # a number that Python will not write
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        path.write_text(_odd_yaml(text, chance), "utf-8", errors="surrogatepass")


def of_card(path: Path, chance: Random) -> None:
    """As :func:`of_yaml`, of the front matter of a model card."""
    _, front, rest = path.read_text("utf-8").split("---\n", 2)
    path.write_text(front, "utf-8")
    of_yaml(path, chance)
    path.write_bytes(b"---\n" + path.read_bytes() + b"---\n" + rest.encode())


def _odd_tree(value: Any, chance: Random) -> Any:
    """A copy with one to three odd places."""
    changed = {"": copy.deepcopy(value)}
    for _ in range(chance.choice((1, 1, 2, 3))):
        places = list(_places(changed))
        holder, key = chance.choice(places)
        what = chance.random()
        if what < 0.15 and holder is not changed:
            del holder[key]
        elif what < 0.3 and isinstance(holder, dict) and holder is not changed:
            holder[chance.choice(ODD_TEXTS)] = holder.pop(key)
        elif what < 0.4:
            holder[key] = copy.deepcopy(chance.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(chance.choice(ODD_VALUES))  # which may be changed next
    return changed[""]


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _odd_text(text: str, chance: Random, left: str, right: str) -> str:
    """The text of a tree, a value of it sometimes nested without end, doubled or huge."""
    if chance.random() > 0.1:
        return text
    odd = (left * _DEEP, left * _DEEP + right * _DEEP, "9" * 10_000, "1e999999", '"\\ud800"')
    at = text.find(":", chance.randrange(len(text) + 1))
    return text[: at + 1] + " " + chance.choice(odd) + text[text.find(",", at) :]


_ODD_YAML = (
    *("!!float 1:1:1:1:1:1:1:1", "!!binary x", "!!python/object:os.system x", "*x", "&x [*x]"),
    *("!!int 99999999999999999999999999", "1e999", ".inf", "190:20:30", "!!timestamp 0000-00-00"),
    *("2001-02-30", "!!int 0b", "0o777", "1_0_0", "!!set {a, a}", "!!null x", "%", "{a: b: c}"),
    ", ".join([f"&a{n} [*a{n - 1}, *a{n - 1}]" if n else "[&a0 [x]" for n in range(40)]) + "]",
    *("1" + ":59" * 2000, "9" * 5000, "9" * 400 + "%", "1" * 400 + "GB", "1e300", "-1%"),
)


def _odd_yaml(text: str, chance: Random) -> str:
    if chance.random() > 0.3:
        return _odd_text(text, chance, "[", "]")
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    lines[at] = lines[at].partition(":")[0] + ": " + chance.choice(_ODD_YAML)
    return "\n".join(lines)


# -- pickles and databases ----------------------------------------------------------------------

_OPCODES = (
    *(b"(", b")", b"]", b"}", b"0", b"1", b"2", b"t", b"a", b"e", b"s", b"u", b"b", b"R", b"Q"),
    *(b"\x85", b"\x86", b"\x87", b"\x94", b"\x93", b"h\x00", b"q\x00", b"N", b"\x88", b"."),
    *(b"I0\n", b"\x8a\xff" + b"\x7f" * 255, b"M\xff\xff", b"J\xff\xff\xff\x7f", b"G" + b"\x7f" * 8),
    *(b"X\x01\x00\x00\x00x", b"cos\nsystem\n", b"ctorch\nSize\n", b"ccollections\nOrderedDict\n"),
)


def of_pickle(path: Path, chance: Random) -> None:
    """Opcodes of the pickle left out, doubled, swapped or put in; or bytes of it."""
    data = path.read_bytes()
    try:
        places = [at for _, _, at in pickletools.genops(data) if at is not None]
    except Exception:
        places = []
    if len(places) < 3 or chance.random() < 0.2:
        of_bytes(path, chance)
        return
    codes = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, other = chance.randrange(len(codes)), chance.randrange(len(codes))
        codes[at : at + 1] = chance.choice(
            (
                [],
                [codes[at]] * chance.choice((2, 3, 20_000)),
                [codes[other]],
                [codes[at], chance.choice(_OPCODES)],
                [chance.choice(_OPCODES) * chance.choice((1, 2, 20_000)), codes[at]],
            )
        )
    path.write_bytes(b"".join(codes))


def of_database(path: Path, chance: Random) -> None:
    """Odd values, tables and columns in an SQLite database that opens, or bytes of it."""
    if chance.random() < 0.4:
        of_bytes(path, chance)
        return
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        names = [one[0] for one in database.execute("SELECT name FROM sqlite_master")]
        for _ in range(chance.choice((1, 1, 3))):
            table = chance.choice([one for one in names if "sqlite" not in one])
            with suppress(sqlite3.Error):
                _odd_table(database, table, chance)


def _odd_table(database: sqlite3.Connection, table: str, chance: Random) -> None:
    columns = [one[1] for one in database.execute(f"PRAGMA table_info('{table}')")]
    column = chance.choice(columns or ["id"])
    what = chance.random()
    if what < 0.1:
        database.execute(f'DROP TABLE "{table}"')
    elif what < 0.2:
        database.execute(f'ALTER TABLE "{table}" DROP COLUMN "{column}"')
    elif what < 0.3:
        database.execute(f'DELETE FROM "{table}"')
    elif what < 0.4:
        database.execute(f"PRAGMA user_version = {chance.choice((0, 1, 99, -1, 2**31 - 1))}")
    else:
        value = chance.choice((None, *ODD_TEXTS, 0, -1, 2**62, 1.5, b"\xff\x00", "[]", "{}", "[1]"))
        database.execute(f'UPDATE "{table}" SET "{column}" = ?', (value,))
