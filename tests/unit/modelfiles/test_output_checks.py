"""What a tool has written is sound and hashed, whether it was watched meanwhile or not."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import output_checks, tensor_values
from orchestrator.modelfiles.format_error import FormatError
from tests.support.model_files import GGUFSpec, Tensor, gguf_header
from tests.support.tasks import a_task

ROWS = 512
NAN = b"\x01\x7e"


@pytest.fixture(autouse=True)
def _early_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_checks, "_FIRST_LOOK", 16)


def model() -> bytes:
    """A GGUF file with two sound matrices."""
    tensors = [Tensor("a.weight", (256, ROWS), "F16"), Tensor("b.weight", (256, ROWS), "F16")]
    values = np.random.default_rng(1).standard_normal(2 * 256 * ROWS).astype(np.float16)
    return gguf_header(GGUFSpec({}, tensors)) + values.tobytes()


def watched(folder: Path, data: bytes, rewritten: bytes | None = None) -> dict[str, JSON]:
    """What is found of a file that is written from front to back, and then maybe once more."""
    path = folder / "x.gguf"
    with output_checks.watched(path) as seen:
        with path.open("wb", buffering=0) as file:
            for at in range(0, len(data), 10_000):
                file.write(data[at : at + 10_000])
        if rewritten is not None:
            path.write_bytes(rewritten)
    return seen.facts(a_task(folder))


def sha256(data: bytes) -> dict[str, str]:
    return {"x.gguf": hashlib.sha256(data).hexdigest()}


def test_a_sound_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: object) -> None:
        raise AssertionError("it was read again")

    monkeypatch.setattr(output_checks, "file_sha256", again)
    monkeypatch.setattr(tensor_values, "expect_sound", again)

    assert watched(tmp_path, model()) == {"digests": sha256(model())}


def test_a_file_that_is_rewritten_has_the_digest_of_what_it_holds(tmp_path: Path) -> None:
    other = bytearray(model())
    other[-1] ^= 1

    assert watched(tmp_path, model(), bytes(other)) == {"digests": sha256(bytes(other))}


@pytest.mark.parametrize("rewritten", [False, True])
def test_damage_in_a_watched_file_is_found(tmp_path: Path, rewritten: bool) -> None:
    damaged = model()[:-2] + NAN

    with pytest.raises(StepError, match=r"b\.weight holds 1 NaN value"):
        watched(tmp_path, model() if rewritten else damaged, damaged if rewritten else None)


@pytest.mark.parametrize("left", [100_000, 5])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, left: int) -> None:
    with pytest.raises(FormatError):
        watched(tmp_path, model()[:left])


def test_a_sound_file_that_is_cut_short_at_last_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        watched(tmp_path, model(), model()[:-100])


def test_a_finished_file_is_looked_at_and_hashed(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(model())

    assert output_checks.facts(a_task(tmp_path), tmp_path / "x.gguf") == {
        "digests": sha256(model())
    }


def test_damage_in_a_finished_file_ends_its_hashing(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(model()[:-2] + NAN)

    with pytest.raises(StepError, match="1 NaN value"):
        output_checks.facts(a_task(tmp_path), path)


def test_a_file_that_cannot_be_hashed_fails_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> str:
        raise OSError(os.strerror(5))

    monkeypatch.setattr(output_checks, "file_sha256", fails)
    (tmp_path / "x.gguf").write_bytes(model())

    with pytest.raises(OSError, match=os.strerror(5)):
        output_checks.facts(a_task(tmp_path), tmp_path / "x.gguf")
