"""What ``orchestrate new`` refuses: each with what it is, and nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import interruptible_sleep
from tests.hub import Hub
from tests.support.command_line import Command
from tests.support.hub_models import LLAMA, repository
from tests.support.lora_adapters import CONFIG, write_adapter
from tests.support.new_recipes import FILE, New, gguf_repository, written


def test_a_recipe_that_is_there_is_kept_unless_forced(new: New, tmp_path: Path) -> None:
    FILE.write_text("mine")
    repo = repository(tmp_path / "m")

    refused = new(repo)
    assert refused.code == 2
    assert "exists already" in refused.err
    assert FILE.read_text() == "mine"
    written(new(repo, "--force"))
    assert {path.name for path in Path().iterdir()} == {FILE.name, "recipe.schema.json"}


@pytest.mark.parametrize(("closed", "text"), [("gated", "Accept its licence"), ("private", "401")])
def test_without_access_nothing_is_written(
    new: New, tmp_path: Path, closed: str, text: str
) -> None:
    repo = repository(tmp_path / "m")
    said = new(replace(repo, gated=closed == "gated", private=closed == "private"))

    assert said.code == 3
    assert text in said.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "names", [["x-Q4_0.gguf"], ["x-F16-00001-of-00002.gguf"], ["mmproj-F16.gguf", "x-Q4_0.gguf"]]
)
def test_a_repository_of_quantized_files_leads_to_adopt(
    new: New, tmp_path: Path, names: list[str]
) -> None:
    said = new(gguf_repository(tmp_path / "m", *names))

    assert said.code == 2
    assert names[0] in said.err
    assert "orchestrate adopt" in said.err


def test_a_file_that_is_called_unquantized_must_be(new: New, tmp_path: Path) -> None:
    said = new(gguf_repository(tmp_path / "m", "x-F16.gguf", kind="Q4_0"))

    assert said.code == 2
    assert "x-F16.gguf of Org-1/Some_Model.v2 is called unquantized, but most of it is q4_0" in (
        said.err
    )


def test_a_gguf_file_of_an_unknown_architecture_is_told(new: New, tmp_path: Path) -> None:
    said = new(gguf_repository(tmp_path / "m", "x-F16.gguf", of="lama"))

    assert said.code == 2
    assert "llama.cpp does not convert lama" in said.err


def test_a_tool_chain_that_reads_no_gguf_says_so(new: New, tmp_path: Path) -> None:
    said = new(gguf_repository(tmp_path / "m", "x-F16.gguf"), "--toolchain", "bloomz.cpp")

    assert said.code == 2
    assert "holds only GGUF files, which bloomz.cpp does not read" in said.err


def test_a_configuration_of_gigabytes_is_not_fetched(new: New, hub: Hub, tmp_path: Path) -> None:
    repo = repository(tmp_path / "m")
    with (repo.folder / "config.json").open("ab") as stream:
        stream.truncate(65 << 20)

    said = new(replace(repo, digests={"config.json": "0" * 64}))

    assert said.code == 1
    assert "config.json of Org-1/Some_Model.v2 has 68157440 bytes" in said.err
    assert hub.served("config.json") == 0


def test_a_place_that_cannot_be_written_is_told(new: New, tmp_path: Path) -> None:
    Path("file").write_text("no folder")

    said = new(repository(tmp_path / "m"), "-o", "file/x.yaml")

    assert said.code == 3
    assert "file/x.yaml cannot be written" in said.err


def test_a_hub_that_is_not_there_gives_no_advice_that_new_cannot_take(
    orchestrate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(interruptible_sleep, "sleep", lambda _seconds: None)
    said = orchestrate("new", "org/name")

    assert said.code == 3
    assert "cannot be reached" in said.err
    assert "a run with --offline uses what is cached" in said.err
    assert "pass --offline" not in said.err


def test_weights_that_are_quantized_in_a_way_that_is_not_read_are_refused(
    new: New, tmp_path: Path
) -> None:
    repo = repository(tmp_path / "m")
    config = json.loads((repo.folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (repo.folder / "config.json").write_text(json.dumps(config))

    said = new(repo)

    assert said.code == 2
    assert "are quantized already (bitsandbytes), in a way that llama.cpp does not" in said.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"base_model_name_or_path": "../llama"}, "its base '../llama' is no repo"),
        ({"use_dora": True}, "that is not merged: it says 'use_dora'"),
        ({"peft_type": "IA3"}, "its peft_type is 'IA3', not 'LORA'"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused_with_the_reason(
    new: New, tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    repo = repository(tmp_path / "m", config=None, tensors=[])
    write_adapter(tmp_path / "a", {}, **config)
    for path in (tmp_path / "a").iterdir():
        path.rename(repo.folder / path.name)

    told = new(repo)

    assert told.code == 2
    assert said in told.err
    assert not list(Path().iterdir())


def test_an_adapter_without_its_weights_is_called_that(new: New, tmp_path: Path) -> None:
    repo = repository(tmp_path / "m", config=None, tensors=[])
    (repo.folder / "adapter_config.json").write_text(json.dumps(CONFIG))

    assert "no LoRA adapter" in new(repo).err


@pytest.mark.parametrize(
    ("config", "files", "text"),
    [
        (None, ["model_index.json"], "a pipeline of diffusers"),
        (None, ["params.json", "consolidated.00.pth"], "format: pth"),
        (None, ["params.json", "consolidated.safetensors"], "Say 'format: mistral'"),
        (None, ["notes.txt"], "it has notes.txt"),
        ({**LLAMA, "architectures": ["LlamaForCausalML"]}, [], "did you mean 'LlamaForCausalLM'?"),
        ({"model_type": "llama"}, [], "names no architecture (its model_type is 'llama')"),
        (LLAMA, ["model.onnx"], "no weights to convert"),
    ],
)
def test_what_is_no_model_is_called_what_it_is(
    new: New, tmp_path: Path, config: dict[str, Any] | None, files: list[str], text: str
) -> None:
    repo = repository(tmp_path / "m", config, [] if files else None)
    for name in files:
        (repo.folder / name).write_text("{}")

    said = new(repo)

    assert said.code == 2
    assert text in said.err
    assert not list(Path().iterdir())


def test_a_damaged_configuration_is_told(new: New, tmp_path: Path) -> None:
    repo = repository(tmp_path / "m")
    (repo.folder / "config.json").write_text("[1, 2]")

    said = new(repo)

    assert said.code == 1
    assert "config.json of Org-1/Some_Model.v2 is not a JSON object" in said.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--quantize", "Q4_KM"], "did you mean 'Q4_K_M'?"),
        (["--quantize", "BF16"], "that is the converted file"),
        (["--quantize", "IQ2_XS", "--no-imatrix"], "cannot be made without an importance matrix"),
        (["--toolchain", "llama"], "unknown tool chain 'llama'"),
        (["--toolchain", "bloomz.cpp"], "bloomz.cpp does not convert LlamaForCausalLM"),
        (["--toolchain", "llama.cpp-ggjt-v1", "--imatrix"], "makes no importance matrices"),
        (["--revision", "v9"], "no revision 'v9'"),
    ],
)
def test_wrong_wishes_are_refused(new: New, tmp_path: Path, words: list[str], text: str) -> None:
    said = new(repository(tmp_path / "m"), *words)

    assert said.code == 2
    assert text in said.err
    assert not list(Path().iterdir())


def test_a_name_that_is_none_is_refused_before_the_hub_is_asked(
    orchestrate: Command, hub: Hub
) -> None:
    said = orchestrate("new", "../../etc/passwd")

    assert said.code == 2
    assert "is not a repository name" in said.err
    assert not hub.requests
