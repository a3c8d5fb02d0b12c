"""Headers that a recipe changes: which steps that adds, and which it leaves as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved
from tests.support.plans import (
    CHAIN,
    RECIPE,
    local,
    make_chain,
    make_plan,
    sources,
)

ADDED = """
  rewrite_header: {{argv: [python, "{{changes}}"]}}
  render: {{argv: [python, "{{templates}}"]}}
"""
WITH_HEADERS = CHAIN.replace("\ntypes:", f"{ADDED}types:")
TEXTS = RECIPE + "header: {set: {tokenizer.chat_template: x, general.name: y}}\n"
TOKENS = RECIPE + "header: {special_tokens: {eos: '</s>'}}\n"


def plan(folder: Path, text: str, template: Resolved | None = None) -> Plan:
    corpora = {"calibration": local("c"), "perplexity": local("p")}
    corpora |= {"chat template": template} if template else {}
    chain = make_chain(folder, text=WITH_HEADERS)
    return make_plan(folder, text, chain=chain, found=sources(corpora=corpora))


def inputs(made: Plan, label: str) -> dict[str, str]:
    """The labels of a step's inputs."""
    labels = {step.key: step.label for step in made.steps}
    [step] = [step for step in made.steps if step.label == label]
    return {name: labels[key] for name, key in step.inputs.items()}


def added(folder: Path, text: str) -> set[str]:
    before = {step.key for step in plan(folder, RECIPE).steps}
    return {step.label for step in plan(folder, text).steps if step.key not in before}


def test_another_chat_template_makes_and_measures_no_weights_anew(tmp_path: Path) -> None:
    quants = ("Q4_0", "Q4_K_M")
    assert added(tmp_path, TEXTS) == {
        "try the header of small",
        *(f"change the header of small {name}" for name in quants),
        *(f"measure small {name}: {what}" for name in quants for what in ("header", "load")),
    }


def test_what_is_made_is_the_changed_file_and_what_is_measured_the_one_before(
    tmp_path: Path,
) -> None:
    made = plan(tmp_path, TEXTS)

    [q4, _] = made.outputs
    changed, before = (made.step(key).label for key in (q4.step, q4.base))
    assert (changed, before) == ("change the header of small Q4_0", "quantize small to Q4_0")
    assert inputs(made, changed)["model"] == before
    assert inputs(made, "measure small Q4_0: divergence")["model"] == before
    assert made.step(q4.measures["header"]).inputs["model"] == q4.step
    assert (made.step(q4.step).keep, made.step(q4.base).keep) == ("final", "f16")


def test_other_tokens_are_measured_and_weighed_anew_but_no_tensor_is_converted_again(
    tmp_path: Path,
) -> None:
    labels = added(tmp_path, TOKENS)

    assert {"change the header of small F16", "importance matrix of small"} < labels
    assert "measure small Q4_0: divergence" in labels
    assert not {"convert small to F16", "quantize small to Q4_0"} & labels
    made = plan(tmp_path, TOKENS)
    assert inputs(made, "importance matrix of small")["model"] == "change the header of small F16"
    assert inputs(made, "quantize small to Q4_0")["model"] == "convert small to F16"


def test_the_full_file_is_changed_for_its_template_alone(tmp_path: Path) -> None:
    asked = TEXTS.replace("  kld: true\n", "  kld: true\n  chat_template: true\n")
    made = plan(tmp_path, asked)

    tried = inputs(made, "measure small F16: chat template")
    assert tried["model"] == "change the header of small F16"
    assert "original texts" not in tried, "the source's template is not the file's"
    assert inputs(made, "quantize small to Q4_0")["model"] == "convert small to F16"


def test_a_template_from_a_file_is_an_input(tmp_path: Path) -> None:
    text = RECIPE + "header: {chat_template: {path: text.txt}}\n"
    made = plan(tmp_path, text, local("t.jinja"))

    for label in ("try the header of small", "change the header of small Q4_0"):
        assert inputs(made, label)["template"] == "fetch chat template t.jinja"


def test_a_tool_chain_that_changes_no_headers_refuses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="changes no headers"):
        make_plan(tmp_path, TEXTS)
