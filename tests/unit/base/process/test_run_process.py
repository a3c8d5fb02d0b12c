from __future__ import annotations

import os
import pickle
import shlex
import signal
import sys
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.process import run_process
from orchestrator.base.process.run_process import ToolError
from tests.support.child_processes import PATIENCE, log_of, python, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


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
    done = run_process.run(
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
    assert len(done.stdout) == run_process.KEPT_BYTES
    assert done.stdout.endswith("a" * 99 + "the end")
    assert len(done.tail) <= run_process.TAIL_LINE_CHARACTERS
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
    env = run_process.clean_env({"PATH": str(tmp_path / "bin")})
    run(tmp_path, ["special-tool", "-I", "-S", "-c", "pass"], env=env)


def test_a_tool_that_closes_its_output_lives_on(tmp_path: Path) -> None:
    code = """
import os
os.close(1), os.close(2)
open("done", "w").close()
"""
    assert run(tmp_path, python(code)).returncode == 0
    assert (tmp_path / "done").exists()
