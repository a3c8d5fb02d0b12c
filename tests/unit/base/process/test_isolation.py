"""What a tool in namespaces of its own can reach, and what it still reaches without them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from orchestrator.base.process import isolation, run_process
from orchestrator.base.process.isolation import Visible
from tests.support.child_processes import log_of, python

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's"),
    pytest.mark.usefixtures("fresh_answer"),
]

SECRETS = (".ssh/id_ed25519", ".aws/credentials", ".netrc", ".cache/huggingface/token")

# What code of a stranger would try; prints what worked.
CANARY = """
import glob, json, os, socket, sys
home, port, outside = sys.argv[1], int(sys.argv[2]), sys.argv[3]
got = []
def attempt(name, deed):
    try:
        deed()
    except Exception:
        return
    got.append(name)
def connect():
    socket.create_connection(("127.0.0.1", port), timeout=5).close()
for name in sys.argv[4:]:
    attempt(name, lambda: open(os.path.join(home, name)).read())
    # The same through the eyes of a process outside, and past the covered working folder.
    attempt("other " + name, lambda: open(f"/proc/{outside}/root{home}/{name}").read())
    attempt("cwd " + name, lambda: open(os.path.relpath(os.path.join(home, name))).read())
attempt("network", connect)
attempt("signal", lambda: os.kill(int(outside), 0))
attempt("processes", lambda: open(f"/proc/{outside}/cmdline"))
attempt("list", lambda: os.listdir(home)[0])
print(json.dumps(got))
"""


@pytest.fixture
def fresh_answer() -> Iterator[None]:
    """Let the system be tried anew, and forget the answer afterwards."""
    isolation.obstacle.cache_clear()
    isolation.separates.cache_clear()
    yield
    isolation.obstacle.cache_clear()
    isolation.separates.cache_clear()


@pytest.fixture
def able() -> None:
    """Skip where the system lets nobody make namespaces."""
    if why := isolation.obstacle():
        pytest.skip(why)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with secrets, in which everything else lies, as ~/.cache does."""
    folder = tmp_path / "home"
    for name in SECRETS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("secret")
    (folder / ".cache" / "work").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def work(home: Path) -> Path:
    """The folder that a tool works in."""
    return home / ".cache" / "work"


