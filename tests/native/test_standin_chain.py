"""bloomz.cpp's data on an upstream of our own with the same command lines and the same faults.

The real one is in no package registry; where its repository can be reached, it is tried too.
"""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from git import Repo

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Outcome, Step, Task
from orchestrator.engine.artifact_store import Store
from orchestrator.modelfiles import ggml
from orchestrator.steps import build
from orchestrator.toolchain import call_verb, load
from orchestrator.toolchain.load import ToolChain
from tests.standin import harness, models
from tests.standin.harness import Ran
from tests.standin.repositories import first_commit, vendor
from tests.support.reachable import reachable
from tests.support.warm_store import CACHE

BLOOM = models.TINY / "bloom"
SMOKE = {"prompt": "Once upon a time", "expect": ".", "tokens": 5}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """The stand-in as a git repository with one commit."""
    return first_commit(tmp_path_factory.mktemp("upstream") / "repo")


def make(folder: Path, chain: ToolChain, model: Path = BLOOM, **fields: Any) -> Ran:
    wanted = {"family": "bloomz", "quantize": ["Q4_0"], "verify": {"kld": None, "smoke": SMOKE}}
    recipe = harness.write_recipe(folder, "standin", model, **{**wanted, **fields})
    return harness.run(recipe, chain, Store(folder / "store", print))


@pytest.fixture
def no_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which make is not installed."""
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, **where: None if name == "make" else which(name, **where)
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, repository: Repo) -> Ran:
    """A whole run, built with make."""
    folder = tmp_path_factory.mktemp("made")
    return make(folder, vendor(folder, repository))


def test_a_run_with_make(made: Ran) -> None:
    assert not [one.error for one in made.results if one.error]
    assert made.of("build").facts["calls"][2]["argv"][0].endswith("make")
    small = made.measures("Q4_0")
    assert small["header"]["structure"]["layout"] == "bloomz"
    assert small["header"]["census"] == {"F32": 20, "Q4_0": 10}
    assert small["load"]["loaded"] is True
    assert small["smoke"]["text"]
    assert "sampling" not in small["smoke"]["text"]
    assert "smoke_python" not in small


def test_cmake_builds_the_same_where_there_is_no_make(
    made: Ran, no_make: None, tmp_path: Path, repository: Repo
) -> None:
    ran = make(tmp_path, vendor(tmp_path, repository))
    assert not [one.error for one in ran.results if one.error]
    assert "cmake" in ran.of("build").facts["calls"][2]["argv"][0]
    assert file_sha256(ran.file("Q4_0")) == file_sha256(made.file("Q4_0"))
    assert ran.measures("Q4_0")["smoke"]["text"] == made.measures("Q4_0")["smoke"]["text"]


def test_without_make_and_cmakelists_the_sentence_says_so(
    no_make: None, tmp_path: Path, repository: Repo
) -> None:
    chain = vendor(tmp_path, repository)
    bare = chain.model_copy(update={"build": chain.build.model_copy(update={"cmakelists": ""})})
    assert "make, which is not installed" in make(tmp_path, bare).failed().error


def test_another_commit_than_the_pinned_one_is_refused(tmp_path: Path, repository: Repo) -> None:
    chain = vendor(tmp_path, repository)
    source = chain.source.model_copy(update={"commit": "0" * 40})
    failed = make(tmp_path, chain.model_copy(update={"source": source})).failed()
    assert failed.step.kind == "build"
    assert "cannot be fetched" in failed.error


def test_an_unknown_type_is_no_success(tmp_path: Path, repository: Repo) -> None:
    chain = vendor(tmp_path, repository)
    types = {**chain.types, "Q9": chain.types["Q4_0"].model_copy(update={"argument": "9"})}
    ran = make(tmp_path, chain.model_copy(update={"types": types}), quantize=["Q9"])
    assert "does not know the quantization type 9" in ran.of("to Q9").error


def verb_task(ran: Ran, folder: Path, **verbs: Any) -> Task:
    """A task that can call the stand-in's verbs, on the run's files and those in its scratch."""
    chain = ran.plan.chain
    data = {name: verb.model_dump() for name, verb in {**chain.verbs, **verbs}.items()}
    step = Step("test", "test", "0" * 64, {}, context={"verbs": data, "data": str(chain.folder)})
    for part in ("work", "scratch"):
        (folder / part).mkdir(exist_ok=True)
    inputs = {name: ran.file(name).parent for name in ("F16", "Q4_0")}
    inputs["toolchain"] = ran.tool("main").parents[1]
    return Task(step, inputs, folder / "work", folder / "scratch", folder / "log", 1)


def cut(path: Path, folder: Path, size: int) -> Path:
    """The beginning of a file, in the scratch folder of a task."""
    short = folder / "scratch" / "cut.bin"
    short.parent.mkdir()
    short.write_bytes(path.read_bytes()[:size])
    return short


def test_a_truncated_input_is_no_success(made: Ran, tmp_path: Path) -> None:
    """The tool exits with 0 and leaves a file for as many tensors as it found."""
    whole = made.file("F16")
    short = cut(whole, tmp_path, whole.stat().st_size // 2)
    values = {"input": str(short), "output": str(tmp_path / "work" / "q.bin"), "type": "2"}
    counts = {"tensors": len(ggml.read(whole, "bloom").tensors)}
    with pytest.raises(StepError, match=r"says tensors: \d+, not 30"):
        call_verb.call(verb_task(made, tmp_path), "quantize", values, counts=counts)
    assert (tmp_path / "work" / "q.bin").stat().st_size > 0


def test_an_input_cut_in_its_last_tensor_is_found_by_its_reader(made: Ran, tmp_path: Path) -> None:
    """Here the tool makes a file of full size, with a tensor that is partly another's."""
    whole = made.file("F16")
    short = cut(whole, tmp_path, whole.stat().st_size - 1000)
    output = tmp_path / "work" / "q.bin"
    values = {"input": str(short), "output": str(output), "type": "2"}
    call_verb.call(verb_task(made, tmp_path), "quantize", values, counts={"tensors": 30})
    assert output.stat().st_size == made.file("Q4_0").stat().st_size
    assert file_sha256(output) != file_sha256(made.file("Q4_0"))
    with pytest.raises(StepError, match=r"cut\.bin"):
        ggml.read(short, "bloom")


