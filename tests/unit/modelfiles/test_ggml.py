from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.modelfiles import ggml
from orchestrator.modelfiles.format_error import FormatError
from tests.support.model_files import GGMLSpec, Tensor, ggml_bytes, whole_model

Write = Callable[[bytes], Path]
MATRIX = Tensor("tok_embeddings.weight", (32, 3), "F16")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(data: bytes) -> Path:
        path = tmp_path / "model.bin"
        path.write_bytes(data)
        return path

    return _write


@pytest.mark.parametrize(
    ("magic", "version", "layout"),
    [
        ("ggml", 0, "ggjt-v1"),
        ("ggmf", 1, "ggjt-v1"),
        ("ggjt", 1, "ggjt-v1"),
        ("ggjt", 2, "ggjt-v2"),
        ("ggjt", 3, "ggjt-v3"),
    ],
)
def test_llama_containers(write: Write, magic: str, version: int, layout: str) -> None:
    tensors = [MATRIX, Tensor("q", (64, 2), "Q4_0"), Tensor("norm.weight", (32,))]
    spec = GGMLSpec(magic, version, tensors=tensors, hparams={"ftype": 2})
    path = write(ggml_bytes(spec))
    found = ggml.read(path, "llama", complete=False)
    assert (found.magic, found.version, found.layout) == (magic, version, layout)
    assert found.hparams == ggml.HParams(3, 32, 256, 2, 1, 16, 2)
    assert (found.n_vocab, found.ftype, found.vocab_bytes) == (3, 2, 6)
    assert [(one.name, one.shape, one.type) for one in found.tensors] == [
        ("tok_embeddings.weight", (32, 3), "F16"),
        ("q", (64, 2), "Q4_0"),
        ("norm.weight", (32,), "F32"),
    ]
    assert found.tensors[1].nbytes == 4 * (18 if version == 3 else 20)
    last = found.tensors[-1]
    assert last.offset + last.nbytes == found.file_size
    if magic == "ggjt":
        assert all(one.offset % 32 == 0 for one in found.tensors)
    assert found.n_elements == 96 + 128 + 32
    bits = 8 * sum(one.nbytes for one in found.tensors) / found.n_elements
    assert found.bits_per_weight == bits


def test_bloom_files_have_no_rotation_and_no_scores(write: Write) -> None:
    spec = GGMLSpec("ggml", family="bloom", tensors=[MATRIX, Tensor("b", (32, 2), "Q4_1")])
    found = ggml.read(write(ggml_bytes(spec)), "bloom", complete=False)
    assert (found.family, found.layout) == ("bloom", "bloomz")
    assert found.hparams == ggml.HParams(3, 32, 256, 2, 1, 0, 1)
    assert found.tensors[1].nbytes == 48


def test_a_llama_is_not_taken_for_a_bloom(write: Write) -> None:
    path = write(ggml_bytes(GGMLSpec("ggml")))
    with pytest.raises(FormatError, match="16 is no file type of bloom"):
        ggml.read(path, "bloom")
    with pytest.raises(FormatError, match=r"bloomz\.cpp writes no ggjt files"):
        ggml.read(write(ggml_bytes(GGMLSpec())), "bloom")


def test_a_bloom_is_not_taken_for_a_llama(write: Write) -> None:
    path = write(ggml_bytes(GGMLSpec("ggml", family="bloom")))
    with pytest.raises(FormatError):
        ggml.read(path, "llama", complete=False)


@pytest.mark.parametrize(
    ("embd", "mult", "family", "ff"),
    [
        (4096, 256, "llama", 11008),
        (5120, 256, "llama", 13824),
        (6656, 256, "llama", 17920),
        (8192, 256, "llama", 22016),
        (4096, 1, "bloom", 16384),
    ],
)
def test_the_feed_forward_width_follows_from_the_header(
    embd: int, mult: int, family: ggml.Family, ff: int
) -> None:
    assert ggml.HParams(32000, embd, mult, 32, 32, 128, 1).n_ff(family) == ff


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_file_cut_between_two_tensors_is_not_complete(write: Write, family: ggml.Family) -> None:
    tensors = whole_model(family)
    whole = GGMLSpec("ggml", family=family, tensors=tensors)
    assert len(ggml.read(write(ggml_bytes(whole)), family).tensors) == len(tensors)
    cut = ggml_bytes(GGMLSpec("ggml", family=family, tensors=tensors[:-1]))
    assert ggml_bytes(whole).startswith(cut)
    with pytest.raises(FormatError, match=f"'{tensors[-1].name}' first, each is missing"):
        ggml.read(write(cut), family)


