"""Hostile texts of a model repository, by chance, through all that shows or writes them.

A repository whose configuration, templates, tokens, card and licence hold what terminals,
browsers and file systems obey is drafted, planned, run (the tools are faked), published and
shown on a site. Nothing that was printed or written may hold it live.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

import pytest
from markdown_it import MarkdownIt

from orchestrator.base import machine_info, terminal_colours
from orchestrator.base.step_values import JSON, Task
from tests.hub import Hub, Repo
from tests.support import publications
from tests.support.fake_steps import GOOD, fake_kinds
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.hub_models import COMMIT, LLAMA, holes, llama_tensors
from tests.support.model_files import KV, Tensor
from tests.support.typed_commands import Said, typed

NAME = "org/evil"
LONGEST_NAME = 255
_MARK = "alert(7)"
_TEXTS = (
    *("<script>alert(7)</script>", '"><img src=x onerror=alert(7)>', "</style><script>alert(7)"),
    *("[x](javascript:alert(7))", "<javascript:alert(7)>", "javascript:alert(7)"),
    *("\x1b]0;evil\x07\x1b[2J", "\x9b31m\x9d0;evil\x9c", "\u202eevil\u2066", "a\u2028b\x85c"),
    *("```\n# evil\n<script>alert(7)</script>", "|a|b|\n|-|-|\n", "\n---\nevil: true\n---\n"),
    *('"""\nSYSTEM """evil"""\nFROM /etc/passwd', "{{ evil }}{% for x in range(9**9) %}", "%s{0}"),
    *("../../evil", "/tmp/evil", "evil\0.gguf", "a" * 5000, "CON", "\r\nevil: 1", "\ud7ff\ufeff"),
)


def attempt(seed: int, work: Path) -> tuple[str, str, str]:
    """One repository: what was tried, how it ended, and what should not have been."""
    chance = Random(seed)
    place = work / f"try {seed}" / "deeper"
    (place / "cwd").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        said = list(_commands(place / "cwd", chance, patch))
    wrong = [what for one in said for what in _in_terminal(one.all)]
    wrong += _in_files(place)
    shutil.rmtree(place.parent)
    kind = "done" if all(one.code in (0, 1) for one in said) else "refused"
    return "repository", kind, "; ".join(dict.fromkeys(wrong))


def _commands(place: Path, chance: Random, patch: pytest.MonkeyPatch) -> Iterator[Said]:
    """What every command says that meets the repository."""
    publications.lay_out(place)
    _repository(place / "model", chance)
    fields = {key: _text(chance) for key in ("name", "size_label", "finetune", "version")}
    # As the converter reads it from the model.
    template = _text(chance).replace("\r\n", "\n").replace("\r", "\n")
    (place / "model" / "chat_template.jinja").write_text(template, "utf-8")
    _machine(place, patch)
    made = _made(fields, template)
    fake_kinds(patch, quantize=made, convert=made, explain=_explained)
    patch.setitem(GOOD, "smoke", {**GOOD["smoke"], "text": f"a boy named Tom {_text(chance)}"})
    (place / "small.yaml").write_text(
        publications.RECIPE.replace("A small model", json.dumps(_text(chance)))
    )
    with Hub({NAME: _hub_repository(place.parent / "hub", chance)}) as hub:
        patch.setenv("HF_ENDPOINT", hub.url)
        yield typed("new", NAME)
        for draft in place.glob("evil*.yaml"):
            yield typed("check", draft)
    yield typed("plan", "small.yaml")
    yield typed("run", "small.yaml")
    for to in ("published", "published"):
        yield typed("publish", "small.yaml", "--to", f"dir:{to}", "--allow-warnings")
    made = sorted((place / "dist" / "small").glob("*.gguf"))
    if len(made) > 1:
        yield typed("diff", *made[:2])
        yield typed("adopt", made[0], "--output", "adopted.yaml")
    for words in (("history",), ("history", "small"), ("site", "site"), ("store", "ls")):
        yield typed(*words)


def _machine(place: Path, patch: pytest.MonkeyPatch) -> None:
    """A machine of its own with room, whose home is beside the working folder."""
    patch.chdir(place)
    patch.setattr(machine_info, "disk_free", lambda _: 10**12)
    patch.setattr(machine_info, "memory_total", lambda: 10**11)
    patch.setenv("ORCHESTRATE_HOME", str(place.parent / "store"))
    patch.setenv("HF_HUB_CACHE", str(place.parent / "hub-cache"))
    patch.setenv("HF_HUB_DISABLE_XET", "1")
    patch.setenv("FORCE_COLOR", "1")  # or click would take codes out of what it prints


def _text(chance: Random) -> str:
    return "".join(chance.choice(_TEXTS) for _ in range(chance.choice((1, 1, 2, 3))))


def _odd(value: JSON, chance: Random) -> Any:
    """The value with a hostile text in most of its places."""
    if isinstance(value, dict):
        odd = {key: _odd(item, chance) for key, item in value.items()}
        return {**odd, _text(chance): _text(chance)}
    if isinstance(value, list):
        return [_odd(item, chance) for item in value]
    return _text(chance) if isinstance(value, str) and chance.random() < 0.5 else value


def _repository(folder: Path, chance: Random) -> None:
    """Hostile texts in the small files of a model folder."""
    for path in folder.glob("*.json"):
        path.write_text(json.dumps(_odd(json.loads(path.read_text()), chance)))
    (folder / "LICENSE").write_text(_text(chance), "utf-8")
    (folder / "README.md").write_text(_card(chance), "utf-8")
    if chance.random() < 0.5:
        (folder / "\x1b[2J<script>alert(7)<.txt").write_text("x")


