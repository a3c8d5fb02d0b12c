"""Dequantized values against golden ones and against the gguf package.

golden.json holds two blocks of random bytes of each type and the SHA-256 of the float32
values (no negative zeros) that upstream's own C made of them: ``to_float`` of llama.cpp
0c1e570 for today's types, ``dequantize_row_*`` of ggml.c in llama-cpp-python 0.1.36 (Q4_3),
0.1.43 (ggjt v1) and 0.1.50 (ggjt v2) for the others. ``early_q4_1`` are 96 columns and two
rows of Q4_1 as ggml.c of bloomz.cpp eba1ab8 (rows) and 9614897 (blocks) quantizes and
dequantizes them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.modelfiles.comparing.dequantize import decoder, in_blocks
from orchestrator.modelfiles.comparing.opened_files import PLANAR, type_name
from orchestrator.modelfiles.ggml_types import LAYOUTS, Layout

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
# Made and read within one matrix product; no file holds them.
NEVER_STORED = {"Q8_1", "Q8_K"}


def digest(values: Any) -> str:
    return hashlib.sha256((values.astype("<f4").ravel() + 0.0).tobytes()).hexdigest()


def raw(text: str, rows: int) -> Any:
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(rows, -1)


@pytest.mark.parametrize("name", GOLDEN["types"])
def test_values_are_those_of_upstreams_c(name: str) -> None:
    decode = decoder(name)
    assert decode is not None

    values = decode(raw(GOLDEN["types"][name]["blocks"], 2))

    assert values.shape[0] == 2
    assert digest(values) == GOLDEN["types"][name]["sha256"]


@pytest.mark.parametrize("form", ["rows", "blocks"])
def test_both_forms_of_early_q4_1_are_told_apart(form: str) -> None:
    golden = GOLDEN["early_q4_1"][form]
    decode = decoder(PLANAR)
    assert decode is not None

    values = decode(in_blocks(raw(golden["blocks"], 2), 24))

    assert digest(values) == golden["sha256"]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(2, 9))
def test_early_q4_1_of_any_weights_is_read_right(seed: int, rows: int, blocks: int) -> None:
    random = np.random.default_rng(seed)
    scales = random.uniform(1e-3, 1, (rows, blocks, 1)).astype("<f4")
    minima = -random.uniform(1e-3, 9, (rows, blocks, 1)).astype("<f4")
    nibbles = random.integers(0, 256, (rows, blocks, 16), np.uint8)
    parts = [scales.view("u1"), minima.view("u1"), nibbles]
    wanted = np.concatenate(parts, axis=2).reshape(-1, 24)
    ordered = [parts[1], parts[0], parts[2]]
    planar = np.concatenate([one.reshape(rows, -1) for one in ordered], axis=1)

    assert (in_blocks(planar, 24) == wanted).all()
    assert (in_blocks(wanted.reshape(rows, -1), 24) == wanted).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_type_that_a_file_can_hold_has_a_decoder(layout: Layout) -> None:
    for kind in LAYOUTS[layout].values():
        decode = decoder(type_name(kind.name, layout))
        if kind.name in NEVER_STORED:
            assert decode is None
            continue
        assert decode is not None, kind.name
        assert decode(np.zeros((3, kind.nbytes), np.uint8)).shape == (3, kind.block)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_blocks_of_the_gguf_package_come_back_as_it_reads_them(kind: str) -> None:
    number = gguf.GGMLQuantizationType[kind]
    values = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    stored = gguf.quants.quantize(values, number)
    decode = decoder(kind)
    assert decode is not None

    found = decode(stored.reshape(8, -1))

    assert (found.reshape(4, 64) == gguf.quants.dequantize(stored, number)).all()
    assert np.abs(found.reshape(4, 64) - values).max() < 0.5


def test_whole_numbers_are_exact() -> None:
    decode = decoder("I32")
    assert decode is not None

    assert decode(np.array([[2**31 - 1]], "<i4").view("u1"))[0, 0] == 2**31 - 1
