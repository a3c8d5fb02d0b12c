"""The recipes of all families as they are, on miniatures that a local Hub serves.

Names, revisions and file layouts are the real ones; every step is real. Only what can hold
for the real weights alone is switched off, by ``--no-limits``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from gguf import GGUFReader

from orchestrator import native, toolchain, workflow
from orchestrator.digest import file_sha256
from orchestrator.standin import NOTE
from tests.hub import Hub
from tests.miniatures import hubs, repositories
from tests.miniatures.repositories import Layout
from tests.native.conftest import link, ready
from tests.native.test_standin_chain import reachable
from tests.native.typed import RECIPES, Said, artifacts, ended, typed

TOKEN = "hf_must_not_reach_what_a_repository_runs"
MODERN = (
    "llama-7b",
    "chimera-7b",
    "bloomz-7b1",
    "phoenix-7b",
    "falcon-7b",
    "chatglm3-6b",
    "glm-4-9b-chat",
)
OLD = ("llama-7b", "llama-7b-v3", "chimera-7b")
BLOOMZ = ("bloomz-7b1", "phoenix-7b")


@dataclass(frozen=True)
class Ran:
    """One run of several recipes: the Hub that served it, what it said and left."""

    place: Path
    hub: Hub
    recipes: Path
    said: Said

    @property
    def store(self) -> Path:
        return self.place / "store"

    def file(self, recipe: str, kind: str, suffix: str = ".gguf") -> Path:
        return self.place / "dist" / recipe / f"{recipe}-{kind}{suffix}"

    def report(self, recipe: str) -> dict[str, Any]:
        text = (self.place / "dist" / recipe / "report.json").read_text("utf-8")
        found: dict[str, Any] = json.loads(text)
        return found

    def row(self, recipe: str, kind: str) -> dict[str, Any]:
        [found] = [one for one in self.report(recipe)["files"] if one["type"] == kind]
        assert isinstance(found, dict)
        return found

    def snapshot(self, repo: str) -> set[str]:
        """The files of a repository that came into the Hub client's cache."""
        folder = self.place / "hf" / "hub" / f"models--{repo.replace('/', '--')}" / "snapshots"
        root = folder / hubs.revision(repo)
        return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

    def converted(self, recipe: str) -> Path:
        """The F16 that the files of a recipe were made from; it stays in the store."""
        for folder in artifacts(self.store)["convert"]:
            label = json.loads((folder / "manifest.json").read_text("utf-8"))["label"]
            if label == f"convert {recipe} to F16":
                [found] = (folder / "files").iterdir()
                return found
        raise AssertionError(f"{recipe} was not converted")


Table = Mapping[str, Callable[[Layout], None]]


def python() -> Path:
    return native.environment_python(ready("llama.cpp")["environment"])


def served(place: Path, table: Table) -> Iterator[Hub]:
    """A Hub of miniatures, and an environment in which the client finds it."""
    with hubs.make(place / "hub", table, python()) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place))
        patch.setenv("HF_HOME", str(place / "hf"))
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_TOKEN", TOKEN)
        yield hub


def run(place: Path, hub: Hub, recipes: Path, names: tuple[str, ...], *more: str) -> Ran:
    paths = [recipes / f"{name}.yaml" for name in names]
    where = ("--out", str(place / "dist"), "--log-json", str(place / "log"))
    said = typed("run", *paths, "--no-limits", *where, *more, home=place / "store")
    return Ran(place, hub, recipes, said)


def kinds(path: Path) -> list[str]:
    """F16 and the names of a recipe's files."""
    [recipe] = workflow.load([path])
    return [recipe.converted_name, *(quant.name for quant in recipe.quantize)]


def tensors(path: Path) -> dict[str, tuple[int, str]]:
    """Type and digest of every tensor of a GGUF."""
    return {
        one.name: (int(one.tensor_type), hashlib.sha256(one.data.tobytes()).hexdigest())
        for one in GGUFReader(path).tensors
    }


# -- GGUF, by today's llama.cpp -----------------------------------------------------------------


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
        checks = {one["name"]: one for one in row["checks"]}
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


def test_sizes_were_foretold_to_the_byte(modern: Ran) -> None:
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
    assert "this model brings Python code of its own" in said.all
    assert "trust_remote_code: true" in said.all


