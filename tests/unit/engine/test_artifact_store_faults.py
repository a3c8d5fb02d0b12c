from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import Interrupted
from orchestrator.base.process import run_process
from orchestrator.engine.artifact_store import Store
from tests.support.stores import KEY, OTHER, a_step, left_in, open_store, put

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

PATIENCE = 30.0
ROOT = Path(__file__).parents[3]
HEAD = """
import os, signal, sys
from pathlib import Path
from orchestrator.base.process import run_process as process
from orchestrator.base.digest import file_sha256
from orchestrator.base.disk_space import DiskFull
from orchestrator.engine.artifact_store import Store
from tests.support.stores import KEY, OTHER, a_step, open_store, put
store = open_store(Path(sys.argv[1]))
"""


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, warnings: list[str]) -> Store:
    return Store(tmp_path / "store", warnings.append)


@contextlib.contextmanager
def other_process(store: Store, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run code on the same store in a process that is killed at the end, if it still runs."""
    child = subprocess.Popen(
        [sys.executable, "-c", HEAD + code, str(store.root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text + "\n")
    child.stdin.flush()


def outcome(child: subprocess.Popen[str]) -> str:
    output, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0
    return output.strip()


# Python reports nearly every change of the file system before it happens (PEP 578). The n-th
# child is killed at the n-th of these, until one comes through.
KILL_EVERYWHERE = """
def work(root):
    store = open_store(root)
    put(store, {"a": b"x" * 100, "sub/b": b"y"})
    assert store.find(KEY)
    put(store, {"a": b"z"}, hash_files=False)
    store.release(KEY)
    put(store, {"a": b"z"}, facts={"references": {"r": {**REFERENCE}}})
    store.gc(max_bytes=None)

work(store.root / "warm")  # so that nothing is imported later
count = 0
while True:
    child = os.fork()
    if child == 0:
        left = count
        def hook(event, _):
            global left
            if event == "open" or (event.startswith("os.") and event != "os.kill"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        work(store.root / str(count))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    count += 1
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
print(count)
"""


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: this test would wait for disks only."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def test_a_kill_at_any_instant_leaves_nothing_half_done(quick_folder: Path) -> None:
    store = open_store(quick_folder / "store")
    referred = quick_folder / "referred"
    referred.write_bytes(b"r")
    entry = {"path": str(referred), "size": 1, "sha256": file_sha256(referred)}
    with other_process(store, f"REFERENCE = {entry}\n{KILL_EVERYWHERE}") as child:
        count = int(outcome(child))
    assert count > 50
    for number in range(count):
        warned: list[str] = []
        killed = Store(store.root / str(number), warned.append)
        killed.find(KEY)
        assert [wrong for _, wrong in killed.verify()] in ([], [[]])
        put(killed, {"new": b"new"})
        assert left_in(killed, "staging") == []
        assert warned == []
        shutil.rmtree(killed.root)


def test_what_a_killed_process_left_goes_with_the_next_attempt(store: Store) -> None:
    code = """
with store.lock(KEY), store.stage(KEY) as stage:
    (stage.workdir / "half").write_text("x")
    print(stage.workdir, flush=True)
    sys.stdin.read()
"""
    with other_process(store, code) as child:
        workdir = Path(line_of(child))
        child.kill()
        child.wait()
    assert (workdir / "half").exists()
    assert store.find(KEY) is None
    put(store, {"f": b"x"})
    assert left_in(store, "staging") == []


BUILD = """
def on_wait(holder):
    print("waits for", holder, flush=True)

with store.lock(KEY, on_wait):
    if store.find(KEY):
        print("hit")
    else:
        with store.stage(KEY) as stage:
            (stage.workdir / "f").write_text("x")
            print("builds", flush=True)
            sys.stdin.readline()
            store.commit(stage, a_step(), {})
"""


def test_of_two_processes_one_builds_and_one_waits_and_hits(store: Store) -> None:
    with other_process(store, BUILD) as first:
        assert line_of(first) == "builds"
        with other_process(store, BUILD) as second:
            holder = line_of(second)
            assert holder.startswith(f"waits for process {first.pid} on ")
            say(first, "go on")
            assert outcome(first) == ""
            assert outcome(second) == "hit"


def test_when_the_builder_is_killed_the_waiting_one_takes_over(store: Store) -> None:
    with other_process(store, BUILD) as first:
        assert line_of(first) == "builds"
        with other_process(store, BUILD) as second:
            assert line_of(second).startswith("waits for process")
            first.kill()
            assert line_of(second) == "builds"
            assert len(left_in(store, "staging")) == 1  # its own, the other's is gone
            say(second, "go on")
            assert outcome(second) == ""
    assert store.find(KEY) is not None


def test_of_many_processes_exactly_one_builds(store: Store) -> None:
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(other_process(store, BUILD)) for _ in range(5)]
        for child in children:
            say(child, "go on")
        said = [outcome(child).splitlines()[-1] for child in children]
    assert sorted(said) == ["builds", "hit", "hit", "hit", "hit"]


def test_other_keys_do_not_wait(store: Store) -> None:
    with other_process(store, BUILD) as child:
        assert line_of(child) == "builds"
        put(store, {"f": b"x"}, OTHER)
    assert store.find(OTHER) is not None


def test_waiting_for_a_lock_ends_with_the_run(store: Store) -> None:
    waits = threading.Event()
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with store.lock(KEY, lambda _: waits.set()):
                pytest.fail("it got the lock")
        except Interrupted as error:
            caught.append(error)

    with store.lock(KEY):
        thread = threading.Thread(target=work)
        thread.start()
        assert waits.wait(PATIENCE)
        run_process.stop_all()
        thread.join(PATIENCE)
        run_process.resume()
    assert len(caught) == 1


def test_hashing_ends_with_the_run(store: Store) -> None:
    with store.lock(KEY), store.stage(KEY) as stage:
        (stage.workdir / "f").write_text("x")
        run_process.stop_all()
        try:
            with pytest.raises(Interrupted):
                store.commit(stage, a_step(), {})
        finally:
            run_process.resume()
    assert store.find(KEY) is None


def test_use_by_a_living_process_keeps_an_artifact_and_a_kill_ends_it(store: Store) -> None:
    put(store, {"f": b"x"})
    code = """
with store.hold([KEY]):
    print("holds", flush=True)
    sys.stdin.read()
"""
    with other_process(store, code) as child:
        assert line_of(child) == "holds"
        assert store.release(KEY) == 0
        assert store.gc(max_bytes=0) == []
        child.kill()
        child.wait()
        assert [each.key for each in store.gc(max_bytes=0)] == [KEY]


@pytest.mark.parametrize(
    "work",
    [
        "(stage.workdir / 'big').write_bytes(b'x' * 100_000)",
        "(stage.scratch / 'big').write_bytes(b'x' * 100_000)",
        "[(stage.workdir / str(n)).touch() for n in range(999)]; store.commit(stage, a_step(), {})",
        "[(stage.workdir / str(n)).touch() for n in range(2999)];"
        "store.commit(stage, a_step(), {}, hash_files=False)",
    ],
)
def test_a_file_size_limit_is_told_as_a_full_disk(store: Store, work: str) -> None:
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    with store.lock(KEY), store.stage(KEY, needed_bytes=3 << 30) as stage:
        {work}
except DiskFull as error:
    print(error.message)
"""
    with other_process(store, code) as child:
        message = outcome(child)
    assert f"the disk is full at {store.root}" in message
    assert " free)" in message
    assert left_in(store, "staging") == []
    assert store.find(KEY) is None
