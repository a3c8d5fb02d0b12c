"""Fuzzed files: every reader in turn gets a sound file that was made odd by chance."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from random import Random

from tests.support.campaigns.limits import within_limits
from tests.support.campaigns.readers import READERS, Reader


def attempt(seed: int, work: Path) -> tuple[str, str, str]:
    """Read one file: the reader, how it ended, and what should not have been."""
    name, chance = list(READERS)[seed % len(READERS)], Random(seed)
    reader = READERS[name]
    with tempfile.TemporaryDirectory(dir=work) as folder:
        path = _prepared(reader, work / "sound" / name, Path(folder))
        reader.mutation(path, chance)
        kind, fault = within_limits(lambda: reader.read(path), path.stat().st_size)
    return name, kind, fault


def _prepared(reader: Reader, sound: Path, folder: Path) -> Path:
    """A copy of the reader's sound file and what is beside it, which are made once."""
    mark = sound.with_name(f"{sound.name}.path")
    if not mark.exists():
        sound.mkdir(parents=True)
        mark.write_text(str(reader.make(sound).relative_to(sound)))
    shutil.copytree(sound, folder, dirs_exist_ok=True)
    return folder / mark.read_text()
