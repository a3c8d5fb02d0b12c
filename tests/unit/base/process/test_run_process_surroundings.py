from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base import disk_space, machine_info
from orchestrator.base.disk_space import DiskFull
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.process import run_process
from orchestrator.base.process.run_process import ToolError
from tests.support.child_processes import log_of, python, run, wait_for_end

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


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
    assert "(3.22 GB needed, " in caught.value.message
    assert "--keep final" in caught.value.hint
    assert "ORCHESTRATE_HOME" in caught.value.hint


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
def test_the_words_for_a_full_disk_are_known(tmp_path: Path, words: str) -> None:
    with pytest.raises(DiskFull) as caught:
        run(tmp_path, python(f"raise SystemExit({'write: ' + words!r})"))
    assert caught.value.tail == f"write: {words}"


def test_a_failure_with_too_little_space_left_is_a_full_disk(tmp_path: Path) -> None:
    code = "raise SystemExit('basic_ios::clear: iostream error')"
    free = machine_info.disk_free(tmp_path)
    with pytest.raises(DiskFull):
        run(tmp_path, python(code), needed_bytes=free * 2)
    with pytest.raises(ToolError):
        run(tmp_path, python(code), needed_bytes=1)


def test_a_log_that_cannot_grow_is_a_full_disk_and_stops_the_tool(tmp_path: Path) -> None:
    code = """
import os, resource, sys, time
from pathlib import Path
from orchestrator.base import disk_space as disk
from orchestrator.base.process import run_process as process
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
tool = "import os, time; os.write(1, b'%d ' % os.getpid() + b'x' * 9999); time.sleep(1000)"
try:
    process.run([sys.executable, "-ISc", tool], cwd=Path("."), log=Path("log"))
except disk.DiskFull as error:
    print(error.message)
"""
    root = Path(run_process.__file__).parents[3]
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
    env = run_process.clean_env(
        {"GIVEN_TOKEN": "s3cr3tvalue8", "URL": "https://me:s3cr3tvalue9@host/"}
    )
    done = run(tmp_path, python(code))
    assert "s3cr3t" not in done.stdout
    run(tmp_path, python("pass", SECRETS["HF_TOKEN"], "--x=s3cr3tvalue8"), env=env)
    log = log_of(tmp_path)
    assert "s3cr3t" not in log
    [without] = [line for line in log.splitlines() if line.startswith("# without ")][-1:]
    assert "HF_TOKEN" in without
    assert "# GIVEN_TOKEN=(not shown)" in log
    assert "# URL=https://(not shown)@host/\n" in log


def test_changed_variables_are_logged(tmp_path: Path) -> None:
    run(tmp_path, python("pass"), env=run_process.clean_env({"HF_HUB_OFFLINE": "1 2"}))
    assert "# HF_HUB_OFFLINE='1 2'\n" in log_of(tmp_path)
    assert "# PATH=" not in log_of(tmp_path)


def test_free_space_of_a_path_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert machine_info.disk_free(tmp_path / "no" / "such" / "path") > 0
    assert not disk_space.is_short(tmp_path / "no", 0)


def test_unrelated_errors_are_not_called_full_disks(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_space.translated(tmp_path):
        raise PermissionError(13, "denied")
