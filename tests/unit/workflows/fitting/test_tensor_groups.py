"""Tensors by role and third, with the types that their rows fit."""

from __future__ import annotations

import re

from orchestrator.modelfiles.gguf import TensorInfo
from orchestrator.workflows.fitting import tensor_groups

K_QUANTS, LEGACY = ("q4_k", "q6_k"), ("q4_0", "q8_0")
FAMILIES = (K_QUANTS, LEGACY)


def tensor(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name, shape, 1, "F16", 0, 2 * shape[0] * shape[1])


def model(blocks: int = 6) -> list[TensorInfo]:
    """Embedding and output of fitting rows, an attention of them, a down projection of others."""
    made = [tensor("token_embd.weight", 256, 100)]
    for block in range(blocks):
        made.append(tensor(f"blk.{block}.attn_q.weight", 256, 256))
        made.append(tensor(f"blk.{block}.ffn_down.weight", 96, 256))
    return [*made, tensor("output.weight", 256, 100)]


def test_a_role_is_a_group_and_has_the_first_family_that_all_its_rows_fit() -> None:
    groups = tensor_groups.groups(model(), FAMILIES, thirds=False)
    assert [(one.name, one.types, len(one.tensors)) for one in groups] == [
        ("token_embd", K_QUANTS, 1),
        ("attn_q", K_QUANTS, 6),
        ("ffn_down", LEGACY, 6),
        ("output", K_QUANTS, 1),
    ]


def test_a_third_of_a_role_is_a_group_with_a_pattern_of_its_blocks_alone() -> None:
    groups = tensor_groups.groups(model(12), FAMILIES, thirds=True)
    names = [one.name for one in model(12)]
    found = {one.name: [name for name in names if re.search(one.pattern, name)] for one in groups}
    assert found["attn_q first third"] == [f"blk.{block}.attn_q.weight" for block in range(4)]
    assert found["ffn_down last third"] == [
        f"blk.{block}.ffn_down.weight" for block in range(8, 12)
    ]
    assert found["output"] == ["output.weight"]
    assert sorted(name for each in found.values() for name in each) == sorted(names)


def test_rows_of_two_lengths_make_two_groups_of_a_role() -> None:
    odd = [*model(2), tensor("blk.2.attn_q.weight", 96, 96)]
    groups = [
        one for one in tensor_groups.groups(odd, FAMILIES, thirds=False) if "attn" in one.name
    ]
    assert [(one.name, one.types) for one in groups] == [
        ("attn_q", K_QUANTS),
        ("attn_q (2)", LEGACY),
    ]
    assert not re.search(groups[0].pattern, "blk.2.attn_q.weight")


def test_rows_that_no_family_fits_stay_out_of_the_search() -> None:
    groups = tensor_groups.groups([tensor("odd.weight", 30, 4)], FAMILIES, thirds=False)
    assert groups == ()


def test_bytes_of_a_group_are_those_of_its_tensors_in_a_type() -> None:
    (group,) = tensor_groups.groups([tensor("output.weight", 256, 10)], FAMILIES, thirds=False)
    assert group.nbytes("q4_k") == 10 * 144
    assert group.elements == 2560
