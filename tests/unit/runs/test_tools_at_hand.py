"""Installed tools in place of a build: asked what they are, keyed by their bytes, compared."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.step_values import Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning import lockfile_check, recipe_to_steps
from orchestrator.planning.lockfile import Lock, Named
from orchestrator.planning.lockfile import Tools as Locked
from orchestrator.recipe.models import Tools
from orchestrator.runs import collect_results, make_lockfile, record_history, tools_at_hand
from orchestrator.runs.provenance_statement import Pins, statement
from orchestrator.runs.session import Session, choices
from orchestrator.sources import git
from orchestrator.toolchain.load import ToolChain
from tests.support.installed_tools import installing, tool
from tests.support.plans import COMMIT, RECIPE, by_label, make_chain, make_plan

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools are shell scripts")
OTHER = "b" * 40
Ask = Callable[..., tuple[ToolChain, str]]


@pytest.fixture
def here(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store", lambda _text: None)
    return Session(store, Settings(), choices(), Plain(StringIO()))


@pytest.fixture
def ask(tmp_path: Path, here: Session, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask the tools in ``there``, where upstream knows the releases that are given."""
    chain = installing(make_chain(tmp_path))

    def asked(commit: str = "", *, offline: bool = False, **releases: str) -> Any:
        def resolve(_url: str, revision: str) -> str:
            if revision not in releases:
                raise StepError("there is none")
            return releases[revision]

        monkeypatch.setattr(git, "resolve", resolve)
        session = replace(here, settings=Settings(offline=offline))
        given = Tools(path=tmp_path / "there")
        return tools_at_hand.taken(chain, session, given, commit)

    return asked


def test_the_commit_that_tools_say_is_matched_with_those_that_are_known(
    tmp_path: Path, ask: Ask
) -> None:
    tool(tmp_path / "there")

    own, commit = ask(offline=True)

    assert commit == COMMIT
    assert own.tools is not None
    assert list(own.tools.files) == ["tool"]


def test_upstream_is_asked_for_the_release_of_a_commit_that_is_not(
    tmp_path: Path, ask: Ask
) -> None:
    tool(tmp_path / "there", version="7 (bbbbbbb)")

    assert ask(b7=OTHER)[1] == OTHER
    with pytest.raises(UsageError, match=r"not known: they say 'version: 7 \(bbbbbbb\)'") as told:
        ask(b7=COMMIT)  # another commit's release
    assert "'commit:' with 40 digits" in told.value.hint
    with pytest.raises(UsageError, match="not known"):
        ask(b7=OTHER, offline=True)


def test_a_commit_that_is_stated_must_be_that_of_the_tools(tmp_path: Path, ask: Ask) -> None:
    tool(tmp_path / "there", version="0 (unknown)")
    assert ask(OTHER)[1] == OTHER

    tool(tmp_path / "there")
    with pytest.raises(UsageError, match="are of commit aaaaaaa, not of bbbbbbbbbbbb"):
        ask(OTHER)


def test_a_changed_program_is_another_key_and_another_place_is_not(
    tmp_path: Path, ask: Ask
) -> None:
    def key() -> str:
        own, commit = ask()
        [step] = [
            one
            for one in recipe_to_steps.toolchain_steps(own, choices(), commit=commit)
            if one.kind == "take"
        ]
        return step.key

    tool(tmp_path / "there")
    first = key()
    (tmp_path / "there").rename(tmp_path / "moved")
    tool(tmp_path / "there")
    assert key() == first
    tool(tmp_path / "there", makes="2")
    assert key() != first


def test_all_steps_of_a_plan_work_with_the_tools_and_nothing_is_built(
    tmp_path: Path, ask: Ask
) -> None:
    tool(tmp_path / "there")
    own, _ = ask()

    steps = by_label(make_plan(tmp_path, chain=own))

    taken = steps["take the installed tools of stand aaaaaaa"]
    assert steps["quantize small to Q4_0"].inputs["toolchain"] == taken.key
    assert not [one for one in steps.values() if one.kind == "build"]
    assert taken.context["compared"]["types"] == ["Q4_0", "Q8_0"]


def test_a_build_knows_what_else_there_is_for_machines_without_a_compiler(tmp_path: Path) -> None:
    chain = installing(make_chain(tmp_path))
    build = by_label(make_plan(tmp_path, chain=chain))["build stand aaaaaaa"]
    only = by_label(make_plan(tmp_path / "other"))["build stand aaaaaaa"]

    assert "--prebuilt" in build.context["instead"]
    assert "--tools FOLDER" in build.context["instead"]
    assert only.context["instead"] == ""
    assert build.key == only.key


def test_a_tool_chain_without_data_about_installed_tools_says_so(
    tmp_path: Path, here: Session
) -> None:
    with pytest.raises(UsageError, match="tool chain stand can only be built"):
        tools_at_hand.taken(make_chain(tmp_path), here, Tools(path=tmp_path))


