"""Ask LLMZoo's apply_delta.py for the digests that the merge's tests expect.

``pairs DIR`` writes the tests' tiny models with a real tokenizer (needs sentencepiece);
``digest DIR`` prints the digest of a model folder's tensors. By hand, in an environment with
torch 2.13.0, transformers 4.57.6 and sentencepiece, where ``tool`` is tools/apply_delta.py of
https://github.com/FreedomIntelligence/LLMZoo::

    python scripts/golden_merge.py pairs DIR
    for pair in F16-F16 BF16-F32 F32-BF16; do
        python tool --base-model-path DIR/$pair/base --delta-path DIR/$pair/delta \
            --target-model-path DIR/$pair/merged
        python scripts/golden_merge.py digest DIR/$pair/merged
    done
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support import merge_pairs

PAIRS = (("F16", "F16"), ("BF16", "F32"), ("F32", "BF16"))


def write_pairs(folder: Path) -> None:
    """Write a base and a delta for every pair of types below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    model = _train_tokenizer(folder)
    for base, delta in PAIRS:
        rows = merge_pairs.VOCABULARY
        sides = {"base": merge_pairs.llama(rows, base, 1)}
        sides["delta"] = merge_pairs.llama(rows + 1, delta, 100)
        for side, tensors in sides.items():
            target = merge_pairs.write_model(folder / f"{base}-{delta}" / side, tensors)
            shutil.copyfile(model, target / "tokenizer.model")
            (target / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')


def _train_tokenizer(folder: Path) -> Path:
    import sentencepiece  # type: ignore  # noqa: PLC0415

    text = folder / "text.txt"
    words = [f"word{number % 97} of{number % 13} sentence{number % 31}" for number in range(2000)]
    text.write_text("\n".join(words))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=merge_pairs.VOCABULARY,
        byte_fallback=True,
        model_type="bpe",
        hard_vocab_limit=True,
    )
    return folder / "tokenizer.model"


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["pairs", "digest"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.what == "pairs":
        write_pairs(options.folder)
    else:
        print(merge_pairs.digest(merge_pairs.read_model(options.folder)))


if __name__ == "__main__":
    main()
