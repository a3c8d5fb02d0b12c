"""Opening model folders: which files count, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging.checkpoint import MAX_JSON_BYTES, open_checkpoint, same_bytes
from tests.support.merge_pairs import llama, make, write_model, write_safetensors

TENSORS = llama(32, "F16", 1)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_every_layout_gives_the_same_tensors(tmp_path: Path, kind: str, shards: int) -> None:
    found = open_checkpoint(write_model(tmp_path / "m", TENSORS, kind, shards))
    assert list(found.tensors) == list(TENSORS)
    assert found.config["vocab_size"] == 32
    for name, ref in found.tensors.items():
        data = ref.file.read_bytes()[ref.offset : ref.offset + ref.nbytes]
        assert (data, ref.dtype, ref.shape) == (TENSORS[name].data, "F16", TENSORS[name].shape)


def test_safetensors_go_before_bin(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS, "bin")
    write_safetensors(folder / "model.safetensors", {"other": make("F16", (2,), 1)})
    assert list(open_checkpoint(folder).tensors) == ["other"]


def break_index(folder: Path, change: dict[str, object]) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] |= change
    path.write_text(json.dumps(index))


@pytest.mark.parametrize(
    "file", ["../x.safetensors", "/x.safetensors", "a\\b.safetensors", "x.py", "", None, 7]
)
def test_a_shard_that_is_no_plain_file_name_is_refused(tmp_path: Path, file: object) -> None:
    folder = write_model(tmp_path / "m", TENSORS, shards=2)
    write_safetensors(tmp_path / "x.safetensors", {"x": make("F16", (2,), 1)})
    break_index(folder, {"x": file})
    with pytest.raises(StepError, match="as a shard"):
        open_checkpoint(folder)


def test_a_missing_shard(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(StepError, match=r"00002-of-00002.safetensors is missing"):
        open_checkpoint(folder)


def test_a_tensor_that_only_the_index_has(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS, shards=2)
    break_index(folder, {"ghost": "model-00001-of-00002.safetensors"})
    with pytest.raises(StepError, match="'ghost' is in model-00001"):
        open_checkpoint(folder)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS, shards=2)
    first = folder / "model-00001-of-00002.safetensors"
    (folder / "model-00002-of-00002.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(StepError, match="is in two files"):
        open_checkpoint(folder)


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="holds no weights"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"[1]", "is not a JSON object"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 200_000, "is not JSON"),
        (None, "is missing"),
    ],
)
def test_a_damaged_configuration(tmp_path: Path, content: bytes | None, part: str) -> None:
    folder = write_model(tmp_path / "m", TENSORS)
    (folder / "config.json").unlink()
    if content is not None:
        (folder / "config.json").write_bytes(content)
    with pytest.raises(StepError, match=part):
        open_checkpoint(folder)


def test_a_huge_configuration_is_not_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS)
    with (folder / "config.json").open("r+b") as file:
        file.truncate(MAX_JSON_BYTES + 1)
    with pytest.raises(StepError, match="has more than"):
        open_checkpoint(folder)


def test_an_index_without_a_map(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS, shards=2)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(StepError, match="has no weight_map"):
        open_checkpoint(folder)


def test_a_truncated_safetensors_file(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", TENSORS)
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(3000)
    with pytest.raises(StepError, match=r"model\.safetensors"):
        open_checkpoint(folder)


def test_same_bytes_compares_type_shape_and_data(tmp_path: Path) -> None:
    one, two = make("F16", (6, 2), 1), make("F16", (6, 2), 2)
    folder = write_model(
        tmp_path / "m",
        {**TENSORS, "a": one, "b": one, "c": two, "d": make("F16", (2, 6), 1)},
    )
    refs = open_checkpoint(folder).tensors
    assert same_bytes(refs["a"], refs["a"])
    assert same_bytes(refs["a"], refs["b"])
    assert not same_bytes(refs["a"], refs["c"])
    assert not same_bytes(refs["a"], refs["d"])
