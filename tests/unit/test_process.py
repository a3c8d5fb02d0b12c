from __future__ import annotations

import os
import pickle
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import _guard, disk, process
from orchestrator.disk import DiskFull
from orchestrator.errors import EnvironmentProblem, Interrupted, StepError
from orchestrator.process import Completed, ToolError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")

PATIENCE = 30.0  # seconds until a test that waits for an event gives up


@pytest.fixture(autouse=True)
def _running_again() -> Iterator[None]:
    yield
    process.resume()


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code, *arguments]


def run(tmp_path: Path, argv: list[str], **options: object) -> Completed:
    return process.run(argv, cwd=tmp_path, log=tmp_path / "log", **options)  # type: ignore[arg-type]


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "log").read_text()


def wait_for_end(pid: int) -> bool:
    """Wait until a process that need not be a child has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)


def read_pids(fifo: Path, count: int) -> list[int]:
    """Read the pids that processes write to a named pipe, one a line."""
    pids: list[int] = []
    with fifo.open() as lines:
        while len(pids) < count and (line := lines.readline()):
            pids.append(int(line))
    assert len(pids) == count
    return pids


def named_pipe(tmp_path: Path) -> Path:
    fifo = tmp_path / "pids"
    os.mkfifo(fifo)
    return fifo


# A tool with a child in its group and a grandchild that fled into a session of its own;
# all three write their pids and then sleep for ever.
FAMILY = """
import os, signal, sys, time
out = os.open(sys.argv[1], os.O_WRONLY)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
os.write(out, b"%d\\n" % os.getpid())
os.close(out)
while True:
    time.sleep(1000)
"""


def test_result_and_log_of_a_good_run(tmp_path: Path) -> None:
    code = "import sys; print('to out'); print('to err', file=sys.stderr)"
    done = run(tmp_path, python(code))
    assert done.argv == tuple(python(code))
    assert done.returncode == 0
    assert done.stdout == "to out\n"
    assert sorted(done.tail.splitlines()) == ["to err", "to out"]
    assert done.seconds > 0
    assert log_of(tmp_path).startswith(f"$ {shlex.join(python(code))}\n# in {tmp_path}\n")
    assert "\nto out\n" in log_of(tmp_path)
    assert "# exit code 0, " in log_of(tmp_path)


def test_peak_memory_is_that_of_the_largest_process(tmp_path: Path) -> None:
    grown = "x = bytearray(64 << 20); x[::4096] = b'1' * len(x[::4096])"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-ISc', {grown!r}])"
    assert run(tmp_path, python("pass")).peak_memory < 48 << 20
    assert 64 << 20 <= run(tmp_path, python(code)).peak_memory < 128 << 20


def test_there_is_no_shell_and_no_input(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:], sys.stdin.read())"
    done = run(tmp_path, python(code, "$HOME; `id` *", ""))
    assert done.stdout == "['$HOME; `id` *', ''] \n"


def test_working_folder_and_paths_as_arguments(tmp_path: Path) -> None:
    code = "import os, sys; print(os.getcwd(), sys.argv[1])"
    done = process.run(
        [*python(code), tmp_path / "a b"], cwd=tmp_path, log=tmp_path / "sub" / "dir" / "log"
    )
    assert done.stdout.split(" ", 1) == [str(tmp_path.resolve()), f"{tmp_path / 'a b'}\n"]
    assert "a b'" in (tmp_path / "sub" / "dir" / "log").read_text()


def test_the_tool_holds_no_handle_but_the_three(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        code = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"
        listing = 3  # listdir's own
        expected = ["0", "1", "2", str(listing)]
        assert run(tmp_path, python(code)).stdout == f"{expected}\n"


def test_the_tool_gets_default_signal_dispositions(tmp_path: Path) -> None:
    code = (
        "import signal as s; print([s.getsignal(n).name for n in (s.SIGTERM, s.SIGHUP)],"
        "s.pthread_sigmask(s.SIG_BLOCK, []))"
    )
    assert run(tmp_path, python(code)).stdout == "['SIG_DFL', 'SIG_DFL'] set()\n"
    # Python sets SIGPIPE for itself, so another program must tell: yes ends by it.
    done = run(tmp_path, ["sh", "-c", "yes | head -c 10; trap '' USR1; kill -PIPE $$"], check=False)
    assert done.returncode == -signal.SIGPIPE


def test_both_streams_flooded_at_once(tmp_path: Path) -> None:
    code = """
