"""Measuring with real llama.cpp: a tiny trained llama, whole and damaged in every way."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Progress, Step, Task
from orchestrator.measures.check_status import Status
from orchestrator.modelfiles import gguf
from orchestrator.runs.judge_measures import Expectation, judge
from orchestrator.steps import convert, full_file_logits, measure, quantize
from orchestrator.toolchain import load

TINY = Path(__file__).resolve().parents[2] / "recipes" / "tiny"
FILE = "model.gguf"
SETTING = {"context": 128, "chunks": 4}
PROMPT = "Once upon a time there was a"

SMOKE = {"prompt": PROMPT, "tokens": 12}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "header": {"full_file": FILE, "format": "gguf", "layout": ""},
    "load": {},
    "smoke": SMOKE,
    "smoke_python": SMOKE,
    "perplexity": SETTING,
    "kld": SETTING,
    "speed": {"prompt": 16, "generate": 4, "repetitions": 1},
}

Run = Callable[..., dict[str, Any]]
Tools = Mapping[str, Path]


def task_in(
    place: Path,
    tools: Tools,
    kind: str,
    params: Mapping[str, Any],
    inputs: Mapping[str, Path],
) -> Task:
    """A task with llama.cpp's verbs, in new folders below ``place``."""
    chain = load.load("llama.cpp")
    verbs = {name: verb.model_dump(mode="json") for name, verb in chain.verbs.items()}
    context = {"verbs": verbs, "data": str(chain.folder), "format": "gguf", "allow_fallback": False}
    folder = place / f"{kind}-{len(list(place.iterdir()))}"
    (folder / "work").mkdir(parents=True)
    (folder / "scratch").mkdir()
    step = Step(kind, f"{kind} tiny", "0" * 64, params, context=context)
    given = {**inputs, **tools}
    return Task(step, given, folder / "work", folder / "scratch", folder / "log", threads=1)


