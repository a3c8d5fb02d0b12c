"""A LoRA adapter of the tiny llama that answers questions, in the files that peft writes.

The base stays as it is; of the stories it tells nothing is asked once it answers.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch  # type: ignore[import-not-found,unused-ignore]
from peft import LoraConfig, get_peft_model  # type: ignore[import-not-found,unused-ignore]
from transformers import LlamaForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import chimera
from tinymodels.checks import check_answers
from tinymodels.tokenizing import SentencePiece, write_json
from tinymodels.training import CONTEXT, Phase, Schedule, make_deterministic, round_to_half, train

BASE = "tiny/llama"
SCHEDULE = Schedule((Phase(500, 128, 8), Phase(100, CONTEXT, 2)), rate=1e-2)
CONFIG = LoraConfig(
    task_type="CAUSAL_LM",
    r=8,
    lora_alpha=16,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
)
FILES = ("adapter_config.json", "adapter_model.safetensors")


def make_lora(base_folder: Path, folder: Path, seed: int) -> None:
    """Tunes an adapter of the llama of `base_folder` and writes it anew into `folder`.

    The answers are checked on the merged model, rounded to float16. Raises SystemExit like
    making.make_family.
    """
    make_deterministic(seed)
    encoder = SentencePiece(base_folder)
    base = LlamaForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    model = get_peft_model(base, CONFIG)
    train(model, chimera.chunks(encoder, seed), chimera.PREFIX, SCHEDULE, seed)
    _write(model, folder)
    merged = model.merge_and_unload()
    round_to_half(merged)
    check_answers(merged, encoder, chimera.PREFIX, chimera.prompt, share=0.75)


def _write(model: object, folder: Path) -> None:
    """The two files that make an adapter; the configuration names no folder of this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch)  # type: ignore[attr-defined]
        for name in FILES:
            shutil.copyfile(Path(scratch) / name, folder / name)
    config = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = BASE
    config["target_modules"] = sorted(config["target_modules"])
    write_json(folder / FILES[0], config)
