"""What is not published, and why."""

from __future__ import annotations

import json
import re

import pytest

from orchestrator.base.step_values import JSON, Task
from tests.support.fake_steps import measured
from tests.support.publications import CHATML, RecipeFolder, weights

TO = ("--to", "dir:out")


def refused(
    recipe_folder: RecipeFolder, code: int, *words: str, options: tuple[str, ...] = ()
) -> None:
    said = recipe_folder.publish(*TO, *options)
    assert said.code == code, said.err
    for word in words:
        assert word in said.err
    assert not (recipe_folder.place / "out").exists()


def nonsense(task: Task) -> dict[str, JSON]:
    """Measures of a good recipe whose Q4_0 writes nonsense."""
    if task.step.params["measure"].startswith("smoke") and "Q4_0" in task.step.label:
        return {**measured(task), "text": "nonsense"}
    return measured(task)


def test_a_file_that_failed(recipe_folder: RecipeFolder) -> None:
    recipe_folder.work["measure"] = nonsense
    assert recipe_folder.run().code == 1
    refused(
        recipe_folder,
        1,
        "small-Q4_0.gguf failed: smoke",
        "run again",
        options=("--allow-warnings",),
    )


def test_a_file_with_warnings_unless_they_are_allowed(recipe_folder: RecipeFolder) -> None:
    text = recipe_folder.recipe.read_text().replace(
        "type: IQ4_XS,", "type: IQ4_XS, allow_fallback: true,"
    )
    recipe_folder.write(text)
    one = {"tensor": "a", "columns": "5", "got": "Q5_0", "wanted": "IQ4_XS"}

    def fell_back(task: Task) -> dict[str, JSON]:
        fallbacks = [one] if task.step.params["type"] == "IQ4_XS" else []
        return {**weights(task, None), "fallbacks": fallbacks}

    recipe_folder.work["quantize"] = fell_back
    assert recipe_folder.run().code == 0
    refused(recipe_folder, 1, "small-IQ4_XS.gguf passed with warnings: census", "--allow-warnings")
    assert recipe_folder.publish(*TO, "--allow-warnings").code == 0
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert re.search(r"Warnings \(\[details\]\(report\.md\)\): 1 of \S+ .*: IQ4\\?_XS\.", card)


def test_a_file_that_nobody_verified(recipe_folder: RecipeFolder) -> None:
    assert recipe_folder.run("--no-verify").code == 0
    refused(recipe_folder, 1, "was not verified", options=("--allow-warnings",))


def test_a_run_for_stand_in_models(recipe_folder: RecipeFolder) -> None:
    assert recipe_folder.run("--no-limits").code == 0
    refused(recipe_folder, 1, "--no-limits")


def test_a_type_that_is_in_the_recipe_and_not_in_the_run(finished: RecipeFolder) -> None:
    finished.run("--only", "Q4_0")
    refused(finished, 1, "small-IQ4_XS.gguf was not verified")


@pytest.mark.parametrize("name", ["small-Q4_0.gguf", "small-Q4_0.gguf.provenance.json"])
def test_a_file_that_was_changed_since(finished: RecipeFolder, name: str) -> None:
    path = finished.dist / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(data)
    refused(finished, 2, f"{name} was changed since it was made", "orchestrate run")


def test_a_file_that_is_missing(finished: RecipeFolder) -> None:
    (finished.dist / "small-Q4_0.gguf").unlink()
    refused(finished, 2, "small-Q4_0.gguf is missing")


def test_a_file_of_somebody_else(finished: RecipeFolder) -> None:
    (finished.dist / "small-Q9.gguf").write_text("x")
    refused(finished, 2, "small-Q9.gguf was not made by this recipe's runs")


def test_what_reproducing_leaves_is_no_foreign_file(finished: RecipeFolder) -> None:
    (finished.dist / "reproduce.json").write_text("{}")
    assert finished.publish(*TO).code == 0


def test_a_report_that_was_made_better_by_hand(recipe_folder: RecipeFolder) -> None:
    recipe_folder.work["measure"] = nonsense
    recipe_folder.run()
    files = json.loads((recipe_folder.dist / "report.json").read_text())["files"]
    for row in files:
        row["status"] = "pass"
    recipe_folder.edit(status="pass", files=files)
    refused(recipe_folder, 1, "small-Q4_0.gguf failed: smoke")
    for row in files:
        row["checks"] = [{**check, "status": "pass"} for check in row["checks"]]
    recipe_folder.edit(files=files)
    refused(recipe_folder, 2, "report.md does not say what report.json says")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"measures": {"perplexity": "good"}}, "is not the report of a run"),
        ({"file": 5}, "is not the report of a run"),
        ({"checks": [{"name": "x", "status": "pass", "message": "", "numbers": "1"}]}, "is not"),
        ({"size": None}, "was changed since its run"),
        ({"praise": 5}, "was changed since its run"),
        ({"kld": 0.5}, "was changed since its run"),
        ({"type": "Q5_0"}, "does not say what report.json says"),
    ],
)
def test_a_row_that_was_edited_by_hand(
    finished: RecipeFolder, change: dict[str, JSON], why: str
) -> None:
    [first, *others] = json.loads((finished.dist / "report.json").read_text())["files"]
    finished.edit(files=[{**first, **change}, *others])
    refused(finished, 2, why, "orchestrate run")


