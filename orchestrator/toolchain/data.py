"""The base of everything that is read from a tool chain's data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Data(BaseModel):
    """Base of all tool-chain data: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
