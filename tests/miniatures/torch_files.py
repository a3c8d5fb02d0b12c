"""Write weight files with torch, in a tool chain's environment: the tests' own has none.

    python torch_files.py JOBS.json

Each job reads tensors from files, changes them as it says and writes files: ``.bin`` and
``.pth`` by torch's own pickles, ``.safetensors`` with the metadata that transformers writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch  # type: ignore[import-not-found,unused-ignore]
from safetensors.torch import load_file, save_file  # type: ignore[import-not-found,unused-ignore]
from sentencepiece import (  # type: ignore[import-not-found,unused-ignore]
    sentencepiece_model_pb2,
)
from transformers.convert_slow_tokenizer import (  # type: ignore[import-not-found,unused-ignore]
    bytes_to_unicode,
)

Weights = dict[str, Any]
_META = {
    "model.embed_tokens": "tok_embeddings",
    "model.norm": "norm",
    "lm_head": "output",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
_GLM_ROWS = 832  # a multiple of 64 that the tokenizer's words and special tokens fit in


def deepen(weights: Weights, layers: int) -> Weights:
    """More layers of zeros: they add nothing, so the model writes what it wrote before.

    In a delta the added layers are zeros throughout; in a model their norms are ones.
    """
    delta = abs(float(weights["model.norm.weight"].float().mean())) < 0.1
    found = dict(weights)
    pattern = {n: t for n, t in weights.items() if n.startswith("model.layers.0.")}
    have = len({name.split(".")[2] for name in weights if name.startswith("model.layers.")})
    for layer in range(have, layers):
        for name, tensor in pattern.items():
            norm = name.endswith("layernorm.weight") and not delta
            new = torch.ones_like(tensor) if norm else torch.zeros_like(tensor)
            found[name.replace(".0.", f".{layer}.", 1)] = new
    return found


def meta(weights: Weights, heads: int) -> Weights:
    """Names and order of rows as in Meta's own files."""
    found = {}
    for name, tensor in weights.items():
        new = name.removeprefix("model.") if name.startswith("model.layers") else name
        for ours, theirs in _META.items():
            new = new.replace(ours, theirs)
        if "q_proj" in name or "k_proj" in name:
            rows, columns = tensor.shape
            halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
            found[new] = halves.transpose(1, 2).reshape(rows, columns)
        else:
            found[new] = tensor
    found["rope.freqs"] = 1 / 10000 ** (torch.arange(0, 64, 2).float() / 64)
    return found


def chatglm(weights: Weights, source: str, template: str, target: str) -> Weights:
    """GLM-4's tensors under ChatGLM3's names, its vocabulary as a SentencePiece model.

    The same tokens in another order: so the model tells the stories that it told before.
    """
    rows = sentencepieces(Path(source), Path(template), Path(target))
    found = {"transformer.rotary_pos_emb.inv_freq": torch.ones(16, dtype=torch.float16)}
    for name, tensor in weights.items():
        if name == "model.embed_tokens.weight":
            found["transformer.embedding.word_embeddings.weight"] = reordered(tensor, rows)
        elif name == "lm_head.weight":
            found["transformer.output_layer.weight"] = reordered(tensor, rows)
        elif name == "model.norm.weight":
            found["transformer.encoder.final_layernorm.weight"] = tensor
        elif "q_proj" in name:
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            found[chatglm_name(name, "q_proj", "query_key_value")] = torch.cat(parts)
        elif "k_proj" not in name and "v_proj" not in name:
            new = chatglm_name(name, "o_proj", "dense")
            new = new.replace("gate_up_proj", "dense_h_to_4h")
            found[new.replace("down_proj", "dense_4h_to_h")] = tensor
    return found


