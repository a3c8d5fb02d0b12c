from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import Interrupted
from orchestrator.base.process import guard_program, run_process
from orchestrator.base.process.run_process import ToolError
from tests.support.child_processes import (
    FAMILY,
    PATIENCE,
    log_of,
    named_pipe,
    python,
    read_pids,
    run,
    wait_for_end,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


@pytest.fixture(autouse=True)
def _running_again() -> Iterator[None]:
    yield
    run_process.resume()


def test_timeout_stops_the_tree(tmp_path: Path) -> None:
    fifo = named_pipe(tmp_path)
    pids: list[int] = []
    reader = threading.Thread(target=lambda: pids.extend(read_pids(fifo, 3)))
    reader.start()
    with pytest.raises(ToolError, match=r"the sleeper was stopped: .* after 0\.5 s"):
        run(tmp_path, python(FAMILY, str(fifo)), timeout=0.5, what="the sleeper", check=False)
    reader.join()
    assert all(wait_for_end(pid) for pid in pids)


STUBBORN = """
import os, signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, _: os.write(1, signal.Signals(n).name.encode() + b"\\n"))
print("ready", flush=True)
while True: time.sleep(1000)
"""


def test_a_stubborn_tool_is_interrupted_then_terminated_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_process, "GRACE_SECONDS", 0.2)

    def on_text(text: str) -> None:
        if "ready" in text:
            run_process.stop_all()

    with pytest.raises(Interrupted):
        run(tmp_path, python(STUBBORN), on_text=on_text)
    assert "ready\nSIGINT\nSIGTERM\n\n# exit code -9," in log_of(tmp_path)


def test_every_further_stop_brings_the_next_signal_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_process, "GRACE_SECONDS", 1e6)  # nothing comes by waiting
    seen: list[str] = []
    late = threading.Event()

    def give_up() -> None:
        late.set()
        for _ in range(3):
            run_process.stop_all()

    watchdog = threading.Timer(PATIENCE, give_up)

    def on_text(text: str) -> None:
        seen.append(text)
        if "".join(seen) in ("ready\n", "ready\nSIGINT\n", "ready\nSIGINT\nSIGTERM\n"):
            run_process.stop_all()

    watchdog.start()
    with pytest.raises(Interrupted):
        run(tmp_path, python(STUBBORN), on_text=on_text)
    watchdog.cancel()
    assert not late.is_set()
    assert "".join(seen) == "ready\nSIGINT\nSIGTERM\n"


def test_after_stop_all_nothing_starts_until_resumed(tmp_path: Path) -> None:
    run_process.stop_all()
    with pytest.raises(Interrupted):
        run(tmp_path, python("open('started', 'w')"))
    with pytest.raises(Interrupted):
        run_process.check_stopped()
    assert list(tmp_path.iterdir()) == []
    run_process.resume()
    run(tmp_path, python("open('started', 'w')"))
    assert (tmp_path / "started").exists()


SLEEPER = """
import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY)
os.write(out, b"%d\\n" % os.getpid())
time.sleep(1000)
"""


def test_stop_all_reaches_trees_of_other_threads(tmp_path: Path) -> None:
    fifo = named_pipe(tmp_path)
    caught: list[BaseException] = []

    def work(name: str) -> None:
        try:
            run_process.run(python(SLEEPER, str(fifo)), cwd=tmp_path, log=tmp_path / name)
        except Interrupted as error:
            caught.append(error)

    keep_open = os.open(fifo, os.O_RDWR)
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    pids = read_pids(fifo, 2)
    run_process.stop_all()
    for thread in threads:
        thread.join()
    os.close(keep_open)
    assert len(caught) == 2
    assert all(wait_for_end(pid) for pid in pids)


def test_grandchildren_left_behind_are_killed(tmp_path: Path) -> None:
    code = """
import os, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    print(os.getpid(), flush=True)  # and keeps standard output open
    os.write(writer, b"x")
    time.sleep(1000)
os.read(reader, 1)
"""
    done = run(tmp_path, python(code))
    assert done.returncode == 0
    assert not Path(f"/proc/{int(done.stdout)}").exists()


