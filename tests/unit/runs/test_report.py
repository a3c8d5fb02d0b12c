"""Reports: what a reader sees, and that equal results give equal text."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from markdown_it import MarkdownIt

from orchestrator.base.step_values import Step
from orchestrator.measures.check_status import Status
from orchestrator.runs import report
from orchestrator.runs.judge_measures import Expectation, judge, numbers, verdict
from orchestrator.runs.report import MadeStep, Report, Warned, as_json, made_steps, markdown
from tests.support.measures import FULL, MEASURES, asked, measured

SHA = "ab" * 32


def row(name: str = "Q4_0", measures: dict[str, Any] = MEASURES, **expected: Any) -> report.Row:
    wanted = Expectation(full=FULL, asked=asked(), **expected)
    checks = judge(measures, wanted)
    file = f"tiny-{name}.gguf"
    return report.Row(file, name, SHA, verdict(checks), checks, numbers(measures, wanted))


def example(*rows: report.Row, **changes: Any) -> Report:
    call = {"argv": ["{toolchain}/bin/quantize", "a b", "Q4_0"], "seconds": 1.5, "peak_memory": 9}
    values: dict[str, Any] = {
        "name": "tiny",
        "description": "A small model.",
        "rows": rows or (row(),),
        "pins": {"tool chain": "llama.cpp 0c1e570", "model": "a/b@123"},
        "steps": (MadeStep("k", "quantize tiny to Q4_0", 75.0, (call,)),),
    }
    return Report(**{**values, **changes})


def test_a_row_holds_what_a_model_card_has() -> None:
    found = row()
    assert (found.size, found.bits_per_weight) == (1_200_000, 4.84)
    assert [found.value(key) for key in ("memory", "perplexity", "kld")] == [30_000_000, 5.4, 0.05]
    increase = found.value("increase")
    assert increase is not None
    assert round(increase, 4) == 0.08
    assert (found.value("prompt_ms"), found.value("generation_per_second")) == (2.0, 125.0)
    assert found.status is Status.PASS


def test_a_row_of_a_file_that_was_hardly_measured() -> None:
    bare = measured(perplexity=None, kld=None, speed=None, smoke=None)
    found = row(measures=bare)
    keys = ("perplexity", "kld", "prompt_ms", "memory")
    assert [found.value(key) for key in keys] == [None] * 4


def test_markdown_shows_the_table_the_sums_and_how_it_was_made() -> None:
    text = markdown(example())
    assert "| tiny-Q4_0.gguf | Q4_0 | 1.20 MB | 4.84 | 5.4000 ± 0.0200 | +8.00 % ± 1.08 % |" in text
    assert (
        "| 0.05000 ± 0.00100 | 0.40000 | 1.00000 | 90.00 % ± 1.00 % | 4.00 % ± 0.30 % "
        "| 2.00 (500.0) | 8.00 (125.0) |" in text
    )
    assert f"| tiny-Q4_0.gguf | `{SHA}` |" in text
    assert "| tool chain | llama.cpp 0c1e570 |" in text
    assert "**quantize tiny to Q4_0** (1 min 15 s)" in text
    assert "{toolchain}/bin/quantize 'a b' Q4_0" in text


def test_markdown_leaves_out_columns_that_would_be_empty() -> None:
    bare = row(measures=measured(kld=None, speed=None, smoke=None))
    head = markdown(example(bare)).split("\n\n")[4]
    assert "KLD" not in head
    assert "Prompt" not in head
    assert "Perplexity" in head
    both = markdown(example(bare, row("Q8_0"))).split("\n\n")[4]
    assert "KLD" in both


def test_tables_survive_bars_and_line_breaks_in_what_models_write() -> None:
    loud = measured(smoke={"text": "a|b\n\nc | d"})
    text = markdown(example(row(measures=loud)))
    lines = [line for line in text.splitlines() if line.startswith("| smoke ")]
    assert len(lines) == 1
    assert lines[0].replace("\\|", "").count("|") == 4


HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) **b** `c` \x1b[2J\u202e | ![i](//h/i)"


def everywhere(stranger: str) -> Counter[str]:
    """Kinds of Markdown in a report with this text wherever a stranger's can stand."""
    loud = measured(smoke={"text": stranger}, smoke_python={"text": stranger})
    call = {"argv": ["main", stranger, "```\n# x"], "seconds": 0, "peak_memory": 0}
    text = markdown(
        example(
            row(measures=loud),
            name=stranger,
            description=stranger,
            pins={stranger: stranger},
            notes=(stranger,),
            missing=(stranger,),
            warnings=(Warned(stranger, stranger, {"names": [stranger]}),),
            steps=(MadeStep("k", stranger, 0, (call,)),),
        )
    )
    assert text.replace("\n", "").isprintable()
    found = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    parts = (part.type for token in found for part in (token, *(token.children or ())))
    return Counter(part for part in parts if not part.startswith("text"))


