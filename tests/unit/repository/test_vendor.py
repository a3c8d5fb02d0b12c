"""The tool chains' data: complete, and right for every system."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.toolchain import load
from orchestrator.toolchain.model import Verb
from tests.standin import ggml_files

CHAINS = load.names()
OLD = ("bloomz.cpp", "bloomz.cpp-phoenix", "llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3")
LINUX = {"bin": "/store/bin", "src": "/store/src", "data": "/data", "exe": "", "scratch": "/s"}
WINDOWS = {
    "bin": "C:\\store\\bin",
    "src": "C:\\store\\src",
    "data": "C:\\data",
    "exe": ".exe",
    "scratch": "C:\\s",
}
NAMES = (
    "python",
    "input",
    "output",
    "output_dir",
    "outtype",
    "model_name",
    "tokenizer_pre",
    "single_safetensors",
    "type",
    "threads",
    "corpus",
    "context",
    "alias",
    "host",
    "port",
    "chunks",
    "save",
    "prompt",
    "tokens",
    "norm_eps",
    "gqa",
    "eps",
    "logits",
    "dataset",
    "prompt_tokens",
    "generate_tokens",
    "repetitions",
    "source",
    "size",
    "imatrix",
    "previous",
    "output_tensor_type",
    "token_embedding_type",
    "gpu_layers",
    "texts",
    "pooling",
    "mmproj",
    "image",
    "templates",
    "changes",
    "adapter",
    "base",
    "script",
)
GIVEN = {name: f"<{name}>" for name in NAMES}
SWITCHES = {
    "dry_run": True,
    "pure": True,
    "allow_requantize": True,
    "trust_remote_code": True,
    "ranks": True,
}
MAPPINGS = {"tensor_types": {"attn_v": "q8_0"}, "override_kv": {"a.b": "int:1"}}
OPTIONAL = (
    "tokenizer_pre",
    "single_safetensors",
    "norm_eps",
    "gqa",
    "save",
    "imatrix",
    "gpu_layers",
    "pooling",
)


def verbs() -> list[Any]:
    return [
        pytest.param(chain, name, id=f"{chain}-{name}")
        for chain in CHAINS
        for name in load.load(chain).verbs
    ]


def patterns(verb: Verb) -> list[str]:
    expect = verb.expect
    several = (expect.match, expect.never, expect.count, expect.number, expect.echo.values())
    own = [verb.progress, *verb.values.values(), *verb.lists.values()]
    return [*own, *(one for some in several for one in some), *(e.match for e in verb.errors)]


def test_all_five_are_here() -> None:
    assert {*OLD, "llama.cpp"} <= set(CHAINS)


@pytest.mark.parametrize(("chain", "verb"), verbs())
@pytest.mark.parametrize("places", [LINUX, WINDOWS], ids=["linux", "windows"])
@pytest.mark.parametrize("full", [True, False], ids=["all", "least"])
def test_every_verb_expands(chain: str, verb: str, places: dict[str, str], full: bool) -> None:
    values: dict[str, Any] = {**places, **GIVEN, **SWITCHES, **MAPPINGS}
    if not full:
        values = {k: v for k, v in values.items() if k not in (*OPTIONAL, *SWITCHES, *MAPPINGS)}
    argv = load.load(chain).verbs[verb].expand(values)
    assert all(argv)
    assert not [item for item in argv if "{" in item or "}" in item]
    assert argv[0] == "<python>" or argv[0].startswith(places["bin"])
    for item in argv:
        assert not ("C:" in item and "/" in item), "two separators in one path"
    if places is WINDOWS and argv[0] != "<python>":
        assert argv[0].endswith(".exe")


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64"])
def test_builds_are_portable_by_default(chain: str, platform: str, machine: str) -> None:
    build = load.load(chain).build
    for backend in build.backend_names:
        options = build.arguments("portable", backend, platform, machine)
        assert any("-ffp-contract=off" in option for option in options)
        assert not any(re.search(r"NATIVE=ON|march=native", option) for option in options)
    assert build.arguments("native", "cpu", platform, machine)
    with pytest.raises(UsageError, match="build profile"):
        build.arguments("fast", "cpu", platform, machine)


@pytest.mark.parametrize("chain", OLD)
@pytest.mark.parametrize("suffix", ["", ".exe"])
def test_products_are_found_in_either_layout(chain: str, suffix: str, tmp_path: Path) -> None:
    build = load.load(chain).build
    for layout in ("bin", "bin/Release"):
        assert layout in build.binaries
        folder = tmp_path / layout
        folder.mkdir(parents=True)
        for target in build.targets:
            (folder / f"{target}{suffix}").touch()
        found = {path.name for pattern in build.products for path in folder.glob(pattern)}
        assert {f"{target}{suffix}" for target in build.targets} <= found


@pytest.mark.parametrize("chain", OLD)
def test_files_that_the_data_names_exist(chain: str) -> None:
    found = load.load(chain)
    build = found.build
    named = [*build.overlay.values(), build.cmakelists, "requirements.txt"]
    named += re.findall(r"\{data\}/([\w./-]+)", repr(build.self_test) + repr(found.verbs))
    for name in filter(None, named):
        assert (found.folder / name).is_file(), name
    assert load.build_identity(found, (), found.source.commit)["files"]


@pytest.mark.parametrize(("chain", "verb"), verbs())
def test_patterns_compile_and_name_what_is_read(chain: str, verb: str) -> None:
    data = load.load(chain).verbs[verb]
    for pattern in filter(None, patterns(data)):
        re.compile(pattern)
    if data.progress:
        assert "done" in re.compile(data.progress).groupindex
        assert "total" in re.compile(data.progress).groupindex or data.progress_total or data.unit
    for pattern in (*data.values.values(), *data.expect.number):
        assert re.compile(pattern).groups == 1
    for known in data.errors:
        groups = dict.fromkeys(re.compile(known.match).groupindex, "x")
        for sentence in (known.say, known.hint):
            fields = {name for _, name, _, _ in string.Formatter().parse(sentence) if name}
            assert fields <= groups.keys()
            sentence.format_map(groups)


def test_types_of_the_old_chains_have_numbers() -> None:
    numbers = {
        chain: {name: spec.argument for name, spec in load.load(chain).types.items()}
        for chain in OLD
    }
    assert numbers["llama.cpp-ggjt-v1"] == {"Q4_0": "2", "Q4_1": "3", "Q4_2": "5", "Q4_3": "6"}
    assert numbers["llama.cpp-ggjt-v3"]["Q4_K_M"] == "15"
    assert numbers["bloomz.cpp"] == {"Q4_0": "2"}
    assert numbers["bloomz.cpp-phoenix"] == {"Q4_0": "2", "Q4_1": "3"}
    assert load.load("llama.cpp-ggjt-v3").canonical_type("q4_k") == "Q4_K_M"


def test_phoenix_is_the_commit_before_and_nothing_else() -> None:
    one, other = load.load("bloomz.cpp"), load.load("bloomz.cpp-phoenix")
    assert one.build == other.build
    assert one.environment == other.environment
    shared = {name: verb for name, verb in one.verbs.items() if name != "quantize"}
    assert shared == {name: verb for name, verb in other.verbs.items() if name != "quantize"}
    assert one.source.commit != other.source.commit
    for name in ("CMakeLists.txt", "requirements.txt", "selftest.bin"):
        assert (one.folder / name).read_bytes() == (other.folder / name).read_bytes()


def test_self_test_models_come_from_their_generator() -> None:
    for chain in ("llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3"):
        assert (load.VENDOR / chain / "selftest.bin").read_bytes() == ggml_files.llama()
    assert (load.VENDOR / "bloomz.cpp" / "selftest.bin").read_bytes() == ggml_files.bloom()


def test_the_build_of_ggjt_v3_says_its_own_commit() -> None:
    chain = load.load("llama.cpp-ggjt-v3")
    [(place, name)] = chain.build.overlay.items()
    assert place == "scripts/build-info.cmake"
    assert f'"{chain.source.commit[:7]}"' in (chain.folder / name).read_text("utf-8")


def test_mirrors_of_the_sdists_are_trees_pinned_by_digest() -> None:
    for chain, version in (("llama.cpp-ggjt-v1", "0.1.36"), ("llama.cpp-ggjt-v3", "0.1.78")):
        [mirror] = load.load(chain).source.mirrors
        assert (mirror.pypi, mirror.version) == ("llama-cpp-python", version)
        assert mirror.tree == "vendor/llama.cpp"
        assert not mirror.git_dir


@pytest.mark.parametrize("name", CHAINS)
def test_a_smoke_test_ends_after_minutes(name: str) -> None:
    """What a model's file holds, its chat template among it, may keep a tool busy for ever."""
    verbs = load.load(name).verbs
    limits = [verbs[verb].timeout for verb in ("complete", "complete_python") if verb in verbs]

    assert limits
    assert all(limit is not None and limit <= 600 for limit in limits)


def test_options_of_matrices_reach_their_tools() -> None:
    chain = load.load("llama.cpp")
    wanted: dict[str, dict[str, Any]] = {
        "quantize": {"include_weights": ["attn_q", "ffn"], "exclude_weights": ["blk.0."]},
        "imatrix": {"from_chunk": 0, "parse_special": True, "process_output": True},
    }
    found = {}
    for name, options in wanted.items():
        verb = chain.verb(name)
        given = verb.given(options)
        places = {"bin": "bin", "exe": "", "threads": "1"}
        empty = {"tensor_types": {}, "override_kv": {}, "gpu_layers": ""}
        values = {**GIVEN, **places, **empty, **given}
        found[name] = verb.with_options(given).expand(values)

    weights = ["--include-weights", "attn_q", "--include-weights", "ffn"]
    assert found["quantize"][1:7] == [*weights, "--exclude-weights", "blk.0."]
    assert found["imatrix"][-4:] == ["--from-chunk", "0", "--parse-special", "--process-output"]
