"""Models that see or hear: a projector beside the text files, with which upstream's program is
shown a picture or given a sound."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf
from tests.support.audio_models import write_audio_model
from tests.support.typed_commands import artifacts, typed
from tests.support.vision_models import write_vision_model
from tests.support.warm_store import link

RECIPE = """\
name: tiny-vlm
family: llama
toolchain: llama.cpp
model: {path: model}
mmproj: {outtype: OUTTYPE}
quantize: [Q8_0]
verify:
  image: {prompt: Once upon a time there was a, expect: '(boy|girl) named', tokens: 16}
  speed: false
"""
# The portable build's converter makes these on every processor.
F16 = "69b9c4bd11af812cc70d4252055199a0445ed3c29d34826d1c55ff7cd80c55dc"
HEARS = "57736724edeaf4de5cd1082c4ceaf3773f3f16d3b23831846ede43f492b07185"


@pytest.fixture
def home(store_with: Callable[..., Path]) -> Path:
    return store_with("llama.cpp")


def recipe(folder: Path, outtype: str = "f16") -> Path:
    if not (folder / "model").exists():
        write_vision_model(folder / "model")
    path = folder / "vlm.yaml"
    path.write_text(RECIPE.replace("OUTTYPE", outtype))
    return path


def test_a_projector_is_made_beside_the_text_files_and_both_see_a_picture(
    tmp_path: Path, home: Path
) -> None:
    link(home, "llama.cpp", programs=["llama-mtmd-cli"])

    said = typed("run", recipe(tmp_path), "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    told = json.loads((tmp_path / "dist" / "tiny-vlm" / "report.json").read_text("utf-8"))
    files = {one["file"]: one for one in told["files"]}
    assert files["mmproj-tiny-vlm-F16.gguf"]["sha256"] == F16
    assert gguf.read(tmp_path / "dist" / "tiny-vlm" / "mmproj-tiny-vlm-F16.gguf").metadata[
        "clip.has_vision_encoder"
    ]
    seen = {one["name"]: one for one in files["tiny-vlm-Q8_0.gguf"]["checks"]}["image"]
    assert seen["status"] == "pass"
    assert told["source"]["message"] == (
        "All 59 tensors of the source are in the files (38 of them in mmproj)."
    )


@pytest.mark.parametrize(
    ("outtype", "types", "size"),
    [("q8_0", {"F32", "F16", "Q8_0"}, 357_000), ("bf16", {"F32", "BF16"}, 473_000)],
)
def test_the_plan_knows_the_size_of_each_type(
    outtype: str, types: set[str], size: int, tmp_path: Path, home: Path
) -> None:
    said = typed("plan", recipe(tmp_path, outtype), "--json")

    assert said.code == 0, said.all
    foretold = json.loads(said.out)[0]["outputs"]["mmproj"]["size"]
    made = typed("run", recipe(tmp_path, outtype), "--no-verify", "--out", tmp_path / "dist")
    assert made.code == 0, made.all
    path = tmp_path / "dist" / "tiny-vlm" / f"mmproj-tiny-vlm-{outtype.upper()}.gguf"
    assert path.stat().st_size == foretold < size
    assert {one.type for one in gguf.read(path).tensors} <= types


def test_a_model_that_sees_nothing_has_no_projector_and_one_that_does_loses_none_in_silence(
    tmp_path: Path, home: Path
) -> None:
    path = recipe(tmp_path)
    path.write_text(path.read_text().replace("mmproj: {outtype: f16}\n", "").partition("verify")[0])
    lost = typed("plan", path)
    assert lost.code == 2
    assert "leave out 38 tensors of the source's 59" in lost.err
    assert "'mmproj: {outtype: f16}'" in lost.err

    blind = tmp_path / "blind"
    shutil.copytree(Path("recipes/tiny/models/llama").resolve(), blind / "model")
    said = typed("plan", recipe(blind))
    assert said.code == 1
    assert "makes no projector for models of the architecture LlamaForCausalLM" in said.err
    assert "fetch" not in artifacts(home)


def test_a_model_that_hears_is_given_a_sound_and_is_shown_no_picture(
    tmp_path: Path, home: Path
) -> None:
    link(home, "llama.cpp", programs=["llama-mtmd-cli"])
    write_audio_model(tmp_path / "model")
    path = recipe(tmp_path)
    text = path.read_text().replace("family: llama", "family: qwen2")
    text = text.replace("mmproj:", "convert: {tokenizer_pre: qwen2}\nmmproj:")
    path.write_text(text)
    said = typed("plan", path)
    assert said.code == 2
    assert "'verify.image' needs a model whose mmproj has clip.has_vision_encoder" in said.err

    text = text.replace("image: {", "audio: {").replace("'(boy|girl) named'", ".")
    path.write_text(f"{text}publish: {{license: mit}}\n")
    said = typed("run", path, "--out", tmp_path / "dist")

    assert said.code == 0, said.all
    told = json.loads((tmp_path / "dist" / "tiny-vlm" / "report.json").read_text("utf-8"))
    assert told["source"]["message"] == (
        "All 81 tensors of the source are in the files (54 of them in mmproj)."
    )
    files = {one["file"]: one for one in told["files"]}
    heard = {one["name"]: one for one in files["tiny-vlm-Q8_0.gguf"]["checks"]}["audio"]
    assert heard["status"] == "pass"
    assert files["mmproj-tiny-vlm-F16.gguf"]["sha256"] == HEARS
    said = typed("publish", path, "--to", f"dir:{tmp_path / 'out'}", "--out", tmp_path / "dist")
    assert said.code == 0, said.all
    assert "pipeline_tag: audio-text-to-text" in (tmp_path / "out" / "README.md").read_text("utf-8")
