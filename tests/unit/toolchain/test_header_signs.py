"""When a file was made, by its header: the data holds for the files that it was read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.toolchain import find_toolchain, header_signs

FOLDER = find_toolchain.load("llama.cpp").folder
VERSION, FILE_TYPE = "general.quantization_version", "general.file_type"
NAMES = ("blk.0.attn_k.weight", "blk.0.attn_norm.weight", "blk.1.attn_k.weight")
# Keys and tensors as files of the tiny llama have them, by the day of the commit.
OF_2023 = ("general.name", FILE_TYPE, "tokenizer.ggml.tokens", VERSION)
OF_MAY_2024 = ("general.name", FILE_TYPE, "tokenizer.ggml.pre", "tokenizer.ggml.tokens", VERSION)
OF_SEPTEMBER_2024 = ("general.type", *OF_MAY_2024)
OF_2025 = ("general.type", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", VERSION, FILE_TYPE)


def era(keys: tuple[str, ...], names: tuple[str, ...] = NAMES) -> header_signs.Era:
    return header_signs.era(FOLDER, dict.fromkeys(keys, "2"), names, quantized=True)


@pytest.mark.parametrize(
    ("keys", "by_name", "within"),
    [
        (OF_2023, False, ("2023-11-27", "2024-02-22")),
        (OF_MAY_2024, False, ("2024-05-08", "2024-06-19")),
        (OF_SEPTEMBER_2024, False, ("2024-08-28", "2024-09-25")),
        (OF_2025, True, ("2025-03-12", "2026-10-01")),
    ],
)
def test_headers_tell_the_commits_that_were_tried_apart(
    keys: tuple[str, ...], by_name: bool, within: tuple[str, str]
) -> None:
    found = era(keys, NAMES if by_name else NAMES[::-1])

    days = [one.date for one in find_toolchain.load("llama.cpp").source.tried]
    fit = [day for day in days if found.within(day)]
    assert (min(fit), max(fit)) == within
    assert found.reasons


def test_an_importance_matrix_leaves_the_order_of_keys(tmp_path: Path) -> None:
    assert era((*OF_2025, "quantize.imatrix.entries_count")).within("2026-10-01")


def test_without_data_nothing_is_known_and_wrong_data_is_refused(tmp_path: Path) -> None:
    assert header_signs.era(tmp_path, {}, NAMES, quantized=True) == header_signs.Era()

    (tmp_path / "signs.yaml").write_text("quantizer: [{about: x}]", encoding="utf-8")
    with pytest.raises(UsageError, match=r"signs\.yaml: quantizer\.0\.until"):
        header_signs.era(tmp_path, {}, NAMES, quantized=True)