import os, threading
def flood(handle, byte):
    for _ in range(200):
        os.write(handle, byte * 9999 + b"\\n")
threads = [threading.Thread(target=flood, args=a) for a in ((1, b"o"), (2, b"e"))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    done = run(tmp_path, python(code))
    assert len(done.stdout) == 200 * 10_000
    assert set(done.stdout) == {"o", "\n"}
    assert log_of(tmp_path).count("e") > 200 * 9_999


def test_only_the_end_of_a_huge_output_is_kept(tmp_path: Path) -> None:
    code = "import os; [os.write(1, b'a' * 2**16) for _ in range(160)]; os.write(1, b'the end')"
    done = run(tmp_path, python(code))
    assert len(done.stdout) == process.KEPT_BYTES
    assert done.stdout.endswith("a" * 99 + "the end")
    assert len(done.tail) <= process.TAIL_LINE_CHARACTERS
    assert (tmp_path / "log").stat().st_size > 160 * 2**16


def test_tail_shows_what_a_terminal_would_show(tmp_path: Path) -> None:
    code = "for i in range(60): print(f'  1%\\r 50%\\rline {i}\\r')"
    tail = run(tmp_path, python(code)).tail.splitlines()
    assert tail == [f"line {i}" for i in range(20, 60)]


def test_text_arrives_while_the_tool_runs(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    seen: list[str] = []

    def on_text(text: str) -> None:
        seen.append(text)
        if "".join(seen) == "wait":
            fifo.write_text("go")

    code = "import sys; print('wait', end='', flush=True); print(open(sys.argv[1]).read())"
    run(tmp_path, python(code, str(fifo)), on_text=on_text, timeout=PATIENCE)
    assert "".join(seen) == "waitgo\n"


def test_text_is_decoded_over_chunk_borders_and_errors_are_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    seen: list[str] = []

    def on_text(text: str) -> None:
        seen.append(text)
        if text == "a":
            fifo.write_text("go")

    code = """
import os, sys
os.write(1, b"a\\xc3")
open(sys.argv[1]).read()
os.write(1, b"\\xa9\\xff!")
"""
    done = run(tmp_path, python(code, str(fifo)), on_text=on_text, timeout=PATIENCE)
    assert "".join(seen) == done.stdout == "aé\ufffd!"


def test_a_broken_listener_breaks_nothing(tmp_path: Path) -> None:
    calls: list[str] = []

    def on_text(text: str) -> None:
        calls.append(text)
        raise RuntimeError("listener trouble")

    code = "import os; [os.write(1, b'x' * 70000) for _ in range(9)]"
    assert len(run(tmp_path, python(code), on_text=on_text).stdout) == 9 * 70000
    assert len(calls) == 1
    assert "listener trouble" in log_of(tmp_path)


def test_a_failure_names_the_tool_the_code_and_the_log(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        run(tmp_path, python("print('so it was'); raise SystemExit(3)"), what="the quantizer")
    error = caught.value
    assert isinstance(error, StepError)
    assert error.message == "the quantizer failed: exit code 3"
    assert str(tmp_path / "log") in error.hint
    assert error.tail == "so it was"
    assert error.log == tmp_path / "log"
    again = pickle.loads(pickle.dumps(error))
    assert (again.message, again.hint, again.tail, again.log) == (
        error.message,
        error.hint,
        error.tail,
        error.log,
    )


def test_without_check_the_code_is_returned(tmp_path: Path) -> None:
    assert run(tmp_path, python("raise SystemExit(7)"), check=False).returncode == 7


@pytest.mark.parametrize(
    ("number", "hint"),
    [(signal.SIGILL, "default build profile"), (signal.SIGKILL, "memory"), (signal.SIGSEGV, "log")],
)
def test_death_by_signal_is_explained(tmp_path: Path, number: signal.Signals, hint: str) -> None:
    code = f"import os; os.kill(os.getpid(), {int(number)})"
    with pytest.raises(ToolError, match=f"killed by {number.name}") as caught:
        run(tmp_path, python(code))
    assert hint in caught.value.hint


def test_a_shells_report_of_a_signal_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"exit code 132, which stands for SIGILL") as caught:
        run(tmp_path, ["sh", "-c", "sh -c 'kill -ILL $$'; exit $?"])
    assert "default build profile" in caught.value.hint


def test_a_compiler_killed_for_memory_is_explained(tmp_path: Path) -> None:
    words = "g++: fatal error: Killed signal terminated program cc1plus"
    with pytest.raises(ToolError, match="exit code 1") as caught:
        run(tmp_path, python(f"print({words!r}); raise SystemExit(1)"))
    assert "memory" in caught.value.hint


def test_what_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be started: no-such-program: No such file"):
        run(tmp_path, ["no-such-program"], check=False)
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(ToolError, match=r"cannot be started: .*Exec format error"):
        run(tmp_path, [str(tmp_path / "text")])
    with pytest.raises(ToolError, match=r"cannot be started: .*Argument list too long"):
        run(tmp_path, python("pass", "x" * (4 << 20)))


def test_programs_are_found_on_the_given_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "special-tool").symlink_to(sys.executable)
    env = process.clean_env({"PATH": str(tmp_path / "bin")})
    run(tmp_path, ["special-tool", "-I", "-S", "-c", "pass"], env=env)


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
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)

    def on_text(text: str) -> None:
        if "ready" in text:
            process.stop_all()

    with pytest.raises(Interrupted):
        run(tmp_path, python(STUBBORN), on_text=on_text)
    assert "ready\nSIGINT\nSIGTERM\n\n# exit code -9," in log_of(tmp_path)


