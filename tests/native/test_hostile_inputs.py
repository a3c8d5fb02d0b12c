"""Files that are cut, lie or attack: one sentence, an exit code, nothing outside staging."""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.package_index import Index, running
from tests.support.typed_commands import MODELS, Said, artifacts, typed, variant
from tests.support.warm_store import Finished

WHEEL = "evil_model-1.0-py3-none-any.whl"
MEMBER = "evil_model/model.gguf"


@pytest.fixture
def good(finished: Finished) -> bytes:
    """A sound GGUF file."""
    return (finished.out / "tiny-llama-Q4_0.gguf").read_bytes()


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder but the store."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(p): p.read_bytes() for p in found if "store" not in p.relative_to(folder).parts}


def refused(tmp_path: Path, fields: dict[str, Any], code: int = 1) -> Said:
    """Run what must be refused, and look whether anything was left anywhere."""
    path = variant(tmp_path, {"quantize": ["Q8_0"], "imatrix": None, **fields})
    before = tree(tmp_path)
    said = typed("run", path, "--out", tmp_path / "dist", "--no-verify")
    assert said.code == code, said.all
    assert tree(tmp_path) == before
    assert list((tmp_path / "store" / "staging").glob("*")) == []
    sentences = [line for line in said.all.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, said.all
    assert "Traceback" not in said.all
    return said


def gguf_source(path: Path) -> dict[str, Any]:
    return {"model": {"path": str(path), "format": "gguf"}}


def counts(tensors: int, keys: int, rest: bytes = b"") -> Callable[[bytes], bytes]:
    """A header that promises so many tensors and keys."""
    return lambda _: b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest


def long_text(length: int) -> bytes:
    """A key whose text claims to be this long."""
    return struct.pack("<Q", length) + b"general.name"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-5000], "ends at byte"),
        (lambda data: data[:1000], "bytes but the file has 190 more"),
        (lambda data: b"", "bytes but the file has 0 more"),
        (lambda data: b"\0" * len(data), "not a GGUF"),
        (lambda data: data[:4] + struct.pack("<I", 99) + data[8:], "version"),
        (counts(2**60, 1), f"cannot have {2**60} tensors"),
        (counts(0, 2**62), "cannot have"),
        (counts(1, 1, long_text(2**63)), "long|ends|bytes"),
        (counts(1, 1, long_text(1 << 40)), "long|ends|bytes"),
    ],
    ids=["cut", "head", "empty", "zeros", "version", "tensors", "keys", "text", "terabyte"],
)
def test_a_gguf_source_that_is_not_sound(
    store_with: Callable[..., Path],
    good: bytes,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    store_with("llama.cpp")
    path = tmp_path / "model.gguf"
    path.write_bytes(damage(good))
    found = refused(tmp_path, gguf_source(path))
    assert "model.gguf" in found.all
    assert any(word in found.all for word in said.split("|")), found.all


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """A package index of our own."""
    with running() as found:
        monkeypatch.setenv("PIP_INDEX_URL", found.url)
        yield found


def zipped(*members: tuple[str, bytes], deflate: bool = False) -> bytes:
    out = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, "w", kind) as bundle:
        for name, data in members:
            bundle.writestr(name, data)
    return out.getvalue()


def wheel_source(index: Index, content: bytes, file: str = MEMBER) -> dict[str, Any]:
    """A recipe's fields for a model out of a wheel with this content."""
    digest = index.add("evil-model", WHEEL, content)
    package = {"package": "evil-model", "version": "1.0", "file": file}
    return {"model": {"pypi": package, "format": "gguf", "sha256": digest}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"this is no zip at all" * 100, "not a sound archive"),
        (zipped((MEMBER, b"GGUF" + b"x" * 5000))[:3000], "not a sound archive"),
        (zipped(("other/model.gguf", b"GGUF")), "no file 'evil_model/model.gguf'"),
        (zipped((MEMBER, b"MZ" * 500)), "not a GGUF file"),
        (zipped((MEMBER, b"\0" * (200 << 20)), deflate=True), "not a GGUF file|refused"),
    ],
    ids=["no-zip", "cut", "missing", "program", "bomb"],
)
def test_a_wheel_that_is_not_sound(
    store_with: Callable[..., Path], index: Index, tmp_path: Path, content: bytes, said: str
) -> None:
    store_with("llama.cpp")
    found = refused(tmp_path, wheel_source(index, content))
    assert any(word in found.all for word in said.split("|")), found.all


