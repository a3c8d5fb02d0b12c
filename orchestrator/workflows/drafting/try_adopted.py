"""Make what an adopted recipe can make, and say of each published file how near that comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base import text_table
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError
from orchestrator.base.terminal_colours import status
from orchestrator.modelfiles.comparing import compare
from orchestrator.modelfiles.comparing.comparison import Comparison, Verdict
from orchestrator.planning.plan import Output, Plan
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session
from orchestrator.workflows import published_claims
from orchestrator.workflows.published_claims import Claim

IDENTICAL = Verdict.IDENTICAL.value
_NOT_MADE = "not made"
_UNLIKE = (Verdict.NEAR.value, Verdict.DIFFERENT.value)
_SHOWN = 3


@dataclass(frozen=True)
class Tried:
    """A published file, how near the file that was made comes, and what it would take."""

    file: str
    verdict: str
    lacking: str = ""


def attempt(recipe: Path, session: Session) -> list[Tried]:
    """Make the files of a recipe, each as far as it goes, and compare them.

    Raises:
        OrchestrateError: The recipe cannot be planned.
    """
    quiet = replace(session, choices=replace(session.choices, verify=False))
    [plan] = load_and_plan.make([load_and_plan.load_one(recipe)], quiet)
    return tried(plan, session)


def tried(plan: Plan, session: Session) -> list[Tried]:
    """Make what a plan has of published files, each as far as it goes, and compare them."""
    outputs = [plan.full, *plan.outputs]
    wanted = {one.name: list(published_claims.claims(plan, one)) for one in outputs}
    targets = [one for one in outputs if wanted[one.name]]
    results = session.runner.run(plan.steps, [one.step for one in targets])
    problems = {one.step.key: one.error for one in results if one.error}
    pairs = [
        (one, _tried(plan, one, claim, session, problems))
        for one in targets
        for claim in wanted[one.name]
    ]
    settled = any(one.verdict == IDENTICAL and _plainly(output) for output, one in pairs)
    return [_settled(one, output) if settled else one for output, one in pairs]


def _plainly(output: Output) -> bool:
    """Whether it is quantized, and without an importance matrix."""
    return output.quant is not None and not output.quant.imatrix


def _settled(one: Tried, output: Output) -> Tried:
    """Where a file without a matrix is identical, only the matrix can be another one."""
    if one.verdict not in _UNLIKE or output.quant is None or not output.quant.imatrix:
        return one
    return replace(one, lacking="the importance matrix: files without one are identical")


def _tried(
    plan: Plan, output: Output, claim: Claim, session: Session, problems: dict[str, str]
) -> Tried:
    made = session.store.find(output.step)
    if made is None:
        why = problems.get(output.step, "") or next(iter(problems.values()), "")
        return Tried(claim.name, _NOT_MADE, why.split("\n")[0])
    path = made.path / output.artifact_file
    if claim.sha256 and claim.sha256 == file_sha256(path):
        return Tried(claim.name, IDENTICAL)
    try:
        theirs = published_claims.fetched(claim, session.settings.offline)
        found = compare(path, theirs, values=False)
    except OrchestrateError as error:
        return Tried(claim.name, "not compared", error.message)
    weighed = output.quant is not None and output.quant.imatrix
    return Tried(claim.name, found.verdict.value, "; ".join(_lacking(found, weighed, plan)))


def _lacking(found: Comparison, weighed: bool, plan: Plan) -> Iterator[str]:
    """What would have to be known for identical bytes."""
    keys = [one.key for one in found.keys]
    matrix = [key for key in keys if key.startswith("quantize.imatrix.")]
    others = [key for key in keys if key not in matrix]
    if found.verdict in (Verdict.NEAR, Verdict.DIFFERENT):
        if matrix or weighed:
            yield "the importance matrix"
        model = plan.sources.model
        if model is not None and model.unpinned:
            yield "the revision of the model"
        yield f"the type it was quantized from ({plan.recipe.converted_name} was taken)"
    elif matrix:
        yield "the importance matrix, as the header speaks of it"
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        yield f"where these keys come from: {', '.join(others[:_SHOWN])}{more}"
    if found.notes or found.verdict is Verdict.DIFFERENT:
        said = f" ({', '.join(found.notes)})" if found.notes else ""
        yield f"the llama.cpp that made it{said}"


def text(found: Sequence[Tried]) -> str:
    """The verdicts for people."""
    rows = [(one.file, status(one.verdict), one.lacking) for one in found]
    return text_table.table(("File", "Verdict", "What would have to be known"), rows)
