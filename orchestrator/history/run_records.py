"""The rows of the history as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.base.step_values import JSON

RUNNING = "running"
INTERRUPTED = "interrupted"
# How a recipe's run ends. Those of GOOD are what later nights are compared with.
OK = "ok"
WARNING = "warning"
ALARM = "alarm"  # every file was made and kept its limits, but something changed
FAILED = "failed"
ENVIRONMENT = "environment"  # the machine or the network was the reason
LEFT = "left"  # the time was up before it was done
GOOD = (OK, WARNING)


@dataclass(frozen=True)
class Machine:
    """A machine: ``id`` is the same while processor and number of cores are.

    ``described`` holds system, processor, cores, memory (bytes) and features.
    """

    id: str
    described: Mapping[str, JSON]


@dataclass(frozen=True)
class Night:
    """One unattended run of many recipes.

    ``options`` is what it was told; ``summary`` is what it said in the end, empty before.
    """

    id: int
    started: str
    ended: str
    machine: str
    state: str
    options: Mapping[str, JSON]
    summary: Mapping[str, JSON]


@dataclass(frozen=True)
class Run:
    """One run of one recipe; ``night`` is 0 for a run by hand.

    ``commit`` is the tool chain's, ``source`` its address. ``report`` is the digest of its
    report (see ``History.report``). ``accepted`` is when a person accepted what had changed.
    """

    id: int
    night: int
    recipe: str
    file: str
    digest: str
    toolchain: str
    commit: str
    source: str
    machine: str
    started: str
    ended: str = ""
    state: str = RUNNING
    error: str = ""
    report: str = ""
    accepted: str = ""

    @property
    def good(self) -> bool:
        """Whether later nights may be compared with it."""
        return self.state in GOOD or bool(self.accepted)


@dataclass(frozen=True)
class StepRow:
    """One step of a run: seconds, bytes; ``exit`` is 0, or what the step's error stands for.

    ``log`` is the end of a failed step's log.
    """

    key: str
    kind: str
    label: str
    outcome: str
    seconds: float
    peak_memory: int
    exit: int
    error: str = ""
    log: str = ""


@dataclass(frozen=True)
class FileRow:
    """One file of a run, and what was measured on it; numbers not measured are None.

    ``step`` is the key of the step that made it and ``artifact_file`` its name there;
    ``asked`` is a digest of what the recipe asks for it: while that stays, nobody wanted
    other bytes. ``measure`` is the key of the step that measured it, and ``fresh`` says
    whether it did so in this run or in an earlier one. ``size`` is in bytes,
    ``increase`` relative to the full file's perplexity, ``same_top`` a share of 1, speeds
    are tokens per second. ``verdict`` and ``note`` say how its bytes compare with those of
    the run ``against`` (0: with none). ``measuring`` is a digest of how the recipe measures:
    numbers of different ones are not compared.
    """

    file: str
    type: str
    sha256: str
    status: str
    size: int
    bits_per_weight: float
    step: str = ""
    artifact_file: str = ""
    asked: str = ""
    measure: str = ""
    fresh: bool = False
    perplexity: float | None = None
    perplexity_error: float | None = None
    increase: float | None = None
    kld: float | None = None
    same_top: float | None = None
    prompt_per_second: float | None = None
    generation_per_second: float | None = None
    memory: int | None = None
    verdict: str = ""
    note: str = ""
    against: int = 0
    measuring: str = ""

    @property
    def full(self) -> bool:
        """Whether it is the unquantized file, which is no output: others are held against it."""
        return self.file == f"{self.type}, for comparison"


@dataclass(frozen=True)
class Alarm:
    """One change beyond its limit: of which file, of what, from what to what.

    ``what`` is ``bytes``, ``perplexity``, ``kld``, ``size``, ``speed`` or ``rebuild``.
    """

    file: str
    what: str
    message: str
    before: str = ""
    after: str = ""
    limit: str = ""


@dataclass(frozen=True)
class Ended:
    """All there is to say when a run is over; ``report`` is its JSON, if it made one."""

    state: str
    error: str = ""
    steps: tuple[StepRow, ...] = ()
    files: tuple[FileRow, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    report: Mapping[str, JSON] = field(default_factory=dict)
