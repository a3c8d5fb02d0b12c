"""Complete a prompt with llama_cpp in Python, on the tool chain's own library.

    python smoke.py MODEL PROMPT TOKENS CONTEXT THREADS

Prints one JSON object: the text, the end reason and the vocabulary's size.
"""

from __future__ import annotations

import json
import sys

from llama_cpp import Llama


def main() -> None:
    """Greedy decoding, so that the text depends on the model alone."""
    path, prompt, tokens, context, threads = sys.argv[1:]
    model = Llama(
        path,
        n_ctx=int(context),
        n_threads=int(threads),
        n_threads_batch=int(threads),
        seed=1,
        verbose=False,
    )
    choice = model(prompt, max_tokens=int(tokens), temperature=0.0)["choices"][0]
    found = {
        "text": choice["text"],
        "finish": choice["finish_reason"],
        "vocabulary": model.n_vocab(),
    }
    print(json.dumps(found))


main()
