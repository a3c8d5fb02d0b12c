"""Plans of every form of model: merged, rewritten, refused; and of a tool chain or a file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import Step
from orchestrator.planning import measure_steps, recipe_to_steps
from orchestrator.planning.recipe_to_steps import Choices, Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe import RecipeError
from orchestrator.toolchain.load import ToolChain
from tests.support.file_access import accesses
from tests.support.plans import (
    ASKS_FOR_REFERENCE,
    CHAIN,
    RECIPE,
    WITH_REFERENCE,
    by_label,
    changed,
    hub,
    local,
    make_chain,
    make_plan,
    make_recipe,
    sources,
)


def kinds(made: Plan) -> list[str]:
    return [step.kind for step in made.steps]


def inputs(made: Plan, label: str) -> dict[str, str]:
    step = by_label(made)[label]
    return {name: made.step(key).label for name, key in step.inputs.items()}


def test_base_and_delta_are_merged(tmp_path: Path) -> None:
    base, delta = hub("org/base"), hub("org/delta", "e" * 40)
    text = RECIPE.replace(
        "{hub: org/small, revision: main}",
        "{base: {hub: org/base, revision: main}, delta: {hub: org/delta, revision: main}}",
    )

    made = make_plan(tmp_path, text, found=sources(model=None, base=base, delta=delta))

    assert inputs(made, "merge base and delta of small") == {
        "base": "fetch base org/base@ccccccc",
        "delta": "fetch delta org/delta@eeeeeee",
    }
    assert inputs(made, "convert small to F16")["model"] == "merge base and delta of small"
    assert inputs(made, "try converting small without weights") == {
        "base": "inspect base org/base@ccccccc",
        "delta": "inspect delta org/delta@eeeeeee",
        "toolchain": "build stand aaaaaaa",
        "environment": "Python environment of stand",
    }
    merge = by_label(made)["merge base and delta of small"]
    assert merge.keep == "intermediate"
    for step in (merge, by_label(made)["try converting small without weights"]):
        assert step.context["base"] == "org/base@ccccccc"
        assert step.context["delta"] == "org/delta@eeeeeee"


WITH_ADAPTERS = RECIPE.replace(
    "{hub: org/small, revision: main}",
    "{base: {hub: org/base, revision: main}, "
    "lora: [{hub: org/one, revision: main, scale: 0.5}, {hub: org/two, revision: main}]}",
)


def with_adapters(folder: Path, text: str = WITH_ADAPTERS, **names: str) -> Plan:
    one, two = names.get("one", "org/one"), names.get("two", "org/two")
    adapters = {
        name: Resolved(hub(repo).identity, format="lora")
        for name, repo in (("lora 1", one), ("lora 2", two))
    }
    found = sources(model=None, base=hub("org/base"), adapters=adapters)
    return make_plan(folder, text, found=found)


def test_adapters_are_merged_into_their_base_which_says_what_the_model_holds(
    tmp_path: Path,
) -> None:
    made = with_adapters(tmp_path)

    assert inputs(made, "merge base and adapters of small") == {
        "base": "fetch base org/base@ccccccc",
        "lora 1": "fetch lora 1 org/one@ccccccc",
        "lora 2": "fetch lora 2 org/two@ccccccc",
    }
    assert inputs(made, "convert small to F16")["model"] == "merge base and adapters of small"
    tried = by_label(made)["try converting small without weights"]
    merge = by_label(made)["merge base and adapters of small"]
    assert tried.params["scales"] == merge.params["scales"] == [0.5, 1.0]
    assert inputs(made, tried.label) == {
        "model": "inspect base org/base@ccccccc",
        "lora 1": "inspect lora 1 org/one@ccccccc",
        "lora 2": "inspect lora 2 org/two@ccccccc",
        "toolchain": "build stand aaaaaaa",
        "environment": "Python environment of stand",
    }
    for step in (merge, tried):
        assert step.context["lora 2"] == "org/two@ccccccc"
    assert set(made.sources.named) >= {"base", "lora 1", "lora 2"}


MIXED = RECIPE.replace(
    "{hub: org/small, revision: main}",
    "{base: {hub: org/base, revision: main}, mergekit: {models: {b: {hub: org/b, revision: main}}, "
    "config: {merge_method: slerp, base_model: base, models: [{model: base}, {model: b}], "
    "parameters: {t: 0.3}}}}",
)


def test_models_are_merged_by_mergekit_beside_the_environment(tmp_path: Path) -> None:
    packages = "environment:\n  mergekit: [mergekit==0]\n"
    text = CHAIN.replace("environment:\n", packages)
    chain = make_chain(tmp_path, text=text.replace("  load:", "  mergekit: {{argv: [x]}}\n  load:"))
    found = sources(model=None, base=hub("org/base"), adapters={"merge b": hub("org/b")})
    made = make_plan(tmp_path, MIXED, chain=chain, found=found)

    label = "merge the models of small with mergekit"
    assert inputs(made, label) == {
        "base": "fetch base org/base@ccccccc",
        "merge b": "fetch merge b org/b@ccccccc",
        "environment": "Python environment of stand",
        "packages": "Python packages of mergekit",
    }
    assert by_label(made)[label].params["config"]["models"] == [{"model": "base"}, {"model": "b"}]
    assert inputs(made, "convert small to F16")["model"] == label
    with pytest.raises(UsageError, match="tool chain stand cannot mergekit"):
        make_plan(tmp_path / "other", MIXED, found=found)


def test_another_order_or_scale_is_another_merge(tmp_path: Path) -> None:
    made = (
        with_adapters(tmp_path),
        with_adapters(tmp_path, one="org/two", two="org/one"),
        with_adapters(tmp_path, WITH_ADAPTERS.replace("0.5", "0.25")),
    )
    keys = {by_label(one)["merge base and adapters of small"].key for one in made}
    assert len(keys) == 3


def test_an_adapter_is_a_folder(tmp_path: Path) -> None:
    found = sources(
        model=None, base=hub("org/base"), adapters={"lora 1": local("x.bin", kind="lora")}
    )
    with pytest.raises(UsageError, match="an adapter is a folder"):
        make_plan(tmp_path, WITH_ADAPTERS, found=found)


def test_the_other_way_round_is_another_merge(tmp_path: Path) -> None:
    text = RECIPE.replace(
        "{hub: org/small, revision: main}",
        "{base: {hub: org/base, revision: main}, delta: {hub: org/delta, revision: main}}",
    )
    one, two = hub("org/base"), hub("org/delta")

    def merge(base: Resolved, delta: Resolved) -> Step:
        made = make_plan(tmp_path, text, found=sources(model=None, base=base, delta=delta))
        return by_label(made)["merge base and delta of small"]

    assert merge(one, two).key != merge(two, one).key


def test_a_gguf_is_rewritten_and_not_converted(tmp_path: Path) -> None:
    text = RECIPE.replace(
        "{hub: org/small, revision: main}", "{path: text.txt, format: gguf}"
    ).replace("Q4_0, ", "Q4_0, COPY, ")
    made = make_plan(tmp_path, text, found=sources(model=local("m.gguf", kind="gguf")))

    assert "convert" not in kinds(made)
    assert inputs(made, "quantize small to Q4_0")["model"] == "rewrite small as F16"
    assert inputs(made, "quantize small to COPY")["model"] == "fetch m.gguf"
    assert "peek" in kinds(made)


def test_a_folder_is_called_by_its_name(tmp_path: Path) -> None:
    folder = Resolved({"kind": "path", "files": {"a": "1", "b": "2"}}, {"path": "/x/llama"}, "hf")
    made = make_plan(tmp_path, found=sources(model=folder))

    assert "fetch llama" in by_label(made)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (local("m.bin", kind="ggml"), r"format 'ggml'\n  It reads: hf, gguf\."),
        (local("c.pth", kind="pth"), "format 'pth'"),
        (local("model.safetensors", kind="hf"), "not one file like 'model.safetensors'"),
        (Resolved({"kind": "url", "name": "x", "sha256": "", "member": ""}, {}, "hf"), "like 'x'"),
    ],
)
def test_what_a_tool_chain_cannot_read_is_refused_before_work(
    tmp_path: Path, model: Resolved, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make_plan(tmp_path, found=sources(model=model))


def test_a_tool_chain_alone(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)

    steps = recipe_to_steps.toolchain_steps(chain, Choices(machine="x86_64"))

    assert [step.kind for step in steps] == ["build", "environment"]
    whole = by_label(make_plan(tmp_path, chain=chain, machine="x86_64"))
    assert [step.key for step in steps] == [whole[step.label].key for step in steps]


@pytest.mark.parametrize(("name", "value"), [("profile", "native"), ("backend", "cuda")])
def test_the_command_line_wins_over_the_recipe(tmp_path: Path, name: str, value: str) -> None:
    option = {"profile": "-DNATIVE", "backend": "-DCUDA"}[name]
    chosen = {"profile": "", "backend": "", name: value}
    made = make_plan(tmp_path, profile=chosen["profile"], backend=chosen["backend"])

    assert option in made.steps[0].params["options"]


def test_another_processor_has_its_own_build(tmp_path: Path) -> None:
    one, other = make_plan(tmp_path, machine="x86_64"), make_plan(tmp_path, machine="aarch64")

    assert one.steps[0].key != other.steps[0].key


def test_another_commit_of_upstream_has_no_mirrors(tmp_path: Path) -> None:
    made = make_plan(tmp_path, found=sources(commit="9" * 40))

    assert made.steps[0].context["source"]["mirrors"] == []
    assert make_plan(tmp_path).steps[0].context["source"]["mirrors"]


def test_measuring_one_file(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    recipe = make_recipe(tmp_path, chain, RECIPE)
    found = sources(model=local("full.gguf", kind="gguf"), base=local("q.gguf", "e" * 64, "gguf"))

    with accesses() as read:
        made = recipe_to_steps.make_single(recipe, chain, found, Choices())
    assert read == []

    assert [made.step(key).label for key in made.targets] == [
        "fetch q.gguf",
        "measure small q.gguf: header",
        "measure small q.gguf: load",
        "measure small q.gguf: smoke test",
        "measure small q.gguf: divergence",
        "measure small F16: perplexity",
    ]
    assert inputs(made, "measure small q.gguf: header") == {
        "model": "fetch q.gguf",
        "full": "fetch full.gguf",
    }
    assert inputs(made, "measure small q.gguf: divergence") == {
        "model": "fetch q.gguf",
        "header": "measure small q.gguf: header",
        "load": "measure small q.gguf: load",
        "logits": "perplexity of small F16",
        "toolchain": "build stand aaaaaaa",
        "environment": "Python environment of stand",
    }


def test_moving_references_are_told(tmp_path: Path) -> None:
    model = Resolved(hub().identity, {}, "hf", "main")

    assert make_plan(tmp_path, found=sources(model=model)).sources.unpinned == {"model": "main"}
    assert not make_plan(tmp_path).sources.unpinned


def test_only_the_converted_file_is_held_against_the_original_model(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, text=WITH_REFERENCE)
    made, plain = (make_plan(tmp_path, one, chain=chain) for one in (ASKS_FOR_REFERENCE, RECIPE))

    added = {step.label for step in made.steps} - {step.label for step in plain.steps}
    assert added == {"measure small F16: reference logits"}
    assert {step.key for step in plain.steps} < {step.key for step in made.steps}
    original = inputs(made, "measure small F16: reference logits")["original"]
    assert original == inputs(made, "convert small to F16")["model"]


def test_a_gguf_has_no_original_to_compare_with(tmp_path: Path) -> None:
    text = ASKS_FOR_REFERENCE.replace(
        "{hub: org/small, revision: main}", "{path: text.txt, format: gguf}"
    )
    found = sources(model=local("m.gguf", kind="gguf"))

    with pytest.raises(UsageError, match=r"'verify\.reference_logits' needs the original model"):
        make_plan(tmp_path, text, chain=make_chain(tmp_path, text=WITH_REFERENCE), found=found)


EMBEDDING = RECIPE.partition("verify:")[0] + "verify: {embedding: true, speed: false}\n"
WITH_PROGRAM = """
  embed: {{program: embedder, argv: ["{{bin}}/embedder", "{{texts}}"]}}
