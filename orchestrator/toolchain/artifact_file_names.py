"""Names of files inside artifacts that more than one room reads."""

from __future__ import annotations

HEADER = "header.gguf"
LOGITS = "logits.bin"
FACTS = "perplexity.json"
IMATRIX_FILE = "imatrix.gguf"
