"""A conversation as transformers and llama.cpp write it by a model's chat templates.

    python chat_template.py PROGRAM FILE.gguf TEMPLATES.json FOLDER

PROGRAM is upstream's test-chat-template, FOLDER is for temporary files. TEMPLATES holds the texts
of the file's templates and of its source's (null without a source) by their names, and the
source's special tokens. What a template refuses is compared as what it writes is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp._internals import LlamaModel
from transformers.utils.chat_template_utils import render_jinja_template

Written = dict[str, str]

ANSWER = "It is 12 degrees in Paris."
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
QUESTION = {"role": "user", "content": "How warm is it in Paris?"}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call00001",
            "type": "function",
            "function": {"name": "get_weather", "arguments": {"city": "Paris"}},
        }
    ],
}
RESULT = {
    "role": "tool",
    "tool_call_id": "call00001",
    "name": "get_weather",
    "content": '{"celsius": 12}',
}
SAID = {"role": "assistant", "content": ANSWER}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Name of the city."}},
                "required": ["city"],
            },
        },
    }
]
# By name: the messages, and the tools that they may use.
CASES: dict[str, tuple[list[Any], list[Any] | None]] = {
    "a question and an answer": ([QUESTION, SAID], None),
    "a system message": ([SYSTEM, QUESTION, SAID], None),
    "a tool call": ([SYSTEM, QUESTION, CALL, RESULT, SAID], TOOLS),
}
_MARK = re.compile("<[|\uff5c][^<>|\uff5c\\s]+[|\uff5c]>")
_SHOWN = 40
_SPECIAL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED


def main() -> None:
    """Print what was found as one JSON object."""
    program, file, told, folder = sys.argv[1:]
    templates = json.loads(Path(told).read_text("utf-8"))
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    # Not Llama, which reads the template itself and fails with it.
    model = LlamaModel(path_model=file, params=params, verbose=False)
    print(json.dumps(compared(program, model, templates, Path(folder))))


def compared(program: str, model: Any, told: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Where the texts differ, what was refused, and what is odd about special tokens."""
    own = {f"{name}_token": piece(model, name) for name in ("bos", "eos")}
    # A token that the source says is none is none.
    given = {name: text for name, text in {**own, **told["tokens"]}.items() if text is not None}
    file, source = told["file"], told["file"] if told["source"] is None else told["source"]
    both = file.keys() & source.keys()
    # What llama.cpp's programs say of the day.
    today = {"date_string": f"{datetime.now():%d %b %Y}"}
    found = []
    for case, (messages, tools) in CASES.items():
        name = "tool_use" if tools and "tool_use" in both else "default"
        for begun in (False, True) if name in both else ():
            asked = {"messages": messages[:-1] if begun else messages, "tools": tools}
            asked["add_generation_prompt"] = begun
            ours = {**asked, **own, **today}
            found.append(
                {
                    "case": case,
                    "begun": begun,
                    "transformers": by_transformers(source[name], asked, {**given, **today}),
                    "engine": by_llama_cpp(program, file[name], ours, folder, "--no-common"),
                    # These begin the model's turn always.
                    "programs": by_llama_cpp(program, file[name], ours, folder) if begun else None,
                }
            )
    return {
        "texts": len(found),
        "refused": [told_of(one) for one in found if refuses(one, "transformers", "engine")],
        "different": list(differences(found, "transformers", "engine")),
        "rewritten": list(
            differences([one for one in found if one["begun"]], "engine", "programs")
        ),
        **odd_tokens(model, found),
    }


def told_of(one: dict[str, Any]) -> dict[str, Any]:
    """What a text is of, and why it was refused if it was."""
    found = {"case": one["case"], "begun": one["begun"]}
    return (
        found | {"why": one["transformers"]["refused"]} if refuses(one, "transformers") else found
    )


def refuses(one: dict[str, Any], *who: str) -> bool:
    """Whether all of these refuse to write it."""
    return all("refused" in one[name] for name in who)


def differences(found: list[dict[str, Any]], left: str, right: str) -> Iterator[dict[str, Any]]:
    """The texts that two write in different ways, and how."""
    for one in found:
        if one[left] != one[right] and not refuses(one, left, right):
            yield {"case": one["case"], "begun": one["begun"], **difference(one[left], one[right])}