def test_a_tensor_of_another_model_is_named(write: Write) -> None:
    tensors = [*whole_model("llama"), Tensor("layers.1.ffn_norm.weight", (32,))]
    with pytest.raises(FormatError, match=r"'layers.1.ffn_norm.weight' first, each is unknown"):
        ggml.read(write(ggml_bytes(GGMLSpec(tensors=tensors))), "llama")


def test_tensors_are_limited_in_number(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(ggml_bytes(GGMLSpec(tensors=whole_model("llama"))))
    monkeypatch.setattr(ggml, "_MAX_TENSORS", 11)
    with pytest.raises(FormatError, match="more than 11 tensors"):
        ggml.read(path, "llama")


_tensors = st.dictionaries(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.tuples(
        st.sampled_from(["F32", "F16", "Q4_0", "Q4_1"]),
        st.lists(st.integers(1, 5), min_size=1, max_size=2),
    ),
    min_size=1,
    max_size=5,
).map(
    lambda named: [
        Tensor(name, [shape[0] * 32, *shape[1:]], kind) for name, (kind, shape) in named.items()
    ]
)
_specs = st.builds(
    GGMLSpec,
    magic=st.sampled_from(["ggml", "ggmf", "ggjt"]),
    tokens=st.lists(st.binary(max_size=12), min_size=1, max_size=9),
    tensors=_tensors.filter(lambda all_: all(len(one.name.encode()) < 256 for one in all_)),
)


@given(_specs)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, spec: GGMLSpec) -> None:
    path = tmp_path_factory.mktemp("round") / "m.bin"
    path.write_bytes(ggml_bytes(spec))
    found = ggml.read(path, "llama", complete=False)
    assert found.vocab_bytes == sum(map(len, spec.tokens))
    assert [(one.name, list(one.shape), one.type) for one in found.tensors] == [
        (one.name, list(one.shape), one.type) for one in spec.tensors
    ]


def change(at: int, *numbers: int) -> bytes:
    """A ggjt file with 32-bit numbers overwritten: 0 magic, 4 version, 8 n_vocab, ..."""
    data = bytearray(ggml_bytes(GGMLSpec()))
    struct.pack_into(f"<{len(numbers)}I", data, at, *numbers)
    return bytes(data)


TENSOR = 8 + 28 + 3 * 8 + 6
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the magic needs 4 bytes"),
    "gguf": (b"GGUF" + b"\0" * 60, "not a GGML file of 2023"),
    "version 4": (change(4, 4), "ggjt version 4 is not known"),
    "ggmf version 2": (ggml_bytes(GGMLSpec("ggmf", 2)), "ggmf version 2 is not known"),
    "no vocabulary": (change(8, 0), "n_vocab is 0"),
    "huge vocabulary": (change(8, 2**32 - 1), "n_vocab is 4294967295"),
    "claimed vocabulary": (change(8, 2**23), f"token needs {2**26} bytes"),
    "no layers": (change(24, 0), "n_layer is 0"),
    "file type": (change(32, 19), "19 is no file type of llama"),
    "token cut": (change(36, 2**31), f"token 0 claims {2**31} bytes but"),
    "three dimensions": (change(TENSOR, 3), "has 3 dimensions, not 1 or 2"),
    "long name": (change(TENSOR + 4, 300), "claims 300 bytes"),
    "type 7 too long": (change(TENSOR + 8, 4, 32, 2**32 - 1), "needs"),
    "unknown type": (change(TENSOR + 8, 9), "9 is no tensor type of the ggjt-v1 layout"),
    "zero shape": (change(TENSOR + 12, 0), "no proper name or shape"),
    "partial block": (change(TENSOR + 8, 2, 31), "31 elements do not fill"),
    "huge shape": (change(TENSOR + 12, 2**32 - 1, 2**32 - 1), "needs .* bytes but the file has"),
    "one byte more": (ggml_bytes(GGMLSpec()) + b"\0", "needs 12 bytes but the file has 1 more"),
    "one byte less": (ggml_bytes(GGMLSpec())[:-1], "tensor 'tok_embeddings.weight' needs 192"),
    "no tensors": (ggml_bytes(GGMLSpec(tensors=())), "there are no tensors"),
    "name twice": (ggml_bytes(GGMLSpec(tensors=(MATRIX, MATRIX))), "appears twice"),
    "name not UTF-8": (
        ggml_bytes(GGMLSpec(tensors=(Tensor("abc", (8,)),))).replace(b"abc", b"a\xffc"),
        "name of tensor 0 is not UTF-8",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_defects_are_named(write: Write, data: bytes, message: str) -> None:
    path = write(data)
    with pytest.raises(FormatError, match=message) as caught:
        ggml.read(path, "llama", complete=False)
    assert caught.value.message.startswith(f"{path}: at byte ")
