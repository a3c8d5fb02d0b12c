"""How near files come to published ones, and what would have to be known; no tools are needed.

The outputs of these plans are local files, made by fetching them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestrator.base.digest import file_sha256
from orchestrator.base.terminal_colours import plain
from orchestrator.planning import source_steps
from orchestrator.planning.plan import Output
from orchestrator.planning.recipe_to_steps import Plan, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.step_collector import StepCollector
from orchestrator.recipe.models import Quant
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import load
from orchestrator.workflows.drafting import try_adopted
from orchestrator.workflows.drafting.try_adopted import Tried
from tests.support.gguf_pairs import FIELDS, Model, flip, tensor, write_gguf, write_parts
from tests.support.lockfiles import recipe_in, session_in
from tests.support.model_files import KV, Tensor

PLAIN, WEIGHED = "Q4_0", "IQ4_XS"


def tried(place: Path, published: dict[str, dict[str, Any]]) -> dict[str, Tried]:
    """The verdicts by published file: each is compared with the same small model."""
    made = write_gguf(place / "made.gguf", Model())
    [recipe] = load_and_plan.load([recipe_in(place)])
    entries = tuple({"file": name, **entry} for name, entry in published.items())
    recipe = recipe.model_copy(update={"published": entries})
    chain = load.load("llama.cpp")
    identity = {"kind": "path", "files": {made.name: file_sha256(made)}, "member": ""}
    source = Resolved(identity, {"path": str(place)}, "gguf")
    collector = StepCollector()
    key = source_steps.fetch(collector, source, "model")
    full = Output("F16", "x-F16.gguf", made.name, key)
    outputs = tuple(
        Output(kind, f"x-{kind}.gguf", made.name, key, {}, Quant(type=kind, imatrix=weighed))
        for kind, weighed in ((PLAIN, False), (WEIGHED, True))
    )
    sources = Sources(chain.source.commit, model=source)
    plan = Plan(recipe, chain, sources, collector.steps, outputs, full)
    found = try_adopted.tried(plan, session_in(place))
    return {one.file: one for one in found}


def test_a_header_that_differs_is_told_by_its_keys(tmp_path: Path) -> None:
    fields = {**FIELDS, "general.name": KV("str", "x"), "quantize.imatrix.file": KV("str", "m")}
    other = write_gguf(tmp_path / "other.gguf", Model(fields=fields))

    [found] = tried(tmp_path, {"p.gguf": {"name": PLAIN, "path": str(other)}}).values()

    assert found.verdict == "same tensors"
    assert found.lacking == (
        "the importance matrix, as the header speaks of it; "
        "where these keys come from: general.name"
    )


def test_the_order_of_a_header_is_the_versions(tmp_path: Path) -> None:
    other = write_gguf(tmp_path / "other.gguf", Model(fields=dict(reversed(list(FIELDS.items())))))

    [found] = tried(tmp_path, {"p.gguf": {"name": PLAIN, "path": str(other)}}).values()

    assert found.lacking == "the llama.cpp that made it (the keys are in another order)"


def test_parts_are_compared_with_the_whole(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    first = write_parts(tmp_path / "parts", Model(), (2,))[0]

    [found] = tried(tmp_path, {"p.gguf": {"name": PLAIN, "path": str(first)}}).values()

    assert found.verdict == "same tensors"


def test_beside_an_identical_file_only_the_matrix_is_in_doubt(tmp_path: Path) -> None:
    made = write_gguf(tmp_path / "same.gguf", Model())
    near = flip(made, tensor(made, "ffn").offset, tmp_path / "near.gguf")
    weighed = {"name": WEIGHED, "path": str(near)}

    alone = tried(tmp_path, {"w.gguf": weighed})["w.gguf"]
    beside = tried(
        tmp_path, {"p.gguf": {"name": PLAIN, "sha256": file_sha256(made)}, "w.gguf": weighed}
    )

    assert alone.verdict == beside["w.gguf"].verdict == "near"
    assert alone.lacking.startswith("the importance matrix; the type it was quantized from (F16")
    assert beside["p.gguf"] == Tried("p.gguf", "identical")
    assert beside["w.gguf"].lacking == "the importance matrix: files without one are identical"


def test_a_file_that_is_gone_is_not_compared(tmp_path: Path) -> None:
    gone = {"name": PLAIN, "path": str(tmp_path / "gone.gguf"), "sha256": "0" * 64}

    found = tried(tmp_path, {"p.gguf": gone})

    assert found["p.gguf"].verdict == "not compared"
    assert "only its digest is known" in plain(try_adopted.text(list(found.values())))


def test_another_model_is_different(tmp_path: Path) -> None:
    other = write_gguf(tmp_path / "other.gguf", Model([Tensor("embd", (256, 4), "F16")]))

    [found] = tried(tmp_path, {"p.gguf": {"name": PLAIN, "path": str(other)}}).values()

    assert found.verdict == "different"
    assert found.lacking.endswith("the llama.cpp that made it")
