"""What recipes and nights are now, as a file for Prometheus' node_exporter (textfile collector)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.history import History, Night, Run, run_states

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

# How many runs of a recipe are looked at for its last good one.
_LOOK_BACK = 200


def require(file: Path | None) -> None:
    """Refuse a file that cannot be written, before a night of hours begins.

    Raises:
        UsageError: prometheus_client is not installed, or the file has another ending.
    """
    if file is None:
        return
    try:
        import prometheus_client  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise UsageError(
            "--metrics needs prometheus_client, which is not installed",
            "Install it with: pip install 'orchestrate-gguf[notify]'",
        ) from None
    if file.suffix != ".prom":
        raise UsageError(
            f"{file}: node_exporter reads files that end in .prom alone",
            f"Call it {file.with_suffix('.prom').name}.",
        )


def write(history: History, store_bytes: int, file: Path) -> None:
    """Replace the file by what is known now; whoever reads it sees the old one or the new one.

    Raises:
        EnvironmentProblem: The file cannot be written.
    """
    from prometheus_client import CollectorRegistry, write_to_textfile  # noqa: PLC0415

    class Known:
        def collect(self) -> Iterator[GaugeMetricFamily]:
            yield from _nights(history.nights(1, brief=True), store_bytes)
            yield from _recipes(history)

    registry = CollectorRegistry()
    registry.register(Known())
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(file), registry)
    except OSError as error:
        raise EnvironmentProblem(
            f"{file} cannot be written: {error.strerror}", "Name another with --metrics."
        ) from error


def _nights(newest: Iterable[Night], store_bytes: int) -> Iterator[GaugeMetricFamily]:
    yield _gauge("orchestrate_store_bytes", "Bytes of the store.", [((), store_bytes)])
    for night in newest:
        bad = run_states.of(night.state).needs_attention
        numbers = {
            "orchestrate_night": ("Number of the newest night.", night.id),
            "orchestrate_night_needs_attention": ("1 when it does, 0 when all is well.", int(bad)),
            "orchestrate_night_started_seconds": ("When it began.", _moment(night.started)),
            "orchestrate_night_ended_seconds": ("When it ended.", _moment(night.ended)),
        }
        for name, (about, value) in numbers.items():
            if value is not None:
                yield _gauge(name, about, [((), value)])


def _recipes(history: History) -> Iterator[GaugeMetricFamily]:
    runs = {name: history.runs(name, nightly=True, limit=_LOOK_BACK) for name in history.recipes()}
    ended = {name: [one for one in found if one.ended] for name, found in runs.items()}
    newest = {name: found[0] for name, found in ended.items() if found}
    took = history.step_seconds(min((run.id for run in newest.values()), default=0))
    yield _gauge(
        "orchestrate_recipe_state",
        "1 for the state of a recipe's last run in a night.",
        [((name, run.state), 1) for name, run in newest.items()],
        ("recipe", "state"),
    )
    good = {name: next((one for one in found if one.good), None) for name, found in ended.items()}
    columns: dict[str, tuple[str, Mapping[str, float | None]]] = {
        "orchestrate_recipe_ended_seconds": ("When its last run ended.", _ends(newest)),
        "orchestrate_recipe_good_seconds": ("When its last good run ended.", _ends(good)),
        "orchestrate_recipe_duration_seconds": (
            "Seconds that the steps of its last run took.",
            {name: took.get(run.id, 0.0) for name, run in newest.items()},
        ),
    }
    for metric, (about, values) in columns.items():
        known = [((name,), value) for name, value in values.items() if value is not None]
        yield _gauge(metric, about, known, ("recipe",))


def _ends(runs: dict[str, Run] | dict[str, Run | None]) -> dict[str, float | None]:
    return {name: _moment(run.ended) for name, run in runs.items() if run is not None}


def _moment(text: str) -> float | None:
    """Seconds since the epoch of a time as the history writes it."""
    return datetime.fromisoformat(text).timestamp() if text else None


def _gauge(
    name: str,
    about: str,
    values: Iterable[tuple[tuple[str, ...], float]],
    labels: tuple[str, ...] = (),
) -> GaugeMetricFamily:
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415

    found = GaugeMetricFamily(name, about, labels=labels)
    for of, value in values:
        found.add_metric(of, value)
    return found
