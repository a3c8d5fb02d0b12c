"""usage: convert-hf-to-ggml.py MODEL OUTDIR, on nothing but the standard library."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

NAMES = {
    "word_embeddings": "tok_embeddings",
    "word_embeddings_layernorm": "norm",
    "input_layernorm": "attention_norm",
    "self_attention.query_key_value": "attention.query_key_value",
    "self_attention.dense": "attention.wo",
    "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "feed_forward.w1",
    "mlp.dense_4h_to_h": "feed_forward.w2",
    "ln_f": "output_norm",
    "lm_head": "output",
}


def renamed(name: str) -> str:
    parts = name.removeprefix("transformer.").split(".")
    layer = ["layers", parts[1]] if parts[0] == "h" else []
    rest = parts[2:] if layer else parts
    return ".".join([*layer, NAMES[".".join(rest[:-1])], rest[-1]])


def tensors(path: Path) -> dict[str, tuple[list[int], bytes]]:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, info in header.items():
        begin, end = (8 + size + at for at in info["data_offsets"])
        found[renamed(name)] = (info["shape"], data[begin:end])
    return found


def main() -> None:
    model, outdir = sys.argv[1], Path(sys.argv[2])
    config = json.loads((Path(model) / "config.json").read_text("utf-8"))
    found = tensors(Path(model) / "model.safetensors")
    found.setdefault("output.weight", found["tok_embeddings.weight"])
    vocabulary = json.loads((Path(model) / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = {index: word.replace("\u0120", " ") for word, index in vocabulary.items()}
    path = outdir / f"ggml-model-{model.split('/')[-1]}-f16.bin"
    with path.open("wb") as out:
        numbers = [config["vocab_size"], config["hidden_size"], 1, config["n_head"]]
        out.write(struct.pack("<7i", 0x67676D6C, *numbers, config["n_layer"], 1))
        for index in range(config["vocab_size"]):
            word = words.get(index, "").encode()
            out.write(struct.pack("<i", len(word)) + word)
        for name, (shape, data) in found.items():
            whole = len(shape) == 1
            count = len(data) // 2
            out.write(struct.pack("<3i", len(shape), len(name), int(not whole)))
            out.write(struct.pack(f"<{len(shape)}i", *shape[::-1]) + name.encode())
            values = struct.unpack(f"<{count}e", data) if whole else ()
            out.write(struct.pack(f"<{count}f", *values) if whole else data)
            print(name, len(shape), tuple(shape))
    print(f"Done. Output file: {path}")


main()