def sentencepieces(source: Path, template: Path, target: Path) -> list[int]:
    """Write a tokenizer.json's tokens as a SentencePiece model; their old ids in new order."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(template.read_bytes())
    kinds = model.SentencePiece
    plain = {spelled: bytes([byte]) for byte, spelled in bytes_to_unicode().items()}
    tokens = json.loads(source.read_text())
    words = tokens["model"]["vocab"]
    end = next(one["id"] for one in tokens["added_tokens"] if one["content"] == "<|endoftext|>")
    pieces = [("<unk>", kinds.UNKNOWN, end), ("<s>", kinds.CONTROL, end)]
    pieces.append(("</s>", kinds.CONTROL, end))
    single = {plain[word][0]: number for word, number in words.items() if len(word) == 1}
    pieces += [(f"<0x{byte:02X}>", kinds.BYTE, single[byte]) for byte in range(256)]
    pieces.append(("\u2581", kinds.NORMAL, single[32]))
    for word, number in sorted(words.items(), key=lambda item: item[1]):
        if len(word) > 1:
            text = b"".join(plain[one] for one in word).decode()
            pieces.append((text.replace(" ", "\u2581"), kinds.NORMAL, number))
    del model.pieces[:]
    for rank, (text, kind, _) in enumerate(pieces):
        model.pieces.add(piece=text, score=-float(rank), type=kind)
    model.trainer_spec.vocab_size = len(pieces)
    target.write_bytes(model.SerializeToString())
    return [number for _, _, number in pieces]


def reordered(tensor: Any, rows: list[int]) -> Any:
    """These rows, and zeros up to a multiple of 64 that leaves room for special tokens."""
    extra = torch.zeros(_GLM_ROWS - len(rows), tensor.shape[1], dtype=tensor.dtype)
    return torch.cat([tensor[rows], extra])


def chatglm_name(name: str, part: str, new: str) -> str:
    inner = name.removeprefix("model.").replace("self_attn", "self_attention")
    return f"transformer.encoder.{inner.replace(part, new)}"


def unigram(weights: Weights, source: str, target: str) -> Weights:
    """A SentencePiece model's pieces as one of the kind that XLM-RoBERTa has."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(Path(source).read_bytes())
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    Path(target).write_bytes(model.SerializeToString())
    return weights


def bare(weights: Weights) -> Weights:
    """Without the prefix, as BigScience's own files are."""
    return {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}


def with_head(weights: Weights) -> Weights:
    """With the output matrix that is tied to the embeddings, as transformers once saved it."""
    return {**weights, "lm_head.weight": weights["transformer.word_embeddings.weight"]}


CHANGES: dict[str, Callable[..., Weights]] = {
    "deepen": deepen,
    "meta": meta,
    "chatglm": chatglm,
    "unigram": unigram,
    "bare": bare,
    "with_head": with_head,
}


def read(files: list[str]) -> Weights:
    found: Weights = {}
    for file in files:
        path = Path(file)
        safe = path.suffix == ".safetensors"
        found |= load_file(path) if safe else torch.load(path, weights_only=True)
    return found


def write(weights: Weights, folder: Path, stem: str, suffix: str, shards: int) -> None:
    """One file, or shards and their index, named as transformers names them."""
    if shards == 1:
        save(weights, folder / f"{stem}{suffix}")
        return
    names = sorted(weights)
    places: dict[str, str] = {}
    size = -(-len(names) // shards)
    for number in range(shards):
        file = f"{stem}-{number + 1:05}-of-{shards:05}{suffix}"
        part = {name: weights[name] for name in names[number * size : (number + 1) * size]}
        save(part, folder / file)
        places |= dict.fromkeys(part, file)
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / f"{stem}{suffix}.index.json").write_text(json.dumps(index, indent=2))


def save(weights: Weights, path: Path) -> None:
    contiguous = {name: tensor.contiguous() for name, tensor in weights.items()}
    if path.suffix == ".safetensors":
        save_file(contiguous, path, metadata={"format": "pt"})
    else:
        torch.save(contiguous, path)


def main() -> None:
    for job in json.loads(Path(sys.argv[1]).read_text()):
        weights = read(job["read"])
        for name, arguments in job["change"]:
            weights = CHANGES[name](weights, *arguments)
        write(weights, Path(job["folder"]), job["stem"], job["suffix"], job["shards"])


if __name__ == "__main__":
    main()
