"""What the pages are made from: names, runs, changes, speeds, troubles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.history import Alarm, History, run_states
from orchestrator.history.site import (
    failure_groups,
    format_values,
    read_history,
    time_series,
)
from orchestrator.toolchain import upstream_urls
from tests.support.history_records import a_file, a_run, a_step, with_numbers


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=20, unique=True))
def test_no_name_of_a_recipe_leaves_the_folder_or_meets_another(names: list[str]) -> None:
    found = read_history.page_names([*names, "Tiny", "tiny", "../up", "a/b", "con", "x" * 200])

    pages = list(found.values())
    assert len({page.casefold() for page in pages}) == len(pages)
    assert all(page == Path(page).name and page[0] not in ".-" for page in pages)
    assert not {"con", "index", "..", ""} & set(pages)


def test_a_plain_name_is_its_own_page() -> None:
    assert read_history.page_names(["llama-2-7b"]) == {"llama-2-7b": "llama-2-7b"}


@pytest.mark.parametrize(
    ("source", "base"),
    [
        ("https://github.com/ggml-org/llama.cpp", "https://github.com/ggml-org/llama.cpp"),
        ("https://github.com/ggml-org/llama.cpp.git", "https://github.com/ggml-org/llama.cpp"),
        ("https://example.invalid/llama.cpp", ""),
        ("javascript:alert(1)//https://github.com/a/b", ""),
        ("https://github.com/a/..", ""),
        ("https://github.com/a/b?x=<script>", ""),
    ],
)
def test_only_sources_on_github_are_compared_there(source: str, base: str) -> None:
    link = upstream_urls.compare_url(source, "a" * 40, "b" * 40)

    assert link == (f"{base}/compare/{'a' * 40}...{'b' * 40}" if base else "")
    assert not upstream_urls.compare_url(source, "a" * 40, "a" * 40)
    assert not upstream_urls.compare_url(source, "main", "b" * 40)


def test_text_loses_what_terminals_and_readers_would_obey() -> None:
    assert (
        format_values.plain("a\x1b[31mred\x1b[0m\x00b\u202egnp.exe\r\nz")
        == "ared\ufffdb\ufffdgnp.exe\nz"
    )


def test_a_run_knows_the_last_good_night_before_it(tmp_path: Path) -> None:
    history = History(tmp_path)
    for commit, state in (("a", "ok"), ("b", "failed"), ("c", "alarm"), ("d", "ok")):
        a_run(history, night=history.begin_night({}), state=state, commit=commit * 40)

    (recipe,) = read_history.read(history, 365).recipes

    before = [entry.before.commit[0] if entry.before else "" for entry in recipe.entries]
    assert before == ["a", "a", "a", ""]


def test_a_good_run_by_hand_is_no_good_night(tmp_path: Path) -> None:
    history = History(tmp_path)
    a_run(history, night=history.begin_night({}), commit="a" * 40)
    a_run(history, commit="b" * 40)
    a_run(history, night=history.begin_night({}), commit="c" * 40)

    (recipe,) = read_history.read(history, 365).recipes

    last, by_hand, first = recipe.entries
    assert last.before is not None
    assert by_hand.before is not None
    assert [last.before.commit[0], by_hand.before.commit[0], first.before] == ["a", "a", None]


def test_only_the_newest_nights_are_read_with_the_runs_by_hand_among_them(tmp_path: Path) -> None:
    history = History(tmp_path)
    a_run(history, commit="0" * 40)
    for number in "1234":
        a_run(history, night=history.begin_night({}), commit=number * 40)
        a_run(history, commit=number.replace("3", "e") * 40)

    known = read_history.read(history, 2)

    assert [night.id for night in known.nights] == [4, 3]
    (recipe,) = known.recipes
    assert [one.run.commit[0] for one in recipe.entries] == ["4", "4", "e", "3"]
    assert recipe.entries[-1].before is not None  # from before the nights that are shown


def test_a_run_in_which_all_was_there_is_unchanged(tmp_path: Path) -> None:
    history = History(tmp_path)
    night = history.begin_night({})
    a_run(history, night=night, recipe="found", steps=(a_step(outcome="hit"),))
    a_run(history, night=night, recipe="made", steps=(a_step(outcome="hit"), a_step()))
    a_run(history, night=night, recipe="unknown")

    found = {one.name: one.newest.state for one in read_history.read(history, 9).recipes}

    assert found == {
        "found": run_states.UNCHANGED,
        "made": run_states.OK,
        "unknown": run_states.OK,
    }


def test_every_state_has_its_own_sign_and_word() -> None:
    signs = [state.sign for state in run_states.LEGEND]

    assert len(set(signs)) == len(signs)
    assert run_states.of("something new").label == "something new"


def test_changes_tell_bytes_numbers_and_both_commits(tmp_path: Path) -> None:
    history = History(tmp_path)
    a_run(history, a_file(), night=1, commit="a" * 40)
    before = a_run(history, a_file(), night=2, commit="b" * 40)
    other = a_file(sha256="cd" * 32, verdict="near", note="3 values", against=before)
    a_run(history, with_numbers(other, perplexity=5.5, size=999_000), night=3, commit="c" * 40)
    history.begin_night({})
    (recipe,) = read_history.read(history, -1).recipes
    runs = time_series.in_order(recipe.entries, read_history.details(history, recipe).files)

    (change,) = time_series.changes(runs)

    assert (change.since.run.commit[0], change.entry.run.commit[0]) == ("b", "c")
    assert change.details == (
        ("bytes", "near", "3 values"),
        ("perplexity", "5.0000 → 5.5000 (+10.00 %)", ""),
        ("size", "1,000,000 → 999,000 bytes (-0.10 %)", ""),
    )


def test_bytes_that_came_back_are_others_than_before_and_identical_to_the_good_ones(
    tmp_path: Path,
) -> None:
    history = History(tmp_path)
    good = a_run(history, a_file(), night=1)
    a_run(history, a_file(sha256="cd" * 32, verdict="near", against=good), night=2)
    a_run(history, a_file(verdict="identical", against=good), night=3)
    history.begin_night({})
    (recipe,) = read_history.read(history, -1).recipes
    runs = time_series.in_order(recipe.entries, read_history.details(history, recipe).files)

    newest, first = time_series.changes(runs)

    assert first.details == (("bytes", "near", ""),)
    assert newest.details == (("bytes", "others", "against the last good night: identical"),)


def test_the_same_commit_over_several_nights_is_one_mark(tmp_path: Path) -> None:
    history = History(tmp_path)
    for commit in "aabbb":
        alarms = (Alarm("f", "bytes", "m"),) if commit == "a" else ()
        night = history.begin_night({})
        a_run(history, a_file(), night=night, commit=commit * 40, alarms=alarms, state="alarm")
    (recipe,) = read_history.read(history, 9).recipes

    time = time_series.time(recipe.entries)

    assert time is not None
    assert [mark.text[0] for mark in time.marks] == ["a", "a", "b"]
    assert [mark.alarm for mark in time.marks] == [True, True, False]


def test_speeds_of_machines_are_kept_apart(tmp_path: Path) -> None:
    history = History(tmp_path)
    for speed in (100.0, 110.0, 50.0):
        night = history.begin_night({})
        a_run(history, a_file(generation_per_second=speed), night=night)
    (recipe,) = read_history.read(history, 9).recipes
    files = read_history.details(history, recipe).files
    runs = time_series.in_order(recipe.entries, files)
    there = {entry.run.machine for entry, _ in runs}

    (speed_,) = time_series.speeds(runs)

    assert {speed_.machine} == there
    assert speed_.spreads == (None, time_series.Spread(50.0, 100.0, 50.0, 110.0, 3))


def test_speeds_that_were_only_carried_over_are_not_counted_again(tmp_path: Path) -> None:
    history = History(tmp_path)
    for speed, fresh in (
        (100.0, True),
        (100.0, False),
        (100.0, False),
        (100.0, True),
        (90.0, False),
    ):
        row = a_file(generation_per_second=speed, fresh=fresh)
        a_run(history, row, night=history.begin_night({}))
    (recipe,) = read_history.read(history, 9).recipes
    runs = time_series.in_order(recipe.entries, read_history.details(history, recipe).files)

    (found,) = time_series.speeds(runs)

    assert found.spreads == (None, time_series.Spread(90.0, 100.0, 90.0, 100.0, 3))


def test_a_table_says_of_which_files_speeds_are_of_an_earlier_run() -> None:
    rows = [a_file(), a_file("Q8_0", fresh=True), a_file("Q2_K", generation_per_second=None)]

    assert time_series.carried(rows) == "Speed of Q4_0: measured in an earlier run."
    assert time_series.carried(rows[1:]) == ""
    rows[0] = with_numbers(rows[0], memory=5)
    assert time_series.carried(rows) == "Speed and memory of Q4_0: measured in an earlier run."


@pytest.mark.parametrize("name", ["tiny-F16.gguf", "F16, for comparison"])
def test_the_full_file_is_known_in_reports_and_in_the_history(name: str) -> None:
    full = a_file("F16", file=name, kld=None)

    assert time_series.full_type([a_file(), full, a_file("Q8_0")]) == "F16"
    assert time_series.full_type([a_file(), a_file("Q8_0")]) == ""
    assert time_series.full_type([replace(full, file="x.gguf")]) == ""


def test_recipes_that_failed_by_the_same_step_are_told_together(tmp_path: Path) -> None:
    history = History(tmp_path)
    night = history.begin_night({})
    broken = a_step("build", outcome="failed", exit=1, log="the log")
    for name in ("a", "b"):
        a_run(history, night=night, recipe=name, state="failed", steps=(broken,), error=f"{name}!")
    a_run(history, night=night, recipe="c", state="failed", error="other")
    pairs = [(one, one.newest) for one in read_history.read(history, 9).recipes]

    found = failure_groups.group(pairs, history.report)

    assert [[recipe.name for recipe, _ in one.found] for one in found] == [["a", "b"], ["c"]]
    assert found[0].entry.failures[0].log == "the log"


def test_a_limit_that_was_not_kept_is_told_by_its_check(tmp_path: Path) -> None:
    history = History(tmp_path)
    check = {"name": "perplexity", "status": "fail", "message": "9 % above F16"}
    report = {"files": [{"file": "x.gguf", "checks": [check]}]}
    a_run(history, night=history.begin_night({}), state="failed", report=report)
    (recipe,) = read_history.read(history, 9).recipes

    (found,) = failure_groups.group([(recipe, recipe.newest)], history.report)

    assert found.checks == ("x.gguf: 9 % above F16",)


def test_a_run_takes_what_its_steps_took_and_not_what_its_night_did(tmp_path: Path) -> None:
    history = History(tmp_path)
    night = history.begin_night({})
    made, hit = a_step(seconds=90.0), a_step("measure", outcome="hit", seconds=1000.0)
    a_run(history, a_file(), night=night, steps=(made, a_step("b", seconds=2.0), hit))
    history.begin_run("going", tmp_path / "going.yaml", "d" * 64, night=night)

    going, tiny = read_history.read(history, 5).recipes

    assert tiny.newest.seconds == 92.0
    assert going.newest.seconds is None
