"""What a converted file says of its end token, BOS, context and template, and its source does not.

A source states these in several files, which may not agree; a converter chooses, and sometimes
has a value of its own. Only what none of the source's files states is wrong beyond doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import chat_templates, gguf, header_consistency
from orchestrator.modelfiles.chat_templates import json_object
from orchestrator.modelfiles.gguf import GGUF, ArrayInfo, read_array

_EOS, _TEMPLATE = "tokenizer.ggml.eos_token_id", "tokenizer.chat_template"
_CONFIG, _TOKENIZER = "config.json", "tokenizer_config.json"
_GENERATION = "generation_config.json"
_CONTEXTS = (
    *("max_position_embeddings", "n_positions", "seq_length", "n_ctx", "max_seq_len"),
    *("max_sequence_length", "max_context_length", "model_max_length"),
)
_MARK = re.compile(r"<\|[\w.-]+\|>")
# Fewer positions than any model of language was made for.
_FEW = 64
_SHOWN = 3


@dataclass(frozen=True)
class Contradiction:
    """One sentence about a key of the file; ``wrong`` where it is wrong beyond doubt."""

    key: str
    said: str
    wrong: bool = False


@dataclass(frozen=True)
class _Source:
    """The source's files by name, and the tokens of the converted file."""

    files: Mapping[str, Mapping[str, JSON]]
    tokens: Sequence[str]

    def numbers(self, file: str, *keys: str) -> set[int]:
        """Whole numbers under these keys, also those of the part that generates text."""
        whole = self.files[file]
        inner = whole.get("text_config")
        parts = (whole, inner if isinstance(inner, dict) else {})
        found = [part.get(key) for part in parts for key in keys]
        listed = [item for one in found for item in (one if isinstance(one, list) else [one])]
        return {one for one in listed if type(one) is int}

    def tokens_named(self, *keys: str) -> set[int]:
        """Numbers of the tokens that the tokenizer's configuration names so."""
        named = [self.files[_TOKENIZER].get(key) for key in keys]
        given = [one.get("content") if isinstance(one, dict) else one for one in named]
        texts = {one for one in given if isinstance(one, str)}
        return {at for at, token in enumerate(self.tokens) if token in texts}

    def shown(self, numbers: set[int]) -> str:
        """Tokens with their texts."""
        return ", ".join(
            f"{one} ({self.tokens[one]!r})" if one < len(self.tokens) else str(one)
            for one in sorted(numbers)[:_SHOWN]
        )


def facts(folder: Path, file: Path) -> dict[str, JSON]:
    """The contradictions as facts of the step that made the file; nothing without any.

    Raises:
        StepError, FormatError: As :func:`contradictions`.
    """
    found = [vars(one) for one in contradictions(folder, gguf.read(file))]
    return {"contradictions": found} if found else {}


def contradictions(folder: Path, header: GGUF) -> tuple[Contradiction, ...]:
    """What the header of a converted file and the model folder's small files do not agree on.

    Raises:
        StepError: One of the folder's files is not JSON, or holds no proper template.
        FormatError: The header's list of tokens is malformed.
    """
    names = (_CONFIG, _GENERATION, _TOKENIZER, "tokenizer.json")
    listed = header.metadata.get("tokenizer.ggml.tokens")
    tokens = read_array(header.path, listed) if isinstance(listed, ArrayInfo) else []
    source = _Source({name: json_object(folder / name) for name in names}, list(map(str, tokens)))
    return (
        *_end_token(source, header),
        *_added(source, header),
        *_scores(header),
        *_context(source, header),
        *_templates(folder, source, header),
    )


