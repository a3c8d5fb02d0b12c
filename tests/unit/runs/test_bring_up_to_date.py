"""From plans to folders: what a run with nothing to do asks, and what it reads."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning.plan import Plan
from orchestrator.runs import load_and_plan, provenance_statement, small_text
from orchestrator.runs.bring_up_to_date import bring
from orchestrator.runs.finished_plan import Finished
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain import families, load
from tests.support.asked_stores import count_finds
from tests.support.command_line import Command
from tests.support.file_access import accesses
from tests.support.fixtures import fakes, orchestrate, recipes

__all__ = ["fakes", "orchestrate", "recipes"]

pytestmark = pytest.mark.usefixtures("fakes")

# What is read as text too, beside being hashed.
READ = {"toolchain.yaml", "requirements.txt", "sdists.txt", "architectures.yaml"}
READ |= {"families.yaml", "drafts.yaml"}


@pytest.fixture
def warm(orchestrate: Command, recipes: Path) -> Path:
    """A folder with two recipes that were run."""
    assert orchestrate("run", *sorted(recipes.glob("*.yaml"))).code == 0
    return recipes


def session_here() -> Session:
    store = Store(Store.default_root(), print)
    return Session(store, Settings(), choices(), Plain(io.StringIO()))


def planned(folder: Path, session: Session) -> list[Plan]:
    return load_and_plan.make(load_and_plan.load(sorted(folder.glob("*.yaml"))), session)


def ran(folder: Path, session: Session) -> list[Finished]:
    return bring(session, planned(folder, session), Path("dist"))


@pytest.mark.parametrize("locked", [False, True])
def test_a_warm_run_asks_the_store_once_for_each_key(
    warm: Path, orchestrate: Command, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    if locked:
        assert orchestrate("lock", "--offline", *sorted(warm.glob("*.yaml"))).code == 0
    asked = count_finds(monkeypatch)

    done = ran(warm, session_here())

    assert [one.code for one in done] == [0, 0]
    assert set(asked) == {step.key for one in done for step in one.plan.steps}
    assert set(asked.values()) == {1}


def test_a_warm_run_hashes_each_file_of_a_tool_chain_once(warm: Path) -> None:
    load.load.cache_clear()
    families.load.cache_clear()
    session = session_here()

    with accesses() as found:
        [first, _] = ran(warm, session)

    folder = first.plan.chain.folder
    opened = Counter(one.removeprefix(f"open {folder}/") for one in found if str(folder) in one)
    files = {name: count for name, count in opened.items() if name in first.plan.chain.files}
    assert set(files) == set(first.plan.chain.files)
    assert {name for name, count in files.items() if count > 1} <= READ
    assert max(files.values()) <= 2


def test_what_was_found_is_forgotten_with_the_run(warm: Path) -> None:
    session = session_here()
    [first, _] = ran(warm, session)
    key = first.plan.outputs[0].step
    session.store.release(key)

    assert session.known.find(key) is None


def test_another_store_is_asked_itself(tmp_path: Path, warm: Path) -> None:
    session = session_here()
    [first, _] = planned(warm, session)
    key = first.outputs[0].step
    assert session.known.find(key) is not None

    assert replace(session, store=Store(tmp_path / "other", print)).known.find(key) is None


# -- what a warm run must not take for unchanged ------------------------------------------------

SMALL = ("report.json", "report.md", "report.html", "SHA256SUMS", "one-Q4_0.gguf.provenance.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_warm_run_writes_nothing(warm: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("dist").rglob("*")}

    assert [one.notes for one in ran(warm, session_here())] == [(), ()]

    assert before == {path: path.stat().st_mtime_ns for path in Path("dist").rglob("*")}


@pytest.mark.parametrize("name", [*SMALL, "one-Q4_0.gguf"])
@pytest.mark.parametrize("change", ["removed", "another byte", "cut"])
def test_a_file_that_was_changed_is_as_it_was_after_a_run(
    warm: Path, name: str, change: str
) -> None:
    path = Path("dist/one") / name
    before, data = contents(path.parent), path.read_bytes()
    path.unlink()
    if change != "removed":
        path.write_bytes(data[:-2] + b"?\n" if change == "another byte" else data[:-9])

    ran(warm, session_here())

    assert contents(path.parent) == before


def test_a_recipe_that_was_edited_is_reported_anew(warm: Path) -> None:
    recipe = warm / "one.yaml"
    recipe.write_text(recipe.read_text().replace("A llama", "Now with words. A llama"))

    ran(warm, session_here())

    found = contents(Path("dist/one"))
    assert all(b"Now with words." in found[name] for name in ("report.md", "report.html"))
    digest = load_and_plan.load([recipe])[0].digest.encode()
    assert all(digest in found[name] for name in ("report.json", SMALL[-1]))
    assert b"Now with words." not in (Path("dist/two") / "report.md").read_bytes()


def test_limits_that_were_edited_judge_anew(warm: Path) -> None:
    recipe = warm / "one.yaml"
    recipe.write_text(recipe.read_text().replace("max_mean_kld: 0.01", "max_size: 1"))

    [one, two] = ran(warm, session_here())

    assert (one.code, two.code) == (1, 0)
    found = contents(Path("dist/one"))
    assert b"**failed**" in found["report.md"]
    assert b'"status": "fail"' in found["report.json"]


def test_another_folder_is_filled_as_the_first_was(warm: Path) -> None:
    first = contents(Path("dist/one"))

    bring(session_here(), planned(warm, session_here()), Path("other"))

    assert contents(Path("other/one")) == first


def test_another_version_writes_its_name_into_statements(
    warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (small_text, provenance_statement):
        monkeypatch.setattr(module, "__version__", "9.9.9")
    small_text._program.cache_clear()
    ran(warm, session_here())
    small_text._program.cache_clear()

    assert b'"orchestrate": "9.9.9"' in contents(Path("dist/one"))[SMALL[-1]]
