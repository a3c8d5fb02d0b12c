"""What a context takes in memory beside the weights, from a file's header; pure.

Keys and values of each layer: number of key-value heads times the size of a head, in F16, as
llama.cpp keeps them unless it is told otherwise. Layers that look back only so far keep less.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf import GGUF, ArrayInfo

_F16 = 2  # bytes
# Parts of models whose state has another form, or that compress keys and values.
_OTHERWISE = (".ssm.", ".wkv.", ".shortconv.", ".kda.", "kv_lora_rank", ".linear_attention.")


def bytes_per_token(header: GGUF) -> int | None:
    """Bytes that each token of a context takes at most; None where that is not so simple.

    Raises:
        FormatError: The file changed since its header was read.
    """
    name = str(header.metadata.get("general.architecture") or "")
    layers = header.metadata.get(f"{name}.block_count")
    if not isinstance(layers, int) or any(
        part in key for key in header.fields for part in _OTHERWISE
    ):
        return None
    of = f"{name}.attention"
    query = _by_layer(header, f"{of}.head_count", layers)
    shared = f"{of}.head_count_kv"
    heads = _by_layer(header, shared, layers) if shared in header.fields else query
    width = header.metadata.get(f"{name}.embedding_length")
    if not query or not heads or not max(query) or not isinstance(width, int):
        return None
    usual = width // max(query)
    sizes = [header.metadata.get(f"{of}.{one}_length", usual) for one in ("key", "value")]
    return _F16 * sum(heads) * sum(one for one in sizes if isinstance(one, int))


def _by_layer(header: GGUF, key: str, layers: int) -> list[int]:
    """A number for each layer, of one for all or an array; empty if it is not stated."""
    value = header.metadata.get(key)
    if isinstance(value, ArrayInfo):
        found = gguf.read_array(Path(header.path), value)
        return [int(one) for one in found] if len(found) == layers else []
    return [value] * layers if isinstance(value, int) else []
