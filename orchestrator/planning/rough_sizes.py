"""Sizes without a built tool chain: estimates, and called so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import step_kinds
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.planning.resource_needs import Forecast

Facts = Callable[[Step], Mapping[str, Any] | None]


def estimate(
    plan: Plan, fetched: Sequence[tuple[Mapping[str, JSON], int]], facts: Facts
) -> Forecast | None:
    """Estimate a plan's sizes from its parameter count and nominal bits per weight.

    Returns:
        Without sizes where the parameters are not known; None where not even is known what is
        fetched.
    """
    described = filter(step_kinds.is_description, plan.steps)
    parameters = sum(_parameters(step, facts) for step in described)
    if plan.sources.delta is not None:
        parameters //= 2
    if not parameters:
        return Forecast({}, {}, fetched, exact=False) if fetched else None
    full_bits = plan.chain.outtypes[plan.recipe.convert.outtype].bits
    full = _sized(parameters, full_bits)
    outputs = {
        quant.name: _sized(parameters, plan.chain.types[quant.type].bits or full_bits)
        for quant in plan.recipe.quantize
    }
    return Forecast({**full, "parameters": parameters}, outputs, fetched, exact=False)


def _parameters(step: Step, facts: Facts) -> int:
    known = facts(step)
    return int(known.get("parameters", 0)) if known else 0


def _sized(parameters: int, bits: float) -> dict[str, JSON]:
    return {
        "size": round(parameters * bits / 8),
        "bits_per_weight": bits,
        "fallbacks": [],
        "needs_imatrix": False,
    }