def attempts(home: Path) -> set[str]:
    """What the canary gets when it may see its working folder."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = (str(home), str(port), str(os.getpid()), *SECRETS)
        # The home itself is no input, whatever says so.
        done = tool(home, CANARY, *arguments, visible=Visible((home,), (work(home),)))
    return set(json.loads(done))


def tool(home: Path, code: str, *arguments: str, visible: Visible) -> str:
    """What a few lines of Python print."""
    argv = python(dedent(code), *arguments)
    log = home.parent / "log"
    return run_process.run(argv, cwd=work(home), log=log, visible=visible).stdout


@pytest.mark.usefixtures("able")
def test_a_tool_reads_no_secret_and_reaches_no_server(home: Path) -> None:
    assert attempts(home) <= {"list"}
    assert "# without network and home folder" in log_of(home.parent)


def test_without_namespaces_it_reads_and_reaches_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(isolation.SWITCH, "off")

    assert isolation.obstacle() == "ORCHESTRATE_ISOLATION is off"
    assert {*SECRETS, "network", "list", "signal", "processes"} <= attempts(home)
    assert "without network" not in log_of(home.parent)


@pytest.mark.usefixtures("able")
def test_what_a_tool_works_on_is_there(home: Path) -> None:
    snapshot = home / ".cache" / "huggingface" / "hub" / "models--o--m" / "snapshots" / "1"
    blobs = snapshot.parents[1] / "blobs"
    inputs = home / ".cache" / "inputs"
    for folder in (snapshot, blobs, inputs):
        folder.mkdir(parents=True)
    (blobs / "b").write_text("weights")
    (snapshot / "model.bin").symlink_to("../../blobs/b")
    (inputs / "model.bin").symlink_to(snapshot / "model.bin")
    code = """
    import sys
    print(open(sys.argv[1]).read())
    open("made", "w").write("by the tool")
    for place in sys.argv[1:]:
        try:
            open(place, "a")
        except OSError as error:
            print(error.strerror)
    """
    # As rights would let it: only the view forbids that.
    assert stat.S_IMODE((blobs / "b").stat().st_mode) & stat.S_IWUSR
    read = (inputs, snapshot / "model.bin")

    said = tool(
        home,
        code,
        str(inputs / "model.bin"),
        str(inputs / "new"),
        visible=Visible(read, (work(home),)),
    )

    assert said.splitlines() == ["weights", *["Read-only file system"] * 2]
    assert (work(home) / "made").read_text() == "by the tool"


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize("linked", ["home", ".cache", "both"])
def test_links_to_and_in_the_home_lead_where_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: str
) -> None:
    real = tmp_path / "disk" / "me"
    home = tmp_path / "home" if linked != ".cache" else real
    real.mkdir(parents=True)
    if home != real:
        home.symlink_to(real)
    if linked == "home":
        (real / ".cache").mkdir()
    else:
        (tmp_path / "big").mkdir()
        (real / ".cache").symlink_to(tmp_path / "big")
    work(home).mkdir()
    (real / "secret").write_text("x")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(isolation, "PLACES", ())
    code = "import os, sys; open('made', 'w'); print(os.listdir(sys.argv[1]))"

    said = tool(home, code, str(home), visible=Visible((), (work(home),)))

    assert said == "['.cache']\n"
    assert (work(home) / "made").exists()


@pytest.mark.usefixtures("able")
def test_the_view_cannot_be_taken_away_again(home: Path) -> None:
    umount = shutil.which("umount")
    assert umount is not None
    code = "import subprocess, sys; print(subprocess.run(sys.argv[1:]).returncode != 0)"
    place = str(isolation._hidden(isolation._places())[0])

    assert tool(home, code, umount, place, visible=Visible((), (work(home),))) == "True\n"


@pytest.mark.usefixtures("able")
def test_where_proc_cannot_be_mounted_the_rest_is_cut_off(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = isolation.PROGRAM.read_text().replace('"none", "/proc"', '"none", "/no-such-place"')
    other = tmp_path / "view_program.py"
    other.write_text(text)
    monkeypatch.setattr(isolation, "PROGRAM", other)

    assert not isolation.separates()
    assert attempts(home) == {"list", "signal", "processes"}


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("raise SystemExit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os; os.abort()", 134),
    ],
)
def test_a_tool_ends_as_it_does_elsewhere(home: Path, code: str, ended: int) -> None:
    done = run_process.run(
        python(code),
        cwd=work(home),
        log=home.parent / "log",
        visible=Visible((), (work(home),)),
        check=False,
    )

    assert done.returncode % 256 in {ended, 384 - ended}  # a signal's number below zero


@pytest.mark.usefixtures("able")
def test_a_tool_that_is_interrupted_ends_by_itself(home: Path) -> None:
    code = """
    import signal, sys, time
    def tidy(*_):
        print("tidied up")
        sys.exit(7)
    signal.signal(signal.SIGINT, tidy)
    print("ready", flush=True)
    time.sleep(60)
    """
    stops: list[Callable[[], None]] = []

    done = run_process.run(
        python(dedent(code)),
        cwd=work(home),
        log=home.parent / "log",
        visible=Visible((), (work(home),)),
        check=False,
        on_start=stops.append,
        on_text=lambda text: stops[0]() if "ready" in text else None,
    )

    assert (done.returncode, done.stdout) == (7, "ready\ntidied up\n")


@pytest.mark.usefixtures("able")
def test_a_program_that_is_not_there_is_said_to_be_missing(home: Path) -> None:
    with pytest.raises(run_process.ToolError, match="cannot be started: no-such-tool: No such"):
        run_process.run(
            ["no-such-tool"], cwd=work(home), log=home.parent / "log", visible=Visible(())
        )


def test_where_it_is_forbidden_the_reason_is_known_and_tools_run(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "view_program.py"
    refusing.write_text(isolation.PROGRAM.read_text().replace("unshare(", "unshare(1 | "))
    monkeypatch.setattr(isolation, "PROGRAM", refusing)

    why = isolation.obstacle()

    assert why == "the system does not allow it (Invalid argument)"
    assert "network" in attempts(home)
