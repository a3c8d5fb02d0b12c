"""Publishing what the real tools made: splitting, provenance, and the card's own commands."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.modelfiles.comparing.comparison import Verdict
from orchestrator.toolchain import call_verb
from tests.hub import Hub
from tests.hub.written import TOKEN
from tests.support.typed_commands import RECIPES, TINY, typed
from tests.support.warm_store import Finished, link, ready

Q8 = "tiny-llama-2.1M-Q8_0"
PARTS = [f"{Q8}/{Q8}-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
REQUANT = RECIPES / "smollm2-135m-requant.yaml"
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
    assert f"[{PARTS[0]}]({PARTS[0]}) and 2 more" in card
    again = publish(mine, "--to", f"dir:{out}", "--max-file", "2MB")
    assert again.splitlines()[-1] == f"Everything was there already: {out}"
    whole = publish(mine, "--to", f"dir:{out}")
    assert "removed 3 files" in whole
    assert (out / "tiny-llama-2.1M-Q8_0.gguf").is_file()
    assert not (out / Q8).exists()


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


def blocks(card: str, language: str) -> list[str]:
    """The blocks of code of a card in one language."""
    return re.findall(rf"```{language}\n(.*?)```", card, re.DOTALL)


def test_every_line_of_the_card_that_needs_no_other_program_works_for_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text that it was measured on stays with the publisher, and so does the store."""
    store = tmp_path / "store"
    link(store, "llama.cpp")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "words.txt").write_bytes((RECIPES / "tiny/corpus/perplexity.txt").read_bytes())
    perplexity = {"corpus": "words.txt", "chunks": 2, "context": 128}
    fields: dict[str, object] = {"extends": str(REQUANT), "name": "mine", "quantize": ["Q8_0"]}
    fields |= {"verify": {"perplexity": perplexity, "speed": None, "sha256": None}}
    recipe = mine / "mine.yaml"
    recipe.write_text(yaml.safe_dump(fields), "utf-8")
    said = typed("run", recipe, "--out", mine / "dist", home=store)
    assert said.code == 0, said.all
    place = tmp_path / "theirs" / "files"
    said = typed("publish", recipe, "--out", mine / "dist", "--to", f"dir:{place}", home=store)
    assert said.code == 0, said.all
    mine.rename(tmp_path / "gone")

    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(tmp_path / "empty"))
    card = (place / "README.md").read_text("utf-8")
    [check] = [one for one in blocks(card, "sh") if "SHA256SUMS" in one]
    lines = check.splitlines()
    assert [line.split()[0] for line in lines] == ["sha256sum", "orchestrate", "orchestrate"]
    subprocess.run(shlex.split(lines[0]), check=True, capture_output=True)
    fresh = tmp_path / "fresh"
    link(fresh, "llama.cpp")
    for line in lines[1:]:
        said = typed(*shlex.split(line)[1:], home=fresh)
        assert said.code == 0, said.all
    assert said.out.splitlines()[-1].endswith(", identical")
    assert "not, or no longer" not in said.out
    [code] = blocks(card, "python")
    ran = subprocess.run([*python(), "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "'role': 'assistant'" in ran.stdout


def python() -> list[str]:
    """The Python that has llama-cpp-python and the tool chain's library."""
    made = ready("llama.cpp")
    library = made["build"] / "bin"
    interpreter = call_verb.environment_python(made["environment"])
    return ["env", f"LLAMA_CPP_LIB_PATH={library}", str(interpreter)]
