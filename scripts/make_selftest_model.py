"""Write vendor/llama.cpp/selftest.gguf: the smallest llama that every matrix product accepts.

    python scripts/make_selftest_model.py OUT [--untied]

One layer of hidden size 256 (a whole k-quant block) with seeded weights; its words are
bytes. With --untied it has an output tensor, without which llama.cpp of before April 2024
does not load a llama (selftest_untied.gguf). Needs the packages ``gguf`` and ``numpy``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np

EMBEDDING, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT = 256, 4, 1, 256, 64


def vocabulary(writer: gguf.GGUFWriter) -> int:
    """Add a SentencePiece vocabulary of the 256 bytes; give its size."""
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    unknown, control, plain = (
        gguf.TokenType.UNKNOWN,
        gguf.TokenType.CONTROL,
        gguf.TokenType.BYTE,
    )
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([unknown, control, control, *[plain] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    return len(tokens)


def shapes(words: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors, rows first."""
    head = EMBEDDING // HEADS
    return {
        "token_embd.weight": (words, EMBEDDING),
        "blk.0.attn_norm.weight": (EMBEDDING,),
        "blk.0.attn_q.weight": (EMBEDDING, EMBEDDING),
        "blk.0.attn_k.weight": (KV_HEADS * head, EMBEDDING),
        "blk.0.attn_v.weight": (KV_HEADS * head, EMBEDDING),
        "blk.0.attn_output.weight": (EMBEDDING, EMBEDDING),
        "blk.0.ffn_norm.weight": (EMBEDDING,),
        "blk.0.ffn_gate.weight": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_up.weight": (FEED_FORWARD, EMBEDDING),
        "blk.0.ffn_down.weight": (EMBEDDING, FEED_FORWARD),
        "output_norm.weight": (EMBEDDING,),
    }


def main(out: Path, untied: bool) -> None:
    """Write the file."""
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name("self-test")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(EMBEDDING)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    random = np.random.default_rng(20230513)
    words = vocabulary(writer)
    output = {"output.weight": (words, EMBEDDING)} if untied else {}
    for name, shape in {**shapes(words), **output}.items():
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, dtype=np.float32))
        else:
            values = random.uniform(-0.1, 0.1, shape)
            writer.add_tensor(name, values.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--untied" in sys.argv[2:])
