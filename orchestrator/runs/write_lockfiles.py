"""Write the locks of recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.planning import lockfile_check
from orchestrator.recipe import Recipe
from orchestrator.runs import load_and_plan, make_lockfile
from orchestrator.runs.session import Session


def write_locks(
    recipes: Sequence[Recipe], session: Session, say: lockfile_check.Say
) -> list[dict[str, str]]:
    """Pin recipes as they are now, with all their files and texts.

    Nothing is fetched but listings, shard indexes and what the package index states.

    Returns:
        For each recipe its name, its file and that of its lock.

    Raises:
        OrchestrateError: A reference cannot be resolved, or a source cannot be listed.
    """
    # The recipe's own profile and back end: what one run chooses is no pin.
    whole = replace(session.choices, only=(), profile="", backend="", verify=True)
    alone = replace(session, choices=whole, locks="ignore")
    written = []
    for one in load_and_plan.make(recipes, alone):
        recipe = one.recipe
        lock = make_lockfile.make(one, session.known, offline=session.settings.offline, say=say)
        path = make_lockfile.write(lock, recipe)
        say(f"{recipe.name}: {path}")
        written.append({"name": recipe.name, "recipe": str(recipe.file), "lock": str(path)})
    return written
