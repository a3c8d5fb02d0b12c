"""Where files come from, and that nothing of the machine is in them, with real llama.cpp."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.runs import provenance_statement
from tests.support.signing_keys import keys
from tests.support.typed_commands import MODELS, ROOT, TINY, artifacts, typed
from tests.support.warm_store import CACHE, Finished, link, ready

CHIMERA = TINY.with_name("chimera.yaml")


def statement(file: Path) -> dict[str, Any]:
    """The statement beside a file."""
    return dict(
        json.loads(file.with_name(file.name + provenance_statement.SUFFIX).read_text("utf-8"))
    )


def used(told: dict[str, Any], part: str) -> dict[str, str]:
    """Digests of what was used for one part, by name."""
    listed = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    return {
        one["name"]: one["digest"]["sha256"] for one in listed if one["annotations"]["part"] == part
    }


def test_every_file_is_traced_to_the_models_files(finished: Finished) -> None:
    model = {path.name: file_sha256(path) for path in (MODELS / "llama").iterdir()}
    for file in finished.out.glob("*.gguf"):
        assert used(statement(file), "model") == model
        said = typed("verify-provenance", file)
        assert (said.code, "as stated" in said.out) == (0, True)
    [matrix] = finished.out.glob("*IQ4_XS.gguf")
    text = TINY.parent / "corpus" / "calibration.txt"
    assert used(statement(matrix), "corpus") == {text.name: file_sha256(text)}


def test_a_file_is_made_again_from_its_recipe(finished: Finished, tmp_path: Path) -> None:
    file = finished.out / "tiny-llama-IQ4_XS.gguf"

    said = typed("verify-provenance", file, "--rederive", TINY, "-t", "1", home=finished.home)

    assert said.code == 0, said.all
    assert "identical" in said.out
    other = tmp_path / file.name
    shutil.copyfile(finished.out / "tiny-llama-Q4_0.gguf", other)
    wrong = statement(file)
    wrong["subject"][0]["digest"]["sha256"] = file_sha256(other)
    other.with_name(other.name + provenance_statement.SUFFIX).write_text(json.dumps(wrong))
    lied = typed("verify-provenance", other, "--rederive", TINY, "-t", "1", home=finished.home)
    assert lied.code == 1
    assert "DIFFERENT" in lied.out


def test_a_run_can_sign_and_a_changed_file_is_found(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without()
    secret, public = keys(tmp_path)
    out = tmp_path / "dist"
    run = ("run", TINY, "--only", "Q4_0", "--out", out, "--sign-key", secret)

    assert typed(*run, home=home).code == 0

    file = out / "tiny-llama" / "tiny-llama-Q4_0.gguf"
    good = typed("verify-provenance", file, "--key", public)
    assert good.code == 0, good.all
    copy = tmp_path / file.name
    for name in out.glob("tiny-llama/*Q4_0*"):
        shutil.copyfile(name, tmp_path / name.name)
    data = bytearray(copy.read_bytes())
    data[-1] ^= 1
    copy.write_bytes(data)
    assert typed("verify-provenance", copy, "--key", public).code == 1
    _, stranger = keys(tmp_path, "stranger")
    assert typed("verify-provenance", file, "--key", stranger).code == 1


def test_a_signature_stays_while_it_holds(without: Callable[..., Path], tmp_path: Path) -> None:
    home = without()
    secret, public = keys(tmp_path)
    run = ("run", TINY, "--only", "Q4_0", "--out", tmp_path / "dist")
    assert typed(*run, "--sign-key", secret, home=home).code == 0
    file = tmp_path / "dist" / "tiny-llama" / "tiny-llama-Q4_0.gguf"

    assert typed(*run, home=home).code == 0
    assert typed("verify-provenance", file, "--key", public).code == 0

    plain = file.with_name(file.name + provenance_statement.SUFFIX)
    plain.write_text("another statement")
    assert typed(*run, home=home).code == 0
    assert typed("verify-provenance", file, "--key", public).code == 2
    assert typed("verify-provenance", file).code == 0


def test_a_key_that_cannot_sign_is_told_before_any_work(tmp_path: Path) -> None:
    _, public = keys(tmp_path)

    said = typed("run", TINY, "--out", tmp_path / "dist", "--sign-key", public)

    assert said.code == 2
    assert "no private key" in said.err
    assert not (tmp_path / "dist").exists()


def test_a_chimera_is_traced_to_base_and_delta_when_the_merge_is_gone(tmp_path: Path) -> None:
    home, out = tmp_path / "store", tmp_path / "dist"
    link(home, "llama.cpp")
    run = ("run", CHIMERA, "--only", "Q8_0", "--no-verify", "--out", out, "-t", "2")
    first = typed(*run, "--keep", "final", home=home)
    assert first.code == 0, first.all
    file = out / "tiny-chimera" / "tiny-chimera-Q8_0.gguf"
    told = statement(file)

    assert "merge" not in artifacts(home)
    assert typed(*run, home=home).code == 0
    assert statement(file) == told
    base, delta = MODELS / "llama", MODELS / "chimera" / "delta"
    for part, folder in (("base", base), ("delta", delta)):
        found = used(told, part)
        assert found == {name: file_sha256(folder / name) for name in found}
        assert any(name.endswith((".safetensors", ".bin")) for name in found)
    steps = told["predicate"]["buildDefinition"]["internalParameters"]["steps"]
    assert [step["kind"] for step in steps] == ["merge", "convert", "quantize"]
    assert all(step["outputs"] for step in steps)


# -- bytes stay clean ------------------------------------------------------------------------

SECRETS = ("zqhomezq", "zqstorezq", "zqdistzq", "zquserzq", "zqhostzq")


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders, user and host with names that nothing else has."""
    home, store, out = (tmp_path / name for name in SECRETS[:3])
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, SECRETS[3])
    monkeypatch.setenv("HOSTNAME", SECRETS[4])
    link(store, "llama.cpp")
    return store, out


