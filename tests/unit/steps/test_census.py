"""What became of a source's tensors, from what a stand-in for the converter's census says."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import Task
from orchestrator.steps import census
from tests.support.tool_chain_tasks import task_of, tool

SAYS = """
import json
assert (Path(args[0]) / "model.safetensors").stat().st_size
Path(args[1]).write_text(args[2])
"""


def outlined(folder: Path, names: Sequence[str], *, pickled: bool = False) -> Path:
    """The artifact that describing a model with these tensors leaves."""
    tensors = {
        name: {"dtype": "F16", "shape": [4], "data_offsets": [8 * at, 8 * at + 8]}
        for at, name in enumerate(names)
    }
    header = json.dumps(tensors).encode()
    (folder / "small").mkdir(parents=True)
    (folder / "small" / "config.json").write_text("{}")
    (folder / "header.bin").write_bytes(struct.pack("<Q", len(header)) + header)
    entry: dict[str, Any] = {"size": 8 + len(header) + 8 * len(names), "sha256": "0" * 64}
    if not pickled:
        entry["header"] = "header.bin"
    (folder / "weights.json").write_text(json.dumps({"model.safetensors": entry}))
    return folder


def census_task(folder: Path, outline: Path, said: Any, **more: Any) -> Task:
    shapes = {"tensors": {"a": {"dtype": "float16", "shape": [4]}}, "tied": [], "prefix": "model"}
    verbs = {
        "census": tool(
            SAYS, "{input}", "{output}", json.dumps(said).replace("{", "{{").replace("}", "}}")
        ),
        "shapes": tool(
            "Path(args[1]).write_text(args[2])",
            "{input}",
            "{output}",
            json.dumps(shapes).replace("{", "{{").replace("}", "}}"),
        ),
    }
    params = {"outtype": "f16", "trust_remote_code": False, **more}
    return task_of(folder / "t", verbs, {"model": outline}, params)


SAID = {"into": {"a": ["blk.0"]}, "read": ["scale"], "generated": ["rope_freqs"]}


def test_what_is_neither_written_nor_read_is_dropped(tmp_path: Path) -> None:
    outline = outlined(tmp_path / "o", ["a", "scale", "vision.b", "vision.c"])
    task = census_task(tmp_path, outline, SAID)

    assert census.run(task) == {"tensors": 4, "dropped": ["vision.b", "vision.c"]}
    kept = json.loads((task.workdir / "census.json").read_text("utf-8"))
    assert kept == {**SAID, "dropped": ["vision.b", "vision.c"]}


def test_what_is_in_a_part_is_not_dropped_and_the_part_is_counted(tmp_path: Path) -> None:
    outline = outlined(tmp_path / "o", ["a", "scale", "vision.b", "vision.c"])
    task = census_task(tmp_path, outline, SAID, parts={"mmproj": []})
    in_part = {"into": {"vision.b": ["v.b"]}, "read": [], "generated": []}
    said = json.dumps(in_part).replace("{", "{{").replace("}", "}}")
    verb = task.step.context["verbs"]["census"]
    verb["argv"].append({"if": "mmproj", "then": [said]})
    verb["argv"][3] = verb["argv"][3].replace("args[2]", "args[-1]")

    facts = census.run(task)

    assert facts == {"tensors": 4, "dropped": ["vision.c"], "parts": {"mmproj": 1}}
    kept = json.loads((task.workdir / "census.json").read_text("utf-8"))
    assert kept["parts"] == {"mmproj": in_part}


def test_what_only_a_part_would_hold_that_is_not_made_is_told_apart(tmp_path: Path) -> None:
    outline = outlined(tmp_path / "o", ["a", "scale", "head.b", "vision.c"])
    settings = {"parts": {"mtp": ["apart"]}, "unmade": ["mtp"], "apart": True}
    task = census_task(tmp_path, outline, SAID, **settings)
    in_part = {"into": {"head.b": ["h.b"], "a": ["h.a"]}, "read": [], "generated": []}
    said = json.dumps(in_part).replace("{", "{{").replace("}", "}}")
    argv = task.step.context["verbs"]["census"]["argv"]
    argv += [{"if": "apart", "then": ["apart"]}, {"if": "mtp", "then": [said]}]
    # Without the head's own option for the head, with it for the text.
    argv[3] = argv[3].replace(
        "args[2]", "args[-1] if 'apart' not in args else args[2 if len(args) == 4 else 9]"
    )

    facts = census.run(task)

    assert facts == {"tensors": 4, "dropped": ["head.b", "vision.c"], "unmade": ["head.b"]}


def test_pickled_weights_are_counted_by_their_index(tmp_path: Path) -> None:
    outline = outlined(tmp_path / "o", [], pickled=True)
    index = {"weight_map": dict.fromkeys(("a", "extra"), "pytorch_model-1.bin")}
    (outline / "small" / "pytorch_model.bin.index.json").write_text(json.dumps(index))

    assert census.run(census_task(tmp_path, outline, SAID)) == {"tensors": 2, "dropped": ["extra"]}


def test_pickled_weights_without_an_index_are_not_counted(tmp_path: Path) -> None:
    outline = outlined(tmp_path / "o", [], pickled=True)

    assert census.run(census_task(tmp_path, outline, SAID)) == {"tensors": 0, "dropped": []}
