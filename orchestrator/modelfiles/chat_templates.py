"""Chat templates: those of a GGUF file, those of the model it was made from; pure but reading.

A template is Jinja text that turns a conversation into a prompt. A file may have several under
names; the one without a name is called ``default`` here.

The keys are those of gguf-py (``tokenizer.chat_template``, ``.NAME``); where a model keeps its
templates is what transformers' ``PreTrainedTokenizerBase`` writes: ``chat_template.jinja`` and
``additional_chat_templates/NAME.jinja``, before that ``chat_template.json``, before that the
key ``chat_template`` of ``tokenizer_config.json``, a text or a list of names and texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.base import json_text
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles.gguf import GGUF

DEFAULT = "default"
_KEY = "tokenizer.chat_template"
_CONFIG = "tokenizer_config.json"
_SPECIAL = "special_tokens_map.json"
_JINJA = "chat_template.jinja"
_JSON = "chat_template.json"
_MORE = "additional_chat_templates"

FILES = (_CONFIG, _JINJA, _JSON)
Templates = Mapping[str, str]


def of_file(header: GGUF) -> Templates:
    """The templates of a GGUF file by name; empty without any."""
    found: dict[str, str] = {}
    for key, value in header.metadata.items():
        if key == _KEY and isinstance(value, str):
            found[DEFAULT] = value
        elif key.startswith(f"{_KEY}.") and isinstance(value, str):
            found[key.removeprefix(f"{_KEY}.")] = value
    return found


def of_source(folder: Path) -> tuple[Templates, str]:
    """The templates of a model folder by name, and the file they stand in.

    Raises:
        StepError: The file cannot be understood.
    """
    if (folder / _JINJA).is_file():
        return dict(_jinja_files(folder)), _JINJA
    for name in (_JSON, _CONFIG):
        told = json_object(folder / name).get("chat_template")
        if told is not None:
            return dict(_templates(told, folder / name)), name
    return {}, ""


def special_tokens(folder: Path) -> dict[str, str | None]:
    """The special tokens that a model folder states, by names such as ``bos_token``.

    Those that it says it has none of are None.

    Raises:
        StepError: A file is not JSON.
    """
    told = {**json_object(folder / _SPECIAL), **json_object(folder / _CONFIG)}
    given = {
        name: one.get("content") if isinstance(one, dict) else one for name, one in told.items()
    }
    return {
        name: one
        for name, one in given.items()
        if name.endswith("_token") and (one is None or isinstance(one, str))
    }


def _jinja_files(folder: Path) -> Iterator[tuple[str, str]]:
    yield DEFAULT, _text(folder / _JINJA)
    for path in sorted((folder / _MORE).glob("*.jinja")):
        yield _plain(path.stem), _text(path)


def _text(path: Path) -> str:
    try:
        # As the converter reads it: every kind of line end becomes \n.
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise StepError(f"{path} is not UTF-8", "Use another revision of the model.") from error


def json_object(path: Path) -> Mapping[str, JSON]:
    """The object in a JSON file of the model; empty when there is none.

    Raises:
        StepError: The file is not JSON.
    """
    if not path.is_file():
        return {}
    try:
        found = json_text.parse(path.read_bytes(), finite=False)
    except ValueError as error:
        raise StepError(f"{path} is not JSON", "Use another revision of the model.") from error
    return found if isinstance(found, dict) else {}


def _templates(told: JSON, path: Path) -> Iterator[tuple[str, str]]:
    if isinstance(told, str):
        yield DEFAULT, told
        return
    pairs = told.items() if isinstance(told, dict) else _listed(told)
    for name, text in pairs:
        if not isinstance(name, str) or not isinstance(text, str):
            raise StepError(f"{path}: its chat_template is neither a text nor a list of texts")
        yield _plain(name), text


def _listed(told: JSON) -> Iterator[tuple[JSON, JSON]]:
    for one in told if isinstance(told, list) else [None]:
        entry = one if isinstance(one, dict) else {}
        yield entry.get("name"), entry.get("template")


def _plain(name: str) -> str:
    """A template's name as the converter writes it into a key."""
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def require_same(file: str, ours: Templates, source: Templates, where: str) -> None:
    """Refuse a file that would talk otherwise than its source.

    Args:
        file: The file's name, for the sentence.
        ours: Its templates.
        source: Those of the model it was made from.
        where: Where those stand; empty without any.

    Raises:
        StepError: One of them is missing, of the file's own, or not the same.
    """
    for what in differences(ours, source, where):
        raise StepError(
            f"{file}: its {what}",
            "Answers would suffer silently. Convert the model again with its own template "
            "('orchestrate run'), and look for overrides of tokenizer.chat_template.",
        )


def differences(ours: Templates, source: Templates, where: str) -> Iterator[str]:
    """What is not the same of a file's templates and its source's, such as "chat template is
    missing, ..."; the arguments are those of :func:`require_same`.
    """
    for name in sorted({*ours, *source}):
        if ours.get(name) == source.get(name):
            continue
        called = "chat template" if name == DEFAULT else f"chat template {name!r}"
        if name not in source:
            what = "has one and the model it was made from has none"
        elif name not in ours:
            what = f"is missing, the model has one in {where}"
        else:
            apart = _first_difference(ours[name], source[name])
            what = f"is not that of the model ({where}); {apart}"
        yield f"{called} {what}"


def _first_difference(ours: str, theirs: str) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b),
        min(len(ours), len(theirs)),
    )
    line = ours.count("\n", 0, at) + 1
    return f"they differ from line {line} on: {ours[at : at + 30]!r}, not {theirs[at : at + 30]!r}"
