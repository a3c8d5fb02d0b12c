"""Converting, and matrices of importance, with stand-ins for the tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Progress, Task
from orchestrator.modelfiles import source_configs, tensor_values
from orchestrator.steps import convert, imatrix
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes, gguf_header
from tests.support.tool_chain_tasks import CONVERSION, task_of, tool, whole


@pytest.fixture
def text_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Converters of these tests write text, in which nothing can be looked at."""
    monkeypatch.setattr(tensor_values, "expect_sound", lambda *_, **__: None)
    monkeypatch.setattr(source_configs, "facts", lambda *_: {})


def hugging(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights")
    return folder


@pytest.mark.usefixtures("text_for_weights")
def test_the_converter_sees_a_folder_called_like_the_model(tmp_path: Path) -> None:
    code = (
        "Path(args[1]).write_text(Path(args[0]).name + (Path(args[0]) / 'config.json').read_text())"
    )
    verbs = {"convert": tool(code, "{input}", "{output}")}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    sha256 = hashlib.sha256(b"small{}").hexdigest()
    assert convert.run(task) == {"size": 7, "digests": {"model.gguf": sha256}}
    assert (task.workdir / "model.gguf").read_text() == "small{}"


def test_a_part_without_tensors_is_no_success(tmp_path: Path) -> None:
    empty = gguf_bytes(GGUFSpec(tensors=())).hex()
    code = "Path(args[1]).write_bytes(bytes.fromhex(args[2]))"
    verbs = {"mmproj": tool(code, "{input}", "{output}", empty)}
    params = {**CONVERSION, "verb": "mmproj"}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, params)

    with pytest.raises(StepError, match="its file has no tensors"):
        convert.run(task)


@pytest.mark.usefixtures("text_for_weights")
def test_a_converter_that_asks_the_folder_above_finds_the_name_there_too(tmp_path: Path) -> None:
    code = "Path(args[1]).write_text('/'.join(Path(args[0]).parts[-2:]))"
    verbs = {"convert": tool(code, "{input}", "{output}", named_twice=True)}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text() == "small/small"


@pytest.mark.usefixtures("text_for_weights")
@pytest.mark.parametrize(("twice", "seen"), [(False, "Small-2M"), (True, "models/Small-2M")])
def test_a_folder_of_another_name_is_what_the_converter_sees(
    tmp_path: Path, twice: bool, seen: str
) -> None:
    code = "Path(args[1]).write_text('/'.join(Path(args[0]).parts[-2:]))"
    verbs = {"convert": tool(code, "{input}", "{output}", named_twice=twice)}
    params = {**CONVERSION, "model_name": "models", "folder": "Small-2M"}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, params)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text().endswith(seen)
    assert twice is ("models" in (task.workdir / "model.gguf").read_text())


@pytest.mark.usefixtures("text_for_weights")
@pytest.mark.parametrize(("params", "seen"), [({}, "True"), ({"no_card": True}, "False")])
def test_files_that_an_option_hides_are_kept_from_the_converter(
    tmp_path: Path, params: Mapping[str, Any], seen: str
) -> None:
    code = "Path(args[1]).write_text(str((Path(args[0]) / 'README.md').exists()))"
    options = {"no_card": {"hides": ["README.md", "absent"], "about": "x"}}
    verbs = {"convert": tool(code, "{input}", "{output}", options=options)}
    model = hugging(tmp_path / "m")
    (model / "README.md").write_text("card")
    task = task_of(tmp_path / "t", verbs, {"model": model}, {**CONVERSION, **params})

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text() == seen
    assert (model / "README.md").exists()


@pytest.mark.usefixtures("text_for_weights")
def test_a_table_reaches_the_converter_as_a_file(tmp_path: Path) -> None:
    code = "Path(args[0]).write_text(Path(args[1]).read_text())"
    options = {"about_it": {"type": "table", "keys": {"a.b": "texts"}, "about": "x"}}
    verbs = {"convert": tool(code, "{output}", "{about_it}", options=options)}
    params = {**CONVERSION, "about_it": {"a.b": ["ä", "c"]}}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, params)

    convert.run(task)

    assert json.loads((task.workdir / "model.gguf").read_text()) == {"a.b": ["ä", "c"]}


@pytest.mark.usefixtures("text_for_weights")
def test_packages_of_a_layer_come_first_on_the_converters_path(tmp_path: Path) -> None:
    code = "import os; Path(args[0]).write_text(os.environ['PYTHONPATH'])"
    inputs = {"model": hugging(tmp_path / "m"), "packages": tmp_path / "layer"}
    verbs = {"convert": tool(code, "{output}")}
    task = task_of(tmp_path / "t", verbs, inputs, CONVERSION)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text() == str(tmp_path / "layer" / "packages")


@pytest.mark.usefixtures("text_for_weights")
@pytest.mark.parametrize(("trusted", "seen"), [(False, "{}config"), (True, "own.codecode")])
def test_code_of_the_model_reaches_the_converter_if_it_is_trusted(
    tmp_path: Path, trusted: bool, seen: str
) -> None:
    code = """
    import json
    config, own = Path(args[0]) / "config.json", Path(args[0]) / "own.py"
    found = json.loads(config.read_text())
    said = found["auto_map"] + own.read_text() if own.exists() else f"{found}config"
    Path(args[1]).write_text(said)
    """
    model = hugging(tmp_path / "m")
    (model / "config.json").write_text('{"auto_map": "own.code"}')
    (model / "own.py").write_text("code")
    verbs = {"convert": tool(code, "{input}", "{output}")}
    beside = {"trust_remote_code": trusted}
    task = task_of(tmp_path / "t", verbs, {"model": model}, CONVERSION, beside=beside)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text() == seen
    assert (model / "config.json").read_text() == '{"auto_map": "own.code"}'


