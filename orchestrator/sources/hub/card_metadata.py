"""Model cards as the Hub reads them: the front matter, through huggingface_hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON

_FENCE = "---"


def front_matter(values: Mapping[str, JSON]) -> str:
    """YAML of a model card's metadata, between its two lines of dashes.

    Args:
        values: Keys as the Hub knows them; those that are None or empty are left out.
    """
    from huggingface_hub import ModelCardData  # noqa: PLC0415 - heavy

    given = {key: value for key, value in values.items() if value not in (None, "", [], ())}
    text = ModelCardData(**given).to_yaml(line_break="\n")
    return f"{_FENCE}\n{text.strip()}\n{_FENCE}"


def metadata(card: str, what: str) -> Mapping[str, JSON]:
    """The metadata of a model card; empty without a front matter.

    Raises:
        StepError: The front matter is no YAML mapping.
    """
    from huggingface_hub import ModelCard  # noqa: PLC0415 - heavy

    if not card.lstrip().startswith(_FENCE):
        return {}
    try:
        data: Any = ModelCard(card, ignore_metadata_errors=True).data
        found = data.to_dict()
    except Exception as error:
        raise StepError(
            f"the front matter of {what} cannot be read ({type(error).__name__})"
        ) from error
    return dict(found)
