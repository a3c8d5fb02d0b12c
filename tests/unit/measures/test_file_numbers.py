"""Numbers of files: as rows of a table, by their keys, and in tables; with their errors."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.measures import file_numbers, number_tables, registry
from tests.support.history_records import a_file

NAMES = [(measure.name, number.name) for measure, number in registry.numbers()]
NUMBERS = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1e9), min_size=1)


def by_measure(told: dict[tuple[str, str], float]) -> file_numbers.ByMeasure:
    found: dict[str, dict[str, float | int | None]] = {}
    for (measure, name), value in told.items():
        found.setdefault(measure, {})[name] = value
    return found


def is_error(measure: str, name: str) -> bool:
    return name in {number.error for number in registry.named(measure).numbers}


@given(NUMBERS)
def test_rows_give_back_every_number_and_its_error(told: dict[tuple[str, str], float]) -> None:
    of = {(one.name, number.error): number.name for one, number in registry.numbers()}
    alone = {place for place in told if is_error(*place) and (place[0], of[place]) not in told}
    numbers = by_measure({place: value for place, value in told.items() if place not in alone})

    assert file_numbers.joined(file_numbers.rows(numbers), file_numbers.error_names()) == numbers


def test_an_error_stands_beside_its_number_and_what_is_not_known_has_no_row() -> None:
    numbers = {"perplexity": {"value": 5.0, "error": 0.1, "increase": None, "chunks": 8}}

    assert list(file_numbers.rows(numbers)) == [
        ("perplexity", "value", 5.0, 0.1),
        ("perplexity", "chunks", 8, None),
    ]


def test_numbers_of_measures_that_are_gone_are_kept() -> None:
    rows = [("cosine", "mean", 0.99, 0.01)]

    assert file_numbers.joined(rows, file_numbers.error_names()) == {
        "cosine": {"mean": 0.99, "mean_error": 0.01}
    }


def test_a_table_has_the_columns_of_its_place_without_empty_ones() -> None:
    rows = [a_file(perplexity_error=0.02), a_file("Q8_0", perplexity=None)]

    table = number_tables.table(rows, "site")

    assert table.titles == (
        *("Size", "Bits per weight", "Perplexity", "KLD, mean", "Generation, tokens/s"),
    )
    assert [cell.text for cell in table.lines[0]] == [
        *("1.00 MB", "4.50", "5.0000 ± 0.0200", "0.01000", "100"),
    ]
    assert [line[2].value for line in table.lines] == [5.0, None]


def test_scores_of_tasks_have_columns_everywhere_without_being_named() -> None:
    row = replace(a_file(), numbers={"hellaswag": {"score": 0.785, "error": 0.02, "tasks": 400}})

    for place in ("report", "terminal", "card", "site", "history"):
        table = number_tables.table([row], place)
        assert ("HellaSwag", "78.50 %") in [
            (title, cell.text) for title, cell in zip(table.titles, table.lines[0], strict=True)
        ], place
