"""Conversations as llama.cpp writes them by a file's chat template, beside transformers' texts.

Of a file whose source is no folder of transformers', both go by the file's own template.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import ORIGINAL_TEXTS, Measure, Section, Work
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import some, unmeasured
from orchestrator.modelfiles import chat_templates, gguf

_GIVEN = "templates.json"


def _run(task: Task) -> dict[str, JSON]:
    """``inputs["original texts"]/small`` has the small files of the source, if it is given.

    Returns:
        ``templates`` of the file by name; ``missing``, those that only the source has, in the
        file ``where``. Where both have one, what vendor's chat_template.py prints: how many
        ``texts`` were compared, which were ``refused`` by both, ``different``, or ``rewritten``
        by llama.cpp's programs, ``unknown`` special tokens, the ``end`` of a turn and the first
        token if it is ``doubled``.

    Raises:
        StepError: The source's templates cannot be read, or the tool failed.
    """
    ours = chat_templates.of_file(gguf.read(task.inputs["model"] / str(task.step.params["file"])))
    theirs, where, tokens = _source(task)
    missing = sorted(theirs.keys() - ours.keys())
    found: dict[str, JSON] = {"templates": sorted(ours), "missing": missing, "where": where}
    if not ours or chat_templates.DEFAULT in missing:
        return found
    given = {"file": ours, "source": theirs or None, "tokens": tokens}
    (task.scratch / _GIVEN).write_text(json.dumps(given), encoding="utf-8")
    printed = taking.call(task, "render", {"templates": _GIVEN}, "chat template").parsed
    return {**found, **printed}


def _source(task: Task) -> tuple[chat_templates.Templates, str, Mapping[str, str | None]]:
    if ORIGINAL_TEXTS not in task.inputs:
        return {}, "", {}
    folder = task.inputs[ORIGINAL_TEXTS] / "small"
    return *chat_templates.of_source(folder), chat_templates.special_tokens(folder)


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    found = facts.get(measure.name)
    if found:
        yield _texts(measure.name, found)
        if "texts" in found:
            yield _tokens(found)
    elif expectation.is_full and measure.name in expectation.failed | expectation.lacking:
        yield unmeasured(measure, expectation)


def _texts(name: str, found: Mapping[str, JSON]) -> Check:
    told = {key: value for key, value in found.items() if value}
    if found["missing"]:
        lacks = f"the file lacks the chat template {some(found['missing'])}"
        return Check(name, Status.FAIL, f"{lacks}, which its source has in {found['where']}", told)
    if not found["templates"]:
        return Check(name, Status.SKIP, "neither the file nor its source has a chat template")
    refused = found["refused"]
    if len(refused) == found["texts"]:
        why = " ".join(refused[0]["why"].split())
        return Check(name, Status.FAIL, f"the template writes no text: {why}", told)
    if odd := found["different"]:
        apart = _apart(odd[0], "transformers", "llama.cpp")
        return Check(
            name, Status.FAIL, f"{len(odd)} of {found['texts']} texts differ: {apart}", told
        )
    fact = f"{units.plural(found['texts'], 'text')} alike by transformers and llama.cpp"
    if refused:
        fact += f"; both refuse {_case(refused[0])} ({' '.join(refused[0]['why'].split())})"
    if rewritten := found["rewritten"]:
        apart = _apart(rewritten[0], "by the template", "by them")
        fact += f"; llama.cpp's programs write otherwise {apart}"
    return Check(name, Status.PASS, fact, told)


def _case(one: Mapping[str, JSON]) -> str:
    return f"{one['case']}{' with the next turn begun' * one['begun']}"


def _apart(one: Mapping[str, JSON], first: str, second: str) -> str:
    line = f" from line {one['line']} on" if "line" in one else ""
    said = {
        who: " ".join(str(one[key]).split()) for who, key in ((first, "first"), (second, "second"))
    }
    return f"{_case(one)}{line} ({'; '.join(f'{who}: {text}' for who, text in said.items())})"


def _tokens(found: Mapping[str, JSON]) -> Check:
    """What is odd about the special tokens of what a template writes."""
    said = []
    if found["doubled"]:
        said.append(
            f"texts begin with {found['doubled']}, which programs add too unless they look: say "
            "'header: {set: {tokenizer.ggml.add_bos_token: false}}' to have it once everywhere"
        )
    end = found["end"]
    if end and not end["token"]:
        said.append("nothing ends the model's turn")
    elif end and not end["stops"]:
        said.append(f"turns end with {end['token']}, at which llama.cpp does not stop")
    if found["unknown"]:
        said.append(f"the vocabulary has no token {some(found['unknown'])}")
    message = "; ".join(said) or "special tokens are those of the vocabulary"
    return Check("chat_tokens", Status.WARN if said else Status.PASS, message)


MEASURE = Measure(
    name="chat_template",
    order=44,
    judge=_judge,
    work=Work(_run, "chat template", ("render",), original="texts", reads_texts=True),
    section=Section(
        "chat_template",
        "Conversations as the chat template has them, by llama.cpp against transformers.",
    ),
)
