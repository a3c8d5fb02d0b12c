"""From a finished run to a repository on the Hub, with huggingface_hub's real client."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from tests.hub import Fault, Hub
from tests.support.publications import HUB_NAME, TO_HUB, RecipeFolder, front_matter, published

Q4 = "small-2.1M-Q4_0.gguf"


def sent(hub: Hub) -> dict[str, int]:
    """Bytes that arrived in the storage, by the first letters of their digest."""
    found: dict[str, int] = {}
    for one in hub.requests:
        if one.method == "PUT":
            found[one.target[:8]] = found.get(one.target[:8], 0) + one.received
    return found


def digest(recipe_folder: RecipeFolder, file: str) -> str:
    return str(json.loads((recipe_folder.dist / "report.json").read_text())["dist"][file]["sha256"])


def until_half_is_there(hub: Hub, oid: str, process: subprocess.Popen[str]) -> None:
    """Wait until the upload that stalls has begun."""
    end = time.monotonic() + 60
    while not any(one.target == oid and one.received >= 200_000 for one in hub.requests):
        assert process.poll() is None
        assert time.monotonic() < end, "the upload did not begin"


def test_one_commit_has_all_files(finished: RecipeFolder, hub: Hub) -> None:
    said = finished.publish(*TO_HUB, "--message", "First words")
    assert said.code == 0, said.err
    first, second = hub.written.commits[HUB_NAME]
    assert (first.summary, second.summary) == ("initial commit", "First words")
    assert second.parent == first.oid
    assert len(second.added) == 14
    finished.publish("--to", "dir:out")
    ours = published(finished.place / "out")
    theirs = published(hub.repos["models"][HUB_NAME].folder)
    own = {".gitattributes", "README.md", "publish.json", "Modelfile", "SHA256SUMS"}
    same = {*ours, *theirs} - own
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert said.out.splitlines()[0] == f"small to hub:{HUB_NAME} (to be made)"
    assert said.out.splitlines()[-1].endswith(f"in commit {second.oid[:12]}: {hub.url}/{HUB_NAME}")


def test_a_repeated_publication_asks_once_and_sends_nothing(
    finished: RecipeFolder, hub: Hub
) -> None:
    finished.publish(*TO_HUB)
    before, commits = len(hub.requests), len(hub.written.commits[HUB_NAME])
    said = finished.publish(*TO_HUB)
    assert said.code == 0
    assert "Everything was there already" in said.out
    [only] = hub.requests[before:]
    assert (only.method, only.received) == ("GET", 0)
    assert len(hub.written.commits[HUB_NAME]) == commits


def test_the_card_is_one_that_the_hub_takes(finished: RecipeFolder, hub: Hub) -> None:
    finished.publish(*TO_HUB)
    assert hub.asked("validate", "POST")
    card = (hub.repos["models"][HUB_NAME].folder / "README.md").read_text()
    told = front_matter(card)
    assert (told["quantized_by"], told["license"]) == ("me", "mit")
    assert "# small-GGUF" in card
    assert f"llama-server -hf {HUB_NAME}:Q4_0\n" in card
    assert f"hf download {HUB_NAME} --include {Q4} --local-dir ." in card
    assert f"docker model run hf.co/{HUB_NAME}:Q4_0" in card
    assert f"Llama.from_pretrained('{HUB_NAME}', filename='{Q4}')" in card
    assert f"ollama run hf.co/{HUB_NAME}:Q4_0" in card
    assert f"lms get https://huggingface.co/{HUB_NAME}" in card


def test_a_card_that_the_hub_does_not_take_is_told_before_anything_is_sent(
    finished: RecipeFolder, hub: Hub
) -> None:
    finished.write(license="mit", languages=["de-AT"])
    said = finished.publish(*TO_HUB)
    assert said.code == 1
    assert 'refused the front matter of the model card: "language" must only' in said.err
    assert len(hub.written.commits[HUB_NAME]) == 1
    assert sent(hub) == {}


def test_only_what_differs_is_sent(finished: RecipeFolder, hub: Hub) -> None:
    finished.publish(*TO_HUB)
    hub.requests.clear()
    finished.write(license="mit", tags=["new"])
    said = finished.publish(*TO_HUB)
    assert said.code == 0, said.err
    last = hub.written.commits[HUB_NAME][-1]
    small = {"README.md", "SHA256SUMS", "publish.json", "small.yaml"}
    assert set(last.added) == {*small, "report.json", "report.md"}  # they state its digest
    assert sent(hub) == {}


def test_files_that_are_no_longer_made_go_in_the_same_commit(
    finished: RecipeFolder, hub: Hub
) -> None:
    finished.publish(*TO_HUB)
    hub.written.put(HUB_NAME, "theirs.txt", b"of somebody else")
    finished.write(finished.recipe.read_text().replace("[Q4_0, ", "["))
    finished.run()
    assert finished.publish(*TO_HUB).code == 0
    last = hub.written.commits[HUB_NAME][-1]
    assert last.deleted == (Q4, f"{Q4}.provenance.json")
    assert "README.md" in last.added
    assert (hub.repos["models"][HUB_NAME].folder / "theirs.txt").is_file()


def test_a_file_that_others_changed_there_stays(finished: RecipeFolder, hub: Hub) -> None:
    finished.publish(*TO_HUB)
    hub.written.put(HUB_NAME, f"{Q4}.provenance.json", b"edited")
    finished.write(finished.recipe.read_text().replace("[Q4_0, ", "["))
    finished.run()
    said = finished.publish(*TO_HUB)
    assert f"{Q4}.provenance.json is no longer made but was changed since; it stays" in said.out
    assert hub.written.commits[HUB_NAME][-1].deleted == (Q4,)


def test_an_interrupted_publication_goes_on(
    finished: RecipeFolder, hub: Hub, pauses: list[float]
) -> None:
    oid = digest(finished, "small-IQ4_XS.gguf")
    hub.fault(oid, Fault("drop", times=99, after=200_000, method="PUT"))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "cannot be reached" in said.err
    assert len(hub.written.commits[HUB_NAME]) == 1
    hub._faults.clear()
    hub.requests.clear()
    assert finished.publish(*TO_HUB).code == 0
    assert hub.asked(oid, "PUT")
    assert not hub.asked(digest(finished, "small-Q4_0.gguf"), "PUT")


def half_way(finished: RecipeFolder, hub: Hub, oid: str) -> subprocess.Popen[str]:
    """A publication in a process of its own that has sent a part of one file."""
    program = "from orchestrator.cli import main; main()"
    words = [sys.executable, "-c", program, "publish", str(finished.recipe), *TO_HUB]
    process = subprocess.Popen(
        words, cwd=finished.place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until_half_is_there(hub, oid, process)
    return process


def test_a_killed_publication_goes_on(finished: RecipeFolder, hub: Hub) -> None:
    oid = digest(finished, "small-IQ4_XS.gguf")
    hub.fault(oid, Fault("stall", after=200_000, method="PUT"))
    process = half_way(finished, hub, oid)
    process.kill()
    process.wait()
    first = dict(sent(hub))
    assert first[digest(finished, "small-Q4_0.gguf")[:8]] > 1_000_000
    hub.requests.clear()
    said = finished.publish(*TO_HUB)
    assert said.code == 0, said.err
    assert hub.asked(oid, "PUT")
    assert not hub.asked(digest(finished, "small-Q4_0.gguf"), "PUT")
    assert len(hub.written.commits[HUB_NAME]) == 2


def test_ctrl_c_ends_at_once_with_its_own_code(finished: RecipeFolder, hub: Hub) -> None:
    oid = digest(finished, "small-Q4_0.gguf")
    hub.fault(oid, Fault("stall", after=200_000, method="PUT"))
    process = half_way(finished, hub, oid)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again" in err


@pytest.mark.parametrize("target", ["create", "preupload", "batch", "verify", "commit"])
def test_a_server_that_is_down_for_a_moment(
    finished: RecipeFolder, hub: Hub, pauses: list[float], target: str
) -> None:
    hub.fault(target, Fault("status", status=503, method="POST"))
    said = finished.publish(*TO_HUB)
    assert said.code == 0, said.err
    assert pauses
    assert len(hub.written.commits[HUB_NAME]) == 2


@pytest.mark.parametrize("target", ["create", "batch", "commit"])
def test_limits_are_respected_as_long_as_they_ask_for(
    finished: RecipeFolder, hub: Hub, pauses: list[float], target: str
) -> None:
    fault = Fault("status", status=429, headers={"Retry-After": "41"}, method="POST")
    hub.fault(target, fault)
    said = finished.publish(*TO_HUB)
    assert said.code == 0
    assert target == "batch" or "waits for the Hub, 41 s" in said.err
    assert max(pauses) in (41.0, 42.0)  # the client itself waits a second more


def test_limits_that_do_not_end_are_told(
    finished: RecipeFolder, hub: Hub, pauses: list[float]
) -> None:
    hub.fault("commit", Fault("status", times=99, status=429, method="POST"))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "still limits our requests" in said.err


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    finished: RecipeFolder, hub: Hub, pauses: list[float]
) -> None:
    hub.fault("commit", Fault("lost", status=504, method="POST"))
    said = finished.publish(*TO_HUB)
    assert said.code == 0, said.err
    assert len(hub.written.commits[HUB_NAME]) == 2


def test_others_who_were_faster_are_kept(
    finished: RecipeFolder, hub: Hub, pauses: list[float]
) -> None:
    def faster() -> None:
        hub.written.put(HUB_NAME, "a.txt", b"1")

    hub.written.before_commit.append(faster)
    said = finished.publish(*TO_HUB)
    assert said.code == 0, said.err
    assert len(hub.asked("commit", "POST")) == 2
    assert (hub.repos["models"][HUB_NAME].folder / "a.txt").is_file()
    assert [one.summary for one in hub.written.commits[HUB_NAME]] == [
        "initial commit",
        "by hand",
        "Publish small",
    ]
    assert sum(one.method == "PUT" for one in hub.requests) == 3  # two models and the matrix


def test_others_who_are_always_faster_are_told(
    finished: RecipeFolder, hub: Hub, pauses: list[float]
) -> None:
    hub.fault("commit", Fault("status", times=99, status=412, method="POST"))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "HTTP 412" in said.err


def test_large_files_go_in_parts(finished: RecipeFolder, hub: Hub) -> None:
    hub.written.part_size = 400_000
    assert finished.publish(*TO_HUB).code == 0
    oid = digest(finished, "small-Q4_0.gguf")
    assert len(hub.asked(oid, "PUT")) == 4
    assert (hub.written.objects / oid).is_file()
