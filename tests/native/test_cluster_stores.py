"""Runs whose workers have stores of their own and exchange what they make by a shared cache."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import s3fs

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.shared_cache.places import Place, Remote
from tests.support import cache_servers, warm_store
from tests.support.cluster_steps import run_waiting_tool
from tests.support.cluster_trials import Trial, waiting_step
from tests.support.scheduler_runs import a_step, stored, teach, write_text
from tests.support.typed_commands import TINY
from tests.support.warm_store import Finished

MADE = "tiny-llama-Q4_0.gguf"
REPORTS = ("SHA256SUMS", "report.html", "report.json", "report.md")
Q4_0 = "2689c04e48777247baeb34552b6c1497af1d3dc17bbf9b146631ea12a3c9aaae"  # as the recipe states
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """A scheduler, and a cache on a disk."""
    teach(monkeypatch, text=write_text, waits=run_waiting_tool)
    cache = Place(f"file://{tmp_path}/cache", private=True)
    one = Trial(tmp_path, remote=Remote((cache,), patience=5))
    one.scheduler()
    yield one
    one.close()


def labels(store: Store) -> list[str]:
    return sorted(one.label for one in store.artifacts())


def test_workers_exchange_by_the_cache_and_what_was_asked_for_comes_here(trial: Trial) -> None:
    one, two = trial.far_worker("one"), trial.far_worker("two", "--gpu", "1")
    a = a_step("a", keep="f16")
    b = a_step("b", a, gpu=True)

    ran = trial.run([a, b], targets=[b])

    assert ran.outcomes == {"a": "done", "b": "done"}
    path = ran.of("b").path
    assert path is not None
    assert (path / "text").read_text() == "ab"
    assert labels(trial.store) == ["b"]
    assert labels(two) == ["a", "b"]  # b needs a GPU
    assert set(labels(one)) <= {"a"}


def test_a_result_that_only_this_machine_has_is_sent_first(trial: Trial) -> None:
    a = a_step("a")
    b = a_step("b", a)
    trial.worker("near")
    trial.run([a])
    trial.kill("near")
    far = trial.far_worker("far")

    assert trial.run([a, b], targets=[b]).worked == ["b"]
    assert labels(far) == ["a", "b"]
    manifest = next(one for one in far.artifacts() if one.label == "a").manifest
    assert manifest == next(one for one in trial.store.artifacts() if one.label == "a").manifest


def test_what_the_cache_keeps_back_stays_and_its_reader_comes_to_it(trial: Trial) -> None:
    one, two = trial.far_worker("one"), trial.far_worker("two")
    logits = trial.place(replace(waiting_step(trial, "logits"), keep="intermediate"))
    readers = [a_step(f"r{number}", logits) for number in range(3)]
    with trial.running(logits, *readers, targets=readers) as run:
        name = trial.worker_of(trial.begun(logits))
        trial.let_go(logits)
        assert set(run.result().outcomes.values()) == {"done"}
    here, elsewhere = (one, two) if name == "one" else (two, one)
    assert labels(here) == ["logits", "r0", "r1", "r2"]
    assert labels(elsewhere) == []
    assert labels(trial.store) == ["r0", "r1", "r2"]


def test_what_was_kept_back_is_made_again_when_its_worker_is_gone(trial: Trial) -> None:
    stores = {name: trial.far_worker(name) for name in ("one", "two")}
    logits = replace(a_step("logits"), keep="intermediate")
    slow = trial.place(waiting_step(trial, "slow", reads=(logits,)))
    with trial.running(logits, slow, targets=[slow]) as run:
        dead = trial.worker_of(trial.begun(slow))
        trial.kill(dead)
        second = trial.worker_of(trial.begun(slow))
        assert second != dead
        trial.let_go(slow)
        assert run.result().outcomes == {"logits": "done", "slow": "done"}
    assert labels(stores[second]) == ["logits", "slow"]


def test_a_worker_that_dies_between_making_and_sending_is_no_loss(trial: Trial) -> None:
    """What it has made it sends when it is back; what was sent first stays."""
    stores = {name: trial.far_worker(name) for name in ("one", "two")}
    step = trial.place(waiting_step(trial, "slow"), "committed")
    with trial.running(step) as run:
        dead = trial.worker_of(trial.begun(step, "committed"))
        trial.kill(dead)
        second = trial.worker_of(trial.begun(step, "committed"))
        trial.let_go(step, "committed")
        assert run.result().outcomes == {"slow": "done"}
    manifests = {name: next(store.artifacts()).manifest for name, store in stores.items()}
    here = next(trial.store.artifacts()).manifest
    assert here == manifests[second] != manifests[dead]

    trial.far_worker(dead)
    trial.wait_for_log(dead, "works for", 2)
    trial.kill(second)
    trial.store.release(step.key)
    assert trial.run([step, a_step("b", step)]).worked == ["b"]
    assert next(one for one in trial.store.artifacts() if one.label == "slow").manifest == here


def test_a_cache_that_goes_away_ends_the_run(trial: Trial, tmp_path: Path) -> None:
    trial.far_worker("one")
    step = trial.place(waiting_step(trial, "slow"))
    with trial.running(step, a_step("below", step)) as run:
        trial.begun(step)
        (tmp_path / "cache").rename(tmp_path / "moved")
        (tmp_path / "cache").write_bytes(b"")  # no folder any more
        trial.let_go(step)
        ran = run.result()
    assert ran.outcomes == {"slow": "failed", "below": "skipped"}
    assert isinstance(ran.of("slow").cause, EnvironmentProblem)
    assert f"the shared cache file://{tmp_path}/cache: " in ran.of("slow").error
    assert stored(trial.store.root, step) == []


def test_a_recipe_is_made_through_a_bucket_with_the_bytes_that_it_states(
    without: Callable[..., Path], finished: Finished, tmp_path: Path
) -> None:
    """One worker is killed with a file in hand, and a file in the bucket is changed meanwhile."""
    home = without("fetch", "convert", "quantize", "logits", "measure")
    (tmp_path / "s3").mkdir()
    step = replace(a_step("quantize tiny-llama to Q4_0"), context={"trial": str(tmp_path)})
    with cache_servers.s3_server(tmp_path / "s3") as port:
        options = cache_servers.s3_options(port)
        trial = Trial(tmp_path, remote=Remote((Place(f"s3://{cache_servers.BUCKET}/tiny"),)))
        env = {"FSSPEC_S3": json.dumps(options), **trial.cache_env}
        trial.place(step, "commit")
        try:
            trial.scheduler()
            for name in ("one", "two"):
                warm_store.link(tmp_path / f"store of {name}", "llama.cpp")
                trial.far_worker(name, TRIAL_FOLDER=str(tmp_path), **env)
            out = ("--out", str(tmp_path / "dist"), "--cluster", trial.address)
            words = ("run", str(TINY), "--only", "Q4_0", "--no-verify", *out)
            run = trial.start("run", "-m", "orchestrator", *words, **env)
            dead = trial.worker_of(trial.begun(step, "commit"))
            change_largest_blob(options)
            trial.kill(dead)
            assert trial.worker_of(trial.begun(step, "commit")) != dead
            trial.let_go(step, "commit")

            assert run.wait() == 0, trial.said("run")
        finally:
            trial.close()
    folder = tmp_path / "dist" / "tiny-llama"
    assert {one.name for one in folder.iterdir()} == {*REPORTS, MADE, f"{MADE}.provenance.json"}
    assert hashlib.sha256((folder / MADE).read_bytes()).hexdigest() == Q4_0
    sums = [line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    assert sorted(sums) == [MADE, f"{MADE}.provenance.json"]
    here = {one.kind for one in Store(home, print).artifacts()}
    assert "quantize" in here
    assert not here & {"fetch", "convert"}
    # How all of it was made is known here, as if it had been made here.
    told = folder / f"{MADE}.provenance.json"
    assert told.read_bytes() == (finished.out / told.name).read_bytes()


def change_largest_blob(options: dict[str, Any]) -> None:
    """Flip a bit of the largest file in the bucket: the converted model."""
    fs = s3fs.S3FileSystem(**options, skip_instance_cache=True, use_listings_cache=False)
    sizes = fs.find(f"{cache_servers.BUCKET}/tiny/v1/blobs", detail=True)
    name = max(sizes, key=lambda one: sizes[one]["size"])
    data = bytearray(fs.cat_file(name))
    data[-1] ^= 1
    fs.pipe_file(name, bytes(data))