def _end_token(source: _Source, header: GGUF) -> Iterator[Contradiction]:
    ours = header.metadata.get(_EOS)
    stated = {
        _GENERATION: source.numbers(_GENERATION, "eos_token_id"),
        _TOKENIZER: source.tokens_named("eos_token", "sep_token"),
        _CONFIG: source.numbers(_CONFIG, "eos_token_id"),
    }
    stated = {file: numbers for file, numbers in stated.items() if numbers}
    if type(ours) is not int or not stated:
        return
    others = "; ".join(f"{file} says {source.shown(one)}" for file, one in stated.items())
    # The first that there is decides when transformers ends a text.
    first = next(iter(stated.values()))
    if ours not in set().union(*stated.values()) or ours not in first:
        wrong = ours not in set().union(*stated.values())
        said = f"the file's end token is {source.shown({ours})}, but {others}"
        yield Contradiction(_EOS, said, wrong)


def _added(source: _Source, header: GGUF) -> Iterator[Contradiction]:
    """Whether a token is put before a text, and after it."""
    configured = source.files[_TOKENIZER]
    processor = source.files["tokenizer.json"].get("post_processor")
    for typ, place in (("bos", 0), ("eos", -1)):
        key = f"tokenizer.ggml.add_{typ}_token"
        ours, stated = header.metadata.get(key), configured.get(f"add_{typ}_token")
        said = {one for one in (stated, *_processed(processor, place)) if isinstance(one, bool)}
        if isinstance(ours, bool) and said and ours not in said:
            verb, other = ("adds", "does not") if ours else ("does not add", "does")
            text = f"the file {verb} a token {'before' if typ == 'bos' else 'after'} each text, "
            yield Contradiction(key, f"{text}the source's tokenizer {other}")


def _scores(header: GGUF) -> Iterator[Contradiction]:
    """Without SentencePiece's own file converters have no scores, which say how words are split."""
    listed, key = header.metadata.get("tokenizer.ggml.scores"), "tokenizer.ggml.scores"
    if header.metadata.get("tokenizer.ggml.model") != "llama" or not isinstance(listed, ArrayInfo):
        return
    if len(set(scores := read_array(header.path, listed))) == 1 and len(scores) > _FEW:
        said = "the converter gives all parts of words the same score, so that texts are split "
        said += "otherwise than by the source's tokenizer: put the tokenizer.model of the model "
        yield Contradiction(key, f"{said}that this one was trained from beside it", wrong=True)


def _processed(processor: JSON, place: int) -> Iterator[bool]:
    """What a tokenizer.json's template of a text has at this place: a special token or not."""
    inner = processor.get("processors") if isinstance(processor, dict) else None
    for one in inner if isinstance(inner, list) else [processor]:
        told = isinstance(one, dict) and one.get("type") == "TemplateProcessing"
        single = one.get("single") if told else None
        if isinstance(single, list) and single:
            yield isinstance(single[place], dict) and "SpecialToken" in single[place]


def _context(source: _Source, header: GGUF) -> Iterator[Contradiction]:
    ours = header_consistency.context_length(header)
    key = f"{header.metadata.get('general.architecture')}.context_length"
    stated = source.numbers(_CONFIG, *_CONTEXTS)
    if ours is not None and stated and ours not in stated:
        most = ", ".join(map(str, sorted(stated)))
        yield Contradiction(key, f"the file has {ours} positions, {_CONFIG} says {most}")
    if ours is not None and ours < _FEW:
        yield Contradiction(key, f"the file has {ours} positions, too few for any use")


def _templates(folder: Path, source: _Source, header: GGUF) -> Iterator[Contradiction]:
    ours = chat_templates.of_file(header)
    theirs, where = chat_templates.of_source(folder)
    for what in chat_templates.differences(ours, theirs, where):
        # Some converters have a template for models that bring none.
        yield Contradiction(_TEMPLATE, f"the file's {what}", wrong=bool(theirs))
    marks = dict.fromkeys(mark for text in ours.values() for mark in _MARK.findall(text))
    unknown = [mark for mark in marks if mark not in set(source.tokens)]
    if unknown:
        some = ", ".join(unknown[:_SHOWN])
        yield Contradiction(
            _TEMPLATE, f"its chat template writes {some}, which the vocabulary does not have"
        )
