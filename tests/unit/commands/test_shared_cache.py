"""One machine makes and sends; others run the same recipe and make nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import JSON, Task
from orchestrator.engine.shared_cache.remote_folder import RemoteFolder
from tests.support import cache_servers
from tests.support.command_line import Command, Said, without_checksums
from tests.support.fake_steps import RECIPE, fake_kinds
from tests.support.shared_caches import change, flip, folder

KINDS = ("look", "build", "environment", "header", "census", "forecast", "convert", "imatrix")
WORKS = (*KINDS, "quantize", "logits", "measure")


def refused(task: Task) -> dict[str, JSON]:
    raise EnvironmentProblem(f"{task.step.label}: this machine can make nothing")


class Office:
    """A machine that makes and others that can make nothing, with one cache."""

    def __init__(self, orchestrate: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self._orchestrate, self._patch, self.url = orchestrate, monkeypatch, url
        fake_kinds(monkeypatch)
        self.remote(f"{url}#private")

    def remote(self, places: str) -> None:
        self._patch.setenv("ORCHESTRATE_REMOTE", places)

    def laptop(self, name: str = "laptop") -> None:
        """From here on everything happens on another machine, which has no tools."""
        self._patch.setenv("ORCHESTRATE_HOME", str(Path(name).absolute()))
        fake_kinds(self._patch, **dict.fromkeys(WORKS, refused))

    def __call__(self, *words: str | Path) -> Said:
        return self._orchestrate(*words)


@pytest.fixture
def office(orchestrate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Office:
    return Office(orchestrate, monkeypatch, f"file://{tmp_path}/cache")


def sums(out: str) -> str:
    return Path(out, "tiny-llama", "SHA256SUMS").read_text()


def report(out: str) -> dict[str, JSON]:
    told: dict[str, JSON] = json.loads(Path(out, "tiny-llama", "report.json").read_text())
    return told


def test_a_laptop_runs_a_recipe_and_makes_nothing(office: Office) -> None:
    assert office("run", RECIPE, "--no-limits", "--out", "here").code == 0
    office.laptop()

    said = office("run", RECIPE, "--no-limits", "--out", "there")

    assert said.code == 0, said
    assert "bring the result of 'quantize tiny-llama to Q4_0'" in said.err
    assert sums("there") == sums("here")
    here, there = (
        json.loads(Path(out, "tiny-llama/report.json").read_text()) for out in ("here", "there")
    )
    assert {**here, "steps": []} == {**there, "steps": []}
    labels = [[step["label"] for step in one["steps"]] for one in (here, there)]
    assert labels[0] == labels[1]
    again = office("run", RECIPE, "--no-limits", "--out", "there")
    assert "bring" not in again.err


def test_a_plan_says_what_is_in_the_cache(office: Office) -> None:
    office("run", RECIPE, "--no-limits")
    office.laptop()

    said = office("plan", RECIPE)

    assert said.code == 0, said
    assert "in the cache  quantize tiny-llama to Q4_0" in said.out
    assert "to do" not in said.out
    assert "4.84" in said.out  # what was predicted elsewhere
    [told] = json.loads(office("plan", RECIPE, "--json").out)
    cached = {step["label"] for step in told["steps"] if step["cached"]}
    assert "quantize tiny-llama to Q4_0" in cached
    assert "build llama.cpp 0c1e570" not in cached


def test_every_key_is_asked_for_once(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office("run", RECIPE, "--no-limits", "--only", "Q4_0")
    office.laptop()
    asked: list[str] = []
    read = RemoteFolder.read

    def noted(self: RemoteFolder, names: Sequence[str]) -> dict[str, bytes]:
        asked.extend(names)
        return read(self, names)

    monkeypatch.setattr(RemoteFolder, "read", noted)
    office("plan", RECIPE)

    assert asked
    assert len(asked) == len(set(asked))
    asked.clear()
    assert office("run", RECIPE, "--no-limits", "--only", "Q4_0").code == 0
    assert len(asked) == len(set(asked))
    asked.clear()
    assert office("run", RECIPE, "--no-limits", "--only", "Q4_0").code == 0
    assert not asked


def test_one_more_type_needs_the_converted_file_only(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office("run", RECIPE, "--no-limits", "--only", "Q8_0", "--no-verify")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(Path("laptop").absolute()))

    said = office("run", RECIPE, "--no-limits", "--only", "Q4_0", "--no-verify")

    assert said.code == 0, said
    assert "✓ bring the result of 'convert tiny-llama to F16'" in said.err
    assert "… convert tiny-llama" not in said.err
    assert "… fetch llama" not in said.err


def test_what_is_damaged_in_the_cache_is_made_here(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office("run", RECIPE, "--no-limits", "--out", "here")
    for one in folder(office.url).files("v1/blobs"):
        change(office.url, one.name, flip if one.size else lambda _: b"x")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(Path("laptop").absolute()))

    said = office("run", RECIPE, "--no-limits", "--out", "there")

    assert said.code == 0, said
    assert "has other content" in said.err
    assert "✓ quantize tiny-llama to Q4_0" in said.err
    assert sums("there").splitlines()[0] == sums("here").splitlines()[0]


def test_a_cache_that_is_silent_is_told_once_and_delays_little(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    with cache_servers.silent_server() as port:
        monkeypatch.setitem(fsspec.config.conf, "s3", cache_servers.s3_options(port))
        Path("remote.yaml").write_text(
            "places: [{url: 's3://cache/x'}]\npatience: 0.3\nfinish: 0.3\n"
        )
        office.remote(str(Path("remote.yaml").absolute()))
        said = office("run", RECIPE, "--no-limits")

    assert said.code == 0, said
    assert said.err.count("no answer within 0.3 s; it is not asked again") == 1


def test_what_was_sent_too_slowly_is_told_and_sent_by_hand(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("remote.yaml").write_text(f"places: [{{url: '{office.url}', private: true}}]\nfinish: 0\n")
    office.remote(str(Path("remote.yaml").absolute()))
    said = office("run", RECIPE, "--no-limits")
    assert said.code == 0

    office.remote(f"{office.url}#private")
    sent = office("store", "push", without_checksums())
    assert sent.code == 0, sent
    assert "in the cache" in sent.out
    office.laptop()
    assert office("store", "pull", without_checksums()).code == 0
    assert office("run", without_checksums(), "--no-limits").code == 0


@pytest.mark.parametrize(
    ("publish", "why"),
    [
        ("", "its licence is not stated"),
        ("publish: {license: llama2}\n", "it is Meta's"),
        ("publish: {license: mit, redistribute: false}\n", "'redistribute: false'"),
        ("publish: {license: mit}\n", ""),
        ("publish: {license: llama2, redistribute: true}\n", ""),
    ],
)
def test_what_may_not_be_passed_on_stays_and_that_is_told_once(
    office: Office, publish: str, why: str
) -> None:
    recipe = without_checksums()
    recipe.write_text(recipe.read_text() + publish)
    office.remote(office.url)

    said = office("run", recipe, "--no-limits", "--only", "Q4_0")

    assert said.code == 0, said
    assert said.err.count("mark it '#private'") == bool(why)
    assert why in said.err
    assert bool(folder(office.url).files("v1")) != bool(why)


def test_offline_only_disks_are_asked(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office("run", RECIPE, "--no-limits")
    office.laptop()
    office.remote(f"s3://cache/nowhere {office.url}#private")

    said = office("run", RECIPE, "--no-limits", "--offline")

    assert said.code == 0, said
    assert "warning" not in said.err


def test_reproducing_takes_nothing_from_the_cache(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office("run", RECIPE, "--no-limits")
    seen: list[str] = []
    from tests.support.fake_steps import written

    def noted(task: Task) -> dict[str, JSON]:
        seen.append(task.step.label)
        return written(task)

    fake_kinds(monkeypatch, convert=noted, quantize=noted)
    office("reproduce", without_checksums(), "--only", "Q4_0")

    assert "convert tiny-llama to F16" in seen


def test_measuring_again_is_not_answered_by_the_cache(office: Office) -> None:
    office("run", RECIPE, "--no-limits")

    said = office("run", RECIPE, "--no-limits", "--measure-again", "speed")

    assert said.code == 0, said
    assert "✓ measure tiny-llama Q4_0: speed" in said.err
    assert "bring" not in said.err


def test_the_caches_are_looked_after(office: Office) -> None:
    office("run", RECIPE, "--no-limits")
    sound = office("store", "remote", "verify", "--json")
    assert sound.code == 0, sound
    assert json.loads(sound.out)[0]["damaged"] == []

    [first, *_] = [one for one in folder(office.url).files("v1/blobs") if one.size > 5]
    change(office.url, first.name, flip)
    told = office("store", "remote", "verify")
    assert told.code == 1
    assert f"{first.name[-64:][:12]} is missing or changed" in told.out

    removed = office("store", "remote", "gc", "--max-size", "0")
    assert removed.code == 0, removed
    assert not folder(office.url).files("v1/blobs")


@pytest.mark.parametrize(
    "words", [("push", RECIPE), ("pull", RECIPE), ("remote", "verify"), ("remote", "gc")]
)
def test_without_a_cache_the_commands_say_how_to_name_one(
    office: Office, words: tuple[str | Path, ...]
) -> None:
    office.remote("")

    said = office("store", *words)

    assert said.code == 2
    assert "ORCHESTRATE_REMOTE=" in said.err


def test_nothing_is_sent_where_all_is_read_only(office: Office) -> None:
    office("run", RECIPE, "--no-limits")
    office.remote(f"{office.url}#read-only")

    assert office("store", "push", RECIPE).code == 2


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ("s3://", "no address of a cache"),
        ("bucket/prefix", "no address of a cache"),
        ("s3://b/p#secret", "is marked 'secret'"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_caches_that_cannot_be_are_refused(office: Office, stated: str, why: str) -> None:
    office.remote(stated)

    said = office("plan", RECIPE)

    assert said.code == 2
    assert why in said.err


def test_passwords_in_addresses_are_not_shown(office: Office) -> None:
    office.remote("ssh://me:pass-word@127.0.0.1:1/x")

    said = office("run", RECIPE, "--no-limits")

    assert said.code == 0, said
    assert "127.0.0.1" in said.err
    assert "pass-word" not in said.err + said.out
