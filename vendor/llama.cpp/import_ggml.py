"""Run upstream's converter of old GGML files with one of its parts put right.

    python import_ggml.py SRC -- CONVERTER-ARGUMENTS

It hands the writer the shapes in elements together with raw bytes, and the writer of the
same commit takes such shapes to be in bytes: quantized files stop it, and F16 files come
out with rows of half their length.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def shape_as_it_is(shape: Sequence[int], _kind: object) -> tuple[int, ...]:
    """Shapes of old GGML files count elements already."""
    return tuple(shape)


def main() -> None:
    """Put the writer right, then hand over to the converter's own main."""
    source, arguments = sys.argv[1], sys.argv[3:]
    sys.path.insert(0, source)
    import convert_llama_ggml_to_gguf as converter  # noqa: PLC0415 - its folder is an argument

    converter.gguf.gguf_writer.quant_shape_from_byte_shape = shape_as_it_is
    sys.argv = ["convert_llama_ggml_to_gguf.py", *arguments]
    converter.main()


main()
