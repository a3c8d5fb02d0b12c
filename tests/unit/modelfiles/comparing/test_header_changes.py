"""Header keys: added, removed, changed, and how they are shown."""

from __future__ import annotations

import hashlib
from pathlib import Path

from orchestrator.modelfiles.comparing import Verdict, compare
from orchestrator.modelfiles.comparing.comparison import Comparison, KeyChange, Shown
from orchestrator.modelfiles.comparing.header_changes import SHOWN
from tests.support.gguf_pairs import FIELDS, Model, write_gguf
from tests.support.model_files import KV, gguf_text


def against(folder: Path, **changes: KV | None) -> Comparison:
    """The usual model and one with other keys; None removes one."""
    fields = {**FIELDS, **{key.replace("__", "."): value for key, value in changes.items()}}
    kept = {key: value for key, value in fields.items() if value is not None}
    a = write_gguf(folder / "a.gguf", Model())
    return compare(a, write_gguf(folder / "b.gguf", Model(fields=kept)))


def test_added_removed_and_changed_keys(tmp_path: Path) -> None:
    found = against(
        tmp_path,
        general__file_type=KV("u32", 7),
        general__architecture=None,
        general__name=KV("str", "x"),
    )

    assert found.verdict is Verdict.SAME_TENSORS
    assert [(one.kind, one.key) for one in found.keys] == [
        ("removed", "general.architecture"),
        ("changed", "general.file_type"),
        ("added", "general.name"),
    ]
    assert found.keys[1].a == Shown("u32", "2")
    assert found.keys[1].b == Shown("u32", "7")
    assert found.keys[2].a is None


def test_another_type_of_the_same_value_is_a_change(tmp_path: Path) -> None:
    (change,) = against(tmp_path, general__file_type=KV("u64", 2)).keys

    assert (change.a, change.b) == (Shown("u32", "2"), Shown("u64", "2"))


def test_arrays_are_compared_by_count_and_digest(tmp_path: Path) -> None:
    tokens = ["<unk>", "a", "c"]
    (change,) = against(tmp_path, tokenizer__ggml__tokens=KV("arr", tokens, "str")).keys

    digest = hashlib.sha256(b"".join(gguf_text(one) for one in tokens)).hexdigest()
    assert change.b == Shown("arr[str]", "", 3, digest)
    assert change.a is not None
    assert change.a.count == 3
    assert change.a.sha256 != digest


def test_an_array_that_only_moved_is_not_reported(tmp_path: Path) -> None:
    changes = against(tmp_path, general__architecture=KV("str", "a longer name")).keys

    assert [one.key for one in changes] == ["general.architecture"]


def test_an_array_that_became_a_number_is_a_change(tmp_path: Path) -> None:
    (change,) = against(tmp_path, tokenizer__ggml__scores=KV("f32", 0.5)).keys

    assert change.kind == "changed"
    assert change.a is not None
    assert change.a.count == 3
    assert change.b == Shown("f32", "0.5")


def test_floats_that_are_no_numbers_equal_themselves(tmp_path: Path) -> None:
    fields = {**FIELDS, "x": KV("f32", float("nan"))}
    a = write_gguf(tmp_path / "a.gguf", Model(fields=fields))
    b = write_gguf(tmp_path / "b.gguf", Model(fields={**fields, "y": KV("bool", 1)}))

    assert [one.key for one in compare(a, b).keys] == ["y"]


def test_a_long_value_is_shown_around_its_difference(tmp_path: Path) -> None:
    text = "".join(chr(ord("a") + index % 26) for index in range(1000))
    fields = {"t": KV("str", text)}
    a = write_gguf(tmp_path / "a.gguf", Model(fields=fields))
    other = text[:500] + "!" + text[501:]
    b = write_gguf(tmp_path / "b.gguf", Model(fields={"t": KV("str", other)}))

    (change,) = compare(a, b).keys

    assert change.b is not None
    assert "!" in change.b.text
    assert change.b.text.endswith("… (1000 characters)")
    assert len(change.b.text) < SHOWN + 30


def test_another_order_of_keys_is_a_note(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    b = write_gguf(tmp_path / "b.gguf", Model(fields=dict(list(FIELDS.items())[::-1])))

    found = compare(a, b)

    assert (found.keys, found.notes) == ((), ("the keys are in another order",))
    assert found.verdict is Verdict.SAME_TENSORS


def test_the_version_of_the_format_counts_as_a_key(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    b = write_gguf(tmp_path / "b.gguf", Model(version=2))

    assert compare(a, b).keys == (KeyChange("(version)", Shown("u32", "3"), Shown("u32", "2")),)