@pytest.mark.parametrize("member", ["../../evil.gguf", "/evil.gguf", "a/../../../evil.gguf"])
def test_a_recipe_that_climbs_out_of_its_wheel(
    store_with: Callable[..., Path], index: Index, good: bytes, tmp_path: Path, member: str
) -> None:
    store_with("llama.cpp")
    fields = wheel_source(index, zipped((member, good)), file=member)
    assert "is not a path inside" in refused(tmp_path, fields, code=2).all
    assert index.asked == []


def test_nothing_but_the_named_file_is_taken_out_of_a_wheel(
    store_with: Callable[..., Path], index: Index, good: bytes, tmp_path: Path
) -> None:
    home = store_with("llama.cpp")
    content = zipped(("../../../evil", b"1"), ("/evil", b"2"), (MEMBER, good), ("evil", b"3"))
    fields = {"quantize": [{"type": "COPY"}], "imatrix": None, **wheel_source(index, content)}
    said = typed("run", variant(tmp_path, fields), "--out", tmp_path / "dist", "--no-verify")
    assert said.code == 0, said.all
    assert list(tmp_path.rglob("*evil*")) == []
    [fetched] = artifacts(home)["fetch"]
    assert [path.name for path in (fetched / "files").iterdir()] == ["model.gguf"]


def test_a_wheel_that_was_exchanged(
    store_with: Callable[..., Path], index: Index, good: bytes, tmp_path: Path
) -> None:
    store_with("llama.cpp")
    fields = wheel_source(index, zipped((MEMBER, good)))
    index.add("evil-model", WHEEL, zipped((MEMBER, good), ("more", b"1")))
    found = refused(tmp_path, fields)
    assert "the pin says" in found.all
    assert "The release or the pin was changed" in found.all


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny llama."""
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "llama", folder)
    return folder


@pytest.mark.parametrize("shard", ["../secret.safetensors", "/etc/hostname", "a/../../secret"])
def test_an_index_that_points_outside(
    store_with: Callable[..., Path], model: Path, tmp_path: Path, shard: str
) -> None:
    store_with("llama.cpp")
    (tmp_path / "secret.safetensors").write_bytes(b"secret")
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    listed = {"metadata": {}, "weight_map": {"model.norm.weight": shard}}
    (model / "model.safetensors.index.json").write_text(json.dumps(listed), encoding="utf-8")
    typed_path = {"model": {"path": str(model)}}
    path = variant(tmp_path, {"quantize": ["Q8_0"], "imatrix": None, **typed_path})
    said = typed("run", path, "--out", tmp_path / "dist", "--no-verify")
    assert said.code in (1, 2)
    assert "Traceback" not in said.all
    assert "model.safetensors.index.json" in said.all or shard in said.all
    assert not (tmp_path / "dist").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-4000], "model.safetensors"),
        (lambda data: struct.pack("<Q", 2**62) + data[8:], "model.safetensors"),
        (lambda data: data[:8] + b"[" * 1000 + data[1008:], "model.safetensors"),
    ],
    ids=["cut", "header", "json"],
)
def test_safetensors_that_are_not_sound(
    store_with: Callable[..., Path],
    model: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    said: str,
) -> None:
    store_with("llama.cpp")
    weights = model / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    assert said in refused(tmp_path, {"model": {"path": str(model)}}).all


def test_a_config_that_is_a_bomb(
    store_with: Callable[..., Path], model: Path, tmp_path: Path
) -> None:
    store_with("llama.cpp")
    (model / "config.json").write_text("[" * 100_000, encoding="utf-8")
    said = refused(tmp_path, {"model": {"path": str(model)}})
    assert "without weights failed" in said.all or "config.json" in said.all


@pytest.mark.parametrize("name", ["../../evil", "/evil", "a/b", ".hidden", "a\nb"])
def test_a_name_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    said = typed("run", variant(tmp_path, {"name": name}), "--out", tmp_path / "dist")
    assert said.code == 2
    assert ": name: " in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["variant.yaml"]
