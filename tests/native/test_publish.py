"""Publishing what the real tools made: splitting, provenance, and the card's own commands."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.modelfiles.comparing.comparison import Verdict
from tests.hub import Hub
from tests.hub.written import TOKEN
from tests.support.typed_commands import TINY, typed
from tests.support.warm_store import Finished

PARTS = [f"tiny-llama-2.1M-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
NAME = "me/tiny-llama-GGUF"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({}, writable=tmp_path / "hub") as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield running


def publish(finished: Finished, *words: str | Path) -> str:
    said = typed(
        "publish", TINY, "--out", finished.out.parent, "-t", "1", *words, home=finished.home
    )
    assert said.code == 0, said.all
    return said.out


def test_what_the_recipe_made_is_published_whole_and_right(
    finished: Finished, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    publish(finished, "--to", f"dir:{out}")
    for line in (out / "SHA256SUMS").read_text("utf-8").splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    found = gguf.read(out / "tiny-llama-2.1M-Q4_K_M.gguf")
    assert found.metadata["general.size_label"] == "2.1M"
    assert gguf.read(out / "imatrix.gguf").metadata["general.type"] == "imatrix"
    said = typed("verify-provenance", out / "tiny-llama-2.1M-Q4_0.gguf", home=finished.home)
    assert said.code == 0, said.all


def test_a_large_file_is_split_and_is_the_same_in_parts(finished: Finished, tmp_path: Path) -> None:
    home, out = tmp_path / "store", tmp_path / "out"
    shutil.copytree(finished.home, home, symlinks=True)
    mine = Finished(home, finished.out, finished.said)
    look = publish(mine, "--to", f"dir:{out}", "--max-file", "2MB", "--dry-run")
    assert "split, send" in look
    said = publish(mine, "--to", f"dir:{out}", "--max-file", "2MB")
    assert [line.split()[0] for line in said.splitlines() if "Q8_0-0" in line] == PARTS
    assert all((out / part).stat().st_size <= 2_000_000 for part in PARTS)
    assert not (out / "tiny-llama-2.1M-Q8_0.gguf").exists()
    same = compare(finished.out / "tiny-llama-Q8_0.gguf", out / PARTS[0])
    assert (same.verdict, same.keys) == (Verdict.SAME_TENSORS, ())
    card = (out / "README.md").read_text("utf-8")
    assert f"[tiny-llama-2.1M-Q8_0-00001-of-00003.gguf]({PARTS[0]}) and 2 more" in card
    again = publish(mine, "--to", f"dir:{out}", "--max-file", "2MB")
    assert again.splitlines()[-1] == f"Everything was there already: {out}"
    whole = publish(mine, "--to", f"dir:{out}")
    assert "removed 3 files" in whole
    assert (out / "tiny-llama-2.1M-Q8_0.gguf").is_file()


def test_parts_that_are_too_small_are_refused_in_a_sentence(
    finished: Finished, tmp_path: Path
) -> None:
    words = ("--to", f"dir:{tmp_path / 'out'}", "--max-file", "500kB", "-t", "1")
    said = typed("publish", TINY, "--out", finished.out.parent, *words, home=finished.home)
    assert said.code == 2
    assert "parts of 500 kB are too small" in said.err
    assert not (tmp_path / "out").exists()


def test_it_goes_to_a_hub_and_is_fetched_from_there_as_it_was_made(
    finished: Finished, hub: Hub, tmp_path: Path
) -> None:
    publish(finished, "--to", f"hub:{NAME}")
    from huggingface_hub import hf_hub_download

    file = "tiny-llama-2.1M-IQ4_XS.gguf"
    got = hf_hub_download(NAME, file, endpoint=hub.url, cache_dir=tmp_path / "cache", token=TOKEN)
    sums = json.loads((finished.out / "report.json").read_text("utf-8"))["dist"]
    digest = hashlib.sha256(Path(got).read_bytes()).hexdigest()
    assert digest == sums["tiny-llama-IQ4_XS.gguf"]["sha256"]
    assert len(hub.written.commits[NAME]) == 2
