"""What a run wrote beside its files goes out under the published names."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from orchestrator.base.digest import file_sha256
from tests.support.publications import RECIPE, RecipeFolder
from tests.support.signing_keys import keys

RUN_NAMES = ("small-Q4_0.gguf", "small-IQ4_XS.gguf")


def published(recipe_folder: RecipeFolder, *options: str) -> Path:
    said = recipe_folder.publish("--to", "dir:out", *options)
    assert said.code == 0, said.err
    return recipe_folder.place / "out"


def texts(folder: Path) -> str:
    """All small files together."""
    small = [path for path in folder.iterdir() if path.suffix not in (".gguf", ".safetensors")]
    return "".join(path.read_text("utf-8") for path in small if path.name != "imatrix.gguf")


def test_all_documents_name_the_files_as_they_lie_beside_them(finished: RecipeFolder) -> None:
    out = published(finished)
    report = json.loads((out / "report.json").read_text())
    files = [one["file"] for one in report["files"] if one["type"] != "F16"]
    assert files == ["small-2.1M-Q4_0.gguf", "small-2.1M-IQ4_XS.gguf"]
    for file in files:
        told = json.loads((out / f"{file}.provenance.json").read_text())
        assert told["subject"] == [{"name": file, "digest": {"sha256": file_sha256(out / file)}}]
    assert not [name for name in RUN_NAMES if name in texts(out)]


def test_the_recipe_is_named_by_the_digest_of_the_file_beside(finished: RecipeFolder) -> None:
    out = published(finished)
    digest = hashlib.sha256((out / "small.yaml").read_bytes()).hexdigest()
    assert f"small.yaml (SHA-256 {digest})" in (out / "report.md").read_text()
    assert f"small.yaml (SHA-256 {digest})" in (out / "README.md").read_text()


def test_no_place_of_the_publishers_machine_is_told(
    recipe_folder: RecipeFolder, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    text = tmp_path / "elsewhere" / "private.txt"
    text.write_text("Once upon a time.")
    recipe_folder.write(RECIPE.replace("{corpus: words.txt, chunks: 8}", f"{{corpus: {text}}}"))
    assert recipe_folder.run().code == 0
    out = published(recipe_folder)
    assert str(tmp_path) not in texts(out)
    assert "path: private.txt" in (out / "small.yaml").read_text()
    assert "elsewhere" not in texts(out)


def test_files_are_called_as_the_recipe_wants_it(finished: RecipeFolder) -> None:
    finished.write(license="mit", file_name="Small_{size}.{type}.gguf", base_model="me/Small-Llama")
    out = published(finished)
    assert (out / "Small_2.1M.Q4_0.gguf").is_file()
    assert "Small_2.1M.Q4_0.gguf" in (out / "report.md").read_text()
    for name in ("Small.gguf", "-{type}", ".{type}.gguf"):
        finished.write(license="mit", file_name=name)
        said = finished.publish("--to", "dir:out")
        assert said.code == 2
        assert "is no name of files: it needs {type}" in said.err


def test_what_was_signed_stays_until_it_is_signed_anew(
    recipe_folder: RecipeFolder, tmp_path: Path
) -> None:
    secret, public = keys(tmp_path)
    assert recipe_folder.run("--sign-key", str(secret)).code == 0
    file = "small-2.1M-Q4_0.gguf"

    def subject() -> str:
        told = json.loads((recipe_folder.place / "out" / f"{file}.provenance.json").read_text())
        return str(told["subject"][0]["name"])

    for options, name in ((), "small-Q4_0.gguf"), (("--sign-key", str(secret)), file):
        out = published(recipe_folder, *options)
        assert subject() == name
        check = recipe_folder.command("verify-provenance", out / file, "--key", public)
        assert check.code == 0, check.err
        assert ("name: stated as" in check.out) == (name != file)
