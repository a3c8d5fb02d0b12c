"""What upstream gains needs no Python: a copy of llama.cpp's data with a few lines more.

The lines are those that a user would write: a back end, an outtype, an option of the converter.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.base.step_values import Step
from orchestrator.modelfiles import source_configs, tensor_values
from orchestrator.planning import recipe_to_steps, rough_sizes
from orchestrator.planning.recipe_to_steps import Choices, Plan
from orchestrator.recipe import Recipe, RecipeError, load, schema_text
from orchestrator.runs import load_and_plan
from orchestrator.steps import convert
from orchestrator.toolchain import load as toolchain
from orchestrator.toolchain.load import ToolChain
from orchestrator.toolchain.model import Verb
from tests.support.plans import by_label, local, sources
from tests.support.tool_chain_tasks import task_of, tool

PINNED = toolchain.load("llama.cpp")
ADDED = (
    ("    cuda: [-DGGML_CUDA=ON]\n", "    opencl: [-DGGML_OPENCL=ON]\n"),
    ("  f16: {bits: 16}\n", "  q4_x: {bits: 4.5}\n"),
    (
        "    options: &converter_options\n",
        "      upside_down: {argv: [--upside-down], about: all of it}\n"
        "      shard: {type: int, argv: [--shard, '{shard}'], about: which part}\n",
    ),
    (
        "    options: &quantizer_options\n",
        "      spared: {type: texts, about: tensors, "
        "argv: [{each: spared, then: [--spare, '{item}']}]}\n",
    ),
    (
        "    options: &imatrix_options\n",
        "      seed: {type: int, argv: [--seed, '{seed}'], about: luck}\n",
    ),
)
FILES = {"bin": "b", "exe": "", "input": "in", "output": "out", "type": "Q4_0", "threads": "1"}
RECIPE = """\
name: new
family: llama
toolchain: {name: mine, backend: opencl}
model: {hub: org/small, revision: main}
convert: {outtype: q4_x, upside_down: true, shard: 0}
imatrix: {corpus: calibration.txt, seed: 0}
quantize: [{type: Q4_0, imatrix: true, spared: [a.weight, b.weight]}, Q8_0]
"""


@pytest.fixture
def mine(tmp_path: Path) -> ToolChain:
    """The pinned chain under another name, with nothing but lines of data added."""
    folder = tmp_path / "vendor" / "mine"
    shutil.copytree(PINNED.folder, folder)
    text = (folder / "toolchain.yaml").read_text("utf-8")
    for after, added in ADDED:
        assert after in text
        text = text.replace(after, after + added)
    (folder / "toolchain.yaml").write_text(text, "utf-8")
    return toolchain.load("mine", tmp_path / "vendor")


def recipe(folder: Path, chain: ToolChain, text: str = RECIPE) -> Recipe:
    (folder / "calibration.txt").write_text("words\n")
    path = folder / "new.yaml"
    path.write_text(text, "utf-8")
    return load(path, lambda _name, _folder: load_and_plan.vocabulary_of(chain))


def planned(folder: Path, chain: ToolChain, text: str = RECIPE) -> Plan:
    found = recipe(folder, chain, text)
    corpus = local("calibration.txt")
    known = sources(corpora={"calibration": corpus})
    return recipe_to_steps.make(found, chain, known, Choices(machine="x86_64"))


def steps(plan: Plan) -> Mapping[str, Step]:
    return by_label(plan)


def test_a_recipe_may_say_what_was_added(mine: ToolChain, tmp_path: Path) -> None:
    found = recipe(tmp_path, mine)

    assert found.toolchain.backend == "opencl"
    assert found.converted_name == "Q4_X"
    assert found.convert.options == {"upside_down": True, "shard": 0}


def test_the_pinned_chain_says_that_it_lacks_them(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe(tmp_path, PINNED)

    said = str(caught.value)
    assert "this tool chain has no back end 'opencl', only cpu, cuda, metal, vulkan" in said
    assert "this tool chain's converter does not write 'q4_x', only f16, bf16, f32" in said
    assert "unknown key 'upside_down'" in said
    assert "unknown key 'shard'" in said
    assert "imatrix.seed: unknown key 'seed'" in said
    assert "quantize[0].spared: unknown key 'spared'" in said


def test_the_plan_builds_for_the_back_end(mine: ToolChain, tmp_path: Path) -> None:
    options = steps(planned(tmp_path, mine))["build mine aaaaaaa"].params["options"]

    assert "-DGGML_OPENCL=ON" in options


def test_the_converter_is_given_the_options(mine: ToolChain, tmp_path: Path) -> None:
    for label in ("convert new to Q4_X", "try converting new without weights"):
        step = steps(planned(tmp_path, mine))[label]
        name = step.params.get("verb", "describe")
        verb = Verb.model_validate(step.context["verbs"][name])
        places = {"python": "python", "src": "src", "data": "data", "input": "in", "output": "out"}

        argv = verb.expand({**step.params, **places})

        assert argv[argv.index("--outtype") + 1] == "q4_x"
        assert argv[-3:] == ["--upside-down", "--shard", "0"]


def test_the_quantizer_is_given_the_options_of_a_file_before_its_input(
    mine: ToolChain, tmp_path: Path
) -> None:
    plan = steps(planned(tmp_path, mine))
    forecast = plan["predict sizes of new"]
    [first, second] = forecast.params["outputs"]
    listed = ["--spare", "a.weight", "--spare", "b.weight"]

    for step, verb, given in (
        (plan["quantize new to Q4_0"], "quantize", listed),
        (forecast, "plan_quantize", listed),
    ):
        told = first if verb == "plan_quantize" else step.params
        template = Verb.model_validate(step.context["verbs"][verb])
        argv = template.expand({**told["options"], **FILES})
        assert argv[1:5] == given
        assert argv[-4:] == ["in", "out", "Q4_0", "1"]
    assert "options" not in second
    assert "options" not in plan["quantize new to Q8_0"].params
    assert "--spare" not in str(plan["quantize new to Q8_0"].context["verbs"]["quantize"]["argv"])


def test_the_matrix_is_made_with_the_options(mine: ToolChain, tmp_path: Path) -> None:
    step = steps(planned(tmp_path, mine))["importance matrix of new"]
    verb = Verb.model_validate(step.context["verbs"]["imatrix"])

    argv = verb.expand({**step.params, **step.params["options"], **FILES, "corpus": "text"})

    assert argv[-2:] == ["--seed", "0"]


def test_options_that_are_not_given_change_no_key(mine: ToolChain, tmp_path: Path) -> None:
    plain = "\n".join(line for line in RECIPE.splitlines() if not line.startswith("convert"))
    plain = plain.replace(", backend: opencl", "").replace(", seed: 0", "")
    plain = plain.replace(", spared: [a.weight, b.weight]", "")
    # Under one name: a build is told apart by that of its chain.
    renamed = mine.model_copy(update={"name": PINNED.name})

    assert [step.key for step in planned(tmp_path, renamed, plain).steps] == [
        step.key for step in planned(tmp_path, PINNED, plain).steps
    ]


@pytest.mark.parametrize("said", ["", "upside_down: true", "shard: 0", "shard: 1"])
def test_an_option_that_is_given_is_part_of_the_key(
    mine: ToolChain, tmp_path: Path, said: str
) -> None:
    everything = steps(planned(tmp_path, mine))["convert new to Q4_X"].key
    line = f"convert: {{outtype: q4_x, {said}}}"
    other = RECIPE.replace("convert: {outtype: q4_x, upside_down: true, shard: 0}", line)

    assert steps(planned(tmp_path, mine, other))["convert new to Q4_X"].key != everything


def test_sizes_are_estimated_with_the_added_bits(mine: ToolChain, tmp_path: Path) -> None:
    plan = planned(tmp_path, mine)
    found = rough_sizes.estimate(plan, (), lambda _step: {"parameters": 8000})

    assert found is not None
    assert found.full["size"] == 4500


def test_the_schema_offers_what_was_added(mine: ToolChain) -> None:
    known = [load_and_plan.vocabulary_of(chain) for chain in (PINNED, mine)]
    defs = json.loads(schema_text(known))["$defs"]

    assert "opencl" in defs["ToolChainChoice"]["properties"]["backend"]["anyOf"][0]["enum"]
    convert_ = defs["Convert"]["properties"]
    assert "q4_x" in convert_["outtype"]["anyOf"][0]["enum"]
    assert convert_["upside_down"]["description"] == "all of it"
    assert {"type": "integer"} in convert_["shard"]["anyOf"]
    listed = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    assert defs["Quant"]["properties"]["spared"]["anyOf"][0] == listed
    assert {"type": "integer"} in defs["Imatrix"]["properties"]["seed"]["anyOf"]
    assert "opencl" not in schema_text([load_and_plan.vocabulary_of(PINNED)])


def test_an_option_that_does_not_go_with_the_models_format(mine: ToolChain) -> None:
    with pytest.raises(Exception, match="'upside_down' goes with another tool chain"):
        mine.verb("import_ggml").given({"upside_down": True})


def test_a_step_hands_every_option_to_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It writes text.
    monkeypatch.setattr(tensor_values, "expect_sound", lambda *_, **__: None)
    monkeypatch.setattr(source_configs, "facts", lambda *_: {})
    code = "Path(args[0]).write_text(args[1] + args[2])"
    argv = ("{output}", "{upside_down}", "{shard}")
    params = {"verb": "convert", "file": "model.gguf", "model_name": "m", "outtype": "q4_x"}
    (tmp_path / "model").mkdir()
    task = task_of(
        tmp_path,
        {"convert": tool(code, *argv)},
        {"model": tmp_path / "model"},
        {**params, "upside_down": True, "shard": "0"},
    )

    convert.run(task)

    assert (task.workdir / "model.gguf").read_text() == "True0"
