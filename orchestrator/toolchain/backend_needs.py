"""What a back end needs of the machine: programs to build it, devices to use."""

from __future__ import annotations

from pydantic import Field

from orchestrator.toolchain.data import Data


class BackendNeeds(Data):
    """What a back end needs of the machine."""

    programs: tuple[str, ...] = Field(
        default=(), description="Programs that must be on the path to build it."
    )
    devices: tuple[str, ...] = Field(
        default=(), description="A command that lists the devices it would use, one a line."
    )
    advice: str = Field(description="How to get what is missing.")