def test_no_text_of_strangers_is_markup_in_a_report() -> None:
    assert everywhere(HOSTILE) == everywhere("plain")


def test_a_failed_check_is_seen_in_the_table_and_in_the_whole() -> None:
    bad = row(limits={"max_ppl": 1.0})
    text = markdown(example(row("Q8_0"), bad))
    assert "Checks: **failed**" in text
    assert "but at most 1 is allowed" in text
    assert example(row("Q8_0"), bad).status is Status.FAIL


def test_json_is_plain_and_the_same_for_equal_reports() -> None:
    one, two = as_json(example()), as_json(example())
    assert json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert one["status"] == "pass"
    [file] = one["files"]
    assert file["file"] == "tiny-Q4_0.gguf"
    assert {check["name"] for check in file["checks"]} >= {"structure", "kld", "sha256"}
    assert json.loads(json.dumps(one)) == one


def test_rows_keep_the_order_of_the_recipe() -> None:
    rows = (row("Q8_0"), row("F16"), row("Q4_0"))
    assert [file["type"] for file in as_json(example(*rows))["files"]] == ["Q8_0", "F16", "Q4_0"]


def test_fences_outlast_backticks_in_arguments() -> None:
    call = {"argv": ["main", "-p", "```"], "seconds": 0, "peak_memory": 0}
    text = markdown(example(steps=(MadeStep("k", "x", 0, (call,)),)))
    assert "````sh\nmain -p '```'\n````" in text


def step(key: str) -> Step:
    return Step("quantize", f"label {key}", key, {})


def test_steps_come_from_manifests_and_released_ones_from_the_earlier_report() -> None:
    call = {"argv": ["x"], "seconds": 1.0, "peak_memory": 2}
    manifest = {"seconds": 3.0, "facts": {"calls": [call]}}
    first = made_steps([step("a"), step("b")], {"a": manifest, "b": manifest})
    assert [one.label for one in first] == ["label a", "label b"]
    assert first[0].calls == (call,)
    earlier = as_json(example(steps=first))
    again = made_steps([step("a"), step("b"), step("c")], {"b": manifest}, earlier)
    assert again == first


def test_an_earlier_report_out_of_shape_is_ignored() -> None:
    manifest = {"seconds": 3.0, "facts": {}}
    for earlier in ({"steps": [{"key": "b"}]}, {"steps": 5}, {"steps": ["x"]}, {}):
        [only] = made_steps([step("a"), step("b")], {"a": manifest}, earlier)
        assert only.key == "a"


def test_a_file_that_was_not_made_fails_the_whole_report() -> None:
    found = example(missing=("tiny-Q8_0.gguf",))
    assert found.status is Status.FAIL
    assert as_json(found)["status"] == "fail"
    assert as_json(found)["missing"] == ["tiny-Q8_0.gguf"]
    assert "Checks: **failed**" in markdown(found)
    assert "tiny-Q8_0.gguf: it was not made" in markdown(found)


def test_json_has_every_number_by_its_measure() -> None:
    [file] = as_json(example())["files"]
    assert file["measures"]["kld"]["p99"] == 0.4
    assert file["measures"]["perplexity"]["increase_error"] == 0.01 * 5.4 / 5.0
    assert file["kld"] == file["measures"]["kld"]["mean"]


def test_warnings_stand_before_the_files_and_keep_their_numbers() -> None:
    found = example(warnings=(Warned("imatrix of tiny", "Experts unreached.", {"share": 0.5}),))

    assert "Checks: ok\n\n- **warning**: Experts unreached.\n\n## Files" in markdown(found)
    assert as_json(found)["warnings"] == [
        {"step": "imatrix of tiny", "message": "Experts unreached.", "numbers": {"share": 0.5}}
    ]
