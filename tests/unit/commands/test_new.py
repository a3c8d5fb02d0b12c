"""``orchestrate new`` against a local Hub: every layout, with the recipe that comes of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.toolchain import load
from tests.hub import Hub
from tests.support.command_line import Command
from tests.support.hub_models import COMMIT, LLAMA, llama_tensors, repository, sharded
from tests.support.lora_adapters import write_adapter
from tests.support.new_recipes import FILE, FREE, NAME, New, gguf_repository, written


def test_a_model_becomes_a_recipe_that_is_pinned_and_loads(
    new: New, orchestrate: Command, tmp_path: Path
) -> None:
    said = new(repository(tmp_path / "m", card=FREE))

    recipe = written(said)
    assert (recipe.name, recipe.family) == ("some_model.v2", "llama")
    assert (recipe.model.hub, recipe.model.revision) == (NAME, COMMIT)
    assert [one.type for one in recipe.quantize] == ["Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0"]
    assert recipe.verify.kld
    assert recipe.verify.reference_logits
    assert recipe.verify.perplexity is not None
    assert recipe.verify.perplexity.corpus.hub == "ggml-org/ci"
    assert (recipe.publish.license, recipe.publish.redistribute) == ("apache-2.0", True)
    assert "# What main was on 20" in FILE.read_text()
    assert orchestrate("check", FILE).code == 0


def test_what_was_found_is_shown_with_the_next_command(new: New, tmp_path: Path) -> None:
    said = new(repository(tmp_path / "m", card=FREE))

    assert f"{NAME} at {COMMIT}" in said.out
    assert "LlamaForCausalLM, family llama" in said.out
    assert "1.04 million" in said.out  # 1000 x 512 + 512 x 1024 + 512
    assert "bf16, 1 file of safetensors, 2.07 MB" in said.out
    assert "Q4_K_M   ~627 kB" in said.out
    assert said.out.endswith(f"Next: orchestrate run {FILE}\n")


def test_of_a_model_too_small_for_facts_words_are_expected(new: New, tmp_path: Path) -> None:
    new(repository(tmp_path / "m", card=FREE))
    recipe = yaml.safe_load(FILE.read_text())
    assert re.search(recipe["verify"]["smoke"]["expect"], "The otter was glad")
    assert not re.search(recipe["verify"]["smoke"]["expect"], "!!! 0 0 0")


def test_an_adapter_becomes_a_recipe_that_merges_it_into_its_base(
    new: New, hub: Hub, orchestrate: Command, tmp_path: Path
) -> None:
    hub.repos["models"]["org/base"] = repository(tmp_path / "base", card=FREE)
    repo = repository(tmp_path / "m", config=None, tensors=[], card=FREE)
    write_adapter(tmp_path / "a", {}, base_model_name_or_path="org/base")
    for path in (tmp_path / "a").iterdir():
        path.rename(repo.folder / path.name)

    said = new(repo)

    recipe = written(said)
    assert recipe.model.base is not None
    assert (recipe.model.base.hub, recipe.model.base.revision) == ("org/base", COMMIT)
    assert [(one.hub, one.revision) for one in recipe.model.lora] == [(NAME, COMMIT)]
    assert recipe.publish.redistribute
    assert f"Adapter       {NAME} at {COMMIT}" in said.out
    assert orchestrate("check", FILE).code == 0


def test_json_says_the_same(new: New, tmp_path: Path) -> None:
    said = new(repository(tmp_path / "m", card=FREE), "--json")

    told = json.loads(said.out)
    assert told["recipe"] == str(FILE)
    assert (told["commit"], told["family"], told["parameters"]) == (COMMIT, "llama", 1036800)
    assert told["licence"]["redistribute"] is True
    assert told["files"][0] == {"type": "Q4_K_M", "estimated_size": 627264, "imatrix": False}
    assert told["next"] == f"orchestrate run {FILE}"


def test_no_weight_is_fetched(new: New, hub: Hub, tmp_path: Path) -> None:
    large = [("model.embed_tokens.weight", "BF16", (128_000, 4096))]
    digests = {"model.safetensors": "0" * 64}  # a gigabyte of hole is long to hash
    written(new(repository(tmp_path / "m", tensors=large, digests=digests)))

    assert 0 < hub.served("model.safetensors") < 100_000


def test_shards_are_counted_together(new: New, tmp_path: Path) -> None:
    told = json.loads(new(sharded(tmp_path / "m", "safetensors"), "--json").out)

    assert told["weights"]["files"] == 2
    assert told["parameters"] == 1036800


def test_pickled_weights_are_estimated_by_their_size(new: New, tmp_path: Path) -> None:
    said = new(sharded(tmp_path / "m", "bin", [3000, 1000]))

    assert "about 2000" in said.out
    assert "note: Pickled weights state no sizes" in said.out
    written(said)


@pytest.mark.parametrize(
    ("dtype", "outtype"),
    [("BF16", "bf16"), ("F8_E4M3", "bf16"), ("F16", "f16"), ("F32", "f16")],
)
def test_the_converted_file_keeps_the_range_of_the_weights(
    new: New, tmp_path: Path, dtype: str, outtype: str
) -> None:
    recipe = written(new(repository(tmp_path / "m", tensors=llama_tensors(dtype=dtype))))

    assert recipe.convert.outtype == outtype


def test_rows_that_fit_no_block_are_accepted_where_they_matter(new: New, tmp_path: Path) -> None:
    recipe = written(new(repository(tmp_path / "m", tensors=llama_tensors(width=576))))

    assert {one.type: one.allow_fallback for one in recipe.quantize} == {
        "Q4_K_M": True,
        "Q5_K_M": True,
        "Q6_K": True,
        "Q8_0": False,
    }
    assert "(576, 1152 columns)" in FILE.read_text()


def test_larger_models_may_lose_less(new: New, tmp_path: Path) -> None:
    large = [("model.embed_tokens.weight", "BF16", (2_000_000, 4096))]
    digests = {"model.safetensors": "0" * 64}
    recipe = written(
        new(repository(tmp_path / "m", tensors=large, digests=digests), "--quantize", "Q4_K_M")
    )

    [quant] = recipe.quantize
    assert quant.limits.max_ppl_increase == pytest.approx(0.08)
    assert quant.limits.max_mean_kld == pytest.approx(0.1)
    assert not recipe.verify.reference_logits, "32 GB of memory are not asked of everybody"


def test_types_are_taken_in_any_spelling(new: New, tmp_path: Path) -> None:
    words = ("--quantize", "q4_k,Q8_0", "--quantize", "IQ4_NL, q8_0")
    recipe = written(new(repository(tmp_path / "m"), *words))

    assert [one.type for one in recipe.quantize] == ["Q4_K_M", "Q8_0", "IQ4_NL"]


def test_a_type_that_needs_an_importance_matrix_gets_one(new: New, tmp_path: Path) -> None:
    recipe = written(new(repository(tmp_path / "m"), "--quantize", "IQ2_XS,Q8_0"))

    assert recipe.imatrix is not None
    assert recipe.imatrix.corpus is not None
    assert recipe.imatrix.corpus.member == "wikitext-2-raw/wiki.train.raw"
    assert [one.imatrix for one in recipe.quantize] == [True, False]


def test_texts_of_the_user_are_named_relative_to_the_recipe(new: New, tmp_path: Path) -> None:
    Path("texts").mkdir()
    for name in ("measure.txt", "calibrate.txt"):
        (Path("texts") / name).write_text("words")
    Path("deep/er").mkdir(parents=True)
    target = Path("deep/er/mine.yaml")
    words = ("--corpus", "texts/measure.txt", "--calibration", "texts/calibrate.txt")

    recipe = written(new(repository(tmp_path / "m"), *words, "-o", target), target)

    stated = yaml.safe_load(target.read_text())
    assert stated["verify"]["perplexity"]["corpus"] == "../../texts/measure.txt"
    assert stated["imatrix"]["corpus"] == "../../texts/calibrate.txt"
    assert recipe.quantize[0].type == "IQ4_XS"
    assert all(one.imatrix for one in recipe.quantize[:-1])


def test_recipes_go_into_the_folder_of_recipes(new: New, tmp_path: Path) -> None:
    Path("recipes").mkdir()

    written(new(repository(tmp_path / "m")), Path("recipes") / FILE)


@pytest.mark.parametrize("revision", ["v1.0", COMMIT])
def test_another_revision(new: New, tmp_path: Path, revision: str) -> None:
    repo = replace(repository(tmp_path / "m"), branches=("main", "v1.0"))

    assert written(new(repo, "--revision", revision)).model.revision == COMMIT
    assert ("# What v1.0 was on" in FILE.read_text()) == (revision != COMMIT)


@pytest.mark.parametrize(
    ("card", "license_", "redistribute", "comment"),
    [
        ({"license": "MIT"}, "mit", True, ""),
        ({"license": ["cc-by-4.0"]}, "cc-by-4.0", True, ""),
        ({"license": "llama3.1"}, "llama3.1", None, "for the publisher to decide"),
        ({"license": "cc-by-nc-4.0"}, "cc-by-nc-4.0", None, "for the publisher to decide"),
        ({"license": ["mit", "other"]}, None, None, "states no licence"),
        ({"license": {"id": "mit"}}, None, None, "states no licence"),
        ({}, None, None, "states no licence"),
    ],
)
def test_only_free_licences_say_redistribute(
    new: New,
    tmp_path: Path,
    card: dict[str, Any],
    license_: str | None,
    redistribute: bool | None,
    comment: str,
) -> None:
    recipe = written(new(repository(tmp_path / "m", card=card)))

    assert recipe.publish.license == license_
    assert recipe.publish.redistribute is redistribute
    assert comment in FILE.read_text()


@pytest.mark.parametrize(
    ("front", "license_"), [("license: mit", "mit"), ("license: [", None), ("- x", None)]
)
def test_a_licence_that_only_the_card_itself_states_is_read(
    new: New, tmp_path: Path, front: str, license_: str | None
) -> None:
    silent = repository(tmp_path / "m", card={})
    (silent.folder / "README.md").write_text(f"---\n{front}\n---\n# A model\n")
    assert written(new(silent)).publish.license == license_


def test_a_licence_of_its_own_is_named_and_linked(new: New, tmp_path: Path) -> None:
    card = {"license": "other", "license_name": "it's #1", "license_link": "LICENSE"}
    written(new(repository(tmp_path / "m", card=card)))

    stated = yaml.safe_load(FILE.read_text())["publish"]
    link = f"https://huggingface.co/{NAME}/blob/{COMMIT}/LICENSE"
    assert stated == {"license": "other", "license_name": "it's #1", "license_link": link}


@pytest.mark.parametrize("link", ["javascript:alert(1)", "../../x", "https://u@x.y", "a b"])
def test_a_link_that_leads_nowhere_is_left_out(new: New, tmp_path: Path, link: str) -> None:
    card = {"license": "other", "license_link": link}
    written(new(repository(tmp_path / "m", card=card)))

    assert yaml.safe_load(FILE.read_text())["publish"] == {"license": "other"}


def test_a_gated_model_with_access_is_written_but_not_called_free(
    new: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_granted")
    granted = frozenset({"hf_granted"})
    said = new(repository(tmp_path / "m", card=FREE, gated=True, granted=granted))

    assert written(said).publish.redistribute is None
    assert "note: The repository is gated" in said.out
    assert "hf_granted" not in said.out + FILE.read_text()


def test_code_of_the_repository_is_not_trusted_by_itself(
    new: New, hub: Hub, tmp_path: Path
) -> None:
    config = {**LLAMA, "auto_map": {"AutoModel": "modeling_x.X"}}
    repo = repository(tmp_path / "m", config)
    (repo.folder / "modeling_x.py").write_text("raise SystemExit")

    said = new(repo)

    assert not written(said).model.trust_remote_code
    assert "  # trust_remote_code: true" in FILE.read_text()
    assert "note: The repository brings Python code" in said.out
    assert "modeling_x.py" not in hub.targets()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer_config.json", '{"chat_template": "{{ messages }}"}'),
        ("chat_template.jinja", "{{ messages }}"),
    ],
)
def test_a_chat_model_is_asked_a_question(
    new: New, tmp_path: Path, file: str, content: str
) -> None:
    repo = repository(tmp_path / "m")
    (repo.folder / file).write_text(content)

    smoke = written(new(repo)).verify.smoke

    assert smoke is not None
    assert smoke.prompt == "Question: What is the capital of France?\nAnswer:"


def test_a_model_that_writes_nothing_is_not_asked_to(new: New, tmp_path: Path) -> None:
    said = new(repository(tmp_path / "m", {**LLAMA, "architectures": ["BertModel"]}))

    recipe = written(said)
    verify = recipe.verify
    assert (verify.smoke, verify.perplexity, verify.kld, verify.speed) == (None, None, False, None)
    assert verify.embedding is not None
    assert recipe.publish.pipeline_tag == "feature-extraction"
    assert recipe.quantize[0].limits.min_mean_cosine == pytest.approx(0.955)
    assert "embeddings of texts are compared with the unquantized file's" in said.out


def test_a_reranker_is_measured_by_its_scores(new: New, tmp_path: Path) -> None:
    named = {**LLAMA, "architectures": ["XLMRobertaForSequenceClassification"]}

    recipe = written(new(repository(tmp_path / "m", named)))

    assert recipe.publish.pipeline_tag == "text-ranking"
    assert set(recipe.quantize[0].limits.model_dump(exclude_none=True)) == {"min_rank_agreement"}


@pytest.mark.parametrize(
    ("card", "modules", "tag"),
    [
        ({"pipeline_tag": "feature-extraction"}, False, "feature-extraction"),
        ({"pipeline_tag": "text-ranking"}, False, "text-ranking"),
        ({}, True, "sentence-similarity"),
    ],
)
def test_a_decoder_that_embeds_texts_is_no_text_generator(
    new: New, tmp_path: Path, card: dict[str, str], modules: bool, tag: str
) -> None:
    repo = repository(tmp_path / "m", card=card)
    if modules:
        (repo.folder / "modules.json").write_text("[]")

    recipe = written(new(repo))

    assert recipe.publish.pipeline_tag == tag
    assert (recipe.verify.smoke, recipe.verify.perplexity) == (None, None)
    assert recipe.verify.embedding is not None


def test_the_text_model_of_a_seeing_model_counts(new: New, tmp_path: Path) -> None:
    text = {**LLAMA, "architectures": ["Qwen3ForCausalLM"]}
    config = {"architectures": ["SomeForConditionalGeneration"], "text_config": text}

    assert written(new(repository(tmp_path / "m", config))).family == "qwen3"


def test_weights_that_are_quantized_already_are_told(new: New, tmp_path: Path) -> None:
    config = {**LLAMA, "quantization_config": {"quant_method": "gptq"}}

    said = new(repository(tmp_path / "m", config, llama_tensors(dtype="I32")))

    written(said)
    assert "note: The weights are quantized already (gptq)" in said.out
    assert "about 1.04 million" in said.out
    assert "note: Packed weights hide their number of parameters" in said.out


def test_an_unquantized_gguf_is_where_a_recipe_starts(new: New, tmp_path: Path) -> None:
    recipe = written(new(gguf_repository(tmp_path / "m", "x-Q4_0.gguf", "x-F16.gguf")))

    assert (recipe.model.file, recipe.model.format) == ("x-F16.gguf", "gguf")
    assert recipe.family == "bloomz"


def test_the_part_that_sees_is_not_taken_for_the_model(new: New, tmp_path: Path) -> None:
    names = ("mmproj-BF16.gguf", "mmproj-model-f16.gguf", "x-F16.gguf", "x-Q4_0.gguf")
    recipe = written(new(gguf_repository(tmp_path / "m", *names)))

    assert recipe.model.file == "x-F16.gguf"


@pytest.mark.parametrize("chain", load.names())
def test_every_tool_chain_writes_recipes(new: New, tmp_path: Path, chain: str) -> None:
    architecture = "BloomForCausalLM" if chain.startswith("bloomz") else "LlamaForCausalLM"
    repo = repository(tmp_path / "m", {**LLAMA, "architectures": [architecture]})

    recipe = written(new(repo, "--toolchain", chain))

    assert recipe.toolchain.name == chain
    assert recipe.quantize


def test_a_folder_of_a_repository_becomes_a_recipe_of_that_folder(
    orchestrate: Command, hub: Hub, tmp_path: Path
) -> None:
    whole = repository(tmp_path / "m", config=None, tensors=[], card=FREE)
    inner = repository(tmp_path / "m" / "weights" / "hf").folder
    wants = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<s>"]}
    (inner / "tokenizer_config.json").write_text(json.dumps(wants))
    hub.repos["models"]["org/many"] = whole

    said = orchestrate("new", "org/many/weights/hf", "-o", FILE, "--quantize", "Q8_0")
    wrong = orchestrate("new", "org/many/weight", "-o", "other.yaml")

    recipe = written(said)
    assert (recipe.name, recipe.model.hub) == ("many-weights-hf", "org/many")
    assert recipe.model.subfolder == "weights/hf"
    assert recipe.convert.options["transformers_5"] is True
    assert "mistral_tokenizer" not in recipe.convert.options
    assert wrong.code == 2
    assert "no folder 'weight'; did you mean 'weights'?" in wrong.err


def test_a_tokenizer_that_is_mistrals_alone_wants_its_package(new: New, tmp_path: Path) -> None:
    repo = repository(tmp_path / "m", card=FREE)
    (repo.folder / "tekken.json").write_text("{}")

    assert written(new(repo)).convert.options["mistral_tokenizer"] is True
