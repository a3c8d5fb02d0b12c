"""Archives from elsewhere: only what was asked for, only inside, or one sentence."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.base.errors import OrchestrateError, StepError
from orchestrator.sources import archive

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Entry:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def tar_of(path: Path, *entries: Entry, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return path


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_inner_folder_alone_is_unpacked(tmp_path: Path, mode: str) -> None:
    made = tar_of(
        tmp_path / "x.tar",
        entry("x-1.0/README", b"outside"),
        entry("x-1.0/vendor/cpp/a.c", b"int a;"),
        entry("x-1.0/vendor/cpp/deep/b.c", b"int b;"),
        entry("x-1.0/vendor/cppx/c.c", b"no"),
        mode=mode,
    )

    archive.extract_tree(made, "vendor/cpp", tmp_path / "out")

    assert everything(tmp_path / "out") == ["a.c", "deep", "deep/b.c"]
    assert (tmp_path / "out/a.c").read_bytes() == b"int a;"


@pytest.mark.parametrize(
    "names",
    [["x/v/a", "x/v/a/b"], ["x/v/a/b", "x/v/a"], ["x/v/" + "n" * 300], ["x/v" + "/d" * 5000]],
)
def test_members_that_no_folder_can_hold_are_no_archive(tmp_path: Path, names: list[str]) -> None:
    made = tar_of(tmp_path / "x.tgz", *(entry(name, b"1") for name in names))

    with pytest.raises(StepError, match=r"x\.tgz is not a sound archive: ") as told:
        archive.extract_tree(made, "v", tmp_path / "out")
    assert len(told.value.message) < 500


def test_a_missing_inner_folder_is_named(tmp_path: Path) -> None:
    made = tar_of(tmp_path / "x.tgz", entry("x/other/a", b"a"))

    with pytest.raises(StepError, match=r"x\.tgz has no folder 'vendor'"):
        archive.extract_tree(made, "vendor", tmp_path / "out")


@pytest.mark.parametrize("name", ["x/v/../../../evil", "x/v/../../evil", "x/v/a/../../../evil"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    made = tar_of(tmp_path / "x.tgz", entry(name, b"evil"))
    folder = tmp_path / "a" / "b" / "out"

    with pytest.raises(StepError, match="not a sound archive"):
        archive.extract_tree(made, "v", folder)

    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "unwanted",
    [
        entry("x/v/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("x/v/hard", kind=tarfile.LNKTYPE, link="x/v/../../../a"),
        entry("x/v/null", kind=tarfile.CHRTYPE),
        entry("x/v/disk", kind=tarfile.BLKTYPE),
        entry("x/v/pipe", kind=tarfile.FIFOTYPE),
    ],
)
def test_only_files_and_folders_come_out(tmp_path: Path, unwanted: Entry) -> None:
    made = tar_of(tmp_path / "x.tgz", unwanted, entry("x/v/a", b"a"))

    archive.extract_tree(made, "v", tmp_path / "out")

    assert everything(tmp_path / "out") == ["a"]


def test_a_file_cannot_be_written_through_a_link_of_the_same_archive(tmp_path: Path) -> None:
    made = tar_of(
        tmp_path / "x.tgz",
        entry("x/v/d", kind=tarfile.SYMTYPE, link="../.."),
        entry("x/v/d/evil", b"evil"),
    )

    archive.extract_tree(made, "v", tmp_path / "out")

    assert (tmp_path / "out/d").is_dir()
    assert not (tmp_path / "out/d").is_symlink()
    assert not (tmp_path.parent / "evil").exists()


def test_set_user_id_bits_are_dropped(tmp_path: Path) -> None:
    info, data = entry("x/v/a", b"a")
    info.mode = 0o6777

    archive.extract_tree(tar_of(tmp_path / "x.tgz", (info, data)), "v", tmp_path / "out")

    assert (tmp_path / "out/a").stat().st_mode & 0o7022 == 0


def test_too_much_is_refused_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    for place in ("x/v/big", "x/skipped/big"):
        made = tar_of(tmp_path / "x.tgz", entry(place, bytes(1001)), entry("x/v/a", b"a"))

        with pytest.raises(StepError, match="unpacks to more than"):
            archive.extract_tree(made, "v", tmp_path / "out")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    made = tar_of(tmp_path / "x.tgz", *(entry(f"x/v/{n}", b"") for n in range(4)))

    with pytest.raises(StepError, match="3 files: refused"):
        archive.extract_tree(made, "v", tmp_path / "out")


@pytest.mark.parametrize(
    "entries",
    [
        [entry("x/v/a", b"1"), entry("x/v/a/b", b"2")],
        [entry("x/v/a/b", b"1"), entry("x/v/a", b"2")],
        [entry("x/v/a", b"1"), entry("x/v/a", kind=tarfile.DIRTYPE)],
        [entry("x/v/" + "n" * 300, b"1")],
    ],
    ids=["a file below a file", "a file over a folder", "a folder over a file", "a long name"],
)
def test_members_that_no_folder_can_hold_together(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(StepError, match=r"x\.tgz is not a sound archive: .+"):
        archive.extract_tree(tar_of(tmp_path / "x.tgz", *entries), "v", tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_long_header_is_refused_and_not_read(tmp_path: Path, kind: bytes) -> None:
    """Also as the first: the size alone is looked at, so that it may be any number."""
    info = tarfile.TarInfo("x/v/long")
    info.type, info.size = kind, 300_000_000
    for before in (b"", tarfile.TarInfo("x/v").tobuf()):
        (tmp_path / "x.tar").write_bytes(before + info.tobuf() + bytes(1024))
        with pytest.raises(StepError, match=r"a header in it has 300 MB"):
            archive.extract_tree(tmp_path / "x.tar", "v", tmp_path / "out")


def test_files_with_holes_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x/v/sparse")
    info.type = tarfile.GNUTYPE_SPARSE
    old = tmp_path / "old.tar"
    old.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    info, data = entry("x/v/a", b"1\n0\n1\n" + bytes(506) + b"a")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    for path in (old, tar_of(tmp_path / "new.tgz", (info, data))):
        with pytest.raises(StepError, match="files with holes"):
            archive.extract_tree(path, "v", tmp_path / "out")


OLD_PYTHON = """
import sys, tarfile
from pathlib import Path
del tarfile.data_filter
from orchestrator.sources import archive
assert archive.tarfile.__name__ == "backports.tarfile"
archive.extract_tree(Path(sys.argv[1]), "v", Path(sys.argv[2]))
"""


def test_an_old_python_unpacks_as_safely(tmp_path: Path) -> None:
    climbing, data = entry("x/v/../../../b", b"b")
    for name, entries in (("good", [entry("x/v/a", b"a")]), ("bad", [(climbing, data)])):
        path = tar_of(tmp_path / f"{name}.tgz", *entries)
        command = [sys.executable, "-c", OLD_PYTHON, str(path), str(tmp_path / "out" / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ("OutsideDestinationError" in done.stderr) is (name == "bad"), done.stderr
    assert (tmp_path / "out" / "good" / "a").read_bytes() == b"a"
    assert not list(tmp_path.rglob("b"))


def contents(seed: int) -> bytes:
    """Bytes that do not shrink to nothing."""
    return bytes((seed * n * n + n) % 251 for n in range(150))


def sound_or_said(work: Callable[[], None]) -> None:
    """What a damaged archive may do: give something, or fail with a sentence of ours."""
    try:
        work()
    except OrchestrateError as error:
        said = error.message
    else:
        said = "fine"
    assert "\n" not in said


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_cut_anywhere_is_one_sentence(tmp_path: Path, mode: str) -> None:
    made = tar_of(tmp_path / "x.tar", entry("x/v/a", contents(3)), entry("x/v/b", b"b"), mode=mode)
    whole = made.read_bytes()
    end = len(whole) if mode != "w" else 1024 + 512
    for length in range(0, end, 37):
        made.write_bytes(whole[:length])
        sound_or_said(lambda: archive.extract_tree(made, "v", tmp_path / "out"))
    made.write_bytes(whole[: len(whole) // 2] if mode != "w" else whole[:700])

    with pytest.raises(StepError, match=r"x\.tar"):
        archive.extract_tree(made, "v", tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_with_a_flipped_byte_is_read_or_one_sentence(tmp_path: Path, mode: str) -> None:
    made = tar_of(tmp_path / "x.tar", entry("x/v/a", contents(5)), mode=mode)
    whole = made.read_bytes()
    for position in range(0, min(len(whole), 2048), 7):
        made.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        sound_or_said(lambda: archive.extract_tree(made, "v", tmp_path / "out"))

    assert everything(tmp_path) == [
        "out",
        *(f"out/{n}" for n in everything(tmp_path / "out")),
        "x.tar",
    ]


# -- zip -----------------------------------------------------------------------------------


def zip_of(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)
    return path


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_one_member_of_a_zip(tmp_path: Path, how: int) -> None:
    made = zip_of(tmp_path / "x.whl", {"p/model.gguf": contents(7), "p/x.py": b"raise"}, how)

    archive.extract_member(made, "p/model.gguf", tmp_path / "m.gguf")

    assert (tmp_path / "m.gguf").read_bytes() == contents(7)
    assert everything(tmp_path) == ["m.gguf", "x.whl"]


def test_the_name_inside_never_becomes_a_path(tmp_path: Path) -> None:
    made = zip_of(tmp_path / "x.zip", {"../../evil": b"evil"})
    (tmp_path / "a").mkdir()

    archive.extract_member(made, "../../evil", tmp_path / "a" / "good")

    assert everything(tmp_path) == ["a", "a/good", "x.zip"]


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    made = zip_of(tmp_path / "x.whl", {"a": b""})

    with pytest.raises(StepError, match=r"x\.whl has no file 'b'"):
        archive.extract_member(made, "b", tmp_path / "b")


def test_a_zip_bomb_is_refused_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "HARMLESS_BYTES", 1 << 20)
    made = zip_of(tmp_path / "x.zip", {"bomb": bytes(2 << 20)})

    with pytest.raises(StepError, match="would expand from"):
        archive.extract_member(made, "bomb", tmp_path / "b")

    assert not (tmp_path / "b").exists()


def test_a_member_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    made = zip_of(tmp_path / "x.zip", {"a": contents(1)}, zipfile.ZIP_STORED)
    data = bytearray(made.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    made.write_bytes(bytes(data))

    with pytest.raises(StepError, match="not a sound archive"):
        archive.extract_member(made, "a", tmp_path / "a")


def test_an_encrypted_member_is_one_sentence(tmp_path: Path) -> None:
    made = zip_of(tmp_path / "x.zip", {"a": b"secret"}, zipfile.ZIP_STORED)
    data = bytearray(made.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    made.write_bytes(bytes(data))

    with pytest.raises(StepError, match="encrypted"):
        archive.extract_member(made, "a", tmp_path / "a")


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_read_or_one_sentence(tmp_path: Path, how: int) -> None:
    made = zip_of(tmp_path / "x.zip", {"a": contents(9)}, how)
    whole = made.read_bytes()
    for position in range(len(whole)):
        flipped = bytes([whole[position] ^ (0xFF if position % 2 else 0x01)])
        made.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        sound_or_said(lambda: archive.extract_member(made, "a", tmp_path / "a"))
    for length in range(len(whole)):
        made.write_bytes(whole[:length])
        with pytest.raises(StepError, match=r"x\.zip"):
            archive.extract_member(made, "a", tmp_path / "a")


# -- whole archives of tools -------------------------------------------------------------------


def zipped(path: Path, *members: tuple[str, bytes, int]) -> Path:
    """A zip of members by name, content and Unix mode."""
    with zipfile.ZipFile(path, "w") as bundle:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            bundle.writestr(info, data)
    return path


def test_a_whole_tar_is_unpacked_with_its_links(tmp_path: Path) -> None:
    made = tar_of(
        tmp_path / "x.tar.gz",
        entry("./tool", b"code"),
        entry("./libx.so.1", b"lib"),
        entry("./libx.so", kind=tarfile.SYMTYPE, link="libx.so.1"),
    )

    archive.unpack(made, tmp_path / "out")

    assert everything(tmp_path / "out") == ["libx.so", "libx.so.1", "tool"]
    assert (tmp_path / "out" / "libx.so").readlink() == Path("libx.so.1")


def test_a_whole_zip_is_unpacked_with_its_links_and_what_can_be_run(tmp_path: Path) -> None:
    made = zipped(
        tmp_path / "x.zip",
        ("build/bin/tool", b"code", 0o100755),
        ("build/bin/libx.so.1", b"lib", 0o100644),
        ("build/bin/libx.so", b"libx.so.1", 0o120777),
    )

    archive.unpack(made, tmp_path / "out")

    folder = tmp_path / "out" / "build" / "bin"
    assert (folder / "tool").stat().st_mode & 0o100
    assert not (folder / "libx.so.1").stat().st_mode & 0o100
    assert (folder / "libx.so").readlink() == Path("libx.so.1")


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", b"x", 0o100644),
        ("/tmp/outside", b"x", 0o100644),
        ("a\\..\\outside", b"x", 0o100644),
        ("link", b"../outside", 0o120777),
        ("link", b"/etc/passwd", 0o120777),
    ],
)
def test_a_zip_with_a_member_that_leads_out_is_no_archive(
    tmp_path: Path, member: tuple[str, bytes, int]
) -> None:
    made = zipped(tmp_path / "x.zip", member)

    with pytest.raises(StepError, match=r"x\.zip is not a sound archive"):
        archive.unpack(made, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_a_tar_with_a_link_that_leads_out_is_no_archive(tmp_path: Path) -> None:
    made = tar_of(tmp_path / "x.tar", entry("link", kind=tarfile.SYMTYPE, link="../outside"))

    with pytest.raises(StepError, match=r"x\.tar is not a sound archive"):
        archive.unpack(made, tmp_path / "out")


def test_a_zip_that_expands_beyond_reason_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("bomb", bytes(archive.HARMLESS_BYTES + 1))

    with pytest.raises(StepError, match=r"bomb in x\.zip would expand"):
        archive.unpack(tmp_path / "x.zip", tmp_path / "out")
