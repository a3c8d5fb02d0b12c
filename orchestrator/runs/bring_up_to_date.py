"""From plans to an exit code: foretell, check, run, judge, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from orchestrator.runs import attest_outputs
from orchestrator.engine import progress_listeners
from orchestrator.commands import display_run
from orchestrator.runs import output_folder
from orchestrator.planning import recipe_to_steps
from orchestrator.runs import record_history
from orchestrator.runs import report
from orchestrator.runs import plan_one_file
from orchestrator.runs import session as workflow
from orchestrator.base.errors import (EXIT_FAILED, EXIT_OK, Interrupted, OrchestrateError, problem_of)
from orchestrator.runs.finished_plan import (Finished, exit_code, problems)
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.base.step_values import (Status, StepResult)
from orchestrator.runs.collect_results import (collect, write)
from orchestrator.base.command_output import Voice
from orchestrator.runs.session import (Outlook, Session)

# Which of several outlooks cannot be made on this machine, by their place, and why.
Fit = Callable[[Sequence[Outlook]], Mapping[int, OrchestrateError]]


def run(
    session: Session,
    plans: Sequence[Plan],
    out: Path,
    *,
    strict: bool,
    voice: Voice,
    sign_key: Path | None = None,
) -> int:
    """Bring the plans' files up to date, and say what came of it; the exit code.

    Raises:
        EnvironmentProblem, UsageError: As :func:`bring`.
    """
    with record_history.by_hand(session.store, plans) as record:
        done = bring(session, plans, out, strict=strict, sign_key=sign_key)
        record(done)
    made = [(one.result, one.folder, one.notes) for one in done if one.result is not None]
    for result, folder, notes in made:
        voice.result(display_run.summary(result, folder, notes))
    voice.value([display_run.summary_value(*one) for one in made])
    voice.errors(problems(done))
    return max((one.code for one in done), default=EXIT_OK)


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
    todo = [one for one in plans if not workflow.up_to_date(one, session)]
    refused, sized = _prepare(todo, session, fit or _all_or_none(session, out))
    going = [sized.get(id(one), one) for one in plans if id(one) not in refused]
    results = {result.step.key: result for result in workflow.execute(going, session)}
    done = []
    for one in plans:
        if id(one) in refused:
            done.append(Finished(one, out / one.recipe.name, refused=refused[id(one)]))
        else:
            own = sized.get(id(one), one)
            done.append(_brought(own, session, out, results, strict=strict, sign_key=sign_key))
    workflow.tidy(going, session)
    return done


def _all_or_none(session: Session, out: Path) -> Fit:
    def fit(outlooks: Sequence[Outlook]) -> Mapping[int, OrchestrateError]:
        workflow.check_room(outlooks, session, out)
        return {}

    return fit


def _prepare(
    plans: Sequence[Plan], session: Session, fit: Fit
) -> tuple[dict[int, OrchestrateError], dict[int, Plan]]:
    """Foretell and check plans: the reason of those that cannot be made, sizes of the others."""
    # A first look, at what the tool chains need; sizes of models are not known yet.
    first = fit([Outlook(one, None) for one in plans])
    refused = {id(plans[place]): error for place, error in first.items()}
    going = [one for one in plans if id(one) not in refused]
    good: dict[int, Outlook] = {}
    for one, outlook in zip(going, workflow.outlooks(going, session, build=True), strict=True):
        error = outlook if isinstance(outlook, OrchestrateError) else _objection(outlook)
        if error is not None:
            refused[id(one)] = error
        elif isinstance(outlook, Outlook):
            good[id(one)] = outlook
    keys = list(good)
    refused |= {keys[place]: error for place, error in fit(list(good.values())).items()}
    return refused, {key: outlook.plan for key, outlook in good.items() if key not in refused}


def _objection(outlook: Outlook) -> OrchestrateError | None:
    try:
        workflow.check_outputs(outlook)
    except OrchestrateError as error:
        return error
    return None


def foretell(
    plans: Sequence[Plan], session: Session
) -> tuple[list[Outlook], list[OrchestrateError]]:
    """What is known of plans before they run, and why some of them cannot run."""
    found = workflow.outlooks(plans, session, build=False)
    good = [one for one in found if isinstance(one, Outlook)]
    refused = [one for one in found if isinstance(one, OrchestrateError)]
    objections = [_objection(one) for one in good]
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
    steps = _own(one, results)
    result = collect(one, session.store, strict=strict, earlier=output_folder.earlier_report(folder))
    if not result.report.rows:
        return Finished(one, folder, steps)
    texts = attest_outputs.documents(result, session.store.root, sign_key)
    published = write(result, folder, texts)
    return Finished(one, folder, steps, result, tuple(published.notes))


def verify(session: Session, plans: Sequence[Plan], out: Path, voice: Voice) -> int:
    """Measure the files of recipes that are there already, and judge them again.

    Raises:
        OrchestrateError: A file was not made yet.
    """
    for one in plans:
        missing = [o.name for o in one.outputs if session.store.find(o.step) is None]
        if missing:
            raise OrchestrateError(
                f"{one.recipe.name}: {', '.join(missing)} is not made yet",
                f"Run 'orchestrate run {one.recipe.file}'.",
            )
        for output in (*one.outputs, one.full):
            session.store.release(output.measure)
    return run(session, plans, out, strict=True, voice=voice)


def build(session: Session, name: str, voice: Voice) -> int:
    """Build one tool chain and its environment."""
    steps = recipe_to_steps.toolchain_steps(name, session.choices)
    results = session.runner.run(steps, [step.key for step in steps])
    made = [result for result in results if result.path is not None]
    for result in made:
        voice.result(f"{result.step.label}: {result.path}")
    voice.value([display_run.step_value(result) for result in made])
    voice.errors(progress_listeners.failures(results))
    return exit_code(results)


def verify_file(
    session: Session,
    path: Path,
    against: Path | None,
    corpus: Path | None,
    prompt: str,
    *,
    voice: Voice,
) -> int:
    """Check any GGUF file, alone or against its unquantized file."""
    one = plan_one_file.plan_of(path, against, corpus, prompt, session)
    done = workflow.execute([one], session)
    voice.errors(progress_listeners.failures(done))
    code = exit_code(done)
    if code != EXIT_OK:
        return code
    result = collect(one, session.store, strict=True)
    voice.result(display_run.checks(result))
    voice.value(report.as_json(result.report))
    return EXIT_FAILED if result.report.status is Status.FAIL else EXIT_OK
