"""The licence that a model card states, and whether it is one that lets files be passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orchestrator.recipe.free_licences import FREE
from orchestrator.workflows.drafting.survey_findings import Licence

_LONGEST = 100
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}")
_WEB = re.compile(r"https?://[^\s/@<>()\"]+(/[^\s<>()\"]*)?")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


def read(metadata: Mapping[str, Any], repo: str, commit: str, *, gated: bool) -> Licence:
    """The licence of a card's metadata; what is no short, printable text is left out.

    Args:
        metadata: The front matter of the card.
        repo: The repository, to which a link that is a file's name belongs.
        commit: The commit at which that file is meant.
        gated: Whether readers must first accept terms.
    """
    stated = metadata.get("license")
    if isinstance(stated, list) and len(stated) == 1:
        stated = stated[0]
    known = _text(stated).lower()
    known = known if _ID.fullmatch(known) else ""
    link = _link(_text(metadata.get("license_link")), repo, commit)
    free = known in FREE and not gated
    return Licence(known, _text(metadata.get("license_name")), link, free, gated)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    text = value.strip()
    return text if text.isprintable() and len(text) <= _LONGEST else ""


def _link(text: str, repo: str, commit: str) -> str:
    """An address; cards also name a file of the repository."""
    if _WEB.fullmatch(text):
        return text
    if _PLAIN_PATH.fullmatch(text) and ".." not in text:
        return f"https://huggingface.co/{repo}/blob/{commit}/{text}"
    return ""
