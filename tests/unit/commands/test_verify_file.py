"""``orchestrate verify FILE.gguf``: the values of its tensors are looked at, whatever is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import Command
from tests.support.fake_steps import fake_kinds
from tests.support.model_files import GGUFSpec, Tensor, gguf_bytes, gguf_header

# As trained ones are; shifted by a byte, some have the exponent of what is no number.
WEIGHTS = np.random.default_rng(1).normal(0, 0.02, 1024).astype(np.float16).tobytes()
SPEC = GGUFSpec({}, [Tensor("blk.0.ffn_up.weight", (256, 4), "F16")])


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (gguf_bytes(SPEC), 0, ""),
        (gguf_header(SPEC) + bytes(2048), 1, "x.gguf: blk.0.ffn_up.weight holds zeros only"),
        (gguf_header(SPEC) + b"\0\x7e" * 1024, 1, "holds 1024 NaN values"),
        (gguf_header(SPEC) + b"\0\x7c" * 1024, 1, "holds 1024 infinite values"),
        (gguf_header(SPEC) + b"\0" + WEIGHTS[:-1], 1, "NaN values"),
    ],
)
def test_damaged_values_fail(
    orchestrate: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    data: bytes,
    code: int,
    said: str,
) -> None:
    fake_kinds(monkeypatch)
    (tmp_path / "x.gguf").write_bytes(data)

    done = orchestrate("verify", tmp_path / "x.gguf")

    assert done.code == code
    assert said in done.err
