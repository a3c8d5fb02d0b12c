"""A night's summary as Markdown: no text of strangers is markup in it."""

from __future__ import annotations

from pathlib import Path

from markdown_it import MarkdownIt

from orchestrator.history.run_records import FAILED, LEFT
from orchestrator.workflows.nightly.night_values import RecipeResult, Summary
from orchestrator.workflows.nightly.summary_markdown import markdown

HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) **b** \x1b[2J\u202e | ![i](//h/i)"


def test_no_text_of_strangers_is_markup_in_a_summary() -> None:
    failed = RecipeResult(
        HOSTILE, Path("r.yaml"), FAILED, error=f"{HOSTILE}\n```\n# x", toolchain=HOSTILE
    )
    left = RecipeResult(HOSTILE, Path("r.yaml"), LEFT, left=(HOSTILE,), notes=(HOSTILE,))

    text = markdown(Summary(1, "", 1.0, (failed, left), notes=(HOSTILE,)))

    assert text.replace("\n", "").isprintable()
    found = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    parts = [part.type for token in found for part in (token, *(token.children or ()))]
    assert not {"html_block", "html_inline", "link_open", "image"} & set(parts)
    assert parts.count("heading_open") == 5
    assert parts.count("fence") == 1
