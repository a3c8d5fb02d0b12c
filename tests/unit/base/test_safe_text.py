"""Text of strangers, made safe for a terminal, for JSON and for the name of a file."""

from __future__ import annotations

import json

import pytest

from orchestrator.base import safe_markdown, safe_text, terminal_colours

CLEAR, TITLE, CSI = "\x1b[2J", "\x1b]0;title\x07", "\x9b31m"
BIDI = "\u202egnp.exe\u2066"
HOSTILE = (CLEAR, TITLE, CSI, BIDI, "a\rb", "a\x08b", "\x00", "\x7f", "\udc80", "\u2028")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_would_obey_is_made_visible(text: str) -> None:
    assert safe_text.line(f"<{text}>").isprintable()
    assert safe_text.terminal(f"<{text}>").isprintable()
    shown = safe_text.as_json({text: [text, "é\n"]})
    assert shown.replace("\n", "").isprintable()
    assert json.loads(shown) == {text: [text, "é\n"]}


def test_it_is_shown_as_python_writes_it() -> None:
    assert safe_text.line(TITLE + BIDI) == r"\x1b]0;title\x07\u202egnp.exe\u2066"


def test_a_file_for_people_gets_no_codes_at_all() -> None:
    own = terminal_colours.status("error")
    assert safe_text.lines(f"{own}\r\n\t{CLEAR}") == r"\x1b[1;31merror\x1b[0m" + "\n\t\\x1b[2J"


def test_ends_of_lines_are_kept_where_there_are_lines() -> None:
    assert safe_text.line("a\nb\tc") == r"a\nb\tc"
    assert safe_text.terminal("a\nb\tc\r\nd") == "a\nb\tc\nd"


def test_words_of_all_languages_are_kept() -> None:
    words = "größer 模型 модель نموذج 🦙 5\u00a0GB"
    assert (safe_text.line(words), safe_text.terminal(words)) == (words, words)


def test_of_all_codes_this_programs_colours_stay_and_no_others() -> None:
    own = terminal_colours.status("error")
    assert own.startswith("\x1b[")
    assert safe_text.terminal(f"{own}: \x1b[5m{CLEAR}") == own + r": \x1b[5m\x1b[2J"
    assert "\x1b" not in safe_text.line(own)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pass@host/x", "https://(not shown)@host/x"),
        ("'http://me:p@ss@host:8080/': no", "'http://(not shown)@host:8080/': no"),
        ("ssh://token@host, a@b", "ssh://(not shown)@host, a@b"),
        ("https://host/a@b?c=d@e", "https://host/a@b?c=d@e"),
        ("https://host and me@host", "https://host and me@host"),
    ],
)
def test_passwords_in_addresses_are_not_shown(text: str, shown: str) -> None:
    assert safe_text.without_credentials(text) == shown
    assert safe_text.without_credentials(shown) == shown
    assert safe_text.terminal(f"{text}\n") == f"{shown}\n"
    assert json.loads(safe_text.as_json([text, "a@b"])) == [shown, "a@b"]
    assert "pass" not in safe_markdown.inline(text) + safe_markdown.block(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Llama 3.1 8B", "Llama-3.1-8B"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\x1b[2J\u202eb", "a-2J-b"),
        ("...", ""),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("x" * 5000, "x" * 200),
        ("y" * 199 + " z", "y" * 199),
        ("модель", ""),
    ],
)
def test_names_of_files(text: str, name: str) -> None:
    assert safe_text.file_name(text, 200) == name