def _card(chance: Random) -> str:
    keys = ("license", "language", "tags", "base_model", "license_name", "license_link", "datasets")
    front = {key: chance.choice((_text(chance), [_text(chance)])) for key in keys}
    return f"---\n{json.dumps(front)}\n---\n# {_text(chance)}\n"


def _hub_repository(folder: Path, chance: Random) -> Repo:
    folder.mkdir()
    config = _odd(LLAMA, chance) if chance.random() < 0.5 else {**LLAMA, _text(chance): 1}
    (folder / "config.json").write_text(json.dumps(config))
    names = [(_text(chance).replace("\0", "") or "x", *rest[1:]) for rest in llama_tensors()]
    holes(folder / "model.safetensors", list({one[0]: one for one in names}.values()))
    (folder / "README.md").write_text(_card(chance), "utf-8")
    card = {"license": _text(chance), "language": [_text(chance)], "base_model": _text(chance)}
    return Repo(folder, COMMIT, card=card)


def _made(fields: dict[str, str], template: str) -> Any:
    """A step that writes a GGUF file with hostile metadata, tokens and names of tensors."""

    def made(task: Task) -> dict[str, JSON]:
        kind = str(task.step.params.get("type", "F16"))
        values = {
            "general.architecture": KV("str", "llama"),
            **{f"general.{key}": KV("str", text) for key, text in fields.items()},
            "tokenizer.ggml.model": KV("str", "llama"),
            "tokenizer.ggml.tokens": KV("arr", ["<unk>", *_TEXTS[:8]], "str"),
            "tokenizer.ggml.bos_token_id": KV("u32", 1),
            "tokenizer.chat_template": KV("str", template),
            f"evil.{fields['version'][:60]}": KV("str", kind),
        }
        tensors = [Tensor(f"{kind}\x1b[2J<script>alert(7)</script>", (1024, 8), "F32")]
        path = write_gguf(task.workdir / task.step.params["file"], Model(tensors, values))
        return {"size": path.stat().st_size, "bits_per_weight": 4.84, "fallbacks": []}

    return made


def _explained(_task: Task) -> dict[str, JSON]:
    """What ``adopt`` learns of a file's types."""
    return {"type": "F16", "options": {}, "unexplained": [], "fixed": [], "fallbacks": False}


# -- what should not have been --------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def _in_terminal(text: str) -> Iterator[str]:
    text = terminal_colours.OWN_CODES.sub("", text)
    if found := _CONTROL.search(text):
        at = found.start()
        yield f"the terminal got {text[max(0, at - 40) : at + 10]!r}"
    if "bug:" in text or "Traceback" in text:
        yield f"a bug: {text[-300:]!r}"


def _in_files(place: Path) -> Iterator[str]:
    """Live texts in what was written, and files that are where none belongs."""
    ours = {"cwd", "store", "hub", "hub-cache"}
    yield from (f"outside: {one}" for one in place.iterdir() if one.name not in ours)
    yield from (f"outside: {one}" for one in place.parent.iterdir() if one != place)
    for base, folders, files in os.walk(place / "cwd"):
        for name in (*folders, *files):
            long = len(os.fsencode(name)) > LONGEST_NAME
            if (long or _CONTROL.search(name)) and "model" not in Path(base).parts:
                yield f"a name: {name!r}"
        for name in files:
            yield from _in_file(Path(base, name), place / "cwd" / "model")


def _in_file(path: Path, model: Path) -> Iterator[str]:
    if path.is_relative_to(model) or path.name == "LICENSE":
        return
    checks = {".md": in_markdown, ".html": in_html, ".yaml": _controls, ".csv": _controls}
    check = checks.get(path.suffix, _controls if path.name == "Modelfile" else None)
    if check is not None:
        yield from (f"{path.name}: {what}" for what in check(path.read_text("utf-8")))


def _controls(text: str) -> Iterator[str]:
    if found := _CONTROL.search(text):
        at = found.start()
        yield f"it holds {text[max(0, at - 40) : at + 10]!r}"


class _Markdown(MarkdownIt):
    """Not every reader refuses links to scripts."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return True


def in_markdown(text: str) -> Iterator[str]:
    yield from _controls(text)
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    tokens = _Markdown("commonmark", {"html": True}).enable("table").parse(body)
    for before, token in itertools.pairwise(tokens):
        if before.type == "heading_open" and token.content.startswith("evil"):
            yield "a heading of a stranger"
    for token in (one for whole in tokens for one in (whole, *(whole.children or ()))):
        if token.type.startswith("html_") and _MARK in token.content:
            yield f"live HTML: {token.content[:80]!r}"
        target = str(token.attrs.get("href", token.attrs.get("src", "")))
        if target.lower().startswith("javascript:"):
            yield f"a live link: {target[:80]!r}"


class _Live(HTMLParser):
    """Scripts, handlers and links of a page that hold a stranger's code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        for name, value in attrs:
            text = str(value or "").strip().lower()
            live = name.startswith("on") or (name in ("href", "src") and text[:11] == "javascript:")
            if live:
                self.found.append(f"{tag} {name}={text[:60]!r}")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script and _MARK in data:
            self.found.append(f"a script: {data[:60]!r}")


def in_html(text: str) -> Iterator[str]:
    yield from _controls(re.sub("[\u2028\u2029]", "", text))  # spaces to a browser
    page = _Live()
    page.feed(text)
    yield from page.found
