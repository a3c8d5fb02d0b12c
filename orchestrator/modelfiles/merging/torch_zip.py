"""The tensors of a PyTorch ``.bin`` file (zip archive, torch 1.6 or later), without torch.

The archive holds ``NAME/data.pkl`` and one uncompressed member ``NAME/data/KEY`` per storage,
so every tensor is a byte range of the file itself. Layout: torch/serialization.py.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging.safe_unpickler import PickledTensor, read_state_dict
from orchestrator.modelfiles.merging.tensor_location import TensorRef
from orchestrator.modelfiles.safetensors import BITS

# BLOOM-176B, the longest list of names known here, needs less than 100 kB.
MAX_PICKLE_BYTES = 16 * 2**20
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature ... name length, extra length
_DAMAGED = "Fetch the file again; if it stays so, the published file is damaged."


@dataclass(frozen=True)
class _Member:
    offset: int
    nbytes: int


def read_tensors(path: Path) -> tuple[TensorRef, ...]:
    """Return the tensors of ``path`` in the order of its pickle; reads no weight.

    Raises:
        StepError: not such an archive, damaged, compressed, or with anything in its pickle
            that is not a contiguous tensor.
    """
    with path.open("rb") as file:
        _refuse_bare_pickle(file, path)
        try:
            with zipfile.ZipFile(file) as archive:
                members = _members(archive, file, path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as bad:
            # zipfile trusts some numbers: damaged ones become seeks before the file, and so on.
            raise StepError(
                f"{path}: not a PyTorch checkpoint, or a damaged one ({bad}).", _DAMAGED
            ) from bad
        pickled = _pickle(members, file, path)
    tensors = read_state_dict(pickled, str(path))
    return tuple(_place(name, tensor, members, path) for name, tensor in tensors.items())


def _refuse_bare_pickle(file: BinaryIO, path: Path) -> None:
    # A pickle of protocol 2 and above starts with PROTO; torch before 1.6 wrote bare pickles.
    if file.read(1) == b"\x80":
        raise StepError(
            f"{path}: this is a checkpoint in the format from before PyTorch 1.6, "
            "which is not read.",
            "Load it with torch.load and save it again, or use another revision of the model.",
        )


def _members(archive: zipfile.ZipFile, file: BinaryIO, path: Path) -> dict[str, _Member]:
    """Byte ranges by the member's name below the archive's one folder."""
    size = file.seek(0, os.SEEK_END)
    members: dict[str, _Member] = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        if name in members:
            raise StepError(f"{path}: the archive holds {name[:100]!r} twice.", _DAMAGED)
        members[name] = _range(info, file, size, path)
    return members


def _range(info: zipfile.ZipInfo, file: BinaryIO, size: int, path: Path) -> _Member:
    name = info.filename[:100]
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise StepError(
            f"{path}: member {name!r} is compressed or encrypted; torch.save never does that.",
            "Ask the publisher for safetensors files.",
        )
    # Damaged numbers at the archive's end make zipfile compute offsets before the file.
    file.seek(max(info.header_offset, 0))
    signature, name_length, extra_length = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    offset = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    if info.header_offset < 0 or signature != b"PK\x03\x04" or offset + info.file_size > size:
        raise StepError(f"{path}: member {name!r} lies outside the file.", _DAMAGED)
    return _Member(offset, info.file_size)


def _pickle(members: Mapping[str, _Member], file: BinaryIO, path: Path) -> bytes:
    if "constants.pkl" in members:
        raise StepError(f"{path}: this is a TorchScript program.", "Use the model's plain weights.")
    if "data.pkl" not in members:
        raise StepError(f"{path}: a zip archive without the data.pkl of a checkpoint.", _DAMAGED)
    if _read(members.get("byteorder"), file) not in (b"", b"little"):
        raise StepError(f"{path}: a big-endian checkpoint, which is not read.", _DAMAGED)
    if members["data.pkl"].nbytes > MAX_PICKLE_BYTES:
        raise StepError(
            f"{path}: its pickle has {members['data.pkl'].nbytes} bytes; a list of tensors has "
            f"less than {MAX_PICKLE_BYTES}.",
            "Ask the publisher for safetensors files.",
        )
    return _read(members["data.pkl"], file)


def _read(member: _Member | None, file: BinaryIO) -> bytes:
    if member is None:
        return b""
    file.seek(member.offset)
    return file.read(min(member.nbytes, MAX_PICKLE_BYTES))


def _place(
    name: str, tensor: PickledTensor, members: Mapping[str, _Member], path: Path
) -> TensorRef:
    storage, item = tensor.storage, BITS[tensor.storage.dtype] // 8
    member = members.get(f"data/{storage.key}")
    count = math.prod(tensor.shape)
    if member is None or storage.count * item > member.nbytes:
        raise StepError(f"{path}: the data of tensor {name!r} is missing or short.", _DAMAGED)
    if not _contiguous(tensor):
        raise StepError(
            f"{path}: tensor {name!r} is stored with strides {list(tensor.stride)} for the shape "
            f"{list(tensor.shape)}; only contiguous tensors are read.",
            "Save the model again with contiguous tensors, or use its safetensors files.",
        )
    if tensor.offset + count > storage.count:
        raise StepError(f"{path}: tensor {name!r} reaches past the end of its storage.", _DAMAGED)
    offset = member.offset + tensor.offset * item
    return TensorRef(name, storage.dtype, tensor.shape, path, offset, count * item)


def _contiguous(tensor: PickledTensor) -> bool:
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride), strict=True):
        if size > 1 and stride != expected:
            return False
        expected *= max(size, 1)
    return True