@pytest.mark.usefixtures("text_for_weights")
def test_one_safetensors_file_is_named_to_those_who_want_it(tmp_path: Path) -> None:
    verbs = {
        "convert": tool("Path(args[1]).write_text(args[0])", "{single_safetensors}", "{output}")
    }
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text().endswith("small/model.safetensors")


@pytest.mark.usefixtures("text_for_weights")
def test_a_converter_that_chooses_its_own_name(tmp_path: Path) -> None:
    verbs = {"convert": tool("(Path(args[0]) / 'own-f16.bin').write_text('x')", "{output_dir}")}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    convert.run(task)

    assert [path.name for path in task.workdir.iterdir()] == ["model.gguf"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "wrote no file"),
        ("Path(args[0]).touch()", "its file is empty"),
        ("for n in 'ab': Path(args[0]).with_name(n).touch()", "wrote no file"),
    ],
)
def test_a_converter_that_lies(tmp_path: Path, code: str, said: str) -> None:
    verbs = {"convert": tool(code, "{output}")}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    with pytest.raises(StepError, match=said):
        convert.run(task)


@pytest.mark.usefixtures("text_for_weights")
def test_an_import_gets_the_one_file_and_the_models_numbers(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old.bin").write_text("ggml")
    verbs = {
        "import_ggml": tool(
            "Path(args[1]).write_text(args[0] + args[2])", "{input}", "{output}", "{gqa}"
        )
    }
    settings = {**CONVERSION, "verb": "import_ggml", "runtime": {"gqa": 8}}
    task = task_of(tmp_path / "t", verbs, {"model": tmp_path / "m"}, settings)

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text().endswith("small/old.bin8")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    overflow = gguf_header(GGUFSpec({}, [Tensor("blk.0.up.weight", (2, 2), "F16")]))
    overflow += b"\x00\x01\x00\x02\x00\x7c\x00\x03"
    verbs = {"convert": tool(f"Path(args[0]).write_bytes({overflow!r})", "{output}")}
    task = task_of(tmp_path / "t", verbs, {"model": hugging(tmp_path / "m")}, CONVERSION)

    with pytest.raises(StepError, match=r"blk\.0\.up\.weight holds 1 infinite") as caught:
        convert.run(task)
    assert "outtype: bf16" in caught.value.hint


def test_what_the_file_says_otherwise_than_the_models_configs_is_noted(tmp_path: Path) -> None:
    spec = GGUFSpec({"tokenizer.ggml.eos_token_id": KV("u32", 1)}, [])
    verbs = {"convert": tool(f"Path(args[0]).write_bytes({gguf_header(spec)!r})", "{output}")}
    model = hugging(tmp_path / "m")
    (model / "config.json").write_text('{"eos_token_id": 2}')
    task = task_of(tmp_path / "t", verbs, {"model": model}, CONVERSION)

    [found] = convert.run(task)["contradictions"]

    assert found["said"] == "the file's end token is 1, but config.json says 2"
    assert found["wrong"]


def text_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "cal.txt").write_text("words")
    return folder


def imatrix_task(folder: Path, code: str, progress: list[Progress] | None = None) -> Task:
    arguments = ("{input}", "{corpus}", "{output}", "{chunks}", "{context}")
    saying = {"values": {"perplexity": r"PPL = ([\d.]+)"}, "progress": r"\[(?P<done>\d+)\]"}
    verbs = {"imatrix": tool(code, *arguments, **saying, unit="chunks")}
    inputs = {"model": whole(folder / "m"), "corpus": text_in(folder / "c")}
    params = {"chunks": 3, "context": 128}
    return task_of(folder / "t", verbs, inputs, params, progress=progress)


def test_the_matrix_is_made_on_bare_names(tmp_path: Path) -> None:
    told: list[Progress] = []
    code = """
    assert args[:2] == ['model.gguf', 'cal.txt'] and args[3:] == ['3', '128'], args
    assert Path(args[1]).read_text() == 'words'
    Path(args[2]).write_text('matrix')
    print('[1]5.1,[2]5.2,'); print('PPL = 5.25')
    """

    facts = imatrix.run(imatrix_task(tmp_path, code, told))

    assert facts == {"perplexity": 5.25, "chunks": 3, "dataset": "cal.txt"}
    assert told[-1] == Progress(2, 3, "chunks")


def test_a_matrix_that_was_not_written(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="wrote no matrix"):
        imatrix.run(imatrix_task(tmp_path, "print('PPL = 5.25')"))


def test_a_matrix_is_extended_from_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "imatrix.gguf").write_text("before")
    code = """
    Path(args[0]).write_text(Path(args[1]).read_text() + ' and after')
    print('PPL = 5.25')
    """
    task = imatrix_task(tmp_path, "raise SystemExit(1)")
    saying = {"values": {"perplexity": r"PPL = ([\d.]+)"}}
    verbs = {"extend_imatrix": tool(code, "{output}", "{previous}", **saying)}
    step = replace(task.step, context={**task.step.context, "verbs": verbs})

    imatrix.run(replace(task, step=step, inputs={**task.inputs, "previous": tmp_path / "p"}))

    assert (task.workdir / "imatrix.gguf").read_text() == "before and after"
