"""The base of everything that is read from a tool chain's data."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.base.errors import UsageError

_SHOWN = 3


class Data(BaseModel):
    """Base of all tool-chain data: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def wrong(path: Path, error: Exception) -> UsageError:
    """The error about a file of a tool chain's data: the first places that are wrong in it."""
    said = str(error)
    if isinstance(error, ValidationError):
        found = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        said = "; ".join([*found[:_SHOWN], *more])
    return UsageError(f"{path}: {said}", "Fix the tool chain's data.")
