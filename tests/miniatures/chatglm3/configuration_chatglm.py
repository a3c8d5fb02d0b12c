"""The configuration of the miniature ChatGLM3."""

from __future__ import annotations

from typing import Any

from transformers import PretrainedConfig  # type: ignore[import-not-found,unused-ignore]


class ChatGLMConfig(PretrainedConfig):  # type: ignore[misc,unused-ignore]
    """Holds whatever config.json says."""

    model_type = "chatglm"

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
