"""What a run sends to workers with stores of their own, and what it takes from them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import pytest

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.step_values import Outcome, Step, StepResult
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster.exchange import Exchange
from orchestrator.engine.scheduler import Carrier, Runner, Settings
from orchestrator.engine.shared_cache.places import Place, Remote
from orchestrator.engine.shared_cache.shared_cache import SharedCache
from orchestrator.engine.step_kinds import Role
from orchestrator.engine.step_worker import Event, Job, Say
from tests.support.scheduler_runs import Notes, Own, a_step, stored, teach, write_text


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, text=write_text)
    for name, role in (("tool", Role.TOOL), ("source", Role.SOURCE), ("number", Role.MEASURE)):
        monkeypatch.setitem(step_kinds.KINDS, name, Own("", role, work=write_text))


def remote(folder: Path, *, private: bool = True) -> Remote:
    return Remote((Place(f"file://{folder}/cache", private=private),))


def exchange(folder: Path, *, private: bool = True) -> Exchange:
    return Exchange("id", remote(folder, private=private), Store(folder / "store", print))


def by_key(*steps: Step) -> dict[str, Step]:
    return {step.key: step for step in steps}


def make(store: Store, *steps: Step) -> None:
    Runner(store, Settings(), Notes()).run(steps, [step.key for step in steps])


def result(step: Step, store: str = "far") -> StepResult:
    return StepResult(step, Outcome.DONE, path=Path("/elsewhere"), store=store)


def test_what_the_work_reads_and_only_this_machine_has_is_sent(tmp_path: Path) -> None:
    one = exchange(tmp_path)
    a, kept, unread = a_step("a"), a_step("kept", keep="intermediate"), a_step("unread")
    b = a_step("b", a, kept)
    make(one.store, a, kept, unread)

    one.begin(by_key(b), by_key(a, kept, unread, b), [b.key])
    one.send(by_key(b))

    steps = (a, kept, unread, b)
    assert SharedCache(one.remote, print).holds([step.key for step in steps]) == {a.key}


def test_work_that_a_cache_must_not_have_is_refused(tmp_path: Path) -> None:
    one, a = exchange(tmp_path, private=False), a_step("a")
    kept = a_step("kept", keep="intermediate")
    one.begin(by_key(kept), by_key(kept), [kept.key])

    with pytest.raises(UsageError, match="have the result of 'a': its licence is not stated"):
        one.begin(by_key(a), by_key(a), [a.key])
    assert not (tmp_path / "cache").exists()


def test_only_what_was_asked_for_comes_here(tmp_path: Path) -> None:
    one, far = exchange(tmp_path), Store(tmp_path / "far", print)
    a = a_step("a")
    b = a_step("b", a)
    make(far, a, b)
    for step in (a, b):
        found = far.find(step.key)
        assert found is not None
        SharedCache(one.remote, print).push(step, found)
    one.begin(by_key(a, b), by_key(a, b), [b.key])

    assert one.arrived(result(a)).path is None
    path = one.arrived(result(b)).path
    assert path is not None
    assert path.is_relative_to(one.store.root)
    assert stored(one.store.root, a, b) == ["b"]


def test_what_was_asked_for_and_does_not_come_is_said(tmp_path: Path) -> None:
    one, a = exchange(tmp_path), a_step("a")
    one.begin(by_key(a), by_key(a), [a.key])

    with pytest.raises(EnvironmentProblem, match=r"a: a worker made it, but file://.* not give it"):
        one.arrived(result(a))


def test_a_step_needs_what_the_making_of_its_inputs_needs_if_they_are_kept_back(
    tmp_path: Path,
) -> None:
    weights = a_step("weights", kind="source", fetch_bytes=7, net=True)
    merged = a_step("merge", weights, keep="intermediate", memory_bytes=16)
    converted = a_step("convert", merged, cpu=True, memory_bytes=2)
    quantized = a_step("quantize", converted, cpu=True, memory_bytes=1)
    one = exchange(tmp_path)
    work = by_key(weights, merged, converted, quantized)
    one.begin(work, work, [])

    needs = one.sized(converted).resources
    assert (needs.memory_bytes, needs.fetch_bytes, needs.net, needs.cpu) == (16, 7, True, True)
    assert one.sized(quantized).resources == quantized.resources


def test_readers_go_to_weights_and_logits_and_not_to_texts_and_tools(tmp_path: Path) -> None:
    weights, text = a_step("weights", kind="source"), a_step("text", kind="source")
    tool, logits = a_step("tool", kind="tool"), a_step("logits", text, keep="intermediate")
    convert, shared = a_step("convert", weights, tool), a_step("shared")
    number = a_step("kld", logits, text, tool, shared, kind="number")
    other = a_step("ppl", text, tool, shared, kind="number")
    steps = by_key(weights, text, tool, logits, convert, shared, number, other)
    one = exchange(tmp_path)
    one.begin({}, steps, [])
    for step in (weights, text, tool, logits, shared):
        one.arrived(result(step, step.label))

    assert one.stores(convert) == {"weights"}
    assert one.stores(number) == {"logits"}
    assert one.stores(other) == set()
    assert one.stores(replace(number, inputs={})) == set()


def test_what_is_made_elsewhere_reads_the_cache_and_not_this_store(tmp_path: Path) -> None:
    a = a_step("a")
    b = a_step("b", a)
    make(one := Store(tmp_path / "other", print), a)
    found = one.find(a.key)
    assert found is not None
    SharedCache(remote(tmp_path), print).push(a, found)
    jobs: list[Job] = []

    def work(job: Job, _say: Say) -> StepResult:
        jobs.append(job)
        return StepResult(job.step, Outcome.DONE)

    inbox: SimpleQueue[Event | str] = SimpleQueue()
    with ThreadPoolExecutor(1) as pool:
        carrier = Carrier(lambda _step: pool, inbox, inbox.put, work, apart=True)
        here = Store(tmp_path / "store", print)
        Runner(here, Settings(remote=remote(tmp_path)), Notes(), carrier).run([a, b], [b.key])

    assert [job.along for job in jobs] == [(a,)]
    assert stored(here.root, a, b) == []
