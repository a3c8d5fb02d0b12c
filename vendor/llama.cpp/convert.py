"""Run upstream's converter with one or two of its parts replaced; upstream's files stay.

    python convert.py SRC [--tokenizer-pre NAME] [--header-only] -- CONVERTER-ARGUMENTS

``--tokenizer-pre`` answers the question "which pre-tokenizer is this?" for a model whose
tokenizer the converter does not recognize. ``--header-only`` writes everything but the
tensors' data: the file gets its full length as a hole. The converter's tensors are lazy,
so weight files that are holes themselves are enough.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The arguments before ``--`` are ours, those after it the converter's."""
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("src", type=Path)
    parser.add_argument("--tokenizer-pre", default="")
    parser.add_argument("--header-only", action="store_true")
    return parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]


def write_holes(self: Any, *, progress: bool = False) -> None:
    """Write the tensors' infos, then give the file the length that it would have."""
    del progress
    self.write_ti_data_to_file()
    for fout, tensors in zip(self.fout, self.tensors, strict=True):
        self.write_padding(fout, fout.tell())
        data = sum(self.ggml_pad(info.nbytes, self.data_alignment) for info in tensors.values())
        fout.flush()
        fout.truncate(fout.tell() + data)


def main() -> None:
    """Replace what was asked for, then hand over to the converter's own main."""
    args, rest = parse()
    sys.path.insert(0, str(args.src))
    import convert_hf_to_gguf as converter  # noqa: PLC0415 - its folder is an argument

    if args.header_only:
        converter.gguf.GGUFWriter.write_tensors_to_file = write_holes
    if args.tokenizer_pre:
        from conversion.base import TextModel  # noqa: PLC0415

        TextModel.get_vocab_base_pre = lambda _self, _tokenizer: args.tokenizer_pre
    sys.argv = ["convert_hf_to_gguf.py", *rest]
    converter.main()


main()
