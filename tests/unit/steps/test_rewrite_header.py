"""Changing headers, with a stand-in for the tool that changes more than it should."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Task
from orchestrator.steps import rewrite_header
from tests.support.model_files import KV
from tests.support.tool_chain_tasks import task_of, tool, whole

COPIES = "data = Path(args[0]).read_bytes()\nPath(args[1]).write_bytes({})"
BEFORE = {"general.architecture": KV("str", "llama"), "general.name": KV("str", "one")}
CHANGES: Mapping[str, Any] = {"set": {"general.name": "two"}, "remove": [], "special_tokens": {}}


def rewriting(folder: Path, written: str, **inputs: Path) -> Task:
    verbs = {"rewrite_header": tool(COPIES.format(written), "{input}", "{output}")}
    given = {"model": whole(folder / "m", **BEFORE), **inputs}
    return task_of(folder / "t", verbs, given, {"file": "model.gguf", **CHANGES})


def test_what_was_changed_is_told_and_the_tensors_are_those_before(tmp_path: Path) -> None:
    facts = rewrite_header.run(rewriting(tmp_path, "data.replace(b'one', b'two')"))

    assert facts["changed"] == {"general.name": "changed"}
    assert facts["size"] == (tmp_path / "m" / "model.gguf").stat().st_size
    assert len(facts["tensors"]) == 64


def test_another_byte_of_a_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="the tensors are not those of the file before"):
        rewrite_header.run(rewriting(tmp_path, "data[:-1] + bytes([data[-1] ^ 1])"))


def test_another_key_than_those_of_the_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"the tool changed general\.architecture too"):
        rewrite_header.run(rewriting(tmp_path, "data.replace(b'llama', b'bloom')"))


@pytest.mark.parametrize(("content", "why"), [(b"\xff{}", "is not UTF-8"), (b" \n", "is empty")])
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "template").mkdir()
    (tmp_path / "template" / "t.jinja").write_bytes(content)

    with pytest.raises(StepError, match=f"t.jinja {why}"):
        rewrite_header.run(rewriting(tmp_path, "data", template=tmp_path / "template"))
