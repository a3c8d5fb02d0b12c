"""Small texts that are published beside files, such as their provenance."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.engine.digest_cache import Digests
from orchestrator.runs.output_folder import REPORT_JSON, SUMS, Wanted, publish_files
from orchestrator.runs.small_text import Text

TEXT = "weights.gguf.provenance.json"


def publish(folder: Path, texts: dict[str, str], keep: tuple[str, ...] = ()) -> None:
    weights = folder / "weights.gguf"
    weights.write_bytes(b"weights")
    files = {weights.name: Wanted(weights, hashlib.sha256(b"weights").hexdigest())}
    digests = Digests(folder / "digests.sqlite", pytest.fail)
    told = {name: Text(text, partial(str, text)) for name, text in texts.items()}
    publish_files(folder / "dist", files, {}, str, keep, digests=digests, texts=told)


def test_texts_are_summed_and_recorded_like_files(tmp_path: Path) -> None:
    publish(tmp_path, {TEXT: "told\n"})

    digest = hashlib.sha256(b"told\n").hexdigest()
    assert (tmp_path / "dist" / TEXT).read_text() == "told\n"
    assert f"{digest}  {TEXT}\n" in (tmp_path / "dist" / SUMS).read_text()
    record = json.loads((tmp_path / "dist" / REPORT_JSON).read_text())["dist"]
    assert record[TEXT] == {"size": 5, "sha256": digest}


def test_a_text_that_says_the_same_is_not_touched(tmp_path: Path) -> None:
    publish(tmp_path, {TEXT: "told\n"})
    before = (tmp_path / "dist" / TEXT).stat()

    publish(tmp_path, {TEXT: "told\n"})

    after = (tmp_path / "dist" / TEXT).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_text_that_is_no_longer_made_goes_unless_it_is_kept(tmp_path: Path) -> None:
    publish(tmp_path, {TEXT: "told\n"})
    publish(tmp_path, {}, keep=(TEXT,))
    assert (tmp_path / "dist" / TEXT).exists()

    publish(tmp_path, {})

    assert not (tmp_path / "dist" / TEXT).exists()


@pytest.mark.parametrize("name", ["../x", SUMS, REPORT_JSON, ".hidden"])
def test_a_text_may_not_take_the_place_of_something_else(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        publish(tmp_path, {name: "x"})
