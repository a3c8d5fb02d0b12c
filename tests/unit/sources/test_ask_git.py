"""The git program: what git sees, what is believed of its answers, and how it ends."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest
from git import Repo
from pydantic import ValidationError

from orchestrator.base.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.base.process import run_process
from orchestrator.base.process.run_process import Completed, ToolError
from orchestrator.sources.ask_git import ask, reason
from orchestrator.sources.git_messages import (
    Clone,
    Done,
    Fetch,
    Next,
    Reach,
    Resolve,
    Revision,
    Show,
    Shown,
)
from tests.support.child_processes import named_pipe, wait_for_end
from tests.support.shims import (
    OF_GIT,
    environment_of,
    first_on_path,
    passing_shim,
    secrets_seen,
    set_secrets,
    shim,
)
from tests.support.upstream_repositories import commits, url


@pytest.fixture
def launch(tmp_path: Path) -> partial[Completed]:
    return partial(run_process.run, log=tmp_path / "log")


def test_git_sees_its_own_credentials_and_no_other_secret(
    tmp_path: Path, upstream: Repo, monkeypatch: pytest.MonkeyPatch, launch: partial[Completed]
) -> None:
    first, _ = commits(upstream)
    address, clone = url(upstream), str(tmp_path / "clone")
    set_secrets(monkeypatch)
    passing_shim(tmp_path / "bin", "git")
    first_on_path(monkeypatch, tmp_path / "bin")

    ask(Reach(url=address), Done, launch, cwd=tmp_path)
    ask(Resolve(url=address, revision="main"), Revision, launch, cwd=tmp_path)
    fetch = Fetch(url=address, commit=first, folder=str(tmp_path / "tree"))
    assert ask(fetch, Revision, launch, cwd=tmp_path).commit == first
    ask(Clone(url=address, clone=clone), Done, launch, cwd=tmp_path)
    shown = ask(Show(clone=clone, name="main~1"), Shown, launch, cwd=tmp_path).commit

    assert shown is not None
    assert (shown.id, shown.subject) == (first, "first")
    assert secrets_seen(tmp_path / "bin", "git") == set(OF_GIT)
    assert environment_of(tmp_path / "bin", "git")["GIT_TERMINAL_PROMPT"] == "0"
    assert "canary" not in (tmp_path / "log").read_text("utf-8").replace("file:///canary", "")


@pytest.mark.parametrize("word", ["", "-x", "--upload-pack=touch x", "a\nb", "a\0b"])
def test_a_word_that_git_would_misread_is_no_request(word: str) -> None:
    with pytest.raises(ValidationError):
        Resolve(url="https://host/x", revision=word)
    with pytest.raises(ValidationError):
        Reach(url=word)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Revision, '{"commit": "main"}'),
        (Revision, '{"commit": "%s"}' % ("A" * 40)),
        (Revision, '{"commit": "%s", "more": 1}' % ("a" * 40)),
        (Revision, ""),
        (Next, "{}"),
        (Next, '{"commit": "%s", "left": -1}' % ("a" * 40)),
        (Shown, '{"commit": {"id": "../x", "subject": "", "author": "", "date": ""}}'),
    ],
)
def test_an_answer_of_another_shape_is_not_believed(
    tmp_path: Path, answer: type[Revision], said: str
) -> None:
    def launch(*_: object, **__: object) -> Completed:
        return Completed((), 0, 0.0, 0, f"words\n{said}\n", "", "")

    with pytest.raises(StepError, match="git reach gave an invalid answer"):
        ask(Reach(url="x"), answer, launch, cwd=tmp_path)


def test_a_failure_is_told_in_gits_words_without_passwords() -> None:
    words = "stderr: 'fatal: unable to access 'https://me:pw@host/x/': no route'"

    said = reason(ToolError("git reach failed", tail=f"warning: x\n{words}\n# exit code 1"))

    assert said == "fatal: unable to access 'https://(not shown)@host/x/': no route"
    assert reason(ToolError("git reach was stopped")) == "git reach was stopped"


def test_without_git_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch: partial[Completed]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvironmentProblem, match="git is not installed"):
        ask(Reach(url="x"), Done, launch, cwd=tmp_path)


def test_an_interruption_ends_git_and_its_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launch: partial[Completed]
) -> None:
    fifo = named_pipe(tmp_path)
    asked = f'echo $PPID > "{fifo}"; echo $$ > "{fifo}"; exec sleep 1000'
    version = '[ "$1" = version ] && echo git version 2.40.0 && exit'  # GitPython asks first
    shim(tmp_path / "bin", "git", f"{version}\n{asked}")
    first_on_path(monkeypatch, tmp_path / "bin")
    pids: list[int] = []

    def interrupt() -> None:
        with fifo.open() as lines:  # one writer after the other: keep the pipe open
            keep = os.open(fifo, os.O_WRONLY)
            pids.extend(int(lines.readline()) for _ in range(2))
            os.close(keep)
        run_process.stop_all()

    reader = threading.Thread(target=interrupt)
    reader.start()
    try:
        with pytest.raises(Interrupted):
            ask(Reach(url="x"), Done, launch, cwd=tmp_path)
    finally:
        reader.join()
        run_process.resume()

    assert all(wait_for_end(pid) for pid in pids)
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8")