def outputs(store: Path, out: Path) -> Iterator[Path]:
    """All that is published, and the files of all artifacts but tools."""
    yield from (path for path in out.rglob("*") if path.is_file())
    for kind, folders in artifacts(store).items():
        if kind not in ("build", "environment", "fetch"):
            for folder in folders:
                yield from (path for path in (folder / "files").rglob("*") if path.is_file())


def _leak(words: Iterable[str], path: Path) -> re.Match[bytes] | None:
    named = "|".join(re.escape(word) for word in words if len(word) > 3)
    return re.search(named.encode(), path.read_bytes())


def test_nothing_of_the_machine_is_in_any_output(marked: tuple[Path, Path]) -> None:
    store, out = marked
    names = ("--only", "IQ4_XS", "--only", "Q4_0")
    said = typed("run", TINY, *names, "--out", out, "-t", "2", home=store)
    assert said.code == 0, said.all

    words = [*SECRETS, str(ROOT), str(CACHE), str(MODELS), sys.prefix]
    words += [socket.gethostname()]
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    found = {
        f"{path.name}: {match.group().decode()}"
        for path in outputs(store, out)
        # A report says when speeds were measured, and on which machine's processor.
        for match in [_leak(words if path.stem == "report" else [*words, today], path)]
        if match is not None
    }
    assert found == set()
    kinds = {path.suffix for path in outputs(store, out)}
    assert {".gguf", ".json", ".md"} <= kinds


def test_other_threads_and_folders_give_the_same_provenance(
    finished: Finished, marked: tuple[Path, Path]
) -> None:
    store, out = marked
    run = ("run", TINY, "--only", "Q4_0", "--no-verify", "--out", out, "-t", "2")
    assert typed(*run, home=store).code == 0

    name = f"tiny-llama-Q4_0.gguf{provenance_statement.SUFFIX}"
    assert (out / "tiny-llama" / name).read_bytes() == (finished.out / name).read_bytes()


# -- a peer ----------------------------------------------------------------------------------


@pytest.mark.skipif(
    importlib.util.find_spec("ggufpacker") is None,
    reason="ggufpacker is not installed: pip install ggufpacker==0.4.2 (Python >= 3.11)",
)
@pytest.mark.parametrize("name", ["Q4_K_M", "IQ4_XS"])
def test_ggufpacker_attests_our_files(finished: Finished, tmp_path: Path, name: str) -> None:
    [full] = artifacts(finished.home)["convert"]
    [matrix] = artifacts(finished.home)["imatrix"]
    file, source = tmp_path / f"tiny-llama-{name}.gguf", tmp_path / "tiny-llama-F16.gguf"
    shutil.copyfile(finished.out / file.name, file)
    shutil.copyfile(full / "files" / "model.gguf", source)
    shutil.copyfile(matrix / "files" / "imatrix.gguf", tmp_path / "imatrix.gguf")
    program = [sys.executable, "-c", "import sys, ggufpacker.cli as c; sys.exit(c.main())"]
    quantizer = ["--llama-quantize", str(ready("llama.cpp")["build"] / "bin" / "llama-quantize")]
    used_matrix = ["--imatrix", str(tmp_path / "imatrix.gguf")] if name == "IQ4_XS" else []

    for words in (
        ["attest", str(file), "--source", str(source), *used_matrix],
        ["verify-attestation", f"{file}.derivation.json"],
    ):
        argv = [*program, *words, *quantizer]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
