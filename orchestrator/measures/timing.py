"""When and where numbers of the machine were taken, and whether they compare; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

from orchestrator.base import units
from orchestrator.base.step_values import JSON
from orchestrator.measures import registry
from orchestrator.measures.definition import Measure

# ``date`` (UTC, ISO 8601), ``machine`` (its id), ``processor`` and ``cores``; the last three
# are missing in what was measured before they were noted.
Taken = Mapping[str, JSON]
# By type of the file and by measure.
ByFile = Mapping[str, Mapping[str, Taken]]
# Numbers of one run are taken within this, however long its quantizing is.
_TOGETHER = timedelta(days=1)


def timed() -> list[Measure]:
    """Measures whose numbers are of the machine and the hour as much as of the file."""
    return [one for one in registry.measures() if any(number.timed for number in one.numbers)]


def line(files: ByFile) -> str:
    """When and where, in sentences that warn where files were measured apart; or nothing."""
    return _sentences(files, lambda _taken: True)


def remark(files: ByFile, now: datetime) -> str:
    """The same where the table would mislead: measured apart, or before the day of ``now``."""

    def misleads(taken: Mapping[str, Taken]) -> bool:
        old = any(now - _date(one) > _TOGETHER for one in taken.values())
        return old or not _together(taken)

    return _sentences(files, misleads)


def _sentences(files: ByFile, wanted: Callable[[Mapping[str, Taken]], bool]) -> str:
    """A sentence for measures that were taken alike; ``wanted`` sees one measure of all files."""
    said: dict[str, list[str]] = {}
    for name in (one.name for one in timed()):
        taken = {file: found[name] for file, found in files.items() if name in found}
        if taken and wanted(taken):
            said.setdefault(_sentence(taken), []).append(name)
    found = ((" and ".join(names), text) for text, names in said.items())
    return " ".join(f"{what[:1].upper()}{what[1:]}: {text}" for what, text in found)


def _sentence(taken: Mapping[str, Taken]) -> str:
    if _together(taken):
        return f"measured {_shown(max(taken.values(), key=_date))}."
    places: dict[str, list[str]] = {}
    for name, one in taken.items():
        places.setdefault(_shown(one), []).append(name)
    told = "; ".join(f"{', '.join(names)} {place}" for place, names in places.items())
    return (
        f"not measured together, so files do not compare: {told}. "
        "'orchestrate run --measure-again NAME' measures one of these for all files anew."
    )


def _together(taken: Mapping[str, Taken]) -> bool:
    """Whether all files were measured on one machine within a day."""
    dates = [_date(one) for one in taken.values()]
    machines = {one.get("machine", "") for one in taken.values()}
    return len(machines) == 1 and max(dates) - min(dates) <= _TOGETHER


def _date(taken: Taken) -> datetime:
    found = datetime.fromisoformat(taken["date"])
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _shown(taken: Taken) -> str:
    """Day and machine."""
    day = f"{_date(taken):%Y-%m-%d}"
    if not taken.get("machine"):
        return f"{day} on a machine that was not noted"
    cores = units.plural(taken["cores"], "core")
    return f"{day} on machine {taken['machine']} ({taken['processor']}, {cores})"
