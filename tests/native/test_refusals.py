"""What cannot be made is said in one sentence, before weights are fetched or read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from git import Repo as Repository

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.base.step_values import Task
from orchestrator.planning import recipe_to_steps
from orchestrator.runs import session
from orchestrator.steps import build
from orchestrator.toolchain.load import load
from tests.hub import Hub, Repo
from tests.support.typed_commands import MODELS, Said, artifacts, typed, variant

COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"
Served = Callable[..., Path]


@pytest.fixture
def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_with: Callable[..., Path]
) -> Iterator[tuple[Served, Hub]]:
    """Serve a tiny model with another config.json on a Hub; gives the recipe's path."""
    store_with("llama.cpp")
    with Hub({}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)

        def serve(name: str, config: Mapping[str, Any], **fields: Any) -> Path:
            folder = tmp_path / "served"
            shutil.copytree(MODELS / name, folder)
            found = json.loads((folder / "config.json").read_text("utf-8"))
            (folder / "config.json").write_text(json.dumps(found | config), encoding="utf-8")
            hub.repos["models"]["org/it"] = Repo(folder, COMMIT)
            model = {"hub": "org/it", "revision": COMMIT}
            return variant(tmp_path, {"model": model, "quantize": ["Q8_0"], **fields})

        yield serve, hub


def refused(path: Path, tmp_path: Path, hub: Hub) -> Said:
    """Run what must be refused before the weights are fetched."""
    said = typed("run", path, "--out", tmp_path / "dist")
    assert said.code == 1, said.all
    assert "Traceback" not in said.all.partition("the end of its log")[0]
    assert not (tmp_path / "dist").exists()
    weights = (tmp_path / "served" / "model.safetensors").stat().st_size
    assert sum(one.sent for one in hub.requests if "model.safetensors" in one.target) < weights / 4
    return said


def test_an_unknown_architecture(served: tuple[Served, Hub], tmp_path: Path) -> None:
    serve, hub = served
    path = serve("llama", {"architectures": ["StrangeForCausalLM"]})
    said = refused(path, tmp_path, hub)
    assert "the converter does not know the architecture StrangeForCausalLM" in said.all
    assert "Use a newer llama.cpp" in said.all


def test_an_unknown_pre_tokenizer(served: tuple[Served, Hub], tmp_path: Path) -> None:
    serve, hub = served
    said = refused(serve("bloom", {}), tmp_path, hub)
    assert "the converter does not know this model's tokenizer (hash " in said.all
    digest = said.all.partition("(hash ")[2].partition(")")[0]
    assert len(digest) == 64
    assert "'convert: {tokenizer_pre: bloom}'" in said.all


def test_a_configuration_that_lacks_something(served: tuple[Served, Hub], tmp_path: Path) -> None:
    serve, hub = served
    path = serve("llama", {"num_hidden_layers": None})
    said = refused(path, tmp_path, hub)
    assert "try converting tiny-llama without weights failed" in said.all


def test_an_imatrix_type_without_imatrix(without: Callable[..., Path], tmp_path: Path) -> None:
    home = without("forecast", "quantize", "measure")
    # What types of tensors leave to the type itself, only the quantizer knows.
    entry = {"type": "IQ2_XXS", "tensor_types": {"ffn_down": "q4_0"}}
    path = variant(tmp_path, {"quantize": [entry]})
    said = typed("run", path, "--out", tmp_path / "dist")
    assert said.code == 1
    assert "IQ2_XXS: this type needs an importance matrix" in said.all
    assert "'imatrix: true'" in said.all
    assert "quantize" not in artifacts(home)


def test_a_text_that_is_too_short_for_divergences(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    without("measure")
    little = {"verify": {"perplexity": {"chunks": 2, "context": 64}}}
    path = variant(tmp_path, {"quantize": ["Q4_0"], **little})
    said = typed("run", path, "--out", tmp_path / "dist")
    assert said.code == 1
    assert "62 tokens are too few to say how far a file diverges, at least 100" in said.all
    assert "say 'kld: false'" in said.all


@pytest.fixture
def build_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """The build of llama.cpp's data, with a source of one line, on a PATH of our choice."""
    folder = tmp_path / "source"
    repo = Repository.init(folder)
    (folder / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.20)\nproject(x CXX)\n")
    with repo.config_writer() as config:
        config.set_value("user", "name", "test").set_value("user", "email", "test@localhost")
    repo.git.add("-A")
    repo.git.commit("-q", "-m", "one line")

    def make(*programs: str) -> Task:
        tools = tmp_path / "bin"
        tools.mkdir()
        for name in programs:
            found = shutil.which(name)
            assert found, name
            (tools / name).symlink_to(found)
        monkeypatch.setenv("PATH", str(tools))
        step = recipe_to_steps.toolchain_steps(load("llama.cpp"), session.choices())[0]
        params = {**step.params, "commit": repo.head.commit.hexsha}
        params["build"] = {**params["build"], "overlay": {}}
        source = {"git": f"file://{folder}", "mirrors": []}
        # A source of one line knows none of the options that a profile must have.
        context = {**step.context, "source": source, "needed": ()}
        step = replace(step, params=params, context=context)
        (tmp_path / "work").mkdir()
        (tmp_path / "scratch").mkdir()
        return Task(step, {}, tmp_path / "work", tmp_path / "scratch", tmp_path / "log", threads=1)

    return make


def test_a_build_without_a_compiler(build_step: Callable[..., Task]) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no C\+\+ compiler was found\n  Install one"):
        build.run(build_step("git", "uname"))


def test_a_build_with_a_compiler_gets_further(build_step: Callable[..., Task]) -> None:
    with pytest.raises(StepError, match=r"unknown target 'llama-quantize'|compile failed"):
        build.run(build_step("git", "uname", "c++", "cc", "ld", "as", "ar", "ranlib"))
