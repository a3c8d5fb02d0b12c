"""What others may have: by the recipe's word, and by the Hub's."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from orchestrator.base.errors import NetworkProblem
from orchestrator.base.step_values import JSON
from orchestrator.engine.shared_cache import terms
from orchestrator.engine.shared_cache.places import Place
from orchestrator.sources.hub import client
from tests.support.stores import a_step

OPEN, PRIVATE = Place("s3://open"), Place("s3://team", private=True)


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Hub with an open, a gated and a private model, and one that does not answer."""
    asked: list[str] = []

    def info(where: SimpleNamespace) -> SimpleNamespace:
        asked.append(where.repo)
        if where.repo == "a/silent":
            raise NetworkProblem("no answer")
        return SimpleNamespace(gated=where.repo == "a/gated", private=where.repo == "a/private")

    monkeypatch.setattr(client, "repo_info", info)
    terms._gated.cache_clear()
    return asked


def objection(place: Place, why: str = "", hubs: tuple[str, ...] = ()) -> str:
    context: dict[str, JSON] = {"terms": {"why": why, "hubs": list(hubs)}}
    return terms.objection(replace(a_step(), context=context), place)


def test_a_private_cache_may_have_everything(hub: list[str]) -> None:
    assert not objection(PRIVATE, "its licence is not stated", ("a/gated",))
    assert not terms.objection(a_step(), PRIVATE)
    assert not hub


def test_what_is_not_free_stays(hub: list[str]) -> None:
    assert objection(OPEN, "it is not free", ("a/open",)) == "it is not free"
    assert terms.objection(a_step(), OPEN)
    assert not hub


@pytest.mark.parametrize("repo", ["a/gated", "a/private", "a/silent"])
def test_models_that_not_everybody_may_read_stay(repo: str) -> None:
    assert repo in objection(OPEN, "", ("a/open", repo))


def test_the_hub_is_asked_once_for_a_repository(hub: list[str]) -> None:
    for _ in range(3):
        assert not objection(OPEN, "", ("a/open",))

    assert hub == ["a/open"]
