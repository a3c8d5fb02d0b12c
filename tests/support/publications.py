"""A finished run to publish: real folders, reports and provenance; only the tools are faked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command, Said
from tests.support.fake_steps import fake_kinds
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV, Tensor

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes" / "tiny" / "models" / "llama"
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
RECIPE = """\
name: small
family: llama
description: A small model
toolchain: llama.cpp
model: {path: model}
imatrix: {corpus: words.txt, chunks: 2}
quantize: [Q4_0, {type: IQ4_XS, imatrix: true}]
verify:
  smoke: {prompt: Once upon a time there was a, expect: "(boy|girl) named [A-Z]"}
  perplexity: {corpus: words.txt, chunks: 8}
  kld: true
publish: {license: mit}
"""
HUB_NAME = "me/small-GGUF"
TO_HUB = ("--to", f"hub:{HUB_NAME}")
SIZE = 1_500_000  # bytes and more, so that a file is sent before the commit


def weights(task: Task, template: str | None) -> dict[str, JSON]:
    """A GGUF file of the step's own, with the metadata of a small llama."""
    kind = str(task.step.params.get("type", "F16"))
    fields = {
        "general.architecture": KV("str", "llama"),
        "general.name": KV("str", "Small Llama"),
        "general.size_label": KV("str", "2.1M"),
        "tokenizer.ggml.model": KV("str", "llama"),
        "tokenizer.ggml.tokens": KV("arr", ["<unk>", "<s>", "</s>"], "str"),
        "tokenizer.ggml.bos_token_id": KV("u32", 1),
        "tokenizer.ggml.eos_token_id": KV("u32", 2),
        "test.step": KV("str", task.step.label),
    }
    if template is not None:
        fields["tokenizer.chat_template"] = KV("str", template)
    tensors = [Tensor(f"blk.0.{kind}.weight", (1024, SIZE // 4096), "F32")]
    path = write_gguf(task.workdir / task.step.params["file"], Model(tensors, fields))
    return {"size": path.stat().st_size, "bits_per_weight": 4.84, "fallbacks": []}


@dataclass
class RecipeFolder:
    """A recipe, its model and ``orchestrate`` in this process.

    Attributes:
        place: Where they lie; the working folder.
        command: The program.
        monkeypatch: For the fakes.
        template: The chat template that the faked converter writes.
        work: Other fakes by kind of step.
    """

    place: Path
    command: Command
    monkeypatch: pytest.MonkeyPatch
    template: str | None = None
    work: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Path:
        return self.place / "small.yaml"

    @property
    def dist(self) -> Path:
        return self.place / "dist" / "small"

    def write(self, text: str = RECIPE, **publish: JSON) -> None:
        """Write the recipe; ``publish`` replaces its section of that name."""
        if publish:
            text = text.partition("publish:")[0] + f"publish: {json.dumps(publish)}\n"
        self.recipe.write_text(text)

    def fake(self) -> None:
        """Put the fakes in the place of the tools."""

        def made(task: Task) -> dict[str, JSON]:
            return weights(task, self.template)

        fake_kinds(self.monkeypatch, **{"quantize": made, "convert": made, **self.work})

    def run(self, *options: str) -> Said:
        """Make the files."""
        self.fake()
        return self.command("run", self.recipe, *options)

    def publish(self, *options: str | Path) -> Said:
        return self.command("publish", self.recipe, *options)

    def source(self, **config: JSON) -> None:
        """Say more in the model's tokenizer_config.json."""
        path = self.place / "model" / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))

    def edit(self, **changes: JSON) -> None:
        """Change report.json as somebody might by hand."""
        path = self.dist / "report.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def lay_out(place: Path) -> None:
    """The model's folder and the texts."""
    shutil.copytree(TINY, place / "model")
    (place / "model" / "README.md").write_text(
        "---\nlicense: gpl-3.0\nlanguage: [en, zh]\n---\nA model.\n"
    )
    (place / "model" / "LICENSE").write_text("You may.\n")
    (place / "words.txt").write_text("Once upon a time.")


def published(place: Path) -> dict[str, bytes]:
    """All files of a folder by name."""
    return {path.name: path.read_bytes() for path in place.iterdir()}


def front_matter(card: str) -> Mapping[str, Any]:
    """The metadata of a card, as huggingface_hub reads it."""
    from huggingface_hub import ModelCard

    data: Any = ModelCard(card).data
    return dict(data.to_dict())
