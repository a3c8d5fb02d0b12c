"""What a trained model must be able to do before its files are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinymodels import checker, dialogues
from tinymodels.tokenizing import Encoder
from tinymodels.training import complete

# Each prompt ends where a sentence does; what follows must be the grammar's, pronouns included.
PROMPTS = (
    "Once upon a time there was a little girl named Lily.",
    "There once was a brave boy called Tom. He had a red kite and he liked it very much.",
)
LEAST_GAIN = 20
CONTINUATION = 80
ANSWER = 20


def check_gain(name: str, before: float, after: float) -> None:
    """Prints both perplexities; SystemExit when training gained less than LEAST_GAIN times."""
    print(f"{name}: perplexity {before:.1f} before, {after:.3f} after training", flush=True)
    if before < LEAST_GAIN * after:
        raise SystemExit(f"{name}: perplexity fell less than {LEAST_GAIN} times")


def check_stories(model: Any, encoder: Encoder, prefix: tuple[int, ...]) -> None:
    """Greedy continuations must be sentences of the grammar; SystemExit names those that are not.

    The last sentence is unfinished and not looked at; at least two others must be there.
    """
    for prompt in PROMPTS:
        text = prompt + complete(model, prompt, encoder, prefix, CONTINUATION)
        print(f"  {text!r}", flush=True)
        first_story = text.split("\n")[0]
        whole = checker.sentences(first_story)
        if not first_story.endswith("."):
            whole = whole[:-1]
        wrong = checker.errors(" ".join(whole))
        if wrong or len(whole) < len(checker.sentences(prompt)) + 2:
            raise SystemExit(f"not a story of the grammar: {wrong or text!r}")


def check_answers(
    model: Any,
    encoder: Encoder,
    prefix: tuple[int, ...],
    ask: Callable[[str], str],
    share: float = 1.0,
) -> None:
    """Greedy answers to a share of the questions of dialogues.facts must be the right ones."""
    wrong = []
    facts = dialogues.facts()
    for question, answer in facts.items():
        said = complete(model, ask(question), encoder, prefix, ANSWER).strip()
        if not said.startswith(answer):
            wrong.append(f"{question} {said}")
    print(f"  {len(facts) - len(wrong)} of {len(facts)} answers are right", flush=True)
    if len(facts) - len(wrong) < share * len(facts):
        raise SystemExit(f"wrong answers: {wrong}")