programs:
  embedder: {{cmakelists: selftest.txt, targets: [embedder], products: [embedder]}}
"""


def with_program(folder: Path) -> ToolChain:
    text = CHAIN.replace("\ntypes:", f"{WITH_PROGRAM}types:")
    return make_chain(folder, text=text)


def embedding(folder: Path, chain: ToolChain, text: str = EMBEDDING) -> Plan:
    found = sources(corpora={"calibration": local("c")})
    return make_plan(folder, text, chain=chain, found=found)


def test_a_program_is_only_built_for_what_calls_it_and_leaves_the_build_as_it_is(
    tmp_path: Path,
) -> None:
    chain = with_program(tmp_path)
    text = EMBEDDING.replace("embedding: true, ", "")
    without, made = embedding(tmp_path, chain, text), embedding(tmp_path, chain)

    assert "program" not in kinds(without)
    assert {step.key for step in without.steps} <= {step.key for step in made.steps}
    assert inputs(made, "measure small Q4_0: embeddings")["toolchain"] == (
        "build embedder with stand aaaaaaa"
    )
    assert inputs(made, "build embedder with stand aaaaaaa") == {"toolchain": "build stand aaaaaaa"}
    assert inputs(made, "measure small Q4_0: load")["toolchain"] == "build stand aaaaaaa"


RENDERS = EMBEDDING.replace("embedding: true", "chat_template: true")
WITH_RENDERER = """
  render: {{program: renderer, argv: [python, "{{bin}}/renderer"]}}
