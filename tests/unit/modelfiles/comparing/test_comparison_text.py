"""The report in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.modelfiles.comparing import compare
from orchestrator.modelfiles.comparing.comparison_text import text
from tests.support.gguf_pairs import FIELDS, SOME, Model, flip, tensor, write_gguf, write_parts
from tests.support.model_files import KV, Tensor


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "a.gguf", Model())


def test_identical_files_take_few_words(a: Path) -> None:
    lines = text(compare(a, a)).splitlines()

    assert lines[2:] == [
        "",
        "Tensors: 5 identical; 0.00 % of 2.96 kB differ",
        "Verdict: identical (every byte is the same)",
    ]


def test_keys_and_tensors_are_listed(a: Path, tmp_path: Path) -> None:
    fields = {**FIELDS, "general.file_type": KV("u32", 7)}
    other = write_gguf(tmp_path / "c.gguf", Model(fields=fields))
    b = flip(other, tensor(other, "norm").offset, tmp_path / "b.gguf")

    found = text(compare(a, b))

    assert "  ~ general.file_type\n      A: u32 2\n      B: u32 7\n" in found
    row = next(line for line in found.splitlines() if line.startswith("  norm")).split()
    assert row[1:9] == ["bytes", "F32", "5", "20.00", "%", "of", "5", row[8]]
    assert float(row[8]) > 0
    assert "Tensors: 4 identical, 1 with other bytes; 0.03 % of 2.96 kB differ" in found
    assert found.endswith("Verdict: near (same types and shapes, under 1 % of the bytes differ)")


def test_other_types_shapes_and_names_are_listed(a: Path, tmp_path: Path) -> None:
    tensors = [
        Tensor("embd", (256, 3), "BF16"),
        Tensor("norm", (6,)),
        *SOME[2:4],
        Tensor("new", (3, 2)),
    ]

    found = text(compare(a, write_gguf(tmp_path / "b.gguf", Model(tensors))))

    rows = {line.split()[0]: line for line in found.splitlines() if line.startswith("  ")}
    assert "F16 -> BF16" in rows["embd"]
    assert "5 -> 6" in rows["norm"]
    assert "only in B  F32" in rows["new"]
    assert "3x2" in rows["new"]
    assert "only in A" in rows["output"]
    assert found.endswith("\nVerdict: different")


def test_a_small_share_is_not_called_nothing(tmp_path: Path) -> None:
    shape = [Tensor("w", (20_001,), "F16")]
    a = write_gguf(tmp_path / "a.gguf", Model(shape, data={"w": bytes(40_002)}))
    b = write_gguf(tmp_path / "b.gguf", Model(shape, data={"w": b"\1" + bytes(40_001)}))
    c = write_gguf(tmp_path / "c.gguf", Model(shape, data={"w": b"\1" * 40_000 + bytes(2)}))

    assert "<0.01 % of 20001" in text(compare(a, b))
    assert ">99.99 % of 20001" in text(compare(a, c))


def test_a_files_text_cannot_command_the_terminal(a: Path, tmp_path: Path) -> None:
    fields = {**FIELDS, "general.name": KV("str", "x\x1b[2J\ny\u202e")}
    tensors = [*SOME, Tensor("bad\x1b[31m", (1,))]

    found = text(compare(a, write_gguf(tmp_path / "b.gguf", Model(tensors, fields))))

    assert "x\\x1b[2J\\ny\\u202e" in found
    assert "\x1b" not in found


def test_parts_are_counted(a: Path, tmp_path: Path) -> None:
    parts = write_parts(tmp_path, Model(), (2,))

    assert "in 2 files)" in text(compare(a, parts[0])).splitlines()[1]


def test_json_says_the_same(a: Path, tmp_path: Path) -> None:
    b = flip(a, tensor(a, "ffn").offset + 4, tmp_path / "b.gguf")

    found = json.loads(json.dumps(compare(a, b).as_json(), allow_nan=False))

    assert found["verdict"] == "near"
    assert found["a"] == {
        "path": str(a),
        "files": ["a.gguf"],
        "format": "gguf",
        "size": a.stat().st_size,
    }
    assert found["counts"] == {"identical": 4, "differs": 1}
    assert found["differing_bytes"] == 1
    (one,) = (one for one in found["tensors"] if one["state"] == "differs")
    assert (one["name"], one["types"], one["shapes"]) == ("ffn", ["Q4_K"] * 2, [[512, 2]] * 2)
    assert (one["blocks"], one["differing_blocks"]) == (4, 1)
    assert one["max_abs_diff"] >= one["mean_abs_diff"] > 0


def test_json_of_keys(a: Path, tmp_path: Path) -> None:
    fields = {**FIELDS, "tokenizer.ggml.tokens": KV("arr", ["x"], "str"), "n": KV("u8", 1)}

    found = compare(a, write_gguf(tmp_path / "b.gguf", Model(fields=fields))).as_json()

    n, tokens = found["keys"]
    assert n == {"key": "n", "kind": "added", "a": None, "b": {"type": "u8", "value": "1"}}
    assert (tokens["kind"], tokens["a"]["count"], tokens["b"]["count"]) == ("changed", 3, 1)
    assert len(tokens["b"]["sha256"]) == 64
