"""The section ``publish`` of a recipe: what others need to know, and where it goes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from orchestrator.recipe.field_types import Also, Hub, Matches, Name, Size
from orchestrator.recipe.source_fields import Frozen

HUB, DIR, OCI = "hub:", "dir:", "oci:"
# https://github.com/opencontainers/distribution-spec: names are in small letters.
_OCI_NAME = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
OCI_PLACE = re.compile(
    rf"(?P<host>[A-Za-z0-9.-]+(?::(?P<port>[0-9]{{1,5}}))?)/(?P<name>{_OCI_NAME}(?:/{_OCI_NAME})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
)
_LAST_PORT = 65535
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FIELDS = ("{model}", "{type}", "{size}")
_ANY = re.compile("|".join(map(re.escape, _FIELDS)))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LIST = '{"type": "string"}'


def destination(text: str) -> str:
    """A place to publish to: ``hub:ORG/NAME``, ``dir:PATH`` or ``oci:registry/name:tag``.

    Raises:
        ValueError: It is none of them.
    """
    if text.startswith(DIR) and text.removeprefix(DIR).strip() and "\0" not in text:
        return text
    if text.startswith(HUB) and _REPO.fullmatch(text.removeprefix(HUB)):
        return text
    registry = OCI_PLACE.fullmatch(text.removeprefix(OCI)) if text.startswith(OCI) else None
    if registry is not None and int(registry["port"] or 0) <= _LAST_PORT:
        return text
    raise ValueError(
        f"{text!r} is no place to publish to: write 'hub:ORG/NAME', 'dir:PATH' or "
        "'oci:registry/name:tag'"
    )


def _pattern(text: str) -> str:
    fields = re.findall(r"\{[^{}]*\}", text)
    unknown = [one for one in fields if one not in _FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0]} is not one of {', '.join(_FIELDS)}")
    if "{type}" not in fields or not re.fullmatch(_NAME, re.sub(_ANY, "x", text)):
        raise ValueError(
            f"{text!r} is no name of files: it needs {{type}}, and letters, digits and '._-', "
            "a letter or digit first"
        )
    return text


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


License = Annotated[
    str,
    Matches(
        r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$",
        "is not the id of a licence, such as mit, apache-2.0, llama3.1 or other",
    ),
    AfterValidator(str.lower),
]
Word = Annotated[
    str,
    Matches(
        r"^[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}$",
        "is not a tag: letters, digits and '._:+-', a letter or digit first",
    ),
]
Language = Annotated[
    str,
    Matches(r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", "is not the code of a language, such as en"),
]
Person = Annotated[str, Matches(r"^[^\x00-\x1f\x7f]{1,100}$", "is not a name of one line")]
Link = Annotated[
    str,
    Matches(
        r'^(https?://[^\s<>()"]+|[A-Za-z0-9][A-Za-z0-9._-]{0,95})$',
        "is neither an http(s) address nor the name of a file",
    ),
]
_Hubs = Annotated[tuple[Hub, ...], BeforeValidator(_several), Also(_LIST)]
_Languages = Annotated[tuple[Language, ...], BeforeValidator(_several), Also(_LIST)]
_Words = Annotated[tuple[Word, ...], BeforeValidator(_several), Also(_LIST)]


class Publish(Frozen):
    """What publishing needs to know."""

    license: License | None = Field(
        default=None,
        description="Licence of the model, as the Hub calls it: mit, apache-2.0, other, ...",
    )
    license_name: Person | None = Field(
        default=None, description="With 'license: other': what the licence is called."
    )
    license_link: Link | None = Field(
        default=None, description="With 'license: other': where its text is."
    )
    redistribute: bool | None = Field(
        default=None,
        description="Whether the license allows redistributing quantized files. Needed for "
        "licences that are not known to be free; false always refuses.",
    )
    to: Annotated[str, AfterValidator(destination)] | None = Field(
        default=None,
        description="Where to publish without --to: hub:ORG/NAME, dir:PATH or "
        "oci:registry/name:tag.",
    )
    file_name: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None,
        description="How the files are called, from {model}, {type} and {size}; without it "
        "'{model}-{type}', by the GGUF naming convention. {model} is what the repository or file "
        "that it was made from is called, with the size where that names none.",
    )
    recommended: Name | None = Field(
        default=None,
        description="Name of the file for those who do not want to choose; without it, Q4_K_M "
        "unless its numbers speak against it.",
    )
    base_model: _Hubs = Field(
        default=(),
        description="The model on the Hub that was quantized; without it, the recipe's own.",
    )
    languages: _Languages = Field(
        default=(),
        description="Codes of the languages it speaks; without them, what its own card says.",
    )
    pipeline_tag: Word | None = Field(
        default=None,
        description="What the model does; without it, text-generation, or feature-extraction or "
        "text-ranking for what is measured as an encoder.",
    )
    tags: _Words = Field(default=(), description="More tags for the model card.")
    quantized_by: Person | None = Field(
        default=None, description="Who quantized it; without it, the owner of the repository."
    )
    max_file: Size | None = Field(
        default=None,
        description="Larger files are split; without it, those of more than 200 GB.",
    )
