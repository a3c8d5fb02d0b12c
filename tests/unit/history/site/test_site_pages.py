"""The pages: what they say, that nothing in them is obeyed, and how they are written."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import Alarm, History, site
from orchestrator.history.site import render_template
from tests.support import long_history as believable
from tests.support.history_records import a_file, a_run, a_step
from tests.support.rendered_pages import HOSTILE, SHORT, drawings, parsed


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a few believable nights."""
    root = tmp_path_factory.mktemp("believable")
    history = History(root)
    believable.fill(history, SHORT)
    site.write(history, root / "site")
    return root / "site"


def words_of(path: Path) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", path.read_text("utf-8")).split())


def test_the_index_shows_every_recipe_in_every_night(shown: Path) -> None:
    cells = [
        values
        for tag, values in parsed((shown / "index.html").read_text("utf-8")).tags
        if tag == "td" and "cell" in values.get("class", "")
    ]

    assert len(cells) == 6 * len(believable.MODELS)
    text = words_of(shown / "index.html")
    assert all(name in text for name in believable.MODELS)
    assert "the perplexity went from 7.8836 to 8.3058" in text


def test_every_state_is_told_without_colour(shown: Path) -> None:
    for row in re.findall(r"<td class=\"cell.*?</td>", (shown / "index.html").read_text("utf-8")):
        assert re.search(r"aria-label=\"[^\"]+: \w+|class=\"unseen\">\w+", row), row


def test_a_recipe_shows_files_pictures_alarms_and_commits(shown: Path) -> None:
    page = shown / "recipes" / "llama-2-7b-chat.html"
    text = page.read_text("utf-8")

    before, after = believable.commit(4), believable.commit(5)
    assert f'href="{believable.SOURCE}/compare/{before}...{after}"' in text
    assert f"between {before[:7]} and {after[:7]}" in words_of(page)
    titles = [one.findtext("{*}title") for one in drawings(text)]
    assert titles[:5] == [
        "Perplexity against size",
        "Mean KL divergence from F16 against size",
        "Perplexity",
        "Mean KL divergence",
        "Size, GB",
    ]
    assert [title for title in titles if "EPYC" in str(title)]
    assert [title for title in titles if "Xeon" in str(title)]
    assert "near" in words_of(page)


def test_a_night_tells_errors_once_with_the_end_of_the_log(shown: Path) -> None:
    text = words_of(shown / "nights" / "3.html")

    assert text.count("ninja: build stopped") == 1
    assert "failed bloomz-7b1 , chatglm3-6b" in text
    assert "Recipes recipes" in text
    assert "Unchanged files made again" in words_of(shown / "nights" / "1.html")


def test_drawings_are_well_formed_and_told_to_those_who_do_not_see_them(shown: Path) -> None:
    for page in (shown / "recipes").glob("*.html"):
        for drawing in drawings(page.read_text("utf-8")):
            names = [drawing.find("{*}title"), drawing.find("{*}desc")]
            ids = [one.get("id") for one in names if one is not None]
            assert drawing.get("aria-labelledby", "").split() == ids
            assert all(one is not None and one.text for one in names)


def test_ids_are_unique_and_links_within_the_site_lead_somewhere(shown: Path) -> None:
    pages = {page: parsed(page.read_text("utf-8")) for page in shown.rglob("*.html")}
    ids = {page: [v["id"] for _, v in one.tags if "id" in v] for page, one in pages.items()}
    assert all(len(set(found)) == len(found) for found in ids.values())
    for page, one in pages.items():
        for tag, values in one.tags:
            link = values.get("href", "") if tag == "a" else ""
            if not link or link.startswith("https://"):
                continue
            place, _, anchor = link.partition("#")
            target = (page.parent / place).resolve() if place else page
            assert target.is_file(), (page, link)
            assert not anchor or anchor in ids[target], (page, link)


def test_a_night_tells_its_options_and_notes(shown: Path) -> None:
    text = words_of(shown / "nights" / "6.html")

    assert "Store size at the end 187 GB" in text
    assert "smollm2-135m : its second make differed in speed only" in text
    assert "phoenix-inst-chat-7b : 2 steps not started: convert, quantize" in text