def test_upstreams_own_build_is_asked_for_by_the_release_of_the_commit(
    tmp_path: Path, here: Session
) -> None:
    chain = installing(make_chain(tmp_path))
    chosen = replace(here.choices, prebuilt=True, platform="linux", machine="x86_64")
    session = replace(here, settings=Settings(offline=True), choices=chosen)

    with pytest.raises(UsageError, match="release of stand aaaaaaaaaaaa is not known here"):
        tools_at_hand.taken(chain, session)
    with pytest.raises(Exception, match=r"https://localhost/b7/t-b7\.tar\.gz is not stored here"):
        tools_at_hand.taken(chain, session, None, COMMIT, "b7")
    elsewhere = replace(session, choices=replace(chosen, platform="plan9"))
    with pytest.raises(UsageError, match="no builds of its own for plan9/x86_64"):
        tools_at_hand.taken(chain, elsewhere)


def test_a_lock_knows_the_tools_and_sees_when_they_are_others(tmp_path: Path, ask: Ask) -> None:
    tool(tmp_path / "there")
    text = RECIPE.replace("toolchain: stand", "toolchain: {name: stand, tools: there}")
    plan = make_plan(tmp_path, text, chain=ask()[0])
    lock = Lock(
        recipe=Named(name="small", digest=plan.recipe.digest),
        toolchain=Locked(name="stand", commit=COMMIT, data=""),
        build=make_lockfile._build(plan),
    )
    tool(tmp_path / "there", makes="2")
    other = make_plan(tmp_path, text, chain=ask()[0])

    with pytest.raises(UsageError) as told:  # of its sources, which are not in this lock
        lockfile_check.hold(lock, plan, None)
    assert "the installed tool" not in told.value.message
    with pytest.raises(UsageError, match=r"the installed tool has SHA-256 [0-9a-f]{12}, not"):
        lockfile_check.hold(lock, other, None)


def test_what_a_recipe_asks_for_names_its_tools_wherever_it_lies(tmp_path: Path, ask: Ask) -> None:
    def asked_in(folder: Path, toolchain: str) -> str:
        tool(folder / "there")
        text = RECIPE.replace("toolchain: stand", f"toolchain: {toolchain}")
        plan = make_plan(folder, text)
        return record_history.asked(plan, plan.outputs[0])

    with_tools = "{name: stand, tools: there}"
    assert asked_in(tmp_path / "a", with_tools) == asked_in(tmp_path / "b", with_tools)
    assert asked_in(tmp_path / "a", with_tools) != asked_in(tmp_path / "a", "stand")


def test_reports_and_provenance_name_the_tools(tmp_path: Path, ask: Ask) -> None:
    tool(tmp_path / "there")
    own, _ = ask()
    assert own.tools is not None
    plan = make_plan(tmp_path, chain=own)
    taken = by_label(plan)["take the installed tools of stand aaaaaaa"]
    manifests = {taken.key: {"facts": {"options": [], "origin": "somewhere"}}}

    pins = collect_results._pins(plan, manifests)
    told = statement(plan, plan.outputs[0], "f" * 64, manifests, Pins())

    assert pins["installed tools"] == f"tool {own.tools.digests['tool'][:12]}…"
    assert "build options" not in pins
    used = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    [annotated] = [one for one in used if one["annotations"]["part"] == "toolchain"]
    assert annotated["annotations"]["tools"] == own.tools.digests


def sha(text: str) -> str:
    return hashlib.sha256(f"{text}\n".encode()).hexdigest()


@pytest.mark.parametrize(
    ("portable", "said"),
    [
        (
            {"Q4_0": "1 Q4_0", "Q8_0": "1 Q8_0"},
            "make the same bytes as the portable build of stand aaaaaaaaaaaa (Q4_0, Q8_0).",
        ),
        (
            {"Q4_0": "other", "Q8_0": "1 Q8_0"},
            "make other bytes than the portable build of stand aaaaaaaaaaaa for Q4_0, "
            "and the same for Q8_0.",
        ),
        ({}, "is not known"),
    ],
)
def test_what_tools_make_is_compared_with_what_is_recorded_of_the_portable_build(
    tmp_path: Path, here: Session, ask: Ask, portable: dict[str, str], said: str
) -> None:
    tool(tmp_path / "there")
    own, commit = ask()
    recorded = {commit: {name: sha(text) for name, text in portable.items()}}
    assert own.compared is not None
    compared = own.compared.model_copy(update={"portable": recorded if portable else {}})
    own = own.model_copy(update={"compared": compared})
    [step] = [one for one in recipe_to_steps.toolchain_steps(own, choices()) if one.kind == "take"]
    made = {"bytes": {"Q4_0": sha("1 Q4_0"), "Q8_0": sha("1 Q8_0")}}
    keep(here.store, step, made)

    sentence = tools_at_hand.sentence(own, [step], KnownArtifacts(here.store))

    assert said in sentence


def keep(store: Store, step: Step, facts: dict[str, Any]) -> None:
    with store.stage(step.key) as stage:
        store.commit(stage, step, facts, 0.0, 0)


def test_a_build_is_compared_with_nothing(tmp_path: Path, here: Session) -> None:
    chain = installing(make_chain(tmp_path))
    steps = recipe_to_steps.toolchain_steps(chain, choices())

    assert tools_at_hand.sentence(chain, steps, KnownArtifacts(here.store)) == ""
