"""The pages in a real browser: no errors, sorting, keyboard, both schemes, accessibility."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
Open = Callable[..., "Page"]
RECIPE = "recipes/llama-2-7b-chat.html"
KINDS = (
    "index.html",
    RECIPE,
    "nights/index.html",
    "nights/5.html",
    "nights/12.html",
    "report.html",
)
# What a person can act on, as long as it is seen.
ACTIVE = """() => [...document.querySelectorAll(
    'a[href], button, input, summary, [tabindex="0"]')].filter((one) => one.checkVisibility())"""


@pytest.fixture
def opened(browser: Browser, pages: Path) -> Iterator[Open]:
    """Opens a page from its file; at the end no page may have complained about anything."""
    complaints: list[str] = []
    contexts = []

    def open_(name: str, scheme: Scheme = "light", width: int = 1280, **options: Any) -> Page:
        size: Any = {"width": width, "height": 900}
        context = browser.new_context(color_scheme=scheme, viewport=size, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(f"{name}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(f"{name}: {error}"))
        page.on("requestfailed", lambda asked: complaints.append(f"{name}: {asked.url}"))
        page.goto((pages / name).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_from_its_file_without_a_complaint(
    opened: Open, pages: Path, scheme: Scheme
) -> None:
    page = opened("index.html", scheme)
    for path in sorted(pages.rglob("*.html")):
        page.goto(path.as_uri())
        assert page.locator("h1").count() == 1, path
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme], path


def column(page: Page, table: str, number: int) -> list[str]:
    texts: list[str] = page.locator(f"{table} tbody tr > :nth-child({number})").all_inner_texts()
    return [text.strip() for text in texts]


@pytest.mark.parametrize("way", ["click", "keyboard"])
def test_tables_sort_by_their_numbers(opened: Open, way: str) -> None:
    page = opened(RECIPE)
    button = page.get_by_role("region", name="Files").get_by_role("button", name="KLD")

    def press() -> None:
        if way == "click":
            button.click()
        else:
            button.focus()
            page.keyboard.press("Enter")

    press()
    head = page.locator("table.files th", has=page.get_by_role("button", name="KLD"))
    rising = column(page, "table.files", 7)
    assert head.get_attribute("aria-sort") == "ascending"
    assert rising[-1] == ""  # the full file has none, which is neither small nor large
    assert [float(one) for one in rising[:-1]] == sorted(float(one) for one in rising[:-1])
    assert float(rising[0]) < float(rising[-2])

    press()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "table.files", 7) == [*rising[-2::-1], ""]


def test_sizes_sort_as_bytes_and_one_column_at_a_time(opened: Open) -> None:
    page = opened(RECIPE)
    files = page.get_by_role("region", name="Files")
    files.get_by_role("button", name="File").click()
    files.get_by_role("button", name="Size").click()

    names = column(page, "table.files", 1)
    assert [name[16:-5] for name in (names[0], names[-1])] == ["Q2_K", "F16"]
    assert page.locator("table.files th[aria-sort]").count() == 1


@pytest.mark.parametrize("name", KINDS)
def test_the_tab_key_reaches_everything_and_shows_where_it_is(opened: Open, name: str) -> None:
    page = opened(name)
    count = page.evaluate(f"({ACTIVE})().map((one, n) => one.dataset.place = n).length")
    reached = set()
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.place"))
        style = "getComputedStyle(document.activeElement)"
        shown = page.evaluate(f"[{style}.outlineStyle, parseFloat({style}.outlineWidth)]")
        assert shown[0] == "solid"
        assert shown[1] >= 2

    assert count > 3
    assert reached == {str(number) for number in range(count)}


def test_the_first_tab_offers_to_skip_to_the_content(opened: Open) -> None:
    page = opened("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")

    page.keyboard.press("Tab")
    inside = "document.querySelector('main').contains(document.activeElement)"
    assert page.evaluate(inside)


def test_the_index_can_be_narrowed(opened: Open) -> None:
    page = opened("index.html")
    rows = page.locator("#grid tbody tr:visible")
    assert rows.count() == 6

    page.get_by_label("Filter").fill("llama")
    assert rows.count() == 1
    assert page.get_by_role("status").inner_text() == "1 of 6"

    page.get_by_label("Filter").fill("")
    page.get_by_label("only what needs attention").check()
    assert sorted(column(page, "#grid", 1)[n] for n in range(rows.count()))
    assert rows.count() == 3


def test_tips_are_for_the_keyboard_too_and_go_away(opened: Open) -> None:
    page = opened("index.html")
    cell = page.get_by_role("link", name="llama-2-7b-chat, 2026-10-29: alarm")
    cell.focus()
    tip = page.locator(".tip")
    assert tip.inner_text() == "llama-2-7b-chat, 2026-10-29: alarm"

    page.keyboard.press("Escape")
    assert not tip.is_visible()

    page.get_by_role("link", name="Night 12, 2026-10-29 02:00").hover()
    assert tip.inner_text() == "Night 12, 2026-10-29 02:00"


def test_without_scripts_nothing_is_missing(opened: Open) -> None:
    page = opened("index.html", java_script_enabled=False)

    assert page.locator("#grid tbody tr:visible").count() == 6
    assert not page.get_by_label("Filter").is_visible()


@pytest.mark.parametrize("name", KINDS)
def test_a_narrow_window_scrolls_within_boxes_only(opened: Open, name: str) -> None:
    page = opened(name, width=360)

    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]


def test_names_in_pictures_lie_neither_on_each_other_nor_outside(opened: Open) -> None:
    page = opened(RECIPE)
    drawings = page.evaluate(
        """() => [...document.querySelectorAll('svg.chart')].map((svg) => {
            const box = (one) => { const b = one.getBBox();
                return [b.x, b.y, b.x + b.width, b.y + b.height]; };
            const view = svg.viewBox.baseVal;
            return { view: [view.width, view.height], title: svg.querySelector('title').textContent,
                names: [...svg.querySelectorAll('.name')].map(box),
                all: [...svg.querySelectorAll('text')].map(box) };
        })"""
    )

    assert len(drawings) == 9
    for one in drawings:
        names = one["names"]
        assert len(names) >= 7, one["title"]
        for n, a in enumerate(names):
            for b in names[n + 1 :]:
                across = min(a[2], b[2]) - max(a[0], b[0])
                down = min(a[3], b[3]) - max(a[1], b[1])
                assert across <= 0 or down <= 2, one["title"]  # letters do not fill their boxes
        assert all(box[0] >= 0 and box[2] <= one["view"][0] + 1 for box in one["all"]), one["title"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing_serious(opened: Open, name: str, scheme: Scheme) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(name, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")

    # It would ask for the style sheet by a request, which the page's policy refuses.
    found = Axe().run(page, options={"preload": False}).response["violations"]

    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious] == []
