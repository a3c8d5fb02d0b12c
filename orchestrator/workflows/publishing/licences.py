"""Whether a licence lets quantized files be passed on; pure."""

from __future__ import annotations

from orchestrator.base.errors import UsageError
from orchestrator.recipe.free_licences import why_not_free
from orchestrator.recipe.publish_section import Publish

# What a licence wants to be said with the files: on the page, and in a file NOTICE.
_LLAMA = (
    "{name} is licensed under the {name} Community License, Copyright © Meta Platforms, Inc. "
    "All Rights Reserved."
)
_GEMMA = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms"
)
_NOTICES = {
    "llama2": ("", _LLAMA.format(name="Llama 2")),
    "llama3": ("Built with Meta Llama 3", _LLAMA.format(name="Meta Llama 3")),
    "llama3.1": ("Built with Llama", _LLAMA.format(name="Llama 3.1")),
    "llama3.2": ("Built with Llama", _LLAMA.format(name="Llama 3.2")),
    "llama3.3": ("Built with Llama", _LLAMA.format(name="Llama 3.3")),
    "llama4": ("Built with Llama", _LLAMA.format(name="Llama 4")),
    "gemma": ("", _GEMMA),
}
NOTICE = "NOTICE"


def said(licence: str) -> tuple[str, str]:
    """What a licence wants on the page, and in a file called NOTICE; empty where nothing."""
    return _NOTICES.get(licence.lower(), ("", ""))


def require_right(publish: Publish, licence: str, gated: bool, where: str) -> None:
    """Refuse to publish what the recipe does not say may be passed on.

    Args:
        publish: The recipe's section.
        licence: Id of the licence, of the recipe or of the source's card; empty: not known.
        gated: Whether the source is shown only to those who accept its terms.
        where: The recipe, for the sentence.

    Raises:
        UsageError: It says that they may not, or says nothing where it has to.
    """
    if publish.redistribute is False:
        raise UsageError(
            f"{where} says 'redistribute: false': these files must not be redistributed",
            "They are for your own use. If that is wrong, correct 'publish: redistribute:'.",
        )
    if not licence:
        raise UsageError(
            f"{where} does not say under which licence the model is",
            "Add 'publish: {license: ...}' with the licence of the original model.",
        )
    if publish.redistribute:
        return
    why = why_not_free(licence) or (gated and "the model is gated on the Hub") or ""
    if why:
        called = f"{licence} ({publish.license_name})" if publish.license_name else licence
        raise UsageError(
            f"{where}: files under the licence {called} are not published by default: {why}",
            "Read the licence. If it allows redistributing quantized files, add "
            "'publish: {redistribute: true}' to the recipe.",
        )
