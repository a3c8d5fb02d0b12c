"""The steps that use the Hub: describing a model, and fetching it."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import EnvironmentProblem, StepError, UsageError
from orchestrator.base.step_values import Progress, Task
from orchestrator.modelfiles import safetensors
from orchestrator.recipe.source_fields import Source, Weights
from orchestrator.runs.resolve_sources import Resolver
from orchestrator.steps import fetch, inspect_model, read_gguf_header
from tests.hub import Fault, Hub, Repo
from tests.support.gguf_pairs import Model, write_parts
from tests.support.hub_repositories import COMMIT, CONFIG, INDEX, NAME, SECOND, WEIGHTS, tensor_file
from tests.support.tasks import a_task


@pytest.fixture
def shaped(repo: Repo) -> Repo:
    """The repository with weight files that have real headers."""
    for name, size in ((WEIGHTS, 3_000_000), (SECOND, 5000)):
        tensor_file(repo.folder / name, size)
    return repo


def task_of(folder: Path, source: Source, **rest: Any) -> Task:
    found = Resolver(file_sha256).resolve(source)
    params = {"source": dict(found.identity), "format": found.format}
    return a_task(folder, params, found.context, **rest)


def model(**fields: Any) -> Weights:
    return Weights.model_validate({"hub": NAME, "revision": COMMIT, **fields})


def test_a_branch_is_recorded_as_unpinned_with_its_commit(server: Hub) -> None:
    found = Resolver(file_sha256).resolve(model(revision="main"))

    assert found.identity["commit"] == COMMIT
    assert found.unpinned == "main"
    assert found.identity == Resolver(file_sha256).resolve(model()).identity


def test_an_outline_is_small_and_complete(tmp_path: Path, server: Hub, shaped: Repo) -> None:
    task = task_of(tmp_path, model())

    facts = inspect_model.run(task)

    listed = json.loads((task.workdir / "weights.json").read_text())
    assert set(listed) == {WEIGHTS, SECOND}
    for name, entry in listed.items():
        whole = shaped.folder / name
        head = (task.workdir / entry["header"]).read_bytes()
        assert entry["size"] == whole.stat().st_size
        assert head == whole.read_bytes()[: safetensors.read_header(whole).data_offset]
    small = {path.name for path in (task.workdir / "small").iterdir()}
    assert small == {CONFIG, INDEX, "tokenizer.model"}
    wanted = [WEIGHTS, SECOND, CONFIG, INDEX, "tokenizer.model"]
    assert facts == {
        "fetch_bytes": sum((shaped.folder / name).stat().st_size for name in wanted),
        "weights": "safetensors",
        "parameters": 3_005_000,
    }
    assert server.served(WEIGHTS) < 100_000


@pytest.fixture
def doubled(repo: Repo) -> Repo:
    """The repository with full weights as .bin, and a quantized copy of them."""
    for name in (WEIGHTS, SECOND, INDEX):
        (repo.folder / name).unlink()
    (repo.folder / "pytorch_model.bin").write_bytes(b"x" * 9000)
    header, size = safetensors.build_header([("a.qweight", "I32", (1000,))])
    safetensors.write_hole(header, size, repo.folder / "model.safetensors")
    return repo


def test_a_quantized_copy_of_the_weights_is_left_out_and_that_is_said(
    tmp_path: Path, server: Hub, doubled: Repo
) -> None:
    far, near = task_of(tmp_path / "far", model()), tmp_path / "near"
    local = task_of(near, Weights(path=doubled.folder))

    found = inspect_model.run(far)

    [note] = found["notes"]
    assert note["message"].startswith("model.safetensors is quantized and was left out")
    assert found["weights"] == "bin"
    assert inspect_model.run(local) == found
    assert set(local.step.params["source"]["files"]) == {
        *("pytorch_model.bin", CONFIG, "tokenizer.model")
    }
    fetched = task_of(tmp_path / "fetched", model())
    assert "model.safetensors" not in fetch.run(fetched)["references"]


def test_a_local_folder_has_the_same_outline(tmp_path: Path, server: Hub, shaped: Repo) -> None:
    far, near = task_of(tmp_path / "far", model()), tmp_path / "near"
    local = task_of(near, Weights(path=shaped.folder))

    assert inspect_model.run(far) == inspect_model.run(local)

    for name in ("weights.json", f"small/{CONFIG}", "headers/00000.bin"):
        assert (far.workdir / name).read_bytes() == (near / "work" / name).read_bytes()


def test_files_without_headers_are_estimated(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(bytes(1000))

    facts = inspect_model.run(task_of(tmp_path / "t", Weights(path=folder)))

    assert facts == {"fetch_bytes": 1002, "weights": "bin", "parameters": 500}


def test_whole_numbers_without_a_scale_are_noted(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    names = ("a.weight", "b.weight", "b.weight_scale")
    tensors = {
        name: {"dtype": "I8", "shape": [4], "data_offsets": [4 * at, 4 * at + 4]}
        for at, name in enumerate(names)
    }
    header = json.dumps(tensors).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(12))

    facts = inspect_model.run(task_of(tmp_path / "t", Weights(path=folder)))

    [note] = facts["notes"]
    assert note == {
        "message": "1 tensor of whole numbers without a scale, such as a.weight, "
        "taken as they are.",
        "numbers": {"tensors": ["a.weight"]},
    }


def test_fetched_files_stay_in_the_cache_and_are_referred_to(
    tmp_path: Path, server: Hub, repo: Repo
) -> None:
    told: list[Progress] = []
    task = task_of(tmp_path, model(), progress=told)

    facts = fetch.run(task)

    assert set(facts["references"]) == {WEIGHTS, SECOND, INDEX, CONFIG, "tokenizer.model"}
    for name, one in facts["references"].items():
        assert Path(one["path"]).read_bytes() == (repo.folder / name).read_bytes()
        assert one["sha256"] == file_sha256(repo.folder / name)
        assert not Path(one["path"]).is_symlink()
    assert list(task.workdir.iterdir()) == []
    assert told


def test_checksums_that_the_recipe_states_are_held(tmp_path: Path, server: Hub, repo: Repo) -> None:
    right = {WEIGHTS: repo.sha256(WEIGHTS)}
    fetch.run(task_of(tmp_path / "a", model(files=right)))

    with pytest.raises(StepError, match=f"{CONFIG} has the digest .*, the recipe says {'0' * 64}"):
        fetch.run(task_of(tmp_path / "b", model(files={CONFIG: "0" * 64})))


def test_the_lock_is_held_before_a_weight_is_fetched(
    tmp_path: Path, server: Hub, repo: Repo
) -> None:
    task = task_of(tmp_path, model())
    locked = {**task.step.context, "locked": {WEIGHTS: "0" * 64}}
    held = a_task(tmp_path, task.step.params, locked)

    with pytest.raises(StepError, match="the lock says"):
        fetch.run(held)
    assert server.served(WEIGHTS) == 0


def test_one_file_of_a_data_set(tmp_path: Path, server: Hub, repo: Repo) -> None:
    (repo.folder / "text.txt").write_text("words")
    source = Source(hub="org/data", revision=COMMIT, repo_type="dataset", file="text.txt")

    assert set(fetch.run(task_of(tmp_path, source))["references"]) == {"text.txt"}


def test_a_member_of_an_archive_on_the_hub(tmp_path: Path, server: Hub, repo: Repo) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("inside/wiki.test.raw", "words")
    (repo.folder / "wiki.zip").write_bytes(buffer.getvalue())
    source = Source(
        hub="org/data",
        revision=COMMIT,
        repo_type="dataset",
        file="wiki.zip",
        member="inside/wiki.test.raw",
        sha256=file_sha256(repo.folder / "wiki.zip"),
    )
    task = task_of(tmp_path, source)

    assert "references" not in fetch.run(task)
    assert (task.workdir / "wiki.test.raw").read_text() == "words"


def test_a_refusal_of_the_hub_is_the_steps_own(tmp_path: Path, server: Hub) -> None:
    server.fault(WEIGHTS, Fault("status", times=99, status=403, code="GatedRepo", method="HEAD"))
    server.fault(WEIGHTS, Fault("status", times=99, status=403, code="GatedRepo"))

    with pytest.raises((StepError, EnvironmentProblem)) as caught:
        fetch.run(task_of(tmp_path, model()))
    assert caught.value.hint


def test_a_model_in_parts_is_fetched_whole_by_its_first_part_or_its_repository(
    tmp_path: Path, server: Hub, repo: Repo
) -> None:
    (repo.folder / "q8").mkdir()
    parts = write_parts(repo.folder / "q8", Model(), (1, 3))
    wanted = {f"q8/{part.name}": part.read_bytes() for part in parts}

    for name, fields in (("first", {"file": f"q8/{parts[0].name}"}), ("whole", {})):
        task = task_of(tmp_path / name, model(format="gguf", **fields))
        facts = fetch.run(task)
        peeked = read_gguf_header.run(
            task_of(tmp_path / f"{name}h", model(format="gguf", **fields))
        )

        references = facts["references"]
        assert {one: Path(references[one]["path"]).read_bytes() for one in references} == wanted
        assert peeked["size"] == sum(map(len, wanted.values()))


def test_a_subfolder_is_described_and_fetched_and_nothing_else(
    tmp_path: Path, server: Hub, shaped: Repo
) -> None:
    inner = shaped.folder / "weights" / "hf"
    inner.mkdir(parents=True)
    for path in sorted(shaped.folder.glob("*.*")):
        path.rename(inner / path.name)
    (shaped.folder / CONFIG).write_text('{"model_type": "other"}')
    source = model(subfolder="weights/hf")
    seen, got = task_of(tmp_path / "seen", source), task_of(tmp_path / "got", source)

    facts = inspect_model.run(seen)
    references = fetch.run(got)["references"]

    near = task_of(tmp_path / "near", Weights(path=shaped.folder, subfolder="weights/hf"))
    assert inspect_model.run(near) == facts
    for name in ("weights.json", f"small/{CONFIG}", "headers/00001.bin"):
        assert (seen.workdir / name).read_bytes() == (near.workdir / name).read_bytes()
    assert set(references) == {WEIGHTS, SECOND, CONFIG, INDEX, "tokenizer.model"}
    for name, one in references.items():
        assert one["sha256"] == file_sha256(inner / name)
    assert server.served(CONFIG) == 0


@pytest.mark.parametrize("step", [inspect_model, fetch])
def test_a_subfolder_that_is_not_there_is_refused(
    tmp_path: Path, server: Hub, repo: Repo, step: Any
) -> None:
    (repo.folder / "right").mkdir()
    (repo.folder / "right" / "model.safetensors").write_bytes(b"")

    with pytest.raises(UsageError, match="no folder 'rigth'; did you mean 'right'"):
        step.run(task_of(tmp_path, model(subfolder="rigth")))
