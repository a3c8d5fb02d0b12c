"""The rows of the history as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.base.step_values import JSON
from orchestrator.measures.file_numbers import ByMeasure, Numbered

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
class FileRow(Numbered):
    """One file of a run, and its ``numbers`` by measure and name, as far as they are known.

    ``step`` is the key of the step that made it and ``artifact_file`` its name there;
    ``asked`` is a digest of what the recipe asks for it: while that stays, nobody wanted
    other bytes. ``measure`` is the key of the step that measured it, and ``fresh`` says
    whether it did so in this run or in an earlier one. ``verdict`` and ``note`` say how its
    bytes compare with those of the run ``against`` (0: with none). ``measuring`` is a digest of
    how the recipe measures: numbers of different ones are not compared.
    """

    file: str
    type: str
    sha256: str
    status: str
    step: str = ""
    artifact_file: str = ""
    asked: str = ""
    measure: str = ""
    fresh: bool = False
    verdict: str = ""
    note: str = ""
    against: int = 0
    measuring: str = ""
    numbers: ByMeasure = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether it is the unquantized file, which is no output: others are held against it."""
        return self.file == f"{self.type}, for comparison"

    def as_json(self) -> dict[str, JSON]:
        """As reports have it: numbers under their keys, and all by measure."""
        told = {name: value for name, value in vars(self).items() if name != "numbers"}
        measures = {name: dict(found) for name, found in self.numbers.items()}
        return {**told, **self.by_key(), "measures": measures}


@dataclass(frozen=True)
class Alarm:
    """One change beyond its limit: of which file, of what, from what to what.

    ``what`` is ``bytes``, ``rebuild``, or the key of a number's alarm, such as ``size``. It is
    ``upstream`` where the newest commit (``after``) of the tool chain named by ``file`` cannot be
    built, and ``before`` was taken; ``source`` and ``published`` where a watched repository is
    no longer what the recipe takes or makes.
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
