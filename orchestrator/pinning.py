"""Write the locks of recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator import locking, workflow
from orchestrator.recipe import Recipe
from orchestrator.workflow import Session


def write_locks(recipes: Sequence[Recipe], session: Session, say: locking.Say) -> None:
    """Pin recipes as they are now, with all their files and texts.

    Nothing is fetched but listings, shard indexes and what the package index states.

    Raises:
        OrchestrateError: A reference cannot be resolved, or a source cannot be listed.
    """
    # The recipe's own profile and back end: what one run chooses is no pin.
    whole = replace(session.choices, only=(), profile="", backend="", verify=True)
    alone = replace(session, choices=whole, locks="ignore")
    for one in workflow.make(recipes, alone):
        lock = locking.make(one, session.store, offline=session.settings.offline, say=say)
        say(f"{one.recipe.name}: {locking.write(lock, one.recipe)}")
