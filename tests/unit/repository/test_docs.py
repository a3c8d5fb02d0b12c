"""What the documents say is so: links lead somewhere, commands parse, recipes are valid."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import runpy
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import click
import pytest
import yaml

from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.measures.check_status import Check, Status
from orchestrator.recipe import Document, load
from orchestrator.runs import load_and_plan, report
from orchestrator.runs.report import Row
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain import find_toolchain
from orchestrator.toolchain.load import ToolChain
from tests.support.command_tree import LEAVES, parse
from tests.support.documents import (
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    commands,
    links,
    name,
    spans,
)

BLOCKS = [block for page in PAGES for block in blocks(page)]
LANGUAGES = {"mermaid", "sh", "text", "yaml", "json", "python", "sql", "ini"}
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name)
# What a fragment of a recipe stands in.
AROUND = {
    "name": "example",
    "family": "llama",
    "toolchain": "llama.cpp",
    "model": {"hub": "owner/name", "revision": "main"},
    "quantize": ["Q4_0", {"type": "Q4_K_M"}],
    "imatrix": {"corpus": "text.txt"},
    "verify": {"perplexity": {"corpus": "text.txt"}},
}


def of(language: str) -> pytest.MarkDecorator:
    """Parametrize a test with the blocks of a language."""
    found = [block for block in BLOCKS if block.language == language]
    assert found, f"no block of {language} was found"
    return pytest.mark.parametrize("block", found, ids=str)


@EVERY_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for line, link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or ROOT not in (target, *target.parents):
            dead.append(f"{name(page)}:{line}: {link}: no such file")
        elif anchor and anchor not in anchors(target):
            dead.append(f"{name(page)}:{line}: {link}: no such heading")
    assert not dead


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=name)
def test_every_page_can_be_reached_from_the_index(page: Path) -> None:
    index = ROOT / "docs" / "README.md"
    reached = {(index.parent / link.partition("#")[0]).resolve() for _, link in links(index)}

    assert page == index or page in reached


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_its_language(block: Block) -> None:
    assert block.language in LANGUAGES


@of("sh")
def test_every_command_is_understood(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in commands(block.text):
        parse(monkeypatch, line)


@EVERY_PAGE
def test_every_command_in_a_sentence_exists(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for line, text in spans(page):
        called = re.match(r"orchestrate ([a-z-]+).*", text, re.DOTALL)
        if called is None:
            continue
        try:
            parse(monkeypatch, text)
        except click.MissingParameter:
            continue  # "orchestrate run --twice" stands for a call with a recipe
        except click.UsageError as error:
            pytest.fail(f"{name(page)}:{line}: {text}: {error.format_message()}")


@of("yaml")
def test_every_recipe_is_valid(block: Block, tmp_path: Path) -> None:
    value = yaml.safe_load(block.text)
    assert isinstance(value, Mapping), block
    if value.keys() <= ToolChain.model_fields.keys() - Document.model_fields.keys():
        return  # a piece of a tool chain's data, or of nothing of ours
    if not value.keys() <= Document.model_fields.keys():
        assert value.keys().isdisjoint(Document.model_fields.keys() - {"name"}), block
        return
    whole = {**AROUND, **{key: item for key, item in value.items() if key != "extends"}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))

    assert load(path, load_and_plan.vocabulary, check_files=False).quantize


@of("json")
def test_every_json_is_json(block: Block) -> None:
    json.loads(block.text)


@of("python")
def test_every_python_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    tree.body = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]

    exec(compile(tree, str(block), "exec"), {})


def test_the_readme_names_every_command() -> None:
    named = {text for _, text in spans(ROOT / "README.md")}
    told = " ".join(sorted(named))
    missing = [path for path in LEAVES if not re.search(rf"orchestrate {' '.join(path)}\b", told)]

    assert not missing


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200


def test_the_example_of_a_report_has_the_keys_of_one() -> None:
    [example] = [json.loads(block.text) for block in BLOCKS if block.language == "json"]
    [check] = example["checks"]

    row = Row("x", "Q4_0", "", Status.PASS, (), {})
    [written] = report.as_json(report.Report("x", "", (row,), {}))["files"]
    assert set(example) == set(written)
    assert set(check) == {field.name for field in dataclasses.fields(Check)}


def test_every_json_output_is_described() -> None:
    page = ROOT / "docs" / "reference" / "json.md"
    told = {text for _, text in spans(page)}
    reporting = {
        " ".join(("orchestrate", *path))
        for path, command in LEAVES.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }

    assert reporting <= told


def test_the_reference_is_what_the_program_says() -> None:
    pages = runpy.run_path(str(ROOT / "scripts" / "make_reference.py"))["pages"]()

    assert len(pages) == 3
    for file, made in pages.items():
        assert (ROOT / "docs" / "reference" / file).read_text("utf-8") == made, (
            "run 'python scripts/make_reference.py'"
        )


def test_the_page_of_versions_is_what_the_data_says_was_tried() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "try_versions.py"))
    page = script["page"](find_toolchain.load("llama.cpp"))

    assert script["PAGE"].read_text("utf-8") == page, "run 'python scripts/try_versions.py --write'"


def step_labels(text: str) -> set[str]:
    """The steps that a run says it did, without their times."""
    return {found.group(1) for found in re.finditer(r"(?m)^✓ (.+?)  \d.*$", text)}


def test_the_readme_shows_the_run_of_its_first_line(tmp_path: Path) -> None:
    [shown] = [block.text for block in BLOCKS if block.page.parent == ROOT if "✓" in block.text]
    session = Session(Store(tmp_path, print), Settings(), choices(), Plain(io.StringIO()))
    [plan] = load_and_plan.make(
        load_and_plan.load([ROOT / "recipes" / "tiny" / "llama.yaml"]), session
    )
    titles, *rows = shown.partition("tiny-llama: ok\n")[2].splitlines()[:-1]

    others = [one for one in (plan.full, *plan.outputs) if one is not plan.outputs[0]]
    left_out = {key for one in others for key in one.measures.values()}
    assert step_labels(shown) == {one.label for one in plan.steps if one.key not in left_out}
    assert titles.split("  ")[0] == "File"
    assert [row.split("  ")[0].split(",")[0] for row in rows] == [
        plan.full.name,
        *(output.file for output in plan.outputs),
    ]
