"""A tool's own view of the machine: no network, and of hidden places only what it works on.

Linux's user, mount and network namespaces do it, by util-linux's ``unshare`` and ``mount``. The
first ``unshare`` makes the view, the second takes the right to change it away: mounts that a
namespace inherits from one with more rights are locked, see mount_namespaces(7). Processes
outside cannot be looked into from there either, see ptrace(2).

Where a /proc of its own can be mounted, which containers may forbid, a tool neither sees nor ends
processes outside. The first one of such a namespace ignores signals, see pid_namespaces(7): so a
shell stays that one, and ends as its tool did.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.base.process.process_tree import Tree

SWITCH = "ORCHESTRATE_ISOLATION"
# Beside homes: where other users' files and the sockets of agents, desktops and daemons are.
PLACES = ("/home", "/root", "/tmp", "/var/tmp", "/run/user", "/run/docker.sock")  # noqa: S108
# A hidden folder's replacement is put together over /sys, which is there again afterwards. The
# working folder is entered anew: what it was until then is the hidden one.
_SCRIPT = r"""
fail() { echo "this tool could not be cut off from the network and the home folder" >&2; exit 125; }
bind() {
  if [ -d "$1" ]; then mkdir -p "$2"
  else mkdir -p "${2%/*}" && { [ -e "$2" ] || : > "$2"; }; fi && mount -n --rbind "$1" "$2"
}
lock() {
  mount -n -o remount,bind,ro,nosuid,nodev "$1" 2>/dev/null ||
    mount -n -o remount,bind,ro,nosuid,nodev,noexec "$1"
}
path=$PATH
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
while :; do
  case $1 in
    processes) mount -n -t proc none /proc || fail; shift ;;
    begin) mount -n -t tmpfs none /sys || fail; shift ;;
    read) bind "$2" "/sys/$3" && lock "/sys/$3" || fail; shift 3 ;;
    write) bind "$2" "/sys/$3" || fail; shift 3 ;;
    end) mount -n --move /sys "$2" || fail; shift 2 ;;
    blank) mount -n --bind /dev/null "$2" || fail; shift 2 ;;
    run) cd "$2" || fail; shift 2; break ;;
    *) fail ;;
  esac
done
unshare=$(command -v unshare) || fail
PATH=$path
[ $$ = 1 ] || exec "$unshare" --user --mount "$@"
"$unshare" --user --mount "$@"
exit $?
"""
_OWN_PROCESSES = ("--pid", "--fork", "--kill-child")
_TRIAL_SECONDS = 20.0


@dataclass(frozen=True)
class Visible:
    """What a tool sees of hidden places: files and folders to read, and to write."""

    read: tuple[Path, ...]
    write: tuple[Path, ...] = ()


def around(
    argv: Sequence[str], visible: Visible, cwd: Path, path: str, *, network: bool = False
) -> list[str]:
    """The command that runs ``argv`` with this view, or ``argv`` itself where that is no use.

    Args:
        argv: Program and arguments.
        visible: What it sees.
        cwd: Its working folder, which must be visible.
        path: Where programs are looked for; one that is not there is left to fail alone.
        network: Leave it the network, for a program that others are to reach.
    """
    if obstacle() or shutil.which(argv[0], path=path) is None:
        return list(argv)
    own = (Path(sys.prefix), Path(sys.base_prefix), Path(argv[0]).absolute().parent)
    libraries = filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    read = (*own, *map(Path, libraries), *visible.read)
    more = _OWN_PROCESSES if separates() else ()
    apart = more if network else ("--net", *more)
    return _command(argv, Visible(read, visible.write), cwd, apart)


@cache
def obstacle() -> str:
    """Why tools cannot be given a view of their own here; empty where they can; tried once."""
    if sys.platform != "linux":
        return "only Linux has the namespaces for it"
    if os.environ.get(SWITCH) == "off":
        return f"{SWITCH} is off"
    if shutil.which("unshare") is None:
        return "util-linux's unshare is not installed"
    code, said = _trial()
    return "" if code == 0 else f"the system does not allow it ({said or 'no reason'})"


@cache
def separates() -> bool:
    """Whether tools can be kept from the processes outside, too; tried once."""
    return _trial(("--net", *_OWN_PROCESSES))[0] == 0


def _trial(more: Sequence[str] = ("--net",)) -> tuple[int, str]:
    return _tried(_command(["true"], Visible(()), Path("/"), more))


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


def _command(argv: Sequence[str], visible: Visible, cwd: Path, more: Sequence[str]) -> list[str]:
    outer = ["unshare", "--user", "--map-root-user", "--mount", *more, "--"]
    apart = ["processes"] if "--pid" in more else []
    script = ["sh", "-c", _SCRIPT, "sh", *apart, *_mounts(visible)]
    inner = [f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
    return [*outer, *script, "run", str(cwd), *inner, "--", *argv]


def _mounts(visible: Visible) -> Iterator[str]:
    """What the script is to do: an empty folder over each hidden one, what is visible in it."""
    for hidden in _hidden():
        if not hidden.is_dir():
            yield from ("blank", str(hidden))
            continue
        yield "begin"
        for word, paths in (("read", visible.read), ("write", visible.write)):
            for source, inside in _inside(paths, hidden):
                yield from (word, str(source), str(inside))
        yield from ("end", str(hidden))


def _hidden() -> list[Path]:
    """The places that are hidden, without those inside another."""
    places = _places()
    return sorted(path for path in places if not places & set(path.parents))


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


def _inside(paths: Iterable[Path], hidden: Path) -> list[tuple[Path, Path]]:
    """What of ``paths`` lies below a hidden place: where it is, and its path from there.

    Each is visible under the path that names it and under the one without links; nothing that
    holds a whole hidden place is.
    """
    found: dict[Path, Path] = {}
    whole = {folder for place in _places() for folder in (place, *place.parents)}
    for path in paths:
        real = Path(os.path.realpath(path))
        if real in whole:
            continue
        named = Path(os.path.normpath(path))
        for place in (real, _without_links_before(named, hidden)):
            if hidden in place.parents and real.exists():
                found[place.relative_to(hidden)] = real
    return [(found[inside], inside) for inside in sorted(found)]


def _without_links_before(path: Path, hidden: Path) -> Path:
    """The path with those links followed that lead to the hidden place, not those below it."""
    for parent in (path, *path.parents):
        if Path(os.path.realpath(parent)) == hidden:
            return hidden / path.relative_to(parent)
    return path
