"""What stops a publication, recognized by the client's own classes."""

from __future__ import annotations

import pytest

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.sources.hub.read_errors import Where
from orchestrator.sources.hub.write_errors import translate_writing
from tests.support.hub_repositories import NAME

WHERE = Where("http://hub", NAME, writes=True)


def test_a_failure_of_xet_names_the_way_without_it() -> None:
    hf_xet = pytest.importorskip("hf_xet")
    said = translate_writing(hf_xet.XetAuthenticationError("secret"), WHERE)
    assert isinstance(said, EnvironmentProblem)
    assert "HF_HUB_DISABLE_XET=1" in said.hint
    assert "secret" not in str(said)


def test_an_error_of_others_stays_a_bug() -> None:
    assert translate_writing(KeyError("x"), WHERE) is None
