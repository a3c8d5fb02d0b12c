"""Reproducing: what is compared with what, and which verdict follows; no tools are needed.

The steps of these plans fetch local files, which is work that every store can do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.step_values import Step, StepResult
from orchestrator.base.terminal_colours import plain
from orchestrator.engine import isolated_run
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import Carrier
from orchestrator.engine.step_worker import Event, Job, Say, carry_out
from orchestrator.planning import source_steps
from orchestrator.planning.plan import Output
from orchestrator.planning.recipe_to_steps import Plan, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.step_collector import StepCollector
from orchestrator.planning.toolchain_steps import toolchain_steps
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain import load
from orchestrator.workflows import published_claims, reproduce
from orchestrator.workflows.reproduce import Reproduction, Verdict
from tests.hub import Hub, Repo
from tests.support.lockfiles import NAME, recipe_in, session_in

FILE = "model.safetensors"


def plan_of(place: Path, **fields: Any) -> Plan:
    """A plan whose two outputs are a local file, as they are made by fetching it."""
    [recipe] = load_and_plan.load([recipe_in(place)])
    recipe = recipe.model_copy(update=fields)
    chain = load.load("llama.cpp")
    sha256 = file_sha256(place / "model" / FILE)
    identity = {"kind": "path", "files": {FILE: sha256}, "member": ""}
    source = Resolved(identity, {"path": str(place / "model")}, "gguf")
    sources = Sources(chain.source.commit, model=source)
    collector = StepCollector()
    key = source_steps.fetch(collector, source, "model")
    full = Output("F16", "x-F16.gguf", FILE, key)
    quant = Output("Q4_0", "x-Q4_0.gguf", FILE, key, {}, recipe.quantize[0])
    return Plan(recipe, chain, sources, collector.steps, (quant,), full)


def reproduced(plan: Plan, session: Session, out: Path, **options: bool) -> Reproduction:
    chosen = {"rebuild_tools": False, "twice": False, **options}
    return reproduce.reproduce(plan, session, out, say=reproduce.say_nothing, **chosen)


def verdicts(found: Reproduction) -> dict[tuple[str, str], str]:
    return {(one.file, one.against): one.verdict for one in found.verdicts}


def run(plan: Plan, session: Session) -> None:
    results = session.runner.run(plan.steps, [one.key for one in plan.steps])
    assert not [one.error for one in results if one.error]


def test_nothing_to_compare_with_is_no_success(tmp_path: Path) -> None:
    found = reproduced(plan_of(tmp_path), session_in(tmp_path), tmp_path / "dist")
    assert found.verdicts == ()
    assert not found.identical
    assert "nothing to compare" in plain(reproduce.text(found))


def test_the_store_and_the_folder_of_outputs_are_compared(tmp_path: Path) -> None:
    plan, session, out = plan_of(tmp_path), session_in(tmp_path), tmp_path / "dist"
    run(plan, session)
    (out / "x").mkdir(parents=True)
    (out / "x" / "x-Q4_0.gguf").write_bytes((tmp_path / "model" / FILE).read_bytes())
    found = reproduced(plan, session, out)
    assert verdicts(found) == {
        ("x-F16.gguf", "the store"): "identical",
        ("x-Q4_0.gguf", "the store"): "identical",
        ("x-Q4_0.gguf", str(out / "x")): "identical",
    }
    assert found.identical


def test_a_changed_file_is_found_though_its_size_and_its_record_stay(tmp_path: Path) -> None:
    plan, session, out = plan_of(tmp_path), session_in(tmp_path), tmp_path / "dist"
    (out / "x").mkdir(parents=True)
    changed = bytearray((tmp_path / "model" / FILE).read_bytes())
    changed[100] ^= 1
    (out / "x" / "x-Q4_0.gguf").write_bytes(changed)
    [one] = reproduced(plan, session, out).verdicts
    assert one.verdict == "different"
    assert one.sha256 == file_sha256(tmp_path / "model" / FILE)
    assert one.other == file_sha256(out / "x" / "x-Q4_0.gguf")


def test_the_work_is_done_in_a_store_of_its_own_that_goes(tmp_path: Path) -> None:
    plan, session = plan_of(tmp_path), session_in(tmp_path)
    reproduced(plan, session, tmp_path / "dist", twice=True)
    assert session.store.find(plan.steps[0].key) is None
    assert list((session.store.root / "reproduce").iterdir()) == []


def test_what_a_killed_reproduction_left_is_removed_and_what_runs_is_not(tmp_path: Path) -> None:
    session = session_in(tmp_path)
    place = session.store.root / "reproduce"
    code = "import os; print(os.getpid())"
    ended = int(subprocess.check_output([sys.executable, "-c", code]))
    running = place / f"{os.getppid()}-theirs"
    for folder in (place / f"{ended}-left", running):
        (folder / "store").mkdir(parents=True)
    with isolated_run.temporary_folder(session.store) as mine:
        assert set(place.iterdir()) == {mine, running}


def test_of_a_failure_only_the_logs_stay_until_the_next(tmp_path: Path) -> None:
    session = session_in(tmp_path)

    def fail() -> None:
        with isolated_run.temporary_folder(session.store) as place:
            for name in ("store/logs", "store/artifacts/ab", "home"):
                (place / name).mkdir(parents=True)
                (place / name / "file").write_text("x")
            raise StepError("it failed")

    with pytest.raises(StepError):
        fail()
    [place] = (session.store.root / "reproduce").iterdir()
    left = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
    assert left == ["store/logs/file"]


@pytest.mark.parametrize(
    ("entry", "verdict"),
    [
        ({"type": "Q4_0", "sha256": "{own}"}, "identical"),
        ({"type": "q4_0", "sha256": "0" * 64}, "different"),
        ({"name": "Q4_0", "sha256": "{own}"}, "identical"),
        ({"type": "F16", "sha256": "{own}"}, "identical"),
        ({"type": "Q4_0", "size": "3.9 GiB"}, None),
        ({"type": "Q8_0", "sha256": "0" * 64}, None),
    ],
)
def test_published_digests_are_compared(
    entry: dict[str, str], verdict: str | None, tmp_path: Path
) -> None:
    folder = recipe_in(tmp_path).parent
    own = file_sha256(folder / "model" / FILE)
    stated = {name: value.replace("{own}", own) for name, value in entry.items()}
    plan = plan_of(tmp_path, published=(stated,))
    found = reproduced(plan, session_in(tmp_path), tmp_path / "dist")
    assert [one.verdict for one in found.verdicts] == ([verdict] if verdict else [])


def test_digests_of_the_recipe_count_as_published(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    verify = plan.recipe.verify.model_copy(update={"sha256": {"Q4_0": "0" * 64}})
    plan = replace(plan, recipe=plan.recipe.model_copy(update={"verify": verify}))
    found = reproduced(plan, session_in(tmp_path), tmp_path / "dist")
    assert verdicts(found) == {("x-Q4_0.gguf", "the recipe's sha256"): "different"}


def served(place: Path, content: bytes) -> Repo:
    place.mkdir()
    (place / "q.gguf").write_bytes(content)
    return Repo(place, "1" * 40)


def test_a_published_file_with_the_same_digest_is_not_fetched(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_in(tmp_path)
    repo = served(tmp_path / "served", (tmp_path / "model" / FILE).read_bytes())
    plan = plan_of(tmp_path, published=({"type": "Q4_0", "hub": NAME, "file": "q.gguf"},))
    with Hub({NAME: repo}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = reproduced(plan, session_in(tmp_path, offline=False), tmp_path / "dist")
        assert hub.served("q.gguf") == 0
    assert verdicts(found) == {("x-Q4_0.gguf", f"{NAME}/q.gguf"): "identical"}


def test_a_published_file_with_another_digest_is_fetched_and_compared(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = served(tmp_path / "served", b"something else")
    plan = plan_of(tmp_path, published=({"type": "Q4_0", "hub": NAME, "file": "q.gguf"},))
    with Hub({NAME: repo}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = reproduced(plan, session_in(tmp_path, offline=False), tmp_path / "dist")
        assert hub.served("q.gguf") > 0
    [one] = found.verdicts
    assert one.verdict == "different"
    assert one.other == file_sha256(tmp_path / "served" / "q.gguf")


def test_a_hub_out_of_reach_means_not_compared_and_no_success(
    tmp_path: Path, hub_cache: Path
) -> None:
    plan = plan_of(tmp_path, published=({"type": "Q4_0", "hub": NAME, "file": "q.gguf"},))
    found = reproduced(plan, session_in(tmp_path, offline=True), tmp_path / "dist")
    [one] = found.verdicts
    assert one.verdict == "not compared"
    assert "offline" in one.note
    assert not found.identical


def test_a_file_that_is_not_there_is_not_compared(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = served(tmp_path / "served", b"something else")
    claim = published_claims.Claim("x", repo=NAME, file="other.gguf")
    with Hub({NAME: repo}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(StepError, match=r"has no file other\.gguf"):
            published_claims.stated(claim, offline=False)


# -- twice -----------------------------------------------------------------------------------


def test_twice_compares_every_step_but_tools_and_measures(tmp_path: Path) -> None:
    found = reproduced(plan_of(tmp_path), session_in(tmp_path), tmp_path / "dist", twice=True)
    assert found.steps == 1
    assert verdicts(found) == {("all files of 1 step", "a second run"): "identical"}
    assert found.identical


def test_the_two_surroundings_differ_in_everything_named() -> None:
    first, second = isolated_run.surroundings(1)
    assert first.threads == 1 < second.threads
    assert first.umask != second.umask
    assert first.folder != second.folder
    assert {"LC_ALL", "LANG", "TZ"} <= set(first.env) & set(second.env)
    assert not [name for name in first.env if first.env[name] == second.env[name]]


def test_a_run_happens_in_its_own_surroundings(tmp_path: Path) -> None:
    """Seen by what a child of it leaves: modes of files, and the head of its log."""
    plan = plan_of(tmp_path)
    for around in isolated_run.surroundings(2):
        store = Store(tmp_path / around.folder / "store", reproduce.say_nothing)
        keys = [step.key for step in plan.steps]
        isolated_run.run_in_child(
            plan.steps, keys, store, around, offline=True, say=reproduce.say_nothing
        )
        found = store.find(keys[0])
        assert found is not None
        assert (found.path.parent.stat().st_mode & 0o777) == 0o777 & ~around.umask
        [log] = (tmp_path / around.folder / "logs").iterdir()
        head = log.read_text("utf-8")
        assert f"# TZ={around.env['TZ']}" in head
        assert f"# LC_ALL={around.env['LC_ALL']}" in head
        home = tmp_path / around.folder / f"home of {around.name}"
        assert f"# HOME='{home}'" in head


def committed(store: Store, step: Step, **files: bytes) -> None:
    with store.lock(step.key), store.stage(step.key) as stage:
        for name, content in files.items():
            (stage.workdir / name).write_bytes(content)
        store.commit(stage, step, {})


def test_one_differing_byte_of_one_file_of_one_step_is_found(tmp_path: Path) -> None:
    step = Step("imatrix", "importance matrix", "1" * 64, {})
    stores = [Store(tmp_path / name, reproduce.say_nothing) for name in ("a", "b")]
    committed(stores[0], step, same=b"x", other=b"1", gone=b"")
    committed(stores[1], step, same=b"x", other=b"2", new=b"")
    found = list(reproduce.step_verdicts(step, *stores))
    assert [one.file for one in found] == [
        "importance matrix: gone",
        "importance matrix: new",
        "importance matrix: other",
    ]
    assert {one.verdict for one in found} == {"different"}


def test_a_failing_run_is_an_error_with_its_words(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    (tmp_path / "model" / FILE).write_bytes(b"")
    store = Store(tmp_path / "other" / "store", reproduce.say_nothing)
    around = isolated_run.surroundings(1)[0]
    step = replace(plan.steps[0], context={"path": str(tmp_path / "nowhere")})
    with pytest.raises(StepError, match="the first run failed"):
        isolated_run.run_in_child(
            [step], [step.key], store, around, offline=True, say=reproduce.say_nothing
        )


def test_tools_are_lent_and_stay(tmp_path: Path) -> None:
    steps = toolchain_steps(load.load("llama.cpp"), choices())
    ours = Store(tmp_path / "ours", reproduce.say_nothing)
    for step in steps:
        committed(ours, step, tool=b"x")
    theirs = Store(tmp_path / "theirs", reproduce.say_nothing)
    isolated_run.link_tools(steps, ours, theirs)
    assert all(theirs.find(step.key) is not None for step in steps)
    for step in steps:
        theirs.release(step.key)
    assert all(ours.find(step.key) is not None for step in steps)
    assert all((ours.root / "artifacts").glob("*/*/files/tool"))


# -- what is shown ---------------------------------------------------------------------------


def test_the_record_lies_beside_the_outputs_and_is_the_same_each_time(tmp_path: Path) -> None:
    one = Verdict("x-Q4_0.gguf", "the store", "identical", "1" * 64, "1" * 64)
    found = Reproduction("x", "2" * 64, "llama.cpp 0", False, (one,))
    path = reproduce.write(found, tmp_path / "dist" / "x")
    first = path.read_bytes()
    assert path.name == "reproduce.json"
    content = json.loads(first)
    assert content["identical"] is True
    assert content["verdicts"][0]["verdict"] == "identical"
    assert reproduce.write(found, tmp_path / "dist" / "x").read_bytes() == first
    assert "x-Q4_0.gguf  the store      identical" in plain(reproduce.text(found))


def test_a_cluster_makes_them_again_once_in_a_store_inside_the_shared_one(tmp_path: Path) -> None:
    session, plan = session_in(tmp_path), plan_of(tmp_path)
    run(plan, session)
    inbox: SimpleQueue[Event | str] = SimpleQueue()
    jobs: list[Job] = []

    def work(job: Job, say: Say) -> StepResult:
        jobs.append(job)
        return carry_out(job, say)

    with ThreadPoolExecutor(2) as pool:
        carrier = Carrier(lambda _step: pool, inbox, inbox.put, work)
        found = reproduced(plan, replace(session, cluster=carrier), tmp_path / "dist")

    assert found.identical
    assert {job.step.key for job in jobs} >= {one.step for one in plan.outputs}
    assert all(job.store.root.is_relative_to(session.store.root / "reproduce") for job in jobs)


@pytest.mark.parametrize(("apart", "twice"), [(True, False), (False, True)])
def test_what_a_cluster_cannot_make_again_is_refused(
    tmp_path: Path, apart: bool, twice: bool
) -> None:
    carrier = Carrier(Mock(), SimpleQueue(), print, apart=apart)
    session = replace(session_in(tmp_path), cluster=carrier)

    with pytest.raises(UsageError, match="makes files again once, in an empty store on the disk"):
        reproduced(plan_of(tmp_path), session, tmp_path / "dist", twice=twice)
