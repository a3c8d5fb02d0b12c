"""Locks: what they pin, that runs keep to them, and what is refused when something moved."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.base import installed_data
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.step_values import Outcome
from orchestrator.cli import cli
from orchestrator.planning import lockfile
from orchestrator.planning.lockfile import File
from orchestrator.runs import use_lockfile
from orchestrator.toolchain import load
from tests.hub import Hub
from tests.support.lockfiles import (
    COMMIT,
    HUB,
    LATER,
    LOCAL,
    NAME,
    called,
    folder_of_model,
    locked,
    planned,
    recipe_in,
    refusal,
    repo,
    session_in,
)


@pytest.fixture
def served(tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({NAME: repo(folder_of_model(tmp_path / "served"))}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("PIP_INDEX_URL", f"{hub.url}/no-index")
        yield hub


def test_the_lock_is_beside_its_recipe() -> None:
    assert lockfile.path_of(Path("recipes/llama-7b.yaml")) == Path("recipes/llama-7b.lock.yaml")
    assert lockfile.path_of(Path("v1.2.yml")) == Path("v1.2.lock.yaml")


def test_the_lock_of_an_installed_recipe_is_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "site-packages" / "_data"
    (data / "recipes" / "tiny").mkdir(parents=True)
    path = data / "recipes" / "tiny" / "llama.yaml"
    path.write_text("name: tiny-llama\n")
    monkeypatch.setattr(installed_data, "_IN_WHEEL", data)
    monkeypatch.setattr(installed_data, "RECIPES", data / "recipes")

    assert lockfile.path_of(path) == Path("tiny-llama.lock.yaml")
    assert lockfile.path_of(tmp_path / "llama.yaml") == tmp_path / "llama.lock.yaml"


def test_the_hubs_own_sizes_and_digests_are_pinned_and_no_weight_is_fetched(
    served: Hub, tmp_path: Path
) -> None:
    path = recipe_in(tmp_path, HUB)
    model = locked(path, tmp_path, offline=False).sources["model"]
    folder = tmp_path / "served"
    assert (model.repo, model.commit, model.reference) == (NAME, COMMIT, "main")
    weights = model.files["model.safetensors"]
    assert weights == File(size=4000, sha256=file_sha256(folder / "model.safetensors"))
    content = (folder / "config.json").read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert model.files["config.json"] == File(size=len(content), blob=blob)
    assert served.served("model.safetensors") == 0


def test_a_moving_reference_comes_from_the_lock_and_costs_no_request(
    served: Hub, tmp_path: Path
) -> None:
    path = recipe_in(tmp_path, HUB)
    unpinned = planned(path, session_in(tmp_path, offline=False))
    assert unpinned.sources.unpinned == {"model": "main"}
    locked(path, tmp_path, offline=False)
    served.repos["models"][NAME] = repo(tmp_path / "served", LATER)
    before = len(served.requests)
    made = planned(path, session_in(tmp_path, offline=False))
    assert made.sources.model is not None
    assert made.sources.model.identity["commit"] == COMMIT
    assert made.sources.unpinned == {}
    assert len(served.requests) == before
    assert [one.key for one in made.steps] == [one.key for one in unpinned.steps]


def test_a_new_lock_follows_the_branch(served: Hub, tmp_path: Path) -> None:
    path = recipe_in(tmp_path, HUB)
    locked(path, tmp_path, offline=False)
    served.repos["models"][NAME] = repo(tmp_path / "served", LATER)
    assert locked(path, tmp_path, offline=False).sources["model"].commit == LATER


def test_a_hub_that_lists_other_bytes_for_the_commit_is_not_believed(
    served: Hub, tmp_path: Path
) -> None:
    path = recipe_in(tmp_path, HUB)
    locked(path, tmp_path, offline=False)
    (tmp_path / "served" / "model.safetensors").write_bytes(bytes(3999) + b"x")
    session = session_in(tmp_path, offline=False)
    made = planned(path, session)
    [fetch] = [replace(step, after=()) for step in made.steps if step.kind == "fetch"]
    [result] = session.runner.run([fetch], [fetch.key])
    assert result.outcome is Outcome.FAILED
    assert isinstance(result.cause, StepError)
    assert "model.safetensors has the digest" in result.error
    assert "the lock says" in result.error


def test_local_files_are_pinned_with_sizes(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    found = locked(path, tmp_path)
    weights = tmp_path / "model" / "model.safetensors"
    assert found.sources["model"].files[weights.name] == File(
        size=4000, sha256=file_sha256(weights)
    )
    assert list(found.sources["perplexity"].files) == ["corpus.txt"]
    chain = load.load("llama.cpp")
    assert found.toolchain.commit == chain.source.commit
    assert found.toolchain.data == load.data_digest(chain)
    assert found.build.profile == "portable"
    assert "-DGGML_NATIVE=OFF" in found.build.options


def test_a_file_behind_an_address_has_its_servers_size_and_the_recipes_digest(
    served: Hub, tmp_path: Path
) -> None:
    recipe_in(tmp_path)
    url = f"{served.url}/{NAME}/resolve/main/model.safetensors"
    corpus = f"corpus: {{url: '{url}', sha256: {'ab' * 32}}}"
    path = recipe_in(tmp_path, LOCAL.replace("corpus: corpus.txt", corpus))
    pinned = locked(path, tmp_path, offline=False).sources["perplexity"].files
    assert pinned == {"model.safetensors": File(size=4000, sha256="ab" * 32)}
    pinned = locked(path, tmp_path).sources["perplexity"].files
    assert pinned == {"model.safetensors": File(sha256="ab" * 32)}


def test_the_same_recipe_gives_the_same_text_anywhere_at_any_time(tmp_path: Path) -> None:
    texts = set()
    for name in ("here", "and there"):
        place = tmp_path / name
        path = _recipe(place)
        locked(path, place)
        texts.add(lockfile.path_of(path).read_text("utf-8"))
    [text] = texts
    assert str(tmp_path) not in text
    assert not re.search(r"\d\d:\d\d|20\d\d-", text)


def _recipe(place: Path) -> Path:
    place.mkdir()
    return recipe_in(place)


def test_without_a_lock_everything_goes_and_with_one_an_unchanged_recipe(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    free = planned(path, session_in(tmp_path))
    locked(path, tmp_path)
    assert [one.key for one in planned(path, session_in(tmp_path)).steps] == [
        one.key for one in free.steps
    ]


def test_a_changed_recipe_is_refused_and_named(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    path.write_text(LOCAL.replace("Q4_0", "Q8_0"), encoding="utf-8")
    message = refusal(path, tmp_path)
    assert "x.lock.yaml" in message
    assert "the recipe has the digest" in message
    locked(path, tmp_path)
    assert planned(path, session_in(tmp_path)).outputs[0].name == "Q8_0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("write", "config.json of the model has SHA-256"),
        ("add", "tokenizer.json of the model is new"),
        ("remove", "tokenizer.model of the model is gone"),
        ("corpus", "corpus.txt of the perplexity has SHA-256"),
    ],
)
def test_a_local_file_that_moved_is_refused_and_named(
    change: str, words: str, tmp_path: Path
) -> None:
    path, model = recipe_in(tmp_path), tmp_path / "model"
    locked(path, tmp_path)
    if change == "write":
        (model / "config.json").write_text("{}")
    elif change == "add":
        (model / "tokenizer.json").write_text("{}")
    elif change == "remove":
        (model / "tokenizer.model").unlink()
    else:
        (tmp_path / "corpus.txt").write_text("Another text.")
    assert words in refusal(path, tmp_path)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("data", "the data of tool chain llama.cpp has the digest"),
        ("commit", "the tool chain is at commit"),
        ("name", "the tool chain is llama.cpp, not another"),
    ],
)
def test_tool_chain_data_that_moved_is_refused(field: str, words: str, tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    found = locked(path, tmp_path)
    value = {"data": "0" * 64, "commit": "0" * 40, "name": "another"}[field]
    tools = found.toolchain.model_copy(update={field: value})
    text = lockfile.text(found.model_copy(update={"toolchain": tools}), path.name)
    lockfile.path_of(path).write_text(text, encoding="utf-8")
    if field == "commit":  # a commit in the lock is the one that is used
        assert planned(path, session_in(tmp_path)).sources.commit == "0" * 40
        return
    assert words in refusal(path, tmp_path)


def test_a_lock_is_required_by_locked(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    done = CliRunner().invoke(cli, ["plan", "--locked", str(path)], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert "has no lock (x.lock.yaml)" in str(done.exception)
    locked(path, tmp_path)
    assert called("plan", "--locked", "--offline", str(path)) == 0


def test_a_build_profile_of_ones_own_is_refused_by_locked_alone(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    argv = ["plan", "--offline", "--profile", "native", str(path)]
    assert called(*argv) == 0
    done = CliRunner().invoke(cli, [*argv, "--locked"], standalone_mode=False)
    assert isinstance(done.exception, UsageError)
    assert "the build profile is native, not portable" in str(done.exception)


def test_update_lock_pins_what_is_there_now(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    (tmp_path / "corpus.txt").write_text("Another text.")
    refused = CliRunner().invoke(cli, ["plan", "--offline", str(path)], standalone_mode=False)
    assert isinstance(refused.exception, UsageError)
    assert called("plan", "--offline", "--update-lock", "--no-verify", str(path)) == 0
    found = use_lockfile.read(lockfile.path_of(path))
    assert found is not None
    pinned = found.sources["perplexity"].files["corpus.txt"]
    assert pinned.sha256 == file_sha256(tmp_path / "corpus.txt")


def test_a_run_of_one_file_without_measures_keeps_to_the_whole_lock(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    session = session_in(tmp_path)
    less = replace(session, choices=replace(session.choices, verify=False, only=("Q4_0",)))
    assert planned(path, less).sources.corpora == {}
