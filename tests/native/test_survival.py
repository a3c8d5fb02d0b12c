"""Kills, interruptions, rivals, full disks and damage, each of them for real."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from tests.support.interrupted_runs import AFTER_CONVERTING, assert_whole, rubbish
from tests.support.typed_commands import (
    STATED,
    TINY,
    TYPES,
    Running,
    artifacts,
    ended,
    eventually,
    processes,
    typed,
    variant,
)


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_run_that_ends_while_a_tool_works_goes_on(
    without: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    home, log = without("convert", *AFTER_CONVERTING), tmp_path / "log"
    words = ("run", TINY, "--out", tmp_path / "dist", "-t", "1", "--log-json", log)
    first = Running(*words, home=home)
    first.until("… convert")
    eventually(
        lambda: any("convert_hf_to_gguf.py" in one for one in processes(home).values()),
        "the converter's start",
    )
    getattr(first, how)()
    code = first.ended()
    if how == "kill":
        assert code == -signal.SIGKILL
        eventually(lambda: not processes(home), "the end of the converter")
    else:
        assert code == 130, first.text
        assert "interrupted" in first.text
        assert "Traceback" not in first.text
        assert processes(home) == {}
        assert rubbish(home) == []
    assert "convert" not in artifacts(home)
    assert not (tmp_path / "dist").exists()
    again = Running(*words, home=home)
    assert again.ended() == 0, again.text
    assert_whole(home, tmp_path / "dist")
    assert max(ended(log, "done").values()) == 1


def test_kills_at_every_step_repeat_nothing_that_was_done(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    """One run after the other is ended after a few lines of its output."""
    home, log = without(*AFTER_CONVERTING), tmp_path / "log"
    words = ("run", TINY, "--out", tmp_path / "dist", "-t", "1", "--log-json", log)
    ends: list[int] = []
    for patience in itertools.cycle((1, 4, 9)):
        running = Running(*words, home=home)
        steps = (line for line in running if line.startswith(("… ", "✓ ")))
        if len(list(itertools.islice(steps, patience))) < patience:
            break
        (running.kill if len(ends) % 2 else running.interrupt)()
        ends.append(running.ended())
        eventually(lambda: not processes(home), "the end of all tools")
        assert len(ends) < 40, running.text
    assert running.ended() == 0, running.text
    assert len(ends) > 5
    assert set(ends) <= {-signal.SIGKILL, 130, 0}
    assert_whole(home, tmp_path / "dist")
    assert max(ended(log, "done").values()) == 1
    assert not ended(log, "failed")


def test_two_runs_of_one_recipe_share_the_work(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without("convert", *AFTER_CONVERTING)
    logs = [tmp_path / "log-a", tmp_path / "log-b"]
    words = ("run", TINY, "--out", tmp_path / "dist", "-t", "1", "--log-json")
    both = [Running(*words, log, home=home) for log in logs]
    codes = [one.ended() for one in both]
    assert codes == [0, 0], "\n\n".join(one.text for one in both)
    done = sum((ended(log, "done") for log in logs), Counter[str]())
    assert set(done.values()) == {1}
    assert sum(label.startswith("quantize") for label in done) == len(TYPES)
    assert any("waits for process" in line for one in both for line in one.lines)
    assert_whole(home, tmp_path / "dist")


def test_the_waiting_one_takes_over_when_the_working_one_is_killed(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without("convert", *AFTER_CONVERTING)
    words = ("run", TINY, "--out", tmp_path / "dist", "-t", "1", "--no-verify")
    working = Running(*words, home=home)
    working.until("… convert")
    waiting = Running(*words, home=home)
    waiting.until("… convert tiny-llama to F16: waits for process")
    working.kill()
    assert waiting.ended() == 0, waiting.text
    assert working.ended() == -signal.SIGKILL
    assert_whole(home, tmp_path / "dist")


@pytest.mark.parametrize(
    ("missing", "limit", "who"),
    [
        (("convert", *AFTER_CONVERTING), 2_000_000, "convert tiny-llama to F16"),
        (AFTER_CONVERTING, 800_000, "quantize tiny-llama to Q4_0"),
        (("measure", "logits"), 800_000, "perplexity of tiny-llama F16"),
    ],
)
def test_a_file_size_limit_is_a_full_disk(
    without: Callable[..., Path], tmp_path: Path, missing: tuple[str, ...], limit: int, who: str
) -> None:
    home = without(*missing)
    words = ("run", TINY, "--out", tmp_path / "dist", "-t", "1")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    running = Running(*words, home=home, preexec_fn=limited)
    assert running.ended() == 3, running.text
    [sentence] = [line for line in running.lines if line.startswith(f"error: {who} failed")]
    assert "full" in sentence
    assert " needed, " in sentence
    assert rubbish(home) == []
    assert processes(home) == {}
    assert typed(*words).code == 0
    assert_whole(home, tmp_path / "dist")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, with room for a store to which other tests have added."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)],
        check=False,
        capture_output=True,
    )
    if made.returncode != 0:
        pytest.skip("only root may mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_while_a_tool_writes(
    without: Callable[..., Path], small_disk: Path, tmp_path: Path
) -> None:
    home = small_disk / "store"
    without("convert", *AFTER_CONVERTING).rename(tmp_path / "made")
    subprocess.run(["cp", "-a", str(tmp_path / "made"), str(home)], check=True)
    words = ("run", TINY, "--out", small_disk / "dist", "-t", "1")
    running = Running(*words, home=home)
    running.until("… convert")
    filler = small_disk / "filler"
    free = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 3_000_000))
    assert running.ended() == 3, running.text
    assert "failed: the disk is full" in running.text
    assert "4.22 MB needed" in running.text
    assert rubbish(home) == []
    refused = typed(*words, home=home)
    assert refused.code == 3
    assert "of disk are needed at the peak" in refused.err
    filler.unlink()
    assert typed(*words, home=home).code == 0
    assert_whole(home, small_disk / "dist")


def test_a_flipped_byte_is_found_and_repaired(without: Callable[..., Path], tmp_path: Path) -> None:
    home, words = without(), ("run", TINY, "--out", tmp_path / "dist", "-t", "1")
    assert typed(*words).code == 0
    published = tmp_path / "dist" / "tiny-llama" / "tiny-llama-Q4_0.gguf"
    [stored] = [
        folder / "files" / "model.gguf"
        for folder in artifacts(home)["quantize"]
        if file_sha256(folder / "files" / "model.gguf") == STATED["Q4_0"]
    ]
    stored.chmod(0o644)
    with stored.open("r+b") as file:
        file.seek(700_000)
        byte = file.read(1)
        file.seek(700_000)
        file.write(bytes([byte[0] ^ 1]))
    assert file_sha256(published) != STATED["Q4_0"]  # a hard link of it
    found = typed("store", "verify")
    assert found.code == 1
    assert "damaged: quantize tiny-llama to Q4_0: model.gguf" in found.out
    said = typed(*words)
    assert said.code == 0, said.all
    assert "✓ quantize tiny-llama to Q4_0" in said.err
    assert said.err.count("✓") == 1
    assert_whole(home, tmp_path / "dist")


def flipped(path: Path) -> None:
    """A byte changed in place, and the modification time set back."""
    before, data = path.stat(), bytearray(path.read_bytes())
    path.chmod(0o644)
    data[700_000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_no_command_speaks_of_a_changed_file_as_if_it_were_whole(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home, to = without(), ("--to", f"dir:{tmp_path / 'published'}")
    recipe = (TINY, "--out", tmp_path / "dist")
    assert typed("run", *recipe, "-t", "1").code == 0
    path = tmp_path / "dist" / "tiny-llama" / "tiny-llama-Q4_0.gguf"
    for command in (("verify",), ("publish", *to), ("publish", *to, "--dry-run")):
        flipped(path)
        said = typed(command[0], *recipe, *command[1:])
        assert said.code != 0
        assert "damaged" in said.err or "was changed since it was made" in said.err
        again = typed("run", *recipe, "-t", "1")
        assert again.code == 0, again.all
        assert_whole(home, tmp_path / "dist")
    assert typed("publish", *recipe, *to).code == 0


def test_a_cut_artifact_is_made_again(without: Callable[..., Path], tmp_path: Path) -> None:
    home = without()
    [full] = artifacts(home)["convert"]
    (full / "files" / "model.gguf").chmod(0o644)
    os.truncate(full / "files" / "model.gguf", 1_000_000)
    more = {"quantize": ["Q5_0"]}  # not made yet, so that it is read
    words = ("run", variant(tmp_path, more), "--out", tmp_path / "dist", "-t", "1")
    said = typed(*words, "--no-verify")
    assert said.code == 0, said.all
    assert "warning: the stored result of convert tiny-llama to F16 is damaged" in said.err
    assert "✓ convert tiny-llama to F16" in said.err
    assert typed("store", "verify").code == 0
