"""What a measure is, as frozen values; the other rooms know measures by this alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures.check_status import Check
from orchestrator.measures.expectation import Expectation, Facts

Numbers = Mapping[str, float | int | None]
Form = Callable[[float], str]
# The input of measures that need the original model's folder, and of those that need its texts.
ORIGINAL, ORIGINAL_TEXTS = "original", "original texts"
# The part that a measure of adapters' files goes by; no model has it.
ADAPTER = "adapter"
Place = Literal["report", "terminal", "card", "site", "history"]


@dataclass(frozen=True)
class Option:
    """One key of a measure's section under ``verify:``.

    ``kind`` is ``text`` (a source of one file), ``words``, ``lines`` (several texts of one line
    each), ``texts`` (sources by name), ``pattern``, ``count``, ``count or all`` or ``number``.
    One that came later (``in_digest`` False) is no part of a recipe's digest where it is not
    given.
    """

    name: str
    kind: Literal["text", "texts", "words", "lines", "pattern", "count", "count or all", "number"]
    about: str
    default: int | None = None
    required: bool = False
    in_digest: bool = True


@dataclass(frozen=True)
class Section:
    """A measure's key under ``verify:``: true or false where it has no options.

    ``default`` says whether it is measured when a recipe is silent, ``of_encoders`` the same for
    models that write no text; ``needs`` is a section that must be there too, ``part`` a part of
    the model that must be made, with a header in which ``part_has`` is true, and ``why`` the
    reason in words. A section that is not used is no
    part of a recipe's digest, unless it was so from the first version on (``in_digest``).
    """

    name: str
    about: str
    options: tuple[Option, ...] = ()
    describes: str = ""
    default: bool = False
    of_encoders: bool = False
    needs: str = ""
    part: str = ""
    part_has: str = ""
    why: str = ""
    in_digest: bool = False

    @property
    def all_optional(self) -> bool:
        """Whether ``true`` says enough: it has no options, or none that is required."""
        return not any(one.required for one in self.options)


@dataclass(frozen=True)
class Alarm:
    """Which change between two nights calls for attention, unless a recipe says otherwise.

    A change counts when it is larger than ``change`` (a share of the earlier value) and
    ``floor`` (in the number's own unit). ``key`` is its key under ``alarms:``.
    """

    key: str
    change: float
    about: str
    floor: float = 0.0


@dataclass(frozen=True)
class Number:
    """One number of a measure.

    ``title`` names it in sentences and above charts, ``key`` in reports' JSON and in CSV
    files, where it stands beside other measures' numbers. ``error`` is the number that is its
    standard error. ``timed`` numbers are of the machine and the hour as much as of the file.
    ``tolerance`` is how far it may be off a published one without a warning. ``quality``
    numbers are drawn against size and over time. ``relative`` ones are against the full file,
    which has none. ``paired`` is the number that tells differences of this one, with their own
    error. ``unit`` is one of ``bytes``, ``share`` (of 1) and others that are only shown.
    """

    name: str
    title: str
    key: str = ""
    form: str = "{:g}"
    better: Literal["lower", "higher", ""] = ""
    error: str = ""
    unit: str = ""
    timed: bool = False
    alarm: Alarm | None = None
    tolerance: float | None = None
    quality: bool = False
    relative: bool = False
    paired: str = ""

    @property
    def heading(self) -> str:
        """The title as it begins a line."""
        return self.title[:1].upper() + self.title[1:]

    def shown(self, value: float) -> str:
        """A value for people."""
        if self.unit == "bytes":
            return units.size(value)
        return units.percent(value) if self.unit == "share" else self.form.format(value)


@dataclass(frozen=True)
class Limit:
    """A key under ``limits:``: the most or the least that a number may be.

    ``says`` is the bound in words, made from the limit's value; ``one_text`` says that it is of
    no use for another text than the first. For ``in_digest`` see
    :class:`Section`.
    """

    key: str
    number: str
    kind: Literal["number", "percentage", "size"]
    about: str
    says: Form
    least: bool = False
    one_text: bool = False
    in_digest: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table of files.

    ``title`` may hold ``{full}``, the full file's name; ``number`` is what it is sorted by.
    """

    title: str
    cell: Callable[[Numbers], str]
    places: tuple[Place, ...] = ("report",)
    number: str = ""


@dataclass(frozen=True)
class Work:
    """How a measure is taken, as a step of its own for each file.

    Attributes:
        run: Measures ``inputs["model"]/params["file"]``; its facts are the step's.
        doing: What it does in words, for labels and progress.
        verbs: Verbs that it calls; without them in its tool chain it cannot be taken.
        options: Parameters of its step, from the recipe's sections by their names: all that
            decides about the result. Keys of steps are made from it.
        section: The section that asks for it, if it is another measure's.
        text: The section whose text it reads, if any.
        on: The further text of that section that it reads; empty for the first.
        compares: Whether it needs the full file's logits, so that only other files have it.
        part: A part of the model that it needs beside the text model, if any.
        original: What it needs of the original model, so that only the full file has it: the
            folder with its weights, and then only where the full file was converted from one;
            or its small texts, where there is such a folder.
        against_full: Whether other files need what it found on the full one, as ``full``.
        covered_by: A measure whose step finds this one's facts too where it is taken.
        reads_texts: Whether what a header says in texts, such as its chat template, may change
            the result.
        loads: Whether a tool loads the file, which it would not if its header is wrong.
    """

    run: Callable[[Task], dict[str, JSON]]
    doing: str
    verbs: tuple[str, ...] = ()
    options: Callable[[Mapping[str, JSON]], dict[str, JSON]] | None = None
    section: str = ""
    text: str = ""
    on: str = ""
    compares: bool = False
    part: str = ""
    original: Literal["", "weights", "texts"] = ""
    against_full: bool = False
    covered_by: str = ""
    reads_texts: bool = False
    loads: bool = True


Judge = Callable[["Measure", Facts, Expectation], Iterable[Check]]
Read = Callable[[Facts, Expectation], Numbers]


def _none(_facts: Facts, _expectation: Expectation) -> Numbers:
    return {}


@dataclass(frozen=True)
class Measure:
    """One measure: how it is asked for, taken, read, judged and shown.

    Attributes:
        name: Names its facts, numbers and step.
        order: Its place in reports.
        judge: Its checks, made from the facts of all measures of one file.
        read: Its numbers, from the same; those that are not known are None or missing.
        work: How it is taken; None when other measures' facts hold it.
        by_text: Whether it is taken on each text that the recipe names.
        found_with: The measure whose facts hold it where it is not taken itself.
        note: A sentence about its columns for a model card; ``{full}`` is the full file.
    """

    name: str
    order: int
    judge: Judge
    read: Read = _none
    work: Work | None = None
    by_text: bool = False
    found_with: str = ""
    section: Section | None = None
    numbers: Sequence[Number] = field(default=())
    limits: Sequence[Limit] = field(default=())
    columns: Sequence[Column] = field(default=())
    note: str = ""

    def number(self, name: str) -> Number:
        """The number of this name."""
        return next(one for one in self.numbers if one.name == name)

    @property
    def asked_by(self) -> str:
        """The section under ``verify:`` that asks for it; empty when it is always taken."""
        if self.work is not None and self.work.section:
            return self.work.section
        return self.section.name if self.section is not None else ""
