"""What is advised to do about alarms, wherever it is shown."""

from __future__ import annotations

from orchestrator.history import Alarm, FileRow
from orchestrator.history.alarm_advice import RaisedAlarms, commands
from tests.support.history_records import a_file

BEFORE, NOW = "1" * 40, "2" * 40
FULL = a_file("F16", file="F16, for comparison")


def kinds(*whats: str, files: tuple[FileRow, ...] = (a_file(),), commit: str = NOW) -> list[str]:
    alarms = [Alarm(row.file, what, "it changed") for what in whats for row in files]
    return [
        kind for kind, _ in commands(RaisedAlarms("tiny", "t.yaml", alarms, files, BEFORE, commit))
    ]


def test_other_bytes_of_another_commit_can_be_searched_for_or_accepted() -> None:
    alarms = [Alarm("tiny-Q4_0.gguf", "bytes", "they differ")]
    found = dict(commands(RaisedAlarms("tiny", "t.yaml", alarms, [a_file()], BEFORE, NOW)))

    assert found == {
        "bisect": (
            *("orchestrate", "bisect", "t.yaml", "--only", "Q4_0"),
            *("--good", "1" * 12, "--bad", "2" * 12),
        ),
        "accept": ("orchestrate", "accept", "tiny"),
    }


def test_nothing_is_searched_for_where_no_commit_came_between_or_no_bytes_changed() -> None:
    assert kinds("bytes", commit=BEFORE) == ["accept"]
    assert kinds("bytes", commit="") == ["accept"]
    assert kinds("perplexity") == ["accept"]


def test_the_unquantized_file_is_no_output_to_search_for() -> None:
    assert kinds("bytes", files=(FULL,)) == ["accept"]
    assert kinds("bytes", files=(FULL, a_file())) == ["bisect", "accept"]


def test_drift_is_looked_into_and_never_accepted() -> None:
    assert kinds("rebuild") == ["reproduce"]
    assert kinds("rebuild", "speed") == ["reproduce", "accept"]


def test_a_commit_that_cannot_be_built_is_searched_for_and_never_accepted() -> None:
    alarm = Alarm("llama.cpp", "upstream", "upstream changed", before=NOW, after="3" * 40)
    raised = RaisedAlarms("tiny", "t.yaml", [alarm], [FULL, a_file()], NOW, NOW)

    [(kind, argv)] = commands(raised)

    assert (kind, argv[3:]) == ("broken", ("--only", "Q4_0", "--good", "2" * 12, "--bad", "3" * 12))


def test_other_bytes_are_searched_for_also_while_the_newest_commit_cannot_be_built() -> None:
    alarms = [
        Alarm("llama.cpp", "upstream", "upstream changed", before=NOW, after="3" * 40),
        Alarm("tiny-Q4_0.gguf", "bytes", "they differ"),
    ]
    found = dict(commands(RaisedAlarms("tiny", "t.yaml", alarms, [a_file()], BEFORE, NOW)))

    assert list(found) == ["broken", "bisect", "accept"]
    assert found["bisect"][-4:] == ("--good", "1" * 12, "--bad", "2" * 12)
