"""Where shared caches are and what is believed of them, as the environment says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base import safe_text

VARIABLE = "ORCHESTRATE_REMOTE"


@dataclass(frozen=True)
class Place:
    """One cache.

    Attributes:
        url: What fsspec calls it.
        read_only: Nothing is sent there.
        private: Only people who may have gated models and unfree weights read it.
    """

    url: str
    read_only: bool = False
    private: bool = False

    @property
    def shown(self) -> str:
        """Its address without a name and a password."""
        from orchestrator.sources.http_client import without_secrets  # noqa: PLC0415 - heavy

        return safe_text.line(without_secrets(self.url))


@dataclass(frozen=True)
class Remote:
    """The caches of a run, in the order in which they are asked; none by default.

    Attributes:
        places: Where they are.
        trust: Public keys (PEM); with one, only what one of them has signed is taken.
        sign_key: The private key that signs what is sent; empty for none.
        patience: Seconds without an answer after which a cache is not asked again.
        finish: Seconds that a run waits at its end for what is still being sent.
    """

    places: tuple[Place, ...] = ()
    trust: tuple[Path, ...] = ()
    sign_key: Path | None = None
    patience: float = 20.0
    finish: float = 60.0

    def offline(self) -> Remote:
        """Those on the disks of this machine."""
        near = (one for one in self.places if one.url.startswith(("file:", "local:")))
        return replace(self, places=tuple(near))
