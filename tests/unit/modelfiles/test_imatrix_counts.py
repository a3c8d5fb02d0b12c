"""Experts and tensors that a calibration text never reached, from an importance matrix."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.modelfiles import imatrix_counts
from tests.support.model_files import GGUFSpec, Tensor, gguf_header, pad


def matrix(folder: Path, counts: Mapping[str, Sequence[float]]) -> Path:
    """An importance matrix with these counts, and sums of zeros."""
    tensors, data = [], b""
    for name, values in counts.items():
        tensors += [Tensor(f"{name}.in_sum2", (8, len(values)))]
        tensors += [Tensor(f"{name}.counts", (1, len(values)))]
        data += pad(bytes(32 * len(values)), 32)
        data += pad(struct.pack(f"<{len(values)}f", *values), 32)
    path = folder / "imatrix.gguf"
    path.write_bytes(gguf_header(GGUFSpec(tensors=tensors)) + data)
    return path


def test_the_share_of_unreached_experts_is_told_for_each_layer(tmp_path: Path) -> None:
    path = matrix(
        tmp_path,
        {
            "blk.0.attn_q.weight": [512],
            "blk.0.ffn_up_exps.weight": [512, 0, 12, 3],
            "blk.1.ffn_up_exps.weight": [512, 1, 12, 3],
            "blk.2.ffn_up_exps.weight": [512, 0, 0, 3],
            "blk.2.ffn_down_exps.weight": [512, 0, 0, 3],
        },
    )

    [note] = imatrix_counts.notes(imatrix_counts.read(path))

    assert note["numbers"] == {"unreached_experts": {"0": 0.25, "2": 0.5}}
    assert "never reached some experts: 25 % in layer 0, 50 % in layer 2." in note["message"]


def test_entries_without_any_count_are_named(tmp_path: Path) -> None:
    path = matrix(tmp_path, {"blk.0.attn_q.weight": [512], "blk.0.ffn_up_exps.weight": [0, 0]})

    [note] = imatrix_counts.notes(imatrix_counts.read(path))

    assert note["numbers"] == {"tensors": ["blk.0.ffn_up_exps.weight"]}
    assert "nothing of 1 tensor, such as blk.0.ffn_up_exps.weight" in note["message"]


def test_a_text_that_reached_everything_is_no_reason_to_warn(tmp_path: Path) -> None:
    path = matrix(tmp_path, {"blk.0.attn_q.weight": [512], "blk.0.ffn_up_exps.weight": [5, 1]})

    assert imatrix_counts.notes(imatrix_counts.read(path)) == []


def test_matrices_of_older_versions_hold_no_counts(tmp_path: Path) -> None:
    (tmp_path / "imatrix.gguf").write_bytes(b"\x02\0\0\0older")

    assert imatrix_counts.read(tmp_path / "imatrix.gguf") == {}
