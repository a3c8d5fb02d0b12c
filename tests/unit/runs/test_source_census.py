"""Tensors of a source that are left out: refused unless named or harmless, told in the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.planning.plan import Plan
from orchestrator.runs import source_census
from tests.support.plans import CHAIN, RECIPE, make_chain, make_plan

COUNTS = CHAIN.replace(
    "  shapes:",
    '  census: {{argv: ["{{python}}", "{{data}}/convert.py", "{{output}}"]}}\n  shapes:',
)
COUNTS += (
    "harmless:\n  - {{match: 'inv_freq$', why: what programs compute}}\n"
    "  - {{match: pooler, unless: Classification, why: what embeddings do without}}\n"
)
VISION = [f"vision_tower.layers.{layer}.weight" for layer in range(3)]
FREQUENCIES = ["model.layers.0.inv_freq", "model.layers.1.inv_freq"]


def planned(folder: Path, drop: str = "") -> Plan:
    text = RECIPE.replace("quantize:", f"convert: {{drop: [{drop}]}}\nquantize:")
    return make_plan(folder, text, chain=make_chain(folder, text=COUNTS))


def found(dropped: Sequence[str]) -> dict[str, object]:
    return {"tensors": 20, "dropped": list(dropped)}


def test_a_source_that_is_all_in_the_file_is_told_with_its_count(tmp_path: Path) -> None:
    plan = planned(tmp_path)

    assert source_census.objection(plan, found([])) is None
    told = source_census.told(plan, found([]))
    assert told is not None
    assert told.message == "All 20 tensors of the source are in the file."
    assert told.step == "account for the tensors of small"


def test_lost_tensors_are_refused_by_name_those_of_all_layers_as_one(tmp_path: Path) -> None:
    error = source_census.objection(planned(tmp_path), found([*VISION, *FREQUENCIES]))

    assert error is not None
    assert error.message == (
        "small: the converter would leave out 3 tensors of the source's 20: "
        "3 of vision_tower.layers.*.weight"
    )
    assert "convert: {drop: [vision_tower\\.layers]}" in error.hint


def test_what_some_architectures_do_without_others_need(tmp_path: Path) -> None:
    plan, facts = planned(tmp_path, "vision_"), found(["vision_tower.x", "bert.pooler.weight"])

    assert source_census.objection(plan, {**facts, "architectures": ["BertModel"]}) is None
    classifies = {**facts, "architectures": ["BertForSequenceClassification"]}
    error = source_census.objection(plan, classifies)
    assert error is not None
    assert "leave out 1 tensor of the source's 20: bert.pooler.weight" in error.message


def test_the_advice_names_no_more_than_what_is_lost(tmp_path: Path) -> None:
    head = ["vision_tower.vision_model.head.probe", "vision_tower.vision_model.head.mlp.fc1.bias"]
    error = source_census.objection(planned(tmp_path), found([*head, "mlp1.0.bias"]))

    assert error is not None
    assert "{drop: [vision_tower\\.vision_model\\.head, mlp1\\.0\\.bias]}" in error.hint


def test_what_the_recipe_names_and_what_is_harmless_is_told(tmp_path: Path) -> None:
    plan, facts = planned(tmp_path, "vision_"), found([*VISION, *FREQUENCIES])

    assert source_census.objection(plan, facts) is None
    told = source_census.told(plan, facts)
    assert told is not None
    assert told.message == (
        "15 of the 20 tensors of the source are in the file; left out: "
        "2 of model.layers.*.inv_freq (what programs compute); "
        "3 of vision_tower.layers.*.weight (as the recipe says)."
    )
    assert told.numbers == facts


def test_a_pattern_that_drops_nothing_is_refused(tmp_path: Path) -> None:
    error = source_census.objection(planned(tmp_path, "audio_"), found(VISION))

    assert error is not None
    assert "convert.drop: 'audio_' matches no tensor" in error.message
    assert "It leaves out: 3 of vision_tower" in error.hint


PARTS = COUNTS.replace(
    "  load:", '  mmproj: {{argv: ["{{python}}", "{{data}}/convert.py", "{{output}}"]}}\n  load:'
)


def test_parts_that_are_files_of_their_own_are_told_and_may_not_be_empty(tmp_path: Path) -> None:
    text = RECIPE.replace("quantize:", "mmproj: {outtype: f16}\nquantize:")
    plan = make_plan(tmp_path, text, chain=make_chain(tmp_path, text=PARTS))

    told = source_census.told(plan, {**found([]), "parts": {"mmproj": 3}})
    assert told is not None
    assert told.message == "All 20 tensors of the source are in the files (3 of them in mmproj)."
    empty = source_census.objection(plan, {**found([]), "parts": {"mmproj": 0}})
    assert empty is not None
    assert empty.message == "small: no tensor of the source would be in mmproj"
    lost = source_census.objection(plan, {**found(VISION), "parts": {"mmproj": 2}})
    assert lost is not None
    assert "would leave out 3 tensors" in lost.message
    assert "mmproj" not in lost.hint


def test_who_loses_an_image_part_is_told_how_to_keep_it(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, chain=make_chain(tmp_path, text=PARTS))

    error = source_census.objection(plan, found(VISION))

    assert error is not None
    assert "'mmproj: {outtype: f16}'" in error.hint


def test_sources_that_nothing_counted_are_not_spoken_of(tmp_path: Path) -> None:
    plan = planned(tmp_path)

    assert source_census.told(plan, None) is None
    assert source_census.told(plan, {"tensors": 0, "dropped": []}) is None
