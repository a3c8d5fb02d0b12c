"""mergekit sees its models under the names of its configuration, and no path of this machine."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.steps import run_mergekit
from tests.support.tool_chain_tasks import task_of, tool

MERGES = """
import json
config = json.loads(Path(args[0]).read_text())
names = [one["model"] for one in config["models"]]
assert [Path(name, "config.json").read_text() for name in names] == names
Path(args[1], "model.safetensors").write_bytes(b"12345")
"""


def test_models_lie_beside_the_configuration(tmp_path: Path) -> None:
    for name in ("base", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    config = {"merge_method": "linear", "models": [{"model": "base"}, {"model": "b"}]}
    task = task_of(
        tmp_path / "t",
        {"mergekit": tool(MERGES, "{input}", "{output}")},
        {"base": tmp_path / "base", "merge b": tmp_path / "b"},
        {"config": config},
    )

    assert run_mergekit.run(task) == {"bytes": 5}
    assert str(tmp_path) not in json.dumps(config)
