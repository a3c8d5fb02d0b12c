"""PyTorch's .bin files, sound, malicious and damaged."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging import safe_unpickler, torch_zip
from orchestrator.modelfiles.merging.safe_unpickler import read_state_dict
from tests.support.merge_pairs import (
    archive,
    call,
    llama,
    number,
    rebuilt,
    state_dict,
    storage,
    text,
    write_bin,
)

BY_TORCH = Path(__file__).with_name("torch-2.13.bin")
SOUND = {"w": rebuilt(storage("Half", "0", 6), 0, (2, 3))}


def bin_file(folder: Path, content: bytes) -> Path:
    path = folder / "pytorch_model.bin"
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(StepError) as caught:
        torch_zip.read_tensors(path)
    assert str(path) in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value.message


def test_a_file_of_torch() -> None:
    """Made with torch 2.13.0 by these lines.

    ``torch.save({"half": arange(6, dtype=float16).reshape(2, 3), "bf16": arange(4,
    dtype=bfloat16), "parameter": Parameter(arange(8.)[2:6].reshape(2, 2)), "tied": <half>,
    "ids": tensor([1, 2]), "scalar": tensor(7.)}, path)``, the dictionary being an OrderedDict
    with a ``_metadata`` attribute.
    """
    found = {ref.name: ref for ref in torch_zip.read_tensors(BY_TORCH)}
    assert list(found) == ["half", "bf16", "parameter", "tied", "ids", "scalar"]
    data = BY_TORCH.read_bytes()

    def raw(name: str) -> bytes:
        return data[found[name].offset : found[name].offset + found[name].nbytes]

    assert (found["half"].dtype, found["half"].shape) == ("F16", (2, 3))
    assert raw("half").hex() == "0000003c0040004200440045"
    assert raw("bf16").hex() == "0000803f00404040"
    assert found["parameter"].shape == (2, 2)
    assert raw("parameter").hex() == "0000004000004040000080400000a040"
    assert (found["tied"].offset, found["tied"].nbytes) == (found["half"].offset, 12)
    assert (found["ids"].dtype, found["scalar"].shape) == ("I64", ())


def test_every_tensor_is_a_range_of_the_file(tmp_path: Path) -> None:
    tensors = llama(32, "BF16", 3)
    write_bin(tmp_path / "x.bin", tensors)
    data = (tmp_path / "x.bin").read_bytes()
    refs = torch_zip.read_tensors(tmp_path / "x.bin")
    assert [ref.name for ref in refs] == list(tensors)
    for ref in refs:
        assert data[ref.offset : ref.offset + ref.nbytes] == tensors[ref.name].data
        assert (ref.dtype, ref.shape) == ("BF16", tensors[ref.name].shape)


def test_views_of_one_storage(tmp_path: Path) -> None:
    store = storage("Half", "0", 6)
    entries = {"all": rebuilt(store, 0, (2, 3)), "end": rebuilt(store, 4, (2,))}
    path = bin_file(tmp_path, archive(state_dict(entries), {"0": bytes(12)}))
    whole, end = torch_zip.read_tensors(path)
    assert end.offset == whole.offset + 8
    assert end.nbytes == 4


@pytest.mark.parametrize(
    ("evil", "named"),
    [
        (call("os.system", text("touch pwned")), "os.system"),
        (call("builtins.eval", text("1")), "builtins.eval"),
        (call("torch.storage._load_from_bytes", text("")), "torch.storage._load_from_bytes"),
        (b"cnumpy.core.multiarray\n_reconstruct\n", "numpy.core.multiarray._reconstruct"),
        (b"\x8c\x02os\x8c\x06system\x93", "os.system"),
        (b"(S'touch pwned'\nios\nsystem\n", "STRING"),
        (b"(ios\nsystem\n", "INST"),
        (b"\x82\x01", "EXT1"),
    ],
)
def test_a_pickle_that_wants_to_run_something_is_refused_by_name(
    tmp_path: Path, evil: bytes, named: str
) -> None:
    path = bin_file(tmp_path, archive(state_dict({"w": evil}), {}))
    assert named in refusal(path)


def test_real_exploit_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("pwned",)

    path = bin_file(tmp_path, archive(pickle.dumps({"w": Evil()}), {}))
    assert "print" in refusal(path)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M", "before PyTorch 1.6"),
        (b"hello", "not a PyTorch checkpoint"),
        (b"", "not a PyTorch checkpoint"),
        (archive(state_dict(SOUND), {"0": bytes(12)})[:-30], "not a PyTorch checkpoint"),
        (archive(state_dict(SOUND), {}), "'w' is missing or short"),
        (archive(state_dict(SOUND), {"0": bytes(10)}), "'w' is missing or short"),
        (archive(b"\x80\x02}.", {}, **{"constants.pkl": b""}), "TorchScript"),
        (archive(state_dict({"w": text("hi")}), {}), "'w' of the pickle is not a tensor"),
        (archive(b"\x80\x02]q\x00.", {}), "not a dictionary"),
        (archive(b"\x80\x02}q\x00", {}), "damaged"),
        (archive(b"\x80\x02}h\x07.", {}), "never stored"),
        (archive(b"\x80\x02R.", {}), "empty stack"),
        (archive(b"\x80\x02}u.", {}), "no mark"),
    ],
)
def test_what_is_not_a_checkpoint_gets_a_sentence(
    tmp_path: Path, content: bytes, part: str
) -> None:
    assert part in refusal(bin_file(tmp_path, content))


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (rebuilt(storage("Half", "0", 6), 0, (3, 2), (1, 3)), "strides [1, 3]"),
        (rebuilt(storage("Half", "0", 6), 1, (2, 3)), "past the end"),
        (rebuilt(storage("Half", "0", 6), -1, (2,)), "does not know"),
        (rebuilt(storage("Half", "0", 2**60), 0, (2,)), "missing or short"),
        (rebuilt(storage("Half", "0", 6), 0, (2**40, 2**40)), "past the end"),
        (rebuilt(storage("Half", "0", 6), 0, (1,) * 17), "short list of sizes"),
        (rebuilt(storage("Half", "0", 6), 0, (-2,)), "list of sizes"),
        (rebuilt(storage("Half", "0", -6), 0, (2,)), "typed storage"),
        (rebuilt(number(0), 0, (2,)), "does not know"),
    ],
)
def test_an_impossible_tensor_is_refused(tmp_path: Path, value: bytes, part: str) -> None:
    path = bin_file(tmp_path, archive(state_dict({"w": value}), {"0": bytes(12)}))
    assert part in refusal(path)


def test_sizes_of_one_may_have_any_stride(tmp_path: Path) -> None:
    value = rebuilt(storage("Half", "0", 6), 0, (1, 6), (99, 1))
    path = bin_file(tmp_path, archive(state_dict({"w": value}), {"0": bytes(12)}))
    assert torch_zip.read_tensors(path)[0].shape == (1, 6)


def test_a_compressed_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data.pkl", state_dict(SOUND))
        out.writestr("archive/data/0", bytes(10**6))
    assert "compressed" in refusal(path)


def test_a_huge_pickle_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_zip, "MAX_PICKLE_BYTES", 100)
    path = bin_file(tmp_path, archive(state_dict(SOUND), {"0": bytes(12)}))
    assert "less than 100" in refusal(path)


def test_a_big_endian_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("archive/data.pkl", state_dict(SOUND))
        out.writestr("archive/byteorder", b"big")
    assert "big-endian" in refusal(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = bin_file(tmp_path, archive(state_dict(SOUND), {"0": bytes(12)}, **{"data/0": bytes(12)}))
    assert "twice" in refusal(path)


def doubled(times: int) -> bytes:
    """A list whose text has 2 to the power of ``times`` parts, in a few bytes each."""
    return b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (last, last, last + 1) for last in range(times))


LISTED = (
    b"\x8c\x02os" + doubled(60) + b"\x93",
    doubled(60) + b"\x8c\x02os\x93",
    b"\x8c\x02os" + b"]" * 5000 + b"a" * 4999 + b"\x93",
    b"]q\x00h\x00ah\x00\x93",
    call("torch._utils._rebuild_tensor_v2", doubled(60) * 6),
    b"(" + text("storage") + b"ctorch\nHalfStorage\n" + doubled(60) + text("cpu") + b"K\x01tQ",
)


@pytest.mark.parametrize("value", LISTED)
def test_lists_in_place_of_names_are_refused_at_once(tmp_path: Path, value: bytes) -> None:
    path = bin_file(tmp_path, archive(state_dict({"w": value}), {}))
    assert "the pickle" in refusal(path)


@pytest.mark.parametrize(
    "data",
    [
        b"]" * 100_000,
        b"(" * 100_000,
        b"](" + b"]" * 5000 + b"e" + (b"(" + b"]" * 5000 + b"e") * 1000,
        b"]" + b"]a" * 2_000_000,
    ],
    ids=["lists", "marks", "lists in one", "one by one"],
)
def test_the_work_for_a_pickle_is_bounded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_unpickler, "MAX_OPCODES", 200_000)
    with pytest.raises(StepError, match="larger than any list of tensors"):
        read_state_dict(b"\x80\x02" + data + b".", "x.bin")


def test_one_long_name_is_not_copied_for_each_tensor() -> None:
    with pytest.raises(StepError, match="typed storage"):
        read_state_dict(state_dict({"w": rebuilt(storage("Half", "0" * 101, 6), 0, (6,))}), "x")


PARTS = st.sampled_from(
    [
        *(bytes([one]) for one in b"](}Nt\x85\x86\x87RQusaeb\x93\x94\x88."),
        *(b"%c%c" % (one, place) for one in b"qh" for place in range(4)),
        *(text(one) for one in ("storage", "cpu", "0", "torch", "HalfStorage")),
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ctorch._utils\n_rebuild_parameter\n",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nSize\n",
        b"ctorch\nHalfStorage\n",
        b"K\x06",
        storage("Half", "0", 6),
        rebuilt(storage("Half", "0", 6), 0, (2, 3)),
    ]
)


@settings(max_examples=500)
@given(st.lists(PARTS, max_size=60))
def test_any_row_of_opcodes_gives_tensors_or_a_sentence(parts: list[bytes]) -> None:
    try:
        found = read_state_dict(b"\x80\x02" + b"".join(parts), "x.bin")
    except StepError:
        return
    assert all(type(name) is str for name in found)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@given(st.binary(max_size=200))
def test_any_bytes_as_pickle_give_tensors_or_a_sentence(data: bytes) -> None:
    try:
        found = read_state_dict(b"\x80\x02" + data, "x.bin")
    except StepError:
        return
    assert isinstance(found, dict)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@settings(max_examples=300)
@given(st.data())
def test_any_damage_gives_ranges_inside_the_file_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(archive(state_dict(SOUND), {"0": bytes(12)}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = bin_file(tmp_path_factory.mktemp("damage"), bytes(content))
    try:
        refs = torch_zip.read_tensors(path)
    except StepError:
        return
    assert all(0 <= ref.offset <= ref.offset + ref.nbytes <= len(content) for ref in refs)
