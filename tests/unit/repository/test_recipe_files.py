"""The recipes of this repository, and the schema that editors read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.recipe import Recipe, Vocabulary, load, load_many, schema_text
from orchestrator.runs import load_and_plan

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "recipes"
FILES = sorted(path for path in RECIPES.rglob("*.yaml") if not path.name.endswith(".lock.yaml"))
SCHEMA = ROOT / "docs" / "recipe.schema.json"
WANTED = """
llama-7b llama-13b llama-30b llama-65b llama-2-7b llama-2-13b llama-2-70b
smollm2-135m smollm2-135m-requant smolvlm-256m
qwen3.5-0.8b olmoe-1b-7b bge-small-en-v1.5 bge-reranker-v2-m3
chimera-7b chimera-13b chimera-inst-7b chimera-inst-13b
bloomz-560m bloomz-1b1 bloomz-1b7 bloomz-3b bloomz-7b1 phoenix-7b phoenix-inst-7b
falcon-7b falcon-7b-instruct chatglm3-6b glm-4-9b-chat
ggml/llama-7b ggml/llama-13b ggml/llama-30b ggml/llama-65b
ggml/llama-7b-v3 ggml/llama-13b-v3 ggml/llama-30b-v3 ggml/llama-65b-v3
ggml/chimera-7b ggml/chimera-inst-7b ggml/bloomz-7b1 ggml/phoenix-7b
tiny/llama tiny/chimera tiny/bloom tiny/falcon tiny/chatglm tiny/lora
published/smollm2-135m-instruct published/qwen2.5-0.5b-instruct published/llama-3.2-1b-instruct
published/llama-7b-ggjt-v1 published/llama-7b-ggjt-v3 published/smollm2-135m-q4_1
published/mixtral-tiny published/granite-3.0-1b-a400m-instruct published/gemma-3-270m-q4_k_m
published/smollm2-135m-instruct-q4_k_m published/qwen2.5-1.5b-instruct
""".split()  # noqa: SIM905 - a list of words reads better so


def _allowed(chain: str, folder: Path) -> Vocabulary:
    # Families are looked at elsewhere: recipes of other commits name others.
    return replace(load_and_plan.vocabulary(chain, folder), families=())


@pytest.fixture(scope="module")
def recipes() -> dict[str, Recipe]:
    found = load_many(FILES, _allowed, check_files=False)
    return {recipe.file.relative_to(RECIPES).with_suffix("").as_posix(): recipe for recipe in found}


def test_all_recipes_are_there_valid_and_differ_in_name(recipes: dict[str, Recipe]) -> None:
    assert set(WANTED) <= set(recipes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(RECIPES).as_posix())
def test_every_recipe_names_the_schema_for_editors(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve() == SCHEMA


def test_files_of_this_repository_that_recipes_name_are_there(recipes: dict[str, Recipe]) -> None:
    for name, recipe in recipes.items():
        # Only Meta's own weights are not in the repository and not to be had without them.
        if not name.startswith(("ggml/llama", "published/llama-7b")):
            assert load(recipe.file, _allowed).digest == recipe.digest


def test_the_schema_is_current() -> None:
    assert SCHEMA.read_text("utf-8") == schema_text(load_and_plan.vocabularies()), (
        "run: orchestrate schema"
    )


def test_the_schema_describes_every_field() -> None:
    schema = yaml.safe_load(schema_text(load_and_plan.vocabularies()))
    models = [schema, *schema["$defs"].values()]
    bare = [
        f"{model['title']}.{name}"
        for model in models
        for name, field in model["properties"].items()
        if not field.get("description")
    ]
    assert not bare


def test_the_schema_knows_the_short_forms() -> None:
    schema = yaml.safe_load(schema_text(load_and_plan.vocabularies()))
    fields = schema["properties"]
    plain = {"type": "string"}
    assert plain in fields["toolchain"]["anyOf"]
    listed = next(one for one in fields["quantize"]["anyOf"] if "items" in one)
    assert plain in listed["items"]["anyOf"]
    assert plain in schema["$defs"]["Perplexity"]["properties"]["corpus"]["anyOf"]
    assert {"type": "boolean"} in schema["$defs"]["Verify"]["properties"]["speed"]["anyOf"]
    assert fields["name"]["pattern"].startswith("^")
    assert schema["additionalProperties"] is False


def _lines(name: str) -> list[str]:
    text = (RECIPES / f"{name}.yaml").read_text("utf-8")
    # How much is fetched is said for lists alone.
    return [line for line in text.splitlines() if line and not line.startswith(("#", "download:"))]


@pytest.mark.parametrize("name", ["llama-13b", "llama-30b", "llama-65b"])
def test_another_size_of_llama_is_three_lines(name: str, recipes: dict[str, Recipe]) -> None:
    assert len(_lines(name)) == 3
    assert recipes[name].quantize == recipes["llama-7b"].quantize
    assert recipes[name].verify.reference is None


@pytest.mark.parametrize(
    ("name", "hub", "revision"),
    [
        ("llama-7b", "huggyllama/llama-7b", "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"),
        (
            "smollm2-135m",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        ),
        ("bloomz-7b1", "bigscience/bloomz-7b1", "2f4c4f3ebcf171dbbe2bae989ea2d2f3d3486a97"),
        ("falcon-7b", "tiiuae/falcon-7b", "898df1396f35e447d5fe44e0a3ccaaaa69f30d36"),
        ("chatglm3-6b", "THUDM/chatglm3-6b", "e9e0406d062cdb887444fe5bd546833920abd4ac"),
        ("phoenix-7b", "FreedomIntelligence/phoenix-chat-7b", "main"),
        ("ggml/phoenix-7b", "FreedomIntelligence/phoenix-chat-7b", "main"),
    ],
)
def test_pins(name: str, hub: str, revision: str, recipes: dict[str, Recipe]) -> None:
    assert (recipes[name].model.hub, recipes[name].model.revision) == (hub, revision)


def test_chimera_is_a_delta_on_the_pinned_llama(recipes: dict[str, Recipe]) -> None:
    for name in ("chimera-7b", "ggml/chimera-7b", "chimera-inst-7b", "ggml/chimera-inst-7b"):
        base, delta = recipes[name].model.base, recipes[name].model.delta
        assert base is not None
        assert delta is not None
        assert base.revision == recipes["llama-7b"].model.revision
        kind = "inst-chat" if "inst" in name else "chat"
        assert delta.hub == f"FreedomIntelligence/chimera-{kind}-7b-delta"


def test_only_chatglm3_runs_code_of_its_repository(recipes: dict[str, Recipe]) -> None:
    trusting = [name for name, recipe in recipes.items() if recipe.model.trust_remote_code]
    assert trusting == ["chatglm3-6b"]


def test_reference_perplexities_of_llama(recipes: dict[str, Recipe]) -> None:
    types = ("F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
    expected = dict(zip(types, (5.9066, 6.1565, 6.0912, 5.9862, 5.9481, 5.9070), strict=True))
    for name in ("llama-7b", "ggml/llama-7b-v3"):
        reference = recipes[name].verify.reference
        assert reference is not None
        assert (reference.context, reference.perplexity) == (512, expected)


def test_reference_bits_per_weight_of_llama_2(recipes: dict[str, Recipe]) -> None:
    expected = {
        "llama-2-7b": (3.35, 3.50, 3.91, 4.27, 4.58, 4.84, 5.52, 5.68, 6.56),
        "llama-2-13b": (3.34, 3.48, 3.89, 4.26, 4.56, 4.83, 5.51, 5.67, 6.56),
        "llama-2-70b": (3.40, 3.47, 3.85, 4.19, 4.53, 4.80, 5.50, 5.65, 6.56),
    }
    for name, bits in expected.items():
        reference = recipes[name].verify.reference
        assert reference is not None
        assert tuple(reference.bits_per_weight.values()) == bits
        assert list(reference.bits_per_weight) == [quant.type for quant in recipes[name].quantize]


def test_checksums_of_the_old_llama_files(recipes: dict[str, Recipe]) -> None:
    old, new = recipes["ggml/llama-7b"], recipes["ggml/llama-7b-v3"]
    assert (old.toolchain.name, new.toolchain.name) == ("llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3")
    pth = "700df0d3013b703a806d2ae7f1bfb8e59814e3d06ae78be0c66368a50059f33d"
    full = "666a4bb533b303bdaf89e1b6a3b6f93535d868de31d903afdc20983dc526c847"
    for recipe in (old, new):
        assert recipe.model.format == "pth"
        assert recipe.model.files["consolidated.00.pth"] == pth
        assert recipe.verify.sha256["F16"] == full
    assert old.verify.sha256["Q4_0"].startswith("fcb7664c2e69776920b526362a243e91")
    assert new.verify.sha256["Q4_0"].startswith("ec2f2d1f0dfb73b72a4cbac7fa121abb")
    # Upstream's list has sixty-four times "f" where nobody knew the checksum.
    stated = [sha for recipe in recipes.values() for sha in recipe.verify.sha256.values()]
    assert not [sha for sha in stated if len(set(sha)) == 1]


def test_sizes_of_the_old_files_are_expected(recipes: dict[str, Recipe]) -> None:
    expected = {"7": (13, 3.9), "13": (24, 7.8), "30": (60, 19.5), "65": (120, 38.5)}
    for size, (full, small) in expected.items():
        reference = recipes[f"ggml/llama-{size}b"].verify.reference
        assert reference is not None
        assert reference.size == {"F16": full << 30, "Q4_0": round(small * 2**30)}


@pytest.mark.parametrize(
    ("name", "commit", "digests"),
    [
        ("smollm2-135m-instruct", "20a04b22063020cd0f29b7781f5352d7a6abf786", {"F16": "ec30a679"}),
        ("qwen2.5-0.5b-instruct", "20a04b22063020cd0f29b7781f5352d7a6abf786", {"F16": "977753a3"}),
        (
            "granite-3.0-1b-a400m-instruct",
            "20a04b22063020cd0f29b7781f5352d7a6abf786",
            {"F16": "9a8b6fcd"},
        ),
        ("mixtral-tiny", "20a04b22063020cd0f29b7781f5352d7a6abf786", {"F16": "45ac8d74"}),
        ("gemma-3-270m-q4_k_m", "4227c9be4268ac844921b90f31595f81236bd317", {"Q4_K_M": "a5fd3b62"}),
        ("llama-3.2-1b-instruct", "b3821", {"Q8_0": "432f310a", "Q4_K_M": "6f85a640"}),
        ("smollm2-135m-instruct-q4_k_m", "b3991", {"Q4_K_M": "2e8040ce"}),
        ("qwen2.5-1.5b-instruct", "b3772", {"Q8_0": "7185d306", "Q4_K_M": "1adf0b11"}),
        ("llama-7b-ggjt-v1", None, {"F16": "666a4bb5", "Q4_0": "fcb7664c", "Q4_1": "cc061458"}),
        ("llama-7b-ggjt-v3", None, {"F16": "666a4bb5", "Q4_0": "ec2f2d1f"}),
        (
            "smollm2-135m-q4_1",
            "ea9c32be71b91b42ecc538bd902e93cbb5fb36cb",
            {"Q4_1": "b179c952"},
        ),
    ],
)
def test_published_files_are_claimed_of_files_that_the_recipe_makes(
    name: str, commit: str | None, digests: dict[str, str], recipes: dict[str, Recipe]
) -> None:
    recipe = recipes[f"published/{name}"]
    assert (recipe.toolchain.commit or recipe.toolchain.release) == commit
    made = {recipe.converted_name, *(quant.name for quant in recipe.quantize)}
    stated = {entry["type"]: entry["sha256"] for entry in recipe.published}
    assert set(stated) <= made
    assert {type_: sha256[:8] for type_, sha256 in stated.items()} == digests
    assert {len(sha256) for sha256 in stated.values()} == {64}


def test_the_real_model_without_a_hub(recipes: dict[str, Recipe]) -> None:
    recipe = recipes["smollm2-135m-requant"]
    assert recipe.model.kind == "pypi"
    assert recipe.model.format == "gguf"
    assert [quant.name for quant in recipe.quantize] == ["Q4_0", "Q4_K_M", "Q8_0", "COPY"]
    assert recipe.verify.smoke is not None
    assert recipe.verify.smoke.prompt == "The capital of France is"
    assert set(recipe.verify.sha256) == {"F16", "Q4_0", "Q4_K_M", "Q8_0", "COPY"}


def _values(data: Any) -> list[str]:
    if isinstance(data, dict):
        # Of a matrix: what a publisher's header says, which nothing here follows.
        read = [value for name, value in data.items() if name != "recorded_as"]
        return [text for value in read for text in _values(value)]
    if isinstance(data, list):
        return [text for value in data for text in _values(value)]
    return [data] if isinstance(data, str) else []


def test_no_recipe_names_an_absolute_path() -> None:
    for path in FILES:
        texts = _values(yaml.safe_load(path.read_text("utf-8")))
        assert not [text for text in texts if os.path.isabs(text)]  # noqa: PTH117


def test_a_validator_of_editors_takes_the_schema_and_the_recipes() -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--schemafile", *map(str, (SCHEMA, *FILES))]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert any(": null" in path.read_text("utf-8") for path in FILES)
