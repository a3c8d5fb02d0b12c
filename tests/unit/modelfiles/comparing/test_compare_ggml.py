"""GGML files of 2023: their numbers and vocabulary as keys, their own block layouts."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from orchestrator.modelfiles.comparing import Verdict, compare
from orchestrator.modelfiles.format_error import FormatError
from tests.support.gguf_pairs import flip, tensor, write_ggml
from tests.support.model_files import GGMLSpec, Tensor, ggml_bytes, whole_model

WO = "layers.0.attention.wo.weight"


@pytest.mark.parametrize(
    ("family", "magic", "version", "kind"),
    [
        ("llama", "ggml", 0, "Q4_0"),
        ("llama", "ggmf", 1, "Q4_1"),
        ("llama", "ggjt", 1, "Q4_1"),
        ("llama", "ggjt", 2, "Q5_0"),
        ("llama", "ggjt", 3, "Q4_0"),
        ("bloom", "ggml", 0, "Q4_1"),
    ],
)
def test_a_flipped_byte_is_found_in_every_format(
    tmp_path: Path, family: str, magic: str, version: int, kind: str
) -> None:
    a = write_ggml(tmp_path / "a.bin", family, {WO: kind}, magic=magic, version=version)
    one = tensor(a, WO)
    b = flip(a, one.offset + one.nbytes - 1, tmp_path / "b.bin")

    same, found = compare(a, a), compare(a, b)

    assert same.verdict is Verdict.IDENTICAL
    (changed,) = (other for other in found.tensors if other.state != "identical")
    assert (changed.name, changed.differing_blocks, changed.blocks) == (WO, 1, 4)
    assert changed.values is not None
    assert changed.values.largest > 0


def test_rows_and_blocks_of_the_same_early_q4_1_hold_the_same_values(tmp_path: Path) -> None:
    golden = json.loads(Path(__file__).with_name("golden.json").read_text())["early_q4_1"]
    paths = []
    for form in ("rows", "blocks"):
        path = tmp_path / f"{form}.bin"
        tensors = [
            Tensor(one.name, (96, 2), "Q4_1") if one.name == WO else one
            for one in whole_model("bloom")
        ]
        path.write_bytes(ggml_bytes(GGMLSpec("ggml", family="bloom", tensors=tensors)))
        one = tensor(path, WO)
        data = bytearray(path.read_bytes())
        data[one.offset : one.offset + one.nbytes] = bytes.fromhex(golden[form]["blocks"])
        path.write_bytes(data)
        paths.append(path)

    (found,) = (one for one in compare(*paths).tensors if one.state != "identical")

    assert found.values is not None
    assert found.values.largest == 0
    assert found.state == "differs"


def test_rows_of_early_q4_1_are_never_cut(tmp_path: Path) -> None:
    golden = json.loads(Path(__file__).with_name("golden.json").read_text())["early_q4_1"]
    rows = bytes.fromhex(golden["rows"]["blocks"])[:72] * 9000  # more than one piece
    tensors = [
        Tensor(one.name, (96, 9000), "Q4_1") if one.name == WO else one
        for one in whole_model("bloom")
    ]
    a, b = tmp_path / "a.bin", tmp_path / "b.bin"
    data = bytearray(ggml_bytes(GGMLSpec("ggml", family="bloom", tensors=tensors)))
    a.write_bytes(data)
    at = tensor(a, WO).offset
    data[at : at + len(rows)] = rows
    a.write_bytes(data)
    data[at + len(rows) - 1] ^= 0x10  # a nibble of the last row
    b.write_bytes(data)

    (found,) = (one for one in compare(a, b).tensors if one.state != "identical")

    scale = struct.unpack_from("<f", rows, 12 + 8)[0]
    assert (found.differing_blocks, found.blocks) == (1, 27_000)
    assert found.values is not None
    assert found.values.largest == pytest.approx(scale)


def test_numbers_and_vocabulary_are_keys(tmp_path: Path) -> None:
    a = write_ggml(tmp_path / "a.bin", "llama", {})
    b = write_ggml(tmp_path / "b.bin", "llama", {}, tokens=(b"<unk>", b"", b"b"))
    c = write_ggml(tmp_path / "c.bin", "llama", {}, hparams={"ftype": 2})

    vocabulary, number = compare(a, b), compare(a, c)

    assert [one.key for one in vocabulary.keys] == ["(vocabulary)"]
    assert [one.key for one in number.keys] == ["ftype"]
    assert vocabulary.verdict is number.verdict is Verdict.SAME_TENSORS


def test_a_score_belongs_to_the_vocabulary(tmp_path: Path) -> None:
    a = write_ggml(tmp_path / "a.bin", "llama", {})
    score = struct.pack("<f", -1.5)  # after every token; take the last one
    b = flip(a, a.read_bytes().rindex(score), tmp_path / "b.bin")

    assert [one.key for one in compare(a, b).keys] == ["(vocabulary)"]


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_only_a_number_differs(tmp_path: Path, family: str) -> None:
    a = write_ggml(tmp_path / "a.bin", family, {WO: "F16"}, magic="ggml")
    b = write_ggml(tmp_path / "b.bin", family, {WO: "F16"}, magic="ggml", hparams={"n_mult": 32})

    found = compare(a, b)

    assert [one.key for one in found.keys] == ["n_mult"]
    assert found.verdict is Verdict.SAME_TENSORS


def test_tensors_are_the_same_in_another_container(tmp_path: Path) -> None:
    a = write_ggml(tmp_path / "a.bin", "llama", {WO: "F16"}, magic="ggml")
    b = write_ggml(tmp_path / "b.bin", "llama", {WO: "F16"}, magic="ggjt", version=3)

    found = compare(a, b)

    assert [one.key for one in found.keys] == ["(magic)", "(version)", "(vocabulary)"]
    assert found.verdict is Verdict.SAME_TENSORS


def test_the_same_type_with_another_layout_is_another_type(tmp_path: Path) -> None:
    a = write_ggml(tmp_path / "a.bin", "llama", {WO: "Q4_0"}, version=1)
    b = write_ggml(tmp_path / "b.bin", "llama", {WO: "Q4_0"}, version=2)

    found = compare(a, b)

    (changed,) = (one for one in found.tensors if one.state != "identical")
    assert changed.types == ("Q4_0 (ggjt-v1)", "Q4_0 (ggjt-v2)")
    assert found.verdict is Verdict.DIFFERENT


def test_the_family_is_found_out_or_told(tmp_path: Path) -> None:
    bloom = write_ggml(tmp_path / "a.bin", "bloom", {}, magic="ggml")

    assert compare(bloom, bloom).a.format == "ggml"
    assert compare(bloom, bloom, family="bloom").verdict is Verdict.IDENTICAL
    with pytest.raises(FormatError):
        compare(bloom, bloom, family="llama")


def test_a_damaged_file_is_refused_with_llamas_reason(tmp_path: Path) -> None:
    path = write_ggml(tmp_path / "a.bin", "llama", {})
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(FormatError, match=r"a\.bin: at byte"):
        compare(path, path)
