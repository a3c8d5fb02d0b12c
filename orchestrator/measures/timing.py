"""When and where numbers of the machine were taken, and whether they compare; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def together(files: ByFile) -> bool:
    """Whether all was taken on one machine within a day."""
    machines = {one.get("machine", "") for one in _all(files)}
    dates = [_date(one) for one in _all(files)]
    return len(machines) < 2 and (not dates or max(dates) - min(dates) <= _TOGETHER)


def line(files: ByFile) -> str:
    """When and where, in one sentence; it warns where that differs. Empty without any."""
    names = [one.name for one in timed() if any(one.name in found for found in files.values())]
    if not names:
        return ""
    what = " and ".join(names)
    places: dict[str, list[str]] = {}
    for name, found in files.items():
        for shown in dict.fromkeys(_shown(one) for one in found.values()):
            places.setdefault(shown, []).append(name)
    if together(files):
        newest = max(_all(files), key=_date)
        return f"{what[:1].upper()}{what[1:]}: measured {_shown(newest)}."
    told = "; ".join(f"{', '.join(names)} {place}" for place, names in places.items())
    return (
        f"{what[:1].upper()}{what[1:]}, not measured together, do not compare: {told}. "
        f"'orchestrate run --measure-again {names[0]}' measures all anew."
    )


def remark(files: ByFile, now: datetime) -> str:
    """The same where the table would mislead: taken apart, or before the day of ``now``."""
    old = any(now - _date(one) > _TOGETHER for one in _all(files))
    return line(files) if old or not together(files) else ""


def _all(files: ByFile) -> Iterator[Taken]:
    return (one for found in files.values() for one in found.values())


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
