"""Everything twice, in different surroundings, with the real tools: no byte may differ.

Every family and both formats; the measures, whose numbers are a machine's, are left aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli import cli
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices
from orchestrator.workflows import reproduce

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "tiny"

StoreWith = Callable[..., Path]


class Quiet:
    """Where the lines of a run go that nobody reads."""

    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None:
        return


def session_of(root: Path, *, verify: bool = False) -> Session:
    chosen = choices(verify=verify)
    return Session(Store(root, print), Settings(keep="all"), chosen, Plain(Quiet()))  # type: ignore[arg-type]


def planned(path: Path, session: Session) -> Plan:
    [made] = load_and_plan.make(load_and_plan.load([path]), replace(session, locks="ignore"))
    return made


def twice(path: Path, root: Path, out: Path, *, verify: bool = False) -> reproduce.Reproduction:
    session = session_of(root, verify=verify)
    said: list[str] = []
    return reproduce.reproduce(
        planned(path, session), session, out, rebuild_tools=False, twice=True, say=said.append
    )


def differing(found: reproduce.Reproduction) -> list[str]:
    return [one.file for one in found.verdicts if one.against == "a second run"][1:] + [
        one.file for one in found.verdicts if one.verdict != "identical"
    ]


# The tiny llama has an importance matrix; with its measures the logits are compared too.
@pytest.mark.parametrize("name", ["llama", "chimera", "lora", "bloom", "falcon", "chatglm"])
def test_every_family_is_made_twice_the_same(
    name: str, store_with: StoreWith, tmp_path: Path
) -> None:
    root = store_with("llama.cpp")
    path = RECIPES / f"{name}.yaml"
    found = twice(path, root, tmp_path / "dist", verify=name == "llama")
    assert differing(found) == []
    also = {"llama": {"imatrix", "logits"}, "chimera": {"merge"}, "lora": {"merge"}}
    kinds = also.get(name, set())
    steps = planned(path, session_of(root, verify=name == "llama")).steps
    assert kinds | {"header", "forecast", "fetch", "convert", "quantize"} <= {
        step.kind for step in steps
    }
    assert found.steps == len(
        [one for one in steps if one.kind not in ("build", "environment", "measure")]
    )


@pytest.mark.parametrize("chain", ["llama.cpp-ggjt-v3", "llama.cpp-ggjt-v1"])
def test_files_of_2023_are_made_twice_the_same(
    chain: str, store_with: StoreWith, tmp_path: Path
) -> None:
    types = ["Q4_0", "Q4_1"] + (["Q4_K_M", "Q8_0"] if chain.endswith("v3") else [])
    fields: dict[str, Any] = {
        "name": "tiny-ggml",
        "family": "llama",
        "toolchain": chain,
        "model": {"path": str(RECIPES / "models" / "llama")},
        "quantize": types,
    }
    path = tmp_path / "ggml.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    found = twice(path, store_with(chain), tmp_path / "dist")
    assert differing(found) == []
    assert found.identical


def test_a_reproduction_finds_the_bytes_of_the_run_and_one_that_was_changed(
    store_with: StoreWith, tmp_path: Path
) -> None:
    assert store_with("llama.cpp").exists()
    out, path = tmp_path / "dist", RECIPES / "llama.yaml"
    common = ["--out", str(out), "--only", "Q8_0", "--threads", "1"]
    assert called("run", str(path), "--no-verify", *common) == 0
    file = out / "tiny-llama" / "tiny-llama-Q8_0.gguf"
    _flip_last_byte(file)
    assert called("reproduce", str(path), *common) == 1
    record = json.loads((file.parent / "reproduce.json").read_text("utf-8"))
    compared = {(one["file"], one["against"]): one["verdict"] for one in record["verdicts"]}
    assert compared.pop((file.name, str(file.parent))) == "near"
    assert {
        ("tiny-llama-F16.gguf", "the store"),
        ("tiny-llama-F16.gguf", "the recipe's sha256"),
        ("tiny-llama-Q8_0.gguf", "the store"),
        ("tiny-llama-Q8_0.gguf", "the recipe's sha256"),
    } == set(compared)
    assert set(compared.values()) == {"identical"}


def called(*argv: str) -> int:
    """The exit code of a command, as the console script would give it."""
    done = CliRunner().invoke(cli, argv, standalone_mode=False)
    assert done.exception is None, done.output
    return int(done.return_value)


def _flip_last_byte(path: Path) -> None:
    """In a copy: the file may be the store's own, by a hard link."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()
    path.write_bytes(data)
