"""Pages of what was made: a static site from the history, and one page for a single run.

    write(History(store.root), Path("site"), dist=Path("dist"))
    report_page(report)     # of one run: all in one file

No page needs a server, a network or a script: sorting and filtering are extras. Jinja2 is
imported when the first page is made, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.base.step_values import JSON

if TYPE_CHECKING:
    from orchestrator.history import History
    from orchestrator.history.site.write_pages import Written

TITLE = "Nightly builds"
NIGHTS = 365

# What draws is imported when something is drawn: a run that finds its page there needs none.


def report_page(report: Mapping[str, JSON]) -> str:
    """A report (as ``report.as_json`` gives it) as HTML that needs no other file."""
    from orchestrator.history.site import run_report_page  # noqa: PLC0415 - see above

    return run_report_page.report_page(report)


def make_ready() -> None:
    """Do what the page of a run needs once, while there is nothing else to do."""
    from orchestrator.history.site import run_report_page  # noqa: PLC0415 - see above

    run_report_page.make_ready()


def write(
    history: History,
    folder: Path,
    *,
    dist: Path | None = None,
    nights: int = NIGHTS,
    title: str = TITLE,
) -> Written:
    """Bring the site in a folder up to date; pages that say the same are not touched.

    Args:
        history: What is shown.
        folder: Where the pages go; ``index.html`` is the first.
        dist: The folder of outputs, for links to files that are there.
        nights: How many of the newest nights are shown.
        title: The site's name.

    Raises:
        UsageError: A file that is not ours is where a page belongs.
        EnvironmentProblem: The history cannot be read, or the folder not be written.
    """
    from orchestrator.base import machine_info  # noqa: PLC0415 - see above
    from orchestrator.base.file_mutex import Locks  # noqa: PLC0415
    from orchestrator.history.site import read_history, site_pages, write_pages  # noqa: PLC0415

    known = read_history.read(history, nights)
    made = site_pages.Site(history, known, folder, dist, title).pages()
    store = machine_info.existing(history.path.parent)
    # The store is the place where writers of its pages meet. Where it can only be read, that
    # is the folder itself, which is not the first choice because others will see it.
    place = history.path.parent / "locks" if os.access(store, os.W_OK) else folder / ".lock"
    return write_pages.write(folder, made, Locks(place))
