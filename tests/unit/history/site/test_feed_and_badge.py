"""What other programs and pages show of the site: a feed of nights, and a badge."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from orchestrator.history import History, site
from tests.support.history_records import a_run
from tests.support.rendered_pages import HOSTILE

ATOM = "{http://www.w3.org/2005/Atom}"


def a_night(history: History, state: str, recipe: str = "tiny", *, ended: bool = True) -> None:
    night = history.begin_night({})
    a_run(history, night=night, recipe=recipe, state=state)
    if ended:
        history.end_night(night, state, {})


def written(history: History, tmp_path: Path, name: str) -> ElementTree.Element:
    site.write(history, tmp_path / "site")
    return ElementTree.fromstring((tmp_path / "site" / name).read_bytes())


def test_the_feed_has_an_entry_for_each_night_that_has_ended(
    history: History, tmp_path: Path
) -> None:
    a_night(history, "ok")
    a_night(history, "failed", HOSTILE)
    a_night(history, "running", ended=False)

    feed = written(history, tmp_path, "feed.xml")

    assert feed.findtext(f"{ATOM}title") == "Nightly builds"
    assert feed.findtext(f"{ATOM}id") == "urn:orchestrate:nights:Nightly%20builds"
    newest, first = feed.findall(f"{ATOM}entry")
    assert newest.findtext(f"{ATOM}title", "").startswith("Night 2: failed, ")
    assert first.findtext(f"{ATOM}title") == "Night 1: ok"
    assert first.findtext(f"{ATOM}summary") == "1 ok"
    assert newest.findtext(f"{ATOM}id") != first.findtext(f"{ATOM}id")
    link = newest.find(f"{ATOM}link")
    assert link is not None
    assert (tmp_path / "site" / link.attrib["href"]).is_file()
    assert feed.findtext(f"{ATOM}updated") == newest.findtext(f"{ATOM}updated")


def test_an_empty_history_has_an_empty_feed(history: History, tmp_path: Path) -> None:
    assert written(history, tmp_path, "feed.xml").findall(f"{ATOM}entry") == []
    assert "not run" in "".join(written(history, tmp_path, "badge.svg").itertext())


@pytest.mark.parametrize(
    ("states", "label"), [(("ok", "ok"), "ok"), (("ok", "alarm"), "alarm"), (("failed",), "failed")]
)
def test_the_badge_says_the_worst_of_what_recipes_are_now(
    history: History, tmp_path: Path, states: tuple[str, ...], label: str
) -> None:
    night = history.begin_night({})
    for number, state in enumerate(states):
        a_run(history, night=night, recipe=f"r{number}", state=state)
    history.end_night(night, "ok", {})

    badge = written(history, tmp_path, "badge.svg")

    assert badge.attrib["aria-label"] == f"nightly: {label}"
    assert [one.text for one in badge.iter("{http://www.w3.org/2000/svg}text")] == [
        "nightly",
        label,
    ]
