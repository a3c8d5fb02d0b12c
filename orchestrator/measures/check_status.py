"""What a check of a file came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from orchestrator.base.step_values import JSON


class Status(Enum):
    """The state of one check; ordered from good to bad."""

    PASS = "pass"  # noqa: S105 - not a password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class Check:
    """One verified property of one file: its name, verdict, a sentence and its numbers."""

    name: str
    status: Status
    message: str
    numbers: Mapping[str, JSON] = field(default_factory=dict)
