"""The frozen values that pass between modules; none of them does I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

JSON = Any  # what json.loads can return; a recursive alias buys no checking here


@dataclass(frozen=True)
class Resources:
    """What a step needs while it runs; zero bytes means that it is not known.

    ``alone`` is for what no other CPU-bound step may run beside: its numbers are speeds.
    """

    cpu: bool = False
    net: bool = False
    gpu: bool = False
    fetch_bytes: int = 0
    disk_bytes: int = 0
    scratch_bytes: int = 0
    memory_bytes: int = 0
    exact: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Activity:
    """What a person can watch: a step, or a transfer that is none; ``key`` tells it apart."""

    kind: str
    label: str
    key: str


@dataclass(frozen=True)
class Step(Activity):
    """One unit of work: a kind, its parameters and the keys of what it reads.

    ``params`` holds JSON values only, so that a step can be keyed, pickled and shown:
    everything that can change the bytes of the result is in it. ``context`` holds the JSON
    values that a step needs but that leave the result alone (where a file lies, how a
    tool's progress reads); it is no part of the key.
    ``inputs`` maps the name a step's code uses to the key of the step that makes it.
    ``after`` lists keys that must be done first without being read (a probe that must
    pass before weights are fetched); it is no part of the key.
    ``version`` is the version of the kind's code; a change of what it writes raises it.
    """

    params: Mapping[str, JSON]
    inputs: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    context: Mapping[str, JSON] = field(default_factory=dict)
    resources: Resources = Resources()
    keep: str = "all"


@dataclass(frozen=True)
class Progress:
    """How far a step is: ``done`` of ``total`` in ``unit`` (0 total: not known)."""

    done: float
    total: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Call:
    """One native call of a step: what was run, how long it took (s), how much memory (bytes).

    ``portable`` is ``argv`` with the names of values in braces where they are the machine's
    and change no result: the number of threads.
    """

    argv: tuple[str, ...]
    seconds: float
    peak_memory: int
    portable: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """Everything a step's ``run`` may touch.

    Attributes:
        step: The step itself.
        inputs: Folder of each input artifact by the step's own name for it; read only.
        workdir: An empty staging folder; what is left in it becomes the artifact.
        log: A file outside ``workdir`` that receives every argv and all tool output.
        threads: How many threads a native tool may use.
        scratch: A folder beside ``workdir`` for what is not part of the artifact; it is
            removed with the step.
        report: Called with the progress of the step; must be cheap and never raise.
        computed: Called when its tools are done, and what is left takes no thread of theirs.
        calls: Receives a record of every native call, for the artifact's manifest.
    """

    step: Step
    inputs: Mapping[str, Path]
    workdir: Path
    scratch: Path
    log: Path
    threads: int
    offline: bool = False
    report: Callable[[Progress], None] = lambda _progress: None
    computed: Callable[[], None] = lambda: None
    calls: list[Call] = field(default_factory=list)


class Outcome(Enum):
    """What happened to a step of a run."""

    HIT = "hit"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Ended:
    """How a step or a transfer ended, as a person sees it: seconds, and bytes of memory."""

    step: Activity
    outcome: Outcome
    seconds: float = 0.0
    peak_memory: int = 0
    error: str = ""


@dataclass(frozen=True)
class StepResult(Ended):
    """The record of one step of a run, for the console, the log, the report.

    ``store`` is the id of the store that holds it, where workers have stores of their own.
    """

    step: Step
    facts: Mapping[str, JSON] = field(default_factory=dict)
    path: Path | None = None
    log: Path | None = None
    cause: Exception | None = None
    store: str = ""
