"""Ollama's Modelfile, with the chat template of the model where it can be said in Ollama's words.

A GGUF file holds its chat template in Jinja, Ollama wants Go's text/template. Without a TEMPLATE
Ollama compares the Jinja text with those it knows and else sends bare prompts
(https://docs.ollama.com/modelfile). So the few formats that most models use are translated,
and only when the model's own template was seen to write the same prompts: both are rendered on
probe conversations and compared to the letter. For all others the Modelfile says so instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

BOS, EOS = "\x02bos\x03", "\x02eos\x03"
Message = Mapping[str, str]


@dataclass(frozen=True)
class Format:
    """One way of writing a conversation.

    Each turn is ``before + content + after``; ``{role}`` stands for the role's word, and the
    texts ``BOS`` and ``EOS`` for the model's own tokens.

    Attributes:
        name: What it is called.
        before: What comes before a message.
        after: What comes after it.
        answer: What the model goes on from.
        stop: Texts that end an answer.
        roles: Words for roles that are called otherwise.
        inline: Where a system message goes that has no turn of its own: the text around it,
            at the start of the first question; None when it has a turn.
        assistant: (before, after) an answer, where that is not as for other turns.
        default: A system message that the template adds when there is none.
    """

    name: str
    before: str
    after: str
    answer: str
    stop: tuple[str, ...]
    roles: Mapping[str, str]
    inline: tuple[str, str] | None = None
    assistant: tuple[str, str] | None = None
    default: str = ""

    def around(self, role: str) -> tuple[str, str]:
        """What stands before and after a message of a role."""
        if role == "assistant" and self.assistant is not None:
            return self.assistant
        word = self.roles.get(role, role)
        return self.before.replace("{role}", word), self.after

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt of a conversation, as the Go template writes it."""
        if self.default and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.default}, *messages]
        text, waiting = "", ""
        for message in messages:
            role, content = message["role"], message["content"]
            if role == "system" and self.inline is not None:
                waiting = self.inline[0] + content + self.inline[1]
                continue
            before, after = self.around(role)
            if role == "user":
                content, waiting = waiting + content, ""
            text += before + content + after
        return text + self.answer

    def go(self, bos: str, eos: str) -> str:
        """The Go template; ``bos`` and ``eos`` are the texts of the model's own tokens."""
        words = {"system": "if", "user": "else if", "assistant": "else if"}
        turns = "".join(self._branch(role, word) for role, word in words.items())
        start = '{{ $system := "" }}' if self.inline is not None else ""
        whole = start + "{{ range .Messages }}" + turns + "{{ end }}{{ end }}" + self.answer
        return whole.replace(BOS, bos).replace(EOS, eos)

    def _branch(self, role: str, word: str) -> str:
        """What is written for a message of one role."""
        head = f'{{{{ {word} eq .Role "{role}" }}}}'
        if role == "system" and self.inline is not None:
            return head + "{{ $system = .Content }}"
        before, after = self.around(role)
        if role != "user" or self.inline is None:
            return f"{head}{before}{{{{ .Content }}}}{after}"
        opening, closing = self.inline
        once = f'{opening}{{{{ $system }}}}{closing}{{{{ $system = "" }}}}'
        return f"{head}{before}{{{{ if $system }}}}{once}{{{{ end }}}}{{{{ .Content }}}}{after}"


FORMATS = (
    Format(
        "ChatML",
        "<|im_start|>{role}\n",
        "<|im_end|>\n",
        "<|im_start|>assistant\n",
        ("<|im_start|>", "<|im_end|>"),
        {},
    ),
    Format(
        "Llama 3",
        "<|start_header_id|>{role}<|end_header_id|>\n\n",
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        {},
    ),
    Format(
        "Zephyr",
        "<|{role}|>\n",
        f"{EOS}\n",
        "<|assistant|>\n",
        ("<|system|>", "<|user|>", "<|assistant|>", EOS),
        {},
    ),
    Format(
        "Phi 3",
        "<|{role}|>\n",
        "<|end|>\n",
        "<|assistant|>\n",
        ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
        {},
    ),
    Format(
        "Gemma",
        "<start_of_turn>{role}\n",
        "<end_of_turn>\n",
        "<start_of_turn>model\n",
        ("<start_of_turn>", "<end_of_turn>"),
        {"assistant": "model"},
        inline=("", "\n\n"),
    ),
    Format(
        "Llama 2",
        "[INST] ",
        " [/INST]",
        "",
        ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
        {},
        inline=("<<SYS>>\n", "\n<</SYS>>\n\n"),
        assistant=(" ", f" {EOS}{BOS}"),
    ),
    Format(
        "Mistral",
        "[INST] ",
        " [/INST]",
        "",
        ("[INST]", "[/INST]"),
        {},
        inline=("", "\n\n"),
        assistant=(" ", EOS),
    ),
    Format(
        "Mistral, first version",
        "[INST] ",
        " [/INST]",
        "",
        ("[INST]", "[/INST]"),
        {},
        inline=("", "\n\n"),
        assistant=("", EOS),
    ),
)