def test_every_further_stop_brings_the_next_signal_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 1e6)  # nothing comes by waiting
    seen: list[str] = []
    late = threading.Event()

    def give_up() -> None:
        late.set()
        for _ in range(3):
            process.stop_all()

    watchdog = threading.Timer(PATIENCE, give_up)

    def on_text(text: str) -> None:
        seen.append(text)
        if "".join(seen) in ("ready\n", "ready\nSIGINT\n", "ready\nSIGINT\nSIGTERM\n"):
            process.stop_all()

    watchdog.start()
    with pytest.raises(Interrupted):
        run(tmp_path, python(STUBBORN), on_text=on_text)
    watchdog.cancel()
    assert not late.is_set()
    assert "".join(seen) == "ready\nSIGINT\nSIGTERM\n"


def test_after_stop_all_nothing_starts_until_resumed(tmp_path: Path) -> None:
    process.stop_all()
    with pytest.raises(Interrupted):
        run(tmp_path, python("open('started', 'w')"))
    with pytest.raises(Interrupted):
        process.check_stopped()
    assert list(tmp_path.iterdir()) == []
    process.resume()
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
            process.run(python(SLEEPER, str(fifo)), cwd=tmp_path, log=tmp_path / name)
        except Interrupted as error:
            caught.append(error)

    keep_open = os.open(fifo, os.O_RDWR)
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    pids = read_pids(fifo, 2)
    process.stop_all()
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


def test_a_tool_that_closes_its_output_lives_on(tmp_path: Path) -> None:
    code = """
import os
os.close(1), os.close(2)
open("done", "w").close()
"""
    assert run(tmp_path, python(code)).returncode == 0
    assert (tmp_path / "done").exists()


