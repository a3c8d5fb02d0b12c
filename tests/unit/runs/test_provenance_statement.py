"""Statements about files: what is in them, what never is, and whether they are believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_toto_attestation.v1.statement import Statement, spb

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.engine.digest_cache import Digests
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.recipe_to_steps import Choices, Plan, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.runs import attest_outputs, output_folder, provenance_statement
from orchestrator.runs.collect_results import Result
from orchestrator.runs.provenance_statement import Pins
from orchestrator.runs.report import Report
from orchestrator.toolchain import load
from orchestrator.workflows import verify_provenance
from tests.support.recipes import loaded
from tests.support.signing_keys import keys
from tests.support.stores import OTHER

BASE, DELTA, CORPUS, MERGED, FULL, MATRIX, MADE = (f"{n}" * 64 for n in range(1, 8))
CHIMERA = f"""\
name: beast
family: chimera
toolchain: llama.cpp
model:
  base: {{hub: some/llama, revision: {"a" * 40}}}
  delta: {{hub: some/delta, revision: {"b" * 40}}}
imatrix: {{corpus: {{url: "https://example.org/text.txt", sha256: "{CORPUS}"}}}}
quantize: [{{type: Q4_K_M, imatrix: true}}, Q8_0]
"""


def hub(repo: str, commit: str) -> Resolved:
    identity = {"kind": "hub", "repo": repo, "repo_type": "model", "commit": commit, "files": {}}
    return Resolved(identity, {}, "hf")


@pytest.fixture
def beast(tmp_path: Path) -> Plan:
    recipe = loaded(tmp_path, CHIMERA)
    chain = load.load("llama.cpp")
    text = {"kind": "url", "sha256": CORPUS, "name": "text.txt", "member": ""}
    sources = Sources(
        chain.source.commit,
        base=hub("some/llama", "a" * 40),
        delta=hub("some/delta", "b" * 40),
        corpora={"calibration": Resolved(text, {"url": "https://example.org/text.txt"})},
    )
    return recipe_to_steps.make(recipe, chain, sources, Choices(verify=False, machine="x86_64"))


def manifests(one: Plan, threads: str = "8") -> dict[str, Mapping[str, Any]]:
    """How every step was done on some machine."""
    files = {
        "merge": {"model.safetensors": MERGED},
        "convert": {"model.gguf": FULL},
        "imatrix": {"imatrix.gguf": MATRIX},
        "quantize": {"model.gguf": MADE},
    }
    found: dict[str, Mapping[str, Any]] = {}
    for step in one.steps:
        own = dict(files.get(step.kind, {}))
        if step.kind == "fetch":
            source = step.params["source"]
            repo = source.get("repo")
            own = {"text.txt": CORPUS}
            if repo:
                own = {"weights.bin": BASE if repo == "some/llama" else DELTA}
        argv = ["{toolchain}/bin/llama-quantize", "input", "model.gguf", "Q8_0"]
        call = {"argv": [*argv, threads], "portable": [*argv, "{threads}"]}
        facts: dict[str, Any] = {"calls": [call] if step.kind == "quantize" else []}
        if step.kind == "environment":
            facts["packages"] = ["pip==23.0", "Torch_.Like==2.1+cpu", "numpy==2.0"]
        found[step.key] = {
            "files": {name: {"size": 1, "sha256": digest} for name, digest in own.items()},
            "facts": facts,
            "seconds": 12.5,
            "created": "2026-01-01T00:00:00+00:00",
        }
    return found


def told(one: Plan, index: int = 0, pins: Pins | None = None) -> dict[str, Any]:
    return provenance_statement.statement(
        one, one.outputs[index], MADE, manifests(one), pins or Pins()
    )


def definition(statement: Mapping[str, Any]) -> Any:
    return statement["predicate"]["buildDefinition"]


def dependencies(statement: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    listed = definition(statement)["resolvedDependencies"]
    return [one for one in listed if one["annotations"]["part"] == part]


def test_in_totos_own_library_takes_the_statement(beast: Plan) -> None:
    from google.protobuf import json_format

    parsed = json_format.Parse(provenance_statement.text(told(beast)), spb.Statement())

    Statement.copy_from_pb(parsed).validate()
    [subject] = parsed.subject
    assert (subject.name, dict(subject.digest)) == ("beast-Q4_K_M.gguf", {"sha256": MADE})


def test_a_merged_model_is_traced_to_base_and_delta(beast: Plan) -> None:
    [base], [delta] = (dependencies(told(beast), part) for part in ("base", "delta"))

    assert (base["digest"], delta["digest"]) == ({"sha256": BASE}, {"sha256": DELTA})
    assert base["uri"].endswith(f"some/llama/resolve/{'a' * 40}/weights.bin")
    steps = definition(told(beast))["internalParameters"]["steps"]
    assert [step["kind"] for step in steps] == ["merge", "convert", "imatrix", "quantize"]
    assert steps[0]["parameters"] == {"method": "delta"}
    assert steps[0]["inputs"]["base"] == base["annotations"]["step"]


def test_the_tools_and_texts_are_dependencies_with_digests(beast: Plan) -> None:
    statement = told(beast)

    [tools] = dependencies(statement, "toolchain")
    assert tools["digest"] == {"gitCommit": load.load("llama.cpp").source.commit}
    [corpus] = dependencies(statement, "corpus")
    assert (corpus["digest"]["sha256"], corpus["uri"]) == (CORPUS, "https://example.org/text.txt")
    packages = [one["uri"] for one in dependencies(statement, "environment")]
    assert packages == ["pkg:pypi/torch-like@2.1+cpu", "pkg:pypi/numpy@2.0"]


def test_files_in_between_are_byproducts(beast: Plan) -> None:
    made = told(beast)["predicate"]["runDetails"]["byproducts"]

    assert {one["annotations"]["kind"]: one["digest"]["sha256"] for one in made} == {
        "merge": MERGED,
        "convert": FULL,
        "imatrix": MATRIX,
    }


def test_a_file_without_matrix_does_not_depend_on_the_text(beast: Plan) -> None:
    assert not dependencies(told(beast, 1), "corpus")


def test_the_build_is_named_by_its_profile(beast: Plan) -> None:
    build = definition(told(beast))["internalParameters"]["build"]

    assert (build["profile"], build["backend"]) == ("portable", "cpu")
    assert "-DGGML_NATIVE=OFF" in build["options"]


def test_a_lock_adds_its_digest_and_those_of_packages(beast: Plan) -> None:
    text = {
        "recipe": {"name": "beast", "digest": ""},
        "toolchain": {"name": "llama.cpp", "commit": "", "data": ""},
        "build": {"profile": "", "backend": "", "system": []},
        "python": {
            "version": "3",
            "platform": "linux",
            "packages": {
                "numpy": {"version": "2.0", "sha256": [OTHER]},
                "torch-like": {"version": "2.1+cpu", "sha256": [BASE]},
            },
        },
    }

    statement = told(beast, pins=Pins("c" * 64, Lock.model_validate(text)))

    assert definition(statement)["externalParameters"]["lock"] == {"digest": {"sha256": "c" * 64}}
    hashes = [one["annotations"].get("sha256") for one in dependencies(statement, "environment")]
    assert hashes == [[BASE], [OTHER]]


def test_neither_threads_nor_times_nor_labels_change_the_statement(beast: Plan) -> None:
    other = replace(beast, steps=tuple(replace(one, label="x") for one in beast.steps))
    slower = {key: {**one, "seconds": 99, "created": "z"} for key, one in manifests(other).items()}

    one, two = (
        provenance_statement.statement(where, where.outputs[1], MADE, how, Pins())
        for where, how in ((beast, manifests(beast, "8")), (other, manifests(other, "64")))
    )

    assert provenance_statement.text(one) == provenance_statement.text(two)
    again = provenance_statement.statement(other, other.outputs[1], MADE, slower, Pins())
    assert provenance_statement.text(again) == provenance_statement.text(one)
    argv = definition(one)["internalParameters"]["steps"][-1]["argv"]
    assert argv[0][-1] == "{threads}"


# -- files beside files ----------------------------------------------------------------------


def published(beast: Plan, folder: Path, key: Path | None) -> Path:
    """One file of the beast in a folder, with what is published beside it."""
    file = folder / "beast-Q8_0.gguf"
    file.write_bytes(b"weights")
    files = {file.name: output_folder.Wanted(file, file_sha256(file))}
    report = Report("beast", "", (), {})
    result = Result(beast, report, files, manifests(beast))
    for name, text in attest_outputs.documents(result, folder / "store", key).items():
        (folder / name).write_text(text.make(), encoding="utf-8")
    return file


def test_a_file_agrees_with_its_statement_until_a_byte_changes(beast: Plan, tmp_path: Path) -> None:
    file = published(beast, tmp_path, None)
    assert verify_provenance.verify(file, None)[0].sound

    file.write_bytes(b"Weights")

    found, _ = verify_provenance.verify(file, None)
    assert not found.sound
    assert "is not that of beast-Q8_0.gguf" in found.lines[-1]


def test_only_a_signed_statement_counts_when_there_is_a_key(beast: Plan, tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    file = published(beast, tmp_path, secret)
    assert verify_provenance.verify(file, public)[0].sound

    plain = file.with_name(file.name + provenance_statement.SUFFIX)
    plain.write_text(plain.read_text().replace("beast-Q8_0", "other-Q8_0"))
    with pytest.raises(OrchestrateError, match="not what was signed"):
        verify_provenance.verify(file, public)

    file.with_name(file.name + provenance_statement.SIGNED_SUFFIX).unlink()
    with pytest.raises(UsageError, match="is missing"):
        verify_provenance.verify(file, public)


def test_a_renamed_file_is_known_by_its_digest(beast: Plan, tmp_path: Path) -> None:
    file = published(beast, tmp_path, None)
    renamed = file.rename(tmp_path / "mine.gguf")
    file.with_name(file.name + provenance_statement.SUFFIX).rename(
        tmp_path / "mine.gguf.provenance.json"
    )

    found, _ = verify_provenance.verify(renamed, None)

    assert found.sound
    assert "stated as beast-Q8_0.gguf" in found.lines[-1]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"_type": "x"}', '{"subject": [], "predicate": {}}', "null"]
)
def test_what_is_no_statement_is_not_believed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"")
    file.with_name(file.name + provenance_statement.SUFFIX).write_text(text)

    with pytest.raises(OrchestrateError, match="no provenance statement"):
        verify_provenance.verify(file, None)


def test_a_statement_of_another_builder_is_told_apart(beast: Plan, tmp_path: Path) -> None:
    file = published(beast, tmp_path, None)
    plain = file.with_name(file.name + provenance_statement.SUFFIX)
    plain.write_text(
        plain.read_text().replace(provenance_statement.BUILD_TYPE, "https://example.org/x")
    )

    with pytest.raises(OrchestrateError, match="another kind"):
        verify_provenance.verify(file, None)


def test_a_signature_stays_until_the_key_or_the_statement_changes(
    beast: Plan, tmp_path: Path
) -> None:
    digests, texts = Digests(tmp_path / "digests.sqlite", print), []
    path = tmp_path / "beast-Q8_0.gguf.provenance.dsse.json"
    files = {"beast-Q8_0.gguf": output_folder.Wanted(tmp_path / "file", "0" * 64)}
    other = {"beast-Q8_0.gguf": output_folder.Wanted(tmp_path / "file", "1" * 64)}
    first, second = (keys(tmp_path, name)[0] for name in ("one", "two"))
    for wanted, key in ((files, first), (files, first), (files, second), (other, second)):
        result = Result(beast, Report("beast", "", (), {}), wanted, manifests(beast))
        text = attest_outputs.documents(result, tmp_path / "store", key)[path.name]
        text.bring(path, digests)
        texts.append(path.read_text())

    assert texts[0] == texts[1]
    assert len(set(texts)) == 3