def completion(prompt: str = "Once", **more: str) -> dict[str, str]:
    return {"prompt": prompt, "tokens": "3", "context": "512", **more}


def test_truncated_weights_are_no_success(made: Ran, tmp_path: Path) -> None:
    whole = made.file("Q4_0")
    values = completion(input=str(cut(whole, tmp_path, whole.stat().st_size // 2)))
    with pytest.raises(StepError, match=r"says tensors: \d+, not 30"):
        call_verb.call(verb_task(made, tmp_path), "complete", values, counts={"tensors": 30})


def test_an_unknown_flag_is_no_success(made: Ran, tmp_path: Path) -> None:
    verb = made.plan.chain.verbs["complete"]
    changed = verb.model_copy(update={"argv": (*verb.argv, "--colour")})
    values = completion(input=str(made.file("Q4_0")))
    with pytest.raises(StepError, match="unknown argument: --colour"):
        call_verb.call(verb_task(made, tmp_path, complete=changed), "complete", values)


def test_a_prompt_that_is_not_read_to_its_end_is_no_success(made: Ran, tmp_path: Path) -> None:
    task = verb_task(made, tmp_path)
    model = str(made.file("Q4_0"))
    assert (
        call_verb.call(task, "complete", completion(input=model)).values["text"].startswith("Once")
    )
    with pytest.raises(StepError, match="did not read the prompt to its end"):
        call_verb.call(task, "complete", completion("Once 日 upon", input=model))


def test_a_bad_magic_is_explained(made: Ran, tmp_path: Path) -> None:
    task = verb_task(made, tmp_path)
    other = shutil.copy(BLOOM / "config.json", task.scratch)
    with pytest.raises(StepError, match=r"no file of bloomz\.cpp"):
        call_verb.call(task, "complete", completion(input=str(other)))


def test_the_converter_of_another_family_is_explained(tmp_path: Path, repository: Repo) -> None:
    ran = make(tmp_path, vendor(tmp_path, repository), models.TINY / "llama")
    assert "KeyError" not in ran.of("convert").error
    assert "bloomz.cpp knows bloom only" in ran.of("convert").error


def test_a_build_does_not_ask_the_repository_around_it(made: Ran, tmp_path: Path) -> None:
    around = Repo.init(tmp_path / "around")
    with around.config_writer() as config:
        config.set_value("user", "name", "test")
        config.set_value("user", "email", "test@localhost")
    around.git.commit("-q", "--allow-empty", "-m", "around")
    folder = tmp_path / "around" / "task"
    folder.mkdir()
    task = verb_task(made, folder)
    source = task.scratch / "source"
    source.mkdir()
    argv = ["git", "rev-parse", "HEAD"]
    seen = run_process.run(argv, cwd=source, log=task.log, env=run_process.clean_env({}))
    assert around.head.commit.hexsha in seen.stdout
    with pytest.raises(run_process.ToolError):
        run_process.run(argv, cwd=source, log=task.log, env=build._env(task))


# -- the real one -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bloomz.cpp", "bloomz.cpp-phoenix"])
def test_the_real_bloomz_where_it_can_be_had(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = load.load(name)
    problem = reachable(chain.source.git)
    if problem:
        pytest.skip(problem)
    verify = {"kld": None, "smoke": {**SMOKE, "expect": "named", "tokens": 12}}
    recipe = harness.write_recipe(
        tmp_path, name, BLOOM, family="bloomz", quantize=list(chain.types), verify=verify
    )
    store = Store(tmp_path / "store", print)
    ran = harness.run(recipe, chain, store, Store(CACHE, print))
    assert not [one.error for one in ran.results if one.outcome is Outcome.FAILED]
    for kind in ("F16", *chain.types):
        assert "named" in ran.measures(kind)["smoke"]["text"]
    vocabulary = json.loads((BLOOM / "config.json").read_text("utf-8"))["vocab_size"]
    assert struct.unpack("<i", ran.file("F16").read_bytes()[4:8])[0] == vocabulary
