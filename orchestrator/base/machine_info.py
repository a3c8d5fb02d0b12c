"""What this machine has: cores, memory, disk, processor features; reads, never changes."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import digest


@dataclass(frozen=True)
class Machine:
    """The machine as a report states it; sizes in bytes, 0 where not known."""

    system: str
    processor: str
    cores: int
    memory: int
    features: tuple[str, ...]


def describe() -> Machine:
    """This machine."""
    info = _cpu_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    known = ("avx", "avx2", "fma", "f16c", "bmi2", "avx512f", "amx_tile", "asimd", "sve")
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=info.get("model name") or platform.processor() or platform.machine(),
        cores=cores(),
        memory=memory_total(),
        features=tuple(name for name in known if name in flags),
    )


def identity() -> str:
    """An id of this machine that stays while its processor and cores do.

    Neither the kernel's version nor the last kilobyte of memory makes another machine.
    """
    found = describe()
    lasting = {
        "processor": found.processor,
        "architecture": architecture(),
        "cores": found.cores,
        "features": list(found.features),
    }
    return digest.key(lasting)[:12]


def _cpu_info() -> dict[str, str]:
    """The first processor's entry in Linux's /proc/cpuinfo; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.strip():
            break
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found


def cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def architecture() -> str:
    """The processor's architecture as tool-chain data spells it, such as ``x86_64``."""
    return platform.machine()


def memory_total() -> int:
    """Bytes of memory, 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def memory_available() -> int:
    """Bytes that new work can use without swapping; the total where Linux does not say."""
    path = Path("/proc/meminfo")
    if path.exists():
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return memory_total()


def disk_free(path: Path) -> int:
    """Bytes free for this user on the file system that holds ``path`` or will hold it."""
    return shutil.disk_usage(existing(path)).free


def existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there already."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def unusable(folder: Path, *, write: bool) -> str:
    """Why a folder cannot be used, or made where it is not there; empty where it can."""
    place = folder.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is {'a file' if place.exists() else 'a link to nothing'}"
    needed = os.R_OK | os.X_OK | (os.W_OK if write or place != folder else 0)
    if not os.access(place, needed):
        return f"{place} cannot be {'written to' if needed & os.W_OK else 'read'} by you"
    return ""


def exe() -> str:
    """What the names of programs end in here."""
    return ".exe" if sys.platform == "win32" else ""


def compiler() -> str:
    """The path of a C++ compiler; empty where there is none."""
    names = ("c++", "g++", "clang++", "cl")
    return next((path for name in names if (path := shutil.which(name))), "")


def process_id() -> str:
    """This process among all of this machine's, those of other days too: pid, start, host."""
    return f"{os.getpid()}@{_started(os.getpid())}@{socket.gethostname()}"


def process_runs(name: str) -> bool:
    """Whether the process of a :func:`process_id` still runs; yes where nobody can tell."""
    pid, _, rest = name.partition("@")
    started, _, host = rest.partition("@")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    return alive(int(pid)) and started in ("", _started(int(pid)))


def alive(pid: int) -> bool:
    """Whether a process of this number exists."""
    if sys.platform == "win32":
        return True  # there os.kill() sends Ctrl-C, whatever it is asked
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str:
    """When a process started, in ticks since boot: field 22 of proc(5)'s stat; or nothing."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def terminal() -> bool:
    """Whether people watch: progress bars are for terminals only."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
