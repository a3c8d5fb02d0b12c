"""Publications are signed as OpenSSF's model-signing checks it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying

from tests.support.publications import RecipeFolder
from tests.support.signing_keys import keys

PEM = serialization.Encoding.PEM


def curve_keys(folder: Path) -> tuple[Path, Path]:
    """A pair of keys of the curve P-256."""
    private = ec.generate_private_key(ec.SECP256R1())
    secret, public = folder / "ec.pem", folder / "ec.pub.pem"
    secret.write_bytes(
        private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        private.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return secret, public


def check(folder: Path, public: Path) -> None:
    """As ``model_signing verify key`` does it."""
    made: Any = verifying.Config
    config = made().use_elliptic_key_verifier(public_key=public)
    config.verify(folder, folder / "model.sig")


def test_the_whole_folder_is_signed_until_a_byte_changes(
    finished: RecipeFolder, tmp_path: Path
) -> None:
    secret, public = curve_keys(tmp_path)
    said = finished.publish("--to", "dir:out", "--sign-key", secret)
    assert said.code == 0, said.err
    out = finished.place / "out"
    check(out, public)
    assert "model_signing verify key ." in (out / "README.md").read_text()
    other = finished.command("verify-provenance", out / "small-2.1M-Q4_0.gguf", "--key", public)
    assert other.code == 0, other.err
    (out / "Modelfile").write_text("FROM ./other.gguf\n")
    with pytest.raises(ValueError, match="Modelfile"):
        check(out, public)


def test_a_key_that_it_does_not_take_is_told(finished: RecipeFolder, tmp_path: Path) -> None:
    secret, _ = keys(tmp_path)
    said = finished.publish("--to", "dir:out", "--sign-key", secret)
    assert said.code == 0, said.err
    assert "note: there is no model.sig" in said.out
    assert not (finished.place / "out" / "model.sig").exists()


def test_without_the_library_there_is_a_note(
    finished: RecipeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = curve_keys(tmp_path)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    said = finished.publish("--to", "dir:out", "--sign-key", secret)
    assert said.code == 0, said.err
    assert "pip install 'orchestrate-gguf[sign]'" in said.out
