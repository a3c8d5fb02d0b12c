"""The repositories that the recipes name, laid out in miniature under a folder.

What the real ones hold beside the wanted weights is here too, as decoys that must not be
fetched: the same weights in another format, code, folders for other frameworks.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.encoder_models import write_embedding_model, write_reranker
from tests.support.expert_models import write_mixture
from tests.support.hybrid_models import write_hybrid_model
from tests.support.vision_models import write_vision_model

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MODELS = RECIPES / "tiny" / "models"
CHATGLM3 = Path(__file__).parent / "chatglm3"
DECOY = b"weights in a format that nobody asked for\n" * 4096
TEXT_BYTES = 9000  # some 2,500 tokens: four pieces of 512

Job = dict[str, Any]
Change = tuple[str, Sequence[object]]


@dataclass
class Layout:
    """One repository's folder, and the weight files that torch is to write into it."""

    folder: Path
    jobs: list[Job] = field(default_factory=list)

    def copy(self, source: Path, *names: str) -> None:
        """Copy small files from one of the tiny models."""
        for name in names:
            shutil.copyfile(source / name, self.folder / name)

    def weights(
        self,
        files: Sequence[Path],
        stem: str,
        suffix: str,
        shards: int = 1,
        change: Sequence[Change] = (),
    ) -> None:
        """Have torch write these files' tensors."""
        read = [str(file) for file in files]
        place = {"folder": str(self.folder), "stem": stem, "suffix": suffix, "shards": shards}
        self.jobs.append({"read": read, "change": list(change), **place})

    def decoys(self, *names: str) -> None:
        """Put files there that nobody should fetch."""
        for name in names:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(DECOY)

    def merge_json(self, name: str, **changes: object) -> None:
        """Change values of a JSON file."""
        path = self.folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=2))


