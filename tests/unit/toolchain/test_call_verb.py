"""Verbs on real processes: when their output is believed, and what is read from it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.process import isolation, warm_python
from orchestrator.base.process.run_process import ToolError
from orchestrator.base.step_values import Progress
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.call_verb import Result
from tests.support.plans import python
from tests.support.shims import environment_of, secrets_seen, set_secrets, shim
from tests.support.tasks import a_task


def call(folder: Path, code: str, values: dict[str, Any] | None = None, **rest: Any) -> Result:
    """Run ``code`` as the verb ``go`` of a tool chain."""
    options = {name: rest.pop(name) for name in ("counts", "report", "what") if name in rest}
    arguments = rest.pop("arguments", ())
    verb = {"argv": python(code, *arguments), **rest}
    task = a_task(folder, context={"verbs": {"go": verb}, "data": "/vendor/x"})
    return call_verb.call(task, "go", values or {}, **options)


def test_output_values_and_lists(tmp_path: Path) -> None:
    verb = {
        "argv": python("print('size = 12 MB'); print('size = 13 MB'); print('a: 1\\nb: 2')"),
        "values": {"size": r"size = (?P<v>\d+)", "whole": r"size = \d+", "none": "nothing"},
        "lists": {"pairs": r"(?m)^(?P<name>\w): (?P<value>\d)"},
    }

    done = call_verb.call(a_task(tmp_path, context={"verbs": {"go": verb}}), "go", {})

    assert done.values == {"size": "13", "whole": "size = 13"}
    assert done.lists["pairs"] == [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    assert done.parsed is None
    assert done.stdout.startswith("size = 12 MB")


def test_the_argv_gets_values_and_places(tmp_path: Path) -> None:
    code = "import sys; print(sys.argv[1:])"
    words = ["{bin}/t{exe}", "{src}", "{data}", "{python}", "{threads}", "{scratch}", "{mine}"]
    verb = {"argv": python(code, *words)}
    inputs = {"toolchain": tmp_path / "tools", "environment": tmp_path / "env"}
    task = a_task(tmp_path, context={"verbs": {"go": verb}, "data": "/vendor/x"}, inputs=inputs)

    done = call_verb.call(task, "go", {"mine": "a b;$HOME"})

    shown = [tmp_path / "tools/bin/t", tmp_path / "tools/src", "/vendor/x"]
    shown += [tmp_path / "env/venv/bin/python", 2, tmp_path / "scratch", "a b;$HOME"]
    assert done.stdout.strip() == str([str(one) for one in shown])
    [recorded] = task.calls
    assert recorded.argv[-1] == "a b;$HOME"
    differing = zip(recorded.argv, recorded.portable, strict=True)
    assert [pair for pair in differing if pair[0] != pair[1]] == [("2", "{threads}")]


@pytest.mark.skipif(sys.platform == "win32", reason="the shim is a shell script")
def test_a_tool_sees_no_secret_and_an_empty_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_secrets(monkeypatch)
    monkeypatch.setenv("HF_HOME", "/huggingface")
    listing = 'echo "in=$(find "$HOME" -mindepth 1)" >> "$0.env"'
    # All else that lies below the temporary folder it could not write to.
    folder = tmp_path / "t" / "scratch"
    verb = {"argv": [str(shim(folder, "converter", listing))]}
    task = a_task(tmp_path / "t", context={"verbs": {"go": verb}})

    call_verb.call(task, "go", {})

    seen = environment_of(folder, "converter")
    assert secrets_seen(folder, "converter") == set()
    assert Path(seen["HOME"]).parent == task.scratch
    assert Path(seen["TMPDIR"]).parent == task.scratch
    assert Path(seen["HF_HOME"]).parent == Path(seen["HOME"])
    assert Path(seen["HF_MODULES_CACHE"]).is_relative_to(seen["HOME"])
    assert seen["in"] == ""


def test_the_folder_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    code = "import os; print(os.getcwd(), os.environ['MINE'], os.environ.get('HF_TOKEN'))"

    done = call(tmp_path, code, {"name": "x"}, env={"MINE": "is {name}"})

    assert done.stdout.split() == [os.path.realpath(tmp_path / "work"), "is", "x", "None"]


def test_a_failure_is_the_tools_own_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="do it failed: exit code 3") as caught:
        call(tmp_path, "import sys; print('why'); sys.exit(3)")
    assert "why" in caught.value.tail


KNOWN = [{"match": r"tensor '(?P<name>\w+)' is bad", "say": "{name} is bad", "hint": "mend {name}"}]


@pytest.mark.parametrize("code", [0, 1])
def test_a_known_error_is_explained_whatever_the_exit_code(tmp_path: Path, code: int) -> None:
    script = f"import sys; print(\"tensor 'x' is bad\"); sys.exit({code})"

    with pytest.raises(StepError) as caught:
        call(tmp_path, script, errors=KNOWN)

    assert str(caught.value) == "x is bad\n  mend x"


def test_an_unknown_error_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="exit code 1"):
        call(tmp_path, "import sys; sys.exit('something else')", errors=KNOWN)


def test_success_must_be_printed(tmp_path: Path) -> None:
    wanted = {"match": ["saved to", r"total = \d+"]}
    call(tmp_path, "print('saved to x, total = 3')", expect=wanted)

    with pytest.raises(StepError, match=r"exited 0 but did not print.*total = "):
        call(tmp_path, "print('saved to x')", expect=wanted)


def test_what_must_never_be_printed(tmp_path: Path) -> None:
    call(tmp_path, "print('fine')", expect={"never": ["unknown .*"]})

    with pytest.raises(StepError, match=r"exited 0 but said 'unknown flag --x'"):
        call(tmp_path, "print('unknown flag --x')", expect={"never": ["unknown .*"]})


@pytest.mark.parametrize(("lines", "sound"), [(3, True), (2, False), (0, False)])
def test_lines_are_counted(tmp_path: Path, lines: int, sound: bool) -> None:
    wanted = {"count": {r"(?m)^\w+ type =": "tensors"}}

    def go() -> Result:
        code = f"print('x type = q4\\n' * {lines})"
        return call(tmp_path, code, expect=wanted, counts={"tensors": 3})

    if sound:
        assert go().seconds > 0
    else:
        with pytest.raises(StepError, match=f"says tensors: {lines}, not 3"):
            go()


def test_numbers_are_compared(tmp_path: Path) -> None:
    wanted = {"number": {r"tensors = (\d+)": "tensors"}}
    call(tmp_path, "print('tensors = 2, tensors = 3')", expect=wanted, counts={"tensors": 3})

    for code in ("print('tensors = 2')", "print('')"):
        with pytest.raises(StepError, match=r"tensors: \d, not 3"):
            call(tmp_path, code, expect=wanted, counts={"tensors": 3})


def test_counts_that_nobody_knows_are_not_compared(tmp_path: Path) -> None:
    wanted = {"count": {"x": "tensors"}, "number": {r"(\d)": "layers"}}

    assert call(tmp_path, "print('xx 5')", expect=wanted, counts={}).seconds > 0


@pytest.mark.parametrize("prompt", ["Once (upon", "a\\b", "über"])
def test_what_was_understood_is_what_was_said(tmp_path: Path, prompt: str) -> None:
    wanted = {"echo": {"prompt": "prompt: "}}
    code = "import sys; print('prompt:', sys.argv[1])"
    env = {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"}
    argv = {"arguments": ["{prompt}"], "env": env}
    call(tmp_path, code, {"prompt": prompt}, expect=wanted, **argv)

    with pytest.raises(StepError, match="did not read the prompt to its end"):
        call(tmp_path, f"{code[:-1]}[:-1])", {"prompt": prompt}, expect=wanted, **argv)


def test_json_is_read_from_stdout_alone(tmp_path: Path) -> None:
    code = "import sys; print('loading', file=sys.stderr); print('[{\"a\": 1}]')"

    assert call(tmp_path, code, output="json").parsed == [{"a": 1}]
    with pytest.raises(StepError, match="no valid JSON"):
        call(tmp_path, "print('[1,')", output="json")


def test_progress_is_read_across_cut_lines(tmp_path: Path) -> None:
    told: list[Progress] = []
    code = (
        "import os\n"
        "for part in (b'[ 1/ 20', b'] x\\n', b'[ 2/ 20] y\\n[ 3/', b' 20] z\\n'):\n"
        "    os.write(2, part)\n"
    )

    call(
        tmp_path,
        code,
        progress=r"\[\s*(?P<done>\d+)/\s*(?P<total>\d+)\]",
        unit="tensors",
        report=told.append,
    )

    assert told[-1] == Progress(3, 20, "tensors")


def test_progress_without_a_total_has_the_datas(tmp_path: Path) -> None:
    told: list[Progress] = []

    call(
        tmp_path,
        "print('50%')",
        progress=r"(?P<done>\d+)%",
        progress_total=100,
        report=told.append,
    )

    assert told == [Progress(50, 100)]


def test_a_tool_that_does_not_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"had not ended after 0\.2 s"):
        call(tmp_path, "import signal; signal.pause()", timeout=0.2)


def test_messages_call_it_what_they_are_told(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="smoke test: the tool exited 0"):
        call(tmp_path, "", expect={"match": ["x"]}, what="smoke test")


def test_interpreters_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    task = a_task(tmp_path, inputs={"environment": tmp_path})

    assert call_verb.environment_python(tmp_path) == tmp_path / "venv" / "Scripts" / "python.exe"
    assert call_verb.places(task)["exe"] == ".exe"


def test_what_a_success_says_for_the_report_is_noted_with_its_count(tmp_path: Path) -> None:
    script = "print('ignore token 7'); print('ignore token 9')"
    known = [{"match": r"ignore token (?P<id>\d+)", "say": "{count} left out, first {id}"}]

    [note] = call(tmp_path, script, notes=known).notes
    assert note == {"message": "2 left out, first 7", "numbers": {"id": "7", "count": 2}}
    assert call(tmp_path / "b", "print('fine')", notes=known).notes == ()


def counting_python(folder: Path) -> Path:
    """An environment whose Python notes each of its starts in ``starts``."""
    program = folder / "env" / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    notes = f'echo x >> "{folder / "starts"}"'
    program.write_text(f'#!/bin/sh\n{notes}\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return folder / "env"


@pytest.mark.skipif(sys.platform != "linux", reason="forks are Linux's")
@pytest.mark.parametrize(("trusted", "calls", "starts"), [(False, 20, 1), (True, 3, 3)])
def test_one_python_serves_all_calls_but_those_with_code_of_a_model(
    tmp_path: Path, trusted: bool, calls: int, starts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(isolation.SWITCH, "off")
    isolation.obstacle.cache_clear()
    data = tmp_path / "data"
    data.mkdir()
    (data / "warm.py").write_text("import fractions\n")
    (data / "script.py").write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "if '2' in sys.argv[1]: raise SystemExit('bad model')\n"
        "print(sys.argv[1], Path(os.environ['TMPDIR']) == Path(sys.argv[2]) / '.tmp')\n"
    )
    argv = ["{python}", "{data}/script.py", "{number}", "{scratch}"]
    verb = {"argv": argv, "warm": ["{data}/warm.py"], "env": {"MINE": "{scratch}/x"}}
    inputs = {"environment": counting_python(tmp_path)}
    said = []
    for number in range(calls):
        task = a_task(
            tmp_path / "staging" / str(number),
            {"trust_remote_code": trusted},
            {"verbs": {"go": verb}, "data": str(data)},
            inputs,
        )
        try:
            said.append(call_verb.call(task, "go", {"number": str(number)}).stdout)
        except ToolError as error:
            said.append(error.tail)
        python = str(inputs["environment"] / "venv/bin/python")
        assert all(one.argv[0] == python for one in task.calls)
    warm_python.end_all()
    isolation.obstacle.cache_clear()

    assert said == [f"{n} True\n" if n not in (2, 12) else "bad model" for n in range(calls)]
    assert len((tmp_path / "starts").read_text().split()) == starts
