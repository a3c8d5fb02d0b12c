"""Options of verbs that recipes may give, as the tool chain's data describes them."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import Field, model_validator

from orchestrator.toolchain.argv_template import Argument
from orchestrator.toolchain.data import Data

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "number": "a finite number",
    "text": "text; put it in quotes if it is",
    "texts": "a list of texts",
}
_SCHEMAS = {"bool": "boolean", "int": "integer", "number": "number", "text": "string"}


class Option(Data):
    """One option of a verb: what a recipe may say, and what the tool is given.

    With ``argv`` these arguments are added to the verb's own where a recipe gives the option;
    they may use its value by its name in braces, and of several texts each with ``each``.
    Without, the verb's own argv names it.
    """

    type: Literal["bool", "int", "number", "text", "texts"] = Field(
        default="bool", description="What its value is."
    )
    choices: tuple[str, ...] = Field(default=(), description="Of text: the values there are.")
    pattern: str = Field(default="", description="Of text: pattern of the whole value.")
    argv: tuple[Argument, ...] = Field(default=(), description="Its arguments; see above.")
    about: str = Field(description="One sentence for people.")

    @model_validator(mode="after")
    def _only_text_is_limited(self) -> Option:
        if self.type not in ("text", "texts") and (self.choices or self.pattern):
            raise ValueError("only an option of type text or texts has choices or a pattern")
        re.compile(self.pattern)
        return self

    def problem(self, value: Any) -> str:
        """What is wrong with a recipe's value, as the end of a sentence; empty if nothing."""
        if not self._fits(value):
            return f"must be {_WORDS[self.type]}"
        if self.type == "texts":
            return next(filter(None, map(self._limited, value)), "")
        return self._limited(value)

    def _limited(self, value: Any) -> str:
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {', '.join(self.choices)}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{value!r} does not match {self.pattern}"
        return ""

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) or self.type == "bool":
            return isinstance(value, bool) and self.type == "bool"
        if self.type == "number":
            return isinstance(value, int | float) and math.isfinite(value)
        if self.type == "texts":
            listed = isinstance(value, tuple | list) and len(value) > 0
            return listed and all(isinstance(one, str) for one in value)
        return isinstance(value, int if self.type == "int" else str)

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""
        found: dict[str, Any] = {"type": _SCHEMAS.get(self.type, "string")}
        if self.choices:
            found["enum"] = list(self.choices)
        if self.pattern:
            found["pattern"] = f"^(?:{self.pattern})$"
        if self.type == "texts":
            found = {"type": "array", "items": found, "minItems": 1}
        return {"anyOf": [found, {"type": "null"}], "default": None, "description": self.about}
