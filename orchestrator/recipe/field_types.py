"""The small values of a recipe: names, checksums, sizes, percentages, types.

What a tool chain allows is data outside Python, so the checks of types get it through
pydantic's validation context: a :class:`Vocabulary` under the key ``vocabulary``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic_core import core_schema

from orchestrator.base import installed_data, units
from orchestrator.base.errors import UsageError
from orchestrator.base.near_match import near

_FLOAT = r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?"


class Option(Protocol):
    """What a recipe may say to one option of a verb."""

    def problem(self, value: Any) -> str:
        """What is wrong with a value, as the end of a sentence; empty if nothing."""

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of its values."""


@dataclass(frozen=True)
class Vocabulary:
    """What the recipe's tool chain allows; ``None`` or empty means "not known, not checked".

    Attributes:
        types: Quantization types: every accepted spelling, and the data's own.
        tensor_types: Types of single tensors.
        outtypes: What the converter writes, the usual type first.
        families: Families of models.
        encoders: Those of them whose models write no text and are measured by their embeddings.
        backends: Back ends, the usual one first.
        profiles: Build profiles, the usual one first.
        options: Options of verbs, by the recipe's section and their name.
        named: Options of the converter that are in every recipe's digest, given or not.
        weighed: Quantization types that are not made without an importance matrix.
    """

    types: Mapping[str, str] | None = None
    tensor_types: Collection[str] = ()
    outtypes: Sequence[str] = ()
    families: Collection[str] = ()
    encoders: Collection[str] = ()
    backends: Sequence[str] = ()
    profiles: Sequence[str] = ()
    options: Mapping[str, Mapping[str, Option]] | None = None
    named: Collection[str] = ()
    weighed: Collection[str] = ()