@pytest.fixture(scope="session")
def made(toolchain_inputs: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of the tiny llama's F16, two quantized files, its logits and the text."""
    place = tmp_path_factory.mktemp("made")
    params: dict[str, Any] = {"file": FILE, "outtype": "f16", "tokenizer_pre": ""}
    params |= {"verb": "convert", "model_name": "tiny-llama"}
    task = task_in(place, toolchain_inputs, "convert", params, {"model": TINY / "models" / "llama"})
    convert.run(task)
    found = {"F16": task.workdir}
    for name in ("Q4_0", "Q4_K_M"):
        task = task_in(
            place,
            toolchain_inputs,
            "quantize",
            {"file": FILE, "type": name},
            {"model": found["F16"]},
        )
        quantize.run(task)
        found[name] = task.workdir
    corpus = place / "corpus"
    corpus.mkdir()
    text = (TINY / "corpus" / "perplexity.txt").read_text("utf-8")
    (corpus / "stories.txt").write_text(text, encoding="utf-8")
    inputs = {"model": found["F16"], "corpus": corpus}
    task = task_in(
        place, toolchain_inputs, "logits", {"file": FILE, "save": True, **SETTING}, inputs
    )
    full_file_logits.run(task)
    return {**found, "corpus": corpus, "logits": task.workdir}


@pytest.fixture
def measured(toolchain_inputs: Tools, made: dict[str, Path], tmp_path: Path) -> Run:
    """Take measures of a folder's file, the header first; ``inputs`` are beside the model."""

    def run(model: Path, *names: str, inputs: Mapping[str, Path] | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        given = {"model": model, **(inputs or {"logits": made["logits"]})}
        for name in ("header", *names):
            params = {"measure": name, "file": FILE, **OPTIONS[name]}
            needed = {"full": made["F16"]} if name == "header" else given
            task = task_in(tmp_path, toolchain_inputs, "measure", params, {**given, **needed})
            found[name] = measure.run(task)
            written = json.loads((task.workdir / "measures.json").read_text("utf-8"))
            assert written == json.loads(json.dumps(found[name]))
            given = {"header": task.workdir, **given}
        return found

    return run


def damaged(made: Mapping[str, Path], place: Path, change: Callable[[bytearray], None]) -> Path:
    """A folder with a changed copy of the Q4_K_M file."""
    data = bytearray((made["Q4_K_M"] / FILE).read_bytes())
    change(data)
    folder = place / "damaged"
    folder.mkdir()
    (folder / FILE).write_bytes(data)
    return folder


def position(made: Mapping[str, Path], name: str, file: str = "Q4_K_M") -> int:
    """Byte of the file where a tensor's data begins."""
    head = gguf.read(made[file] / FILE)
    return head.data_offset + next(one.offset for one in head.tensors if one.name == name)


TASKS: tuple[tuple[str, Sequence[str], int], ...] = (
    ("Once upon a time there was a boy named", ("Tom", "seven", "blue of"), 0),
    ("Once upon a", ("dog of", "was", "time there was"), 2),
    ("Once upon a time there was a small", ("boy named", "of the", "was had"), 0),
    ("Once upon a time there was a girl", ("of", "named", "the", "had", "blue", "and", "it"), 1),
)


def choices(tasks: Sequence[tuple[str, Sequence[str], int]], before: str = "") -> bytes:
    """Tasks as llama-perplexity reads them: their number, their places, questions and answers."""

    def text(words: str) -> bytes:
        return struct.pack("<I", len(words.encode())) + words.encode()

    def answers(given: Sequence[str], right: int) -> bytes:
        labels = (int(at == right) for at in range(len(given)))
        texts = b"".join(text(before + one) for one in given)
        return struct.pack("<I", len(given)) + texts + struct.pack(f"<{len(given)}i", *labels)

    bodies = [text(question) + 2 * answers(given, right) for question, given, right in tasks]
    starts = [4 + 4 * len(bodies) + sum(map(len, bodies[:at])) for at in range(len(bodies))]
    return struct.pack(f"<{len(bodies) + 1}I", len(bodies), *starts) + b"".join(bodies)


@pytest.mark.parametrize(("before", "score"), [("", 1.0), (" ", 0.5)])
def test_a_trained_model_chooses_right_and_the_tool_puts_the_space_before_an_answer(
    toolchain_inputs: Tools, made: dict[str, Path], tmp_path: Path, before: str, score: float
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tasks.bin").write_bytes(choices(TASKS, before))
    params = {"measure": "multiple_choice", "file": FILE, "tasks": 0}
    inputs = {"model": made["Q4_K_M"], "corpus": tmp_path / "tasks"}

    found = measure.run(task_in(tmp_path, toolchain_inputs, "measure", params, inputs))

    assert found["tasks"] == len(TASKS)
    assert found["score"] == score


def test_a_quantized_file_is_measured_in_every_way(measured: Run, made: dict[str, Path]) -> None:
    found = measured(made["Q4_K_M"], "load", "smoke", "smoke_python", "kld", "speed")
    header, kld = found["header"], found["kld"]
    assert header["structure"]["version"] == 3
    assert not any(header["structure"][kind] for kind in ("missing", "extra", "reshaped"))
    assert header["census"].keys() == {"F32", "Q4_K", "Q6_K"}
    assert sum(header["census"].values()) == header["tensors"]
    assert header["size"] == (made["Q4_K_M"] / FILE).stat().st_size
    assert re.search("(boy|girl) named [A-Z]", found["smoke"]["text"])
    assert found["smoke_python"]["text"].split()[:3] == found["smoke"]["text"].split()[:3]
    assert kld["perplexity"]["chunks"] == SETTING["chunks"]
    assert 0 < kld["median"] < kld["mean"] < kld["p99"] <= kld["max"]
    assert 0.5 < kld["same_top"] <= 1
    assert 0 < kld["mean_error"] < kld["mean"]
    assert 0 < kld["rms_change"] < 0.2
    assert abs(kld["mean_change"]) < kld["rms_change"]
    assert 0 < kld["log_ratio_error"] < 0.01
    assert found["smoke"]["peak"] > header["size"]
    for name in ("prompt", "generation"):
        speed = found["speed"][name]
        assert speed["ms_per_token"] * speed["tokens_per_second"] == pytest.approx(1000, rel=0.2)
    checks = judge(found, Expectation(asked={"smoke": {"expect": "named"}}, full_name="F16"))
    assert {check.status for check in checks} <= {Status.PASS, Status.SKIP}


def test_bits_per_weight_are_those_of_llama_quantize(
    toolchain_inputs: Tools, made: dict[str, Path], measured: Run, tmp_path: Path
) -> None:
    params = {"file": FILE, "type": "Q4_0"}
    task = task_in(tmp_path, toolchain_inputs, "quantize", params, {"model": made["F16"]})
    found = quantize.run(task)["bits_per_weight"]
    assert measured(made["Q4_0"])["header"]["bits_per_weight"] == found
    [printed] = re.findall(r"\(([\d.]+) BPW\)", task.log.read_text("utf-8"))[-1:]
    assert round(found, 2) == float(printed)


def test_the_same_perplexity_with_and_without_logits(measured: Run, made: dict[str, Path]) -> None:
    with_logits = measured(made["Q4_0"], "kld")["kld"]["perplexity"]
    without = measured(made["Q4_0"], "perplexity", inputs={"corpus": made["corpus"]})
    assert without["perplexity"]["value"] == pytest.approx(with_logits["value"], abs=1e-3)


def test_the_full_files_perplexity_is_not_measured_twice(
    measured: Run, made: dict[str, Path]
) -> None:
    facts = json.loads((made["logits"] / "perplexity.json").read_text("utf-8"))
    found = measured(made["F16"], "perplexity")
    assert found["perplexity"]["value"] == facts["perplexity"]


def test_saved_logits_are_as_long_as_their_header_says(made: dict[str, Path]) -> None:
    facts = json.loads((made["logits"] / "perplexity.json").read_text("utf-8"))
    assert facts["bytes"] == (made["logits"] / "logits.bin").stat().st_size
    assert (facts["context"], facts["chunks"]) == (SETTING["context"], SETTING["chunks"])


def test_a_short_text_is_one_sentence(
    toolchain_inputs: Tools, made: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "short.txt").write_text("Once upon a time.")
    inputs = {"model": made["F16"], "corpus": tmp_path / "corpus"}
    params = {"file": FILE, "save": False, **SETTING}
    with pytest.raises(StepError, match=r"too short \(\d+ tokens, at least 256"):
        full_file_logits.run(task_in(tmp_path, toolchain_inputs, "logits", params, inputs))


def test_a_truncated_file_fails_with_the_tensor(
    measured: Run, made: dict[str, Path], tmp_path: Path
) -> None:
    def cut(data: bytearray) -> None:
        del data[-1000:]

    with pytest.raises(StepError, match="ends at byte"):
        measured(damaged(made, tmp_path, cut))


def test_a_file_of_another_format_fails(
    measured: Run, made: dict[str, Path], tmp_path: Path
) -> None:
    def rename(data: bytearray) -> None:
        data[:4] = b"GGUX"

    with pytest.raises(StepError, match="not a GGUF file"):
        measured(damaged(made, tmp_path, rename))


def test_a_missing_tensor_fails_the_structure_and_no_tool_is_asked(
    measured: Run, made: dict[str, Path], tmp_path: Path
) -> None:
    def rename(data: bytearray) -> None:
        at = data.index(b"blk.1.ffn_up.weight")
        data[at : at + 19] = b"blk.1.ffn_uq.weight"

    found = measured(damaged(made, tmp_path, rename), "load", "smoke")
    structure = found["header"]["structure"]
    assert structure["missing"] == ["blk.1.ffn_up.weight"]
    assert structure["extra"] == ["blk.1.ffn_uq.weight"]
    assert found["load"] == found["smoke"] == {}
    [check] = [one for one in judge(found, Expectation()) if one.name == "structure"]
    assert check.status is Status.FAIL
    assert "blk.1.ffn_up.weight" in check.message


@pytest.mark.parametrize(
    ("tensor", "data"),
    [
        ("blk.0.ffn_up.weight", struct.pack("<e", float("nan"))),  # a block's scale
        ("output_norm.weight", struct.pack("<f", float("inf"))),
    ],
)
def test_weights_that_are_no_numbers_fail_by_name(
    measured: Run, made: dict[str, Path], tmp_path: Path, tensor: str, data: bytes
) -> None:
    at = position(made, tensor)

    def poison(content: bytearray) -> None:
        content[at : at + len(data)] = data

    with pytest.raises(StepError, match=f"weights of {re.escape(tensor)} hold values"):
        measured(damaged(made, tmp_path, poison), "smoke")


def test_a_perplexity_that_is_no_number_fails(
    toolchain_inputs: Tools, made: dict[str, Path], tmp_path: Path
) -> None:
    at, folder = position(made, "output_norm.weight", "F16"), tmp_path / "nan"
    data = bytearray((made["F16"] / FILE).read_bytes())
    data[at : at + 1024] = struct.pack("<f", float("nan")) * 256
    folder.mkdir()
    (folder / FILE).write_bytes(data)
    inputs = {"model": folder, "corpus": made["corpus"]}
    params = {"file": FILE, "save": False, **SETTING}
    with pytest.raises(StepError, match="perplexity is no number"):
        full_file_logits.run(task_in(tmp_path, toolchain_inputs, "logits", params, inputs))


def test_one_flipped_byte_in_the_weights_is_found_by_the_checksum(
    measured: Run, made: dict[str, Path], tmp_path: Path
) -> None:
    at = position(made, "blk.0.ffn_up.weight") + 1000

    def flip(data: bytearray) -> None:
        data[at] ^= 0xFF

    folder = damaged(made, tmp_path, flip)
    stated = file_sha256(made["Q4_K_M"] / FILE)
    found = measured(folder)
    expected = Expectation(sha256=file_sha256(folder / FILE), expected_sha256=stated)
    [check] = [one for one in judge(found, expected) if one.name == "sha256"]
    assert check.status is Status.FAIL


def test_damaged_logits_are_one_sentence(
    measured: Run, made: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(made["logits"], tmp_path / "logits")
    (tmp_path / "logits" / "logits.bin").unlink()
    data = (made["logits"] / "logits.bin").read_bytes()
    (tmp_path / "logits" / "logits.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(StepError, match="saved logits are damaged"):
        measured(made["Q4_0"], "kld", inputs={"logits": tmp_path / "logits"})


def test_progress_says_what_is_being_done(
    toolchain_inputs: Tools, made: dict[str, Path], tmp_path: Path
) -> None:
    seen: list[Progress] = []
    params = {"file": FILE, "save": False, **SETTING}
    inputs = {"model": made["Q4_0"], "corpus": made["corpus"]}
    task = task_in(tmp_path, toolchain_inputs, "logits", params, inputs)
    full_file_logits.run(Task(**{**vars(task), "report": seen.append}))
    assert seen[-1].done == SETTING["chunks"]
    assert seen[-1].unit == "chunks"
