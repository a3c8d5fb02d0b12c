"""The tiny llama with commits of llama.cpp from other years, built from the source.

What the tools of such a commit lack is left out of the recipe. An old one is built where it is not
in the user's store; a newer one, which takes minutes, only serves where somebody built it.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import yaml

from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning import toolchain_steps
from orchestrator.planning.step_collector import StepCollector
from orchestrator.runs.chain_at_commit import at_commit
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain.load import load
from tests.support.typed_commands import RECIPES, typed
from tests.support.warm_store import CACHE, link, link_steps

TRIED = {one.commit[:7]: one for one in load("llama.cpp").source.tried}
BUILT = "b38a16d"  # 27 November 2023: few files to compile
IF_THERE = "e3a74b2"  # 16 June 2026


def session(offline: bool) -> Session:
    settings = Settings(threads=os.cpu_count() or 1, offline=offline)
    return Session(Store(CACHE, print), settings, choices(), Plain(io.StringIO()))


@pytest.mark.parametrize("commit", [BUILT, IF_THERE])
def test_the_files_are_those_that_were_made_when_it_was_tried(tmp_path: Path, commit: str) -> None:
    chain, tried = load("llama.cpp"), TRIED[commit]
    here = session(offline=commit == IF_THERE)
    own = at_commit(chain, tried.commit, here)
    collector = StepCollector()
    toolchain_steps.add_tools(collector, own, tried.commit, here.choices)
    steps = [toolchain_steps.look(chain, tried.commit), *collector.steps]
    if commit == IF_THERE and any(here.store.find(step.key) is None for step in steps):
        pytest.skip("it takes minutes to build, and nobody did so here")
    results = here.runner.run(steps, [step.key for step in steps])
    assert not [one.error for one in results if one.error]
    link(tmp_path / "store", "llama.cpp")
    link_steps(tmp_path / "store", here.store, steps)
    kinds = [name.removeprefix("tiny-llama-") for name in tried.files if "tiny-llama" in name]
    weighed = {"type": "IQ4_XS", "imatrix": True}
    recipe = yaml.safe_load((RECIPES / "tiny" / "llama.yaml").read_text("utf-8"))
    recipe |= {
        "toolchain": {"name": "llama.cpp", "commit": commit},
        "model": {"path": str(RECIPES / "tiny" / "models" / "llama")},
        "quantize": [weighed if kind == "IQ4_XS" else kind for kind in kinds if kind != "F16"],
        "verify": {
            "smoke": recipe["verify"]["smoke"],
            "speed": False,
            "sha256": {kind: tried.files[f"tiny-llama-{kind}"] for kind in kinds},
        },
    }
    if "IQ4_XS" in kinds:
        recipe["imatrix"]["corpus"] = str(RECIPES / "tiny" / recipe["imatrix"]["corpus"])
    else:
        del recipe["imatrix"]
    (tmp_path / "llama.yaml").write_text(yaml.safe_dump(recipe), "utf-8")

    where = ("--out", tmp_path / "dist", "-t", "2")
    said = typed("run", tmp_path / "llama.yaml", *where, home=tmp_path / "store")

    assert said.code == 0, said.all
    report = json.loads((tmp_path / "dist" / "tiny-llama" / "report.json").read_text("utf-8"))
    assert report["status"] == "pass"
    plan = typed("plan", tmp_path / "llama.yaml", "--offline", "--json", home=tmp_path / "store")
    [told] = json.loads(plan.out)
    assert not told["untried"]
    assert ("no exact sizes before converting" in told["unable"]) is (commit == BUILT)
    assert not [one for one in told["steps"] if not one["hit"]]
