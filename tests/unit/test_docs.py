"""What the documents say is so: links lead somewhere, commands parse, recipes are valid."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pytest
import yaml

from orchestrator import workflow
from orchestrator.recipe import Document, load
from orchestrator.toolchain import ToolChain
from tests.unit.cli.tree import LEAVES, parse
from tests.unit.documents import (
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
LANGUAGES = {"sh", "text", "yaml", "json", "python", "sql", "ini"}
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=name)
# What a fragment of a recipe stands in.
AROUND = {
    "name": "example",
    "family": "llama",
    "toolchain": "llama.cpp",
    "model": {"hub": "owner/name", "revision": "main"},
    "quantize": ["Q4_0", {"type": "Q4_K_M"}],
    "imatrix": {"corpus": "text.txt"},
}


def of(language: str) -> Any:
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
        if not line.startswith("orchestrate COMMAND"):
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

    assert load(path, workflow.vocabulary, check_files=False).quantize


@of("json")
def test_every_json_is_json(block: Block) -> None:
    json.loads(block.text)


@of("python")
def test_every_python_imports_what_there_is(block: Block) -> None:
    tree = ast.parse(block.text)
    imports = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]

    exec(compile(ast.Module(imports, type_ignores=[]), str(block), "exec"), {})


def test_the_readme_names_every_command() -> None:
    named = {text for _, text in spans(ROOT / "README.md")}
    told = " ".join(sorted(named))
    missing = [path for path in LEAVES if not re.search(rf"orchestrate {' '.join(path)}\b", told)]

    assert not missing


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200
