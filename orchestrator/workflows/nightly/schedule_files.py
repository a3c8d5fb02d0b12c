"""Schedules that start a nightly: systemd units, a crontab line, a GitHub Actions workflow; pure.

Three formats with three sets of quoting rules. Every word of the user is quoted for its format
here, never in a template, and what a format cannot carry is refused.
"""

from __future__ import annotations

import math
import os.path
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import UsageError

KINDS = ("systemd", "cron", "github-actions")

# Line ends of any kind, what is no text, and what systemd does not take for UTF-8.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufeff]")
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")
# What Debian's cron takes for the command of a line: MAX_COMMAND of its cron.h less two.
_CRON_BYTES = 998
# https://docs.github.com/actions/reference/limits: six hours a job, 10 GB of caches.
_HOSTED_MINUTES = 360
_HOSTED_MARGIN = 30
_HOSTED_HOURS = "4"
_HOSTED_STORE = "8GB"


@dataclass(frozen=True)
class Job:
    """What a schedule starts: the words after ``orchestrate nightly``, and where.

    Attributes:
        arguments: As the user gave them, without ``--print``.
        folder: Working folder, absolute.
        home: Root of the store, absolute; ORCHESTRATE_HOME of the job.
        program: argv that starts orchestrate; an absolute path first.
        threads: CPUs that the job may use; None: all.
        memory: Most memory of the job in bytes; None: not limited.
        writable: Folders that the job must be able to write.
        hour: Local time of day at which it starts, 0 to 23; UTC for GitHub Actions.
    """

    arguments: tuple[str, ...]
    folder: Path
    home: Path
    program: tuple[str, ...]
    threads: int | None
    memory: int | None
    writable: tuple[Path, ...]
    hour: int = 2


def render(kind: str, job: Job) -> str:
    """Return the text of a schedule, with comments that say where it goes.

    Args:
        kind: One of :data:`KINDS`.
        job: What it starts.

    Raises:
        UsageError: A name or an argument cannot be written in this format.
    """
    import jinja2  # noqa: PLC0415 - heavy

    for text in (*job.program, *job.arguments, *map(str, (job.folder, job.home, *job.writable))):
        _check(text)
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 - no HTML; each value is quoted for its format above
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates"), encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{kind}.j2").render(_VALUES[kind](job))


def _check(text: str) -> None:
    if _UNWRITABLE.search(text) or any(ord(one) & 0xFFFE == 0xFFFE for one in text):
        raise UsageError(
            f"{text!a} has characters that a schedule cannot carry",
            "Rename it without line ends and control characters.",
        )