def test_a_file_that_was_swapped_together_with_its_record(finished: RecipeFolder) -> None:
    path = finished.dist / "small-Q4_0.gguf"
    path.unlink()
    path.write_bytes((finished.dist / "small-IQ4_XS.gguf").read_bytes())
    record = json.loads((finished.dist / "report.json").read_text())["dist"]
    finished.edit(dist={**record, path.name: record["small-IQ4_XS.gguf"]})
    refused(finished, 2, "small-Q4_0.gguf is not the file that was verified")


def test_a_report_without_end(finished: RecipeFolder) -> None:
    (finished.dist / "report.json").write_text("[" * 100_000)
    refused(finished, 2, "holds no report.json")


def test_a_home_of_nobody(finished: RecipeFolder) -> None:
    said = finished.publish("--to", "dir:~nobody0/x")
    assert said.code == 2
    assert "~nobody0/x names the home of a user whom this machine does not know" in said.err


def test_no_run_at_all(recipe_folder: RecipeFolder) -> None:
    refused(recipe_folder, 2, "holds no report.json", "orchestrate run")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"files": [{}]},
        {"dist": {"a": {}}},
        {"dist": []},
        {"dist": {"a": {"size": "1", "sha256": ""}}},
        {"pins": [1]},
        {"pins": {"recipe": 5}},
        {"description": {"a": 1}},
    ],
)
def test_a_report_of_another_kind(finished: RecipeFolder, change: dict[str, JSON]) -> None:
    finished.edit(**change)
    said = finished.publish(*TO)
    assert said.code == 2
    assert "report.json is" in said.err


def test_a_recipe_that_says_something_else_now(finished: RecipeFolder) -> None:
    finished.write(finished.recipe.read_text().replace("chunks: 8", "chunks: 9"))
    refused(finished, 2, "small.yaml was changed since its files were made")


def test_a_model_that_is_another_now(finished: RecipeFolder) -> None:
    (finished.place / "model" / "config.json").write_text('{"model_type": "llama"}')
    refused(finished, 2, "small-Q4_0.gguf would be made differently now")


def test_only_the_section_publish_may_change_without_a_run(finished: RecipeFolder) -> None:
    finished.write(license="apache-2.0", tags=["new"])
    assert finished.publish(*TO).code == 0


def test_a_licence_that_is_not_free(finished: RecipeFolder) -> None:
    finished.write(license="llama3.1")
    refused(finished, 2, "llama3.1 are not published by default", "redistribute: true")
    finished.write(license="llama3.1", redistribute=True)
    assert finished.publish(*TO).code == 0


def test_the_sources_own_licence_counts_where_the_recipe_names_none(finished: RecipeFolder) -> None:
    (finished.place / "model" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    finished.write(tags=["x"])
    assert finished.run().code == 0
    refused(finished, 2, "cc-by-nc-4.0", "forbids commercial use")


def test_redistribute_false(finished: RecipeFolder) -> None:
    finished.write(license="mit", redistribute=False)
    refused(finished, 2, "must not be redistributed")


def test_a_chat_template_that_is_not_the_sources(recipe_folder: RecipeFolder) -> None:
    recipe_folder.source(chat_template=CHATML)
    recipe_folder.template = CHATML.replace("im_start", "im_begin")
    recipe_folder.run()
    refused(recipe_folder, 1, "its chat template is not that of the model (tokenizer_config.json)")


def test_a_chat_template_that_was_lost(recipe_folder: RecipeFolder) -> None:
    recipe_folder.source(chat_template=CHATML)
    recipe_folder.run()
    refused(recipe_folder, 1, "its chat template is missing")


@pytest.mark.parametrize("to", ["", "hub:x", "hub:a/b/c", "dir:", "ftp://x", "hub:../x"])
def test_no_such_place(finished: RecipeFolder, to: str) -> None:
    said = finished.publish("--to", to)
    assert said.code == 2
    assert "hub:ORG/NAME" in said.err


def test_the_runs_own_folder_is_no_place(finished: RecipeFolder) -> None:
    said = finished.publish("--to", "dir:dist/../dist/small")
    assert said.code == 2
    assert "is the folder of the run itself" in said.err


def test_a_file_is_no_place(finished: RecipeFolder) -> None:
    said = finished.publish("--to", "dir:dist/small/report.json")
    assert said.code == 2
    assert "report.json is no folder" in said.err


def test_the_hub_offline(finished: RecipeFolder) -> None:
    said = finished.publish("--to", "hub:me/x", "--offline")
    assert said.code == 3
    assert "cannot be reached offline" in said.err


def test_a_file_that_is_too_large_for_a_tool_chain_that_cannot_split(
    finished: RecipeFolder,
) -> None:
    from orchestrator.toolchain import load

    chain = load.load("llama.cpp")
    verbs = {name: verb for name, verb in chain.verbs.items() if name != "split"}
    lesser = chain.model_copy(update={"verbs": verbs})
    finished.monkeypatch.setattr(load, "load", lambda *_: lesser)
    refused(finished, 2, "cannot split files", options=("--max-file", "1MB"))


def test_a_largest_size_of_nothing_is_not_taken_for_none(recipe_folder: RecipeFolder) -> None:
    refused(recipe_folder, 2, "--max-file must be more than 0 bytes", options=("--max-file", "0"))
