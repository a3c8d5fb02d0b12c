"""Pages of what was made: a static site from the history, and one page for a single run.

    write(History(store.root), Path("site"), dist=Path("dist"))
    report_page(report)     # of one run: all in one file

No page needs a server, a network or a script: sorting and filtering are extras. Jinja2 is
imported when the first page is made, and not before.
"""

from __future__ import annotations

from pathlib import Path

from orchestrator.history import History
from orchestrator.site import pages, past, writing
from orchestrator.site.single import report_page
from orchestrator.site.writing import Written

TITLE = "Nightly builds"
NIGHTS = 365

__all__ = ["NIGHTS", "TITLE", "Written", "report_page", "write"]


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
    known = past.read(history, nights)
    return writing.write(folder, pages.Site(history, known, folder, dist, title).pages())
