from __future__ import annotations

import enum
import hashlib
import json
import os
import sys
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base import digest
from orchestrator.base.errors import UsageError

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_canonical_reads_back_as_the_same_value(value: object) -> None:
    assert json.loads(digest.canonical(value)) == value


@given(JSON_VALUES)
def test_a_parsed_value_has_the_same_key(value: object) -> None:
    assert digest.key_of_parsed(json.loads(json.dumps(value))) == digest.key(value)


@given(JSON_VALUES)
def test_the_short_way_to_a_spelling_leads_to_the_same(value: object) -> None:
    spelled = json.dumps(digest._plain(value, "value"), sort_keys=True, separators=(",", ":"))
    assert digest.canonical(value) == spelled.encode("ascii")


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(list(value.items())))
    assert digest.key(turned) == digest.key(value)


def test_canonical_spelling_is_fixed() -> None:
    value = {"b": (1, 2.5, None), "a": MappingProxyType({"é": True})}
    assert digest.canonical(value) == b'{"a":{"\\u00e9":true},"b":[1,2.5,null]}'


def test_key_is_pinned() -> None:
    # Every stored artifact is found by such keys: a change of the spelling loses them all.
    assert (
        digest.key({"kind": "x", "n": [1, "a"]})
        == hashlib.sha256(b'{"kind":"x","n":[1,"a"]}').hexdigest()
    )


class Colour(str, enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value", [{1, 2}, b"bytes", Path("x"), Colour.RED, object(), {1: 2}, {"a": [{"b": {None: 1}}]}]
)
def test_what_json_lacks_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        digest.canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_numbers_that_json_lacks_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest.canonical(value)


def test_the_place_of_a_refused_value_is_named() -> None:
    with pytest.raises(TypeError, match=r"value\.a\[1\]\.b is set"):
        digest.canonical({"a": [0, {"b": set()}]})


@pytest.mark.parametrize("size", [0, 1, digest.CHUNK_BYTES, digest.CHUNK_BYTES + 1])
def test_file_digest_over_chunk_borders(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert digest.file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
    assert digest.file_sha256(str(tmp_path / "f")) == hashlib.sha256(data).hexdigest()


def make_tree(root: Path) -> Path:
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "b.txt").write_text("b")
    (root / "sub" / "a.txt").write_text("a")
    (root / "sub" / "deep" / "c").write_text("c")
    (root / "sub" / "link").symlink_to("../b.txt")
    return root


def test_tree_files_are_sorted_posix_paths(tmp_path: Path) -> None:
    assert digest.tree_files(make_tree(tmp_path / "t")) == [
        "b.txt",
        "sub/a.txt",
        "sub/deep/c",
        "sub/link",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "t")
    Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9")).touch()
    with pytest.raises(UsageError, match=r"'caf\\xe9' is not UTF-8 text"):
        digest.tree_files(tree)


def test_linked_folders_are_not_entered(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "t")
    (tree / "loop").symlink_to(".")
    assert "loop" in digest.tree_files(tree)
    assert not any(name.startswith("loop/") for name in digest.tree_files(tree))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_pipe_or_device_has_no_digest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for name in ("pipe", "link", ""):
        with pytest.raises(OSError, match="not a regular file"):
            digest.file_sha256(tmp_path / name)


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file"):
        digest.tree_files(tmp_path)
