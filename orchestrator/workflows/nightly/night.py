"""One night: resolve, plan, make room, run as one graph, make again, compare, remember."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from orchestrator.base.errors import (
    EnvironmentProblem,
    Interrupted,
    NetworkProblem,
    OrchestrateError,
    UsageError,
    problem_of,
)
from orchestrator.base.file_mutex import Locks
from orchestrator.base.step_values import Outcome
from orchestrator.base.terminal_colours import status
from orchestrator.history import History
from orchestrator.history.database import now
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.recipe import Recipe
from orchestrator.runs import bring_up_to_date, load_and_plan, record_history
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.load_and_plan import Commits
from orchestrator.runs.session import Session
from orchestrator.workflows.nightly import (
    compare_with_last_good,
    rebuild_unchanged,
    select_recipes,
    upstream_changed,
    watched,
)
from orchestrator.workflows.nightly.free_store_space import StoreLimit, needed
from orchestrator.workflows.nightly.network_retries import NetworkRetries
from orchestrator.workflows.nightly.night_values import Options, RecipeResult, Summary
from orchestrator.workflows.nightly.summary_values import as_json, recipe_result, unplanned_result
from orchestrator.workflows.nightly.upstream_changed import Fallback

Say = Callable[[str], None]


def run(
    options: Options, session: Session, say: Say, network_retries: NetworkRetries | None = None
) -> tuple[Summary, History]:
    """Bring every recipe up to date, compare it with the last good night, and remember.

    Args:
        options: What to do.
        session: What all commands share.
        say: Told what a person who watches would want to know.
        network_retries: How the network is waited for; as ``options`` say when it is not given.

    Raises:
        UsageError: There are no recipes.
        EnvironmentProblem: Another night works in this store, or the history is unusable.
        Interrupted: After what was made is remembered.
    """
    files = select_recipes.recipes(options.paths, options.select)
    with alone(session.store.root):
        night = Night(options, session, say, network_retries)
        return night.run(files), night.history


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the only night that works in a store.

    Raises:
        EnvironmentProblem: Another one does; it says which. Or nobody can.
    """
    with ExitStack() as stack:
        try:
            holder = stack.enter_context(Locks(root / "locks").at_once("nightly"))
        except OSError as error:
            raise EnvironmentProblem(
                f"no night can start in the store {root}: {error.strerror or error}",
                "Make room there, or set ORCHESTRATE_HOME to a folder that can be written to.",
            ) from error
        if holder:
            raise EnvironmentProblem(
                f"another night works in the store {root}: {holder}",
                "Wait for it, or use another store (ORCHESTRATE_HOME).",
            )
        yield


