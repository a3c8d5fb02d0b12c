"""Which models a tool chain converts, as its data says."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.recipe import RecipeError, load
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import families
from orchestrator.toolchain import load as toolchain
from tests.support.recipes import MINIMAL, write

CHAINS = toolchain.names()
SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "list_architectures.py"


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("LlamaForCausalLM", "llama"),
        ("MistralForCausalLM", "llama"),
        ("Qwen3ForCausalLM", "qwen3"),
        ("Gemma3ForCausalLM", "gemma3"),
        ("Phi3ForCausalLM", "phi3"),
        ("BloomForCausalLM", "bloomz"),
        ("FalconForCausalLM", "falcon"),
        ("ChatGLMModel", "chatglm"),
    ],
)
def test_the_pinned_converter_knows_an_architecture(architecture: str, family: str) -> None:
    known = families.load(toolchain.load("llama.cpp").folder)

    assert known.architectures[architecture] == family


@pytest.mark.parametrize(
    ("architecture", "family"),
    [("qwen3", "qwen3"), ("bloom", "bloomz"), ("chimera", "chimera"), ("", ""), ("lama", "")],
)
def test_a_gguf_file_has_a_family(architecture: str, family: str) -> None:
    assert families.load(toolchain.load("llama.cpp").folder).of_gguf(architecture) == family


@pytest.mark.parametrize("chain", CHAINS)
def test_the_data_of_every_tool_chain_is_sound(chain: str) -> None:
    found = families.load(toolchain.load(chain).folder)

    assert found.names
    assert set(found.silent) <= found.names


def test_a_recipe_may_name_any_family_of_its_tool_chain(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("family: llama", "family: qwen3moe"))

    assert load(path, load_and_plan.vocabulary).family == "qwen3moe"


def test_a_family_of_another_tool_chain_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("toolchain: llama.cpp", "toolchain: bloomz.cpp"))

    with pytest.raises(RecipeError) as caught:
        load(path, load_and_plan.vocabulary)

    assert f"{path}:2:9: family: 'llama' is no family that this" in str(caught.value)


def test_another_commit_may_know_other_families(tmp_path: Path) -> None:
    newer = "toolchain: {name: llama.cpp, commit: main}"
    text = MINIMAL.replace("family: llama", "family: llama9")
    path = write(tmp_path, text.replace("toolchain: llama.cpp", newer))

    assert load(path, load_and_plan.vocabulary).family == "llama9"


def test_a_tool_chain_without_the_data_takes_any_family(tmp_path: Path) -> None:
    assert families.load(tmp_path).names == frozenset()


@pytest.mark.parametrize("text", ["[a, b]", "also: [", "alos: [a]", "architectures: [a]"])
def test_wrong_data_is_told_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "families.yaml").write_text(text)

    with pytest.raises(UsageError, match=r"families\.yaml") as caught:
        families.load(tmp_path)

    assert caught.value.hint == "Fix the tool chain's data."


def test_the_list_is_read_from_the_converter_without_running_it(tmp_path: Path) -> None:
    files = {
        "gguf-py/gguf/constants.py": """\
            MODEL_ARCH_NAMES: dict[MODEL_ARCH, str] = {MODEL_ARCH.ONE: "one", MODEL_ARCH.TWO: "two"}
            """,
        "conversion/__init__.py": """\
            TEXT_MODEL_MAP: dict[str, str] = {"A": "x", "B": "x", "C": "x", "Seen": "x"}
            """,
        "conversion/x.py": """\
            raise SystemExit("it was run")
            @ModelBase.register("A", "Forgotten")
            class A(TextModel):
                model_arch = gguf.MODEL_ARCH.ONE
            @ModelBase.register("B")
            @ModelBase.register("C")
            class BC(A):
                model_arch = gguf.MODEL_ARCH.TWO
            @ModelBase.register("Seen")
            class Eyes(MmprojModel):
                model_arch = gguf.MODEL_ARCH.MMPROJ
            """,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    target = tmp_path / "architectures.yaml"
    command = [sys.executable, str(SCRIPT), str(tmp_path), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert families.load(tmp_path).architectures == {"A": "one", "B": "two", "C": "two"}
    assert "Seen" in done.stdout
