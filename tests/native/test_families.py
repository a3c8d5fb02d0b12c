"""The recipes of all families as they are, on miniatures that a local Hub serves.

Names, revisions and file layouts are the real ones; every step is real. Only what can hold
for the real weights alone is switched off, by ``--no-limits``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from gguf import GGUFReader

from orchestrator.base.digest import file_sha256
from orchestrator.recipe.without_checksums import NOTE
from orchestrator.runs import load_and_plan
from tests.hub import Hub
from tests.miniatures import hubs, repositories
from tests.support.model_families import PERPLEXITY, Ran, run, served
from tests.support.typed_commands import RECIPES, artifacts, ended, typed
from tests.support.warm_store import link

MODERN = (
    "llama-7b",
    "chimera-7b",
    "bloomz-7b1",
    "phoenix-7b",
    "falcon-7b",
    "chatglm3-6b",
    "glm-4-9b-chat",
)


def kinds(path: Path) -> list[str]:
    """F16 and the names of a recipe's files."""
    [recipe] = load_and_plan.load([path])
    return [recipe.converted_name, *(quant.name for quant in recipe.quantize)]


def tensors(path: Path) -> dict[str, tuple[int, str]]:
    """Type and digest of every tensor of a GGUF."""
    return {
        one.name: (int(one.tensor_type), hashlib.sha256(one.data.tobytes()).hexdigest())
        for one in GGUFReader(path).tensors
    }


