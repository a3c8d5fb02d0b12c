"""The sharded safetensors writer, read back with the safetensors library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from orchestrator.modelfiles.merging.safetensors_writer import create_files, lay_out, write_json

NAMED = [
    ("a", "F16", (4, 8)),
    ("b", "F16", (2,)),
    ("scalar", "F16", ()),
    ("empty", "F16", (0, 3)),
    ("c", "F16", (16, 16)),
]


def test_one_shard_has_no_index(tmp_path: Path) -> None:
    shards = lay_out(NAMED)
    create_files(tmp_path, shards)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        found = {name: file.get_tensor(name).shape for name in file.keys()}  # noqa: SIM118
        assert found == {name: shape for name, _, shape in NAMED}
        assert file.metadata() == {"format": "pt"}


def test_several_shards_have_an_index_that_fits(tmp_path: Path) -> None:
    shards = lay_out(NAMED, max_bytes=1300)
    assert [shard.file for shard in shards] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    create_files(tmp_path, shards)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 2 * (32 + 2 + 1 + 256)}
    assert list(index["weight_map"]) == [name for name, _, _ in NAMED]
    for shard in shards:
        with safe_open(tmp_path / shard.file, framework="numpy") as file:
            assert set(file.keys()) == {slot.name for slot in shard.slots}
            assert all(index["weight_map"][name] == shard.file for name in file.keys())  # noqa: SIM118


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    with pytest.raises(FileExistsError):
        create_files(tmp_path, lay_out(NAMED))


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
        st.lists(st.integers(0, 12), max_size=3).map(tuple),
        min_size=1,
        max_size=30,
    ),
    st.integers(500, 5000),
)
def test_shards_hold_every_tensor_once_in_order_and_keep_the_limit(
    tensors: dict[str, tuple[int, ...]], limit: int
) -> None:
    shards = lay_out([(name, "F16", shape) for name, shape in tensors.items()], limit)
    slots = [slot for shard in shards for slot in shard.slots]
    assert [slot.name for slot in slots] == list(tensors)
    for shard in shards:
        assert shard.nbytes <= limit or len(shard.slots) == 1
        position = len(shard.header)
        for slot in shard.slots:
            assert (slot.file, slot.offset) == (shard.file, position)
            position += slot.nbytes
        assert position == shard.nbytes


def test_the_default_limit_is_two_gigabytes() -> None:
    shards = lay_out((f"layer.{n}", "F16", (4096, 11008)) for n in range(100))
    assert len(shards) == 5
    assert all(shard.nbytes <= 2_000_000_000 for shard in shards)


def test_json_keeps_other_scripts_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"token": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "token": "é"\n}\n'
