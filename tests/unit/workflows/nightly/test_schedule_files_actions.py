"""The workflow for GitHub Actions: linters accept it, and no word of the user is changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.workflows.nightly.schedule_files import Job, render
from tests.support.schedules import NAMES, WORDS, called, job, program

FORMS = {
    "plain": ("recipes/",),
    "site": ("recipes/", "--site", "site", "--max-hours", "5"),
    "all": ("recipes/", "--site=out/site", "--webhook", "https://x.invalid/", "--max-store", "5GB"),
    "long": ("recipes/", "--max-hours", "20"),
}
pytestmark = pytest.mark.skipif(os.name == "nt", reason="paths of the workflow are POSIX paths")


def tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def workflow(made: Job) -> Any:
    return yaml.safe_load(render("github-actions", made))


def step(made: Job, name: str) -> Any:
    (found,) = [
        one for one in workflow(made)["jobs"]["nightly"]["steps"] if one.get("name") == name
    ]
    return found


@pytest.mark.parametrize("form", FORMS)
def test_linters_find_nothing_wrong_with_the_workflow(form: str, tmp_path: Path) -> None:
    path = tmp_path / ".github" / "workflows" / "nightly.yml"
    path.parent.mkdir(parents=True)
    path.write_text(render("github-actions", job(*FORMS[form])), "utf-8")

    schema = called([tool("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", path])
    security = called([tool("zizmor"), "--offline", "--no-progress", "--persona=pedantic", path])

    assert schema.returncode == 0, schema.stdout
    assert security.returncode == 0, security.stdout


@pytest.mark.parametrize("form", FORMS)
def test_actions_are_pinned_and_rights_are_few(form: str) -> None:
    made = workflow(job(*FORMS[form]))
    jobs = made["jobs"]
    used = [one["uses"] for each in jobs.values() for one in each["steps"] if "uses" in one]

    assert made["permissions"] == {}
    assert jobs["nightly"]["steps"][0]["with"] == {"persist-credentials": False}
    assert jobs["nightly"]["permissions"] == {"contents": "read"}
    assert ("pages" in jobs) == any(word.startswith("--site") for word in FORMS[form])
    assert used
    assert all(re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40}", one) for one in used)


@pytest.mark.parametrize(
    ("hours", "budget", "runner"),
    [
        (None, 4, "ubuntu-24.04"),
        ("1", 1, "ubuntu-24.04"),
        ("5.5", 5.5, "ubuntu-24.04"),
        ("5.6", 5.6, "self-hosted"),
        ("20", 20, "self-hosted"),
    ],
)
def test_the_budget_ends_before_the_job_does(hours: str | None, budget: float, runner: str) -> None:
    made = job("recipes/", *(() if hours is None else ("--max-hours", hours)))

    nightly = workflow(made)["jobs"]["nightly"]

    assert nightly["timeout-minutes"] >= 60 * budget + 30
    assert 60 * budget < step(made, "Nightly")["timeout-minutes"] < nightly["timeout-minutes"]
    assert nightly["runs-on"] == runner
    if runner != "self-hosted":
        assert nightly["timeout-minutes"] <= 360
    assert f"--max-hours {hours or 4}" in step(made, "Nightly")["run"]


def ran(made: Job, root: Path) -> list[str]:
    """Do the workflow's own step as a runner does: bash, in the repository."""
    script = step(made, "Nightly")["run"]
    assert "${{" not in script
    program(root / ".bin" / "orchestrate", """printf '%s\\0' "$PWD" "$@" """)
    path = f"{root / '.bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        env={"PATH": path},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\0")[:-1]


@settings(max_examples=60, deadline=None)
@example(name="${{ github.token }}", words=["${{ secrets.X }}", "$${{{{", "$'${{'", "`id`", "#"])
@given(name=NAMES, words=st.lists(WORDS.filter(lambda one: one[:1] != "/"), max_size=5))
def test_the_runner_starts_exactly_the_command(name: str, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as made:
        root = Path(made).resolve()
        (root / ".git").mkdir()
        folder = root / "models" / name
        folder.mkdir(parents=True)
        words = [*words, "--max-hours", "1", "--max-store", "5GB"]

        written = ran(job(*words, folder=folder), root)

    assert written == [str(folder), "nightly", *words]


def test_a_night_waits_for_the_one_before() -> None:
    made = workflow(job())

    assert made["concurrency"] == {"group": "orchestrate-nightly", "cancel-in-progress": False}
    # YAML 1.1, which this reader follows, takes the key 'on' for true.
    assert made[True] == {"schedule": [{"cron": "17 2 * * *"}], "workflow_dispatch": None}


def test_without_limits_the_runner_is_given_those_of_github(tmp_path: Path) -> None:
    written = ran(job("recipes/", folder=tmp_path), tmp_path)

    assert written[2:] == ["--max-hours", "4", "--max-store", "8GB", "recipes/"]


def test_the_webhook_is_a_secret_and_never_in_the_file(tmp_path: Path) -> None:
    made = job("recipes/", "--webhook", "https://x.invalid/abc", "-t", "2", folder=tmp_path)

    assert "x.invalid" not in render("github-actions", made)
    given = step(made, "Nightly")["env"]["ORCHESTRATE_WEBHOOK"]
    assert given == "${{ secrets.ORCHESTRATE_WEBHOOK }}"
    assert ran(made, tmp_path)[-3:] == ["recipes/", "-t", "2"]


def test_paths_are_those_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "models"
    folder.mkdir()
    inside = (str(folder / "recipes"), f"--out={tmp_path / 'dist'}")

    written = ran(job(*inside, folder=folder), tmp_path)

    assert written[-2:] == ["recipes", "--out=../dist"]
    with pytest.raises(UsageError, match="only the repository"):
        render("github-actions", job("/elsewhere/recipes", folder=folder))


def test_the_site_is_uploaded_from_where_the_command_writes_it(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    made = job("recipes/", "--site", "site", folder=tmp_path / "models")

    (upload,) = [
        one for one in workflow(made)["jobs"]["nightly"]["steps"] if one.get("id") == "site"
    ]

    assert upload["with"] == {"path": "models/site"}


@pytest.mark.parametrize("site", ["*", "${{ secrets.X }}", "a b", "../site", "!x"])
def test_a_site_that_cannot_be_uploaded_is_refused(site: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be uploaded"):
        render("github-actions", job("recipes/", "--site", site, folder=tmp_path))


def test_the_store_of_a_bad_night_is_kept_and_its_page_is_published() -> None:
    made = workflow(job("recipes/", "--site", "site"))["jobs"]
    late = [one for one in made["nightly"]["steps"] if "if" in one]

    assert [one["uses"].split("@")[0] for one in late] == [
        "actions/cache/save",
        "actions/upload-artifact",
        "actions/upload-pages-artifact",
    ]
    assert [one["if"] for one in late] == [
        "${{ !cancelled() }}",
        "${{ failure() }}",
        "${{ !cancelled() }}",
    ]
    assert late[1]["with"]["path"] == "${{ env.ORCHESTRATE_HOME }}/logs"
    assert made["pages"]["if"].startswith("${{ !cancelled() && ")