class Night:
    """The work of one night; its parts run one after the other."""

    def __init__(
        self,
        options: Options,
        session: Session,
        say: Say,
        network_retries: NetworkRetries | None = None,
    ) -> None:
        self._options, self._say = options, say
        self._begun = time.monotonic()
        hours = options.hours
        deadline = math.inf if hours is None else self._begun + hours * 3600
        self._session = replace(session, settings=replace(session.settings, deadline=deadline))
        self._network_retries = network_retries or NetworkRetries(options.retries, deadline, say)
        self.history = History(session.store.root)
        self._number = 0
        self._runs: dict[str, int] = {}
        self._fallbacks: dict[str, Fallback] = {}
        self._results: list[RecipeResult] = []

    def run(self, files: Sequence[Path]) -> Summary:
        """All of it; see :func:`run`."""
        started = now()
        self._number = self.history.begin_night(self._options.as_json())
        try:
            summary = self._work(files, started)
        except OrchestrateError as error:
            self._give_up(error)
            raise
        self.history.end_night(self._number, summary.state, as_json(summary, files=False))
        self._forget()
        return summary

    def _forget(self) -> None:
        """Nights and logs that are older than anybody looks for: a store must not grow for ever."""
        before = datetime.now(timezone.utc) - timedelta(days=self._options.keep_days)
        self.history.forget(before.isoformat(timespec="seconds"))
        self._session.store.forget_logs(before.timestamp())

    def _work(self, files: Sequence[Path], started: str) -> Summary:
        recipes = self._oldest_first(self._loaded(files))
        plans = self._plans(recipes)
        for one in plans:
            self._runs[one.recipe.name] = record_history.begin(self.history, one, self._number)
        unplanned = [one.name for one in recipes if one.name not in self._runs]
        protected = needed(plans, self.history, unplanned)
        store_limit = StoreLimit(
            self._session, self._options.out, self._options.max_store, protected
        )
        for finished in self._finished(plans, store_limit):
            self._results.append(self._judged(finished))
        size = store_limit.tidy()
        limit = self._options.max_store
        full = limit is not None and size > limit
        note = ("The store is larger than --max-store: everything in it is needed.",)
        return Summary(
            night=self._number,
            started=started,
            seconds=time.monotonic() - self._begun,
            recipes=tuple(sorted(self._results, key=lambda one: one.recipe)),
            store_bytes=size,
            collected=len(store_limit.collected),
            notes=note if full else (),
        )

    def _give_up(self, error: OrchestrateError) -> None:
        """Note what ended the night as a whole, with every run that was not judged yet."""
        whole = record_history.failed(error)
        judged = {one.run for one in self._results}
        try:
            for run in self._runs.values():
                if run not in judged:
                    self.history.end_run(run, whole)
            self.history.end_night(self._number, whole.state, {"error": whole.error})
        except EnvironmentProblem as problem:
            self._say(f"{status('warning')}: {problem}")  # what ended the night matters more

    # -- before --------------------------------------------------------------------------

    def _loaded(self, files: Sequence[Path]) -> list[Recipe]:
        """The recipes that are sound; the others are told of, and stop nobody."""
        found: dict[str, Recipe] = {}
        for file in files:
            try:
                recipe = load_and_plan.load_one(file)
                other = found.setdefault(recipe.name.casefold(), recipe)
                if other is not recipe:
                    raise UsageError(f"{file}: {other.file} has the name {recipe.name!r} too")
            except OrchestrateError as error:
                self._refuse(file.stem, file, error)
            except OSError as error:
                self._refuse(file.stem, file, problem_of(error))
        return list(found.values())

    def _refuse(self, name: str, file: Path, error: OrchestrateError, digest: str = "") -> None:
        run = self.history.begin_run(name, file.absolute(), digest, night=self._number)
        end = record_history.failed(error)
        self.history.end_run(run, end)
        self._results.append(unplanned_result(name, file, run, end))

    def _oldest_first(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Those whose last finished run is the oldest: a short night starves nobody."""

        def last(recipe: Recipe) -> int:
            runs = self.history.runs(recipe.name, nightly=True, limit=50)
            return max((run.id for run in runs if run.ended and run.state != "left"), default=0)

        return sorted(recipes, key=last)

    def _plans(self, recipes: Sequence[Recipe]) -> list[Plan]:
        """The plans of all recipes whose moving references could be resolved, first of all."""
        commits: Commits = {}
        made: dict[str, Plan] = {}
        attempt = 0
        waiting = list(recipes)
        while True:
            unreached: list[tuple[Recipe, NetworkProblem]] = []
            for recipe in waiting:
                try:
                    made[recipe.name] = load_and_plan.make_one(recipe, self._session, commits)
                except NetworkProblem as error:
                    unreached.append((recipe, error))
                except Interrupted:
                    raise
                except OrchestrateError as error:
                    self._refuse(recipe.name, recipe.file, error, recipe.digest)
                except OSError as error:
                    self._refuse(recipe.name, recipe.file, problem_of(error), recipe.digest)
            if not self._network_retries.wait_and_retry(attempt, [error for _, error in unreached]):
                break
            # What did not answer is asked once an attempt, not once a recipe.
            commits = {place: found for place, found in commits.items() if isinstance(found, str)}
            waiting, attempt = [recipe for recipe, _ in unreached], attempt + 1
        for recipe, problem in unreached:
            self._refuse(recipe.name, recipe.file, problem, recipe.digest)
        return [made[recipe.name] for recipe in recipes if recipe.name in made]

    # -- the work ------------------------------------------------------------------------

    def _finished(self, plans: Sequence[Plan], store_limit: StoreLimit) -> list[Finished]:
        """What became of all plans, after those that the network failed were tried again."""
        done: dict[str, Finished] = {}
        attempt, going = 0, list(plans)
        while going:
            for one in bring_up_to_date.bring(
                self._session, going, self._options.out, fit=store_limit
            ):
                name = one.plan.recipe.name
                done[name] = _joined(done.get(name), one)
            errors = {name: found for name, one in done.items() if (found := _unreached(one))}
            flat = [error for found in errors.values() for error in found]
            if not self._network_retries.wait_and_retry(attempt, flat):
                break
            going, attempt = [done[name].plan for name in errors], attempt + 1
        return list({**done, **self._with_earlier_commits(done, store_limit)}.values())

    def _with_earlier_commits(
        self, done: Mapping[str, Finished], store_limit: StoreLimit
    ) -> dict[str, Finished]:
        """What upstream's newest commit made impossible, with the last that could be built."""
        for name, one in done.items():
            found = upstream_changed.fallback(one, self.history, self._session)
            if found is not None:
                self._fallbacks[name] = found
                self.history.change_commit(self._runs[name], found.plan.sources.commit)
                self._say(f"{status('warning')}: {name}: {found.alarm.message}")
        plans = [one.plan for one in self._fallbacks.values()]
        if not plans:
            return {}
        store_limit.protect(plans)
        made = bring_up_to_date.bring(self._session, plans, self._options.out, fit=store_limit)
        return {one.plan.recipe.name: one for one in made}

    def _judged(self, finished: Finished) -> RecipeResult:
        """Make again what is unchanged, compare, and note the run's end."""
        name = finished.plan.recipe.name
        run = self._runs[name]
        rebuilt = rebuild_unchanged.Rebuilt()
        if self._options.rebuild and rebuild_unchanged.unchanged(finished):
            if time.monotonic() < self._session.settings.deadline:
                without_deadline = replace(self._session.settings, deadline=math.inf)
                alone_ = replace(self._session, settings=without_deadline)
                rebuilt = rebuild_unchanged.rebuild(finished, alone_, self._options.out, self._say)
                finished = rebuilt.finished or finished
            else:
                rebuilt = rebuild_unchanged.Rebuilt(
                    notes=("It was not made again: the time was up.",)
                )
        compared = compare_with_last_good.compare(finished, self.history, self._session.store, run)
        changed = self._fallbacks.get(name)
        offline = self._session.settings.offline
        seen = watched.look(finished.plan, record_history.file_rows(finished), offline=offline)
        finished = replace(finished, notes=(*finished.notes, *seen.notes))
        alarms = (*rebuilt.alarms, *compared.alarms, *seen.alarms)
        if changed is not None:
            alarms = (changed.alarm, *alarms)
            finished = replace(finished, notes=(*finished.notes, changed.note))
        end = record_history.ended(finished, alarms, compared.verdicts)
        if rebuilt.error is not None:
            end = replace(
                end, state=record_history.failed(rebuilt.error).state, error=str(rebuilt.error)
            )
        self.history.end_run(run, end)
        return recipe_result(finished, run, end, compared, rebuilt)


def _joined(before: Finished | None, after: Finished) -> Finished:
    """A later attempt, with what earlier ones of the same night did."""
    if before is None:
        return after
    worked = {one.step.key: one for one in before.steps if one.outcome is Outcome.DONE}
    latest = {one.step.key: one for one in after.steps}
    hits = {key for key, one in latest.items() if one.outcome is Outcome.HIT}
    steps = {**latest, **{k: one for k, one in worked.items() if k in hits or k not in latest}}
    return replace(after, steps=tuple(steps.values()))


def _unreached(finished: Finished) -> list[NetworkProblem]:
    """What the network refused of a plan."""
    causes = [finished.refused, *(one.cause for one in finished.steps)]
    return [cause for cause in causes if isinstance(cause, NetworkProblem)]
