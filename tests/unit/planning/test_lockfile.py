"""The text of a lock: read back as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.planning import lockfile
from orchestrator.planning.lockfile import File, Input, Lock
from orchestrator.runs import find_recipes
from tests.support.lockfiles import called, locked, recipe_in


def test_patterns_of_files_may_name_locks_too(tmp_path: Path) -> None:
    path = recipe_in(tmp_path)
    locked(path, tmp_path)
    assert called("check", str(path), str(lockfile.path_of(path))) == 0
    with pytest.raises(UsageError, match="is a lock"):
        find_recipes.files([lockfile.path_of(path)])


_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
_FILES = st.builds(File, size=st.none() | st.integers(0, 2**60), sha256=_WORDS, blob=st.just(""))
_INPUTS = st.builds(
    Input,
    kind=st.sampled_from(["hub", "pypi", "path", "url"]),
    repo=_WORDS,
    commit=st.from_regex(r"[0-9]{40}|[0-9]{5}e[0-9]{4}", fullmatch=True),
    version=st.sampled_from(["", "1.0", "1e3", "2.10", "0x10", "yes", "null", "2026-01-01"]),
    files=st.dictionaries(_WORDS, _FILES, max_size=3),
)


@given(st.dictionaries(_WORDS, _INPUTS, max_size=3), _WORDS)
def test_what_is_written_is_what_is_read(sources: dict[str, Input], name: str) -> None:
    content = {
        "recipe": {"name": name, "digest": "1" * 64},
        "toolchain": {"name": "t", "commit": "1" * 40, "data": "2" * 64},
        "build": {"profile": "portable", "backend": "cpu", "system": ["linux", "x86_64"]},
    }
    one = Lock.model_validate({**content, "sources": sources})
    text = lockfile.text(one, "x.yaml")
    assert Lock.model_validate(yaml.safe_load(text)) == one
    assert lockfile.text(Lock.model_validate(yaml.safe_load(text)), "x.yaml") == text
