"""The options of a night and its results, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK
from orchestrator.base.step_values import JSON
from orchestrator.history import Alarm, FileRow, run_states
from orchestrator.history.run_records import ALARM, ENVIRONMENT, FAILED, INTERRUPTED

FORMAT = 1


@dataclass(frozen=True)
class Options:
    """The options of a night.

    ``hours`` is the time after which nothing new is started; ``max_store`` the bytes that the
    store may take; ``retries`` how often a network that does not answer is asked again;
    ``keep_days`` how long nights and logs are kept.
    """

    paths: tuple[Path, ...]
    out: Path
    select: str = ""
    rebuild: bool = False
    hours: float | None = None
    max_store: int | None = None
    retries: int = 3
    keep_days: int = 400

    def as_json(self) -> dict[str, JSON]:
        """For the history; paths as they were given."""
        return {**vars(self), "paths": [str(path) for path in self.paths], "out": str(self.out)}


@dataclass(frozen=True)
class Told:
    """Where the results of a night go beside the terminal.

    ``site`` is the folder of the pages, ``webhook`` an address that gets JSON, ``notify`` are
    Apprise's addresses of people, told ``when`` (``bad`` or ``always``); ``metrics`` is a file for
    Prometheus.
    """

    site: Path | None = None
    webhook: str = ""
    notify: tuple[str, ...] = ()
    when: str = "bad"
    metrics: Path | None = None


@dataclass(frozen=True)
class RecipeResult:
    """The result of one recipe in a night.

    ``commit`` is the tool chain's tonight, ``before`` that of the last good night, which was
    night ``good`` (0: there was none). ``made`` and ``found`` count steps that worked and
    results that were there. ``left`` are labels of steps that were not started. ``rebuilt``
    says whether unchanged files were made again.
    """

    recipe: str
    file: Path
    state: str
    run: int = 0
    seconds: float = 0.0
    error: str = ""
    toolchain: str = ""
    source: str = ""
    commit: str = ""
    before: str = ""
    good: int = 0
    files: tuple[FileRow, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    notes: tuple[str, ...] = ()
    made: int = 0
    found: int = 0
    left: tuple[str, ...] = ()
    rebuilt: bool = False


@dataclass(frozen=True)
class Summary:
    """The results of a night; sizes in bytes, times in seconds."""

    night: int
    started: str
    seconds: float
    recipes: tuple[RecipeResult, ...]
    store_bytes: int = 0
    collected: int = 0
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """The state that needs attention most."""
        return run_states.worst(self._states())

    @property
    def code(self) -> int:
        """0 all well, 1 a recipe failed or an alarm was raised, 3 the environment was at fault."""
        states = set(self._states())
        if states & {FAILED, ALARM}:
            return EXIT_FAILED
        return EXIT_ENVIRONMENT if states & {ENVIRONMENT, INTERRUPTED} else EXIT_OK

    def _states(self) -> Iterator[str]:
        """Those of the recipes; an alarm counts also where a recipe was not brought to its end."""
        for one in self.recipes:
            yield one.state
            if one.alarms:
                yield ALARM
