"""One recipe from a model folder to verified files, with real llama.cpp."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.engine.artifact_store import Store
from tests.support.typed_commands import (
    MODELS,
    ROOT,
    STATED,
    TINY,
    TYPES,
    artifacts,
    ended,
    events,
    typed,
    variant,
)
from tests.support.warm_store import Finished, ready

NAMES = [f"tiny-llama-{name}.gguf" for name in TYPES]


def report(folder: Path) -> dict[str, Any]:
    """The folder's report.json."""
    return dict(json.loads((folder / "report.json").read_text("utf-8")))


def test_the_folder_holds_the_files_their_sums_and_the_report(finished: Finished) -> None:
    found = sorted(path.name for path in finished.out.iterdir())
    told = [f"{name}.provenance.json" for name in NAMES]
    assert found == sorted([*NAMES, *told, "SHA256SUMS", "report.html", "report.json", "report.md"])
    lines = (finished.out / "SHA256SUMS").read_text("utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert sums == {name: file_sha256(finished.out / name) for name in [*NAMES, *told]}


def test_every_file_has_the_bytes_that_the_recipe_states(finished: Finished) -> None:
    rows = {row["type"]: row for row in report(finished.out)["files"]}
    assert {name: row["sha256"] for name, row in rows.items()} == STATED
    checks = {c["name"]: c["status"] for row in rows.values() for c in row["checks"]}
    assert checks["sha256"] == "pass"


def test_the_report_has_the_numbers_of_every_file(finished: Finished) -> None:
    found = report(finished.out)
    assert found["status"] == "pass"
    for row in found["files"]:
        assert 1 < row["perplexity"] < 2
        assert row["perplexity_error"] > 0
        assert row["memory"] > row["size"] > 1_000_000
        assert row["prompt_ms"] > 0
        assert row["generation_per_second"] > 0
        texts = [c["numbers"]["text"] for c in row["checks"] if c["name"].startswith("smoke")]
        assert len(texts) == 2  # the command-line tool and Python
        assert all(re.match("small boy named [A-Z]", text) for text in texts)
    quantized = [row for row in found["files"] if row["type"] != "F16"]
    assert all(0 <= row["kld"] < 0.01 and row["same_top"] > 0.9 for row in quantized)
    sizes = {row["type"]: row["bits_per_weight"] for row in found["files"]}
    assert sizes["F16"] > sizes["Q8_0"] > sizes["Q4_K_M"] > sizes["Q4_0"] > sizes["IQ4_XS"]


def test_the_report_says_how_and_names_no_path_of_this_machine(finished: Finished) -> None:
    text = (finished.out / "report.md").read_text("utf-8")
    assert "0c1e57098bba43ac29e6e3b677cdceebdd22334f" in text
    assert "{toolchain}/bin/llama-quantize --imatrix imatrix.gguf input model.gguf IQ4_XS" in text
    both = text + (finished.out / "report.json").read_text("utf-8")
    for private in (str(finished.home), str(ROOT), sys.prefix, str(Path.home())):
        assert private not in both


def test_a_run_says_what_it_does(finished: Finished) -> None:
    lines = finished.said.err.splitlines()
    ended = re.compile(r"✓ quantize tiny-llama to \S+  \d+\.\d s  \(\d+ of \d+\)")
    quantized = [line for line in lines if line.startswith("✓ quantize")]
    assert quantized
    assert all(map(ended.fullmatch, quantized))
    assert "… fetch llama" in lines
    assert "… convert tiny-llama to F16" in lines
    assert finished.said.out.splitlines()[1] == "tiny-llama: ok"


def test_a_second_run_touches_nothing(finished: Finished, tmp_path: Path) -> None:
    def state(folder: Path) -> dict[str, tuple[int, int, int]]:
        found = [path for path in folder.rglob("*") if path.is_file() and path.name != "used"]
        stats = {str(path.relative_to(folder)): path.stat() for path in found}
        return {name: (s.st_ino, s.st_mtime_ns, s.st_size) for name, s in stats.items()}

    before = state(finished.out), state(finished.home / "artifacts")
    log = tmp_path / "log"
    words = ("run", TINY, "--out", finished.out.parent, "--log-json", log)
    said = typed(*words, home=finished.home)
    assert (said.code, said.err) == (0, "")
    assert said.out == finished.said.out
    assert {event["outcome"] for event in events(log)} == {"hit"}
    assert (state(finished.out), state(finished.home / "artifacts")) == before


def test_more_threads_make_the_same_bytes(without: Callable[..., Path], tmp_path: Path) -> None:
    home = without("imatrix", "quantize")
    words = ("--out", tmp_path / "dist", "-t", "2", "--no-verify")
    assert typed("run", TINY, *words).code == 0
    assert len(artifacts(home)["quantize"]) == len(TYPES)
    made = {
        name: file_sha256(tmp_path / "dist/tiny-llama" / f"tiny-llama-{name}.gguf")
        for name in TYPES
    }
    assert made == {name: STATED[name] for name in TYPES}


def test_only_one_file(without: Callable[..., Path], tmp_path: Path) -> None:
    home = without("quantize", "measure")
    said = typed("run", TINY, "--out", tmp_path / "dist", "--only", "q4_0")
    assert said.code == 0
    assert len(artifacts(home)["quantize"]) == 1
    assert [path.name for path in (tmp_path / "dist/tiny-llama").glob("*.gguf")] == NAMES[:1]


def test_keep_final_gives_the_converted_file_back(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without()
    said = typed("run", TINY, "--out", tmp_path / "dist", "--keep", "final")
    assert said.code == 0
    assert "convert" not in artifacts(home)
    assert len(artifacts(home)["quantize"]) == len(TYPES)
    assert typed("run", TINY, "--out", tmp_path / "dist", "--keep", "final").err == ""
    assert "convert" not in artifacts(home)


def test_plan_knows_what_is_there(finished: Finished) -> None:
    said = typed("plan", TINY, home=finished.home)
    assert said.code == 0
    assert "to do" not in said.out
    assert "Everything is up to date." in said.out
    for name in NAMES:
        assert re.search(rf"{name} +{(finished.out / name).stat().st_size:,} ", said.out)


MEASURES = ("header", "load", "smoke test", "smoke test in Python", "speed")


def test_verify_measures_again(without: Callable[..., Path], tmp_path: Path) -> None:
    home, log = without(), tmp_path / "log"
    words = ("--out", tmp_path / "dist", "--log-json", log, "--only", "Q8_0")
    said = typed("verify", TINY, *words)
    assert said.code == 0, said.all
    assert ended(log, "done") == {
        "perplexity of tiny-llama F16": 1,
        **{
            f"measure tiny-llama {name}: {what}": 1
            for name, quality in (("Q8_0", "divergence"), ("F16", "perplexity"))
            for what in (*MEASURES, quality)
        },
    }
    for folder in artifacts(home)["quantize"]:
        shutil.rmtree(folder)
    said = typed("verify", TINY, *words)
    assert said.code == 1
    assert "Q8_0 is not made yet" in said.err


def test_verify_any_file(finished: Finished, tmp_path: Path) -> None:
    [full] = artifacts(finished.home)["convert"]
    corpus = TINY.parent / "corpus" / "perplexity.txt"
    words = ("--against", full / "files" / "model.gguf", "--corpus", corpus)
    said = typed(
        *("verify", finished.out / NAMES[0], *words, "--prompt", "Once upon a time"),
        home=finished.home,
    )
    assert said.code == 0, said.all
    for check in ("structure", "census", "smoke", "smoke_python", "perplexity", "kld"):
        assert re.search(rf"{NAMES[0]} +{check} +ok ", said.out), check


def test_verify_a_file_in_parts_measures_what_the_whole_has(
    finished: Finished, tmp_path: Path
) -> None:
    split = ready("llama.cpp")["build"] / "bin" / "llama-gguf-split"
    whole = finished.out / NAMES[0]
    argv = [str(split), "--split", "--split-max-tensors", "8", str(whole), str(tmp_path / "part")]
    subprocess.run(argv, check=True, capture_output=True)
    words = ("--corpus", TINY.parent / "corpus" / "perplexity.txt", "--prompt", "Once upon a")

    said = [
        typed("verify", path, *words, home=finished.home)
        for path in (whole, tmp_path / "part-00002-of-00003.gguf", tmp_path)
    ]

    assert [one.code for one in said] == [0, 0, 0], said[1].all
    for check in ("structure", "census", "load", "smoke", "perplexity"):
        found = [re.search(rf" {check} +ok +(.*)", one.out) for one in said]
        assert len({match[1] for match in found if match is not None}) == 1, check
        assert None not in found, check


def test_verify_a_broken_file(finished: Finished, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes((finished.out / NAMES[0]).read_bytes()[:-5000])
    said = typed("verify", broken, home=finished.home)
    assert said.code == 1
    assert "ends at byte" in said.all


def test_the_store_shows_what_it_holds(finished: Finished) -> None:
    listed = typed("store", "ls", home=finished.home).out
    assert "quantize tiny-llama to Q8_0" in listed
    [line] = [line for line in listed.splitlines() if line.endswith("to Q8_0")]
    path = Path(typed("store", "path", line.split()[0], home=finished.home).out.strip())
    assert file_sha256(path / "model.gguf") == STATED["Q8_0"]
    assert typed("store", "path", home=finished.home).out.strip() == str(finished.home)


def test_gc_frees_what_was_not_used_for_longest(without: Callable[..., Path]) -> None:
    home = without()
    said = typed("store", "gc", "--max-size", "1B")
    assert said.code == 0
    assert "removed quantize tiny-llama to Q8_0" in said.out
    # A fetch of local files only refers to them: it takes nothing, so it stays where it is
    # the last one, whose turn depends on which of two readers noted its use later.
    assert set(artifacts(home)) <= {"fetch"}
    assert typed("store", "gc", "--max-size", "1B").code == 0
    assert sum(entry.size for entry in Store(home, warn=print).artifacts()) <= 1


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_size": "1MB"}, r"1254016 bytes \(1.25 MB\), but at most 1000000 bytes is allowed"),
        ({"max_mean_kld": 1e-9}, r"but at most a mean of 1e-09 is allowed"),
        ({"max_ppl": 1.2}, r"1\.59\d\d ± 0\.\d+.*, but at most 1\.2 is allowed"),
    ],
)
def test_a_limit_that_is_not_kept_fails_the_run(
    without: Callable[..., Path], tmp_path: Path, limits: dict[str, Any], said: str
) -> None:
    without()
    path = variant(tmp_path, {"quantize": ["Q4_0"], "verify": {"limits": limits}})
    found = typed("run", path, "--out", tmp_path / "dist")
    assert found.code == 1
    assert re.search(f"failed: {NAMES[0]}: .*{said}", found.out)
    assert "✓" not in found.err  # a new limit measures nothing again
    loose = typed("run", path, "--out", tmp_path / "dist", "--no-limits")
    assert loose.code == 0
    assert "failed" not in loose.out


def test_a_wrong_checksum_fails_the_run(without: Callable[..., Path], tmp_path: Path) -> None:
    without()
    wrong = {"quantize": ["Q4_0"], "verify": {"sha256": {"Q4_0": "0" * 64}}}
    found = typed("run", variant(tmp_path, wrong), "--out", tmp_path / "dist")
    assert found.code == 1
    assert f"{STATED['Q4_0']}, but the recipe states {'0' * 64}" in found.out


def test_weights_that_are_no_numbers_fail_the_run(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    without()
    model = tmp_path / "model"
    shutil.copytree(MODELS / "llama", model)
    data = bytearray((model / "model.safetensors").read_bytes())
    data[-20000:] = b"\xff\x7f" * 10000  # NaN in F16
    (model / "model.safetensors").write_bytes(data)
    path = variant(tmp_path, {"model": {"path": str(model)}, "quantize": ["Q8_0"]})
    found = typed("run", path, "--out", tmp_path / "dist")
    assert found.code == 1
    assert re.search(r"convert tiny-llama to F16: \S+ holds [0-9]+ NaN values?", found.all)
