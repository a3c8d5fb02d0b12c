"""Make a recipe's files again from nothing but its pins, and compare them with those there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from orchestrator.base import machine_info, text_table, units
from orchestrator.base.atomic_file import put
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError, StepError, UsageError
from orchestrator.base.step_values import JSON, Step
from orchestrator.base.terminal_colours import status
from orchestrator.engine import isolated_run, step_kinds
from orchestrator.engine.artifact import Artifact
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.step_kinds import Role
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.planning.plan import Output, Plan
from orchestrator.runs import preflight
from orchestrator.runs.session import Session
from orchestrator.workflows import published_claims

IDENTICAL = "identical"
NOT_COMPARED = "not compared"
RECORD = "reproduce.json"
# Times and speeds are a machine's, not a recipe's; tools and environments are not outputs.
_ASIDE = (Role.TOOL, Role.MEASURE)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """How a file that was made again compares with another; ``note`` says why, if not."""

    file: str
    against: str
    verdict: str
    sha256: str = ""
    other: str = ""
    note: str = ""


@dataclass(frozen=True)
class Reproduction:
    """All verdicts on one recipe, and its pins; ``steps`` were compared one by one."""

    recipe: str
    digest: str
    toolchain: str
    tools_rebuilt: bool
    verdicts: tuple[Verdict, ...]
    steps: int = 0

    @property
    def identical(self) -> bool:
        """Whether there was something to compare with, and all of it is the same."""
        return bool(self.verdicts) and all(one.verdict == IDENTICAL for one in self.verdicts)


def reproduce(
    plan: Plan, session: Session, out: Path, *, rebuild_tools: bool, twice: bool, say: Say
) -> Reproduction:
    """Make the outputs of a plan in an empty store and compare them.

    Args:
        plan: The plan; what it makes is compared with the session's store, with ``out``
            and with what the recipe says is published.
        session: Its store lends built tool chains.
        out: Where the recipe's folder of outputs is, if it was run before.
        rebuild_tools: Build the tool chain again too.
        twice: Make everything twice, in different surroundings, and compare every step.
        say: Told how it goes.

    Raises:
        StepError: A step failed.
        UsageError: The session's cluster cannot do that.
    """
    if session.cluster is not None and (twice or session.cluster.apart):
        raise UsageError(
            "a cluster makes files again once, in an empty store on the disk that all share",
            "Leave --twice out, and use workers with this store; or leave --cluster out.",
        )
    tools = list(filter(step_kinds.is_tool, plan.steps))
    _have_tools(tools, session)
    keys = [step.key for step in tools]
    with session.store.hold(keys), isolated_run.temporary_folder(session.store) as place:
        plan = _with_room(plan, session.alone_in(Store(place, say_nothing)), session, out)
        verdicts: list[Verdict] = []
        steps = 0
        if twice:
            made, verdicts, steps = _twice(plan, session, place, say)
        else:
            made = _once(plan, session, place, rebuild_tools)
        for output in (plan.full, *plan.outputs):
            verdicts += _verdicts(plan, output, made, session, out)
    return Reproduction(
        recipe=plan.recipe.name,
        digest=plan.recipe.digest,
        toolchain=f"{plan.chain.name} {plan.sources.commit}",
        tools_rebuilt=rebuild_tools,
        verdicts=tuple(verdicts),
        steps=steps,
    )


def _have_tools(tools: Sequence[Step], session: Session) -> None:
    """Tools that are lent must be there; they stay for later runs."""
    isolated_run.run_here(tools, [step.key for step in tools], session.runner)


def _with_room(plan: Plan, alone: Session, session: Session, out: Path) -> Plan:
    """The plan with its sizes, once there is room to make all of it anew.

    Raises:
        EnvironmentProblem: Disk or memory are short.
        StepError: The model cannot be made.
    """
    if not plan.forecast:
        return plan
    [preview] = preflight.previews([plan], session, build=True)
    if isinstance(preview, OrchestrateError):
        raise preview
    preflight.check_room([preview], alone, out)
    return preview.plan


def _once(plan: Plan, session: Session, place: Path, rebuild_tools: bool) -> Store:
    store = Store(place / "store", say_nothing)
    if not rebuild_tools:
        isolated_run.link_tools(plan.steps, session.store, store)
    targets = list(dict.fromkeys([plan.full.step, *(one.step for one in plan.outputs)]))
    isolated_run.run_here(plan.steps, targets, session.alone_in(store).wide_runner)
    return store


def say_nothing(text: str) -> None:
    """A store that was empty a moment ago has nothing to warn of that would not fail too."""
    del text


def _twice(plan: Plan, session: Session, place: Path, say: Say) -> tuple[Store, list[Verdict], int]:
    """Every step but the measures in two different surroundings, artifact by artifact."""
    steps = [step for step in plan.steps if step_kinds.of(step).role not in _ASIDE]
    targets = [step.key for step in steps]
    stores = []
    for around in isolated_run.surroundings(machine_info.cores()):
        store = Store(place / around.folder / "store", say_nothing)
        isolated_run.link_tools(plan.steps, session.store, store)
        offline = session.settings.offline
        isolated_run.run_in_child(plan.steps, targets, store, around, offline=offline, say=say)
        stores.append(store)
    first, second = stores
    differing = [verdict for step in steps for verdict in step_verdicts(step, first, second)]
    whole = Verdict(f"all files of {units.plural(len(steps), 'step')}", "a second run", IDENTICAL)
    return first, differing or [whole], len(steps)


def step_verdicts(step: Step, first: Store, second: Store) -> Iterator[Verdict]:
    """What differs between two makings of one step."""
    one, other = _artifact(first, step), _artifact(second, step)
    mine, theirs = _content(one), _content(other)
    for name in sorted({*mine, *theirs}):
        if mine.get(name) == theirs.get(name):
            continue
        verdict = "different"
        if name in mine and name in theirs:
            verdict = _compared(one.path / name, other.path / name)
        sha256, again_ = mine.get(name, ""), theirs.get(name, "")
        yield Verdict(f"{step.label}: {name}", "a second run", verdict, sha256, again_)


def _artifact(store: Store, step: Step) -> Artifact:
    found = store.find(step.key)
    if found is None:
        raise StepError(f"{step.label}: its result is no longer stored")
    return found


def _content(artifact: Artifact) -> dict[str, str]:
    """Digest of each file, or the text of a link."""
    files: Mapping[str, Mapping[str, JSON]] = artifact.manifest["files"]
    return {name: str(entry.get("sha256") or entry.get("link")) for name, entry in files.items()}


# -- one output ------------------------------------------------------------------------------


def _verdicts(
    plan: Plan, output: Output, made: Store, session: Session, out: Path
) -> Iterator[Verdict]:
    """How one output compares with each of its kind that there is."""
    path = _artifact(made, plan.step(output.step)).path / output.artifact_file
    sha256 = file_sha256(path)
    stored = session.store.find(output.step)
    if stored is not None:
        yield _file_verdict(output.file, "the store", path, sha256, stored.path / path.name)
    shown = out / plan.recipe.name / output.file
    if shown.exists():
        yield _file_verdict(output.file, str(out / plan.recipe.name), path, sha256, shown)
    for claim in published_claims.claims(plan, output):
        yield _claim_verdict(output.file, claim, path, sha256, session.settings.offline)


def _file_verdict(file: str, against: str, path: Path, sha256: str, other: Path) -> Verdict:
    found = file_sha256(other)
    verdict = IDENTICAL if found == sha256 else _compared(path, other)
    return Verdict(file, against, verdict, sha256, found)


def _claim_verdict(
    file: str, claim: published_claims.Claim, path: Path, sha256: str, offline: bool
) -> Verdict:
    """By the digest where that is enough, else by the published file itself."""
    start = Verdict(file, claim.label, NOT_COMPARED, sha256)
    try:
        other = published_claims.stated(claim, offline)
    except OrchestrateError as error:
        return replace(start, note=error.message)
    if other == sha256:
        return replace(start, verdict=IDENTICAL, other=other)
    if other and not (claim.file or claim.path):
        return replace(start, verdict="different", other=other, note="only its digest is known")
    try:
        theirs = published_claims.fetched(claim, offline)
    except OrchestrateError as error:
        verdict = "different" if other else NOT_COMPARED
        return replace(start, verdict=verdict, other=other, note=error.message)
    return replace(
        _file_verdict(file, claim.label, path, sha256, theirs), other=other or file_sha256(theirs)
    )


def _compared(path: Path, other: Path) -> str:
    """How near two files with different digests come to each other."""
    from orchestrator.modelfiles.comparing import compare  # noqa: PLC0415 - files seldom differ

    try:
        return str(compare(path, other, values=False).verdict.value)
    except FormatError:  # one of them is no model, or no whole one
        return "different"


# -- showing it ------------------------------------------------------------------------------


def as_json(found: Reproduction) -> dict[str, JSON]:
    """A reproduction for machines; the same for the same verdicts."""
    return {**asdict(found), "identical": found.identical}


def text(found: Reproduction) -> str:
    """A reproduction for people."""
    if not found.verdicts:
        return f"{found.recipe}: made again, but there is nothing to compare it with"
    rows = [
        (one.file, one.against, status(one.verdict) + (f" ({one.note})" if one.note else ""))
        for one in found.verdicts
    ]
    head = "reproduced" if found.identical else "not all identical"
    return f"{found.recipe}: {head}\n" + text_table.table(
        ("File", "Compared with", "Verdict"), rows
    )


def write(found: Reproduction, folder: Path) -> Path:
    """Leave the verdicts beside the outputs that they are about."""
    path = folder / RECORD
    text = json.dumps(as_json(found), indent=2, sort_keys=True) + "\n"
    put(path, text.encode("utf-8"))
    return path
