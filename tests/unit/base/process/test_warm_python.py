"""Calls in forks of one Python: each as if it had started anew, and none spoils the next."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from orchestrator.base.errors import Interrupted
from orchestrator.base.process import isolation, run_process, warm_python
from orchestrator.base.process.isolation import Visible
from orchestrator.base.process.run_process import Completed, ToolError
from orchestrator.base.process.warm_python import Warm
from tests.support.child_processes import PATIENCE, named_pipe

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks are Linux's"),
    pytest.mark.usefixtures("ended"),
]
BOTH = pytest.mark.parametrize("isolated", [True, False])


@pytest.fixture
def ended() -> Iterator[None]:
    yield
    warm_python.end_all()
    run_process.resume()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder in which calls have their folders; a script in ``data`` counts the imports."""
    (tmp_path / "data").mkdir()
    place = tmp_path / "place"
    place.mkdir()
    script = f"open({str(place / 'imports')!r}, 'a').write('x')\nimport fractions\n"
    (tmp_path / "data" / "imports.py").write_text(script)
    return place


def imports(place: Path) -> int:
    """How often the imports were done."""
    return len((place / "imports").read_text())


def warm_in(place: Path) -> Warm:
    data = place.parent / "data"
    environment = tuple(sorted(run_process.clean_env().items()))
    return Warm((str(data / "imports.py"),), environment, (data,), place)


def call(place: Path, name: str, code: str, *arguments: str, **options: object) -> Completed:
    """Run lines of Python as a call with a folder of its own."""
    isolated = bool(options.pop("isolated", True))
    folder = place / name
    folder.mkdir()
    (folder / "script.py").write_text(dedent(code))
    env = run_process.clean_env({"TMPDIR": str(folder)})
    return run_process.run(
        [sys.executable, str(folder / "script.py"), *arguments],
        cwd=folder,
        log=place.parent / f"{name}.log",
        env=env,
        visible=Visible((), (folder,)) if isolated else None,
        warm=warm_in(place),
        **options,  # type: ignore[arg-type]
    )


@BOTH
def test_many_calls_import_once_and_each_has_surroundings_of_its_own(
    place: Path, isolated: bool
) -> None:
    code = """
    import os, sys, tempfile
    print("fractions" in sys.modules, os.getcwd(), tempfile.gettempdir(), sys.argv, __name__)
    print(sys.path[0], *sorted(os.environ))
    print("warning", file=sys.stderr)
    """
    for number in range(20):
        done = call(place, f"call {number}", code, "a b", isolated=isolated)

        folder = place / f"call {number}"
        script = str(folder / "script.py")
        said, variables = done.stdout.splitlines()
        assert said == f"True {folder} {folder} {[script, 'a b']} __main__"
        assert variables.startswith(f"{folder} ")
        assert "warning" in done.text
        assert "HF_HOME" not in done.text
        assert done.peak_memory > 1 << 20
        log = (place.parent / f"call {number}.log").read_text()
        assert log.startswith(f"$ {sys.executable} ")
        assert "# exit code 0" in log
    assert imports(place) == 1


def guard() -> int:
    """The pid of the guard of the one warm Python that runs."""
    [one] = warm_python._pythons._ready.values()
    assert one is not None
    return one.tree._guard.pid


