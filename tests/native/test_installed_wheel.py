"""The package as strangers install it: built, put into a clean environment, run elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base import installed_data

ROOT = Path(__file__).resolve().parents[2]
BUILD = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
CHECKOUT = (sys.executable, "-c", "from orchestrator.cli import main; main()")


def output(*argv: str | Path, folder: Path, **variables: str) -> str:
    """What a command printed, without what this checkout puts into the environment."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "ORCHESTRATE_TOOLCHAINS")
    environment = {name: text for name, text in os.environ.items() if name not in hidden}
    done = subprocess.run(
        list(map(str, argv)),
        cwd=folder,
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("built")
    output(*BUILD, folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``orchestrate`` of the wheel, in an environment that knows nothing of the checkout."""
    place = tmp_path_factory.mktemp("elsewhere") / "venv"
    output(sys.executable, "-m", "venv", place, folder=built)
    scripts = place / ("Scripts" if sys.platform == "win32" else "bin")
    [wheel] = built.glob("*.whl")
    output(scripts / "python", "-m", "pip", "install", "-q", wheel, folder=built)
    return scripts / "orchestrate"


def digest(wheel: Path) -> dict[str, str]:
    """SHA-256 of every file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in names}


def test_the_sdist_makes_the_wheel_that_the_checkout_makes(built: Path, tmp_path: Path) -> None:
    output(*BUILD, tmp_path, "--wheel", ROOT, folder=tmp_path)
    [of_sdist], [of_checkout] = built.glob("*.whl"), tmp_path.glob("*.whl")

    assert digest(of_sdist) == digest(of_checkout)


def test_an_index_would_take_both(built: Path) -> None:
    output(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=built)


def test_the_wheel_runs_a_recipe_by_name_with_the_same_keys(
    installed: Path, store_with: Callable[..., Path], tmp_path: Path
) -> None:
    store = store_with("llama.cpp")
    here = tmp_path / "here"
    there = tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    home = {"ORCHESTRATE_HOME": str(store)}
    recipe = ROOT / "recipes" / "tiny" / "llama.yaml"
    output(*CHECKOUT, "run", recipe, folder=here, PYTHONPATH=str(ROOT), **home)

    listed = json.loads(output(installed, "recipes", "--json", folder=there, **home))
    assert {one["name"] for one in listed} == set(installed_data.recipes())
    assert not any(one["recipe"].startswith(str(ROOT)) for one in listed)
    chains = json.loads(output(installed, "toolchain", "ls", "--json", folder=there, **home))
    assert [one["name"] for one in chains if one["built"]] == ["llama.cpp"]
    assert "Everything is up to date" in output(
        installed, "plan", "tiny-llama", folder=there, **home
    )

    output(installed, "run", "tiny-llama", folder=there, **home)
    sums = Path("dist") / "tiny-llama" / "SHA256SUMS"
    assert (there / sums).read_bytes() == (here / sums).read_bytes()


def test_an_installed_recipe_is_locked_and_copied_where_one_works(
    installed: Path, store_with: Callable[..., Path], tmp_path: Path
) -> None:
    home = {"ORCHESTRATE_HOME": str(store_with("llama.cpp"))}
    output(installed, "lock", "--offline", "tiny-llama", folder=tmp_path, **home)
    assert (tmp_path / "tiny-llama.lock.yaml").is_file()
    output(installed, "plan", "--locked", "tiny-llama", folder=tmp_path, **home)

    output(installed, "recipes", "--copy", "tiny-llama", folder=tmp_path, **home)
    # The copy has the same digest, so the same lock holds for it.
    output(installed, "plan", "--locked", "tiny-llama.yaml", folder=tmp_path, **home)
