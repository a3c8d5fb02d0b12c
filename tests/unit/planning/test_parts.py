"""Parts of a model that become files of their own, in plans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe import RecipeError
from tests.support.plans import (
    ADAPTS,
    CHAIN,
    CONVERTS,
    RECIPE,
    SEES,
    by_label,
    hub,
    local,
    make_chain,
    make_plan,
    sources,
)

_NO_HEAD = "no_head: {{argv: [--no-head], about: x}}"
WITH = RECIPE.replace("quantize:", "mmproj: {outtype: q8_0}\nquantize:")
SHOWN = WITH + "  image: {prompt: Look, expect: red}\n"


def planned(
    folder: Path, text: str = WITH, model: Resolved | None = None, only: tuple[str, ...] = ()
) -> Plan:
    chain = make_chain(folder, text=SEES)
    return make_plan(folder, text, chain=chain, found=sources(model=model or hub()), only=only)


def test_a_projector_is_one_more_file_and_changes_no_other_files_key(tmp_path: Path) -> None:
    without, plan = planned(tmp_path, RECIPE), planned(tmp_path)

    assert [one.file for one in plan.outputs] == [
        "small-Q4_0.gguf",
        "small-Q4_K_M.gguf",
        "mmproj-small-Q8_0.gguf",
    ]
    assert [one.step for one in plan.outputs[:2]] == [one.step for one in without.outputs]
    assert [one.measures for one in plan.outputs[:2]] == [one.measures for one in without.outputs]
    projector = plan.outputs[-1]
    assert list(projector.measures) == ["header"]
    step = plan.step(projector.step)
    assert (step.params["verb"], step.params["outtype"], step.keep) == ("mmproj", "q8_0", "final")
    assert set(plan.part_headers.values()) < set(step.after)


def test_the_count_of_tensors_is_another_one_with_a_projector_alone(tmp_path: Path) -> None:
    without, plan = planned(tmp_path, RECIPE), planned(tmp_path)

    assert "parts" not in without.step(without.census).params
    assert plan.step(plan.census).params["parts"] == {"mmproj": []}
    assert {"if": "mmproj", "then": ["--mmproj"]} in plan.step(plan.census).params["argv"][
        "census"
    ]["argv"]


def test_each_file_of_the_text_model_is_shown_a_picture_with_the_projector(tmp_path: Path) -> None:
    plan = planned(tmp_path, SHOWN)

    shown = [one.measures["image"] for one in (plan.full, *plan.outputs[:2])]
    assert {plan.step(key).inputs["mmproj"] for key in shown} == {plan.outputs[-1].step}
    assert "image" not in plan.outputs[-1].measures


@pytest.mark.parametrize(
    ("only", "files"),
    [(("Q4_0",), ["small-Q4_0.gguf"]), (("mmproj",), ["mmproj-small-Q8_0.gguf"])],
)
def test_one_file_can_be_chosen(tmp_path: Path, only: tuple[str, ...], files: list[str]) -> None:
    plan = planned(tmp_path, only=only)

    assert [one.file for one in plan.outputs] == files
    assert plan.parts.keys() == {"mmproj"}


def test_a_converted_file_has_no_projector_to_make(tmp_path: Path) -> None:
    text = WITH.replace("{hub: org/small, revision: main}", "{path: cal.txt, format: gguf}")

    with pytest.raises(UsageError, match="'mmproj' is made of the original model"):
        planned(tmp_path, text, local("small.gguf", kind="gguf"))


def test_a_tool_chain_that_makes_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tool chain stand cannot mmproj"):
        make_plan(tmp_path, WITH)


def test_a_picture_without_a_projector_is_refused_and_so_is_its_name(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="needs 'mmproj'"):
        planned(tmp_path, SHOWN.replace("mmproj: {outtype: q8_0}\n", ""))
    with pytest.raises(RecipeError, match="is already called 'mmproj'"):
        planned(tmp_path, RECIPE.replace("[Q4_0,", "[{type: Q4_0, name: mmproj},"))


def test_the_checksum_of_a_projector_can_be_stated(tmp_path: Path) -> None:
    stated = WITH + f"  sha256: {{mmproj: {'e' * 64}}}\n"

    assert planned(tmp_path, stated).recipe.verify.sha256 == {"mmproj": "e" * 64}


def test_labels_tell_the_two_conversions_apart(tmp_path: Path) -> None:
    assert {"convert small to F16", "convert mmproj of small to Q8_0"} < set(
        by_label(planned(tmp_path))
    )


DRAFTS = (
    CHAIN.replace("defaults: &named", f"options: {{{{{_NO_HEAD}}}}}\n    defaults: &named")
    .replace(
        '    argv: ["{{python}}", "{{data}}/convert.py", --header, "{{input}}", "{{output}}"]\n',
        '    argv: ["{{python}}", "{{data}}/convert.py", --header, "{{input}}", "{{output}}"]\n'
        f"    options: {{{{{_NO_HEAD}}}}}\n",
    )
    .replace(
        "  load:",
        f"  mtp: {CONVERTS}, left_out_by: no_head}}}}\n"
        f"  census: {CONVERTS}, options: {{{{{_NO_HEAD}, "
        "mtp: {{argv: [--mtp], about: x}}}}}}\n  load:",
    )
)


def drafting(folder: Path, where: str, more: str = "") -> Plan:
    text = RECIPE.replace("quantize:", f"mtp: {where}\n{more}quantize:")
    return make_plan(folder, text, chain=make_chain(folder, text=DRAFTS))


def test_a_separate_head_is_a_file_of_its_own_and_left_out_of_the_text(tmp_path: Path) -> None:
    plan = drafting(tmp_path, "separate")

    assert [one.file for one in plan.outputs][2:] == ["mtp-small-F16.gguf"]
    text, head = plan.step(plan.full.step), plan.step(plan.outputs[2].step)
    assert text.params["no_head"] is True
    assert "no_head" not in head.params
    counts = plan.step(plan.census).params
    assert (counts["parts"], counts.get("unmade")) == ({"mtp": ["no_head"]}, None)


def test_a_head_that_is_left_out_is_counted_and_not_made(tmp_path: Path) -> None:
    plan = drafting(tmp_path, "without")

    assert len(plan.outputs) == 2
    assert plan.step(plan.full.step).params["no_head"] is True
    counts = plan.step(plan.census).params
    assert (counts["parts"], counts["unmade"]) == ({"mtp": ["no_head"]}, ["mtp"])


def test_a_head_inside_is_what_silence_means(tmp_path: Path) -> None:
    silent = make_plan(tmp_path, chain=make_chain(tmp_path, text=DRAFTS))

    assert {one.key for one in drafting(tmp_path, "inside").steps} == {
        one.key for one in silent.steps
    }


def test_a_head_is_not_left_out_in_two_ways(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'convert.no_head' and 'mtp' say the same"):
        drafting(tmp_path, "separate", "convert: {no_head: true}\n")


ADAPTED = RECIPE.replace(
    "quantize:", "adapters: {kind: {hub: org/kind, revision: main, expect: yes.}}\nquantize:"
)


def adapted(folder: Path, text: str = ADAPTED, kind: str = "hub", **changes: Any) -> Plan:
    own = local("x.bin", kind="lora") if kind == "path" else hub("org/kind", "e" * 40)
    corpora = {**sources().corpora, "adapter lora-kind": replace(own, format="lora")}
    found = sources(**{"corpora": corpora, **changes})
    return make_plan(folder, text, chain=make_chain(folder, text=ADAPTS), found=found)


def test_an_adapter_is_one_more_file_and_changes_no_other_files_key(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, text=ADAPTS)
    without, plan = make_plan(tmp_path, chain=chain), adapted(tmp_path)

    assert [one.file for one in plan.outputs][-1] == "small-lora-kind-F16.gguf"
    assert [one.step for one in plan.outputs[:-1]] == [one.step for one in without.outputs]
    assert [one.measures for one in plan.outputs[:-1]] == [one.measures for one in without.outputs]
    made = plan.step(plan.outputs[-1].step)
    assert (made.params["verb"], made.params["model_name"]) == ("lora", "kind")
    assert {name: plan.step(key).label for name, key in made.inputs.items()} == {
        "model": "fetch lora-kind org/kind@eeeeeee",
        "base": "inspect org/small@ccccccc",
        "script": "build lora with stand aaaaaaa",
        "toolchain": "build stand aaaaaaa",
        "environment": "Python environment of stand",
    }
    assert set(plan.part_headers.values()) < set(made.after)
    assert "adapter lora-kind" in plan.sources.named


def test_an_adapters_file_is_tried_with_the_unquantized_file(tmp_path: Path) -> None:
    plan = adapted(tmp_path)

    assert list(plan.outputs[-1].measures) == ["header", "with_adapter"]
    tried = plan.step(plan.outputs[-1].measures["with_adapter"])
    assert tried.inputs["model"] == plan.full.step
    assert tried.inputs["adapter"] == plan.outputs[-1].step
    assert (tried.params["prompt"], tried.params["expect"]) == ("Hello", "yes.")


def test_an_adapters_file_needs_its_folder_and_one_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="an adapter is a folder"):
        adapted(tmp_path, kind="path")
    with pytest.raises(UsageError, match="is made of the original model"):
        adapted(tmp_path, model=local("x.gguf", kind="gguf"))
    with pytest.raises(UsageError, match="tool chain stand cannot lora"):
        make_plan(tmp_path, ADAPTED, chain=make_chain(tmp_path))


def test_an_adapters_name_is_taken_and_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="an adapter is already called 'lora-kind'"):
        adapted(tmp_path, ADAPTED.replace("[Q4_0,", "[{type: Q4_0, name: lora-kind},"))
    stated = ADAPTED + f"  sha256: {{lora-kind: {'e' * 64}}}\n"
    stated = stated if "verify:" in ADAPTED else ADAPTED
    assert adapted(tmp_path, stated).recipe.verify.sha256 == {"lora-kind": "e" * 64}
