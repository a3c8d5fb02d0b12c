"""A tool's own view of the machine: no network, and of hidden places only what it works on.

Linux's user, mount and network namespaces do it, by view_program.py. That makes the view, and takes
the right to change it away by further namespaces: mounts that one inherits from one with more
rights are locked, see mount_namespaces(7). Processes outside cannot be looked into from there
either, see ptrace(2).

Where a /proc of its own can be mounted, which containers may forbid, a tool neither sees nor ends
processes outside. The first one of such a namespace ignores signals, see pid_namespaces(7): so
view_program.py stays that one, and ends as its tool did.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.base.process.process_tree import Tree

SWITCH = "ORCHESTRATE_ISOLATION"
# Beside homes: where other users' files and the sockets of agents, desktops and daemons are.
PLACES = ("/home", "/root", "/tmp", "/var/tmp", "/run/user", "/run/docker.sock")  # noqa: S108
PROGRAM = Path(__file__).with_name("view_program.py")
_TRIAL_SECONDS = 20.0


@dataclass(frozen=True)
class Visible:
    """What a tool sees of hidden places: files and folders to read, and to write."""

    read: tuple[Path, ...]
    write: tuple[Path, ...] = ()


def around(
    argv: Sequence[str],
    visible: Visible,
    cwd: Path,
    path: str,
    *,
    network: bool = False,
    root: bool = False,
) -> list[str]:
    """The command that runs ``argv`` with this view, or ``argv`` itself where that is no use.

    Args:
        argv: Program and arguments.
        visible: What it sees.
        cwd: Its working folder, which must be visible.
        path: Where programs are looked for; one that is not there is left to fail alone.
        network: Leave it the network, for a program that others are to reach.
        root: Whether it is to make views within its own for others, see :func:`view`.
    """
    if not isolates(argv[0], path):
        return list(argv)
    apart = [*([] if network else ["net"]), *(["pid"] if separates() else [])]
    return _command(argv, _with_python(visible, argv[0]), cwd, apart, root=root)


def isolates(program: str, path: str) -> bool:
    """Whether a program gets a view of its own, see :func:`around`."""
    return not obstacle() and shutil.which(program, path=path) is not None


def view(visible: Visible, program: str) -> list[str]:
    """The words by which a program with ``root`` makes this view for a part of itself."""
    mounts = _mounts(_with_python(visible, program))
    return [*(["processes"] if separates() else []), *mounts]


def _with_python(visible: Visible, program: str) -> Visible:
    """What is visible, and what every tool may read: programs and libraries."""
    own = (Path(sys.prefix), Path(sys.base_prefix), Path(program).absolute().parent)
    libraries = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    return Visible((*own, *map(Path, libraries), *visible.read), visible.write)


@cache
def obstacle() -> str:
    """Why tools cannot be given a view of their own here; empty where they can; tried once."""
    if sys.platform != "linux":
        return "only Linux has the namespaces for it"
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH} is off"
    code, said = (0, "") if separates() else _trial("net")
    why = said.rpartition(": ")[2] or "no reason"
    return "" if code == 0 else f"the system does not allow it ({why})"


@cache
def separates() -> bool:
    """Whether tools can be kept from the processes outside, too; tried once."""
    return _trial("net", "pid")[0] == 0


def _trial(*apart: str) -> tuple[int, str]:
    return _tried(_command(["true"], Visible(()), Path("/"), apart))


def _tried(argv: Sequence[str]) -> tuple[int, str]:
    """How a command ends, and the first line that it prints."""
    try:
        tree = Tree(argv, Path("/"), os.environ, 1.0)
    except OSError as error:
        return 127, str(error.strerror)
    said, end = b"", time.monotonic() + _TRIAL_SECONDS
    while (left := end - time.monotonic()) > 0 and (chunks := tree.read(left)) is not None:
        said += b"".join(data for _, data in chunks)
    lines = said.decode("utf-8", "replace").splitlines()
    return tree.close().returncode, lines[0] if lines else ""


def _command(
    argv: Sequence[str], visible: Visible, cwd: Path, apart: Sequence[str], *, root: bool = False
) -> list[str]:
    program = [sys.executable, "-I", "-S", str(PROGRAM)]
    mounts = [*(["processes"] if "pid" in apart else []), *_mounts(visible)]
    own = ["as", str(os.getuid()), str(os.getgid())]
    if root:  # whoever makes namespaces of processes must own the one that it is in, see setns(2)
        own = [*program, *(["pid"] if "pid" in apart else []), "run", str(cwd)]
    return [*program, *apart, *mounts, "run", str(cwd), *own, *argv]


@dataclass(frozen=True)
class _Path:
    """What is to be visible: its path without links, and as it is named.

    ``parents`` are ``named`` and all folders above it, each without links in its path.
    """

    real: Path
    named: Path
    parents: tuple[str, ...]

    def below(self, hidden: Path) -> Path:
        """The path with those links followed that lead to a hidden place, not those below it."""
        if (place := str(hidden)) not in self.parents:
            return self.named
        above = (self.named, *self.named.parents)[self.parents.index(place)]
        return hidden / self.named.relative_to(above)


def _mounts(visible: Visible) -> Iterator[str]:
    """What the script is to do: an empty folder over each hidden one, what is visible in it."""
    places, follow = _places(), _follower()
    holding = _holding(places)
    paths = {
        word: [one for one in map(follow, shown) if one.real not in holding]
        for word, shown in (("read", visible.read), ("write", visible.write))
    }
    for hidden in _hidden(places):
        if not hidden.is_dir():
            yield from ("blank", str(hidden))
            continue
        yield "begin"
        for word, shown in paths.items():
            for source, inside in _inside(shown, hidden):
                yield from (word, str(source), str(inside))
        yield from ("end", str(hidden))


def _hidden(places: set[Path]) -> list[Path]:
    """The places that are hidden, without those inside another."""
    return sorted(path for path in places if not places & set(path.parents))


def _follower() -> Callable[[Path], _Path]:
    """Follows links of paths, and looks at each folder on the way once."""

    @cache
    def real(path: Path) -> Path:
        if path == path.parent:
            return path
        place = real(path.parent) / path.name
        return Path(os.path.realpath(place)) if place.is_symlink() else place

    def follow(path: Path) -> _Path:
        named = Path(os.path.normpath(path))
        plain = path.is_absolute() and path == named
        return _Path(
            real(named) if plain else Path(os.path.realpath(path)),
            named,
            tuple(str(real(one)) for one in (named, *named.parents)),
        )

    return follow


def _places() -> set[Path]:
    """All places to be hidden that there are, without links in their paths."""
    homes = filter(None, (os.environ.get("HOME"), _stated_home()))
    found = {Path(os.path.realpath(one)) for one in (*PLACES, *homes)}
    return {path for path in found if path.exists() and path != Path("/")}


def _stated_home() -> str:
    import pwd  # noqa: PLC0415 - not on Windows

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""  # containers run as users without an entry


def hold_hidden(paths: Iterable[Path]) -> bool:
    """Whether a hidden place lies in one of these folders, or is it: that is never visible."""
    holding = _holding(_places())
    return any(Path(os.path.realpath(path)) in holding for path in paths)


def all_seen(paths: Iterable[Path], shown: Iterable[Path]) -> bool:
    """Whether a program that is shown some files and folders sees all of these, too."""
    places, folders = _places(), {Path(os.path.realpath(one)) for one in shown}
    reals = (Path(os.path.realpath(path)) for path in paths)
    above = ({real, *real.parents} for real in reals)
    return all(not one & places or one & folders for one in above)


def _holding(places: Iterable[Path]) -> set[Path]:
    """Places, and all folders above them."""
    return {one for place in places for one in (place, *place.parents)}


def _inside(paths: Iterable[_Path], hidden: Path) -> list[tuple[Path, Path]]:
    """What of ``paths`` lies below a hidden place: where it is, and its path from there.

    Each is visible under the path that names it and under the one without links.
    """
    found: dict[Path, Path] = {}
    below = f"{hidden}{os.sep}"
    for path in paths:
        for place in (path.real, path.below(hidden)):
            if str(place).startswith(below) and path.real.exists():
                found[place.relative_to(hidden)] = path.real
    return [(found[inside], inside) for inside in sorted(found)]
