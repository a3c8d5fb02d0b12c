"""Plans: stable keys, keys from keys, shared steps, gates, and what --only leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.base import digest
from orchestrator.base.errors import UsageError
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Choices, Plan
from tests.support.file_access import accesses
from tests.support.plans import (
    CHAIN,
    RECIPE,
    by_label,
    changed,
    hub,
    local,
    make_chain,
    make_plan,
    make_recipe,
    sources,
)

BUILD_KEY = "7f5c8c238970c90064cbc75afd2dc392e668fd181805a56d4278765ebc339534"
FETCH_KEY = "2f364405237664a014f7881242ea1d68e24bc7a8ca8bc5a899f08a9cc878cdfc"
ALL_KEYS = "fe2f916b3205c026983b38e1d11e8c31d3b706c6f80cb20cc021cbafc7b4a0c2"


def differing(one: Plan, other: Plan) -> set[str]:
    """Labels of the steps whose keys differ; both plans have the same steps."""
    first, second = by_label(one), by_label(other)
    assert set(first) == set(second)
    return {label for label in first if first[label].key != second[label].key}


def measures_of(name: str, recipe: str = "small", quality: str = "divergence") -> list[str]:
    """Labels of the steps that measure one file, in order."""
    return [
        f"measure {recipe} {name}: {what}" for what in ("header", "load", "smoke test", quality)
    ]


def test_the_steps_of_a_recipe(tmp_path: Path) -> None:
    made = make_plan(tmp_path)

    assert [(step.kind, step.label) for step in made.steps] == [
        ("build", "build stand aaaaaaa"),
        ("environment", "Python environment of stand"),
        ("outline", "inspect org/small@ccccccc"),
        ("header", "try converting small without weights"),
        ("forecast", "predict sizes of small"),
        ("fetch", "fetch org/small@ccccccc"),
        ("convert", "convert small to F16"),
        ("fetch", "fetch calibration text cal.txt"),
        ("imatrix", "importance matrix of small"),
        ("quantize", "quantize small to Q4_0"),
        ("quantize", "quantize small to Q4_K_M"),
        ("fetch", "fetch perplexity text text.txt"),
        ("logits", "perplexity of small F16"),
        *(("measure", label) for label in measures_of("F16", quality="perplexity")),
        *(("measure", label) for label in measures_of("Q4_0")),
        *(("measure", label) for label in measures_of("Q4_K_M")),
    ]


def test_planning_reads_no_file(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    recipe = make_recipe(tmp_path, chain)

    with accesses() as found:
        made = recipe_to_steps.make(recipe, chain, sources(), Choices())
        recipe_to_steps.toolchain_steps(chain, Choices())

    assert made.steps
    assert found == []
    with accesses() as found:
        recipe.file.read_bytes()
    assert found == [f"open {recipe.file}"], "reading is noticed at all"


def test_every_step_comes_after_what_it_reads_and_waits_for(tmp_path: Path) -> None:
    seen: set[str] = set()
    for step in make_plan(tmp_path).steps:
        assert {*step.inputs.values(), *step.after} <= seen, step.label
        seen.add(step.key)


def test_keys_are_the_same_on_every_machine_and_in_every_year(tmp_path: Path) -> None:
    """A new value here means that everybody builds, fetches and makes everything again."""
    chain = changed(make_chain(tmp_path), "environment", None)
    steps = by_label(make_plan(tmp_path, chain=chain, machine="x86_64"))

    assert steps["build stand aaaaaaa"].key == BUILD_KEY
    assert steps["fetch org/small@ccccccc"].key == FETCH_KEY
    assert digest.key(sorted(step.key for step in steps.values())) == ALL_KEYS


def test_a_plan_is_the_same_wherever_recipe_and_data_lie(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    assert not differing(make_plan(tmp_path / "a"), make_plan(tmp_path / "b"))


def test_another_commit_of_the_model_changes_what_comes_of_it(tmp_path: Path) -> None:
    before = make_plan(tmp_path)
    after = make_plan(tmp_path, found=sources(model=hub(commit="c" * 7 + "d" * 33)))

    unchanged = {
        "build stand aaaaaaa",
        "Python environment of stand",
        "fetch calibration text cal.txt",
        "fetch perplexity text text.txt",
    }
    assert differing(before, after) == set(by_label(before)) - unchanged


def test_another_calibration_text_changes_what_uses_it(tmp_path: Path) -> None:
    before = make_plan(tmp_path)
    corpora = {"calibration": local("cal.txt", "e" * 64), "perplexity": local("text.txt", "d" * 64)}
    after = make_plan(tmp_path, found=sources(corpora=corpora))

    assert differing(before, after) == {
        "fetch calibration text cal.txt",
        "importance matrix of small",
        "quantize small to Q4_K_M",
        *measures_of("Q4_K_M"),
    }


@pytest.mark.parametrize(
    ("path", "value", "labels"),
    [
        ("verbs.logits.progress", "x", set()),
        ("verbs.quantize.errors", [{"match": "x", "say": "y"}], set()),
        (
            "verbs.complete.argv",
            ["{bin}/tool", "-q"],
            {f"measure small {name}: smoke test" for name in ("F16", "Q4_0", "Q4_K_M")},
        ),
        (
            "verbs.quantize.argv",
            ["{bin}/tool", "-q"],
            {
                "quantize small to Q4_0",
                "quantize small to Q4_K_M",
                *measures_of("Q4_0"),
                *measures_of("Q4_K_M"),
            },
        ),
    ],
)
def test_a_verb_changes_the_steps_that_call_it_and_theirs(
    tmp_path: Path, path: str, value: object, labels: set[str]
) -> None:
    before = make_plan(tmp_path)
    after = make_plan(tmp_path, chain=changed(make_chain(tmp_path), path, value))

    assert differing(before, after) == labels


def test_another_prompt_changes_only_the_smoke_tests(tmp_path: Path) -> None:
    before, after = make_plan(tmp_path), make_plan(tmp_path, RECIPE.replace("Once", "Twice"))

    assert differing(before, after) == {
        f"measure small {name}: smoke test" for name in ("F16", "Q4_0", "Q4_K_M")
    }


def test_one_more_type_measures_only_the_new_file(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    before = {step.key for step in make_plan(tmp_path, chain=chain).steps}
    more = make_plan(tmp_path, RECIPE.replace("[Q4_0,", "[Q4_0, Q8_0,"), chain=chain)

    assert [step.label for step in more.steps if step.key not in before] == [
        "predict sizes of small",
        "quantize small to Q8_0",
        *measures_of("Q8_0"),
    ]


def test_every_file_is_loaded_whatever_the_recipe_leaves_out(tmp_path: Path) -> None:
    text = RECIPE.partition("verify:")[0] + "verify: {speed: false}\n"
    made = make_plan(tmp_path, text, found=sources(corpora={"calibration": local("c")}))

    labels = {made.step(key).label for output in made.outputs for key in output.measures.values()}
    assert labels == {
        f"measure small {name}: {what}"
        for name in ("Q4_0", "Q4_K_M")
        for what in ("header", "load")
    }


def test_limits_and_words_change_no_key(tmp_path: Path) -> None:
    text = RECIPE.replace("expect: upon", "expect: a time").replace(
        "  kld: true\n", "  kld: true\n  limits: {max_ppl_increase: 8%}\n"
    )
    text = text.replace("imatrix: true}", "imatrix: true, allow_fallback: true}")
    text += "description: another sentence\n"

    assert not differing(make_plan(tmp_path), make_plan(tmp_path, text))


def test_gates_hold_back_weights_and_are_no_part_of_keys(tmp_path: Path) -> None:
    gated = by_label(make_plan(tmp_path))
    forecast = gated["predict sizes of small"].key
    chain = changed(make_chain(tmp_path), "verbs.plan_quantize.argv", ["other"])
    other = by_label(make_plan(tmp_path, chain=chain))

    for label in ("fetch org/small@ccccccc", "convert small to F16", "quantize small to Q4_0"):
        assert gated[label].after == (forecast,)
        assert other[label].after != gated[label].after
        assert other[label].key == gated[label].key


def test_the_census_of_a_source_is_a_gate_that_other_names_share(tmp_path: Path) -> None:
    argv = ["{python}", "{data}/convert.py", "{output}"]
    chain = changed(make_chain(tmp_path), "verbs.census", {"argv": argv})
    one = make_plan(tmp_path, chain=chain)
    other = make_plan(tmp_path, RECIPE.replace("name: small", "name: other"), chain=chain)

    assert one.census
    assert one.census == other.census
    assert by_label(one)["fetch org/small@ccccccc"].after == (one.forecast, one.census)
    assert one.census not in one.targets


def test_two_recipes_share_what_is_the_same(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    first = make_plan(tmp_path, chain=chain)
    text = RECIPE.replace("name: small", "name: other").replace("Q4_0, ", "Q8_0, ")
    text = text.replace("quantize:", "convert: {model_name: small}\nquantize:")
    second = make_plan(tmp_path, text, chain=chain)

    together = recipe_to_steps.union([first, second])

    keys = [step.key for step in together]
    assert len(keys) == len(set(keys))
    shared = {step.label for step in first.steps} & {s.label for s in together}
    assert shared == {step.label for step in first.steps}
    added = [step.label for step in together[len(first.steps) :]]
    assert added == [
        "predict sizes of other",
        "quantize other to Q8_0",
        *measures_of("Q8_0", "other"),
    ]


def test_only_leaves_the_rest_out_and_keeps_keys(tmp_path: Path) -> None:
    whole = by_label(make_plan(tmp_path))
    part = make_plan(tmp_path, only=("q4_k_m",))

    assert [output.name for output in part.outputs] == ["Q4_K_M"]
    for label, step in by_label(part).items():
        assert step.key == whole[label].key
    assert "quantize small to Q4_0" not in by_label(part)


def test_only_finds_a_file_by_its_name_too(tmp_path: Path) -> None:
    text = RECIPE.replace("[Q4_0, ", "[{type: Q4_0, name: mine}, ")

    assert [o.name for o in make_plan(tmp_path, text, only=("MINE",)).outputs] == ["mine"]
    assert [o.name for o in make_plan(tmp_path, text, only=("q4_0",)).outputs] == ["mine"]


def test_only_what_is_not_there_names_what_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"small has no file Q2_K\n  It has: Q4_0, Q4_K_M\."):
        make_plan(tmp_path, only=("Q2_K",))


def test_targets_are_files_and_their_measures(tmp_path: Path) -> None:
    made = make_plan(tmp_path)

    assert [made.step(key).label for key in made.targets] == [
        "quantize small to Q4_0",
        *measures_of("Q4_0"),
        "quantize small to Q4_K_M",
        *measures_of("Q4_K_M"),
        *measures_of("F16", quality="perplexity"),
    ]


def test_without_verification_nothing_is_measured(tmp_path: Path) -> None:
    made = make_plan(tmp_path, verify=False, found=sources(corpora={"calibration": local("c")}))

    assert not {"measure", "logits"} & {step.kind for step in made.steps}
    assert [made.step(key).label for key in made.targets] == [
        "quantize small to Q4_0",
        "quantize small to Q4_K_M",
    ]


def test_names_of_files(tmp_path: Path) -> None:
    made = make_plan(tmp_path)

    assert [output.file for output in (made.full, *made.outputs)] == [
        "small-F16.gguf",
        "small-Q4_0.gguf",
        "small-Q4_K_M.gguf",
    ]
    assert {output.artifact_file for output in made.outputs} == {"model.gguf"}


def test_aliases_and_arguments_of_types(tmp_path: Path) -> None:
    alias = make_plan(tmp_path, RECIPE.replace("type: Q4_K_M", "type: q4_k, name: Q4_K_M"))

    assert by_label(alias)["quantize small to Q4_K_M"].params["type"] == "15"
    assert not differing(alias, make_plan(tmp_path))


def test_what_holds_for_all_verbs_changes_no_key(tmp_path: Path) -> None:
    before = make_plan(tmp_path)
    shared = {"env": {"QUIET": "1"}, "errors": [{"match": "x", "say": "y"}]}

    after = make_plan(tmp_path, chain=changed(make_chain(tmp_path), "all_verbs", shared))

    assert differing(before, after) == set()
    for step in after.steps:
        for verb in step.context.get("verbs", {}).values():
            assert verb["env"]["QUIET"] == "1"
            assert verb["errors"][-1]["say"] == "y"


def test_files_of_stand_in_models_have_the_same_keys_and_say_that_they_are(tmp_path: Path) -> None:
    usual, other = make_plan(tmp_path), make_plan(tmp_path, stand_in=True)

    makes = {"convert", "quantize"}
    assert not differing(usual, other)
    assert {bool(one.context["stand_in"]) for one in usual.steps if one.kind in makes} == {False}
    assert {bool(one.context["stand_in"]) for one in other.steps if one.kind in makes} == {True}


GIVEN = RECIPE.replace("imatrix: {corpus: {path: cal.txt}, chunks: 10}", "imatrix: {file: cal.txt}")


def plan_with_matrix(folder: Path, text: str = GIVEN) -> Plan:
    corpora = {"imatrix": local("x.dat", kind="imatrix"), "perplexity": local("text.txt")}
    return make_plan(folder, text, found=sources(corpora=corpora))


def test_a_matrix_that_exists_is_fetched_and_looked_at_before_weights(tmp_path: Path) -> None:
    made = by_label(plan_with_matrix(tmp_path))

    fetched = made["fetch importance matrix x.dat"]
    forecast, four = made["predict sizes of small"], made["quantize small to Q4_K_M"]
    assert "importance matrix of small" not in made
    assert forecast.inputs["imatrix"] == four.inputs["imatrix"] == fetched.key
    assert "imatrix" not in made["quantize small to Q4_0"].inputs
    assert forecast.key in made["fetch org/small@ccccccc"].after
    assert four.params["imatrix_name"] == "x.dat"
    assert four.context["imatrix_formats"] == ["gguf", "dat"]


def test_the_path_that_files_record_changes_their_keys_alone(tmp_path: Path) -> None:
    other = GIVEN.replace("{file: cal.txt}", "{file: cal.txt, recorded_as: /x/y.dat}")

    first, second = plan_with_matrix(tmp_path), plan_with_matrix(tmp_path, other)

    changed = differing(first, second)
    assert by_label(second)["quantize small to Q4_K_M"].params["imatrix_name"] == "/x/y.dat"
    assert {one for one in changed if not one.startswith("measure")} == {
        "predict sizes of small",
        "quantize small to Q4_K_M",
    }


def test_a_matrix_that_is_made_can_be_recorded_under_another_path(tmp_path: Path) -> None:
    text = RECIPE.replace("chunks: 10}", "chunks: 10, recorded_as: a/b.dat}")

    made = by_label(make_plan(tmp_path, text))

    assert made["quantize small to Q4_K_M"].params["imatrix_name"] == "a/b.dat"
    assert made["quantize small to Q4_K_M"].context["imatrix_formats"] == []
    assert "imatrix_name" not in made["quantize small to Q4_0"].params


EXTENDING = CHAIN.replace("  logits:", "  extend_imatrix: {{argv: [tool]}}\n  logits:", 1)


def test_a_matrix_of_several_texts_goes_on_from_text_to_text(tmp_path: Path) -> None:
    text = RECIPE.replace("chunks: 10}", "chunks: 10, more: {b: {path: cal.txt}, a: text.txt}}")
    texts = {"calibration": "cal.txt", "calibration a": "a.txt", "calibration b": "b.txt"}
    corpora = {name: local(file, name[-1] * 64) for name, file in texts.items()}
    found = sources(corpora={**corpora, "perplexity": local("text.txt")})
    chain = make_chain(tmp_path, text=EXTENDING)

    made = by_label(make_plan(tmp_path, text, chain=chain, found=found))

    first, second, third = (
        made[f"importance matrix of small{name}"] for name in ("", " with a", " with b")
    )
    assert "previous" not in first.inputs
    assert (second.inputs["previous"], third.inputs["previous"]) == (first.key, second.key)
    assert third.inputs["corpus"] == made["fetch calibration b text b.txt"].key
    assert [one.context["last"] for one in (first, second, third)] == [False, False, True]
    assert made["quantize small to Q4_K_M"].inputs["imatrix"] == third.key


def test_a_tool_chain_that_cannot_go_on_from_a_matrix(tmp_path: Path) -> None:
    text = RECIPE.replace("chunks: 10}", "chunks: 10, more: {b: {path: cal.txt}}}")
    corpora = {"calibration": local("cal.txt"), "calibration b": local("b.txt")}
    found = sources(corpora={**corpora, "perplexity": local("text.txt")})

    with pytest.raises(UsageError, match="extend_imatrix"):
        make_plan(tmp_path, text, found=found)
