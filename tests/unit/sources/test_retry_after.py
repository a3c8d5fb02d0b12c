"""How long servers ask to be left alone."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.sources import retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, 17),
        ({"retry-after": " 0 "}, 0),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=12;t=55'}, None),
        ({"RateLimit": '"api";r=0;t=5, "pages";r=0;t=70, "other";r=3;t=900'}, 70),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "40"}, 40),
        ({"RateLimit-Remaining": "1", "RateLimit-Reset": "40"}, None),
        ({"Retry-After": "3", "RateLimit": '"api";r=0;t=55'}, 3),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_headers_state(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after.asked(headers) == seconds


def test_a_date_is_a_wait_until_then_and_a_past_one_is_none() -> None:
    soon = retry_after.asked({"Retry-After": formatdate(time.time() + 100, usegmt=True)})

    assert soon is not None
    assert 90 < soon <= 100
    assert retry_after.asked({"Retry-After": formatdate(0, usegmt=True)}) == 0


def test_a_reset_at_a_moment_is_a_wait_until_then() -> None:
    moment = str(int(time.time()) + 100)
    found = retry_after.asked({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": moment})

    assert found is not None
    assert 90 < found <= 100


@given(st.sampled_from(["Retry-After", "RateLimit", "RateLimit-Reset"]), st.text(max_size=40))
@example("Retry-After", "²")
def test_no_header_is_too_strange(name: str, value: str) -> None:
    found = retry_after.asked({name: value, "RateLimit-Remaining": "0"})

    assert found is None or found >= 0
