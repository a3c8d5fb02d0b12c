"""Refusals: each has its own sentence, exit code and remedy."""

from __future__ import annotations

import errno
import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.base.errors import (
    EnvironmentProblem,
    Interrupted,
    OrchestrateError,
    UsageError,
)
from orchestrator.base.process import run_process
from orchestrator.sources import retry_after
from orchestrator.sources.hub import download
from orchestrator.sources.hub.read_errors import Where, translate
from tests.hub import Fault, Hub, Repo
from tests.support.hub_repositories import COMMIT, CONFIG, NAME, WEIGHTS, same


def refusal(server: Hub, name: str = NAME, path: str = CONFIG, revision: str = "main") -> str:
    with pytest.raises(OrchestrateError) as failure:
        download.fetch(name, download.resolve(name, revision), [path])
    assert "hf_secret" not in str(failure.value)
    assert failure.value.hint
    return str(failure.value)


def test_each_refusal_has_its_own_sentence(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["models"]["org/gated"] = replace(repo, gated=True)
    server.repos["models"]["org/private"] = replace(repo, private=True)
    told = {
        "401 private": refusal(server, "org/private"),
        "401 gated": refusal(server, "org/gated", WEIGHTS),
    }
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    told["403 gated"] = refusal(server, "org/gated", WEIGHTS)
    told["404 repository"] = refusal(server, "org/none")
    told["404 revision"] = refusal(server, revision="v9")
    told["file"] = refusal(server, path="confg.json")
    server.fault(CONFIG, Fault("status", status=404, code="EntryNotFound", method="*"))
    told["404 file"] = refusal(server)
    server.fault(WEIGHTS, Fault("status", status=401))
    told["401 token"] = refusal(server, path=WEIGHTS)
    server.fault(WEIGHTS, Fault("status", status=403))
    told["403"] = refusal(server, path=WEIGHTS)
    assert len(set(told.values())) == len(told)
    expected = {
        "401 private": ("org/private", "hf auth login", "HF_TOKEN"),
        "401 gated": ("no token was sent", f"{server.url}/org/gated", "hf auth login"),
        "403 gated": ("licence", f"Accept it at {server.url}/org/gated"),
        "404 repository": ("no model repository called org/none", "spelling"),
        "404 revision": ("no revision 'v9'", "commits/main"),
        "404 file": ("no file 'config.json'", COMMIT),
        "file": ("'confg.json'", "Did you mean 'config.json'?"),
        "401 token": ("refused the token", "make a new one"),
        "403": ("Your token may not read", "read access"),
    }
    for case, parts in expected.items():
        for part in parts:
            assert part in told[case], case


def test_a_granted_token_opens_a_gated_repository(
    server: Hub, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["models"]["org/gated"] = replace(
        repo, gated=True, granted=frozenset({"hf_granted"})
    )
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    assert same(download.fetch("org/gated", COMMIT, [WEIGHTS]), repo, WEIGHTS)


@pytest.mark.parametrize(("refused", "code"), [(401, 3), (403, 3), (429, 3), (500, 3), (404, 2)])
def test_exit_codes(server: Hub, pauses: list[float], refused: int, code: int) -> None:
    server.fault("api", Fault("status", status=refused, times=100, code="RepoNotFound"))
    with pytest.raises(OrchestrateError) as failure:
        download.listing(NAME, COMMIT)
    assert failure.value.exit_code == code


@pytest.mark.parametrize("target", ["api", WEIGHTS])
def test_too_many_requests_waits_as_told_and_goes_on(
    server: Hub, repo: Repo, pauses: list[float], target: str
) -> None:
    server.fault(target, Fault("status", status=429, headers={"Retry-After": "17"}))
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)
    assert pauses == [17.0]


def test_a_very_long_retry_after_is_cut(server: Hub, pauses: list[float]) -> None:
    server.fault("api", Fault("status", status=429, headers={"Retry-After": "86400"}))
    download.listing(NAME, COMMIT)
    assert pauses == [120.0]


@pytest.mark.parametrize("path", [WEIGHTS, CONFIG])
def test_a_server_that_stays_broken_is_given_up(
    server: Hub, pauses: list[float], path: str
) -> None:
    server.fault(path, Fault("status", status=500, times=100, method="*"))
    with pytest.raises(EnvironmentProblem, match="HTTP 500") as failure:
        download.fetch(NAME, COMMIT, [path])
    assert failure.value.exit_code == 3
    assert "HF_ENDPOINT" in failure.value.hint
    assert 0 < len(pauses) < 10


def test_a_long_wait_ends_with_ctrl_c(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.fault("api", Fault("status", times=9, status=429))

    def pressed(_headers: object) -> float:
        run_process.stop_all()
        return 100.0

    monkeypatch.setattr(retry_after, "asked", pressed)
    try:
        with pytest.raises(Interrupted):
            download.resolve(NAME, "main")
    finally:
        run_process.resume()
    assert len(server.asked("api")) == 1


def test_no_network_says_what_helps(
    server: Hub, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(EnvironmentProblem, match="cannot be reached") as failure:
        download.resolve(NAME, "main")
    assert failure.value.exit_code == 3
    assert "--offline" in failure.value.hint
    assert "HF_ENDPOINT" in failure.value.hint
    assert len(pauses) == 3


def test_an_answer_that_is_no_hubs_is_said_so(server: Hub) -> None:
    server.fault("api", Fault("status", status=200, body=b"<html>Log in</html>"))
    with pytest.raises(EnvironmentProblem, match="is not a Hub's answer"):
        download.listing(NAME, COMMIT)


def test_a_name_that_is_none_is_a_usage_error(server: Hub) -> None:
    with pytest.raises(UsageError, match="not a repository name"):
        download.resolve("a/b/c", "main")


def test_a_listing_with_a_path_outside_is_refused(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"id": NAME, "sha": COMMIT, "siblings": [{"rfilename": "../evil", "size": 1}]}
    monkeypatch.setattr(Repo, "info", lambda *_: info)
    with pytest.raises(EnvironmentProblem, match=r"'\.\./evil' is not a path inside a folder"):
        download.listing(NAME, COMMIT)


def test_a_full_disk_says_how_much_was_to_come(server: Hub, repo: Repo) -> None:
    code = f"""
import resource, sys
from orchestrator.base.errors import OrchestrateError
from orchestrator.sources.hub import download
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    download.fetch({NAME!r}, {COMMIT!r}, [{WEIGHTS!r}])
except OrchestrateError as error:
    print(error)
    sys.exit(error.exit_code)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert "The disk is full while org/tiny is fetched: 3.0" in done.stdout
    assert same(download.fetch(NAME, COMMIT, [WEIGHTS]), repo, WEIGHTS)


def test_a_cache_that_may_not_be_written_is_named() -> None:
    where = Where("http://hub", NAME, "dataset")
    error = translate(PermissionError(errno.EACCES, "Permission denied", "/cache/x"), where)
    assert error is not None
    assert "/cache/x may not be written" in error.message
    assert where.page == "http://hub/datasets/org/tiny"


def test_an_error_nobody_foresaw_stays_a_bug() -> None:
    assert translate(KeyError("x"), Where("http://hub", NAME)) is None


@pytest.mark.parametrize("name", ["TransportError", "OfflineModeIsEnabled", "HFValidationError"])
def test_an_error_of_others_with_a_known_name_stays_a_bug(name: str) -> None:
    error = type(name, (Exception,), {})()
    assert translate(error, Where("http://hub", NAME)) is None


def test_the_clients_own_offline_switch_is_explained(
    server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EnvironmentProblem, match="HF_HUB_OFFLINE forbids it"):
        download.listing(NAME, COMMIT)
