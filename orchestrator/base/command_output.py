"""Where the words of a command go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.base.step_values import JSON
from orchestrator.base.terminal_colours import status

Say = Callable[[str], None]


@dataclass(frozen=True)
class Voice:
    """Results go to ``say``, what went wrong to ``complain``.

    With ``tell``, results are one JSON value for it instead of texts for ``say``.
    """

    say: Say
    complain: Say
    tell: Callable[[JSON], None] | None = None

    def result(self, text: str) -> None:
        """A text for people; programs get it as JSON at the end."""
        if self.tell is None:
            self.say(text)

    def value(self, make: Callable[[], JSON]) -> None:
        """The JSON value, made where one is wanted."""
        if self.tell is not None:
            self.tell(make())

    def errors(self, texts: Iterable[str]) -> None:
        """Every failure."""
        for text in texts:
            self.complain(f"{status('error')}: {text}")
