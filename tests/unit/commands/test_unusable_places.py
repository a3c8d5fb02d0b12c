"""Folders and addresses that cannot be used: one sentence, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE

COMMANDS = (
    ("run", str(RECIPE)),
    ("plan", str(RECIPE)),
    ("nightly", str(RECIPE)),
    ("toolchain", "build", "llama.cpp"),
    ("store", "ls"),
    ("store", "gc"),
    ("history",),
    ("doctor",),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("below", ["", "a/store"])
def test_a_store_that_is_no_folder_is_one_sentence(
    orchestrate: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    below: str,
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("ORCHESTRATE_HOME", str(file / below))

    said = orchestrate(*words)

    assert said.code == 3
    assert said.err == (
        f"error: the store in {file / below} cannot be used: {file} is a file\n"
        "  Set ORCHESTRATE_HOME to a folder of your own.\n"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loop", "{}/loop is a link to nothing"),
        ("lost/store", "{}/lost is a link to nothing"),
        ("a\nb", "its path holds characters that cannot be shown"),
        ("\x1b[31m", "its path holds characters that cannot be shown"),
        ("b\udcff", "its path holds characters that cannot be shown"),
    ],
)
def test_a_store_in_no_usable_place_is_one_sentence(
    orchestrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("nowhere")
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / name))

    found = orchestrate("run", RECIPE)

    assert found.code == 3
    first, _hint = found.err.splitlines()
    assert first.endswith(f" cannot be used: {said.format(tmp_path)}")
    assert first.isprintable()


@pytest.mark.parametrize("lacking", [os.R_OK, os.W_OK])
def test_a_store_without_rights_is_one_sentence(
    orchestrate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: int
) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("ORCHESTRATE_HOME", str(tmp_path / "store"))
    real = os.access

    def access(path: Path, rights: int) -> bool:
        return real(path, rights) and not (path == tmp_path / "store" and rights & lacking)

    monkeypatch.setattr(os, "access", access)

    said = orchestrate("run", RECIPE)

    what = "read" if lacking == os.R_OK else "written to"
    assert said.code == 3
    assert said.err.splitlines()[0].endswith(f"{tmp_path / 'store'} cannot be {what} by you")
    assert len(said.err.splitlines()) == 2


@pytest.mark.usefixtures("fakes")
def test_outputs_that_cannot_be_written_are_refused_before_any_work(
    orchestrate: Command, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()

    said = orchestrate("run", RECIPE, "--out", file / "dist")

    assert said.code == 3
    assert said.err == (
        f"error: {file / 'dist'} cannot be used: {file} is a file\n  Choose another --out.\n"
    )


@pytest.fixture
def of_the_hub(tmp_path: Path) -> Path:
    """A recipe whose model is on the Hub."""
    path = tmp_path / "r.yaml"
    path.write_text(
        "{name: x, family: llama, toolchain: {name: llama.cpp}, quantize: [Q8_0],"
        " model: {hub: org/small, revision: main}}"
    )
    return path


@pytest.mark.parametrize(
    "address",
    [
        *("notaurl", "http://", "https://a b", "ftp://hub.invalid"),
        *("http://hub.invalid:99999", "http://[::1", "http://a..b", f"http://{'x' * 400}.com"),
    ],
)
def test_an_address_of_the_hub_that_is_none_is_told(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch, of_the_hub: Path, address: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)

    said = orchestrate("plan", of_the_hub)

    assert said.code == 3
    assert "which is not the address of a server." in said.err
    assert "Give it one such as https://huggingface.co, or unset it." in said.err


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("HTTPS_PROXY", "http://name:hidden@[::1", "the proxy or the certificates"),
        ("HTTPS_PROXY", "odd://name:hidden@proxy", "the proxy or the certificates"),
        ("SSL_CERT_FILE", "/nonexistent", "the proxy or the certificates"),
        ("HF_TOKEN", "h\u00e9", "holds characters that no token has"),
    ],
)
def test_an_environment_with_which_no_hub_can_be_asked_is_told(
    orchestrate: Command,
    monkeypatch: pytest.MonkeyPatch,
    of_the_hub: Path,
    name: str,
    value: str,
    sentence: str,
) -> None:
    from huggingface_hub import close_session

    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    monkeypatch.setenv(name, value)
    close_session()

    said = orchestrate("plan", of_the_hub)

    assert (said.code, sentence in said.err) == (3, True), said.err
    assert "hidden" not in said.err
    close_session()


def test_offline_nobody_is_sent_to_look_after_the_network(
    orchestrate: Command,
) -> None:
    said = orchestrate("run", RECIPE, "--offline")

    assert said.code == 3
    assert "Run once without --offline." in said.err
    assert "network" not in said.err
