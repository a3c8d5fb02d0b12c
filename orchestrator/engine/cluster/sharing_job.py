"""Carry out a job of a run whose workers have stores of their own.

What other machines need goes through the shared cache. What it keeps back (tools, models and
texts, merged checkpoints, logits) a worker that lacks it makes again, from the same steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.base.errors import EXIT_ENVIRONMENT, EnvironmentProblem, StepError
from orchestrator.base.step_values import Activity, Ended, Progress, Step, StepResult
from orchestrator.engine import progress_listeners, step_kinds
from orchestrator.engine.cluster.store_id import store_id
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.scheduler import Runner
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from orchestrator.engine.step_worker import Event, Job, Say


def carry_out_sharing(job: Job, say: Say) -> StepResult:
    """Look the key up here and in the cache, bring or make what it reads, make it, and send it.

    Raises:
        OrchestrateError: As ``carry_out``.
        PlaceProblem: The cache does not answer, or refuses.
    """
    said: list[str] = []
    cache = SharedCache(job.settings.remote, said.append, required=True)
    known = KnownArtifacts(job.store, cache=cache)
    settings = replace(job.settings, jobs=1, threads=job.threads, keep="all", deadline=math.inf)
    runner = Runner(job.store, settings, _Heard(job.step, say), known=known)
    steps = [*job.along, job.step]
    results = runner.run(steps, [job.step.key])
    failed = next((one for one in results if one.cause is not None), None)
    if failed is not None:
        raise _failure(failed)
    _send(steps, job, cache)
    if step_kinds.is_shared(job.step) and not cache.recall([job.step.key]):
        raise EnvironmentProblem(f"{job.step.label} was made, but not sent: {' '.join(said)}")
    made = next(one for one in results if one.step.key == job.step.key)
    return replace(made, store=store_id(job.store))


def _failure(failed: StepResult) -> Exception:
    """Why it could not be made, with the end of a log that only this machine has."""
    text = progress_listeners.failures([failed])[0]
    ours = getattr(failed.cause, "exit_code", 0) == EXIT_ENVIRONMENT
    return EnvironmentProblem(text) if ours else StepError(text)


def _send(steps: Sequence[Step], job: Job, cache: SharedCache) -> None:
    """Send what is here and not there; of what is kept back, how it was made."""
    there = cache.recall([step.key for step in steps])
    for step in steps:
        if step.key in there:
            continue
        with job.store.hold([step.key]):
            made = job.store.find(step.key, quick=True)
            if made is not None:
                cache.push(step, made)
                cache.ask_again(step.key)


@dataclass
class _Heard:
    """Says what happens as events of the one step that the run knows of."""

    step: Step
    say: Say
    begun: bool = False

    def planned(self, steps: Sequence[Activity]) -> None:
        """They are said when they begin."""

    def started(self, step: Activity) -> None:
        del step
        if not self.begun:
            self.begun = True
            self.say(Event(self.step.key, "started"))

    def progressed(self, step: Activity, progress: Progress) -> None:
        if step.key != self.step.key or step.kind != self.step.kind:
            progress = replace(progress, note=f"{step.label} {progress.note}".strip())
        self.say(Event(self.step.key, "progressed", progress=progress))

    def waiting(self, step: Activity, holder: str) -> None:
        del step
        self.say(Event(self.step.key, "waiting", holder=holder))

    def finished(self, result: Ended) -> None:
        """The job's own result says so."""
