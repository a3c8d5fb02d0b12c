"""Find the upstream commit that changed a file's bytes, or broke the making of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from orchestrator.base import digest, units
from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.base.file_mutex import Locks
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Outcome, StepResult
from orchestrator.engine import progress_listeners, step_kinds
from orchestrator.engine.step_kinds import Role
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.plan import Choices, Output, Plan
from orchestrator.recipe import Recipe
from orchestrator.runs import chain_at_commit, load_and_plan, use_lockfile
from orchestrator.runs.session import Session
from orchestrator.sources.git_bisect import Bisection, clone
from orchestrator.sources.git_messages import Commit, Verdict
from orchestrator.toolchain import find_toolchain, upstream_urls
from orchestrator.toolchain.load import ToolChain

Say = Callable[[str], None]


@dataclass(frozen=True)
class Between:
    """The name or type of one file, a commit that makes the right one, and a later one."""

    only: str
    good: str
    bad: str


@dataclass(frozen=True)
class Tried:
    """One commit: the SHA-256 of the file that it makes, or the kind of step that failed."""

    commit: str
    subject: str
    sha256: str = ""
    failed: str = ""
    error: str = ""
    seconds: float = 0.0
    answer: str = ""


@dataclass(frozen=True)
class Found:
    """The end of a search: the first bad commit, or several that nobody could try.

    ``broke`` says what was searched: True for a failure, False for other bytes.
    """

    recipe: str
    file: str
    good: Tried
    bad: Tried
    broke: bool
    candidates: tuple[Commit, ...]
    tried: tuple[Tried, ...]
    source: str


def bisect(recipe: Recipe, between: Between, session: Session, say: Say) -> Found:
    """Search between two commits of a recipe's tool chain.

    Every commit is built, or found in the store, and makes the one file; what lies between
    is git's choice. A commit that cannot be built while the bad one can is passed over.

    Args:
        recipe: The recipe.
        between: Which file, and the two commits.
        session: What all commands share.
        say: Told of every commit that was tried.

    Raises:
        UsageError: A commit is unknown, the two do not differ, or the recipe moved away from
            its lock.
        StepError: The good commit does not make the file.
        EnvironmentProblem: The machine or the network was in the way.
    """
    chain = find_toolchain.load(recipe.toolchain.name, recipe.file.parent)
    if not chain.source.git:
        raise UsageError(f"tool chain {chain.name} has no git repository to search in")
    with _clone(chain.source.git, session) as search:
        first, last = search.commit(between.good), search.commit(between.bad)
        maker = _Maker(recipe, chain, between, first.id, session)
        step = search.start(first.id, last.id)
        right = maker.make(first)
        _check_good(right)
        wrong = maker.make(last)
        _check_both(right, wrong)
        say(_line(replace(right, answer="good")))
        say(_line(replace(wrong, answer="bad")))
        tried = []
        while not step.found:
            one = maker.make(search.commit(step.commit))
            answer = _answer(one, right, wrong)
            tried.append(replace(one, answer=answer))
            say(_line(tried[-1]) + (f", about {step.left} to go" if step.left else ""))
            step = search.answer(step.commit, answer)
        candidates = tuple(search.commit(name) for name in step.found)
        search.end()
    return Found(
        recipe=recipe.name,
        file=maker.file,
        good=right,
        bad=wrong,
        broke=bool(wrong.failed),
        candidates=candidates,
        tried=tuple(tried),
        source=chain.source.git,
    )


@contextmanager
def _clone(url: str, session: Session) -> Iterator[Bisection]:
    """The kept clone of an upstream, for one search at a time."""
    root = session.store.root
    name = digest.key({"upstream": url})
    with Locks(root / "locks").at_once(name) as holder:
        if holder:
            raise EnvironmentProblem(
                f"another search works on {url}: {holder}", "Wait until it is done."
            )
        place, log = root / "upstreams" / f"{name[:16]}.git", session.store.log_path(name)
        if not session.settings.offline:
            clone(url, place, log)
        if not place.exists():
            raise EnvironmentProblem(
                f"the history of {url} is not stored here", "Run once without --offline."
            )
        yield Bisection(place, log)


class _Maker:
    """Makes one file with any commit of the tool chain.

    The model and its texts are resolved once, as the recipe's lock says if it has one: what
    moves meanwhile is not the tool chain.
    """

    def __init__(
        self, recipe: Recipe, chain: ToolChain, between: Between, commit: str, session: Session
    ) -> None:
        chosen: Choices = replace(session.choices, only=(between.only,), verify=False)
        self._session = replace(session, choices=chosen)
        self._recipe, self._chain = recipe, chain
        lock = use_lockfile.held(recipe, chain, self._session)
        choice = recipe.toolchain.model_copy(update={"commit": commit})
        one = recipe.model_copy(update={"toolchain": choice})
        self._sources = load_and_plan.resolve(one, chain, self._session, lock)
        self.file = ""

    def make(self, commit: Commit) -> Tried:
        begun = time.monotonic()
        planned = self._plan(commit.id)
        output = self._output(planned)
        results = self._session.runner.run(planned.steps, [output.step])
        seconds = time.monotonic() - begun
        wrong = [one for one in results if one.outcome is Outcome.FAILED]
        if not wrong:
            return Tried(commit.id, commit.subject, self._sha256(output), seconds=seconds)
        _blame_machine(wrong[0])
        error = progress_listeners.failures(wrong)[0]
        kind = wrong[0].step.kind
        return Tried(commit.id, commit.subject, failed=kind, error=error, seconds=seconds)

    def _plan(self, commit: str) -> Plan:
        choice = self._recipe.toolchain.model_copy(update={"commit": commit})
        recipe = self._recipe.model_copy(update={"toolchain": choice})
        sources = replace(self._sources, commit=commit)
        chain = chain_at_commit.at_commit(self._chain, commit, self._session)
        return recipe_to_steps.make(recipe, chain, sources, self._session.choices)

    def _output(self, planned: Plan) -> Output:
        if len(planned.outputs) != 1:
            names = ", ".join(output.name for output in planned.outputs)
            raise UsageError(f"--only means several files ({names})", "Name one of them.")
        self.file = planned.outputs[0].file
        return planned.outputs[0]

    def _sha256(self, output: Output) -> str:
        found = self._session.store.find(output.step)
        if found is None:
            raise StepError(f"{output.file} disappeared from the store", "Run again.")
        return str(found.manifest["files"][output.artifact_file]["sha256"])


def _blame_machine(result: StepResult) -> None:
    """A full disk, a network that is gone or too little memory say nothing about a commit.

    Nor does a model that cannot be fetched, for which no tool of upstream's is used.
    """
    cause = result.cause
    if isinstance(cause, EnvironmentProblem):
        raise cause
    if cause is not None and step_kinds.of(result.step).role is Role.SOURCE:
        raise StepError(f"{result.step.label}: {cause}") from cause
    if isinstance(cause, StepError) and cause.hint == run_process.HINTS["SIGKILL"]:
        raise EnvironmentProblem(cause.message, cause.hint) from cause


def _check_good(good: Tried) -> None:
    if good.failed:
        raise StepError(
            f"the good commit {good.commit[:12]} does not make the file: {good.error}",
            "Name an earlier one as --good.",
        )


def _check_both(good: Tried, bad: Tried) -> None:
    if good.sha256 == bad.sha256:
        raise UsageError(
            f"{good.commit[:12]} and {bad.commit[:12]} make the same bytes",
            "There is nothing to search between them.",
        )


def _answer(one: Tried, good: Tried, bad: Tried) -> Verdict:
    """Good or bad as the searched change has happened or not; skip when nobody can tell."""
    if bad.failed:
        return "good" if not one.failed else "bad" if one.failed == bad.failed else "skip"
    if one.failed:
        return "skip"
    return "good" if one.sha256 == good.sha256 else "bad"


def _line(one: Tried) -> str:
    made = f"{one.failed} fails" if one.failed else f"SHA-256 {one.sha256[:12]}…"
    took = units.duration(one.seconds)
    return f"{one.answer:4}  {one.commit[:12]}  {made}  {one.subject[:60]}  ({took})"


def text(found: Found) -> str:
    """The end of a search for people."""
    what = "breaks" if found.broke else "changes the bytes of"
    if len(found.candidates) != 1:
        lines = [f"One of these commits {what} {found.file}; those between could not be built:"]
        return "\n".join([*lines, *(f"  {one.id}  {one.subject}" for one in found.candidates)])
    [one] = found.candidates
    lines = [
        f"{one.id} {what} {found.file}",
        f"  {one.subject}",
        f"  {one.author}, {one.date}",
    ]
    lines += [f"  {url}" for url in _pages(found, one)]
    error = next((t.error for t in (*found.tried, found.bad) if t.commit == one.id), "")
    return "\n".join([*lines, *([error] if error else [])])


def _pages(found: Found, one: Commit) -> list[str]:
    """Where upstream shows a commit and the change that it came with, as far as it does."""
    pages = (
        upstream_urls.commit_url(found.source, one.id),
        upstream_urls.change_url(found.source, one.subject),
    )
    return [page for page in pages if page]


def as_json(found: Found) -> Mapping[str, JSON]:
    """The end of a search for programs."""
    values = {name: value for name, value in asdict(found).items() if name != "source"}
    return {**values, "pages": {one.id: _pages(found, one) for one in found.candidates}}