@pytest.fixture(scope="module")
def modern(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """All recipes as one plan."""
    place = tmp_path_factory.mktemp("modern")
    link(place / "store", "llama.cpp")
    for hub in served(place, repositories.MODERN):
        yield run(place, hub, RECIPES, MODERN, "-j", "2", "-t", "2")


@pytest.mark.parametrize("recipe", MODERN)
def test_every_file_of_an_unchanged_recipe_is_made_and_measured(modern: Ran, recipe: str) -> None:
    assert modern.said.code == 0, modern.said.all
    report = modern.report(recipe)
    assert [one["type"] for one in report["files"]] == kinds(RECIPES / f"{recipe}.yaml")
    for row in report["files"]:
        checks = modern.checks(recipe, row["type"])
        assert checks["structure"]["status"] == "pass"
        assert checks["smoke"]["numbers"]["text"].strip()
        # Miniatures tell stories: an untrained model of this size would say 700.
        assert 1 < checks["perplexity"]["numbers"]["perplexity"] < 3
        assert row["generation_per_second"] > 0
        if row["type"] != "F16":
            assert checks["kld"]["numbers"]["mean"] < 0.01
            assert file_sha256(modern.file(recipe, row["type"])) == row["sha256"]


def test_what_recipes_share_was_done_once(modern: Ran) -> None:
    done = ended(modern.place / "log", "done")
    assert set(done.values()) == {1}
    fetched = [label for label in done if label.startswith("fetch ")]
    assert len(fetched) == len(repositories.MODERN) + 1  # and the one text of them all
    assert len([label for label in fetched if "huggyllama/llama-7b" in label]) == 1


def test_one_weight_format_is_fetched_and_no_code(modern: Ran) -> None:
    suffixes = {
        "huggyllama/llama-7b": ".safetensors",
        "FreedomIntelligence/chimera-chat-7b-delta": ".bin",
        "FreedomIntelligence/phoenix-chat-7b": ".bin",
        "bigscience/bloomz-7b1": ".safetensors",
        "tiiuae/falcon-7b": ".safetensors",
        "THUDM/glm-4-9b-chat-hf": ".safetensors",
    }
    for repo, suffix in suffixes.items():
        found = Counter(Path(name).suffix for name in modern.snapshot(repo))
        assert found[suffix] == (1 if repo == "bigscience/bloomz-7b1" else 2), repo
        strange = {".safetensors", ".bin", ".py", ".msgpack", ".onnx", ".tfevents"} - {suffix}
        assert not strange & set(found), repo
    code = {"modeling_falcon.py", "configuration_falcon.py", "handler.py"}
    assert not code & modern.hub.targets()
    assert "training_args.bin" not in modern.hub.targets()


def test_code_is_fetched_and_run_where_it_is_trusted(modern: Ran) -> None:
    repo = "THUDM/chatglm3-6b"
    code = {"tokenization_chatglm.py", "configuration_chatglm.py"}
    assert code < modern.snapshot(repo)
    # Its tokenizer says what the tokens are, and refuses to run online or beside a token.
    fields = GGUFReader(modern.file("chatglm3-6b", "Q8_0")).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert fields["tokenizer.ggml.pre"].contents() == "chatglm-spm"
    assert tokens[:3] == ["<unk>", "<bos>", "<eos>"]
    assert "<|observation|>" in tokens
    assert not list((modern.place / "hf").rglob("transformers_modules"))


def test_sizes_were_predicted_to_the_byte(modern: Ran) -> None:
    sizes: dict[str, dict[str, int]] = {}
    for folder in artifacts(modern.store)["forecast"]:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        recipe = manifest["label"].rpartition(" ")[2]
        facts = manifest["facts"]
        sizes[recipe] = {name: told["size"] for name, told in facts["outputs"].items()}
        assert facts["full"]["size"] == modern.converted(recipe).stat().st_size
    assert sizes.keys() == set(MODERN)
    for recipe, told in sizes.items():
        found = {name: modern.file(recipe, name).stat().st_size for name in told}
        assert found == told


def test_a_merge_of_fetched_models_is_that_of_the_same_models_at_home(modern: Ran) -> None:
    recipe = RECIPES / "tiny" / "chimera.yaml"
    out = modern.place / "at-home"
    options = ("--only", "Q4_0", "--no-verify", "-t", "2")
    said = typed("run", recipe, *options, "--out", out, home=modern.store)
    assert said.code == 0, said.all
    there = tensors(modern.file("chimera-7b", "Q4_0"))
    assert there == tensors(out / "tiny-chimera" / "tiny-chimera-Q4_0.gguf")
    assert tensors(modern.converted("chimera-7b")) == tensors(modern.converted("tiny-chimera"))
    rows = GGUFReader(modern.file("chimera-7b", "Q4_0")).get_tensor(0).shape
    assert 769 in rows.tolist()  # the base's 768 and <pad>


def test_both_halves_of_a_merge_are_in_what_it_says(modern: Ran) -> None:
    assert modern.perplexity("llama-7b") == pytest.approx(PERPLEXITY["llama"], rel=0.01)
    assert modern.perplexity("chimera-7b") == pytest.approx(PERPLEXITY["chimera"], rel=0.01)


def test_reports_say_what_was_resolved_and_what_was_not_held(modern: Ran) -> None:
    report = modern.report("chimera-7b")
    delta = "FreedomIntelligence/chimera-chat-7b-delta"
    assert f"{delta} at {hubs.revision(delta)}" in report["pins"].values()
    assert any("'main'" in note for note in report["notes"])
    assert NOTE in report["notes"]


def test_afterwards_no_network_is_needed(modern: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """Branches are what they were when their files were fetched."""
    monkeypatch.setenv("HF_HOME", str(modern.place / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = modern.place / "again"
    paths = [RECIPES / f"{name}.yaml" for name in MODERN]
    where = ("--out", str(modern.place / "dist"), "--log-json", str(again))
    said = typed("run", *paths, "--no-limits", "--offline", *where, home=modern.store)
    assert said.code == 0, said.all
    assert not ended(again, "done")


def test_a_plan_of_a_merge_reads_kilobytes(
    modern: Ran, store_with: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_with("llama.cpp")
    repos, datasets = modern.hub.repos["models"], modern.hub.repos["datasets"]
    with Hub(repos, datasets) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        said = typed("plan", RECIPES / "chimera-7b.yaml", "--json")
        assert sum(request.sent for request in hub.requests) < 1 << 20
        assert hub.served("pytorch_model-00001-of-00002.bin") == 0
    assert said.code == 0, said.all
    assert "estimate" not in said.out
    for kind in kinds(RECIPES / "chimera-7b.yaml")[1:]:
        assert str(modern.file("chimera-7b", kind).stat().st_size) in said.out


def test_code_that_is_not_trusted_stops_before_weights_are_fetched(
    modern: Ran, store_with: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_with("llama.cpp")
    recipe = tmp_path / "untrusted.yaml"
    model = {"hub": "THUDM/chatglm3-6b", "revision": hubs.revision("THUDM/chatglm3-6b")}
    extends = str(RECIPES / "chatglm3-6b.yaml")
    recipe.write_text(yaml.safe_dump({"extends": extends, "name": "untrusted", "model": model}))
    with Hub(modern.hub.repos["models"], modern.hub.repos["datasets"]) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        said = typed("run", recipe, "--out", tmp_path / "dist")
        weights = [f"model-{n}-of-00003.safetensors" for n in ("00001", "00002", "00003")]
        assert sum(map(hub.served, weights)) < 200_000  # their headers; they have 3.2 MB
        assert not [target for target in hub.targets() if target.endswith(".py")]
    assert said.code == 1
    assert "This model brings Python code of its own" in said.all
    assert "trust_remote_code: true" in said.all
