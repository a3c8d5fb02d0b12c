"""What may be passed on, and what only when the recipe says so."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.recipe.publish_section import Publish
from orchestrator.workflows.publishing.licences import require_right


def refusal(licence: str, gated: bool = False, **said: object) -> str:
    with pytest.raises(UsageError) as caught:
        require_right(Publish(**said), licence, gated, "x.yaml")  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("licence", ["mit", "apache-2.0", "cc-by-4.0", "agpl-3.0", "cc0-1.0"])
def test_free_licences_need_no_word(licence: str) -> None:
    require_right(Publish(), licence, False, "x.yaml")


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("llama2", "Meta"),
        ("llama3.1", "Meta"),
        ("gemma", "Google"),
        ("other", "terms of its own"),
        ("cc-by-nc-4.0", "commercial"),
        ("cc-by-nc-nd-4.0", "changed files"),
        ("cc-by-nd-4.0", "changed files"),
        ("bigscience-bloom-rail-1.0", "forbids some uses"),
        ("never-heard-of", "not known to be free"),
    ],
)
def test_others_need_redistribute_true_and_say_why(licence: str, why: str) -> None:
    assert why in refusal(licence)
    assert "redistribute: true" in refusal(licence)
    require_right(Publish(redistribute=True), licence, False, "x.yaml")


def test_a_gated_model_needs_the_word_under_any_licence() -> None:
    assert "gated" in refusal("mit", gated=True)
    require_right(Publish(redistribute=True), "mit", True, "x.yaml")


def test_redistribute_false_always_refuses() -> None:
    assert "must not be redistributed" in refusal("mit", redistribute=False)


def test_no_licence_is_no_right() -> None:
    assert "does not say under which licence" in refusal("", redistribute=True)
