"""Schedules for systemd and cron: their own checkers accept them, and no word is changed."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.workflows.nightly.schedule_files import KINDS, Job, render
from tests.support.schedules import NAMES, WORDS, called, job, missing, program

needs_systemd = pytest.mark.skipif(
    missing("systemd-analyze"), reason="systemd-analyze is not installed"
)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="systemd and cron are not for Windows")
SERVICE, TIMER = "orchestrate-nightly.service", "orchestrate-nightly.timer"
SPLIT = "awk '/^# File /{out=$3} {print > out}'"


def units(made: Job, folder: Path, system: bool = False) -> tuple[Path, Path]:
    """Both units in a folder, as a reader of the documentation makes them."""
    text = render("systemd", made)
    if system:
        text = re.sub(r"^#system ", "", text, flags=re.MULTILINE)
    subprocess.run(["sh", "-c", SPLIT], cwd=folder, input=text.encode(), check=True)
    return folder / SERVICE, folder / TIMER


def setting(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def test_the_documentation_takes_the_units_apart_as_these_tests_do() -> None:
    page = Path(__file__).parents[4] / "docs" / "how-to" / "nightly.md"

    assert SPLIT in page.read_text("utf-8")


@needs_systemd
@pytest.mark.parametrize("manager", ["--user", "--system"])
@pytest.mark.parametrize("full", [True, False])
def test_systemd_finds_nothing_wrong_with_the_units(
    manager: str, full: bool, tmp_path: Path
) -> None:
    full_job = job("recipes/", "--max-hours", "6.5", threads=4, memory=8 << 30)
    made = full_job if full else job()

    files = units(made, tmp_path, system=manager == "--system")
    said = called(
        ["systemd-analyze", manager, "verify", *files],
        {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )

    assert (said.returncode, said.stdout) == (0, "")


@needs_systemd
@pytest.mark.parametrize(("system", "limit"), [(True, 20), (False, 60)])
def test_systemd_rates_the_sandbox_well(system: bool, limit: int, tmp_path: Path) -> None:
    service, _ = units(job(), tmp_path, system)

    said = called(["systemd-analyze", "security", "--offline=yes", f"--threshold={limit}", service])

    assert said.returncode == 0, said.stdout


@needs_systemd
def test_the_timer_starts_at_the_hour_that_was_asked_for(tmp_path: Path) -> None:
    _, timer = units(job(hour=5), tmp_path)
    (when,) = setting(timer.read_text("utf-8"), "OnCalendar")

    said = called(["systemd-analyze", "calendar", when], {**os.environ, "TZ": "UTC"})

    assert said.returncode == 0
    assert re.search(r"Next elapse: .* 05:00:00 UTC", said.stdout)


def parsed(service: Path) -> dict[str, list[str]]:
    """What systemd itself read: the dump that it logs when it verifies a unit."""
    said = called(
        ["systemd-analyze", "verify", "--recursive-errors=no", service],
        {**os.environ, "SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_TARGET": "console"},
    )
    assert said.returncode == 0, said.stdout
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^\s*([A-Z]\w+(?: \w+)?): (.*)$", said.stdout, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def command_words(text: str) -> list[str]:
    """The words of a command as systemd logs it: in double quotes, or bare."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|([^ ]+)', text)
    return [bare or re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in found]


@needs_systemd
@settings(max_examples=40, deadline=None)
@example(name="a %h $HOME ${HOME}", words=["", ";", "$", "%%", "\\", '"', "'", "\\x41"])
@example(name="\"\\'", words=["a\\"])
@example(name=" '", words=["~"])
@given(name=NAMES, words=st.lists(WORDS, min_size=1, max_size=5))
def test_systemd_starts_exactly_the_command_in_its_folders(name: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        folder = Path(made, "in", name)
        run = program(folder / name, "exit 0")
        home, site = Path(made, f"store {name}"), Path(made, f"{name} site")
        service, _ = units(
            job(*words, folder=folder, home=home, program=(str(run), "-m"), writable=(site,)),
            Path(made),
        )

        found = parsed(service)
        (start,) = setting(service.read_text("utf-8"), "ExecStart")

    (command,) = found["Command Line"]
    argv = command_words(command)
    assert argv[-len(words) - 3 :] == [str(run), "-m", "nightly", *words]
    assert argv[: -len(words) - 3] in ([], ["/bin/sh", "-c", 'exec "$0" "$@"'])
    # Variables are replaced when the service starts, which no dump shows, and never with ':'.
    assert start.lstrip('"').startswith(":") == ("$" in "".join(argv))
    # The dump shows the line end that keeps blanks and backslashes, which is no other folder.
    assert [value.rstrip("/") for value in found["WorkingDirectory"]] == [str(folder)]
    assert f"ORCHESTRATE_HOME={home}" in found["Environment"]
    assert found["ReadWritePaths"] == [f"-{home} -{site} /tmp /var/tmp"]


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        (("recipes/",), "23h"),
        (("recipes/", "--max-hours", "6"), "540min"),
        (("--max-hours=0.5", "recipes/"), "90min"),
        (("--max-hours", "1", "recipes/", "--max-hours", "2.25"), "203min"),
    ],
)
def test_the_service_is_given_its_budget_and_a_margin(
    arguments: tuple[str, ...], limit: str
) -> None:
    assert setting(render("systemd", job(*arguments)), "TimeoutStartSec") == [limit]


