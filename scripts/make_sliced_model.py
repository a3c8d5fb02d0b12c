"""Cut a llama's 576 columns to 512, so that every k-quant fits its rows; for bench_fit.py.

    python scripts/make_sliced_model.py SmolLM2-135M-Instruct.Q4_1.gguf TEXT OUT.gguf

A slicing by principal components, as SliceGPT does (arXiv:2401.15024), with one rotation for
all layers: norms are absorbed into what reads them, the residual stream is turned to the
components of its normalized states over TEXT, and the last 64 are dropped. Nine heads are filled
up to twelve with zeros, which changes nothing of what is computed. Writes an F16 GGUF with the
output apart from the embedding and the source's own tokenizer, and prints the loss per token on
TEXT before and after. Run it with a Python that has ``torch``, ``transformers``, ``gguf`` and
``accelerate``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import torch  # type: ignore[import-not-found,unused-ignore]
from transformers import (  # type: ignore[import-not-found,unused-ignore]
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

COLUMNS, HEADS, KV_HEADS, WINDOW, WINDOWS = 512, 12, 4, 512, 6


def absorb_norms(model: LlamaForCausalLM) -> None:
    """Move each norm's weights into the matrices that read it; the output gets its own."""
    output = model.model.embed_tokens.weight.data * model.model.norm.weight.data
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(output)
    model.model.norm.weight.data.fill_(1)
    for layer in model.model.layers:
        readers = (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        for norm, matrices in (
            (layer.input_layernorm, readers),
            (layer.post_attention_layernorm, (layer.mlp.gate_proj, layer.mlp.up_proj)),
        ):
            for matrix in matrices:
                matrix.weight.data *= norm.weight.data
            norm.weight.data.fill_(1)


def components(model: LlamaForCausalLM, windows: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The principal directions [columns, kept] of normalized states, and the energy they hold."""
    states = torch.zeros(model.config.hidden_size, model.config.hidden_size, dtype=torch.float64)

    def collect(_module: object, _args: object, out: torch.Tensor) -> None:
        nonlocal states
        rows = out.reshape(-1, out.shape[-1]).double()
        states = states + rows.T @ rows

    norms = [each for name, each in model.named_modules() if name.endswith("norm")]
    hooks = [each.register_forward_hook(collect) for each in norms]
    loss(model, windows)
    for hook in hooks:
        hook.remove()
    values, vectors = torch.linalg.eigh(states)
    return vectors[:, -COLUMNS:].float(), float(values[-COLUMNS:].sum() / values.sum())


def sliced(model: LlamaForCausalLM, kept: torch.Tensor, energy: float) -> LlamaForCausalLM:
    """The smaller model."""
    config = LlamaConfig.from_dict(model.config.to_dict())
    config.hidden_size, config.num_attention_heads, config.num_key_value_heads = (
        COLUMNS,
        HEADS,
        KV_HEADS,
    )
    config.head_dim = model.config.hidden_size // model.config.num_attention_heads
    out = LlamaForCausalLM(config)
    gain = (energy * model.config.hidden_size / COLUMNS) ** 0.5
    old = model.state_dict()
    for name, place in out.state_dict().items():
        place.zero_()
        if name.endswith("norm.weight"):
            place.fill_(gain)
            continue
        values = old[name]
        values = (
            kept.T @ values
            if name.endswith(("o_proj.weight", "down_proj.weight"))
            else values @ kept
        )
        place[: values.shape[0], : values.shape[1]] = values
    return out


def rotated(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of Q and K in the order in which llama.cpp turns pairs of them."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, weights.shape[1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def write(model: LlamaForCausalLM, source: gguf.GGUFReader, out: Path) -> None:
    """An F16 GGUF with the source's keys, but for the numbers of the smaller model."""
    writer = gguf.GGUFWriter(out, "llama")
    numbers = {
        "llama.embedding_length": COLUMNS,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "general.file_type": int(gguf.LlamaFileType.MOSTLY_F16),
        "general.name": "SmolLM2 sliced to 512",
    }
    for key, field in source.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            element = field.types[1] if len(field.types) > 1 else None
            value = numbers.get(key, field.contents())
            writer.add_key_value(key, value, field.types[0], element)
    # Twelve heads of 64 are more than the columns, so their length has to be said.
    writer.add_key_length(model.config.head_dim)
    writer.add_value_length(model.config.head_dim)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, values in model.state_dict().items():
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.split(".")[-2])
        kept = rotated(values, heads) if heads else values
        kept = kept.half() if kept.dim() > 1 else kept.float()
        writer.add_tensor(str(names.get_name(name, (".weight",))), kept.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@torch.no_grad()  # type: ignore[untyped-decorator,unused-ignore]
def loss(model: LlamaForCausalLM, windows: torch.Tensor) -> float:
    """Mean loss per token, in nats."""
    return float(torch.stack([model(one[None], labels=one[None]).loss for one in windows]).mean())


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    source = {"pretrained_model_name_or_path": given.source.parent, "gguf_file": given.source.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
    tokens = tokenizer(given.text.read_text(encoding="utf-8"), return_tensors="pt").input_ids[0]
    windows = tokens[: 2 * WINDOWS * WINDOW].reshape(-1, WINDOW)
    print(f"before: {loss(model, windows[WINDOWS:]):.4f}")
    absorb_norms(model)
    smaller = sliced(model, *components(model, windows[:WINDOWS])).eval()
    print(f"after: {loss(smaller, windows[WINDOWS:]):.4f}")
    write(smaller, gguf.GGUFReader(given.source), given.out)


if __name__ == "__main__":
    main()
