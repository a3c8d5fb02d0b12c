"""The layout of saved logits: read from a header, and refused where the data is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.toolchain.tool_results import SavedLogits

LAYOUT: dict[str, Any] = {
    "magic": "old!",
    "header": ["vocabulary", "chunks", "context"],
    "size": "16 + chunks * context * vocabulary",
    "scored": "chunks * context",
}


def test_the_header_is_read_in_the_order_of_the_data() -> None:
    layout = SavedLogits.model_validate(LAYOUT)
    head = b"old!" + b"".join(number.to_bytes(4, "little") for number in (3, 2, 6))

    assert layout.header_size == len(head)
    header = layout.read_header(head)
    assert header == {"vocabulary": 3, "chunks": 2, "context": 6}
    assert layout.size_of(**header) == 16 + 36
    assert layout.scored_tokens(context=6, chunks=2) == 12


@pytest.mark.parametrize("head", [b"", b"old!", b"new!" + bytes(12), b"old!" + bytes(11)])
def test_other_bytes_are_no_header(head: bytes) -> None:
    assert SavedLogits.model_validate(LAYOUT).read_header(head) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("magic", ""),
        ("header", ["context", "chunks"]),
        ("header", ["context", "chunks", "chunks"]),
        ("size", "rows * 2"),
        ("scored", "__import__('os')"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        SavedLogits.model_validate({**LAYOUT, key: value})