# -- GGML, by the tools of 2023 -----------------------------------------------------------------


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the recipes with Meta's files where the recipes want them."""
    place = tmp_path_factory.mktemp("copied")
    shutil.copytree(RECIPES, place / "recipes")
    layout = Layout(place / "recipes" / "ggml" / "models" / "7B")
    layout.folder.mkdir(parents=True)
    repositories.meta_files(layout, layers=32)
    hubs.torch_writes([layout], python(), place / "jobs")
    return place / "recipes" / "ggml"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, copied: Path) -> Iterator[Ran]:
    """The llama recipes of 2023. Their tools wait by spinning, so they get one thread."""
    place = tmp_path_factory.mktemp("old")
    for name in ("llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3"):
        link(place / "store", name)
    for hub in served(place, repositories.OLD):
        yield run(place, hub, copied, OLD, "-t", "1")


@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        ("llama-7b-ggml", {"F16": 16.0, "Q4_0": 5.0, "Q4_1": 6.0}),
        (
            "llama-7b-ggml-v3",
            {"F16": 16.0, "Q4_0": 4.5, "Q4_1": 5.0, "Q5_0": 5.5, "Q5_1": 6.0, "Q8_0": 8.5},
        ),
        ("chimera-7b-ggml", {"F16": 16.0, "Q4_0": 5.0}),
    ],
)
def test_files_of_2023_are_made_and_measured(old: Ran, recipe: str, bits: dict[str, float]) -> None:
    assert old.said.code == 0, old.said.all
    assert [one["type"] for one in old.report(recipe)["files"]] == list(bits)
    for kind, expected in bits.items():
        row = old.row(recipe, kind)
        assert row["bits_per_weight"] == pytest.approx(expected, abs=0.05)
        checks = {one["name"]: one for one in row["checks"]}
        assert checks["structure"]["status"] == "pass"
        assert 1 < checks["perplexity"]["numbers"]["perplexity"] < 3
        assert checks["smoke"]["numbers"]["text"].strip()


def test_both_chains_of_2023_make_the_same_f16(old: Ran) -> None:
    """As upstream's SHA256SUMS of both commits state it for the real one."""
    first, third = old.converted("llama-7b-ggml"), old.converted("llama-7b-ggml-v3")
    assert file_sha256(first) == file_sha256(third)


def test_two_ways_to_one_model_tell_the_same_stories(old: Ran, modern: Ran) -> None:
    """Layers that add nothing stand for those that the old tools want."""

    def perplexity(ran: Ran, recipe: str) -> float:
        checks = ran.row(recipe, "F16")["checks"]
        [found] = [one["numbers"]["perplexity"] for one in checks if one["name"] == "perplexity"]
        return float(found)

    llama = perplexity(modern, "llama-7b")
    assert perplexity(old, "llama-7b-ggml") == pytest.approx(llama, rel=0.02)
    assert perplexity(old, "llama-7b-ggml-v3") == pytest.approx(llama, rel=0.02)
    chimera = perplexity(modern, "chimera-7b")
    assert perplexity(old, "chimera-7b-ggml") == pytest.approx(chimera, rel=0.05)


def test_input_checksums_hold_without_the_flag(old: Ran, copied: Path, tmp_path: Path) -> None:
    said = typed("run", copied / "llama-7b.yaml", "--out", tmp_path, home=old.store)
    assert said.code == 2
    assert "is not the file the recipe means" in said.all
    assert NOTE in old.report("llama-7b-ggml")["notes"]


@pytest.fixture(scope="module")
def bloomz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """The recipes of bloomz.cpp, where its repository or a mirror of it can be had."""
    names = ("bloomz.cpp", "bloomz.cpp-phoenix")
    problems = {reachable(toolchain.load(name).source.git) for name in names} - {""}
    if problems:
        pytest.skip("; ".join(problems))
    place = tmp_path_factory.mktemp("bloomz")
    for name in names:
        link(place / "store", name)
    for hub in served(place, repositories.OLD):
        yield run(place, hub, RECIPES / "ggml", BLOOMZ, "-t", "2")


@pytest.mark.parametrize("recipe", [f"{name}-ggml" for name in BLOOMZ])
def test_files_of_bloomz_are_made_and_checked(bloomz: Ran, recipe: str) -> None:
    assert bloomz.said.code == 0, bloomz.said.all
    row = bloomz.row(recipe, "Q4_0")
    checks = {one["name"]: one for one in row["checks"]}
    assert checks["structure"]["status"] == "pass"
    assert checks["census"]["numbers"]["census"] == {"F32": 20, "Q4_0": 10}
    assert checks["smoke"]["numbers"]["text"].strip()
    assert row["bits_per_weight"] == pytest.approx(5.1, abs=0.05)


def test_safetensors_and_bin_become_the_same_ggml_file(bloomz: Ran) -> None:
    """Phoenix's shards and bloomz's one file hold the same weights here."""
    first, second = bloomz.converted("bloomz-7b1-ggml"), bloomz.converted("phoenix-7b-ggml")
    assert file_sha256(first) == file_sha256(second)