def piece(model: Any, name: str) -> str:
    """The text of the vocabulary's first or last token; empty where it has none."""
    token = getattr(llama_cpp, f"llama_vocab_{name}")(model.vocab)
    return "" if token < 0 else model.detokenize([token], special=True).decode("utf-8", "replace")


def by_transformers(template: str, asked: dict[str, Any], tokens: dict[str, Any]) -> Written:
    """What transformers writes, or why the template refuses."""
    try:
        texts, _ = render_jinja_template(
            [asked["messages"]],
            tools=asked["tools"],
            chat_template=template,
            add_generation_prompt=asked["add_generation_prompt"],
            **tokens,
        )
    except Exception as error:  # whatever a template of strangers may raise
        return {"refused": f"{error}".strip() or type(error).__name__}
    return {"text": texts[0]}


def by_llama_cpp(
    program: str, template: str, asked: dict[str, Any], folder: Path, *flags: str
) -> Written:
    """What llama.cpp writes; with its workarounds for templates unless ``--no-common`` is said."""
    files = {name: folder / name for name in ("template.jinja", "asked.json", "written.txt")}
    files["template.jinja"].write_text(template, encoding="utf-8", newline="")
    known = {name: value for name, value in asked.items() if value is not None}
    files["asked.json"].write_text(json.dumps(known), encoding="utf-8")
    files["written.txt"].unlink(missing_ok=True)
    options = ["--json", files["asked.json"], "--output", files["written.txt"]]
    done = subprocess.run(
        [program, *options, *flags, files["template.jinja"]], capture_output=True, check=False
    )
    if done.returncode == 0:
        return {"text": files["written.txt"].read_bytes().decode("utf-8", "replace")}
    said = done.stderr.decode("utf-8", "replace")
    errors = re.findall(r"(?m)^(?:Error: |.*what\(\): +)(.+)$", said) or said.splitlines()[-1:]
    return {"refused": "".join(errors[-1:]).strip() or f"it ended with {done.returncode}"}


def difference(one: Written, other: Written) -> dict[str, Any]:
    """The first place where two texts are not the same; or what was refused."""
    if "refused" in one or "refused" in other:
        return {"first": shown(one), "second": shown(other)}
    left, right = one["text"], other["text"]
    pairs = enumerate(zip(left, right, strict=False))
    at = next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))
    return {
        "line": left.count("\n", 0, at) + 1,
        "first": repr(left[at : at + _SHOWN]),
        "second": repr(right[at : at + _SHOWN]),
    }


def shown(written: Written) -> str:
    """A text, or why there is none."""
    text = written.get("text")
    return f"refuses: {written['refused']}" if text is None else repr(text[:_SHOWN])


def end_of_turn(model: Any, text: str) -> dict[str, Any] | None:
    """What stands after an answer: its token, and whether llama.cpp stops there."""
    _, written, rest = text.rpartition(ANSWER)
    rest = rest.lstrip()
    if not written:
        return None
    if not rest:
        return {"token": "", "stops": False}
    first = model.tokenize(rest.encode(), add_bos=False, special=True)[0]
    if not llama_cpp.llama_vocab_get_attr(model.vocab, first) & _SPECIAL:
        return None
    token = model.detokenize([first], special=True).decode("utf-8", "replace")
    return {"token": token, "stops": bool(llama_cpp.llama_vocab_is_eog(model.vocab, first))}


def odd_tokens(model: Any, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Marks that are no token of the vocabulary, what ends a turn, the first token if doubled."""
    texts = [one["engine"]["text"] for one in found if not refuses(one, "engine")]
    ended = [one["engine"]["text"] for one in found if not (one["begun"] or refuses(one, "engine"))]
    marks = dict.fromkeys(mark for text in texts for mark in _MARK.findall(text))
    first = llama_cpp.llama_vocab_bos(model.vocab)
    begins = [model.tokenize(text.encode(), add_bos=True, special=True)[:2] for text in texts]
    return {
        "unknown": [one for one in marks if len(model.tokenize(one.encode(), False, True)) > 1],
        "end": end_of_turn(model, ended[0]) if ended else None,
        "doubled": piece(model, "bos") if [first, first] in begins else "",
    }


if __name__ == "__main__":
    main()
