"""Recipes written from the headers of strangers' files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.modelfiles import gguf
from orchestrator.recipe import Recipe, load
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain.quantizer_facts import write_stand_in
from orchestrator.workflows.drafting import adopted_recipe
from orchestrator.workflows.drafting.adopt_file import adopt
from orchestrator.workflows.drafting.adopted_recipe import File, Given, Guesses
from orchestrator.workflows.drafting.published_files import Place
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes

FACTS: Mapping[str, Any] = {
    "type": "Q4_K_M",
    "options": {},
    "unexplained": [],
    "fixed": [],
    "fallbacks": False,
}
SHA256 = "ab" * 32


def published(folder: Path, fields: Mapping[str, str | int], **facts: Any) -> File:
    path = folder / "some file.gguf"
    kinds = {str: "str", int: "u32"}
    spec = {"general.architecture": KV("str", "llama")}
    spec |= {key: KV(kinds[type(value)], value) for key, value in fields.items()}
    path.write_bytes(gguf_bytes(GGUFSpec(spec, [Tensor("token_embd.weight", (32, 2), "F16")])))
    header = gguf.read(path)
    return File(path.name, {path.name: SHA256}, header.file_size, header, {**FACTS, **facts})


def at(folder: Path, **more: Any) -> Given:
    """What is known of a file in a folder beside its header."""
    return Given(where={"folder": str(folder)}, **more)


def loaded(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, load_and_plan.vocabulary)


def test_options_and_digest_are_in_the_recipe(tmp_path: Path) -> None:
    options = {
        "pure": True,
        "output_tensor_type": "q8_0",
        "tensor_types": {r"blk\.(0|1)\.attn_v": "q6_k"},
    }
    file = published(tmp_path, {}, options=options, fallbacks=True)

    recipe = loaded(
        tmp_path, adopted_recipe.recipe([file], Given({"hub": "a/b", "revision": "main"}))
    )

    [quant] = recipe.quantize
    assert (quant.type, quant.pure, quant.output_tensor_type) == ("Q4_K_M", True, "q8_0")
    assert quant.tensor_types == {r"blk\.(0|1)\.attn_v": "q6_k"}
    assert quant.allow_fallback
    assert recipe.model.hub == "a/b"
    [claim] = recipe.published
    assert (claim["sha256"], claim["name"]) == (SHA256, "Q4_K_M")


@pytest.mark.parametrize(
    ("fields", "hub"),
    [
        ({"general.source.huggingface.repository": "owner/model"}, "owner/model"),
        ({"general.source.repo_url": "https://huggingface.co/owner/model/"}, "owner/model"),
        ({"general.base_model.0.repo_url": "https://huggingface.co/base/one"}, "base/one"),
        ({"general.source.url": "https://example.org/x/y/z"}, None),
        ({"general.base_model.0.name": "Only A Name"}, None),
        ({}, None),
    ],
)
def test_the_model_is_where_the_header_says(
    tmp_path: Path, fields: Mapping[str, str], hub: str | None
) -> None:
    text = adopted_recipe.recipe([published(tmp_path, fields)], at(tmp_path))

    recipe = loaded(tmp_path, text)

    assert recipe.model.hub == hub
    assert (recipe.model.revision == "main") == (hub is not None)
    assert ("Not known: the model." in text) == (hub is None)
    for value in fields.values():
        assert value in text


def test_two_base_models_are_told_and_none_is_chosen(tmp_path: Path) -> None:
    fields = {f"general.base_model.{n}.repo_url": f"https://huggingface.co/a/{n}" for n in (0, 1)}

    assert (
        loaded(
            tmp_path, adopted_recipe.recipe([published(tmp_path, fields)], at(tmp_path))
        ).model.hub
        is None
    )


def test_an_importance_matrix_is_made_only_from_a_text_that_is_given(tmp_path: Path) -> None:
    fields: dict[str, str | int] = {
        "quantize.imatrix.file": "/models/other.dat",
        "quantize.imatrix.dataset": "wiki.txt",
        "quantize.imatrix.chunks_count": 37,
    }
    file = published(tmp_path, fields)
    (tmp_path / "wiki.txt").write_text("text")

    without = adopted_recipe.recipe([file], at(tmp_path))
    with_text = adopted_recipe.recipe([file], at(tmp_path, corpus={"path": "wiki.txt"}))

    assert "quantize.imatrix.dataset: wiki.txt" in without
    assert not loaded(tmp_path, without).quantize[0].imatrix
    recipe = loaded(tmp_path, with_text)
    assert recipe.imatrix is not None
    assert (recipe.imatrix.chunks, recipe.quantize[0].imatrix) == (37, True)
    assert recipe.imatrix.recorded_as == "/models/other.dat"
    assert "{file: MATRIX, recorded_as: '/models/other.dat'}" in without


def test_a_matrix_beside_the_files_is_taken_unless_a_text_is_given(tmp_path: Path) -> None:
    fields: dict[str, str | int] = {
        "quantize.imatrix.file": "/m/own.dat",
        "quantize.imatrix.chunks_count": 3,
    }
    file = published(tmp_path, fields)
    for name in ("own.imatrix", "wiki.txt"):
        (tmp_path / name).write_text("text")
    beside: tuple[Mapping[str, Any], ...] = ({"path": "own.imatrix"},)

    alone = adopted_recipe.recipe([file], at(tmp_path, matrices=beside))
    text = adopted_recipe.recipe([file], at(tmp_path, matrices=beside, corpus={"path": "wiki.txt"}))

    assert "# Guess: it is the one that was used." in alone
    usual = published(tmp_path, {**fields, "quantize.imatrix.file": "imatrix.gguf"})
    assert "recorded_as: imatrix.gguf" in adopted_recipe.recipe(
        [usual], at(tmp_path, matrices=beside)
    )
    used, made = (loaded(tmp_path, one).imatrix for one in (alone, text))
    assert used is not None
    assert used.file is not None
    assert (used.file.path, used.recorded_as) == (tmp_path / "own.imatrix", "/m/own.dat")
    assert made is not None
    assert made.file is None


def test_a_converted_file_is_not_quantized(tmp_path: Path) -> None:
    recipe = loaded(
        tmp_path, adopted_recipe.recipe([published(tmp_path, {}, type="BF16")], at(tmp_path))
    )

    assert (recipe.quantize, recipe.convert.outtype) == ((), "bf16")


@pytest.mark.parametrize(("family", "said"), [("qwen3", "qwen3"), ("", "llama")])
def test_the_family_is_the_architectures_or_a_guess_that_is_told(
    tmp_path: Path, family: str, said: str
) -> None:
    file = replace(published(tmp_path, {"general.architecture": "odd"}), family=family)

    text = adopted_recipe.recipe([file], at(tmp_path))

    assert loaded(tmp_path, text).family == said
    assert ("'odd' is not a known family" in text) == (not family)


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("Tiny Llama 2M v1.0 Instruct", {"hub": "org/tiny-Llama-2M-v1.0-instruct"}, "auto"),
        ("Tiny 2m", {"path": "/srv/tiny-2m"}, "auto"),
        ("Tiny 2m", {"path": "/srv/other"}, "Tiny 2m"),
        ("tiny-llama", {"hub": "org/tiny-llama"}, "tiny-llama"),
        ("auto", {"hub": "org/tiny-llama"}, None),
        ("", None, None),
    ],
)
def test_the_name_is_text_unless_it_is_what_the_converter_makes_of_the_folder(
    tmp_path: Path, name: str, model: dict[str, str] | None, said: str | None
) -> None:
    file = published(tmp_path, {"general.name": name})

    text = adopted_recipe.recipe(
        [file], at(tmp_path, model=model and {"revision": "main", **model})
    )

    # A path takes no revision, and need not be there.
    assert yaml.safe_load(text)["convert"].get("model_name") == said


def test_what_cannot_be_explained_is_told(tmp_path: Path) -> None:
    text = adopted_recipe.recipe(
        [published(tmp_path, {}, unexplained=["a.b"], fixed=["c.d"])], at(tmp_path)
    )

    assert "cannot give a.b its type" in text
    assert "cannot give c.d its type" in text


HOSTILE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=HOSTILE, dataset=HOSTILE, source=HOSTILE)
def test_no_text_of_a_header_breaks_out_of_its_place(
    tmp_path: Path, name: str, dataset: str, source: str
) -> None:
    fields = {
        "general.name": name,
        "general.source.url": source,
        "quantize.imatrix.dataset": dataset + "\nquantize: [Q2_K]",
        "general.quantization_version": "2\nquantize: [Q2_K]",
    }
    file = published(tmp_path, fields, options={"tensor_types": {"ffn": "q8_0"}})

    recipe = loaded(tmp_path, adopted_recipe.recipe([file], at(tmp_path)))

    assert [quant.type for quant in recipe.quantize] == ["Q4_K_M"]
    assert recipe.convert.model_name in (None, name)


def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store", print)
    return Session(store, Settings(), choices(), Plain(None))  # type: ignore[arg-type]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "recipe.yaml"
    target.write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        adopt(session(tmp_path), Place(()), target, "", None)

    assert target.read_text() == "mine"


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        adopt(session(tmp_path), Place(()), None, "no such folder", None)


def test_the_stand_in_matrix_is_no_real_one(tmp_path: Path) -> None:
    write_stand_in(tmp_path / "imatrix")

    assert len((tmp_path / "imatrix").read_bytes()) == 36


def several(folder: Path, *kinds: str, name: str = "m-{}.gguf") -> list[File]:
    """Published files of one model; a type may come twice."""
    one = published(folder, {"general.name": "m"})
    for kind in kinds:
        (folder / name.format(kind)).touch()
    return [
        replace(one, name=name.format(kind), facts={**FACTS, "type": kind.split("+")[0]})
        for kind in kinds
    ]


def test_all_files_are_one_recipe_with_what_they_share(tmp_path: Path) -> None:
    files = several(tmp_path, "BF16", "Q8_0", "Q4_K_M", "Q4_K_M+L")

    recipe = loaded(tmp_path, adopted_recipe.recipe(files, at(tmp_path)))

    assert (recipe.name, recipe.convert.outtype) == ("m", "bf16")
    assert [one.name for one in recipe.quantize] == ["Q8_0", "Q4_K_M", "Q4_K_M-L"]
    claims = {claim["file"]: claim["name"] for claim in recipe.published}
    assert claims["m-BF16.gguf"] == "BF16"
    assert claims["m-Q4_K_M+L.gguf"] == "Q4_K_M-L"


def test_guesses_are_marked_with_their_reasons(tmp_path: Path) -> None:
    commit, revision = "c" * 40, "d" * 40
    reason = "after 2024-09-25, for this is so"
    guesses = Guesses(commit, (reason,), ("o/base",), revision, "the newest of 2025-01-02")

    text = adopted_recipe.recipe([published(tmp_path, {})], at(tmp_path, guesses=guesses))

    recipe = loaded(tmp_path, text)
    assert (recipe.toolchain.commit, recipe.model.hub) == (commit, "o/base")
    assert recipe.model.revision == revision
    assert f"# Guess: {reason}." in text
    assert "# Guess: the newest of 2025-01-02." in text


def test_the_card_is_believed_before_the_headers_base_model(tmp_path: Path) -> None:
    fields = {"general.base_model.0.repo_url": "https://huggingface.co/a/older"}
    file = published(tmp_path, fields)

    alone = adopted_recipe.recipe([file], at(tmp_path))
    card = adopted_recipe.recipe([file], at(tmp_path, guesses=Guesses(bases=("a/own",))))

    assert loaded(tmp_path, alone).model.hub == "a/older"
    assert "# Guess: what the header calls the base" in alone
    assert loaded(tmp_path, card).model.hub == "a/own"


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    text = adopted_recipe.recipe(
        [published(tmp_path, {})], at(tmp_path, left_out={"x.gguf": "a reason"})
    )

    assert "# Left out: x.gguf: a reason." in text
