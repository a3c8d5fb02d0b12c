"""Tensors that nobody misses in a converted file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pydantic import Field

from orchestrator.toolchain.data import Data


class HarmlessTensor(Data):
    """Tensors of a source that the converter leaves out and that no file needs."""

    match: str = Field(description="Pattern of their names.")
    unless: str = Field(default="", description="Pattern of the architectures that need them.")
    why: str = Field(description="What they are.")

    def holds_for(self, architectures: Iterable[str]) -> bool:
        """Whether models of these architectures, as config.json names them, do without."""
        return not (self.unless and any(re.search(self.unless, one) for one in architectures))
