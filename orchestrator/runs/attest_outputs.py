"""Provenance of what a run made: statements for each file, signed where there is a key.

And the other way round: does a file that somebody published agree with its statement, and
is the same file made again from a recipe?
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from orchestrator.base import dsse_signature
from orchestrator.base.digest import file_sha256
from orchestrator.engine import released_manifests
from orchestrator.planning import lockfile
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import provenance_statement, use_lockfile
from orchestrator.runs.collect_results import Result
from orchestrator.runs.provenance_statement import PAYLOAD, Pins
from orchestrator.runs.small_text import Text


def check_key(key: Path) -> None:
    """Try a private key before hours of work.

    Raises:
        UsageError: It cannot sign.
    """
    dsse_signature.sign(b"{}", PAYLOAD, key)


def documents(result: Result, root: Path, key: Path | None) -> dict[str, Text]:
    """The texts to publish beside a run's files, by file name.

    Args:
        result: What the run made.
        root: The store's folder, which remembers how released steps were done.
        key: A private key; with one each statement has a signed envelope beside it.

    Raises:
        UsageError: The key cannot sign.
    """
    plan = result.plan
    manifests = dict(result.manifests)
    for step in plan.steps:
        earlier = None if step.key in manifests else released_manifests.recall(root, step.key)
        if earlier is not None:
            manifests[step.key] = earlier
    pins = _pins(plan)
    texts: dict[str, Text] = {}
    for output in plan.outputs:
        if output.file in result.files:
            sha256 = result.files[output.file].sha256
            told = provenance_statement.statement(plan, output, sha256, manifests, pins)
            text = Text(told, partial(provenance_statement.text, told))
            texts[output.file + provenance_statement.SUFFIX] = text
            if key is not None:
                envelope = Text([told, file_sha256(key)], partial(_signed, text, key))
                texts[output.file + provenance_statement.SIGNED_SUFFIX] = envelope
    return texts


def _signed(text: Text, key: Path) -> str:
    return dsse_signature.sign(text.make().encode("utf-8"), PAYLOAD, key)


def _pins(plan: Plan) -> Pins:
    path = lockfile.path_of(plan.recipe.file)
    found = use_lockfile.read(path)
    return Pins() if found is None else Pins(file_sha256(path), found)


# -- the other way round ---------------------------------------------------------------------
