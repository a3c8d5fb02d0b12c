"""Python of a stranger does not run: upstream's converter asks for it, and finds no reference."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.process import isolation
from tests.support.typed_commands import MODELS, RECIPES, Said, typed, variant

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """The file that the payload writes when anything imports it."""
    return tmp_path / "canary"


@pytest.fixture
def payload(tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the payload, which also lies in the shared Hub cache as evil/payload."""
    folder = tmp_path / "payload"
    cached = tmp_path / "hf" / "hub" / "models--evil--payload"
    for place in (folder, cached / "snapshots" / COMMIT):
        place.mkdir(parents=True)
        (place / "canary.py").write_text(
            "from transformers import PreTrainedTokenizerFast\n"
            f"open({str(canary)!r}, 'w').close()\n"
            "class Tokenizer(PreTrainedTokenizerFast):\n    pass\n",
            "utf-8",
        )
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE")
    return folder


def model_that_names(reference: str, folder: Path) -> dict[str, Any]:
    """The tiny GLM, whose conversion asks for code, with this reference in two files."""
    model = folder / "model"
    shutil.copytree(MODELS / "chatglm", model)
    for name in ("tokenizer_config.json", "config.json"):
        fields = json.loads((model / name).read_text("utf-8"))
        references = {"AutoTokenizer": [reference, reference], "AutoConfig": reference}
        fields |= {"auto_map": references, "text_config": {"auto_map": references}}
        fields["tokenizer_class"] = "Tokenizer"
        (model / name).write_text(json.dumps(fields), "utf-8")
    shutil.copyfile(folder / "payload" / "canary.py", model / "canary.py")
    return {"path": str(model)}


def ordered(command: str, folder: Path, model: dict[str, Any]) -> Said:
    fields = {"model": model, "quantize": ["Q8_0"]}
    path = variant(folder, fields, RECIPES / "tiny" / "chatglm.yaml")
    options = ("--out", folder / "dist", "--no-verify", "-t", "1") if command == "run" else ()
    return typed(command, path, *options)


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    "reference",
    ["{payload}--canary.Tokenizer", "evil/payload--canary.Tokenizer", "canary.Tokenizer"],
    ids=["folder", "cache", "own"],
)
def test_code_that_is_not_trusted_is_not_run(
    store_with: Callable[..., Path],
    payload: Path,
    canary: Path,
    tmp_path: Path,
    command: str,
    reference: str,
) -> None:
    store_with("llama.cpp")
    model = model_that_names(reference.format(payload=payload), tmp_path)

    said = ordered(command, tmp_path, model)

    assert not canary.exists(), said.all


SPY = """
import json, os, socket
got = []
for place in {places!r}:
    try:
        open(place).read()
        got.append(os.path.basename(place))
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5).close()
    got.append("network")
except OSError:
    pass
raise SystemExit("the model's code got " + json.dumps(got))
"""


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("isolated", [True, False])
def test_code_that_is_trusted_reaches_no_secret_and_no_server(
    store_with: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    isolated: bool,
) -> None:
    store_with("llama.cpp")
    isolation.obstacle.cache_clear()
    if isolated and (why := isolation.obstacle()):
        pytest.skip(why)
    home = Path(os.environ["HOME"])
    secrets = [home / ".ssh" / "id_ed25519", home / ".aws" / "credentials", home / "hf" / "token"]
    for path in secrets:
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    if not isolated:
        monkeypatch.setenv(isolation.SWITCH, "off")
        isolation.obstacle.cache_clear()
    (tmp_path / "payload").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = SPY.format(places=[str(path) for path in secrets], port=server.getsockname()[1])
        (tmp_path / "payload" / "canary.py").write_text(code, "utf-8")
        model = model_that_names("canary.Tokenizer", tmp_path)
        said = ordered(command, tmp_path, {**model, "trust_remote_code": True})
    isolation.obstacle.cache_clear()

    got = [] if isolated else ["id_ed25519", "credentials", "token", "network"]
    assert f"the model's code got {json.dumps(got)}" in said.all
    warned = "can read your files and use the network: ORCHESTRATE_ISOLATION is off"
    assert (warned in said.all) != isolated


def trusting(source: Path) -> Iterator[ast.Call]:
    """The calls of a Python file that say trust_remote_code=True."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            said = [key.value for key in node.keywords if key.arg == "trust_remote_code"]
            if any(not (isinstance(one, ast.Constant) and one.value is False) for one in said):
                yield node


def test_the_pinned_converter_asks_for_code_in_the_models_folder_alone(
    toolchain_inputs: Mapping[str, Path],
) -> None:
    root = toolchain_inputs["toolchain"] / "src"
    calls = [call for path in sorted(root.rglob("*.py")) for call in trusting(path)]
    assert len(calls) > 10
    asked = {(ast.unparse(call.func), ast.unparse(call.args[0])) for call in calls}
    folders = {"self.dir_model", "dir_model"}
    assert asked <= {("AutoTokenizer.from_pretrained", folder) for folder in folders}


def test_a_chat_template_without_end_holds_up_no_smoke_test(
    tmp_path: Path, store_with: Callable[..., Path]
) -> None:
    store_with("llama.cpp")
    model = tmp_path / "model"
    shutil.copytree(MODELS / "llama", model)
    config = model / "tokenizer_config.json"
    endless = "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}"
    config.write_text(
        json.dumps({**json.loads(config.read_text("utf-8")), "chat_template": endless})
    )
    verify = dict.fromkeys(("sha256", "kld", "perplexity", "speed", "limits"))
    recipe = variant(
        tmp_path, {"model": {"path": str(model)}, "quantize": ["Q8_0"], "verify": verify}
    )
    said = typed("run", recipe, "--out", tmp_path / "dist", "-t", "1")
    assert said.code == 0, said.all
