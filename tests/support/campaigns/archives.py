"""Hostile archives by chance: paths that lead out, links, devices, bombs, names without end."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from unittest import mock

from orchestrator.sources import archive
from tests.support.campaigns import mutations
from tests.support.campaigns.limits import within_limits

TARGETS = ("tar", "zip")
MOST_BYTES, MOST_MEMBERS = 1 << 20, 2000
_INNER = "vendor/cpp"
_WANTED = "data/model.gguf"

_NAMES = (
    *("a.c", "deep/b.c", "a.c/under", "deep", "DEEP/B.C", "A.C", "../evil", "../../../evil"),
    *("/evil", "//evil", "./././a.c", "a/../../../evil", "..\\..\\evil", "C:\\evil", "CON", " "),
    *("link/evil", "link/link/evil", "x" * 300, "x/" * 5000 + "y", "n" * 10_000, "\x1b[2J", "a\nb"),
    *("\u202etxt.exe", "é", "\udcff", "a\0b", ".", "..", "", "deep/", "~/evil", "$HOME/evil"),
)
_LINKS = ("/etc", "..", "../../..", "/etc/passwd", "a.c", "link", "", "x" * 5000, "../a.c", "\x1b")
_KINDS = (
    *[tarfile.REGTYPE] * 6,
    *(tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.LNKTYPE),
    *(tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"S", b"x", b"Z"),
)
_PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, 1, mtime=0),
    "xz": lambda data: lzma.compress(data, preset=0),
}


def attempt(seed: int, work: Path) -> tuple[str, str, str]:
    """Unpack one archive: the target, how it ended, and what should not have been."""
    chance, target = Random(seed), TARGETS[seed % 2]
    root = work / f"try {seed}"
    inside = root / "a" / "b" / "inside"
    inside.mkdir(parents=True)
    made = root / "a" / f"made.{target}"
    made.write_bytes(_tar(chance) if target == "tar" else _zip(chance))
    if chance.random() < 0.3:
        mutations.of_bytes(made, chance)
    size = made.stat().st_size

    def unpack() -> None:
        if target == "tar":
            archive.extract_tree(made, _INNER, inside)
        else:
            archive.extract_member(made, _WANTED, inside / "model.gguf")

    with (
        mock.patch.object(archive, "MAX_BYTES", MOST_BYTES),
        mock.patch.object(archive, "MAX_MEMBERS", MOST_MEMBERS),
        mock.patch.object(archive, "HARMLESS_BYTES", MOST_BYTES),
    ):
        kind, fault = within_limits(unpack, size)
    wrong = [fault] if fault else []
    wrong += _left(root, made, inside, size)
    _remove(root)
    return target, kind, "; ".join(wrong)


def _left(root: Path, made: Path, inside: Path, size: int) -> Iterator[str]:
    """What should not be there: anything outside, and anything but files and folders inside."""
    total = 0
    for base, folders, files in os.walk(root):
        for path in (Path(base, name) for name in (*folders, *files)):
            found = path.lstat()
            if not path.is_relative_to(inside) and path not in (made, *inside.parents, inside):
                yield f"outside the folder: {path.relative_to(root)}"
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                yield f"no file or folder: {path.relative_to(root)}"
            if found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH):
                yield f"odd rights: {oct(found.st_mode)} {path.relative_to(root)}"
            total += found.st_size if path != made and stat.S_ISREG(found.st_mode) else 0
    if total > max(MOST_BYTES, archive.MAX_RATIO * size):
        yield f"{total} bytes on the disk from {size}"


def _remove(root: Path) -> None:
    """Remove what a try left, whatever its rights and however long its paths."""
    for base, folders, _ in os.walk(root):
        for path in (Path(base, name) for name in folders):
            if not path.is_symlink():  # a link that a try let through may lead to any folder
                path.chmod(0o700)
    import shutil

    shutil.rmtree(root, ignore_errors=True)


def _tar(chance: Random) -> bytes:
    out = io.BytesIO()
    form = chance.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(
        fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for _ in range(chance.choice((1, 2, 4, 8))):
            info, data = _member(chance)
            for _ in range(chance.choice((1, 1, 1, 2, MOST_MEMBERS + 1 if not data else 1))):
                try:
                    tar.addfile(info, io.BytesIO(data))
                except (ValueError, UnicodeError):  # what this form of tar cannot hold
                    break
    return chance.choice(list(_PACKED.values()))(out.getvalue())


def _member(chance: Random) -> tuple[tarfile.TarInfo, bytes]:
    prefix = chance.choice((f"x/{_INNER}/", f"x/{_INNER}/", f"x/{_INNER}/", "x/", ""))
    info = tarfile.TarInfo(prefix + chance.choice(_NAMES))
    info.type = chance.choice(_KINDS)
    info.linkname = chance.choice(_LINKS)
    info.mode = chance.choice((0o644, 0o755, 0o4777, 0, 0o777))
    data = bytes(chance.choice((0, 1, 10, 1000, 1000, MOST_BYTES, MOST_BYTES * 2)))
    info.size = len(data) if info.type in (tarfile.REGTYPE, tarfile.CONTTYPE) else 0
    if chance.random() < 0.1:
        info.pax_headers = {
            chance.choice(("path", "linkpath", "size", "GNU.sparse.map", "mtime")): chance.choice(
                ("../../evil", "/evil", "-1", "9" * 30, "x" * 100_000, "nan", "0,1,2")
            )
        }
    return info, data if info.size else b""


def _zip(chance: Random) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        for _ in range(chance.choice((1, 2, 4))):
            name = chance.choice((_WANTED, _WANTED, "../evil", "/evil", "data", f"{_WANTED}/x"))
            info = zipfile.ZipInfo(name)
            info.compress_type = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            # As a link, a device or a folder of Unix.
            info.external_attr = chance.choice((0o100644, 0o120777, 0o020666, 0o040755)) << 16
            data = bytes(chance.choice((0, 10, 1000, 100_000, MOST_BYTES + 1, MOST_BYTES * 4)))
            try:
                bundle.writestr(info, chance.choice((data, b"../../evil", b"/etc/passwd")))
            except (ValueError, UserWarning):
                continue
    data = out.getvalue()
    return data * chance.choice((1, 1, 1, 2)) if len(data) < 1000 else data
