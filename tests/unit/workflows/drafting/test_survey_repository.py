"""Which repository is meant."""

from __future__ import annotations

import pytest

from orchestrator.workflows.drafting.survey_repository import named


@pytest.mark.parametrize(
    ("text", "revision", "meant"),
    [
        ("org/name", "", ("org/name", "main")),
        ("org/name", "v1", ("org/name", "v1")),
        ("https://huggingface.co/org/name", "", ("org/name", "main")),
        ("https://huggingface.co/org/name/", "v1", ("org/name", "v1")),
        ("https://hf.co/org/na.me-1?not-for-all-audiences=true", "", ("org/na.me-1", "main")),
        ("https://huggingface.co/org/name/tree/v1", "", ("org/name", "v1")),
        ("https://huggingface.co/org/name/tree/v1", "v2", ("org/name", "v2")),
        ("https://huggingface.co/org/name/blob/abc/config.json", "", ("org/name", "abc")),
        # Neither is a model, and survey says that such a name is none.
        ("https://huggingface.co/datasets/org/name", "", None),
        ("https://example.org/org/name", "", None),
    ],
)
def test_a_page_of_the_hub_names_its_repository(
    text: str, revision: str, meant: tuple[str, str] | None
) -> None:
    assert named(text, revision) == (*(meant or (text, "main")), "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("org/name/a/b", ("org/name", "main", "a/b")),
        ("org/name/a/", ("org/name", "main", "a")),
        ("https://huggingface.co/org/name/tree/v1/a/b%20c", ("org/name", "v1", "a/b c")),
        ("https://huggingface.co/org/name/blob/v1/a/config.json", ("org/name", "v1", "")),
    ],
)
def test_a_folder_of_it_may_be_meant(text: str, meant: tuple[str, str, str]) -> None:
    assert named(text, "") == meant