# Runs a tool as the real orchestrator does, in a process that a test can kill.
ORCHESTRATOR = """
import sys
from pathlib import Path
from orchestrator.base.process import isolation, run_process as process
code, fifo, folder, isolated = sys.argv[1:]
view = isolation.Visible((), (Path(folder),)) if isolated else None
process.run([sys.executable, "-I", "-S", "-c", code, fifo],
            cwd=Path(folder), log=Path(folder) / "log", visible=view)
"""


def start_orchestrator(tmp_path: Path, fifo: Path, isolated: str = "") -> subprocess.Popen[bytes]:
    root = Path(run_process.__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, FAMILY, str(fifo), str(tmp_path), isolated],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def seen_from_here(pids: list[int], ancestor: int) -> list[int]:
    """The pids that processes with pids of a namespace of their own have outside of it."""
    found, names = children_of(ancestor), {}
    for pid in found:
        found += children_of(pid)
        status = Path(f"/proc/{pid}/status").read_text()
        names[int(status.partition("NSpid:")[2].splitlines()[0].split()[-1])] = pid
    return [names[pid] for pid in pids]


ISOLATED = pytest.mark.parametrize("isolated", ["", "isolated"])


@ISOLATED
def test_kill_9_of_the_orchestrator_leaves_no_process(tmp_path: Path, isolated: str) -> None:
    fifo = named_pipe(tmp_path)
    orchestrator = start_orchestrator(tmp_path, fifo, isolated)
    pids = seen_from_here(read_pids(fifo, 3), orchestrator.pid)
    pids += children_of(orchestrator.pid)  # the guard
    assert len(pids) == 4
    orchestrator.kill()
    orchestrator.wait()
    assert all(wait_for_end(pid) for pid in pids)


def test_kill_9_of_the_guard_kills_the_tool_and_fails_the_run(tmp_path: Path) -> None:
    fifo = named_pipe(tmp_path)
    caught: list[ToolError] = []

    def work() -> None:
        try:
            run(tmp_path, python(FAMILY, str(fifo)), what="the tool")
        except ToolError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    pids = read_pids(fifo, 3)
    (guard,) = {parent_of(pid) for pid in pids} - set(pids)
    in_group = [pid for pid in pids if os.getpgid(pid) != pid or os.getsid(pid) != pid]
    os.kill(guard, signal.SIGKILL)
    thread.join()
    ended = [wait_for_end(pid) for pid in in_group]
    for pid in set(pids) - set(in_group):  # it left group and session: nobody is told of it
        os.kill(pid, signal.SIGKILL)
    assert ended == [True, True]
    assert caught[0].message == "the tool failed: it was killed by SIGKILL"


@ISOLATED
def test_the_tool_dies_with_its_guard_even_when_nobody_can_help(
    tmp_path: Path, isolated: str
) -> None:
    fifo = named_pipe(tmp_path)
    orchestrator = start_orchestrator(tmp_path, fifo, isolated)
    pids = seen_from_here(read_pids(fifo, 3), orchestrator.pid)
    (guard,) = children_of(orchestrator.pid)
    (tool,) = {os.getpgid(pid) for pid in pids if os.getsid(pid) == guard}
    orchestrator.send_signal(signal.SIGSTOP)
    os.kill(guard, signal.SIGKILL)
    ended = wait_for_end(tool)
    orchestrator.kill()
    orchestrator.wait()
    if isolated:  # with the first process of a namespace all others end
        assert all(wait_for_end(pid) for pid in pids)
    for pid in set(pids) - {tool} if not isolated else ():  # no parent was left to end them
        os.kill(pid, signal.SIGKILL)
    assert ended


@ISOLATED
def test_ctrl_c_in_a_run_leaves_no_process(tmp_path: Path, isolated: str) -> None:
    fifo = named_pipe(tmp_path)
    orchestrator = start_orchestrator(tmp_path, fifo, isolated)
    pids = seen_from_here(read_pids(fifo, 3), orchestrator.pid)
    orchestrator.send_signal(signal.SIGINT)
    assert orchestrator.wait(PATIENCE) == -signal.SIGINT
    assert all(wait_for_end(pid) for pid in pids)


def test_the_guard_imports_only_what_is_cheap() -> None:
    source = Path(guard_program.__file__).read_text().partition("if __name__")[0]
    code = f"import sys; exec({source!r}); print(*sys.modules)"
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "select" in loaded
    assert not loaded & {"subprocess", "typing", "pathlib", "re", "json", "logging", "ctypes"}
