"""What the Hub says when it does not want to be written to, in one sentence.

As in :mod:`orchestrator.sources.hub.read_errors`, whose sentences about reading hold for all else:
the client's own text is not repeated, but for what the Hub finds wrong with a model card.
"""

from __future__ import annotations

import sys

from orchestrator.base.errors import EnvironmentProblem, OrchestrateError, StepError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.sources.hub.read_errors import Where, causes, status_of, translate

_LOGIN = "run 'hf auth login' with a token that may write, or set HF_TOKEN"
_BATCH = "LFS batch API returned errors"
_MOST_ERRORS, _LONGEST = 10, 500  # of a card, and characters of each
_KEPT = "what has arrived is not sent again."


def translate_writing(error: BaseException, where: Where) -> OrchestrateError | None:
    """Say what an error while writing means; None when it is not known, and then it is a bug."""
    chain = tuple(causes(error))
    for link in chain:
        status = status_of(link)
        if status is not None:
            token = "authorization" in link.response.request.headers  # type: ignore[attr-defined]
            if status == 404 and "/info/lfs/" in str(link.response.url):  # type: ignore[attr-defined]
                return _lost(where)
            return _http(status, where, token) or translate(error, where)
    for link in chain:
        known = _local(link, where)
        if known is not None:
            return known
    return translate(error, where)


def read_only(where: Where, status: int) -> EnvironmentProblem:
    """A Hub that looks at no model cards; without that the client commits none."""
    return EnvironmentProblem(
        f"{where.shown} does not validate model cards (HTTP {status}), so nothing can be "
        "published there.",
        "Check HF_ENDPOINT: many mirrors are for reading only.",
    )


def refused_card(errors: JSON) -> StepError:
    """What the Hub finds wrong with a model card, in its own words."""
    listed = errors[:_MOST_ERRORS] if isinstance(errors, list) else []
    words = [str(one.get("message", "")) for one in listed if isinstance(one, dict)]
    reasons = "; ".join(word[:_LONGEST] for word in words if word) or "it does not say why"
    return StepError(
        f"The Hub refused the front matter of the model card: {reasons}",
        "Correct the section 'publish' of the recipe.",
    )


def _lost(where: Where) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The storage behind {where.repo} does not have what was just sent to it (HTTP 404).",
        "Publish again; if it stays so, the Hub or the proxy before it is at fault.",
    )


def _http(status: int, where: Where, token: bool) -> OrchestrateError | None:
    owner = where.repo.partition("/")[0]
    if status == 401:
        if token:
            return EnvironmentProblem(
                f"The Hub refused the token that was sent to publish {where.repo} (HTTP 401).",
                f"It may have expired: make a new one, then {_LOGIN}.",
            )
        return EnvironmentProblem(
            f"No token was sent, and publishing to {where.repo} needs one (HTTP 401).",
            f"Make one at {where.shown}/settings/tokens, then {_LOGIN}.",
        )
    known = {
        402: (
            f"The account {owner} has no room or no plan for this (HTTP 402).",
            f"Look at its storage and billing in the settings; {_KEPT}",
        ),
        403: (
            f"Your token may not write to {where.repo} (HTTP 403), or the storage of {owner} is "
            "used up.",
            f"Give it the right to write in {owner}, and look at the storage in the settings; "
            f"{_KEPT}",
        ),
        409: (
            f"Other commits to {where.repo} keep coming in between (HTTP 409).",
            f"Publish again when they are done; {_KEPT}",
        ),
        412: (
            f"Others changed {where.repo} each time before our commit arrived (HTTP 412).",
            f"Publish again when they are done; {_KEPT}",
        ),
        413: (
            f"A file is larger than {where.shown} takes (HTTP 413).",
            "Split it: --max-file 20GB.",
        ),
    }
    if status in known:
        return EnvironmentProblem(*known[status])
    if status == 404:
        return UsageError(
            f"The Hub has no place for {where.repo} (HTTP 404): there is no account or "
            f"organization {owner}, or your token does not reach it.",
            "Check the spelling of --to, and that you are a member of the organization.",
        )
    return None


def _local(error: BaseException, where: Where) -> OrchestrateError | None:
    text = str(error)
    if isinstance(error, ValueError) and text.startswith(_BATCH):
        return EnvironmentProblem(
            f"The storage behind {where.repo} refused a file.",
            f"Look at the storage in the settings of its owner; {_KEPT}",
        )
    if isinstance(error, _xet_errors()):
        return EnvironmentProblem(
            f"{where.shown} could not be sent files through Xet, the Hub's newer storage "
            f"({type(error).__name__}).",
            "Check the network; a mirror that does not know Xet needs HF_HUB_DISABLE_XET=1.",
        )
    return None


def _xet_errors() -> tuple[type[BaseException], ...]:
    """What the client of Xet raises; where it was never imported, it raised nothing."""
    xet = sys.modules.get("hf_xet")
    names = ("XetAuthenticationError", "XetObjectNotFoundError")
    return tuple(getattr(xet, name) for name in names if hasattr(xet, name))
