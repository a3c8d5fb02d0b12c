"""Options of verbs that recipes may give, as the tool chain's data describes them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from orchestrator.base.near_match import near
from orchestrator.toolchain.argv_template import Argument
from orchestrator.toolchain.data import Data
from orchestrator.toolchain.variants import When

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "number": "a finite number",
    "text": "text; put it in quotes if it is",
    "texts": "a list of texts",
    "table": "a mapping of keys to values",
    "tables": "a list of mappings of keys to texts",
}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "table": {"type": "object", "additionalProperties": False},
    "tables": {
        "type": "array",
        "items": {"type": "object", "additionalProperties": {"type": "string"}},
        "minItems": 1,
    },
}
_TEXTUAL = ("text", "texts")


class Option(Data):
    """One option of a verb: what a recipe may say, and what the tool is given.

    With ``argv`` these arguments are added to the verb's own where a recipe gives the option;
    they may use its value by its name in braces, of several texts each with ``each``, and of a
    table the path of a JSON file that holds it. Without, the verb's own argv names it.
    """

    type: Literal["bool", "int", "number", "text", "texts", "table"] = Field(
        default="bool", description="What its value is."
    )
    choices: tuple[str, ...] = Field(default=(), description="Of text: the values there are.")
    pattern: str = Field(default="", description="Of text: pattern of the whole value.")
    keys: Mapping[str, Literal["int", "number", "text", "texts", "tables"]] = Field(
        default={}, description="Of a table: the keys that it may have, and what their values are."
    )
    argv: tuple[Argument, ...] = Field(default=(), description="Its arguments; see above.")
    hides: tuple[str, ...] = Field(
        default=(),
        description="Of converters: files of the model that are kept from it where this is given.",
    )
    packages: tuple[str, ...] = Field(
        default=(),
        description="Of converters: Python packages at exact versions, dependencies included, for "
        "the path before those of the environment where this is given.",
    )
    layout: str = Field(
        default="",
        description="Of converters: the layout of models that it reads; it is given for those, "
        "and no recipe names it.",
    )
    wanted: tuple[When, ...] = Field(
        default=(), description="What a model's files are like whose drafted recipes give it."
    )
    about: str = Field(description="One sentence for people.")

    @model_validator(mode="after")
    def _only_text_is_limited(self) -> Option:
        if self.type not in _TEXTUAL and (self.choices or self.pattern):
            raise ValueError("only an option of type text or texts has choices or a pattern")
        if bool(self.keys) is not (self.type == "table"):
            raise ValueError("an option has keys if, and only if, its type is table")
        re.compile(self.pattern)
        return self

    def problem(self, value: Any) -> str:
        """What is wrong with a recipe's value, as the end of a sentence; empty if nothing."""
        if not _fits(self.type, value):
            return f"must be {_WORDS[self.type]}"
        if self.type == "table":
            return next(self._wrong_keys(value), "")
        texts = value if self.type == "texts" else (value,)
        return next((said for one in texts if (said := self._limited(one))), "")

    def _wrong_keys(self, table: Mapping[str, Any]) -> Iterator[str]:
        for name, value in table.items():
            kind = self.keys.get(name)
            if kind is None:
                yield f"there is no key {name!r}{near(str(name), self.keys)}"
            elif not _fits(kind, value):
                yield f"{name} must be {_WORDS[kind]}"

    def _limited(self, value: Any) -> str:
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {', '.join(self.choices)}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"{value!r} does not match {self.pattern}"
        return ""

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""
        text: dict[str, Any] = dict(_SCHEMAS["text"])
        if self.choices:
            text["enum"] = list(self.choices)
        if self.pattern:
            text["pattern"] = f"^(?:{self.pattern})$"
        found: dict[str, Any] = text if self.type == "text" else dict(_SCHEMAS[self.type])
        if self.type == "texts":
            found["items"] = text
        if self.type == "table":
            found["properties"] = {name: _SCHEMAS[kind] for name, kind in self.keys.items()}
        return {"anyOf": [found, {"type": "null"}], "default": None, "description": self.about}


def _fits(kind: str, value: Any) -> bool:
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    if kind == "table":
        return isinstance(value, Mapping) and len(value) > 0
    if kind in ("texts", "tables"):
        listed = isinstance(value, tuple | list) and len(value) > 0
        return listed and all(_fits(kind.removesuffix("s"), one) for one in value)
    if kind == "number":
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, int if kind == "int" else str)


def given(value: Any) -> Any:
    """A recipe's value for the argv: as text, so that a zero is not taken for "not given"."""
    if isinstance(value, Mapping | list | tuple):
        return json.loads(json.dumps(value))
    return value if value is True else str(value)


def as_files(
    options: Mapping[str, Option], values: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """The values that are tables, each as the path of a JSON file that is written here."""
    found = {}
    for name, option in options.items():
        if option.type == "table" and name in values:
            path = folder / f"{name}.json"
            path.write_text(json.dumps(values[name], indent=1), encoding="utf-8")
            found[name] = str(path)
    return found


def hide(options: Mapping[str, Option], values: Mapping[str, Any], model: Path) -> None:
    """Take the files out of a model's folder that the given options keep from the tool."""
    for name, option in options.items():
        for file in option.hides if values.get(name) else ():
            (model / file).unlink(missing_ok=True)
