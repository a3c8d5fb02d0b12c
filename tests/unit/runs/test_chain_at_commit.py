"""The data of a tool chain for a commit: looked up once, remembered, and part of the plan."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from git import Repo

from orchestrator.base.errors import NetworkProblem, UsageError
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning import recipe_to_steps
from orchestrator.runs.chain_at_commit import at_commit
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain.load import ToolChain
from tests.support.plans import (
    COMMIT,
    by_label,
    changed,
    make_chain,
    make_plan,
    make_recipe,
    sources,
)

VARIANTS = {
    "old-name": {
        "about": "",
        "when": {"file": "tools/*.cpp", "holds": "old"},
        "programs": {"tool": "old-tool"},
        "set": {"verbs": {"complete_python": {"argv": ["{python}"], "pinned": True}}},
    },
    "no-dry-run": {
        "about": "",
        "when": {"file": "tools/*.cpp", "lacks": "--dry-run"},
        "set": {
            "verbs": {"plan_quantize": None},
            "environment": {"layer": ["numpy==1.26.4"]},
        },
    },
}
TYPES = {"file": "tools/*.cpp", "pattern": "TYPE (\\w+)"}
RECIPE = """\
name: small
family: llama
toolchain: stand
model: {hub: org/small, revision: main}
quantize: [Q4_0]
verify: {smoke: {prompt: Once, expect: upon}}
"""


@pytest.fixture
def upstream(tmp_path: Path) -> Repo:
    folder = tmp_path / "upstream"
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "quantize.cpp").write_text("old TYPE F16, TYPE Q4_0, TYPE Q4_K")
    repo = Repo.init(folder)
    with repo.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
    repo.git.add("-A")
    repo.git.commit("-q", "-m", "old", "--date", "2024-09-25T12:00:00+00:00")
    return repo


@pytest.fixture
def chain(tmp_path: Path, upstream: Repo) -> ToolChain:
    verb = {"argv": ["{python}"], "pinned": True}
    one = changed(make_chain(tmp_path), "verbs.complete_python", verb)
    one = changed(one, "variants", VARIANTS)
    one = changed(one, "types_listed", TYPES)
    one = changed(one, "source.mirrors", [])
    return changed(one, "source.git", f"file://{upstream.working_dir}")


def session(folder: Path, *, offline: bool = False) -> Session:
    store = Store(folder / "store", lambda _text: None)
    return Session(store, Settings(offline=offline), choices(), Plain(StringIO()))


def test_what_holds_is_found_in_the_source_and_remembered(
    tmp_path: Path, chain: ToolChain, upstream: Repo
) -> None:
    commit = upstream.head.commit.hexsha

    found = at_commit(chain, commit, session(tmp_path))

    assert found.held == ("old-name", "no-dry-run")
    assert list(found.types) == ["F16", "Q4_0", "Q4_K_M"]
    assert found.build.targets == ("old-tool",)
    assert found.pinned is chain
    assert found.source.origin == f"file://{upstream.working_dir}"
    assert (Path(found.source.folder) / "HEAD").is_file()
    assert not (Path(found.source.folder) / "hooks").exists()
    assert at_commit(chain, commit, session(tmp_path, offline=True)).held == found.held


def test_nobody_looks_for_the_pinned_commit_or_without_variants(
    tmp_path: Path, chain: ToolChain
) -> None:
    assert at_commit(chain, COMMIT, session(tmp_path)) is chain
    plain = chain.model_copy(update={"variants": {}})
    assert at_commit(plain, "e" * 40, session(tmp_path)) is plain


def test_a_source_that_nobody_has_is_said_and_offline_the_pinned_data_is_used(
    tmp_path: Path, chain: ToolChain
) -> None:
    with pytest.raises(NetworkProblem, match="source of commit eeeeeeeeeeee cannot be fetched"):
        at_commit(chain, "e" * 40, session(tmp_path))

    found = at_commit(chain, "e" * 40, session(tmp_path, offline=True))
    assert found.held is None


def test_the_plan_of_another_commit(tmp_path: Path, chain: ToolChain, upstream: Repo) -> None:
    commit = upstream.head.commit.hexsha
    own = at_commit(chain, commit, session(tmp_path))

    plan = make_plan(tmp_path, RECIPE, chain=own, found=sources(commit=commit, corpora={}))

    steps = by_label(plan)
    assert plan.forecast == ""
    assert plan.unable.endswith("no exact sizes before converting.")
    builds = [f"build stand {commit[:7]}", f"build stand {COMMIT[:7]}"]
    assert [label for label in steps if label.startswith("build ")] == builds
    convert = steps["convert small to F16"]
    layer = steps["Python packages numpy==1.26.4"]
    assert convert.inputs["packages"] == layer.key
    assert layer.inputs == {"environment": steps["Python environment of stand"].key}
    smoke = steps["measure small Q4_0: smoke test in Python"]
    assert smoke.inputs["toolchain"] == steps[builds[1]].key
    assert "packages" not in smoke.inputs
    assert steps["measure small Q4_0: load"].inputs["toolchain"] == steps[builds[0]].key
    assert steps[builds[0]].context["source"]["folder"] == own.source.folder


def test_the_build_of_a_commit_is_the_same_with_a_local_source(
    tmp_path: Path, chain: ToolChain
) -> None:
    found = sources(commit="e" * 40, corpora={})
    keys = [
        make_plan(tmp_path, RECIPE, chain=chain.at(["old-name"], folder=place), found=found)
        .steps[0]
        .key
        for place in ("", "/somewhere")
    ]
    assert keys[0] == keys[1]


def test_types_that_the_commit_has_not_are_refused_before_any_work(
    tmp_path: Path, chain: ToolChain
) -> None:
    recipe, own = make_recipe(tmp_path, chain, RECIPE), chain.at([], ["F16", "Q8_0"])

    with pytest.raises(UsageError, match="stand eeeeeeeeeeee has no type Q4_0") as caught:
        recipe_to_steps.make(recipe, own, sources(commit="e" * 40, corpora={}), choices())

    assert "It has F16, Q8_0; its converter writes f16, q8_0." in caught.value.hint


def test_types_of_tensors_are_refused_where_the_commit_cannot_give_them(
    tmp_path: Path, chain: ToolChain
) -> None:
    typed = "[Q8_0, {type: Q4_0, tensor_types: {ffn_down: q8_0}}]"
    recipe = make_recipe(tmp_path, chain, RECIPE.replace("[Q4_0]", typed))
    own = chain.model_copy(update={"tensor_types": ()})

    with pytest.raises(UsageError, match="gives no types to single tensors") as caught:
        recipe_to_steps.make(recipe, own, sources(commit="e" * 40, corpora={}), choices())

    assert "out of Q4_0" in caught.value.hint
