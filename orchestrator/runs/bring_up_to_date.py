"""From plans to an exit code: predict, check, run, judge, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.base.errors import Interrupted, OrchestrateError, problem_of
from orchestrator.base.step_values import StepResult
from orchestrator.history import History
from orchestrator.planning.recipe_to_steps import Plan, union
from orchestrator.runs import (
    attest_outputs,
    earlier_perplexity,
    execute_plans,
    output_folder,
    preflight,
    shared_caches,
)
from orchestrator.runs.collect_results import collect, write
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.preflight import Preview
from orchestrator.runs.session import Session

# Which of several previews cannot be made on this machine, by their place, and why.
Fit = Callable[[Sequence[Preview]], Mapping[int, OrchestrateError]]


def bring(
    session: Session,
    plans: Sequence[Plan],
    out: Path,
    *,
    strict: bool = True,
    sign_key: Path | None = None,
    fit: Fit | None = None,
) -> list[Finished]:
    """Bring the plans' files up to date, judge them and put them into ``out``.

    One plan that cannot be made does not stop the others. With a private key their
    provenance is signed.

    Args:
        session: What all commands share.
        plans: The plans; they run as one graph.
        out: Where the folders of files go.
        strict: False for stand-in models: limits are reported as off.
        sign_key: The private key.
        fit: Says which of them the machine has no room for; without it, all must fit.

    Raises:
        EnvironmentProblem: Disk or memory are short, found before any work.
        UsageError: The key cannot sign, found before any work.
    """
    if sign_key is not None:
        attest_outputs.check_key(sign_key)
    session.store.sweep()
    with session.store.lease([step.key for step in union(plans)]):
        session.known.forget_removed()  # from here on nothing is
        return _bring(session, plans, out, fit, strict=strict, sign_key=sign_key)


def _bring(
    session: Session,
    plans: Sequence[Plan],
    out: Path,
    fit: Fit | None,
    *,
    strict: bool,
    sign_key: Path | None,
) -> list[Finished]:
    try:
        ready = _prepare(plans, session, fit or _all_or_none(session, out))
        going = [one for one in ready if isinstance(one, Plan)]
        results = {result.step.key: result for result in execute_plans.execute(going, session)}
        if session.cluster is not None and session.cluster.apart:
            shared_caches.remember(going, session)
        with History(session.store.root).kept():  # each looks for its earlier runs
            done = [
                _brought(one, session, out, results, strict=strict, sign_key=sign_key)
                if isinstance(one, Plan)
                else Finished(plan, out / plan.recipe.name, refused=one)
                for plan, one in zip(plans, ready, strict=True)
            ]
        if session.known.uploads is not None:
            session.known.uploads.finish()  # while all is there that is still to be sent
        execute_plans.tidy(going, session)
    finally:
        session.known.forget()
    return done


def _all_or_none(session: Session, out: Path) -> Fit:
    def fit(previews: Sequence[Preview]) -> Mapping[int, OrchestrateError]:
        preflight.check_room(previews, session, out)
        return {}

    return fit


def _prepare(plans: Sequence[Plan], session: Session, fit: Fit) -> list[Plan | OrchestrateError]:
    """Each plan as it runs, with the sizes of what is to be made, or why it cannot be made."""
    shared_caches.bring(plans, session)
    ready: dict[int, Plan | OrchestrateError] = dict(enumerate(plans))
    todo = [place for place, one in enumerate(plans) if not execute_plans.up_to_date(one, session)]
    # A first look, at what the tool chains need; sizes of models are not known yet.
    ready |= _misfits({place: Preview(plans[place], None) for place in todo}, fit)
    fitting = [place for place in todo if ready[place] is plans[place]]
    found = preflight.previews([plans[place] for place in fitting], session, build=True)
    checked = {place: _checked(one, session) for place, one in zip(fitting, found, strict=True)}
    good = {place: one for place, one in checked.items() if isinstance(one, Preview)}
    ready |= {place: one for place, one in checked.items() if isinstance(one, OrchestrateError)}
    ready |= {place: one.plan for place, one in good.items()}
    ready |= _misfits(good, fit)
    return [ready[place] for place in range(len(plans))]


def _misfits(previews: Mapping[int, Preview], fit: Fit) -> dict[int, OrchestrateError]:
    """Those that there is no room for, by the same numbers, and why."""
    numbers = list(previews)
    return {numbers[place]: error for place, error in fit(list(previews.values())).items()}


def _checked(found: Preview | OrchestrateError, session: Session) -> Preview | OrchestrateError:
    """The preview, or why its files could not be made, loaded or measured."""
    return found if isinstance(found, OrchestrateError) else _objection(found, session) or found


def _objection(preview: Preview, session: Session) -> OrchestrateError | None:
    try:
        preflight.check_outputs(preview, session.choices)
    except OrchestrateError as error:
        return error
    return None


def predict(
    plans: Sequence[Plan], session: Session
) -> tuple[list[Preview], list[OrchestrateError]]:
    """What is known of plans before they run, and why some of them cannot run."""
    found = preflight.previews(plans, session, build=False)
    good = [one for one in found if isinstance(one, Preview)]
    refused = [one for one in found if isinstance(one, OrchestrateError)]
    objections = [_objection(one, session) for one in good]
    return good, [*refused, *(error for error in objections if error is not None)]


def _brought(
    one: Plan,
    session: Session,
    out: Path,
    results: Mapping[str, StepResult],
    *,
    strict: bool,
    sign_key: Path | None,
) -> Finished:
    """What became of one plan; a folder that cannot be written is no other plan's fault."""
    try:
        return _finished(one, session, out, results, strict=strict, sign_key=sign_key)
    except Interrupted:
        raise
    except OrchestrateError as error:
        refused = error
    except OSError as error:
        refused = problem_of(error)
    return Finished(one, out / one.recipe.name, _own(one, results), refused=refused)


def _own(one: Plan, results: Mapping[str, StepResult]) -> tuple[StepResult, ...]:
    return tuple(results[step.key] for step in one.steps if step.key in results)


def _finished(
    one: Plan,
    session: Session,
    out: Path,
    results: Mapping[str, StepResult],
    *,
    strict: bool,
    sign_key: Path | None,
) -> Finished:
    """Judge what is there and write its folder."""
    folder = out / one.recipe.name
    steps, earlier = _own(one, results), output_folder.earlier_report(folder)
    result = collect(
        one,
        session.known,
        strict=strict,
        earlier=earlier,
        perplexity=earlier_perplexity.of(one, session.store),
    )
    if not result.report.rows:
        return Finished(one, folder, steps)
    texts = attest_outputs.documents(result, session.store.root, sign_key)
    published = write(result, folder, session.store.digests, texts, earlier)
    return Finished(one, folder, steps, result, tuple(published.notes))
