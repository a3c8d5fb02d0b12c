"""Commands of all kinds in a store of their own, to be killed or to run out of disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.hub import Hub
from tests.hub.written import TOKEN
from tests.support import hub_models
from tests.support.campaigns import searches
from tests.support.campaigns.after_every_try import Place
from tests.support.typed_commands import RECIPES, TINY, Running, artifacts, typed
from tests.support.warm_store import Finished, link

CHIMERA = RECIPES / "tiny" / "chimera.yaml"
_MADE = ("convert", "imatrix", "quantize", "measure")
_NAME = "org/model"
Words = Sequence[str | Path]


@dataclass(frozen=True)
class Command:
    """One command: its words, and how to make that it has something to do."""

    words: Callable[[Place], Words]
    prepare: Callable[[Place, Random], None] = lambda _place, _chance: None


def _forget(place: Place, chance: Random) -> None:
    """Take what some kinds of steps made out of the store."""
    for kind in _MADE[chance.randrange(len(_MADE)) :]:
        for folder in artifacts(place.store).get(kind, []):
            shutil.rmtree(folder)


def _unwritten(place: Place, _chance: Random) -> None:
    for name in ("new.yaml", "adopted.yaml", "recipe.lock.yaml"):
        (place.work / name).unlink(missing_ok=True)


def _search(place: Place, _chance: Random) -> None:
    """An upstream of three commits; nothing of it is built."""
    searches.written(place.search)


def _run(recipe: Path) -> Callable[[Place], Words]:
    return lambda place: ("run", recipe, "--out", place.dist, "-t", "1")


COMMANDS: Mapping[str, Command] = {
    "run": Command(_run(TINY), _forget),
    "publish to a folder": Command(
        lambda p: ("publish", TINY, "--out", p.dist, "--to", f"dir:{p.published}")
    ),
    "nightly": Command(
        lambda p: ("nightly", TINY, "--out", p.dist, "-t", "1", "--site", p.site), _forget
    ),
    "plan": Command(lambda p: ("plan", TINY, "--out", p.dist), _forget),
    "site": Command(lambda p: ("site", p.site)),
    "store gc": Command(lambda _p: ("store", "gc", "--max-size", "2MB")),
    "publish to a Hub": Command(
        lambda p: ("publish", TINY, "--out", p.dist, "--to", "hub:me/tiny-GGUF")
    ),
    "new": Command(lambda p: ("new", _NAME, "-o", p.work / "new.yaml"), _unwritten),
    "lock": Command(lambda p: ("lock", p.work / "recipe.yaml"), _unwritten),
    "adopt": Command(
        lambda p: (
            *("adopt", p.dist / "tiny-llama" / "tiny-llama-Q4_0.gguf", "-t", "1"),
            *("-o", p.work / "adopted.yaml"),
        ),
        _unwritten,
    ),
    "verify": Command(lambda p: ("verify", TINY, "--out", p.dist, "-t", "1")),
    "history": Command(lambda _p: ("history", "tiny-llama")),
    "store verify": Command(lambda _p: ("store", "verify")),
    "run with a merge": Command(_run(CHIMERA)),
    "bisect": Command(
        lambda p: (
            *("bisect", p.search / "recipe.yaml", "--only", "Q4_0", "-t", "1"),
            *("--good", "v1", "--bad", "main"),
        ),
        _search,
    ),
    "reproduce": Command(
        lambda p: ("reproduce", TINY, "--only", "Q8_0", "--out", p.dist, "-t", "1", "--no-verify")
    ),
    "reproduce twice": Command(
        lambda p: (
            *("reproduce", CHIMERA, "--only", "Q8_0", "--out", p.dist, "-t", "1", "--no-verify"),
            "--twice",
        )
    ),
    "diff": Command(
        lambda p: (
            *("diff", "--accept", "different"),
            *(p.dist / "tiny-llama" / f"tiny-llama-{name}.gguf" for name in ("Q8_0", "Q4_0")),
        )
    ),
}


@contextmanager
def laid_out(place: Place, finished: Finished) -> Iterator[None]:
    """A store in which the tiny llama is made, its files, and a Hub of its own.

    What commands know of the machine is in the environment: a home, a folder for temporary
    files, the address of the Hub.
    """
    shutil.copytree(finished.home, place.store, symlinks=True)
    for folder in (place.work, place.home, place.temporary):
        folder.mkdir(parents=True)
    text = TINY.read_text("utf-8").replace("models/", f"{TINY.parent}/models/")
    (place.work / "recipe.yaml").write_text(text.replace("corpus/", f"{TINY.parent}/corpus/"))
    said = typed(*_run(TINY)(place), home=place.store)
    assert said.code == 0, said.all
    served = hub_models.repository(place.root / "hub" / "served", card={"license": "mit"})
    with (
        Hub({_NAME: served}, writable=place.root / "hub" / "written") as hub,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in _environment(place, hub).items():
            patch.setenv(name, value)
        yield


def _environment(place: Place, hub: Hub) -> dict[str, str]:
    return {
        "HOME": str(place.home),
        "TMPDIR": str(place.temporary),
        "HF_HOME": str(place.home / "huggingface"),
        "HF_HUB_CACHE": str(place.home / "hub-cache"),
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def whole_again(name: str, place: Place, chance: Random) -> list[str]:
    """Type the command once more, without trouble; what should not be."""
    link(place.store, "llama.cpp")  # gc may have taken the link, and building takes minutes
    _unwritten(place, chance)
    again = Running(*COMMANDS[name].words(place), home=place.store)
    code = again.ended()
    return [f"the next one ended with {code}: {again.text[-600:]}"] if code else []


def finished_in(folder: Path) -> Finished:
    """The tiny llama's recipe, run once with the user's own tool chain."""
    link(folder / "store", "llama.cpp")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    said = typed("run", TINY, "--out", folder / "dist", "-t", "1", home=folder / "store")
    assert said.code == 0, said.all
    return Finished(folder / "store", folder / "dist" / "tiny-llama", said)