_USER = {"role": "user", "content": "First question?"}
_ANSWER = {"role": "assistant", "content": "An answer."}
_MORE = {"role": "user", "content": "And the second?"}
_SYSTEM = {"role": "system", "content": "Be brief, please."}
_TALK = (_USER, _ANSWER, _MORE)


@dataclass(frozen=True)
class Recognized:
    """A format that writes what the model's template writes; ``system`` tells whether the
    template takes system messages at all."""

    format: Format
    system: bool


def recognize(template: str, starts: bool) -> Recognized | None:
    """The format of a Jinja template, or None.

    Args:
        template: The model's chat template.
        starts: Whether the tokenizer adds the start token itself, as Ollama lets it do.
    """
    plain = _rendered(template, [_USER], starts)
    talk = _rendered(template, _TALK, starts)
    if plain is None or talk is None:
        return None
    asked = _rendered(template, [_SYSTEM, *_TALK], starts)
    for form in FORMATS:
        for one in (form, _with_default(form, plain)):
            if one is None or one.render([_USER]) != plain or one.render(_TALK) != talk:
                continue
            if asked is None or one.render([_SYSTEM, *_TALK]) == asked:
                return Recognized(one, asked is not None)
    return None


def _with_default(form: Format, plain: str) -> Format | None:
    """The format with the system message that a template adds by itself, if it does."""
    before, after = form.around("system")
    rest = form.render([_USER])
    if form.inline is not None or not plain.endswith(rest):
        return None
    added = plain.removesuffix(rest)
    room = len(added) - len(before) - len(after)
    if room <= 0 or not added.startswith(before) or not added.endswith(after):
        return None
    return replace(form, default=added[len(before) : len(added) - len(after)])


def _rendered(template: str, messages: Sequence[Message], starts: bool) -> str | None:
    """What a model's template writes, without a start token that is added anyway, or None.

    None says that it refuses such a conversation, or cannot be understood.

    The template is a program of strangers: it runs in Jinja's sandbox, which gives it nothing
    but the conversation, and what it raises only means that it is not known here.
    """
    from jinja2 import TemplateError  # noqa: PLC0415 - heavy
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    def refuse(message: object) -> Any:
        raise TemplateError(str(message))

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    try:
        text = environment.from_string(template).render(
            messages=list(messages), add_generation_prompt=True, bos_token=BOS, eos_token=EOS
        )
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
        return None
    # What the tokenizer adds by itself must not be written a second time.
    return text.removeprefix(BOS) if starts else text


@dataclass(frozen=True)
class Model:
    """What a Modelfile is about.

    Attributes:
        file: The GGUF file beside it.
        template: Its chat template in Jinja; empty without one.
        bos: The text of its start token.
        eos: The text of its end token.
        starts: Whether its tokenizer adds the start token.
        license: Name of the licence, for the LICENSE line.
        about: A sentence for the first line.
    """

    file: str
    template: str
    bos: str
    eos: str
    starts: bool
    license: str
    about: str


def modelfile(model: Model) -> str:
    """The text of a Modelfile."""
    lines = [f"# {_line(model.about)}", f"FROM ./{model.file}"]
    plain = all(map(_plain, (model.bos, model.eos)))
    found = recognize(model.template, model.starts) if model.template and plain else None
    if not model.template:
        lines += [
            "# The model has no chat template: it continues text and was not taught to answer, so",
            "# there is no TEMPLATE to translate.",
        ]
    elif found is None:
        lines += [
            "# No TEMPLATE: the model's own (tokenizer.chat_template in the GGUF file) is none of",
            "# those that could be translated here. Ollama reads it from the file and uses its own",
            "# translation where it knows one: look at 'ollama show --template'.",
        ]
    else:
        lines += _translated(found, model.bos, model.eos)
    if model.license:
        lines.append(f"LICENSE {_quoted(model.license)}")
    return "\n".join(line for line in lines if line) + "\n"


def _translated(found: Recognized, bos: str, eos: str) -> list[str]:
    form = found.format
    lines = [
        f"# {form.name}: written as the model's own template (tokenizer.chat_template) writes it,",
        "# compared on conversations of several turns. Calls of tools are left out.",
    ]
    if not found.system:
        lines.append("# The model's own refuses system messages; here they start the question.")
    lines.append(f"TEMPLATE {_quoted(form.go(bos, eos))}")
    if form.default:
        lines.append(f"SYSTEM {_quoted(form.default)}")
    stops = [one.replace(EOS, eos) for one in form.stop]
    return lines + [f'PARAMETER stop "{one}"' for one in dict.fromkeys(stops) if one]


def _plain(token: str) -> bool:
    """Whether a token is no more than text to Ollama and to Go: it comes from strangers."""
    return token.isprintable() and not any(one in token for one in ('"', "\\", "{{", "}}"))


def _quoted(text: str) -> str:
    """A value of several lines; three quotes inside would end it."""
    return '"""' + text.replace('"""', '" " "') + '"""'


def _line(text: str) -> str:
    return " ".join(text.split())