def test_an_alarm_says_what_to_do(history: History, tmp_path: Path) -> None:
    for commit, state in (("a", "ok"), ("b", "alarm")):
        night = history.begin_night({})
        alarms = (Alarm("tiny-Q4_0.gguf", "bytes", "other bytes"),) if state == "alarm" else ()
        a_run(history, a_file(), night=night, commit=commit * 40, state=state, alarms=alarms)
        told = {"recipe": "tiny", "file": "my recipes/t.yaml"}
        history.end_night(night, state, {"recipes": [told]})

    site.write(history, tmp_path / "site")
    texts = [words_of(tmp_path / "site" / name) for name in ("index.html", "recipes/tiny.html")]
    history.accept(history.runs("tiny")[0].id)
    site.write(history, tmp_path / "site")

    bisect = "orchestrate bisect 'my recipes/t.yaml' --only Q4_0 --good {} --bad {}".format(
        "a" * 12, "b" * 12
    )
    for text in texts:
        assert bisect in text.replace("&#39;", "'")
        assert "orchestrate accept tiny" in text
    for name in ("index.html", "recipes/tiny.html"):
        assert "orchestrate accept" not in words_of(tmp_path / "site" / name)
        assert "accepted" in words_of(tmp_path / "site" / name)


def hostile(history: History) -> None:
    night = history.begin_night({"select": HOSTILE, "paths": [HOSTILE]})
    row = a_file(HOSTILE, file=HOSTILE, verdict=HOSTILE, note=HOSTILE, status=HOSTILE)
    full = a_file("F16", file="F16, for comparison")
    step = a_step(HOSTILE, outcome="failed", error=HOSTILE, log=HOSTILE)
    check = {"name": HOSTILE, "status": HOSTILE, "message": HOSTILE}
    report = {
        "description": HOSTILE,
        "pins": {HOSTILE: HOSTILE},
        "notes": [HOSTILE],
        "files": [{"file": HOSTILE, "checks": [check]}],
    }
    alarm = Alarm(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    for name in ("../../up", HOSTILE, "javascript:alert(1)"):
        for commit in ("1" * 40, HOSTILE):
            run: dict[str, Any] = {"night": night, "recipe": name, "commit": commit}
            run |= {"state": HOSTILE, "alarms": (alarm,), "steps": (step,), "error": HOSTILE}
            a_run(history, row, full, report=report, **run)
    history.end_night(night, HOSTILE, {HOSTILE: HOSTILE})


def test_nothing_from_recipes_and_logs_is_obeyed(history: History, tmp_path: Path) -> None:
    hostile(history)

    done = site.write(history, tmp_path / "site", title=HOSTILE)

    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text("utf-8")
        assert "\x1b" not in text
        assert "\x00" not in text
        drawings(text)
        tags = parsed(text).tags
        scripts = [values for tag, values in tags if tag == "script"]
        assert [set(values) for values in scripts] == [{"src"}]
        assert not [tag for tag, _ in tags if tag == "img"]
        for _, values in tags:
            assert not [name for name in values if name.startswith("on")]
            assert "style" not in values
            assert not values.get("href", "").lower().startswith("javascript")
    assert {path.parent.name for path in tmp_path.rglob("*.html")} == {"site", "recipes", "nights"}
    assert all((tmp_path / "site" / name).is_file() for name in done.written)


def test_files_that_lie_in_dist_are_linked(history: History, tmp_path: Path) -> None:
    a_run(history, a_file(), a_file("Q8_0"), night=history.begin_night({}))
    folder = tmp_path / "dist" / "tiny"
    folder.mkdir(parents=True)
    for name in ("tiny-Q4_0.gguf", "tiny-Q4_0.gguf.provenance.json", "report.html"):
        (folder / name).touch()

    site.write(history, tmp_path / "site", dist=tmp_path / "dist")

    text = (tmp_path / "site" / "recipes" / "tiny.html").read_text("utf-8")
    links = {link for link in re.findall(r'href="([^"]+)"', text) if "dist" in link}
    assert {(tmp_path / "site" / "recipes" / link).resolve() for link in links} == {
        path.resolve() for path in folder.iterdir()
    }


def test_an_empty_history_says_how_to_begin(history: History, tmp_path: Path) -> None:
    site.write(history, tmp_path / "site")

    assert "orchestrate nightly" in words_of(tmp_path / "site" / "index.html")
    assert "There was no night yet" in words_of(tmp_path / "site" / "nights" / "index.html")


def test_numbers_that_are_none_have_no_place_in_a_picture(history: History, tmp_path: Path) -> None:
    broken = a_file(perplexity=math.inf, kld=math.inf, generation_per_second=math.inf)
    for row in (broken, a_file("Q8_0"), broken):
        a_run(history, row, night=history.begin_night({}))

    site.write(history, tmp_path / "site")

    text = (tmp_path / "site" / "recipes" / "tiny.html").read_text("utf-8")
    assert not re.search(r"<(?:path|circle|text)[^>]*(?:nan|inf)", text)
    assert [one.findtext("{*}title") for one in drawings(text)]


def test_scores_are_shown_without_a_page_that_knows_them(history: History, tmp_path: Path) -> None:
    for place, scores in enumerate(((0.78, 0.75), (0.78, 0.76))):
        rows = [
            replace(row, numbers={**row.numbers, "hellaswag": {"score": score, "error": 0.01}})
            for row, score in zip(
                (a_file("Q8_0", size=2_000_000), a_file(kld=0.01 + place)), scores, strict=True
            )
        ]
        a_run(history, *rows, night=history.begin_night({}))

    site.write(history, tmp_path / "site")

    page = (tmp_path / "site" / "recipes" / "tiny.html").read_text("utf-8")
    told = {one.findtext("{*}title"): one.findtext("{*}desc") for one in drawings(page)}
    assert "HellaSwag score, %" in told
    assert "better than these: Q4_0, Q8_0." in str(told["HellaSwag score, % against size"])
    text = words_of(tmp_path / "site" / "recipes" / "tiny.html")
    assert "78.00 %" in text
    assert "HellaSwag score: 75.00 % → 76.00 %" in text
    head = (tmp_path / "site" / "recipes" / "tiny.csv").read_text("utf-8").splitlines()[0]
    assert "hellaswag_score" in head.split(",")


def test_a_recipe_that_is_no_longer_run_calls_for_nobody(history: History, tmp_path: Path) -> None:
    a_run(history, night=history.begin_night({}), recipe="gone", state="failed", error="it broke")
    night = history.begin_night({})
    a_run(history, night=night)
    history.end_night(night, "ok", {})

    site.write(history, tmp_path / "site")

    text = words_of(tmp_path / "site" / "index.html")
    assert "it broke" not in text
    assert "gone not run" in text


@pytest.mark.parametrize(
    "options",
    [{"paths": ["recipes"], "select": ["tiny*"]}, {"paths": ["recipes/tiny"], "select": []}],
)
def test_a_failure_stands_until_a_night_that_holds_the_recipe_is_well(
    history: History, tmp_path: Path, options: dict[str, list[str]]
) -> None:
    everything = {"paths": ["recipes"], "select": []}
    night = history.begin_night(everything)
    a_run(history, night=night, recipe="broken", state="failed", error="it broke")
    history.end_night(night, "failed", {})
    part = history.begin_night(options)
    a_run(history, night=part)
    history.end_night(part, "ok", {})
    now = history.begin_night(everything)  # while it runs, and where it did not get to begin it
    a_run(history, night=now, recipe="broken", state="running")

    site.write(history, tmp_path / "site")

    text = words_of(tmp_path / "site" / "index.html")
    assert "it broke" in text
    assert "not made again since then" in text
    assert "Nothing: every recipe" not in text


def test_runs_by_hand_alone_make_a_site(history: History, tmp_path: Path) -> None:
    a_run(history, a_file(), state="failed", error="it broke")

    site.write(history, tmp_path / "site")

    assert "it broke" in words_of(tmp_path / "site" / "index.html")
    assert "by hand" in words_of(tmp_path / "site" / "recipes" / "tiny.html")


def test_all_numbers_are_there_for_other_programs(shown: Path) -> None:
    lines = (shown / "recipes" / "llama-2-7b-chat.csv").read_text("utf-8").splitlines()

    assert len(lines) == 1 + 5 * len(believable.ALL_TYPES)  # one night failed
    assert lines[0].startswith("night,started,machine,commit,type,status")
    assert f",{believable.commit(5)[:12]},Q2_K,pass," in lines[-7]


def test_a_cell_that_a_spreadsheet_would_run_is_text(history: History, tmp_path: Path) -> None:
    a_run(history, a_file(verdict="=HYPERLINK(1)"), night=history.begin_night({}))

    site.write(history, tmp_path / "site")

    assert ",'=HYPERLINK(1)," in (tmp_path / "site" / "recipes" / "tiny.csv").read_text("utf-8")


def pairs() -> dict[str, tuple[str, str]]:
    """Which colours stand on which, by the names in the style sheet."""
    states = ("ok", "unchanged", "warning", "alarm", "failed", "environment", "left")
    found = {f"{one}-text": (f"{one}-text", f"{one}-ground") for one in states}
    for one in ("interrupted", "running"):
        found[one] = (f"{one}-text", f"{one}-ground")
    for one in ("text", "muted", "link", *(f"c{number}" for number in range(8))):
        found[one] = (one, "ground")
        found[f"{one} raised"] = (one, "raised")
    return found


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", render_template.static(render_template.STYLE), re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))

    for name, (text, ground) in pairs().items():
        low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name