BAD = {
    "exception": ("raise ValueError('bad model')", "exit code 1", "ValueError: bad model"),
    "exit": ("import sys; sys.exit(3)", "exit code 3", ""),
    "words": ("import sys; sys.exit('no such thing')", "exit code 1", "no such thing"),
    "at once": ("import os; os._exit(4)", "exit code 4", ""),
    "fault": ("import ctypes; ctypes.string_at(0)", "it was killed by SIGSEGV", ""),
    "killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL", ""),
    "memory": (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))\n"
        "x = bytearray(1 << 29)",
        "exit code 1",
        "MemoryError",
    ),
    "syntax": ("this is no Python", "exit code 1", "SyntaxError"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_call_fails_alone(place: Path, bad: tuple[str, str, str]) -> None:
    code, how, said = bad
    call(place, "before", "print('good')")
    with pytest.raises(ToolError, match=how) as caught:
        # The first process of a namespace cannot kill itself.
        call(place, "bad", code, isolated=how != "SIGKILL")
    assert said in caught.value.tail
    assert call(place, "after", "print('good')").stdout == "good\n"
    assert imports(place) == 1


@BOTH
def test_an_endless_call_is_stopped_with_all_that_it_started(place: Path, isolated: bool) -> None:
    code = """
    import os, signal, sys, time
    if os.fork() == 0:
        os.setsid()
    print(os.getpid(), flush=True)
    while True:
        time.sleep(1000)
    """
    with pytest.raises(ToolError, match="had not ended after"):
        call(place, "endless", code, timeout=1, isolated=isolated)
    assert call(place, "after", "print('good')").stdout == "good\n"
    assert imports(place) == 1


def test_calls_run_side_by_side(place: Path) -> None:
    pipes = [place / "to 0", place / "to 1"]
    for pipe in pipes:
        os.mkfifo(pipe)
    # Each waits for the other's word: one after the other they would never end.
    code = """
    import sys
    first = sys.argv[1] == "0"
    if first:
        open(sys.argv[3], "w").write("x")
    open(sys.argv[2]).read()
    if not first:
        open(sys.argv[3], "w").write("x")
    """

    def work(own: int) -> None:
        both = (str(pipes[own]), str(pipes[1 - own]))
        call(place, f"call {own}", code, str(own), *both, isolated=False)

    threads = [threading.Thread(target=work, args=(own,)) for own in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    assert imports(place) == 1


def test_a_call_holds_no_handle_of_the_others(place: Path) -> None:
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    assert call(place, "call", code).stdout == "[0, 1, 2]\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a secret, as no tool sees it."""
    if why := isolation.obstacle():
        pytest.skip(why)
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "token").write_text("secret")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def test_a_call_sees_its_own_files_alone_and_no_network(place: Path, home: Path) -> None:
    call(place, "other", "open('secret', 'w').write('of another call')")
    code = """
    import ctypes, json, os, socket, sys
    home, port, outside, folder = sys.argv[1:]
    got = []
    def attempt(name, deed):
        try:
            deed()
        except OSError:
            return
        got.append(name)
    def undo():
        if ctypes.CDLL(None).umount2(home.encode(), 2):
            raise OSError
    def connect():
        socket.create_connection(("127.0.0.1", int(port)), timeout=5)
    attempt("own", lambda: open("here", "w").close())
    attempt("undo", undo)
    attempt("home", lambda: open(home + "/token").read())
    attempt("past", lambda: open(f"/proc/{outside}/root{home}/token").read())
    attempt("other", lambda: open("../other/secret").read())
    attempt("beside", lambda: open("../imports").read())
    attempt("kill", lambda: os.kill(int(outside), 0))
    attempt("network", connect)
    print(json.dumps(got), os.getuid(), os.getpid())
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = call(place, "call", code, str(home), port, str(os.getpid()), str(place))
    got, user, pid = done.stdout.rsplit(" ", 2)
    assert json.loads(got) == ["own"]
    assert int(user) == os.getuid()
    assert int(pid) == 1 or not isolation.separates()


def test_a_call_that_reads_what_its_python_does_not_see_starts_anew(
    place: Path, home: Path
) -> None:
    (home / "model").mkdir()
    (home / "model" / "weights").write_text("here")
    folder = place / "far"
    folder.mkdir()
    (folder / "script.py").write_text("import sys; print(open(sys.argv[1]).read())")
    read = home / "model" / "weights"
    done = run_process.run(
        [sys.executable, str(folder / "script.py"), str(read)],
        cwd=folder,
        log=place.parent / "far.log",
        visible=Visible((read.parent,), (folder,)),
        warm=warm_in(place),
    )
    assert done.stdout.strip() == "here"


def test_the_imports_see_no_home(place: Path, home: Path) -> None:
    (place.parent / "data" / "imports.py").write_text(
        f"import os\nfound = os.path.exists({str(home / 'token')!r})\n"
        f"open({str(place / 'imports')!r}, 'w').write(f'{{found}} ' + os.environ['HOME'])\n"
    )
    call(place, "call", "")
    assert (place / "imports").read_text() == f"False {warm_python.HOME}"


@pytest.mark.parametrize("fault", ["raise ImportError", "import os; os._exit(1)", "syntax error"])
def test_where_the_imports_fail_a_call_starts_anew(place: Path, fault: str) -> None:
    (place.parent / "data" / "imports.py").write_text(fault)
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    assert call(place, "call", code).stdout == "[0, 1, 2]\n"


def test_a_warm_python_that_was_killed_is_replaced(place: Path) -> None:
    call(place, "before", "", isolated=False)
    [one] = warm_python._pythons._ready.values()
    os.kill(guard(), signal.SIGKILL)
    assert one is not None
    assert one.channel.recv(1) == b""
    assert call(place, "at once", "print('good')").stdout == "good\n"
    assert call(place, "after", "print('good')").stdout == "good\n"
    assert imports(place) == 2


def test_a_call_whose_python_is_killed_fails_as_one_that_is_killed(place: Path) -> None:
    call(place, "before", "", isolated=False)
    code = "import time; print('on', flush=True); time.sleep(1000)"
    with pytest.raises(ToolError, match="it was killed by SIGKILL"):
        call(place, "call", code, on_text=lambda _: os.kill(guard(), signal.SIGKILL))


def test_stop_all_ends_calls_and_the_wait_for_imports(place: Path) -> None:
    (place.parent / "data" / "imports.py").write_text("import time\ntime.sleep(1000)\n")
    threading.Timer(0.5, run_process.stop_all).start()
    with pytest.raises(Interrupted):
        call(place, "call", "")
    assert warm_python._pythons._ready == {}


# An orchestrator that a test can kill.
ORCHESTRATOR = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit.base.process.test_warm_python import FAMILY, call
call(Path(sys.argv[2]), "call", FAMILY, sys.argv[3], isolated=False)
"""
FAMILY = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY)
os.fork()
os.write(out, b"on\\n")
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_with_the_orchestrator_all_of_it_ends(place: Path, number: signal.Signals) -> None:
    fifo = named_pipe(place)
    script = place.parent / "data" / "imports.py"
    script.write_text(f"import os\nout = os.open({str(fifo)!r}, os.O_WRONLY)\n")
    root = str(Path(run_process.__file__).parents[3])
    argv = [sys.executable, "-c", ORCHESTRATOR, root, str(place), str(fifo)]
    orchestrator = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": root})
    with fifo.open() as lines:  # the warm Python, its call and that one's child hold it open
        assert [lines.readline() for _ in range(2)] == ["on\n", "on\n"]
        orchestrator.send_signal(number)
        orchestrator.wait()
        assert lines.read() == ""
