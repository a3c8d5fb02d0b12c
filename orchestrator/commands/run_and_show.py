"""Run plans and show their results; the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.base.command_output import Voice
from orchestrator.base.errors import EXIT_FAILED, EXIT_OK, OrchestrateError
from orchestrator.commands import display_run
from orchestrator.engine import progress_listeners
from orchestrator.measures.check_status import Status
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import (
    chain_at_commit,
    execute_plans,
    load_and_plan,
    output_folder,
    plan_one_file,
    record_history,
    tools_at_hand,
)
from orchestrator.runs.bring_up_to_date import bring
from orchestrator.runs.collect_results import collect
from orchestrator.runs.finished_plan import exit_code, problems
from orchestrator.runs.session import Session
from orchestrator.toolchain import find_toolchain


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
    session.store.require_usable(writable=True)
    output_folder.require_usable(out)
    with record_history.by_hand(session.store, plans) as record:
        done = bring(session, plans, out, strict=strict, sign_key=sign_key)
        record(done)
    made = [(one.result, one.folder, one.notes) for one in done if one.result is not None]
    for result, folder, notes in made:
        voice.result(display_run.summary(result, folder, notes))
    voice.value(lambda: [display_run.summary_value(*one) for one in made])
    voice.errors(problems(done))
    return max((one.code for one in done), default=EXIT_OK)


def verify(session: Session, plans: Sequence[Plan], out: Path, voice: Voice) -> int:
    """Measure the files of recipes that are there already, and judge them again.

    Raises:
        OrchestrateError: A file was not made yet.
    """
    for one in plans:
        missing = [o.name for o in one.outputs if session.known.find(o.step) is None]
        if missing:
            raise OrchestrateError(
                f"{one.recipe.name}: {', '.join(missing)} is not made yet",
                f"Run 'orchestrate run {one.recipe.file}'.",
            )
    execute_plans.forget_measures(plans, session)
    return run(session, plans, out, strict=True, voice=voice)


def build(session: Session, name: str, wanted: str, voice: Voice) -> int:
    """Build one tool chain and its environment, or take installed tools.

    They are of the pinned commit, of a wanted one, or of that which installed tools say.
    """
    chain = find_toolchain.load(name, Path.cwd())
    commit = load_and_plan.commit_of(chain, wanted, session)
    if tools_at_hand.asked(session.choices):
        stated, release = (commit, wanted) if wanted else ("", "")
        chain, commit = tools_at_hand.taken(chain, session, None, stated, release)
    else:
        chain = chain_at_commit.at_commit(chain, commit, session)
    steps = recipe_to_steps.toolchain_steps(chain, session.choices, commit)
    results = session.runner.run(steps, [step.key for step in steps])
    made = [result for result in results if result.path is not None]
    for result in made:
        voice.result(f"{result.step.label}: {result.path}")
    if said := tools_at_hand.sentence(chain, steps, session.known):
        voice.result(said)
    voice.value(lambda: [display_run.step_value(result) for result in made])
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
    done = execute_plans.execute([one], session)
    damaged = _damage(path)
    voice.errors([*progress_listeners.failures(done), *damaged])
    code = exit_code(done)
    if code != EXIT_OK:
        return code
    result = collect(one, session.known, strict=True)
    voice.result(display_run.checks(result))
    voice.value(lambda: result.described)
    return EXIT_FAILED if damaged or result.report.status is Status.FAIL else EXIT_OK


def _damage(path: Path) -> list[str]:
    """What is wrong with the values of a file's tensors, as error messages."""
    from orchestrator.modelfiles import tensor_values

    try:
        tensor_values.expect_sound(path, path.name, lambda _progress: None)
    except OrchestrateError as error:
        return [str(error)]
    return []
