"""Make steps again in an empty store: here, or in a process with other surroundings.

Started as a program (``python -m orchestrator.engine.isolated_run JOB``) it reads the steps from
a file, so that home, locale, time zone and umask are those of a process of its own from the start.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.base import machine_info
from orchestrator.base.errors import (
    EXIT_FAILED,
    EXIT_OK,
    Interrupted,
    OrchestrateError,
    StepError,
)
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Outcome, Resources, Step
from orchestrator.engine import progress_listeners, step_kinds
from orchestrator.engine.artifact import remove_tree
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.sources.hub.cache import hub_home

_LOGS = "logs"


@dataclass(frozen=True)
class Surroundings:
    """What must not show in the bytes: names of folders, threads, umask, environment."""

    name: str
    folder: str
    threads: int
    umask: int
    env: Mapping[str, str]


def surroundings(cores: int) -> tuple[Surroundings, Surroundings]:
    """Two that differ in everything; the second uses all cores, and two at least.

    A locale that is not installed counts as C for tools, so the second says no less than
    the first where it is missing.
    """
    first = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    second = {"LANG": "fr_CH.UTF-8", "LC_ALL": "fr_CH.UTF-8", "LANGUAGE": "fr_CH:fr"}
    return (
        Surroundings("first", "a", 1, 0o022, first),
        Surroundings(
            "second",
            "b, with a longer name",
            max(2, cores),
            0o077,
            {**second, "TZ": "Asia/Kathmandu"},
        ),
    )


@contextmanager
def temporary_folder(store: Store) -> Iterator[Path]:
    """An empty folder on the store's disk; of a failure only its logs stay until the next."""
    place = store.root / "reproduce"
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    folder = place / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    except Interrupted:
        remove_tree(folder)  # nothing failed that a log would explain
        raise
    except OrchestrateError:
        _keep_logs(folder)
        raise
    except BaseException:
        remove_tree(folder)
        raise
    remove_tree(folder)


def _sweep(place: Path) -> None:
    """Remove what processes left that are gone."""
    for left in place.iterdir():
        pid = left.name.partition("-")[0]
        if pid.isdigit() and not machine_info.alive(int(pid)):
            remove_tree(left)


def _keep_logs(folder: Path) -> None:
    for found in [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]:
        if found.is_dir() and _LOGS not in found.parts and not any(found.rglob(_LOGS)):
            remove_tree(found)


def link_tools(steps: Sequence[Step], source: Store, target: Store) -> None:
    """Let ``target`` use the tool chains that ``source`` has."""
    for step in steps:
        found = source.find(step.key) if step_kinds.is_tool(step) else None
        if found is not None:
            target.refer(found)


def run_here(steps: Sequence[Step], targets: Sequence[str], runner: Runner) -> None:
    """Make the targets with a runner on an empty store.

    Raises:
        StepError: Something failed; with the ends of the logs.
        Interrupted: As :meth:`orchestrator.engine.scheduler.Runner.run`.
    """
    results = runner.run(steps, targets)
    if any(result.outcome is not Outcome.DONE and result.error for result in results):
        raise StepError("\n".join(progress_listeners.failures(results)))


def run_in_child(
    steps: Sequence[Step],
    targets: Collection[str],
    store: Store,
    around: Surroundings,
    *,
    offline: bool,
    say: Callable[[str], None],
) -> None:
    """Make the targets in a process of its own, in other surroundings.

    Args:
        steps: All steps of a plan.
        targets: What to make; everything stays in the store.
        store: The store to make it in.
        around: How that process differs from others.
        offline: Ask no network.
        say: Told what the process says, as it comes.

    Raises:
        StepError: Something failed; with the end of what was said.
        Interrupted: As :func:`orchestrator.base.process.run_process.run`.
    """
    home = store.root.parent / f"home of {around.name}"
    home.mkdir(parents=True)
    job = home.parent / "job.json"
    content = {
        "root": str(store.root),
        "umask": around.umask,
        "threads": around.threads,
        "offline": offline,
        "targets": list(targets),
        "steps": [asdict(step) for step in steps],
    }
    job.write_text(json.dumps(content), encoding="utf-8")
    log = home.parent / _LOGS / "making.log"
    done = run_process.run(
        [sys.executable, "-m", "orchestrator.engine.isolated_run", str(job)],
        cwd=home,
        log=log,
        env=run_process.clean_env(
            {**_hub_access(), **around.env, "HOME": str(home), **_ours()}, "own"
        ),
        on_text=say,
        check=False,
        what=f"{around.name} run of every step",
    )
    if done.returncode != EXIT_OK:
        raise StepError(f"the {around.name} run failed:\n{done.tail}", f"All of it: {log}.")


def _ours() -> dict[str, str]:
    """Where this package lies, for an interpreter that is started in another folder."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def _hub_access() -> dict[str, str]:
    """Another home must not mean fetching the Hub's files again, or being refused them."""
    names = ("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN")
    given = {name: os.environ[name] for name in names if name in os.environ}
    return {"HF_HOME": str(hub_home()), **given}


# -- the other process -----------------------------------------------------------------------


def _step(content: Mapping[str, JSON]) -> Step:
    resources = Resources(**content["resources"])
    return Step(**{**content, "resources": resources, "after": tuple(content["after"])})


def main(path: Path) -> int:
    """Do the job in a file; the exit code."""
    job = json.loads(path.read_text("utf-8"))
    os.umask(job["umask"])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: run_process.stop_all())
    store = Store(Path(job["root"]), lambda text: print(f"warning: {text}", file=sys.stderr))
    settings = Settings(threads=job["threads"], offline=job["offline"], keep="all")
    runner = Runner(store, settings, progress_listeners.Plain(sys.stderr))
    try:
        run_here([_step(one) for one in job["steps"]], job["targets"], runner)
    except OrchestrateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code or EXIT_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
