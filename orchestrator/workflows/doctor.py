"""Look at this machine: is everything there that a run needs, and if not, what to do."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from orchestrator.base import machine_info, units
from orchestrator.base.errors import OrchestrateError
from orchestrator.base.process import isolation, run_process
from orchestrator.base.step_values import JSON
from orchestrator.base.terminal_colours import status
from orchestrator.sources import http_client
from orchestrator.sources.hub.client import endpoint
from orchestrator.toolchain import find_toolchain

LEAST_DISK = 10 << 30
LEAST_MEMORY = 4 << 30
_SHOWN_DEVICES = 8
_HUB = "models; local folders and packages work without it"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do when it is not fine.

    A finding that is not ``required`` is worth knowing and stops nothing.
    """

    name: str
    fine: bool
    found: str
    advice: str = ""
    required: bool = True


def examine(store: Path) -> list[Finding]:
    """Everything a run may need; takes at most a few seconds."""
    looks: list[Callable[[], Finding]] = [
        _python,
        _compiler,
        lambda: _program("git", "Install git (Debian: apt install git)."),
        lambda: _optional_program("make", "Only bloomz.cpp uses it; cmake works without it."),
        lambda: _disk(store),
        _memory,
        _processor,
        _isolation,
        devices,
        _index,
        *(_host(url, why) for url, why in _hosts()),
    ]
    with ThreadPoolExecutor(len(looks)) as pool:
        return list(pool.map(lambda look: look(), looks))


def text(findings: Iterable[Finding]) -> str:
    """One line each, and the advice below what is not fine."""
    lines = []
    for one in findings:
        mark = "ok" if one.fine else "NO" if one.required else "- "
        lines.append(f"{status(mark)}  {one.name}: {one.found}")
        if not one.fine and one.advice:
            lines.append(f"      {one.advice}")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> dict[str, JSON]:
    """All findings for programs."""
    return {"sound": sound(findings), "findings": [asdict(one) for one in findings]}


def sound(findings: Iterable[Finding]) -> bool:
    """Whether nothing that is required is missing."""
    return all(one.fine or not one.required for one in findings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= (3, 10), version, "Use Python 3.10 or newer.")


def _compiler() -> Finding:
    found = machine_info.compiler()
    advice = (
        "Install one (Debian: apt install g++; macOS: xcode-select --install), or use installed "
        "tools of llama.cpp (--tools, --prebuilt)."
    )
    return Finding("C++ compiler", bool(found), found or "none", advice)


def _program(name: str, advice: str) -> Finding:
    found = shutil.which(name) or ""
    return Finding(name, bool(found), found or "none", advice)


def _optional_program(name: str, advice: str) -> Finding:
    found = shutil.which(name) or ""
    return Finding(name, bool(found), found or "none", advice, required=False)


def _disk(store: Path) -> Finding:
    free = machine_info.disk_free(store)
    advice = "Free some space, or set ORCHESTRATE_HOME to a larger disk."
    return Finding("disk", free >= LEAST_DISK, f"{units.size(free)} free at {store}", advice)


def _memory() -> Finding:
    total = machine_info.memory_total()
    found = f"{units.size(total)}, {units.size(machine_info.memory_available())} available"
    advice = "A 7B model needs about 16 GB to be measured in F16."
    return Finding("memory", total >= LEAST_MEMORY, found, advice)


def _isolation() -> Finding:
    why = isolation.obstacle()
    advice = "Without it, code of a model that a recipe trusts can read your files."
    return Finding("isolation of tools", not why, why or "works", advice, required=False)


def _processor() -> Finding:
    found = machine_info.describe()
    features = ", ".join(found.features) or "features unknown"
    known = set(found.features)
    fine = not known or "asimd" in known or known >= {"avx2", "fma", "f16c", "bmi2"}
    return Finding(
        "processor",
        fine,
        f"{found.processor}, {units.plural(found.cores, 'core')}, {features}",
        "The default build needs AVX2, FMA, F16C and BMI2; use '--profile native' here.",
    )


def devices() -> Finding:
    """The GPUs that a back end could use, and what building it lacks."""
    said, lacking = [], []
    for chain in (found.chain for found in find_toolchain.every(Path.cwd())):
        for name, needs in chain.backend_needs.items():
            devices = _listed(needs.devices)
            missing = [one for one in needs.programs if shutil.which(one) is None]
            if devices:
                said.append(f"{'; '.join(devices)} ({name})")
            if devices and missing:
                lacking.append(f"'--backend {name}' lacks {', '.join(missing)}. {needs.advice}")
    if sys.platform == "darwin":
        said.append("Apple's, by Metal (metal)")
    found = ", ".join(said) or "none found; measuring takes the processor"
    return Finding("GPU", not lacking, found, " ".join(lacking), required=False)


def _listed(argv: Sequence[str]) -> list[str]:
    """What a program says of devices, a few lines; nothing where it is missing or fails."""
    if not argv or shutil.which(argv[0]) is None:
        return []
    with TemporaryDirectory(prefix="orchestrate-") as place:
        try:
            done = run_process.run(argv, cwd=Path(place), log=Path(place) / "log", timeout=10)
        except OrchestrateError:
            return []
    return [line.strip() for line in done.text.splitlines() if line.strip()][:_SHOWN_DEVICES]


def _hosts() -> list[tuple[str, str]]:
    """Where runs fetch from; each has another way round it."""
    chains = [found.chain for found in find_toolchain.every(Path.cwd())]
    sources = {
        chain.source.git: "tool-chain sources; their mirrors work without it" for chain in chains
    }
    first = next(iter(sources.items()), None)
    indexes = {
        chain.environment.extra_index.url: f"{chain.environment.extra_index.why}; works without it"
        for chain in chains
        if chain.environment and chain.environment.extra_index
    }
    return [*([first] if first else []), *indexes.items(), (endpoint(), _HUB)]


def _index() -> Finding:
    from orchestrator.sources.pypi import effective_index  # noqa: PLC0415 - heavy

    url = effective_index()
    fine, found = _answer(url)
    advice = "Check the network, or set PIP_INDEX_URL to a mirror."
    return Finding("package index", fine, f"{urlsplit(url).hostname} {found}", advice)


def _host(url: str, why: str) -> Callable[[], Finding]:
    def look() -> Finding:
        fine, found = _answer(url)
        name = urlsplit(url).hostname or url
        return Finding(name, fine, found, f"Needed for: {why}.", required=False)

    return look


def _answer(url: str) -> tuple[bool, str]:
    why = http_client.unreachable(url)
    return not why, f"cannot be reached ({why})" if why else "answers"
