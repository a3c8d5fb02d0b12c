"""Which recipes let a converter run code of the model, and that steps are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planning.file_steps import trusts_code
from orchestrator.recipe.source_fields import Model
from tests.support.plans import by_label, make_plan

TRUSTED, OTHER = {"path": Path("a"), "trust_remote_code": True}, {"path": Path("b")}


@pytest.mark.parametrize(
    ("fields", "trusted"),
    [
        (OTHER, False),
        (TRUSTED, True),
        ({"base": OTHER, "delta": OTHER}, False),
        ({"base": TRUSTED, "delta": OTHER}, False),
        ({"base": OTHER, "delta": TRUSTED}, False),
        ({"base": TRUSTED, "delta": TRUSTED}, True),
        ({"base": OTHER, "delta": OTHER, "trust_remote_code": True}, True),
    ],
)
def test_code_is_trusted_where_all_of_it_is(fields: dict[str, object], trusted: bool) -> None:
    assert trusts_code(Model.model_validate(fields)) is trusted


def test_the_conversion_and_its_trial_are_told(tmp_path: Path) -> None:
    steps = by_label(make_plan(tmp_path))

    assert steps["convert small to F16"].context["trust_remote_code"] is False
    assert steps["try converting small without weights"].params["trust_remote_code"] is False