def _option(arguments: tuple[str, ...], name: str) -> str | None:
    """The value of a long option, in either form; the last one counts, as for click."""
    found = None
    for word, following in zip(arguments, (*arguments[1:], None), strict=True):
        if word == name:
            found = following
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def _without(arguments: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The arguments without a long option and its value."""
    before = (None, *arguments)
    return tuple(
        word
        for word, previous in zip(arguments, before, strict=False)
        if name not in (word, previous) and not word.startswith(f"{name}=")
    )


def _hours(arguments: tuple[str, ...]) -> float | None:
    text = _option(arguments, "--max-hours")
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UsageError(
            f"--max-hours {text!r} is not a number of hours", "For example 6."
        ) from None


def _with_margin(hours: float) -> int:
    """Minutes until a job is killed: after its budget, work that has begun goes on."""
    return math.ceil(60 * (hours + max(1, hours / 2)))


# --- systemd: https://www.freedesktop.org/software/systemd/man/latest/systemd.syntax.html


def _systemd(job: Job) -> dict[str, object]:
    hours = _hours(job.arguments)
    command = [*job.program, "nightly", *job.arguments]
    if set(command[0]) & set("\\\"'"):  # systemd starts no program of such a name itself
        command[:0] = ["/bin/sh", "-c", 'exec "$0" "$@"']
    # With ':' (since systemd 244) variables are not replaced. '$$' would not do: it counts for
    # arguments but not for the path of the program.
    literal = ":" if any("$" in word for word in command) else ""
    command[0] = literal + command[0]
    paths = (job.home, *job.writable)
    own_tmp = not any(
        path.is_relative_to(tmp)
        for path in (job.folder, Path(job.program[0]), *paths)
        for tmp in ("/tmp", "/var/tmp")  # noqa: S108 - only compared with
    )
    return {
        "command": " ".join(_unit_word(word) for word in command),
        "folder": _unit_folder(job.folder),
        "home": _unit_word(f"ORCHESTRATE_HOME={job.home}"),
        "mkdir": " ".join(shlex.quote(str(path)) for path in dict.fromkeys(paths)),
        # With '-' a folder may be missing, and the program says so.
        "writable": [_unit_word(f"-{path}") for path in dict.fromkeys(paths)],
        "own_tmp": own_tmp,
        "memory": job.memory,
        "quota": None if job.threads is None else 100 * job.threads,
        "minutes": None if hours is None else _with_margin(hours),
        "hour": f"{job.hour:02}",
    }


def _unit_word(word: str) -> str:
    r"""One word of ExecStart, Environment or ReadWritePaths.

    They differ in what a backslash before a letter means, and agree on ``\\`` and ``\"``.
    """
    if _PLAIN.fullmatch(word):
        return word
    quoted = word.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return f'"{quoted}"'


def _unit_folder(path: Path) -> str:
    """A setting that is one path takes the line as it is, but for its end."""
    text = str(path).replace("%", "%%")
    return f"{text}/" if text.endswith("\\") or text != text.rstrip() else text


# --- cron: crontab(5)


def _cron(job: Job) -> dict[str, object]:
    words = [*job.program, "nightly", *job.arguments]
    command = _cron_text(
        f"cd {shlex.quote(str(job.folder))} &&"
        " PATH=/usr/local/bin:/usr/bin:/bin"
        f" ORCHESTRATE_HOME={shlex.quote(str(job.home))}"
        f" nice -n 10 {shlex.join(words)}"
        f" >>{shlex.quote(str(job.home / 'nightly.log'))} 2>&1"
    )
    if len(command.encode()) > _CRON_BYTES:
        raise UsageError(
            f"the crontab line has {len(command.encode())} bytes, and cron takes {_CRON_BYTES}",
            "Put the command into a script, or use a systemd timer: --print systemd.",
        )
    return {"command": command, "hour": job.hour}


def _cron_text(command: str) -> str:
    r"""Escape '%', which cron takes for a line end.

    After a backslash cron implementations differ about ``\\%``, so the two are kept apart by a
    pair of quotes: shlex puts words with a backslash between single quotes.
    """
    return command.replace("\\%", r"\''%").replace("%", r"\%")


# --- GitHub Actions: https://docs.github.com/actions/reference/workflow-syntax-for-github-actions


def _github_actions(job: Job) -> dict[str, object]:
    root = next((one for one in (job.folder, *job.folder.parents) if (one / ".git").exists()), None)
    root = root or job.folder
    # An address that lets anybody post there is a secret, and has a place in the environment.
    given = tuple(_within(word, root, job.folder) for word in _without(job.arguments, "--webhook"))
    site = _option(given, "--site")
    hours = _hours(given)
    defaults: tuple[str, ...] = () if hours is not None else ("--max-hours", _HOSTED_HOURS)
    if _option(given, "--max-store") is None:
        defaults += ("--max-store", _HOSTED_STORE)
    hours = float(_HOSTED_HOURS) if hours is None else hours
    hosted = 60 * hours <= _HOSTED_MINUTES - _HOSTED_MARGIN
    folder = "" if root == job.folder else os.path.relpath(job.folder, root)
    return {
        # First, because a given "--" makes everything after it a path.
        "arguments": " ".join(map(_actions_word, (*defaults, *given))),
        "folder": _actions_word(folder) if folder else "",
        "site": None if site is None else _plain_site(os.path.normpath(Path(folder, site))),
        "minutes": min(_with_margin(hours), _HOSTED_MINUTES) if hosted else _with_margin(hours),
        "hosted": hosted,
        "hour": job.hour,
    }


def _within(word: str, root: Path, folder: Path) -> str:
    """An absolute path as seen from the working folder: a runner has the repository elsewhere.

    Raises:
        UsageError: It lies outside of the repository.
    """
    name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    if not Path(value).is_absolute():
        return word
    if not Path(value).is_relative_to(root):
        raise UsageError(
            f"{value} lies outside of {root}, and a runner has only the repository",
            "Name files of the repository.",
        )
    return name + equals + os.path.relpath(value, folder)


def _actions_word(word: str) -> str:
    """Quote a word for the shell so that no ``${{`` is left, which the runner would replace."""
    return shlex.quote(word).replace("${{", "$''{{")


def _plain_site(site: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", site) or site.startswith(".."):
        raise UsageError(
            f"--site {site!r} cannot be uploaded by GitHub Actions",
            "Name a folder inside the repository by letters, digits, '.', '_' and '-'.",
        )
    return site


_VALUES: Mapping[str, Callable[[Job], dict[str, object]]] = {
    "systemd": _systemd,
    "cron": _cron,
    "github-actions": _github_actions,
}
