"""What a recipe says once for all of its files."""

from __future__ import annotations

from pathlib import Path

from tests.support.recipes import MINIMAL, loaded, one

EACH = MINIMAL.replace(
    "[Q4_0]",
    "[{type: Q4_0, allow_fallback: true, pure: true}, {type: Q8_0, allow_fallback: true}]",
)
ONCE = MINIMAL.replace("[Q4_0]", "[{type: Q4_0, pure: true}, Q8_0]")
ONCE += "defaults: {allow_fallback: true}\n"


def test_what_is_said_once_holds_for_every_file(tmp_path: Path) -> None:
    once, each = loaded(tmp_path, ONCE), loaded(tmp_path, EACH)

    assert once.quantize == each.quantize
    assert once.digest == each.digest


def test_a_file_that_says_otherwise_wins(tmp_path: Path) -> None:
    text = MINIMAL.replace("[Q4_0]", "[{type: Q4_0, pure: false}, Q8_0]")

    recipe = loaded(tmp_path, text + "defaults: {pure: true}\n")

    assert [quant.pure for quant in recipe.quantize] == [False, True]


def test_what_is_wrong_in_the_defaults_is_told_once_and_there(tmp_path: Path) -> None:
    text = MINIMAL.replace("[Q4_0]", "[Q4_0, Q8_0]")

    assert "defaults.pure: must be true or false" in one(tmp_path, text + "defaults: {pure: 7}\n")
    assert "defaults.pur: unknown key 'pur'; did you mean 'pure'?" in one(
        tmp_path, text + "defaults: {pur: true}\n"
    )


def test_a_default_that_needs_a_section_is_told(tmp_path: Path) -> None:
    said = one(tmp_path, MINIMAL + "defaults: {imatrix: true}\n")

    assert "quantize[0].imatrix: needs the section 'imatrix' with a corpus" in said
