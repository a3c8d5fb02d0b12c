"""Encoders laid out as their repositories are, with weights of chance: BGE's embedding model
and its reranker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.vision_models import write_json, write_tensors

WIDTH, INNER, LAYERS, POSITIONS = 256, 512, 2, 512
PIECES = 768  # of the tiny llama's tokenizer
_SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
_CONFIG = {
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "position_embedding_type": "absolute",
    # What transformers writes of models that tell no classes apart, too.
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
}


def write_embedding_model(folder: Path, seed: int = 0) -> Path:
    """BAAI/bge-small-en-v1.5: a BERT of 32-bit floats, whose embedding is the first token's."""
    letters = [chr(one) for one in range(ord("a"), ord("z") + 1)]
    words = [_SPECIAL.get(at, f"[unused{at}]") for at in range(104)]
    words += [*letters, *(f"##{one}" for one in letters), ".", ",", "?"]
    write_json(
        folder / "config.json",
        {
            **_CONFIG,
            "architectures": ["BertModel"],
            "model_type": "bert",
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": POSITIONS,
            "pad_token_id": 0,
            "torch_dtype": "float32",
            "type_vocab_size": 2,
            "vocab_size": len(words),
        },
    )
    _word_pieces(folder, words)
    _sentence_transformer(folder)
    shapes = dict(_shapes("", len(words), POSITIONS, types=2))
    shapes |= {"pooler.dense.weight": (WIDTH, WIDTH), "pooler.dense.bias": (WIDTH,)}
    tensors = dict(_chance(shapes, seed))
    positions = np.arange(POSITIONS, dtype=np.int64)[None]
    write_tensors(folder / "model.safetensors", {"embeddings.position_ids": positions, **tensors})
    return folder


def write_reranker(folder: Path, seed: int = 0) -> Path:
    """BAAI/bge-reranker-v2-m3: an XLM-RoBERTa with a classifier; its tokenizer is not written.

    As there, two more positions than are used, and two more words than its tokenizer has.
    """
    write_json(
        folder / "config.json",
        {
            **_CONFIG,
            "architectures": ["XLMRobertaForSequenceClassification"],
            "model_type": "xlm-roberta",
            "bos_token_id": 0,
            "eos_token_id": 2,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": POSITIONS + 2,
            "pad_token_id": 1,
            "torch_dtype": "float32",
            "type_vocab_size": 1,
            "vocab_size": PIECES + 2,
        },
    )
    marks = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "mask": "<mask>"}
    marks |= {"pad": "<pad>", "unk": "<unk>"}
    named = {f"{name}_token": text for name, text in marks.items()}
    write_json(folder / "special_tokens_map.json", named)
    write_json(
        folder / "tokenizer_config.json",
        {**named, "model_max_length": 8192, "tokenizer_class": "XLMRobertaTokenizer"},
    )
    shapes = dict(_shapes("roberta.", PIECES + 2, POSITIONS + 2, types=1))
    for name, rows in (("dense", WIDTH), ("out_proj", 1)):
        shapes |= {
            f"classifier.{name}.weight": (rows, WIDTH),
            f"classifier.{name}.bias": (rows,),
        }
    write_tensors(folder / "model.safetensors", dict(_chance(shapes, seed)))
    return folder


def _sentence_transformer(folder: Path) -> None:
    """What sentence-transformers adds: which parts follow each other, and how tokens are joined."""
    modules = ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")
    listed = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(modules)
    ]
    write_json(folder / "modules.json", listed)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS})
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": WIDTH,
            "pooling_mode_cls_token": True,
            "pooling_mode_mean_tokens": False,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )


def _word_pieces(folder: Path, words: Sequence[str]) -> None:
    """A BERT's tokenizer in both of its forms."""
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": at, "content": text, "special": True, **plain} for at, text in _SPECIAL.items()]
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {word: at for at, word in enumerate(words)},
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": normalizer,
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": None,
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": model,
        },
    )
    named = {f"{text[1:-1].lower()}_token": text for text in _SPECIAL.values()}
    write_json(folder / "special_tokens_map.json", named)
    write_json(
        folder / "tokenizer_config.json",
        {**named, "do_lower_case": True, "tokenizer_class": "BertTokenizer"},
    )


def _shapes(
    prefix: str, words: int, positions: int, *, types: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    inside = f"{prefix}embeddings."
    yield f"{inside}word_embeddings.weight", (words, WIDTH)
    yield f"{inside}position_embeddings.weight", (positions, WIDTH)
    yield f"{inside}token_type_embeddings.weight", (types, WIDTH)
    norms = [f"{inside}LayerNorm"]
    for layer in range(LAYERS):
        block = f"{prefix}encoder.layer.{layer}."
        norms += [f"{block}attention.output.LayerNorm", f"{block}output.LayerNorm"]
        for part, rows, columns in (
            *((f"attention.self.{one}", WIDTH, WIDTH) for one in ("query", "key", "value")),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", INNER, WIDTH),
            ("output.dense", WIDTH, INNER),
        ):
            yield f"{block}{part}.weight", (rows, columns)
            yield f"{block}{part}.bias", (rows,)
    for norm in norms:
        yield f"{norm}.weight", (WIDTH,)
        yield f"{norm}.bias", (WIDTH,)


def _chance(shapes: dict[str, tuple[int, ...]], seed: int) -> Iterator[tuple[str, NDArray[Any]]]:
    chance = np.random.default_rng(seed)
    for name, shape in shapes.items():
        norm = name.endswith("LayerNorm.weight")
        yield name, chance.normal(1 if norm else 0, 0.1, shape).astype(np.float32)
