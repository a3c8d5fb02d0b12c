"""The fields of ``verify``, ``limits`` and ``alarms``, made from the registry of measures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)

from orchestrator.base.step_values import JSON
from orchestrator.measures import further_texts, registry
from orchestrator.measures.definition import Limit, Option, Section
from orchestrator.recipe.field_types import (
    Also,
    Line,
    Number,
    Percentage,
    Positive,
    Regex,
    Sha256,
    Size,
    TextName,
    Url,
)
from orchestrator.recipe.source_fields import Frozen, Source

_OPTIONS: Mapping[str, Any] = {
    "text": Annotated[Source, Also()],
    "texts": Mapping[TextName, Annotated[Source, Also()]] | None,
    "words": Annotated[str, Field(min_length=1)],
    "lines": Annotated[tuple[Line, ...], Field(min_length=3)] | None,
    "pattern": Regex,
    "count": Positive,
    "count or all": Positive | None,
    "number": Number | None,
}
_LIMITS: Mapping[str, Any] = {"number": Number, "percentage": Percentage, "size": Size}


def _off(value: Any) -> Any:
    return None if value is False else value


def _on_or_off(value: Any) -> Any:
    return {} if value is True else _off(value)


# What false turns off.
_Bytes = Annotated[
    Literal["identical", "same-tensors", "near"] | None,
    BeforeValidator(_off),
    Also('{"const": false}'),
]
_Change = Annotated[Percentage | None, BeforeValidator(_off), Also('{"const": false}')]


# Models of sections by their names; found as this module's attributes, so that recipes pickle.
_MODELS: dict[str, Any] = {}


def __getattr__(name: str) -> Any:
    try:
        return _MODELS[name]
    except KeyError:
        raise AttributeError(name) from None


class _Options(Frozen):
    """The options of a section; those that came later are left out where they are not given."""

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _given(self, content: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: Mapping[str, Any] = content(self)
        return {
            name: value
            for name, value in found.items()
            if value is not None or name not in self.later
        }


class Reference(Frozen):
    """Published numbers, shown beside the measured ones; keys are types or file names."""

    source: Url = Field(description="Where they were published.")
    context: Positive | None = Field(default=None, description="Context of the perplexities.")
    chunks: Positive | None = Field(
        default=None, description="Pieces of the text that the perplexities were measured on."
    )
    perplexity: Mapping[str, Number] = Field(default={}, description="Perplexity by type.")
    size: Mapping[str, Size] = Field(default={}, description="File size by type.")
    bits_per_weight: Mapping[str, Number] = Field(
        default={}, description="Bits per weight by type."
    )


class _Limits(Frozen):
    """What a quantized file must keep; a limit that is not kept fails the run."""


_Same = TypeVar("_Same", bound="_Verify")


class _Verify(Frozen):
    """What is checked of every file, beyond structure, size and tensor types."""

    sha256: Mapping[str, Sha256] = Field(
        default={}, description="SHA-256 that the files must have, by file name or type."
    )
    reference: Reference | None = Field(default=None, description="Published numbers.")

    def model_copy(
        self: _Same, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> _Same:
        """A copy with other values, which computes anew what follows from them."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("sections", None)
        return copied

    @cached_property
    def sections(self) -> dict[str, JSON]:
        """The sections of measures that this recipe asks for, with their options."""
        given = {name: getattr(self, name) for name in registry.sections()}
        return {
            name: value.model_dump(mode="json") if isinstance(value, Frozen) else value
            for name, value in given.items()
            if value
        }

    @property
    def texts(self) -> dict[str, Source]:
        """The texts that measures read, by their sections, and further ones' names."""
        given = {name: getattr(self, name) for name in self.sections}
        found = {name: one.corpus for name, one in given.items() if hasattr(one, "corpus")}
        for name, one in given.items():
            more = getattr(one, "more", None) or {}
            found |= {further_texts.name_of(name, text): source for text, source in more.items()}
        return found


class _Alarms(Frozen):
    """Which changes against the last good night call for attention; false: none of that kind."""

    bytes: _Bytes = Field(
        default="identical", description="The weakest verdict on bytes that raises no alarm."
    )


def _limit(limit: Limit) -> Any:
    return (_LIMITS[limit.kind] | None, Field(default=None, description=limit.about))


def _option(option: Option) -> Any:
    kind = _OPTIONS[option.kind]
    if option.required:
        return (kind, Field(description=option.about))
    return (kind, Field(default=option.default, description=option.about))


def model_name(section: str) -> str:
    """The name of the model of a section's options, as the JSON Schema has it."""
    return "".join(part.capitalize() for part in section.split("_"))


def _section(section: Section) -> Any:
    """The field of a section: true or false, or its options, or either where none is required."""
    if not section.options:
        return (bool, Field(default=section.default, description=section.about))
    name = model_name(section.name)
    options: dict[str, Any] = {one.name: _option(one) for one in section.options}
    model = create_model(
        name, __base__=_Options, __module__=__name__, __doc__=section.describes, **options
    )
    model.later = frozenset(one.name for one in section.options if not one.in_digest)
    _MODELS[name] = model
    optional: Any = model | None
    if not section.all_optional:
        return (optional, Field(default=None, description=section.about))
    kind = Annotated[optional, BeforeValidator(_on_or_off), Also('{"type": "boolean"}')]
    default = model() if section.default else None
    return (kind, Field(default=default, description=section.about))


def _alarms() -> dict[str, Any]:
    alarms = [number.alarm for _, number in registry.numbers() if number.alarm is not None]
    return {one.key: (_Change, Field(default=one.change, description=one.about)) for one in alarms}


def _made(name: str, base: type[Frozen], fields: Mapping[str, Any]) -> Any:
    return create_model(name, __base__=base, __module__=__name__, __doc__=base.__doc__, **fields)


if TYPE_CHECKING:
    # Which fields there are is data, so for type checkers a field may be anything.
    class Limits(_Limits):
        """The limits of one file."""

        def __getattr__(self, name: str) -> Any: ...

    class Verify(_Verify):
        """What is checked of every file."""

        limits: Limits = Limits()

        def __getattr__(self, name: str) -> Any: ...

    class Alarms(_Alarms):
        """Which changes call for attention."""

        def __getattr__(self, name: str) -> Any: ...

else:
    TextLimits = _made(
        "TextLimits",
        _Limits,
        {one.key: _limit(one) for measure, one in registry.limits() if measure.by_text},
    )
    _OF_TEXTS = Field(default=None, description="Limits by the names of further texts.")
    Limits = _made(
        "Limits",
        _Limits,
        {one.key: _limit(one) for _, one in registry.limits()}
        | {"texts": (Mapping[TextName, TextLimits] | None, _OF_TEXTS)},
    )
    Verify = _made(
        "Verify",
        _Verify,
        {name: _section(one) for name, one in registry.sections().items()}
        | {"limits": (Limits, Field(default=Limits(), description="Limits for every file."))},
    )
    Alarms = _made("Alarms", _Alarms, _alarms())
