"""From plans to an exit code: foretell, check, run, judge, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator import attesting, console, display, dist, plan, workflow
from orchestrator.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_OK,
    EnvironmentProblem,
    OrchestrateError,
)
from orchestrator.plan import Plan
from orchestrator.records import Outcome, Status, StepResult
from orchestrator.results import collect, write
from orchestrator.workflow import Outlook, Session

Say = Callable[[str], None]


def run(
    session: Session,
    plans: Sequence[Plan],
    out: Path,
    *,
    strict: bool,
    say: Say,
    sign_key: Path | None = None,
) -> int:
    """Bring the plans' files up to date, judge them and put them into ``out``.

    One plan that cannot be made does not stop the others. With a private key their
    provenance is signed.

    Returns:
        The exit code.

    Raises:
        EnvironmentProblem: Disk or memory are short, found before any work.
        UsageError: The key cannot sign, found before any work.
    """
    if sign_key is not None:
        attesting.check_key(sign_key)
    session.store.sweep()
    todo = [one for one in plans if not workflow.up_to_date(one, session)]
    refused, sized = _prepare(todo, session, out)
    going = [sized.get(id(one), one) for one in plans if id(one) not in refused]
    done = workflow.execute(going, session)
    code = max([exit_code(done), *(error.exit_code for error in refused.values())])
    for one in going:
        code = max(code, _report(one, session, out, strict, say, sign_key=sign_key))
    workflow.tidy(going, session)
    for text in [*console.failures(done), *map(str, refused.values())]:
        say(f"error: {text}")
    return code


def _prepare(
    plans: Sequence[Plan], session: Session, out: Path
) -> tuple[dict[int, OrchestrateError], dict[int, Plan]]:
    """Foretell and check plans: the reason of those that cannot be made, sizes of the others."""
    # A first look, at what the tool chains need; sizes of models are not known yet.
    workflow.check_room([Outlook(one, None) for one in plans], session, out)
    refused: dict[int, OrchestrateError] = {}
    good: dict[int, Outlook] = {}
    for one, outlook in zip(plans, workflow.outlooks(plans, session, build=True), strict=True):
        error = outlook if isinstance(outlook, OrchestrateError) else _objection(outlook)
        if error is not None:
            refused[id(one)] = error
        elif isinstance(outlook, Outlook):
            good[id(one)] = outlook
    workflow.check_room(list(good.values()), session, out)
    return refused, {key: outlook.plan for key, outlook in good.items()}


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


def _report(
    one: Plan, session: Session, out: Path, strict: bool, say: Say, *, sign_key: Path | None
) -> int:
    """Judge what is there, write ``out``, print the table; the exit code of the checks."""
    folder = out / one.recipe.name
    result = collect(one, session.store, strict=strict, earlier=dist.earlier_report(folder))
    if not result.report.rows:
        return EXIT_OK
    texts = attesting.documents(result, session.store.root, sign_key)
    published = write(result, folder, texts)
    say(display.summary(result, folder, published.notes))
    return EXIT_FAILED if result.report.status is Status.FAIL else EXIT_OK


def exit_code(results: Sequence[StepResult]) -> int:
    """0, or 1 when a step failed, or 3 when the machine was the reason."""
    failed = [result for result in results if result.outcome is Outcome.FAILED]
    if any(isinstance(result.cause, EnvironmentProblem) for result in failed):
        return EXIT_ENVIRONMENT
    return EXIT_FAILED if failed else EXIT_OK


def verify(session: Session, plans: Sequence[Plan], out: Path, say: Say) -> int:
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
    return run(session, plans, out, strict=True, say=say)


def build(session: Session, name: str, say: Say) -> int:
    """Build one tool chain and its environment."""
    steps = plan.toolchain_steps(name, session.choices)
    results = session.runner.run(steps, [step.key for step in steps])
    for text in console.failures(results):
        say(f"error: {text}")
    for result in results:
        if result.path is not None:
            say(f"{result.step.label}: {result.path}")
    return exit_code(results)


def verify_file(
    session: Session,
    path: Path,
    against: Path | None,
    corpus: Path | None,
    prompt: str,
    *,
    say: Say,
) -> int:
    """Check any GGUF file, alone or against its unquantized file."""
    one = workflow.single(path, against, corpus, prompt, session)
    done = workflow.execute([one], session)
    for text in console.failures(done):
        say(f"error: {text}")
    code = exit_code(done)
    if code != EXIT_OK:
        return code
    result = collect(one, session.store, strict=True)
    say(display.checks(result))
    return EXIT_FAILED if result.report.status is Status.FAIL else EXIT_OK
