"""What others published, measured against one original: each file once, a table and a plot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from tests.hub import Hub, Repo
from tests.support.command_line import Command
from tests.support.fake_steps import fake_kinds, measured
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV, Tensor

COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"


def gguf(path: Path, told: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    fields = {"general.architecture": KV("str", "llama"), "test.told": KV("str", told)}
    return write_gguf(path, Model([Tensor("x.weight", (32, 2), "F32")], fields))


@pytest.fixture
def compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command in a folder with what two people published; each file has its own divergence."""
    monkeypatch.chdir(tmp_path)
    gguf(tmp_path / "x-F16.gguf", "full")
    gguf(tmp_path / "one" / "x-Q8_0.gguf", "good")
    gguf(tmp_path / "one" / "x-Q4_0.gguf", "small")
    gguf(tmp_path / "two" / "X.Q8_0.gguf", "poor")
    shutil.copy("one/x-Q8_0.gguf", "two/copied-Q8_0.gguf")
    (tmp_path / "words.txt").write_text("Once upon a time.")

    def work(task: Task) -> dict[str, JSON]:
        found = measured(task)
        model = next(iter(task.inputs["model"].iterdir())).read_bytes()
        if task.step.params["measure"] == "kld":
            found |= {"mean": 0.2 if b"poor" in model else 0.001, "mean_error": 0.0001}
        return found

    fake_kinds(monkeypatch, measure=work)
    return Command(monkeypatch, capsys)


WORDS = ("--against", "x-F16.gguf", "--corpus", "words.txt")


def test_the_same_type_of_two_publishers_stands_in_one_table(compare: Command) -> None:
    said = compare("compare", "one", "two", *WORDS, "--only", "q8_0", "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    found = {one["label"]: (one["published_by"], one["kld"]) for one in told["files"]}
    assert found == {
        "Q8_0 one": ("one", 0.001),
        "two/X.Q8_0.gguf": ("two", 0.2),
        "two/copied-Q8_0.gguf": ("two", 0.001),
    }
    assert told["against"] == "x-F16"
    table = Path("compare/compare.md").read_text("utf-8")
    assert "the same bytes as Q8_0 one" in table
    assert "![Mean KL divergence against size](compare.svg)" in table
    assert "Q4_0" not in table
    assert ">Q8_0 one<" in Path("compare/compare.svg").read_text("utf-8")


def test_equal_bytes_are_measured_once_and_speed_is_not(compare: Command) -> None:
    said = compare("compare", "one", "two", *WORDS)
    assert said.code == 0, said.err
    done = [line for line in said.err.splitlines() if line.startswith("✓ measure")]
    assert sum("divergence" in line for line in done) == 3
    assert not [line for line in done if "speed" in line]


def test_a_repository_is_fetched_and_what_is_not_there_is_named(
    compare: Command, tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Hub({"me/x-GGUF": Repo(tmp_path / "one", COMMIT)}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        said = compare("compare", "me/x-GGUF", "--only", "Q8_0", *WORDS)
        assert said.code == 0, said.err
        assert "| Q8_0 | me/x-GGUF |" in said.out.replace("Q8\\_0", "Q8_0")
        said = compare("compare", "me/x-GGUF", "--only", "Q5", *WORDS)
    assert said.code == 2
    assert "no GGUF file there has Q5 in its name" in said.err
    said = compare("compare", "nothing.gguf", *WORDS)
    assert said.code == 2
    assert "there is no file or folder nothing.gguf" in said.err


def test_without_an_unquantized_gguf_file_nothing_is_begun(compare: Command) -> None:
    said = compare("compare", "one", "--against", "words.txt", "--corpus", "words.txt")
    assert said.code == 2
    assert "words.txt: at byte 0: this is not a GGUF file" in said.err
    assert not Path("compare").exists()


def test_a_file_that_cannot_be_read_is_said_to_be_good_for_nothing(
    compare: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: Task) -> dict[str, JSON]:
        raise StepError("this is not a GGUF file")

    fake_kinds(monkeypatch, measure=work)
    said = compare("compare", "words.txt", *WORDS)
    assert said.code == 1
    table = Path("compare/compare.md").read_text("utf-8")
    assert "| not measured |" in table
    assert "nothing larger fits" not in table


def test_a_file_of_another_model_is_named_and_gets_no_grade(
    compare: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: Task) -> dict[str, JSON]:
        if task.step.params["measure"] != "header":
            return {}  # as the real step does where the tensors are not the full file's
        found = measured(task)
        return found | {"structure": {**found["structure"], "missing": ["x.weight"]}}

    fake_kinds(monkeypatch, measure=work)
    said = compare("compare", "one/x-Q8_0.gguf", *WORDS)
    assert said.code == 1
    assert "x-Q8_0.gguf is not of this model: 1 tensor missing (x.weight)" in said.err
    assert "| not measured |" in Path("compare/compare.md").read_text("utf-8")


def test_the_original_itself_and_what_was_not_compared_get_no_grade(
    compare: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: Task) -> dict[str, JSON]:
        if task.step.params["measure"] == "kld":
            raise StepError("the corpus is too short")
        return measured(task)

    fake_kinds(monkeypatch, measure=work)
    said = compare("compare", "x-F16.gguf", "one/x-Q4_0.gguf", *WORDS)
    assert said.code == 1
    table = Path("compare/compare.md").read_text("utf-8")
    assert "| the original itself |" in table
    assert "| not measured |" in table
    assert "as a rule" not in table
