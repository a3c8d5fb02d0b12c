"""What a comparison may cost: little memory, and nothing but reading for equal bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.modelfiles.ggml_types import tensor_bytes
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import GGUFSpec, Tensor, gguf_header

LIMIT = 200 * 2**20
# In a process of its own. VmHWM starts anew with a program; ru_maxrss keeps the parent's peak.
CODE = """
import json, sys
from pathlib import Path
from orchestrator.modelfiles.comparing import compare
found = compare(Path(sys.argv[1]), Path(sys.argv[2]))
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
heavy = [name for name in ("numpy", "gguf", "pydantic") if name in sys.modules]
print(json.dumps([found.verdict.value, found.differing_bytes, peak, heavy]))
"""


def measured(a: Path, b: Path) -> tuple[str, int, int, list[str]]:
    command = [sys.executable, "-c", CODE, str(a), str(b)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    verdict, differing, peak, heavy = json.loads(done.stdout)
    return verdict, differing, peak, heavy


def holes(path: Path, tensors: list[Tensor], marks: dict[int, bytes]) -> Path:
    """A file whose data are zeros that take no room on the disk, but for some marks."""
    header = gguf_header(GGUFSpec({}, tensors))
    size = sum(tensor_bytes(one.type, tuple(one.shape)) for one in tensors)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
        for at, data in marks.items():
            file.seek(len(header) + at)
            file.write(data)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", ["F32", "Q4_0", "IQ1_S", "IQ3_S", "Q6_K"])
def test_memory_stays_small_whatever_the_files_size(tmp_path: Path, kind: str) -> None:
    tensors = [Tensor("a", (4096, 4096), "F32")] * 4 + [Tensor("w", (4096, 1024), kind)]
    tensors = [Tensor(f"{one.name}{at}", one.shape, one.type) for at, one in enumerate(tensors)]
    start = 4 * 4096 * 4096 * 4
    count = tensor_bytes(kind, (4096, 1024))
    a = holes(tmp_path / "a.gguf", tensors, {})
    b = holes(tmp_path / "b.gguf", tensors, {start: b"\1" * count})
    assert a.stat().st_size > 256 * 2**20 > LIMIT

    verdict, differing, peak, _ = measured(a, b)

    assert verdict == ("near" if 100 * count < a.stat().st_size else "different")
    assert differing == count
    assert 0 < peak < LIMIT


def test_equal_files_need_neither_numpy_nor_dequantizers(tmp_path: Path) -> None:
    a = write_gguf(tmp_path / "a.gguf", Model())
    b = write_gguf(tmp_path / "b.gguf", Model())

    verdict, _, _, heavy = measured(a, b)

    assert (verdict, heavy) == ("identical", [])


def test_a_file_that_shrinks_under_way_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.base.step_values import Progress
    from orchestrator.modelfiles.comparing import compare
    from orchestrator.modelfiles.format_error import FormatError

    tensors = [Tensor("v", (100_000,)), Tensor("w", (100_000,))]
    a = write_gguf(tmp_path / "a.gguf", Model(tensors))
    b = write_gguf(tmp_path / "b.gguf", Model(tensors))

    def cut(_progress: Progress) -> None:
        os.truncate(b, 1000)

    with pytest.raises(FormatError, match=r"b\.gguf became shorter"):
        compare(a, b, report=cut)
