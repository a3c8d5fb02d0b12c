"""Ollama's Modelfile: which file, and the parameters that the model's authors state; pure.

The chat template stands in the GGUF file, where Ollama reads it. What the file does not hold is
in the model's ``generation_config.json``: how to sample, and which tokens end an answer. Both
come from strangers, so nothing is written that could be read as more than a value
(https://docs.ollama.com/modelfile).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from orchestrator.base import safe_text
from orchestrator.base.step_values import JSON

_INT32 = 2**31


@dataclass(frozen=True)
class _Number:
    """A parameter of Ollama, the key it comes from, and the values that make sense."""

    name: str
    key: str
    least: float
    most: float
    whole: bool = False
    sampling: bool = True


_NUMBERS = (
    _Number("temperature", "temperature", 0, 100),
    _Number("top_p", "top_p", 0, 1),
    _Number("top_k", "top_k", 0, _INT32 - 1, whole=True),
    _Number("repeat_penalty", "repetition_penalty", 0, 100, sampling=False),
)


@dataclass(frozen=True)
class Model:
    """What a Modelfile is about.

    Attributes:
        file: The GGUF file beside it.
        generation: The source's ``generation_config.json``; empty without one.
        stops: Texts that end an answer.
        license: Name of the licence, for the LICENSE line.
        about: A sentence for the first line.
        parts: The files of the model's other parts, such as its projector.
    """

    file: str
    generation: Mapping[str, JSON]
    stops: Sequence[str]
    license: str
    about: str
    parts: Sequence[str] = ()


def modelfile(model: Model) -> str:
    """The text of a Modelfile."""
    about = safe_text.line(" ".join(model.about.split()))
    lines = [f"# {about}", *(f"FROM ./{one}" for one in (model.file, *model.parts))]
    lines += [f"PARAMETER {name} {value:.10g}" for name, value in _numbers(model.generation)]
    lines += [f'PARAMETER stop "{one}"' for one in dict.fromkeys(model.stops) if _quotable(one)]
    if model.license:
        lines.append(f"LICENSE {_quoted(model.license)}")
    return "\n".join(lines) + "\n"


def stop_tokens(generation: Mapping[str, JSON]) -> tuple[int, ...]:
    """The numbers of the tokens that end an answer, of a ``generation_config.json``."""
    stated = generation.get("eos_token_id")
    several = stated if isinstance(stated, list) else [stated]
    return tuple(one for one in several if type(one) is int and one >= 0)


def stop_texts(generation: Mapping[str, JSON]) -> tuple[str, ...]:
    """The texts that end an answer, of a ``generation_config.json``."""
    stated = generation.get("stop_strings")
    several = stated if isinstance(stated, list) else [stated]
    return tuple(one for one in several if isinstance(one, str))


def _numbers(generation: Mapping[str, JSON]) -> Iterator[tuple[str, float]]:
    """What is out of range is left out: Ollama's own value is better than a broken one."""
    greedy = generation.get("do_sample") is False
    for one in _NUMBERS:
        value = generation.get(one.key)
        if _sensible(value, one) and not (greedy and one.sampling):
            yield one.name, float(value)


def _sensible(value: JSON, one: _Number) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int if one.whole else (int, float)):
        return False
    return one.least <= value <= one.most


def _quotable(text: str) -> bool:
    """Whether a text can stand between double quotes, in which Ollama knows no escapes."""
    return text != "" and text.isprintable() and '"' not in text and not text.endswith("\\")


def _quoted(text: str) -> str:
    """A value of several lines; three quotes inside would end it."""
    return '"""' + safe_text.lines(text).replace('"""', '" " "') + '"""'
