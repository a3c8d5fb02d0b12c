"""A real browser, and the pages of a few believable nights to look at with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.history import History, site
from orchestrator.history.site import run_report_page
from tests.support import long_history as believable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
# A browser as root, that asks no network for anything.
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    "--no-first-run",
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NIGHTS = believable.Plot(nights=12, broken=(4,), changed=7, worse=11)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium of the system; each test's context is a fresh profile."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("Chromium is not installed here; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=found, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site, and a single run's page beside it."""
    root = tmp_path_factory.mktemp("site")
    history = History(root)
    believable.fill(history, NIGHTS)
    site.write(history, root / "site")
    digest = history.runs("llama-2-7b-chat")[0].report
    page = run_report_page.report_page(history.report(digest))
    (root / "site" / "report.html").write_text(page, encoding="utf-8")
    return root / "site"