programs:
  renderer: {{cmakelists: selftest.txt, targets: [renderer], products: [renderer]}}
"""


def with_renderer(folder: Path) -> ToolChain:
    return make_chain(folder, text=CHAIN.replace("\ntypes:", f"{WITH_RENDERER}types:"))


def test_a_chat_template_is_tried_once_and_needs_no_weights_of_the_original(
    tmp_path: Path,
) -> None:
    made = embedding(tmp_path, with_renderer(tmp_path), RENDERS)

    [label] = [step.label for step in made.steps if step.label.endswith("chat template")]
    assert label == "measure small F16: chat template"
    assert inputs(made, label)["original texts"] == "inspect org/small@ccccccc"
    assert "original" not in inputs(made, label)


def test_the_chat_template_of_a_gguf_is_tried_by_itself(tmp_path: Path) -> None:
    text = RENDERS.replace("{hub: org/small, revision: main}", "{path: text.txt, format: gguf}")
    found = sources(model=local("m.gguf", kind="gguf"), corpora={"calibration": local("c")})
    made = make_plan(tmp_path, text, chain=with_renderer(tmp_path), found=found)

    assert "original texts" not in inputs(made, "measure small F16: chat template")


def test_embeddings_are_held_against_those_of_the_full_file(tmp_path: Path) -> None:
    made = embedding(tmp_path, with_program(tmp_path))

    assert "full" not in inputs(made, "measure small F16: embeddings")
    assert inputs(made, "measure small Q4_0: embeddings")["full"] == (
        "measure small F16: embeddings"
    )


def test_other_texts_measure_only_embeddings_again(tmp_path: Path) -> None:
    chain = with_program(tmp_path)
    other = EMBEDDING.replace("embedding: true", "embedding: {texts: [a, b, c]}")
    before, after = embedding(tmp_path, chain), embedding(tmp_path, chain, other)

    known = {step.key for step in before.steps}
    assert {step.label for step in after.steps if step.key not in known} == {
        f"measure small {name}: embeddings" for name in ("F16", "Q4_0", "Q4_K_M")
    }


def test_a_tool_chain_without_the_verb_lacks_the_measure(tmp_path: Path) -> None:
    made = embedding(tmp_path, make_chain(tmp_path))

    assert all("embedding" in output.lacking for output in made.outputs)


MORE = RECIPE.replace("chunks: 4}", "chunks: 4, more: {code: {path: text.txt}}}")


def test_a_further_text_is_measured_beside_the_first_which_stays_as_it_is(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    corpora = {**sources().corpora, "perplexity (code)": local("code.txt", "e" * 64)}
    plain = make_plan(tmp_path, chain=chain)
    made = make_plan(tmp_path, MORE, chain=chain, found=sources(corpora=corpora))

    known = {step.key for step in plain.steps}
    assert known <= {step.key for step in made.steps}
    assert [step.label for step in made.steps if step.key not in known] == [
        "fetch perplexity (code) text code.txt",
        "perplexity of small F16 on code",
        "measure small F16: perplexity on code",
        "measure small Q4_0: divergence on code",
        "measure small Q4_K_M: divergence on code",
    ]
    assert inputs(made, "measure small Q4_0: divergence on code")["logits"] == (
        "perplexity of small F16 on code"
    )


def test_texts_of_measures_that_the_tool_chain_cannot_take_are_not_read(tmp_path: Path) -> None:
    able, unable = (
        make_chain(tmp_path, name, text)
        for name, text in (("stand", CHAIN), ("old", CHAIN.replace("  logits:", "  unused:")))
    )
    recipe = make_recipe(tmp_path, able)

    assert list(measure_steps.texts_read(recipe, able)) == ["perplexity"]
    assert list(measure_steps.texts_read(recipe, unable)) == []


_OPTIONS = """options: &given
      newer: {{packages: [six==1.17.0], about: x}}
      own: {{argv: [--own], packages: [seven==7], layout: mistral, about: x}}"""
_NAMED = '"{{output}}"]\n    defaults: &named'
WITH_PACKAGES = CHAIN.replace(_NAMED, _NAMED.replace("defaults", f"{_OPTIONS}\n    defaults"))
WITH_PACKAGES = WITH_PACKAGES.replace(
    "    defaults: *named", "    options: *given\n    defaults: *named"
)


def test_an_option_of_the_converter_may_bring_packages_of_its_own(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, text=WITH_PACKAGES)
    usual = make_plan(tmp_path, chain=chain)
    text = RECIPE.replace("quantize:", "convert: {newer: true}\nquantize:")

    made = make_plan(tmp_path, text, chain=chain)

    for label in ("try converting small without weights", "convert small to F16"):
        assert inputs(made, label)["packages"] == "Python packages six==1.17.0"
        assert "packages" not in inputs(usual, label)
    assert usual.full.step == make_plan(tmp_path).full.step


def test_a_layout_has_its_converters_option_and_no_recipe_names_it(tmp_path: Path) -> None:
    chain = changed(make_chain(tmp_path, text=WITH_PACKAGES), "inputs", ["hf", "mistral"])
    text = RECIPE.replace("revision: main", "revision: main, format: mistral")
    own = Resolved(hub().identity, {}, "mistral")

    made = make_plan(tmp_path, text, chain=chain, found=sources(model=own))

    step = made.step(made.full.step)
    assert step.params["argv"]["convert"]["argv"][-1] == {"if": "own", "then": ["--own"]}
    assert step.params["own"] is True
    assert inputs(made, step.label)["packages"] == "Python packages seven==7"
    with pytest.raises(RecipeError, match="unknown key 'own'"):
        make_plan(tmp_path, RECIPE + "convert: {own: true}\n", chain=chain)
