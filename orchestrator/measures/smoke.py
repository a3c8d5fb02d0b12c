"""What a file writes after a prompt, by upstream's own program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import taking
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.definition import Measure, Option, Section, Work
from orchestrator.measures.expectation import Expectation, Facts
from orchestrator.measures.judging import OFF, unmeasured
from orchestrator.toolchain.output_numbers import optional

_LEAST_CONTEXT = 512
_SHOWN_TEXT = 60


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``prompt``, ``tokens``.

    Returns:
        ``text`` without the prompt, ``peak`` (bytes of memory), and ``prompt_ms`` and
        ``generate_ms`` a token where the tool prints them.
    """
    done = taking.call(task, "complete", values(task), "smoke test")
    prompt = str(task.step.params["prompt"])
    return {
        "text": continuation(done.values.get("text", done.stdout), prompt),
        "peak": done.peak_memory,
        "prompt_ms": optional(done.values, "prompt_ms"),
        "generate_ms": optional(done.values, "generate_ms"),
    }


def values(task: Task) -> dict[str, str]:
    """Prompt, tokens and a context that holds both, for a verb's argv."""
    prompt, tokens = str(task.step.params["prompt"]), int(task.step.params["tokens"])
    # A token is at least one byte of the prompt, or it starts the text.
    context = max(_LEAST_CONTEXT, -(-(len(prompt.encode()) + 1 + tokens) // 256) * 256)
    return {"prompt": prompt, "tokens": str(tokens), "context": str(context)}


def asked(sections: Mapping[str, JSON]) -> dict[str, JSON]:
    """What of the section decides about the text; what must be found in it only judges."""
    return {name: sections["smoke"][name] for name in ("prompt", "tokens")}


def continuation(stdout: str, prompt: str) -> str:
    """What the model added: some tools print the prompt first, some a space before it."""
    text = stdout.strip()
    return text.removeprefix(prompt.strip()).strip()


def judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    """Hold the continuation against what the recipe expects in it."""
    found = facts.get(measure.name)
    wanted = expectation.asked.get(measure.asked_by) or {}
    if not found:
        yield unmeasured(measure, expectation, limited=bool(wanted))
        return
    yield judged(measure.name, str(found["text"]), str(wanted.get("expect", "")), expectation)


def judged(name: str, text: str, expected: str, expectation: Expectation) -> Check:
    """Hold a text against the expression that must be found in it."""
    line = " ".join(text.split())
    shown = repr(line if len(line) <= _SHOWN_TEXT else line[:_SHOWN_TEXT] + "...")
    numbers = {"text": text}
    if not expectation.strict:
        return Check(name, Status.SKIP, f"wrote {shown}; {OFF}", numbers)
    if not line:
        return Check(name, Status.FAIL, "the model wrote nothing", numbers)
    if re.search(expected, text):
        return Check(name, Status.PASS, f"wrote {shown}", numbers)
    message = f"wrote {shown}, in which nothing matches {expected!r}"
    return Check(name, Status.FAIL, message, numbers)


MEASURE = Measure(
    name="smoke",
    order=30,
    judge=judge,
    work=Work(_run, "smoke test", ("complete",), asked),
    section=Section(
        "smoke",
        "A prompt and what must follow it.",
        (
            Option("prompt", "words", "Text to continue, at temperature 0.", required=True),
            Option(
                "expect",
                "pattern",
                "Regular expression to find in the continuation.",
                required=True,
            ),
            Option("tokens", "count", "How many tokens to generate.", 32),
        ),
        describes="One prompt whose continuation is known.",
        in_digest=True,
    ),
)
