"""What a plan costs: sizes onto steps, disk over time, and the sentences that say no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import Mock

import pytest

from orchestrator.base import machine_info
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.process import isolation
from orchestrator.base.step_values import Resources, Step
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Carrier, Settings
from orchestrator.planning import resource_needs, rough_sizes
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.resource_needs import Forecast
from orchestrator.recipe.source_fields import Weights
from orchestrator.runs import preflight
from orchestrator.runs.preflight import Preview
from orchestrator.runs.resolve_sources import Resolver
from orchestrator.runs.session import Session, choices
from orchestrator.sources import range_requests
from orchestrator.toolchain import load
from tests.support.merge_pairs import llama, write_model
from tests.support.plans import (
    ASKS_FOR_REFERENCE,
    COMMIT,
    RECIPE,
    WITH_REFERENCE,
    by_label,
    hub,
    make_chain,
    make_plan,
    sources,
)
from tests.support.plans import CHAIN as STAND

GB = 10**9
FORECAST = Forecast(
    full={"size": 13 * GB, "largest_tensor": 131_072_000, "vocabulary": 32000},
    outputs={"Q4_0": {"size": 4 * GB}, "Q4_K_M": {"size": 5 * GB}},
    fetched=[(hub().identity, 14 * GB)],
)


MERGED_RECIPE = RECIPE.replace(
    "{hub: org/small, revision: main}",
    "{base: {hub: org/base, revision: main}, delta: {hub: org/delta, revision: main}}",
)
LOCAL = Resolved({"kind": "path", "files": {"a": "1", "b": "2"}}, {"path": "/x/folder"}, "hf")


def sized(tmp_path: Path, text: str = RECIPE, forecast: Forecast = FORECAST, **rest: Any) -> Plan:
    return resource_needs.with_sizes(make_plan(tmp_path, text, **rest), forecast)


def test_the_forecast_becomes_the_steps_resources(tmp_path: Path) -> None:
    steps = by_label(sized(tmp_path))

    assert steps["fetch org/small@ccccccc"].resources.fetch_bytes == 14 * GB
    assert steps["fetch perplexity text text.txt"].resources.fetch_bytes == 0
    assert steps["convert small to F16"].resources.disk_bytes == 13 * GB
    assert steps["quantize small to Q4_0"].resources.disk_bytes == 4 * GB
    assert steps["quantize small to Q4_K_M"].resources.disk_bytes == 5 * GB
    assert steps["measure small Q4_K_M: divergence"].resources.memory_bytes == pytest.approx(
        6.04 * GB, rel=0.01
    )
    assert steps["perplexity of small F16"].resources.memory_bytes > 13 * GB
    assert steps["quantize small to Q4_0"].resources.exact


def test_comparing_with_the_original_needs_its_weights_in_32_bit_floats(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, text=WITH_REFERENCE)
    steps = by_label(sized(tmp_path, ASKS_FOR_REFERENCE, chain=chain))

    needed = steps["measure small F16: reference logits"].resources.memory_bytes
    assert needed == pytest.approx(26.7 * GB, rel=0.01)


def test_sizes_change_no_key(tmp_path: Path) -> None:
    plain, told = make_plan(tmp_path), sized(tmp_path)

    assert [step.key for step in plain.steps] == [step.key for step in told.steps]


def test_local_files_are_not_fetched(tmp_path: Path) -> None:
    steps = by_label(sized(tmp_path, found=sources(model=LOCAL)))

    assert steps["fetch folder"].resources.fetch_bytes == 0


@pytest.mark.parametrize(
    ("vocabulary", "context", "chunks", "size"),
    [
        # SmolLM2, as the pinned tool writes it: 20 + 4 * 8 * 512 + 8 * 255 * 2 * 49156.
        (49152, 512, 8, 200_572_884),
        (49151, 512, 8, 200_572_884),  # rows are padded to pairs
        (5, 4, 1, 20 + 16 + 20),
    ],
)
def test_the_size_of_saved_logits(vocabulary: int, context: int, chunks: int, size: int) -> None:
    layout = load.load("llama.cpp").verbs["logits"].saved

    assert layout is not None
    assert layout.size_of(vocabulary=vocabulary, context=context, chunks=chunks) == size


def step(name: str, disk: int = 0, *inputs: Step, keep: str = "all", **more: Any) -> Step:
    reads = {one.label: one.key for one in inputs}
    return Step(
        "kind", name, name, {}, reads, keep=keep, resources=Resources(disk_bytes=disk, **more)
    )


def disks(steps: Sequence[Step], keep: str, hits: Sequence[str] = ()) -> dict[str, int]:
    return {one.step.label: one.disk for one in resource_needs.timeline(steps, hits, keep)}


MERGED = step("merged", 100, keep="intermediate")
FULL = step("full", 50, MERGED, keep="f16")
SMALL = step("small", 10, FULL, keep="final")
TINY = step("tiny", 5, FULL, keep="final", scratch_bytes=7)
MEASURED = step("measured", 1, SMALL, FULL)
CHAIN = (MERGED, FULL, SMALL, TINY, MEASURED)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", {"merged": 100, "full": 150, "small": 160, "tiny": 172, "measured": 166}),
        ("f16", {"merged": 100, "full": 150, "small": 60, "tiny": 72, "measured": 66}),
        ("final", {"merged": 100, "full": 150, "small": 60, "tiny": 72, "measured": 66}),
    ],
)
def test_disk_over_time(keep: str, expected: dict[str, int]) -> None:
    assert disks(CHAIN, keep) == expected


def test_what_the_policy_releases_stops_counting_after_its_last_reader() -> None:
    last = step("last", 3)

    assert disks((*CHAIN, last), "final")["last"] == 10 + 5 + 1 + 3
    assert disks((*CHAIN, last), "f16")["last"] == 50 + 10 + 5 + 1 + 3


def test_what_is_there_costs_nothing() -> None:
    assert disks(CHAIN, "all", ["merged", "full"]) == {"small": 10, "tiny": 22, "measured": 16}


def test_logits_count_up_to_their_limit_after_their_last_reader() -> None:
    logits = [replace(step(name, 10, keep="intermediate"), kind="logits") for name in "ab"]
    readers = [step(f"read {one.label}", 1, one) for one in logits]
    steps = (logits[0], readers[0], logits[1], readers[1], step("last", 1))

    def at_the_end(limit: int, keep: str = "f16") -> int:
        return resource_needs.timeline(steps, (), keep, limit)[-1].disk

    assert [at_the_end(limit) for limit in (0, 10, 20)] == [3, 13, 23]
    assert at_the_end(20, "final") == 3


def test_an_intermediate_that_nobody_reads_is_released_at_once() -> None:
    alone = step("alone", 9, keep="intermediate")

    assert disks((alone, step("next", 1)), "f16") == {"alone": 9, "next": 1}


# -- saying no ---------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> Session:
    quiet = Plain((tmp_path / "out").open("w"))
    return Session(Store(tmp_path / "store", print), Settings(), choices(), quiet)


def warned(tmp_path: Path, text: str) -> list[str]:
    """What a preview of a recipe warns of where the system isolates no tool."""
    said: list[str] = []
    quiet = Plain((tmp_path / "out").open("w"))
    offline = Settings(offline=True)
    asking = Session(Store(tmp_path / "store", said.append), offline, choices(), quiet)
    preflight.previews([make_plan(tmp_path, text)], asking, build=False)
    return said


def test_trusted_code_that_cannot_be_isolated_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "obstacle", lambda: "only Linux has the namespaces for it")
    trusting = RECIPE.replace("revision: main", f"revision: {COMMIT}, trust_remote_code: true")
    assert trusting != RECIPE

    assert warned(tmp_path, RECIPE) == []
    assert warned(tmp_path, trusting) == [
        "the models' own code of small can read your files and use the network: "
        "only Linux has the namespaces for it"
    ]


def preview(tmp_path: Path, **changes: Any) -> Preview:
    forecast = replace(FORECAST, **changes)
    return Preview(sized(tmp_path, forecast=forecast), forecast)


def machine_with(
    monkeypatch: pytest.MonkeyPatch, disk: int = 1000 * GB, memory: int = 1000 * GB
) -> None:
    monkeypatch.setattr(machine_info, "disk_free", lambda _path: disk)
    monkeypatch.setattr(machine_info, "memory_total", lambda: memory)


def test_room_enough_is_no_sentence(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch)

    preflight.check_room([preview(tmp_path)], session, tmp_path / "dist")


def test_a_store_that_does_not_exist_yet_has_room(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch)
    assert not session.store.root.exists()

    preflight.check_room([preview(tmp_path)], session, Path("does/not/exist"))


def test_short_disk_is_said_with_the_peak_and_what_helps(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, disk=30 * GB)

    with pytest.raises(EnvironmentProblem) as caught:
        preflight.check_room([preview(tmp_path)], session, tmp_path)

    assert "of disk are needed at the peak" in caught.value.message
    assert "30.0 GB are free" in caught.value.message
    assert str(session.store.root) in caught.value.message
    assert "ORCHESTRATE_HOME" in caught.value.hint
    assert caught.value.exit_code == 3


def test_of_what_others_make_only_the_outputs_need_room_here(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = Carrier(Mock(), SimpleQueue(), print, apart=True)
    far = replace(session, cluster=apart)
    machine_with(monkeypatch, disk=30 * GB)
    preflight.check_room([preview(tmp_path)], far, tmp_path)

    machine_with(monkeypatch, disk=GB)
    with pytest.raises(EnvironmentProblem, match=r"9\.00 GB of outputs do not fit"):
        preflight.check_room([preview(tmp_path)], far, tmp_path)


def test_keep_final_is_advised_when_it_is_enough(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, delta = hub("org/base"), hub("org/delta")
    text = RECIPE.replace(
        "{hub: org/small, revision: main}",
        "{base: {hub: org/base, revision: main}, delta: {hub: org/delta, revision: main}}",
    )
    one = sized(tmp_path, text, found=replace(sources(), model=None, base=base, delta=delta))
    generous = replace(session, settings=Settings(keep="all"))
    lean = max(
        m.disk
        for m in preflight.moments(
            [Preview(one, FORECAST)], replace(session, settings=Settings(keep="final"))
        )
    )
    machine_with(monkeypatch, disk=lean)

    with pytest.raises(EnvironmentProblem, match="'--keep final' needs"):
        preflight.check_room([Preview(one, FORECAST)], generous, tmp_path)
    machine_with(monkeypatch, disk=lean - 1)
    with pytest.raises(EnvironmentProblem, match="store gc"):
        preflight.check_room([Preview(one, FORECAST)], generous, tmp_path)


def test_short_memory_is_said_with_the_step(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch, memory=8 * GB)

    with pytest.raises(EnvironmentProblem, match=r"of memory, this machine has 8\.00 GB") as caught:
        preflight.check_room([preview(tmp_path)], session, tmp_path)
    assert "'importance matrix of small' needs about" in caught.value.message


def test_outputs_on_another_disk_must_fit_there(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_with(monkeypatch)
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    monkeypatch.setattr(
        machine_info, "disk_free", lambda p: GB if other in (p, *p.parents) else 9**99
    )

    with pytest.raises(EnvironmentProblem, match=r"9\.00 GB of outputs do not fit in /dev/shm/x"):
        preflight.check_room([preview(tmp_path)], session, other / "x" / "y")


def test_fallbacks_are_refused_before_work(tmp_path: Path) -> None:
    fallback = {"tensor": "blk.0.ffn", "columns": "576", "wanted": "q4_K", "got": "q5_0"}
    told = {"Q4_0": {"size": 1, "fallbacks": [fallback] * 7}}

    with pytest.raises(
        StepError, match=r"small Q4_0: 7 tensors.*576 columns.*and 2 more"
    ) as caught:
        preflight.check_outputs(preview(tmp_path, outputs=told), choices())
    assert "allow_fallback: true" in caught.value.hint


def test_fallbacks_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    fallback = {"tensor": "blk.0.ffn", "columns": "576", "wanted": "q4_K", "got": "q5_0"}
    told = {name: {"size": 1, "fallbacks": [fallback]} for name in ("Q4_0", "Q4_K_M")}

    with pytest.raises(StepError, match=r"small Q4_0: 1 .*small Q4_K_M: 1 ") as caught:
        preflight.check_outputs(preview(tmp_path, outputs=told), choices())
    assert caught.value.hint.count("allow_fallback") == 1


def test_accepted_fallbacks_are_fine(tmp_path: Path) -> None:
    fallback = {"tensor": "blk.0.ffn", "columns": "576", "wanted": "q4_K", "got": "q5_0"}
    forecast = replace(FORECAST, outputs={"Q4_0": {"size": 1, "fallbacks": [fallback]}})
    text = RECIPE.replace("[Q4_0, ", "[{type: Q4_0, allow_fallback: true}, ")

    preflight.check_outputs(Preview(sized(tmp_path, text, forecast), forecast), choices())
    preflight.check_outputs(Preview(sized(tmp_path, text, forecast), None), choices())


def test_a_missing_importance_matrix_is_said_before_work(tmp_path: Path) -> None:
    told = {
        "Q4_0": {"size": 1, "needs_imatrix": True},
        "Q4_K_M": {"size": 1, "needs_imatrix": True},
    }

    with pytest.raises(StepError, match="small Q4_0: this type needs an importance matrix"):
        preflight.check_outputs(preview(tmp_path, outputs=told), choices())


# -- estimates ---------------------------------------------------------------------------


def test_estimates_from_parameters_and_nominal_bits(tmp_path: Path) -> None:
    made = make_plan(tmp_path)

    told = rough_sizes.estimate(made, [(hub().identity, 5)], lambda step: {"parameters": 7 * GB})

    assert told is not None
    assert not told.exact
    assert told.full["size"] == 14 * GB
    assert told.outputs["Q4_0"]["size"] == round(7 * GB * 4.5 / 8)
    assert told.outputs["Q4_K_M"]["bits_per_weight"] == 4.8
    assert told.fetch_bytes == 5


def test_base_and_delta_are_one_model(tmp_path: Path) -> None:
    found = sources(model=None, base=hub("org/base"), delta=hub("org/delta"))

    told = rough_sizes.estimate(
        make_plan(tmp_path, MERGED_RECIPE, found=found), (), lambda _: {"parameters": 8}
    )

    assert told is not None
    assert told.full["parameters"] == 8


def test_without_parameters_there_is_no_estimate(tmp_path: Path) -> None:
    assert rough_sizes.estimate(make_plan(tmp_path), (), lambda _: None) is None


# -- what is to be fetched, and base and delta, where no tool chain is built ---------------


def test_base_and_delta_are_fetched_each_with_its_own_bytes(tmp_path: Path) -> None:
    found = sources(model=None, base=hub("org/base"), delta=hub("org/delta"))
    told = replace(
        FORECAST, fetched=[(hub("org/base").identity, 13 * GB), (hub("org/delta").identity, GB)]
    )

    steps = by_label(sized(tmp_path, MERGED_RECIPE, told, found=found))

    assert steps["fetch base org/base@ccccccc"].resources.fetch_bytes == 13 * GB
    assert steps["fetch delta org/delta@ccccccc"].resources.fetch_bytes == GB
    assert told.fetch_bytes == 14 * GB


@pytest.mark.parametrize("chain", ["stand", "predicting"])
def test_a_delta_that_does_not_fit_is_refused_where_nothing_is_built(
    tmp_path: Path, session: Session, chain: str
) -> None:
    made = make_chain(tmp_path, text=STAND.replace("  plan_quantize:", "  unused:"))
    if chain == "predicting":
        made = make_chain(tmp_path, text=STAND)
    pair = {
        "base": write_model(tmp_path / "base", llama(33, "F16", 1), "safetensors", 2),
        "delta": write_model(tmp_path / "delta", llama(32, "F16", 1), "safetensors", 2),
    }
    found = {
        side: Resolver(file_sha256).resolve(Weights(path=folder)) for side, folder in pair.items()
    }
    plan = make_plan(
        tmp_path, MERGED_RECIPE, chain=made, found=sources(model=None, **found), verify=False
    )

    [refused] = preflight.previews([plan], session, build=False)

    assert isinstance(refused, StepError)
    assert refused.message.startswith(f"small: The delta in {pair['delta']} does not fit the base")


def test_a_download_is_known_where_nothing_predicts_files(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = STAND.replace("[hf, gguf]", "[hf, ggml]")
    added = "  import_ggml: {{argv: [python]}}\n  load:"
    chain = make_chain(tmp_path, text=text.replace("  load:", added))
    identity = {"kind": "url", "sha256": "b" * 64, "name": "m.bin", "member": ""}
    model = Resolved(identity, {"url": "https://localhost/m.bin"}, "ggml")
    plan = make_plan(tmp_path, chain=chain, found=sources(model=model), verify=False)
    monkeypatch.setattr(range_requests, "download_size", lambda *_: 7 * GB)

    [seen] = preflight.previews([plan], session, build=False)

    assert isinstance(seen, Preview)
    assert by_label(seen.plan)["fetch m.bin"].resources.fetch_bytes == 7 * GB
    assert seen.forecast is not None
    assert (seen.forecast.full, seen.forecast.outputs) == ({}, {})
