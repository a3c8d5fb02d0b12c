"""What runs at the same time: slots of the runner, and two processes on one store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import machine_info
from orchestrator.base.step_values import JSON, Progress, Step, Task
from orchestrator.engine.artifact_store import Artifact, Stage, Store
from orchestrator.engine.scheduler import NET_SLOTS
from tests.support.child_processes import PATIENCE
from tests.support.scheduler_runs import a_step, run, stored, teach

ROOT = Path(__file__).parents[3]


class Together:
    """Work that waits until so many do it at once, and notes the most there ever were."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties, timeout=PATIENCE)
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def __call__(self, _task: Task) -> dict[str, JSON]:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait()
        with self._lock:
            self._now -= 1
        self._barrier.wait()
        return {}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_cpu_bound_steps_fill_their_slots_and_never_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    work = Together(jobs)
    teach(monkeypatch, together=work)
    steps = [a_step(f"s{n}", kind="together", cpu=True) for n in range(2 * jobs)]

    ran = run(tmp_path, steps, *steps, jobs=jobs)

    assert len(ran.worked) == 2 * jobs
    assert work.most == jobs


def test_small_steps_share_the_cores_unless_jobs_say_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Together(3)
    told: list[int] = []

    def noting(task: Task) -> dict[str, JSON]:
        told.append(task.threads)
        return work(task)

    teach(monkeypatch, together=noting)
    steps = [a_step(f"s{n}", kind="together", cpu=True, memory_bytes=1 << 20) for n in range(3)]

    run(tmp_path, steps, *steps, jobs=0, threads=6)

    assert told == [2, 2, 2]
    assert work.most == 3


@pytest.mark.parametrize("jobs", [0, 4])
def test_nothing_runs_beside_what_measures_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    work = Together(1)
    teach(monkeypatch, together=work)
    steps = [
        a_step(f"s{n}", kind="together", cpu=True, memory_bytes=1 << 20, alone=n > 0)
        for n in range(4)
    ]

    run(tmp_path, steps, *steps, jobs=jobs, threads=8)

    assert work.most == 1


def test_the_network_has_slots_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = Together(NET_SLOTS)
    teach(monkeypatch, together=work)
    steps = [a_step(f"s{n}", kind="together", net=True) for n in range(2 * NET_SLOTS)]

    assert len(run(tmp_path, steps, *steps).worked) == 2 * NET_SLOTS
    assert work.most == NET_SLOTS


def test_fetching_overlaps_computing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teach(monkeypatch, together=Together(2))
    computing = a_step("computing", kind="together", cpu=True)
    fetching = a_step("fetching", kind="together", net=True)

    assert run(tmp_path, [computing, fetching], computing, fetching).outcomes == {
        "computing": "done",
        "fetching": "done",
    }


def test_what_is_asked_for_first_starts_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(monkeypatch, quick=lambda _task: {})
    steps = [a_step(name, kind="quick", cpu=True) for name in "cab"]

    heard = run(tmp_path, steps, *steps, jobs=1).notes.heard

    # They may end in another order: one that is being hashed lets the next one start.
    started = [one for one in heard if one.startswith("started")]
    assert started == ["started c", "started a", "started b"]


def test_a_result_that_is_being_hashed_takes_no_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = threading.Event()

    def work(task: Task) -> dict[str, JSON]:
        if task.step.label == "second":
            second.set()
        return {}

    def commit(store: Store, stage: Stage, step: Step, *rest: Any, **more: Any) -> Artifact:
        assert second.wait(PATIENCE), "the second step waits for the first one's hashing"
        return plain(store, stage, step, *rest, **more)

    plain = Store.commit
    monkeypatch.setattr(Store, "commit", commit)
    teach(monkeypatch, quick=work)
    steps = [a_step(name, kind="quick", cpu=True) for name in ("first", "second")]

    assert sorted(run(tmp_path, steps, *steps, jobs=1).worked) == ["first", "second"]


def test_a_step_whose_tools_are_done_takes_no_slot_while_it_looks_at_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = threading.Event()

    def work(task: Task) -> dict[str, JSON]:
        if task.step.label == "second":
            second.set()
        else:
            task.computed()
            assert second.wait(PATIENCE), "the second step waits for the first one's digest"
        return {}

    teach(monkeypatch, quick=work)
    steps = [a_step(name, kind="quick", cpu=True) for name in ("first", "second")]

    assert sorted(run(tmp_path, steps, *steps, jobs=1).worked) == ["first", "second"]


def test_progress_is_no_reason_to_look_for_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def available() -> int:
        asked.append(0)
        return 1  # too little for two

    def talk(task: Task) -> dict[str, JSON]:
        for number in range(200):
            task.report(Progress(number, 200))
        return {}

    monkeypatch.setattr(machine_info, "memory_available", available)
    teach(monkeypatch, talk=talk)
    steps = [a_step(f"s{n}", kind="talk", cpu=True, memory_bytes=1 << 20) for n in range(2)]

    ran = run(tmp_path, steps, *steps, jobs=0, threads=2)

    assert len(ran.worked) == 2
    assert len(ran.notes.progress) == 400
    assert 1 <= len(asked) < 10


# A step that is killed when its tool is done, and its result about to be read whole.
KILLED = """
import os, signal, sys
from pathlib import Path
from orchestrator.base import growing_file
from orchestrator.engine import step_kinds as kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.modelfiles import output_checks
from tests.support.scheduler_runs import Notes, Own, a_step

def work(task):
    path = task.workdir / "x.gguf"
    with output_checks.watched(path) as watched:
        path.write_bytes(b"all that the tool writes")
    growing_file.GrowingFile.sha256 = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    return watched.facts(task)

kinds.KINDS["killed"] = Own("", work=work)
step = a_step("killed", kind="killed")
Runner(Store(Path(sys.argv[1]), print), Settings(), Notes()).run([step], [step.key])
"""


def test_a_kill_between_tool_and_digest_leaves_rubbish_that_is_swept(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "staging").rglob("x.gguf"))
    assert stored(tmp_path, a_step("killed", kind="killed")) == []
    Store(tmp_path, print).sweep()
    assert list((tmp_path / "staging").iterdir()) == []


PROCESS = """
import sys
from pathlib import Path
from orchestrator.engine import step_kinds as kinds
from tests.support.scheduler_runs import Notes, Own, a_step, write_text
from orchestrator.engine.scheduler import Runner, Settings
from orchestrator.engine.artifact_store import Store

root, gate = Path(sys.argv[1]), sys.argv[2]

class Loud(Notes):
    def started(self, step):
        print("started", flush=True)
    def waiting(self, step, holder):
        print("waiting", flush=True)

def slow(task):
    with open(gate) as pipe:
        pipe.read()
    return write_text(task)

kinds.KINDS["slow"] = Own("", work=slow)
step = a_step("slow", kind="slow")
[result] = Runner(Store(root, print), Settings(), Loud()).run([step], [step.key])
print(result.outcome.value, flush=True)
"""


def test_two_processes_make_one_artifact(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    argv = [sys.executable, "-c", PROCESS, str(tmp_path / "store"), str(gate)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env)

    with start() as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "started\n"
        with start() as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "waiting\n"
            gate.write_text("go on")  # waits for the reader
            assert first.stdout.read() == "done\n"
            assert second.stdout.read() == "hit\n"
    assert json.dumps([first.returncode, second.returncode]) == "[0, 0]"
