"""Makes the corpora and the tiny trained models under recipes/tiny/.

Needs an environment of its own, because the orchestrator itself never imports torch:

    python -m venv tiny && tiny/bin/pip install torch==2.13.0 transformers==4.57.6 \
        sentencepiece==0.2.1 protobuf==4.25.9 safetensors==0.8.0 numpy peft==0.21.2
    OMP_NUM_THREADS=1 tiny/bin/python scripts/make_tiny_models.py corpus llama ...

Everything comes from seeds: a second run on one machine gives the same files. On another
processor torch may round otherwise, so the models are committed, and tests look at the committed
ones. The llama takes about four minutes on one free core, the others up to twice as long.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tinymodels.corpora import write_corpora

TINY = Path(__file__).resolve().parent.parent / "recipes" / "tiny"
TRAINED = ("llama", "bloom", "falcon", "chatglm")
WHAT = ("corpus", *TRAINED, "chimera", "lora")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make tiny corpora and models.")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"any of {' '.join(WHAT)}")
    parser.add_argument("--out", type=Path, default=TINY, help="folder of corpus/ and models/")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and of batches")
    given = parser.parse_args()
    unknown = sorted(set(given.what) - set(WHAT))
    if unknown:
        parser.error(f"cannot make {', '.join(unknown)}; choose from {', '.join(WHAT)}")
    return given


def make(what: str, out: Path, seed: int) -> None:
    """Makes the corpora or one model, with torch; chimera and lora need llama to be there."""
    if what == "corpus":
        write_corpora(out / "corpus")
        return
    from tinymodels.making import make_model  # noqa: PLC0415 - imports torch

    make_model(what, out / "models", seed)


def main() -> None:
    """Makes everything named on the command line, or everything."""
    given = arguments()
    for what in given.what or WHAT:
        make(what, given.out, given.seed)


if __name__ == "__main__":
    main()