def test_a_night_is_asked_to_end_before_it_is_killed_and_only_a_good_one_succeeds() -> None:
    text = render("systemd", job())

    assert setting(text, "KillMode") == ["mixed"]
    assert setting(text, "KillSignal") == ["SIGTERM"]
    assert setting(text, "SuccessExitStatus") == ["0"]
    assert setting(text, "Type") == ["oneshot"]


def test_a_night_that_the_machine_slept_through_is_made_up_for() -> None:
    text = render("systemd", job())

    assert setting(text, "Persistent") == ["true"]
    assert setting(text, "RandomizedDelaySec") == ["15min"]


def test_the_service_is_held_to_the_limits_of_its_job() -> None:
    text = render("systemd", job(threads=3, memory=5_000_000_000))

    assert setting(text, "MemoryMax") == ["5000000000"]
    assert setting(text, "CPUQuota") == ["300%"]
    assert not setting(render("systemd", job()), "MemoryMax")


def test_the_service_may_write_the_store_and_the_named_folders_and_no_more() -> None:
    text = render("systemd", job(writable=(Path("/srv/store"), Path("/srv/my site"))))

    assert setting(text, "ReadWritePaths") == ["-/srv/store", '"-/srv/my site"']
    assert setting(text, "ProtectSystem") == ["strict"]
    assert "mkdir -p -- /srv/store '/srv/my site'\n" in text


@pytest.mark.parametrize(("home", "private"), [("/srv/store", ["yes"]), ("/var/tmp/store", [])])
def test_a_store_for_temporary_files_is_not_hidden_from_the_service(
    home: str, private: list[str]
) -> None:
    assert setting(render("systemd", job(home=Path(home))), "PrivateTmp") == private


def test_what_a_users_manager_cannot_apply_is_for_the_system_only() -> None:
    fatal = ["CapabilityBoundingSet", "PrivateDevices", "User", "ProtectClock", "ProtectHostname"]
    fatal += ["ProtectKernelLogs", "ProtectKernelModules", "ProtectProc", "RemoveIPC"]
    text = render("systemd", job())

    for name in fatal:
        assert not setting(text, name)
        assert setting(text, f"#system {name}"), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["a\nExecStartPre=evil", "a\x7f", "a\u2028b", "a\udcff", "\U0001ffff"]
)
def test_what_no_schedule_can_carry_is_refused(kind: str, name: str) -> None:
    with pytest.raises(UsageError, match="cannot carry"):
        render(kind, job("recipes/", name))
    with pytest.raises(UsageError, match="cannot carry"):
        render(kind, job(folder=Path("/srv", name)))


def test_a_budget_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="not a number"):
        render("systemd", job("--max-hours", "six"))


# --- cron


def crontab_line(made: Job) -> str:
    (line,) = [one for one in render("cron", made).splitlines() if not one.startswith("#")]
    return line


def cut(command: str, paired: bool) -> str:
    r"""What cron hands to the shell, by crontab(5): ``\\%`` is ``%``, a bare one is a line end.

    Args:
        command: The sixth field.
        paired: As cronie reads it, a backslash takes the next character with it whatever that
            is; in Debian's cron each character looks at the one before it alone.
    """
    out, escaped = "", False
    for one in command:
        if escaped and one == "%":
            out, escaped = out[:-1] + one, False
            continue
        if one == "%":
            break
        out += one
        escaped = one == "\\" and not (paired and escaped)
    return out


@pytest.mark.skipif(missing("crontab"), reason="cron is not installed")
def test_cron_finds_nothing_wrong_with_the_line(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text(render("cron", job("recipes/", "--select", "100% *", hour=23)), "utf-8")

    said = called(["crontab", "-n", table])

    assert said.returncode == 0, said.stdout


@settings(max_examples=40, deadline=None)
@example(name="100% $HOME", words=["\\%", "\\\\%", "%\\", "'%'", '"', "#", ""])
@given(name=NAMES, words=st.lists(WORDS, min_size=1, max_size=5))
def test_cron_starts_exactly_the_command_in_its_folder(name: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder, home = Path(made, name), Path(made, f"{name} store")
        run = program(
            folder / "run",
            """printf '%s\\0' "$PWD" "$ORCHESTRATE_HOME" "$@"\necho also errors >&2""",
        )
        home.mkdir()
        line = crontab_line(job(*words, folder=folder, home=home, program=(str(run), "-m")))
        minute, hour, *every, command = line.split(" ", 5)
        assert [minute, hour, *every] == ["0", "2", "*", "*", "*"]
        assert cut(command, paired=True) == cut(command, paired=False)

        subprocess.run(["/bin/sh", "-c", cut(command, paired=True)], check=True, cwd="/")
        written = (home / "nightly.log").read_text("utf-8").split("\0")

    expected = [str(folder), str(home), "-m", "nightly", *words, "also errors\n"]
    assert written == expected


def test_a_line_that_is_too_long_for_cron_is_refused(tmp_path: Path) -> None:
    room = 998 - len(crontab_line(job("")).split(" ", 5)[5]) + len("''")
    longest = render("cron", job("x" * room))

    with pytest.raises(UsageError, match="cron takes 998"):
        render("cron", job("x" * (room + 1)))
    if not missing("crontab"):
        (tmp_path / "table").write_text(longest, "utf-8")
        assert called(["crontab", "-n", tmp_path / "table"]).returncode == 0
