"""A source that says exactly which bytes are meant, so that planning on it is pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.base.step_values import JSON


@dataclass(frozen=True)
class Resolved:
    """One definite source.

    Attributes:
        identity: What decides about the bytes; part of the key of the step that fetches.
        context: Where they are to be had; not part of the key.
        format: ``hf``, ``mistral``, ``gguf``, ``ggml``, ``pth``, ``imatrix`` or ``file``.
        unpinned: The moving reference that was resolved, or an empty string.
    """

    identity: Mapping[str, JSON]
    context: Mapping[str, JSON] = field(default_factory=dict)
    format: str = "file"
    unpinned: str = ""

    @property
    def original(self) -> bool:
        """Whether these are a model's own weights, in a folder that a converter reads."""
        return self.format in ("hf", "mistral")

    @property
    def file_name(self) -> str:
        """The name of the one file that is meant, without its folder."""
        found = (
            self.identity.get("member") or self.identity.get("file") or self.identity.get("name")
        )
        return str(found or next(iter(self.identity["files"]))).rpartition("/")[2]