@dataclass(frozen=True)
class Also:
    """Adds to a field's JSON Schema the plain form that the loader or a validator accepts."""

    schema: str = '{"type": "string"}'

    def __get_pydantic_json_schema__(
        self, core: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Pydantic's hook."""
        return {"anyOf": [json.loads(self.schema), handler(core)]}


@dataclass(frozen=True)
class Matches:
    """Text that a pattern must match as a whole; ``sentence`` completes "'x' ..."."""

    pattern: str
    sentence: str

    def check(self, text: str) -> str:
        """Pydantic's validator."""
        # fullmatch: "$" alone would let a trailing newline through.
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} {self.sentence}")
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Pydantic's hook."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: Any, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Pydantic's hook."""
        return {**handler(core), "pattern": self.pattern}


@dataclass(frozen=True)
class OneOf:
    """A name out of one list of the vocabulary, its first where the recipe says none.

    ``sentence`` says what is wrong with a name that is not in it.
    """

    listed: Literal["outtypes", "backends", "profiles"]
    sentence: str

    def check(self, text: str, info: ValidationInfo) -> str:
        """Pydantic's validator."""
        known: Sequence[str] = getattr(vocabulary_of(info), self.listed)
        if not known or text in known:
            return text
        if not text:
            return known[0]
        told = self.sentence.format(text)
        raise ValueError(f"{told}, only {', '.join(known)}{near(text, known)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Pydantic's hook."""
        return core_schema.with_info_after_validator_function(self.check, handler(source))


def vocabulary_of(info: ValidationInfo) -> Vocabulary:
    """What the recipe's tool chain allows.

    Empty where the validation has no such context.
    """
    found = (info.context or {}).get("vocabulary")
    return found if isinstance(found, Vocabulary) else Vocabulary()


def relative(text: str) -> str:
    """A path inside an archive or a repository, with forward slashes.

    Raises:
        ValueError: It is absolute, leads out, or is spelled in another way.
    """
    parts = text.split("/")
    if not text or "\\" in text or ":" in text or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{text!r} is not a path inside: plain names with '/' between them")
    return text


def _percentage(value: Any) -> Any:
    if isinstance(value, str):
        number = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", value)
        if number is None:
            raise ValueError(f"{value!r} is not a percentage: write '8%' or 0.08")
        # Division by 100 rounds once: "8%" is the float that 0.08 is.
        return float(number[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > 1:
        raise ValueError(f"{value} would be {value * 100:g} %: write '{value:g}%' if you mean that")
    return value


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value  # pydantic says what it should have been
    try:
        return units.parse_size(str(value))
    except UsageError as error:
        raise ValueError(error.message) from error


def _quant_type(text: str, info: ValidationInfo) -> str:
    types = vocabulary_of(info).types
    if types is None:
        return text
    spelled = {known.casefold(): spelling for known, spelling in types.items()}
    if text.casefold() not in spelled:
        raise ValueError(f"{text!r} is not a quantization type{near(text, types)}")
    return spelled[text.casefold()]


def _tensor_type(text: str, info: ValidationInfo) -> str:
    known = vocabulary_of(info).tensor_types
    if known and text.casefold() not in {name.casefold() for name in known}:
        raise ValueError(f"{text!r} is not a tensor type{near(text, known)}")
    return text.lower()


def _family(text: str, info: ValidationInfo) -> str:
    known = vocabulary_of(info).families
    if known and text not in known:
        # A tool chain knows a hundred and more: only the nearest helps.
        raise ValueError(f"{text!r} is no family that this tool chain converts{near(text, known)}")
    return text


def _existing(path: Path, info: ValidationInfo) -> Path:
    if (info.context or {}).get("check_files") and not _exists(path):
        raise ValueError(f"there is no file or folder {str(path)!r}{_yours(path)}")
    return path


def _yours(path: Path) -> str:
    """What to do about files that a recipe of an installation leaves to its user."""
    if not installed_data.is_installed(path):
        return ""
    return "; take the recipe with 'orchestrate recipes --copy' and put the files beside the copy"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name longer than the file system allows
        return False


def _override(text: str) -> str:
    kind, colon, value = text.partition(":")
    checks: dict[str, Callable[[str], bool]] = {
        "int": lambda number: re.fullmatch(r"[-+]?\d{1,19}", number) is not None,
        "float": lambda text: re.fullmatch(_FLOAT, text) is not None,
        "bool": lambda word: word in ("true", "false"),
        "str": lambda word: 0 < len(word.encode()) < 128,  # upstream's buffer has 128 bytes
    }
    if not colon or kind not in checks or not checks[kind](value):
        examples = "'int:7', 'float:0.5', 'bool:true' or 'str:x'"
        raise ValueError(f"{text!r} is not an override: write {examples}")
    return text


def _recorded(text: str) -> str:
    if not 0 < len(text.encode()) < 128 or not text.isprintable():
        raise ValueError(f"{text!r} is not a path of at most 127 bytes, which is what files keep")
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


def _tensor_pattern(text: str) -> str:
    if not text or "=" in text or text.startswith("-"):
        raise ValueError(f"{text!r} is not the name of tensors")
    return _regex(text)


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[
    str,
    Matches(
        NAME,
        "is not a name: letters, digits, '.', '_' and '-', a letter or digit first",
    ),
]
Family = Annotated[
    str,
    Matches(r"^[a-z0-9][a-z0-9._-]{0,63}$", "is not a family: lower case, such as 'llama'"),
    AfterValidator(_family),
]
Hub = Annotated[
    str,
    Matches(
        r"^([A-Za-z0-9][A-Za-z0-9._-]{0,95}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,95}$",
        "is not the name of a repository: 'owner/name'",
    ),
]
Revision = Annotated[
    str,
    Matches(r"^[A-Za-z0-9]([A-Za-z0-9._-]|/(?=[A-Za-z0-9])){0,199}$", "is not a revision"),
]
Version = Annotated[
    str, Matches(r"^[0-9][0-9A-Za-z.!+]{0,63}$", "is not the exact version of a package")
]
Url = Annotated[str, Matches(r"^https?://[^\s/@]+(/\S*)?$", "is not an http(s) address")]
Sha256 = Annotated[
    str,
    Matches(r"^[0-9a-fA-F]{64}$", "is not a SHA-256: 64 hexadecimal digits"),
    AfterValidator(str.lower),
]
Inside = Annotated[str, AfterValidator(relative)]
ExistingPath = Annotated[Path, AfterValidator(_existing)]
Percentage = Annotated[
    float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_percentage), Also()
]
Size = Annotated[int, Field(gt=0), BeforeValidator(_size), Also()]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]
QuantType = Annotated[str, AfterValidator(_quant_type)]
TensorType = Annotated[str, AfterValidator(_tensor_type)]
OutType = Annotated[str, OneOf("outtypes", "this tool chain's converter does not write {!r}")]
BackEnd = Annotated[str, OneOf("backends", "this tool chain has no back end {!r}")]
Profile = Annotated[str, OneOf("profiles", "this tool chain has no build profile {!r}")]
Override = Annotated[str, AfterValidator(_override)]
MetadataKey = Annotated[
    str, Matches(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$", "is not the name of a metadata key")
]
TokenName = Annotated[str, Matches(r"[a-z][a-z_]{0,29}", "is not the name of a special token")]
Recorded = Annotated[str, AfterValidator(_recorded)]
TextName = Annotated[
    str,
    Matches(
        r"[A-Za-z0-9][A-Za-z0-9._ -]{0,39}(?<! )",
        "is not the name of a text: letters, digits, '.', '_', '-' and spaces",
    ),
]
MODEL_NAME = r"^(?! )[^\x00-\x1f\x7f]{1,200}(?<! )$"
ModelName = Annotated[
    str,
    Matches(
        MODEL_NAME,
        "is not the name of a model: one line of at most 200 letters, no space at its ends",
    ),
]
Line = Annotated[str, Matches(r"[^\t\r\n]*[^\s][^\t\r\n]*", "is not one line of text without tabs")]
Regex = Annotated[str, AfterValidator(_regex)]
TensorPattern = Annotated[str, AfterValidator(_tensor_pattern)]
