"""Everybody beside the terminal who hears of a night: pages, a webhook, people, Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.base.errors import EnvironmentProblem, OrchestrateError
from orchestrator.base.step_values import JSON
from orchestrator.engine.artifact_store import Store
from orchestrator.history import History, site
from orchestrator.history.run_records import FAILED
from orchestrator.workflows.nightly import metrics_file, notify, summary_values, webhook
from orchestrator.workflows.nightly.night_values import Summary, Told
from orchestrator.workflows.nightly.summary_markdown import markdown, message


class Sharing:
    """Where results go, checked before the night; nothing of it can make one fail but the pages.

    Raises:
        UsageError: Something is asked for that cannot be done here.
    """

    def __init__(self, told: Told, store: Store, out: Path, warn: Callable[[str], None]) -> None:
        self._told, self._store, self._out, self._warn = told, store, out, warn
        self._people = notify.opened(told.notify)
        webhook.require(told.webhook)
        metrics_file.require(told.metrics)

    def night(self, summary: Summary, past: History) -> None:
        """Share a night that came to its end."""
        self._post(markdown(summary), summary_values.as_json(summary))
        self._notify(past, summary.state, message(summary), summary.night)
        self._metrics(past, summary.store_bytes)
        if self._told.site is not None:
            site.write(past, self._told.site, dist=self._out)

    def no_night(self, error: OrchestrateError) -> None:
        """Share that a night ended before its summary."""
        text, value = summary_values.no_night(error)
        self._post(text, value)
        self._notify(History(self._store.root), FAILED, text)

    def _post(self, text: str, value: Mapping[str, JSON]) -> None:
        """The page of a workflow's run, if this is one, and the webhook, if there is one."""
        self._say(summary_values.step_summary(text))
        self._say(webhook.post(self._told.webhook, value) if self._told.webhook else "")

    def _notify(self, past: History, state: str, text: str, night: int = 0) -> None:
        if self._people is None:
            return
        try:
            called = notify.title(past, state, self._told.when, night)
        except EnvironmentProblem:
            called = "No night"  # its history is what failed
        self._say(notify.send(self._people, called, text) if called else "")

    def _metrics(self, past: History, store_bytes: int) -> None:
        try:
            if self._told.metrics is not None:
                metrics_file.write(past, store_bytes, self._told.metrics)
        except EnvironmentProblem as problem:
            self._say(str(problem))

    def _say(self, problem: str) -> None:
        if problem:
            self._warn(problem)