# Runs a tool as the real orchestrator does, in a process that a test can kill.
ORCHESTRATOR = """
import sys
from pathlib import Path
from orchestrator import process
code, fifo, folder = sys.argv[1:]
process.run([sys.executable, "-I", "-S", "-c", code, fifo],
            cwd=Path(folder), log=Path(folder) / "log")
"""


def start_orchestrator(tmp_path: Path, fifo: Path) -> subprocess.Popen[bytes]:
    root = Path(process.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, FAMILY, str(fifo), str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_kill_9_of_the_orchestrator_leaves_no_process(tmp_path: Path) -> None:
    fifo = named_pipe(tmp_path)
    orchestrator = start_orchestrator(tmp_path, fifo)
    pids = read_pids(fifo, 3)
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


def test_ctrl_c_in_a_run_leaves_no_process(tmp_path: Path) -> None:
    fifo = named_pipe(tmp_path)
    orchestrator = start_orchestrator(tmp_path, fifo)
    pids = read_pids(fifo, 3)
    orchestrator.send_signal(signal.SIGINT)
    assert orchestrator.wait(PATIENCE) == -signal.SIGINT
    assert all(wait_for_end(pid) for pid in pids)


def limited(tmp_path: Path, size: int, argv: list[str]) -> list[str]:
    code = (
        f"import os, resource as r, sys; r.setrlimit(r.RLIMIT_FSIZE, ({size}, {size}));"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return python(code, *argv)


@pytest.mark.parametrize("ignored", [True, False])
def test_a_file_size_limit_is_a_full_disk(tmp_path: Path, ignored: bool) -> None:
    # Ignoring SIGXFSZ makes write fail with EFBIG, the default disposition kills.
    trap = "trap '' XFSZ; " if ignored else ""
    argv = limited(tmp_path, 1024, ["sh", "-c", f"{trap}dd if=/dev/zero of=big bs=4096 count=1"])
    with pytest.raises(DiskFull) as caught:
        run(tmp_path, argv, what="the quantizer", needed_bytes=3 << 30)
    assert isinstance(caught.value, EnvironmentProblem)
    assert caught.value.message.startswith(f"the quantizer failed: the disk is full at {tmp_path}")
    assert "(3.0 GiB needed, " in caught.value.message
    assert "--keep final" in caught.value.hint
    assert "ORCHESTRATE_HOME" in caught.value.hint


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_the_words_for_a_full_disk_are_known(tmp_path: Path, words: str) -> None:
    with pytest.raises(DiskFull) as caught:
        run(tmp_path, python(f"raise SystemExit({'write: ' + words!r})"))
    assert caught.value.tail == f"write: {words}"


def test_a_failure_with_too_little_space_left_is_a_full_disk(tmp_path: Path) -> None:
    code = "raise SystemExit('basic_ios::clear: iostream error')"
    free = disk.free_bytes(tmp_path)
    with pytest.raises(DiskFull):
        run(tmp_path, python(code), needed_bytes=free * 2)
    with pytest.raises(ToolError):
        run(tmp_path, python(code), needed_bytes=1)


def test_a_log_that_cannot_grow_is_a_full_disk_and_stops_the_tool(tmp_path: Path) -> None:
    code = """
import os, resource, sys, time
from pathlib import Path
from orchestrator import process, disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
tool = "import os, time; os.write(1, b'%d ' % os.getpid() + b'x' * 9999); time.sleep(1000)"
try:
    process.run([sys.executable, "-ISc", tool], cwd=Path("."), log=Path("log"))
except disk.DiskFull as error:
    print(error.message)
"""
    root = Path(process.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(root)}
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, env=env, stdout=subprocess.PIPE, check=True)
    assert b"the disk is full at log" in done.stdout
    pid = log_of(tmp_path).partition("\n\n")[0].splitlines()[-1].split()[0]
    assert wait_for_end(int(pid))


SECRETS = {
    "HF_TOKEN": "hf_s3cr3tvalue1",
    "HUGGING_FACE_HUB_TOKEN": "hf_s3cr3tvalue2",
    "AWS_SECRET_ACCESS_KEY": "s3cr3tvalue3",
    "PGPASSWORD": "s3cr3tvalue4",
    "OPENAI_API_KEY": "s3cr3tvalue5",
    "MY_KEY_FILE": "s3cr3tvalue6",
    "ghtoken": "s3cr3tvalue7",
}


def test_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {
        "SSL_CERT_FILE": "c", "PIP_INDEX_URL": "u", "GIT_SSL_CAINFO": "g", "https_proxy": "p",
        "REQUESTS_CA_BUNDLE": "r", "CC": "gcc", "CXX": "g++", "OMP_NUM_THREADS": "1",
        "TMPDIR": "/t", "TOKENIZERS_PARALLELISM": "false", "GIT_CONFIG_KEY_0": "k",
        "GIT_CONFIG_COUNT": "1", "LC_ALL": "C",
    }  # fmt: skip
    leaking = ("PYTHONPATH", "PYTHONHOME", "CFLAGS", "LLAMA_ARG_CTX_SIZE", "GIT_DIR", "MAKEFLAGS")
    for name, value in {**kept, **SECRETS, **dict.fromkeys(leaking, "x")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    env = process.clean_env({"LLAMA_CPP_LIB_PATH": "lib", "HF_HUB_OFFLINE": "1"})
    assert kept.items() <= env.items()
    assert env["PATH"] == os.environ["PATH"]
    assert not (set(SECRETS) | set(leaking)) & set(env)
    assert (env["LLAMA_CPP_LIB_PATH"], env["HF_HUB_OFFLINE"]) == ("lib", "1")
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert process.clean_env()["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize("locale", [{}, {"LC_CTYPE": "C"}, {"LC_ALL": "C"}, {"LANG": "C.UTF-8"}])
def test_the_tool_gets_exactly_the_given_environment(
    tmp_path: Path, locale: dict[str, str]
) -> None:
    # Python itself adds LC_CTYPE to its environment in the C locale (PEP 538).
    env = {"A": "1", "PATH": os.environ["PATH"], **locale}
    done = run(tmp_path, ["env"], env=env)
    assert sorted(done.stdout.splitlines()) == sorted(f"{name}={env[name]}" for name in env)


def test_no_secret_reaches_tool_or_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    code = "import os; print(sorted(os.environ.items()))"
    env = process.clean_env({"GIVEN_TOKEN": "s3cr3tvalue8", "URL": "https://me:s3cr3tvalue9@host/"})
    done = run(tmp_path, python(code))
    assert "s3cr3t" not in done.stdout
    run(tmp_path, python("pass", SECRETS["HF_TOKEN"], "--x=s3cr3tvalue8"), env=env)
    log = log_of(tmp_path)
    assert "s3cr3t" not in log
    assert "# without HF_TOKEN\n" in log
    assert "# GIVEN_TOKEN=(not shown)" in log
    assert "# URL=https://(not shown)@host/\n" in log


def test_changed_variables_are_logged(tmp_path: Path) -> None:
    run(tmp_path, python("pass"), env=process.clean_env({"HF_HUB_OFFLINE": "1 2"}))
    assert "# HF_HUB_OFFLINE='1 2'\n" in log_of(tmp_path)
    assert "# PATH=" not in log_of(tmp_path)


def test_the_guard_imports_only_what_is_cheap() -> None:
    source = Path(_guard.__file__).read_text().partition("if __name__")[0]
    code = f"import sys; exec({source!r}); print(*sys.modules)"
    done = subprocess.run(python(code), capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "select" in loaded
    assert not loaded & {"subprocess", "typing", "pathlib", "re", "json", "logging", "ctypes"}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert disk.human(count) == text


def test_free_space_of_a_path_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert disk.free_bytes(tmp_path / "no" / "such" / "path") > 0
    assert not disk.is_short(tmp_path / "no", 0)


def test_unrelated_errors_are_not_called_full_disks(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk.translated(tmp_path):
        raise PermissionError(13, "denied")
