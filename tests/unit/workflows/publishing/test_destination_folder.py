"""From a finished run to a folder, by the command line."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from orchestrator.base import safe_markdown
from orchestrator.base.step_values import JSON, Task
from tests.support.publications import CHATML, RecipeFolder, front_matter, published, weights

TO = "dir:out"
MODELS = ("small-2.1M-Q4_0.gguf", "small-2.1M-IQ4_XS.gguf")


def test_everything_is_published_and_the_sums_are_right(finished: RecipeFolder) -> None:
    said = finished.publish("--to", TO)
    assert said.code == 0, said.err
    found = published(finished.place / "out")
    told = [f"{name}.provenance.json" for name in MODELS]
    others = ["LICENSE", "Modelfile", "README.md", "SHA256SUMS", "imatrix.gguf", "publish.json"]
    others += ["quality.svg"]
    assert sorted(found) == sorted(
        [*MODELS, *told, *others, "report.json", "report.md", "small.yaml"]
    )
    for line in found["SHA256SUMS"].decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256(found[name]).hexdigest() == digest
    assert found[MODELS[0]] == (finished.dist / "small-Q4_0.gguf").read_bytes()
    assert found["small.yaml"] == finished.recipe.read_bytes()
    assert str(finished.place) not in (found["README.md"] + found["publish.json"]).decode()


def test_the_plan_comes_first_with_old_and_new_names_and_bytes(finished: RecipeFolder) -> None:
    said = finished.publish("--to", TO)
    lines = said.out.splitlines()
    assert lines[0] == "small to dir:out (to be made)"
    [line] = [one for one in lines if one.startswith(MODELS[0] + " ")]
    assert line.split() == [MODELS[0], "small-Q4_0.gguf", "1.50", "MB", "send"]
    assert lines[-1].startswith("Published 14 files (3.")
    assert lines[-1].endswith(": out")


def test_published_files_are_of_their_own(finished: RecipeFolder) -> None:
    """Hard links, as older versions made, are replaced: a change would be in both."""
    finished.publish("--to", TO)
    published, ours = finished.place / "out" / MODELS[0], finished.dist / "small-Q4_0.gguf"
    assert not published.samefile(ours)
    published.unlink()
    published.hardlink_to(ours)
    assert "Published 1 file (" in finished.publish("--to", TO).out
    assert not published.samefile(ours)


def test_a_byte_changed_in_a_published_file_is_told_and_put_right(finished: RecipeFolder) -> None:
    finished.publish("--to", TO)
    path = finished.place / "out" / MODELS[0]
    good, before = path.read_bytes(), path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    told = finished.publish("--to", TO, "--dry-run")
    assert [line for line in told.out.splitlines() if line.endswith(" send")]
    assert "Published 1 file (" in finished.publish("--to", TO).out
    assert path.read_bytes() == good


def test_a_second_time_touches_nothing(finished: RecipeFolder) -> None:
    finished.publish("--to", TO)
    before = {path: path.stat() for path in (finished.place / "out").iterdir()}
    said = finished.publish("--to", TO)
    assert said.code == 0
    assert said.out.splitlines()[-1] == "Everything was there already: out"
    after = {path: path.stat() for path in (finished.place / "out").iterdir()}
    assert {p: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for p, s in before.items()} == {
        p: (s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for p, s in after.items()
    }


def test_what_is_no_longer_made_goes_and_what_others_put_there_stays(
    finished: RecipeFolder,
) -> None:
    finished.publish("--to", TO)
    out = finished.place / "out"
    (out / "notes.txt").write_text("mine")
    finished.write(finished.recipe.read_text().replace("[Q4_0, ", "["))
    assert finished.run().code == 0
    said = finished.publish("--to", TO)
    assert said.code == 0, said.err
    assert not (out / MODELS[0]).exists()
    assert not (out / f"{MODELS[0]}.provenance.json").exists()
    assert (out / "notes.txt").read_text() == "mine"
    assert ", removed 2 files: " in said.out


def test_a_file_that_was_changed_there_is_not_removed_but_told(finished: RecipeFolder) -> None:
    finished.publish("--to", TO)
    out = finished.place / "out"
    (out / MODELS[0]).unlink()
    (out / MODELS[0]).write_text("other")
    finished.write(finished.recipe.read_text().replace("[Q4_0, ", "["))
    finished.run()
    said = finished.publish("--to", TO)
    assert (out / MODELS[0]).read_text() == "other"
    assert f"note: {MODELS[0]} is no longer made but was changed since; it stays" in said.out


def test_a_changed_and_a_foreign_file_in_the_way_are_replaced_and_told(
    finished: RecipeFolder,
) -> None:
    out = finished.place / "out"
    out.mkdir()
    (out / MODELS[1]).write_text("foreign")
    said = finished.publish("--to", TO)
    assert f"{MODELS[1]} was there before and not published from here; replaced" in said.out
    (out / "README.md").write_text("edited")
    said = finished.publish("--to", TO)
    assert "README.md was changed there since it was published; replaced" in said.out
    assert said.out.splitlines()[-1].startswith("Published 1 file (")


def test_another_recipes_place_is_refused(finished: RecipeFolder) -> None:
    finished.publish("--to", TO)
    record = finished.place / "out" / "publish.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "recipe": "other"}))
    said = finished.publish("--to", TO)
    assert said.code == 2
    assert "holds the files of the recipe 'other'" in said.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 1, "files": {"a": {}}, "recipe": "small"}',
        '{"format": 1, "files": {"a": {"size": "x", "sha256": ""}}, "recipe": "small"}',
        '{"format": 2, "files": {}, "recipe": "small"}',
    ],
)
def test_a_record_that_is_none_is_refused(finished: RecipeFolder, text: str) -> None:
    out = finished.place / "out"
    out.mkdir()
    (out / "publish.json").write_text(text)
    said = finished.publish("--to", TO)
    assert said.code == 2
    assert "publish.json that this program did not write" in said.err


def test_a_dry_run_changes_nothing(finished: RecipeFolder) -> None:
    said = finished.publish("--to", TO, "--dry-run")
    assert said.code == 0
    assert "14 files to send" in said.out
    assert said.out.splitlines()[-1] == "Nothing was changed (--dry-run)."
    assert not (finished.place / "out").exists()


def test_json_says_the_same_to_programs(finished: RecipeFolder) -> None:
    dry = json.loads(finished.publish("--to", TO, "--dry-run", "--json").out)
    assert (dry["dry_run"], dry["changed"], dry["url"]) == (True, False, None)
    done = json.loads(finished.publish("--to", TO, "--json").out)
    assert (done["dry_run"], done["changed"], done["url"]) == (False, True, "out")
    files = {one["name"]: one for one in done["files"]}
    assert files[MODELS[0]]["made_as"] == "small-Q4_0.gguf"
    assert {one["state"] for one in done["files"]} == {"send"}
    again = json.loads(finished.publish("--to", TO, "--json").out)
    assert (again["changed"], again["sent_bytes"]) == (False, 0)


def test_the_recipe_can_say_where(finished: RecipeFolder) -> None:
    finished.write(to="dir:beside", license="mit")
    assert finished.publish().code == 0
    assert (finished.place / "beside" / "README.md").is_file()


def test_a_lock_goes_along(finished: RecipeFolder) -> None:
    assert finished.command("lock", finished.recipe, "--offline").code == 0
    assert finished.run().code == 0
    finished.publish("--to", TO)
    ours = finished.place / "small.lock.yaml"
    assert (finished.place / "out" / ours.name).read_bytes() == ours.read_bytes()


def test_a_recipe_that_extends_another_is_published_whole(finished: RecipeFolder) -> None:
    child = finished.place / "child.yaml"
    child.write_text("extends: small.yaml\nname: child\nquantize: [Q4_0]\n")
    assert finished.command("run", child).code == 0
    said = finished.command("publish", child, "--to", TO)
    assert said.code == 0, said.err
    text = (finished.place / "out" / "child.yaml").read_text()
    assert "extends:" not in text
    (finished.place / "elsewhere.yaml").write_text(text)
    digests = [
        json.loads(finished.command("plan", finished.place / name, "--json").out)
        for name in ("child.yaml", "elsewhere.yaml")
    ]
    assert digests[0] == digests[1]


def test_where_a_place_is_not_inherited(finished: RecipeFolder) -> None:
    finished.write(to="dir:beside", license="mit")
    child = finished.place / "child.yaml"
    child.write_text("extends: small.yaml\nname: child\nquantize: [Q4_0]\n")
    said = finished.command("publish", child)
    assert said.code == 2
    assert "does not say where to publish" in said.err


@pytest.mark.parametrize("name", ["small+x.yaml", "klein (neu) ä.yaml", "a'b`c.yaml"])
def test_a_recipe_may_be_called_anything(finished: RecipeFolder, name: str) -> None:
    other = finished.place / name
    finished.recipe.rename(other)
    assert finished.command("run", other).code == 0
    said = finished.command("publish", other, "--to", TO)
    assert said.code == 0, said.err
    card = (finished.place / "out" / "README.md").read_text()
    assert f"orchestrate reproduce --no-verify {safe_markdown.shell(name)}" in card
    assert "--rederive" not in card  # the model is not published
    assert (finished.place / "out" / name).is_file()


def test_a_licence_with_terms_and_no_text_is_told(finished: RecipeFolder) -> None:
    finished.write(license="bigscience-bloom-rail-1.0", redistribute=True)
    assert "no text of the licence" not in finished.publish("--to", TO, "--dry-run").out
    (finished.place / "model" / "LICENSE").unlink()
    finished.run()
    said = finished.publish("--to", TO)
    assert said.code == 0, said.err
    assert "note: no text of the licence bigscience-bloom-rail-1.0 is in" in said.out


def test_a_licence_that_a_terminal_would_obey_is_not_published(finished: RecipeFolder) -> None:
    (finished.place / "model" / "LICENSE").write_bytes(b"You may.\x1b]0;title\x07\n")
    finished.run()
    said = finished.publish("--to", TO)
    assert said.code == 0, said.err
    assert "note: LICENSE of the model's repository holds control characters" in said.out
    assert not (finished.place / "out" / "LICENSE").exists()
    assert "(LICENSE)" not in (finished.place / "out" / "README.md").read_text()


def test_a_matrix_that_is_gone_is_told(finished: RecipeFolder) -> None:
    store = Path(os.environ["ORCHESTRATE_HOME"])
    for manifest in store.glob("artifacts/??/*/manifest.json"):
        if json.loads(manifest.read_text())["kind"] == "imatrix":
            (manifest.parent / "files" / "imatrix.gguf").chmod(0o600)
            (manifest.parent / "files" / "imatrix.gguf").unlink()
    said = finished.publish("--to", TO)
    assert said.code == 0, said.err
    assert "the importance matrix is no longer in the store" in said.out
    assert not (finished.place / "out" / "imatrix.gguf").exists()


def test_the_front_matter_holds_what_the_hub_expects(recipe_folder: RecipeFolder) -> None:
    recipe_folder.write(
        base_model="org/base", quantized_by="Ada L.", tags=["tiny"], pipeline_tag="x"
    )
    recipe_folder.run()
    recipe_folder.publish("--to", TO)
    told = front_matter((recipe_folder.place / "out" / "README.md").read_text())
    assert told == {
        "base_model": "org/base",
        "base_model_relation": "quantized",
        "language": ["en", "zh"],
        "library_name": "gguf",
        "license": "gpl-3.0",
        "pipeline_tag": "x",
        "quantized_by": "Ada L.",
        "tags": ["gguf", "llama", "quantized", "imatrix", "tiny"],
    }


def test_the_modelfile_repeats_what_the_source_states(recipe_folder: RecipeFolder) -> None:
    recipe_folder.source(chat_template=CHATML)
    config = {"temperature": 0.6, "eos_token_id": [2, 999], "stop_strings": ["User:"]}
    (recipe_folder.place / "model" / "generation_config.json").write_text(json.dumps(config))
    recipe_folder.template = CHATML
    recipe_folder.run()
    said = recipe_folder.publish("--to", TO)
    assert said.code == 0, said.err
    text = (recipe_folder.place / "out" / "Modelfile").read_text()
    assert text.splitlines()[1:] == [
        "FROM ./small-2.1M-Q4_0.gguf",
        "PARAMETER temperature 0.6",
        'PARAMETER stop "</s>"',
        'PARAMETER stop "User:"',
        'LICENSE """mit"""',
    ]
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert "llama-cli -m small-2.1M-Q4_0.gguf -p 'Why is the sky blue?'" in card
    assert "create_chat_completion" in card


def test_what_a_killed_publication_left_is_removed(finished: RecipeFolder) -> None:
    out = finished.place / "out"
    out.mkdir()
    (out / f".{MODELS[0]}.123.part").write_text("half")
    (out / ".others.123.part").write_text("of somebody else")
    assert finished.publish("--to", TO).code == 0
    assert [path.name for path in out.glob(".*")] == [".others.123.part"]


def test_the_record_is_written_last(finished: RecipeFolder) -> None:
    """A publication that breaks off leaves the old record, so that nothing is forgotten."""
    finished.publish("--to", TO)
    before = (finished.place / "out" / "publish.json").read_bytes()
    finished.write(finished.recipe.read_text().replace("[Q4_0, ", "["))
    finished.run()
    finished.monkeypatch.setattr(Path, "unlink", _refuse)
    assert finished.publish("--to", TO).code == 3
    finished.monkeypatch.undo()
    assert (finished.place / "out" / "publish.json").read_bytes() == before


def _refuse(path: Path, missing_ok: bool = False) -> None:
    if not missing_ok:
        raise PermissionError(13, "not allowed", str(path))


def test_a_matrix_of_others_is_named_and_stays_theirs(recipe_folder: RecipeFolder) -> None:
    (recipe_folder.place / "theirs.dat").write_bytes(bytes(9))
    text = recipe_folder.recipe.read_text()
    recipe_folder.write(text.replace("{corpus: words.txt, chunks: 2}", "{file: theirs.dat}"))
    assert recipe_folder.run().code == 0

    said = recipe_folder.publish("--to", TO)

    assert said.code == 0, said.err
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert "| Importance matrix | `theirs.dat` |" in card
    assert "imatrix" in front_matter(card)["tags"]
    names = {path.name for path in (recipe_folder.place / "out").iterdir()}
    assert not names & {"theirs.dat", "imatrix.gguf"}


@pytest.mark.parametrize("same_tensors", [True, False])
def test_a_change_of_the_header_alone_is_told_as_that(
    recipe_folder: RecipeFolder, *, same_tensors: bool
) -> None:
    recipe_folder.run()
    recipe_folder.publish("--to", TO)
    recipe_folder.source(chat_template=CHATML)
    recipe_folder.template = CHATML

    def made(task: Task) -> dict[str, JSON]:
        facts = weights(task, CHATML)
        if not same_tensors:
            path = task.workdir / task.step.params["file"]
            path.write_bytes(path.read_bytes()[:-1] + b"!")
        return facts

    recipe_folder.work["quantize"] = made
    recipe_folder.run()

    said = recipe_folder.publish("--to", TO)

    told = f"note: {MODELS[0]}: only its header is another; all tensors are as they were"
    assert said.code == 0, said.err
    assert (told in said.out) is same_tensors
