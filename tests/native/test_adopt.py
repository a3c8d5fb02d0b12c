"""Quantize in odd ways, adopt what came out, run the adopted recipe: the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.base.digest import file_sha256
from tests.support.typed_commands import MODELS, RECIPES, typed
from tests.support.warm_store import link

MODEL = MODELS / "llama"
CORPUS = RECIPES / "tiny" / "corpus" / "calibration.txt"
ODD: dict[str, dict[str, Any]] = {
    "shifted": {"type": "Q4_K_M", "tensor_types": {r"blk\.0\.attn_v": "q8_0"}},
    "several": {
        "type": "Q4_K_M",
        "output_tensor_type": "q8_0",
        "tensor_types": {r"blk\.(0|2)\.(attn_v|ffn_down)": "q5_k", "ffn_up": "q6_k"},
    },
    "matrix": {
        "type": "IQ4_XS",
        "imatrix": True,
        "token_embedding_type": "q5_k",
        "tensor_types": {"attn_(k|q)": "iq4_nl"},
    },
    "pure": {"type": "Q4_K_M", "pure": True},
    "plain": {"type": "Q3_K_L"},
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store and the folder of oddly quantized files."""
    place = tmp_path_factory.mktemp("odd")
    link(place / "store", "llama.cpp")
    recipe = {
        "name": "odd",
        "family": "llama",
        "toolchain": "llama.cpp",
        "model": {"path": str(MODEL)},
        "imatrix": {"corpus": str(CORPUS), "chunks": 4, "context": 512},
        "quantize": [{"name": name, **options} for name, options in ODD.items()],
    }
    (place / "odd.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    options = ("--no-verify", "-t", "1", "--out", place)
    said = typed("run", place / "odd.yaml", *options, home=place / "store")
    assert said.code == 0, said.all
    return place / "store", place / "odd"


@pytest.mark.parametrize("name", ODD)
def test_an_adopted_recipe_makes_the_same_bytes(
    odd: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    home, folder = odd
    file, recipe = folder / f"odd-{name}.gguf", tmp_path / "adopted.yaml"

    said = typed(
        *("adopt", file, "-o", recipe, "--model", MODEL, "--corpus", CORPUS, "-t", "1"), home=home
    )

    assert said.code == 0, said.all
    [quant] = yaml.safe_load(recipe.read_text("utf-8"))["quantize"]
    assert _words(quant) <= _words(ODD[name])
    out = ("--no-verify", "-t", "1", "--out", tmp_path / "dist")
    done = typed("run", recipe, *out, home=home)
    assert done.code == 0, done.all
    [made] = tmp_path.glob("dist/*/*.gguf")
    assert file_sha256(made) == file_sha256(file)


def _words(options: dict[str, Any]) -> int:
    """How many things options say."""
    return len(options.get("tensor_types", {})) + len(options)


def test_without_a_target_the_recipe_is_printed(odd: tuple[Path, Path]) -> None:
    home, folder = odd

    said = typed("adopt", folder / "odd-plain.gguf", "-t", "1", home=home)

    assert said.code == 0, said.all
    recipe = yaml.safe_load(said.out)
    assert recipe["quantize"] == [{"type": "Q3_K_L"}]
    assert "Not known: the model." in said.out


def test_a_file_that_hides_its_type_is_explained_with_the_fewest_words(
    odd: tuple[Path, Path], tmp_path: Path
) -> None:
    home, folder = odd
    whole = (folder / "odd-plain.gguf").read_bytes()
    at = whole.index(b"general.file_type") + len(b"general.file_type") + 4
    hidden = tmp_path / "hidden.gguf"
    hidden.write_bytes(whole[:at] + (1024).to_bytes(4, "little") + whole[at + 4 :])

    said = typed("adopt", hidden, "-t", "1", home=home)

    assert said.code == 0, said.all
    assert yaml.safe_load(said.out)["quantize"] == [{"type": "Q3_K_L"}]
