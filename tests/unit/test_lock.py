"""Locks: what they pin, that runs keep to them, and what is refused when something moved."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import lock, locking, pinning, toolchain, workflow
from orchestrator.cli import cli
from orchestrator.digest import file_sha256
from orchestrator.errors import EXIT_USAGE, StepError, UsageError
from orchestrator.lock import File, Input, Lock
from orchestrator.records import Outcome
from tests.hub import Hub
from tests.unit.lock_work import (
    COMMIT,
    HUB,
    LATER,
    LOCAL,
    NAME,
    folder_of_model,
    install,
    planned,
    recipe_in,
    repo,
    session_in,
)


@pytest.fixture
def served(tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub({NAME: repo(folder_of_model(tmp_path / "served"))}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("PIP_INDEX_URL", f"{hub.url}/no-index")
        yield hub


def locked(path: Path, place: Path, *, offline: bool = True) -> Lock:
    """Lock a recipe; what was written."""
    said: list[str] = []
    pinning.write_locks(workflow.load([path]), session_in(place, offline=offline), said.append)
    found = lock.read(lock.path_of(path))
    assert found is not None
    return found


def refusal(path: Path, place: Path) -> str:
    with pytest.raises(UsageError) as caught:
        planned(path, session_in(place))
    assert caught.value.exit_code == EXIT_USAGE
    assert "--update-lock" in caught.value.hint
    return caught.value.message


def called(*argv: str) -> int:
    """The exit code of a command, as the console script would give it."""
    done = CliRunner().invoke(cli, argv, standalone_mode=False)
    assert done.exception is None, done.output
    return int(done.return_value)


def test_the_lock_is_beside_its_recipe() -> None:
    assert lock.path_of(Path("recipes/llama-7b.yaml")) == Path("recipes/llama-7b.lock.yaml")
    assert lock.path_of(Path("v1.2.yml")) == Path("v1.2.lock.yaml")


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
    chain = toolchain.load("llama.cpp")
    assert found.toolchain.commit == chain.source.commit
    assert found.toolchain.data == toolchain.data_digest(chain)
    assert found.build.profile == "portable"
    assert "-DGGML_NATIVE=OFF" in found.build.options


def test_the_same_recipe_gives_the_same_text_anywhere_at_any_time(tmp_path: Path) -> None:
    texts = set()
    for name in ("here", "and there"):
        place = tmp_path / name
        path = _recipe(place)
        locked(path, place)
        texts.add(lock.path_of(path).read_text("utf-8"))
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
    text = lock.text(found.model_copy(update={"toolchain": tools}), path.name)
    lock.path_of(path).write_text(text, encoding="utf-8")
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
    found = lock.read(lock.path_of(path))
    assert found is not None
    pinned = found.sources["perplexity"].files["corpus.txt"]
    assert pinned.sha256 == file_sha256(tmp_path / "corpus.txt")


def test_a_run_of_one_file_without_measures_keeps_to_the_whole_lock(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    session = session_in(tmp_path)
    less = replace(session, choices=replace(session.choices, verify=False, only=("Q4_0",)))
    assert planned(path, less).sources.corpora == {}


# -- packages --------------------------------------------------------------------------------


def test_without_the_environment_only_stated_packages_are_pinned_and_that_is_said(
    tmp_path: Path,
) -> None:
    path, said = recipe_in(tmp_path), list[str]()
    pinning.write_locks(workflow.load([path]), session_in(tmp_path), said.append)
    found = lock.read(lock.path_of(path))
    assert found is not None
    assert found.python is not None
    assert not found.python.complete
    assert "torch" in found.python.packages
    assert any("is not made yet" in text for text in said)


def test_all_installed_packages_are_pinned_and_installed_again(tmp_path: Path) -> None:
    path, session = recipe_in(tmp_path), session_in(tmp_path)
    install(session.store, "torch==2.13.0+cpu", "Jinja2==3.1.6")
    found = locked(path, tmp_path)
    assert found.python is not None
    assert found.python.complete
    assert {n: p.version for n, p in found.python.packages.items()} == {
        "torch": "2.13.0+cpu",
        "jinja2": "3.1.6",
    }
    [step] = [one for one in planned(path, session).steps if one.kind == "environment"]
    assert step.context["constraints"] == ["jinja2==3.1.6", "torch==2.13.0"]


def test_an_environment_with_other_packages_is_refused(tmp_path: Path) -> None:
    path, session = recipe_in(tmp_path), session_in(tmp_path)
    install(session.store, "torch==2.13.0+cpu", "jinja2==3.1.6")
    locked(path, tmp_path)
    install(session.store, "torch==2.13.0", "jinja2==3.1.7")
    message = refusal(path, tmp_path)
    assert "the package jinja2 is 3.1.7, not 3.1.6" in message
    assert "torch" not in message


class _Index(BaseHTTPRequestHandler):
    """A simple index that knows two releases of one package."""

    def do_GET(self) -> None:
        if not self.path.rstrip("/").endswith("numpy"):
            self.send_error(404)
            return
        files = [
            {
                "filename": f"numpy-{version}{suffix}",
                "url": f"numpy-{version}{suffix}",
                "hashes": {"sha256": hashlib.sha256((version + suffix).encode()).hexdigest()},
                "size": 7,
            }
            for version in ("2.2.5", "2.2.6")
            for suffix in (".tar.gz", "-cp311-cp311-manylinux2014_x86_64.whl")
        ]
        page = {"meta": {"api-version": "1.1"}, "name": "numpy", "files": files}
        body = json.dumps({**page, "versions": ["2.2.5", "2.2.6"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Index)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/simple"
    monkeypatch.setenv("PIP_INDEX_URL", url)
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_packages_have_the_digests_of_every_file_of_their_release(
    index: str, tmp_path: Path
) -> None:
    path = recipe_in(tmp_path)
    found = locked(path, tmp_path, offline=False)
    assert found.python is not None
    numpy = found.python.packages["numpy"]
    wanted = ["2.2.6.tar.gz", "2.2.6-cp311-cp311-manylinux2014_x86_64.whl"]
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in wanted}
    assert (numpy.version, set(numpy.sha256)) == ("2.2.6", digests)
    assert found.python.packages["torch"].sha256 == ()  # this index lacks it


def test_an_index_out_of_reach_costs_the_digests_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    path, said = recipe_in(tmp_path), list[str]()
    session = session_in(tmp_path, offline=False)
    pinning.write_locks(workflow.load([path]), session, said.append)
    assert any("without digests: the package index cannot be reached" in text for text in said)
    assert lock.read(lock.path_of(path)) is not None


# -- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["", "[]", "format: 2", "{", "format: 1\nrecipe: 3", "\x80", "a: &x [*x]"],
)
def test_a_damaged_lock_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.lock.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"x\.lock\.yaml cannot be used as a lock"):
        lock.read(path)


def test_no_lock_is_none(tmp_path: Path) -> None:
    assert lock.read(tmp_path / "x.lock.yaml") is None


def test_patterns_of_files_may_name_locks_too(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    assert called("check", str(path), str(lock.path_of(path))) == 0
    with pytest.raises(UsageError, match="is a lock"):
        locking.without_locks([lock.path_of(path)])


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
_FILES = st.builds(File, size=st.none() | st.integers(0, 2**60), sha256=_WORDS, blob=st.just(""))
_INPUTS = st.builds(
    Input,
    kind=st.sampled_from(["hub", "pypi", "path", "url"]),
    repo=_WORDS,
    commit=st.from_regex(r"[0-9]{40}|[0-9]{5}e[0-9]{4}", fullmatch=True),
    version=st.sampled_from(["", "1.0", "1e3", "2.10", "0x10", "yes", "null", "2026-01-01"]),
    files=st.dictionaries(_WORDS, _FILES, max_size=3),
)


@given(st.dictionaries(_WORDS, _INPUTS, max_size=3), _WORDS)
def test_what_is_written_is_what_is_read(sources: dict[str, Input], name: str) -> None:
    content = {
        "recipe": {"name": name, "digest": "1" * 64},
        "toolchain": {"name": "t", "commit": "1" * 40, "data": "2" * 64},
        "build": {"profile": "portable", "backend": "cpu", "system": ["linux", "x86_64"]},
    }
    one = Lock.model_validate({**content, "sources": sources})
    text = lock.text(one, "x.yaml")
    import yaml

    assert Lock.model_validate(yaml.safe_load(text)) == one
    assert lock.text(Lock.model_validate(yaml.safe_load(text)), "x.yaml") == text
