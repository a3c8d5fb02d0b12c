"""An upstream with a history that a campaign's ``bisect`` searches, in a process of its own.

The stand-in's tool chain lies in ``vendor/`` beside the recipe, where every process finds it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from orchestrator.toolchain import load
from tests.standin import harness, models
from tests.standin.repositories import first_commit, repo_with
from tests.support.moving_upstream import PLANTED

CHAIN = "standin"


def written(folder: Path) -> Path:
    """A repository of three commits, of which the last changes bytes, and a recipe of it.

    Returns:
        The recipe; the upstream's first commit has the tag ``v1``, its last one ``main``.
    """
    repo = first_commit(folder / "upstream")
    repo.git.tag("v1")
    repo_with(repo, "words", ("LICENSE", "none", "none again"))
    repo_with(repo, "take another scale", PLANTED)
    _tool_chain(folder / "vendor" / CHAIN, f"file://{repo.working_dir}", repo.head.commit.hexsha)
    return harness.write_recipe(
        folder,
        CHAIN,
        models.TINY / "bloom",
        family="bloomz",
        quantize=["Q4_0"],
        toolchain={"name": CHAIN, "commit": "main"},
        verify={"speed": False},
    )


def _tool_chain(folder: Path, git: str, commit: str) -> None:
    """bloomz.cpp's data, with the stand-in's repository and converter."""
    shutil.copytree(load.VENDOR / "bloomz.cpp", folder)
    (folder / "requirements.txt").write_text("# the standard library is enough\n", encoding="utf-8")
    data = yaml.safe_load((folder / load.DATA).read_text("utf-8"))
    data["source"] |= {"git": git, "commit": commit}
    data["environment"] |= {"imports": [], "extra_index": None}
    (folder / load.DATA).write_text(yaml.safe_dump(data), encoding="utf-8")
