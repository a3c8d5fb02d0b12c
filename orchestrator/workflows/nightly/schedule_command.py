"""The command line of a night as a schedule has it: absolute, and with all its options."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.base import machine_info
from orchestrator.sources.hub.cache import cache_root, hub_home
from orchestrator.workflows.nightly.night_values import Options, Told
from orchestrator.workflows.nightly.schedule_files import Job, render

_PLAIN = ("profile", "backend", "jobs", "threads", "keep", "cluster")
_USUAL_LOGITS = "10GB"
_FLAGS = ("offline", "locked", "verbose", "trust_network")


def schedule(kind: str, home: Path, wanted: Options, told: Told, session: Mapping[str, Any]) -> str:
    """Units, a crontab line or a workflow that start a night like this one.

    Args:
        kind: ``systemd``, ``cron`` or ``github-actions``.
        home: The root of the store.
        wanted: The night's options.
        told: Where its results go; addresses stay in the environment.
        session: The session's options by name.
    """
    hub, cache = hub_home(), cache_root(None)
    writable = [home, wanted.out.absolute(), hub]
    writable += [] if cache.is_relative_to(hub) else [cache]
    job = Job(
        arguments=tuple(_arguments(wanted, told, session)),
        folder=Path.cwd(),
        home=home,
        program=_program(),
        threads=session["threads"],
        # The rest of the machine must be able to go on.
        memory=machine_info.memory_total() * 9 // 10 or None,
        writable=(*writable, *_written(told)),
    )
    return render(kind, job)


def _program() -> tuple[str, ...]:
    """The installed console script beside this interpreter, or the module."""
    beside = Path(sys.executable).parent / "orchestrate"
    found = str(beside) if beside.is_file() else shutil.which("orchestrate")
    return (found,) if found else (sys.executable, "-m", "orchestrator")


def _written(told: Told) -> Iterator[Path]:
    if told.site:
        yield told.site.absolute()
    if told.metrics:
        yield told.metrics.absolute().parent


def _arguments(wanted: Options, told: Told, session: Mapping[str, Any]) -> Iterator[str]:
    yield from map(str, wanted.paths)
    kept = _size(session["keep_logits"])
    options = {
        "select": wanted.select,
        "site": told.site,
        "max-hours": wanted.hours,
        "max-store": _size(wanted.max_store),
        "retries": wanted.retries if wanted.retries != Options.retries else None,
        "keep-days": wanted.keep_days if wanted.keep_days != Options.keep_days else None,
        "notify-when": told.when if told.when != Told.when else None,
        "metrics": told.metrics,
        "out": wanted.out if wanted.out != Path("dist") else None,
        **{name: session[name] for name in _PLAIN if session[name] != "f16"},
        "keep-logits": "" if kept == _USUAL_LOGITS else kept,
    }
    for name, value in options.items():
        if value not in (None, ""):
            yield from (f"--{name}", f"{value:g}" if isinstance(value, float) else str(value))
    flags = {"rebuild": wanted.rebuild, **{name: session[name] for name in _FLAGS}}
    yield from (f"--{name.replace('_', '-')}" for name, given in flags.items() if given)


def _size(count: int | None) -> str:
    """Bytes as a person would have written them, when they are whole gigabytes."""
    giga = 10**9
    if count is None:
        return ""
    return f"{count // giga}GB" if count and count % giga == 0 else str(count)
