"""Small files of a model that hold what this program looks at, and little else to be hit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator.base.step_values import JSON
from tests.support.typed_commands import MODELS

TOKENIZER: JSON = {
    "added_tokens": [{"id": 1, "content": "<s>", "special": True}],
    "post_processor": {
        "type": "Sequence",
        "processors": [
            {
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
            }
        ],
    },
}
TOKENIZER_CONFIG: JSON = {
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": {"content": "</s>"},
    "chat_template": [{"name": "default", "template": "{{ messages }}</s>"}],
    "auto_map": {"AutoTokenizer": ["org/code--file.Class", None]},
    "added_tokens_decoder": {"1": {"content": "<s>"}},
}
CONFIG: JSON = {
    "architectures": ["LlamaForCausalLM"],
    "auto_map": {"AutoConfig": "org/code--file.Class"},
    "eos_token_id": [2, 3],
    "hidden_size": 16,
    "max_position_embeddings": 512,
    "model_type": "llama",
    "quantization_config": {"quant_method": "gptq", "bits": 4},
    "text_config": {"eos_token_id": 2, "max_position_embeddings": 512, "vocab_size": 320},
    "tie_word_embeddings": False,
    "vocab_size": 320,
}
_FILES: Mapping[str, JSON] = {
    "config.json": CONFIG,
    "generation_config.json": {"eos_token_id": [2], "max_length": 100},
    "tokenizer.json": TOKENIZER,
    "tokenizer_config.json": TOKENIZER_CONFIG,
}


def _made(name: str, content: JSON, folder: Path) -> Path:
    """The file beside those of a tiny model."""
    shutil.copytree(MODELS / "llama", folder / "model")
    path = folder / "model" / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    name: partial(_made, name, content) for name, content in _FILES.items()
}
