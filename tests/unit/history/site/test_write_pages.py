"""How a folder of pages is kept: whole files, only ours, only what differs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.base.file_mutex import Locks
from orchestrator.history import History, site
from orchestrator.history.site import write_pages
from orchestrator.history.site.write_pages import Text, Written
from tests.support import long_history as believable
from tests.support.rendered_pages import SHORT


def put(folder: Path, pages: Mapping[str, Text]) -> Written:
    return write_pages.write(folder, pages, Locks(folder.parent / "locks"))


def test_a_second_time_nothing_is_written(history: History, tmp_path: Path) -> None:
    believable.fill(history, SHORT)
    first = site.write(history, tmp_path / "site")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*.*")}

    second = site.write(history, tmp_path / "site")

    assert (second.written, second.removed) == ((), ())
    assert second.unchanged == len(first.written)
    assert second.bytes == first.bytes
    pages = [path for path in times if path.suffix in (".html", ".csv", ".css", ".js")]
    assert {path: path.stat().st_mtime_ns for path in pages} == {p: times[p] for p in pages}


def test_pages_of_what_is_gone_are_removed_and_others_stay(
    history: History, tmp_path: Path
) -> None:
    believable.fill(history, SHORT)
    site.write(history, tmp_path / "site")
    (tmp_path / "site" / "nights" / "2.html").write_text("changed by somebody")
    (tmp_path / "site" / "CNAME").write_text("example.invalid")

    done = site.write(history, tmp_path / "site", nights=3)

    assert set(done.removed) == {"nights/1.html", "nights/3.html"}
    assert (tmp_path / "site" / "nights" / "2.html").read_text() == "changed by somebody"
    assert (tmp_path / "site" / "CNAME").is_file()


def test_a_file_of_somebody_else_is_not_overwritten(history: History, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")

    with pytest.raises(UsageError, match=r"index\.html is there and was not written by this"):
        site.write(history, tmp_path / "site")

    assert (tmp_path / "site" / "index.html").read_text() == "mine"


@pytest.mark.parametrize("name", ["../x.html", "a/../../x", "/x", ".x", "a\\b", "c:x", ""])
def test_no_page_is_written_outside_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a page"):
        put(tmp_path / "site", {name: lambda: "text"})


def test_whoever_is_stopped_leaves_whole_pages_that_are_still_ours(tmp_path: Path) -> None:
    def stop() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(tmp_path / "site", {"a.html": lambda: "a", "b.html": stop})
    done = put(tmp_path / "site", {"c.html": lambda: "c"})

    assert done.removed == ("a.html",)
    assert (tmp_path / "site" / "c.html").read_text() == "c"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_kill_leaves_whole_pages_and_the_next_run_clears_up(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from orchestrator.history.site import write_pages\n"
        "from orchestrator.base.file_mutex import Locks\n"
        "Path.replace = lambda self, to: (os.kill(os.getpid(), signal.SIGKILL)"
        " if to.name == 'b.html' else os.replace(self, to))\n"
        "pages = {name: lambda: 'x' * 100_000 for name in ('a.html', 'b.html')}\n"
        "write_pages.write(Path(sys.argv[1]), pages, Locks(Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "locks")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(folder.glob(".b.html.*.part"))) == 1
    assert not (folder / "b.html").exists()

    done = put(folder, {"a.html": lambda: "x" * 100_000})

    assert (done.unchanged, done.removed) == (1, ())
    assert not list(folder.glob(".*.part"))


def test_pages_of_a_store_that_can_only_be_read_are_written(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    believable.fill(history, SHORT)
    store = history.path.parent
    able = os.access
    monkeypatch.setattr(  # root may write anywhere
        os, "access", lambda path, mode: Path(path) != store and able(path, mode)
    )

    done = site.write(history, tmp_path / "site")

    assert "index.html" in done.written
    assert not (store / "locks").exists()


@pytest.mark.parametrize("damage", ["", "[]", '{"pages": 3}', '{"pages": {"../x": ""}}'])
def test_a_damaged_list_is_no_reason_to_remove_anything(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    put(folder, {"a.html": lambda: "a"})
    (tmp_path / "x").touch()
    (folder / write_pages.LIST).write_text(damage)

    done = put(folder, {"b.html": lambda: "b"})

    assert done.removed == ()
    assert (folder / "a.html").is_file()
    assert (tmp_path / "x").is_file()


def test_two_processes_at_once_write_the_same_site(history: History, tmp_path: Path) -> None:
    believable.fill(history, SHORT)
    code = (
        "import sys; from pathlib import Path; from orchestrator.history import site\n"
        "from orchestrator.history import History\n"
        "site.write(History(Path(sys.argv[1])), Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", code, str(history.path.parent), str(tmp_path / "site")]

    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]

    assert [(one.communicate()[1], one.returncode) for one in both] == [("", 0), ("", 0)]
    assert site.write(history, tmp_path / "site").written == ()
    assert not list((tmp_path / "site").rglob("*.part"))


def test_what_was_done_is_told_as_json(history: History, tmp_path: Path) -> None:
    done = site.write(history, tmp_path / "site").as_json()

    assert json.loads(json.dumps(done)) == done
    assert set(done) == {"folder", "written", "removed", "unchanged", "bytes"}