def _bin_index(layout: Layout, shards: int) -> None:
    """Decoys of a second weight format: pickled shards and their index."""
    names = [f"pytorch_model-{n + 1:05}-of-{shards:05}.bin" for n in range(shards)]
    layout.decoys(*names)
    index = {"metadata": {}, "weight_map": {str(n): name for n, name in enumerate(names)}}
    (layout.folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _llama_files(layout: Layout, source: Path) -> None:
    layout.copy(source, "config.json", "special_tokens_map.json", "tokenizer.model")
    layout.copy(source, "tokenizer_config.json")


def _deepened(layout: Layout, layers: int) -> list[Change]:
    if not layers:
        return []
    layout.merge_json("config.json", num_hidden_layers=layers)
    return [("deepen", [layers])]


def llama(layout: Layout, layers: int = 0) -> None:
    """huggyllama/llama-7b: shards of safetensors and of .bin side by side."""
    _llama_files(layout, MODELS / "llama")
    layout.copy(MODELS / "llama", "generation_config.json")
    change = _deepened(layout, layers)
    layout.weights([MODELS / "llama" / "model.safetensors"], "model", ".safetensors", 2, change)
    _bin_index(layout, 2)
    layout.decoys("model.onnx")


def chimera_delta(layout: Layout, layers: int = 0) -> None:
    """FreedomIntelligence/chimera-chat-7b-delta: .bin shards, a row for the added token."""
    source = MODELS / "chimera" / "delta"
    _llama_files(layout, source)
    layout.copy(source, "added_tokens.json")
    change = _deepened(layout, layers)
    shards = sorted(source.glob("pytorch_model-*.bin"))
    layout.weights(shards, "pytorch_model", ".bin", 2, change)


def _bloom_files(layout: Layout) -> None:
    source = MODELS / "bloom"
    layout.copy(source, "config.json", "special_tokens_map.json", "tokenizer.json")
    layout.copy(source, "tokenizer_config.json")


def bloomz(layout: Layout) -> None:
    """bigscience/bloomz-7b1: one file of each format, tensors without a prefix."""
    _bloom_files(layout)
    weights = [MODELS / "bloom" / "model.safetensors"]
    layout.weights(weights, "model", ".safetensors", change=[("bare", [])])
    layout.decoys("pytorch_model.bin", "flax_model.msgpack", "logs/events.out.tfevents")


def phoenix(layout: Layout) -> None:
    """FreedomIntelligence/phoenix-chat-7b: .bin shards with the tied output matrix."""
    _bloom_files(layout)
    weights = [MODELS / "bloom" / "model.safetensors"]
    layout.weights(weights, "pytorch_model", ".bin", 2, [("with_head", [])])
    layout.decoys("training_args.bin")


def falcon(layout: Layout) -> None:
    """tiiuae/falcon-7b: shards of both formats, code, a folder for another framework."""
    source = MODELS / "falcon"
    layout.copy(source, "config.json", "generation_config.json", "special_tokens_map.json")
    layout.copy(source, "tokenizer.json", "tokenizer_config.json")
    layout.copy(source, "configuration_falcon.py", "modeling_falcon.py")
    shutil.copyfile(source / "modeling_falcon.py", layout.folder / "handler.py")
    code = {
        "AutoConfig": "configuration_falcon.FalconConfig",
        "AutoModelForCausalLM": "modeling_falcon.FalconForCausalLM",
    }
    layout.merge_json("config.json", auto_map=code)
    layout.weights([source / "model.safetensors"], "model", ".safetensors", 2)
    _bin_index(layout, 2)
    layout.decoys("coreml/text-generation/model.mlpackage/weights.bin")


def chatglm3(layout: Layout) -> None:
    """THUDM/chatglm3-6b: its tokenizer is code of the repository."""
    layout.copy(CHATGLM3, "config.json", "tokenizer_config.json")
    layout.copy(CHATGLM3, "tokenization_chatglm.py", "configuration_chatglm.py")
    words = MODELS / "chatglm" / "tokenizer.json"
    vocabulary = [words, MODELS / "llama" / "tokenizer.model", layout.folder / "tokenizer.model"]
    weights = [MODELS / "chatglm" / "model.safetensors"]
    change: Change = ("chatglm", [str(path) for path in vocabulary])
    layout.weights(weights, "model", ".safetensors", 3, [change])
    _bin_index(layout, 3)


def glm4(layout: Layout) -> None:
    """THUDM/glm-4-9b-chat-hf: a layout that transformers reads without code."""
    source = MODELS / "chatglm"
    layout.copy(source, "config.json", "generation_config.json", "special_tokens_map.json")
    layout.copy(source, "tokenizer.json", "tokenizer_config.json")
    layout.weights([source / "model.safetensors"], "model", ".safetensors", 2)


def smolvlm(layout: Layout) -> None:
    """HuggingFaceTB/SmolVLM-256M-Instruct: a template of its own, files for another framework."""
    write_vision_model(layout.folder)
    _apart(layout.folder)
    layout.decoys("onnx/vision_encoder.onnx", "onnx/decoder_model_merged.onnx")


def _apart(folder: Path) -> None:
    """The chat template in a file of its own, as processors save it."""
    path = folder / "tokenizer_config.json"
    configured = json.loads(path.read_text())
    template = {"chat_template": configured.pop("chat_template")}
    path.write_text(json.dumps(configured, indent=2))
    (folder / "chat_template.json").write_text(json.dumps(template, indent=2))


def bge_small(layout: Layout) -> None:
    """BAAI/bge-small-en-v1.5: how tokens become one vector lies in a folder of its own."""
    write_embedding_model(layout.folder)
    layout.decoys("pytorch_model.bin", "onnx/model.onnx")


def bge_reranker(layout: Layout) -> None:
    """BAAI/bge-reranker-v2-m3: one file of safetensors, and a SentencePiece model."""
    write_reranker(layout.folder)
    target = layout.folder / "sentencepiece.bpe.model"
    change: Change = ("unigram", [str(MODELS / "llama" / "tokenizer.model"), str(target)])
    written = [layout.folder / "model.safetensors"]
    layout.weights(written, "model", ".safetensors", change=[change])
    layout.decoys("assets/BEIR-bge-v2-m3.png")


def olmoe(layout: Layout) -> None:
    """allenai/OLMoE-1B-7B-0924-Instruct: each expert's matrices by themselves, in three shards."""
    written = write_mixture(layout.folder, layout.folder.parent / "experts.safetensors")
    layout.weights([written], "model", ".safetensors", 3)


def qwen35(layout: Layout) -> None:
    """Qwen/Qwen3.5-0.8B: one file that is named as a shard is, and its index."""
    write_hybrid_model(layout.folder)


OTHERS: dict[str, Callable[[Layout], None]] = {
    "HuggingFaceTB/SmolVLM-256M-Instruct": smolvlm,
    "Qwen/Qwen3.5-0.8B": qwen35,
    "allenai/OLMoE-1B-7B-0924-Instruct": olmoe,
    "BAAI/bge-small-en-v1.5": bge_small,
    "BAAI/bge-reranker-v2-m3": bge_reranker,
}
MODERN: dict[str, Callable[[Layout], None]] = {
    "huggyllama/llama-7b": llama,
    "FreedomIntelligence/chimera-chat-7b-delta": chimera_delta,
    "FreedomIntelligence/phoenix-chat-7b": phoenix,
    "bigscience/bloomz-7b1": bloomz,
    "tiiuae/falcon-7b": falcon,
    "THUDM/chatglm3-6b": chatglm3,
    "THUDM/glm-4-9b-chat-hf": glm4,
}
# The tools of April 2023 compute models of 32, 40, 60 or 80 layers only.
OLD: dict[str, Callable[[Layout], None]] = {
    "huggyllama/llama-7b": lambda layout: llama(layout, 32),
    "FreedomIntelligence/chimera-chat-7b-delta": lambda layout: chimera_delta(layout, 32),
    "FreedomIntelligence/phoenix-chat-7b": phoenix,
    "bigscience/bloomz-7b1": bloomz,
}


def meta_files(layout: Layout, layers: int = 0) -> None:
    """LLaMA 7B as Meta gave it away: consolidated.00.pth, params.json, tokenizer.model."""
    params = {"dim": 256, "multiple_of": 256, "n_heads": 4, "n_layers": layers or 2}
    text = json.dumps({**params, "norm_eps": 1e-06, "vocab_size": -1})
    (layout.folder / "params.json").write_text(text)
    layout.copy(MODELS / "llama", "tokenizer.model")
    change: list[Change] = [("deepen", [layers])] if layers else []
    weights = [MODELS / "llama" / "model.safetensors"]
    layout.weights(weights, "consolidated.00", ".pth", change=[*change, ("meta", [4])])


def wikitext(folder: Path) -> None:
    """The dataset ggml-org/ci: a zip that holds the text, here the grammar's."""
    folder.mkdir(parents=True)
    text = (RECIPES / "tiny" / "corpus" / "perplexity.txt").read_bytes()[:TEXT_BYTES]
    with zipfile.ZipFile(folder / "wikitext-2-raw-v1.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        for split in ("test", "valid", "train"):
            bundle.writestr(f"wikitext-2-raw/wiki.{split}.raw", text if split == "test" else b"no")
    (folder / "README.md").write_text("Files for tests.\n")
