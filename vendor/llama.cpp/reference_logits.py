"""Logits of a converted file beside those that transformers computes from the original weights.

    python reference_logits.py MODELDIR FILE.gguf THREADS

Both get the same tokens: those that transformers' own tokenizer makes of the text below. The
reference is computed in 32-bit floats, and no code of the model's folder is run. The two models
are in memory one after the other.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, AutoTokenizer

# Plain sentences, where every tokenizer of a model must agree with its own original; and what
# pre-tokenizers split in different ways: numbers, code, runs of spaces, other scripts.
PLAIN = (
    "Once upon a time there was a girl named Lily. She had a little red ball, and she liked to "
    'play with it in the garden.\nOne day the ball was gone. "Where is my ball?" she asked. '
    "Her friend Tom didn't know, but he said: \"Let's look for it together!\"\nThey looked under "
    "the trees and behind the house, and at the end of the day they were very happy."
)
RARE = (
    "In 1969 it cost $3,141.59 (12.5%).\n\n\tif (x >= 10) { return x[0]--; }   # four\n"
    "Grüße aus Köln; ça va? Привет, мир. 今天天气很好。 こんにちは 🙂"
)
_SHOWN = 6


def main() -> None:
    """Print what was found as one JSON object."""
    source, file, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    print(json.dumps(compared(source, file, threads)))


def compared(source: Path, file: str, threads: int) -> dict[str, Any]:
    """Where the tokens differ, and how far the predictions do."""
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    tokens = list(tokenizer(PLAIN)["input_ids"])
    reference = log_probabilities(reference_logits(source, tokens, threads), "original weights")
    count = {"n_threads": threads, "n_threads_batch": threads}
    model = Llama(file, n_ctx=len(tokens), logits_all=True, verbose=False, **count)
    found = {
        "tokens": len(tokens),
        "plain": difference(tokenizer, model, PLAIN),
        "rare": difference(tokenizer, model, RARE),
        "added": added(tokenizer, model),
    }
    model.eval(tokens)
    own = log_probabilities(model.scores[: len(tokens)], "converted file")
    return {**found, **differences(reference, own)}


def reference_logits(source: Path, tokens: list[int], threads: int) -> Any:
    """What transformers predicts after each token."""
    torch.set_num_threads(threads)
    model, loading = AutoModelForCausalLM.from_pretrained(
        source, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
    )
    if loading["missing_keys"]:
        # It would fill them with random numbers.
        raise SystemExit(f"missing weights: {sorted(loading['missing_keys'])[0]}")
    with torch.inference_mode():
        return model.eval()(torch.tensor([tokens])).logits[0].numpy()


def log_probabilities(logits: Any, whose: str) -> Any:
    """Logarithms of probabilities, a row a token."""
    rows = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise SystemExit(f"no numbers: {whose}")
    rows = rows - rows.max(axis=1, keepdims=True)
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def differences(reference: Any, found: Any) -> dict[str, float]:
    """Kullback-Leibler divergence (nats), the same first guess, the largest change of any."""
    # Some matrices have more rows than the vocabulary has tokens.
    width = min(reference.shape[1], found.shape[1])
    reference, found = reference[:, :width], found[:, :width]
    probabilities = np.exp(reference)
    divergence = (probabilities * (reference - found)).sum(axis=1)
    return {
        "mean": float(divergence.mean()),
        "max": float(divergence.max()),
        "same_top": float((reference.argmax(axis=1) == found.argmax(axis=1)).mean()),
        "largest_change": float(np.abs(probabilities - np.exp(found)).max()),
    }


def difference(tokenizer: Any, model: Any, text: str) -> dict[str, Any] | None:
    """The first tokens of a text that differ, and the text that they stand for; or None."""
    theirs = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    ours = model.tokenize(text.encode(), add_bos=False, special=False)
    if theirs == ours:
        return None
    pairs = enumerate(zip(theirs, ours, strict=False))
    first = next((at for at, (one, other) in pairs if one != other), min(len(theirs), len(ours)))
    shown = theirs[first : first + _SHOWN], ours[first : first + _SHOWN]
    return {"text": tokenizer.decode(shown[0]), "reference": shown[0], "file": shown[1]}


def added(tokenizer: Any, model: Any) -> dict[str, Any] | None:
    """The tokens that each puts around a text, where they are not the same; or None."""
    bare = [tokenizer("a", add_special_tokens=False)["input_ids"], model.tokenize(b"a", False)]
    full = [tokenizer("a")["input_ids"], model.tokenize(b"a", True)]
    theirs, ours = (
        [one for one in whole if one not in part] for whole, part in zip(full, bare, strict=True)
    )
    return None if theirs == ours else {"reference": theirs, "file": ours}


if __name__ == "__main__":
    main()
