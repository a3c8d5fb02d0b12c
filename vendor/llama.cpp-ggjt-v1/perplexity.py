"""Run the perplexity tool of April 2023 and end it after so many chunks, which it cannot.

    python perplexity.py CHUNKS TOOL ARGUMENTS

It prints the mean so far after each chunk, ``[3]12.3456,``, and flushes it, so that the
value after CHUNKS chunks is final. A CHUNKS below 1 lets the tool go on to the text's end.
"""

from __future__ import annotations

import subprocess
import sys
from typing import BinaryIO


def copy(source: BinaryIO, chunks: int) -> bool:
    """Hand the output on; True as soon as the last chunk wanted is among it."""
    wanted, value = f"[{chunks}]".encode(), b""
    while found := source.read(1):
        sys.stdout.buffer.write(found)
        if found != b",":
            value += found
            continue
        if wanted in value:
            return True
        value = b""
        sys.stdout.buffer.flush()
    return False


def main() -> None:
    """Exit as the tool does, or with 0 when it was ended here."""
    chunks, command = int(sys.argv[1]), sys.argv[2:]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tool:
        assert tool.stdout is not None
        ended = copy(tool.stdout, chunks)
        if ended:
            tool.terminate()
    sys.stdout.buffer.flush()
    sys.exit(0 if ended else tool.returncode)


main()
