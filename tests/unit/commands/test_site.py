"""The site from the command line, and the page beside a run's report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.engine.artifact_store import Store
from orchestrator.history import History
from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE
from tests.support.history_records import a_file, a_run


def test_the_site_is_written_and_told(orchestrate: Command) -> None:
    history = History(Store.default_root())
    a_run(history, a_file(), night=history.begin_night({}))

    said = orchestrate("site", "pages", "--title", "Our nights")

    assert said.code == 0, said
    assert said.out.startswith(f"{Path('pages') / 'index.html'}: 9 files, ")
    assert said.out.endswith("; 9 written, 0 unchanged, 0 removed\n")
    assert "<h1>Our nights</h1>" in Path("pages/index.html").read_text("utf-8")
    told = json.loads(orchestrate("site", "pages", "--json", "--title", "Our nights").out)
    assert (told["written"], told["unchanged"]) == ([], 9)


def test_a_folder_with_pages_of_others_is_2(orchestrate: Command) -> None:
    Path("site").mkdir()
    Path("site/index.html").write_text("mine")

    said = orchestrate("site")

    assert said.code == 2
    assert "was not written by this command" in said.err


@pytest.mark.usefixtures("fakes")
def test_the_page_of_a_run_is_drawn_once(orchestrate: Command) -> None:
    orchestrate("run", RECIPE, "--no-limits")
    page = Path("dist/tiny-llama/report.html")
    made = page.stat().st_mtime_ns
    assert "<h1>tiny-llama</h1>" in page.read_text("utf-8")

    orchestrate("run", RECIPE, "--no-limits")
    assert page.stat().st_mtime_ns == made

    page.unlink()
    orchestrate("run", RECIPE, "--no-limits")
    assert page.is_file()
