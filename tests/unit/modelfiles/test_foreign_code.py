"""Code of a model, and what refers to code, is taken out of the folder that a tool sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import foreign_code

REFERENCE = {"AutoTokenizer": ["/any/payload--canary.Tokenizer", None]}


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer_config.json",
        "processor_config.json",
        "config.4.9.9.json",
        "A.JSON",
    ],
)
@pytest.mark.parametrize(
    "value", [REFERENCE, ["org/name--file.Class"], "file.Class", {"AutoConfig": "../x--file.Class"}]
)
def test_references_are_removed_from_every_configuration(
    tmp_path: Path, name: str, value: object
) -> None:
    path = put(tmp_path, name, json.dumps({"a": 1e-05, "auto_map": value, "vision": {"b": "é"}}))

    assert foreign_code.remove(tmp_path) == (name,)

    assert json.loads(path.read_text("utf-8")) == {"a": 1e-05, "vision": {"b": "é"}}


def test_nested_repeated_and_escaped_references_are_removed_too(tmp_path: Path) -> None:
    text = r"""{"auto_map": {}, "auto_map": {"A": "x.Y"}, "parts": [{"auto\u005fmap": "x.Y"}],
        "text_config": {"auto_map": {"auto_map": "x.Y"}}}"""
    path = put(tmp_path, "config.json", text)

    foreign_code.remove(tmp_path)

    assert json.loads(path.read_text("utf-8")) == {"parts": [{}], "text_config": {}}


def test_code_is_removed_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("modeling.py", "deep/er/x.PY", "native.so", "weights.bin"):
        put(tmp_path, name, "")

    assert foreign_code.remove(tmp_path) == ("deep/er/x.PY", "modeling.py", "native.so")

    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["weights.bin"]


def test_what_refers_to_no_code_stays_byte_for_byte(tmp_path: Path) -> None:
    texts = {
        "config.json": '{ "a" :1e-5 }',
        "vocab.json": '{"auto_map":  17}',
        "damaged.json": '{"auto_map": ',
        "list.json": "[1,  2]",
        "notes.txt": '{"auto_map": "x.Y"}',
    }
    for name, text in texts.items():
        put(tmp_path, name, text)

    assert foreign_code.remove(tmp_path) == ()

    assert {name: (tmp_path / name).read_text("utf-8") for name in texts} == texts


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    stored = put(tmp_path, "store/config.json", '{"auto_map": "x.Y"}')
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "config.json").symlink_to(stored)

    foreign_code.remove(tmp_path / "seen")

    assert stored.read_text("utf-8") == '{"auto_map": "x.Y"}'
    assert (tmp_path / "seen" / "config.json").read_text("utf-8") == "{}"


def test_a_file_too_deep_to_be_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "config.json", "[" * 200_000)

    with pytest.raises(StepError, match=r"config\.json is nested too deeply"):
        foreign_code.remove(tmp_path)


def test_a_failure_says_that_code_was_left_out(tmp_path: Path) -> None:
    with pytest.raises(StepError) as raised, foreign_code.explained(("config.json",)):
        raise StepError("no such tokenizer", "Look.")

    assert raised.value.message == "no such tokenizer"
    assert raised.value.hint.startswith("Look. This model brings Python code of its own (config")
    assert "'trust_remote_code: true'" in raised.value.hint


def test_a_failure_of_a_model_without_code_stays_as_it_was() -> None:
    failure = StepError("no such tokenizer")

    with pytest.raises(StepError) as raised, foreign_code.explained(()):
        raise failure

    assert raised.value is failure
