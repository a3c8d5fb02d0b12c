"""YAML that is data: a value, or one kind of error."""

from __future__ import annotations

import pytest
import yaml

from orchestrator.base import yaml_file


def test_values_are_read() -> None:
    assert yaml_file.parse("a: [1, é, null]\n".encode()) == {"a": [1, "é", None]}


@pytest.mark.parametrize(
    "text",
    [
        b"a: [",
        b"\xff",
        b"a: 2001-02-30",
        b"a: 0000-01-01",
        b"a: !!int 0b",
        b"a: !!timestamp x",
        b"a: !!bool x",
        b"a: !!float 1" + b":1" * 400,
        b"a: " + b"9" * 10_000,
        b"a: !!python/object:os.system x",
        b"? [a]\n: 1",
        b"[" * 100_000,
        b"[" * 9000 + b"]" * 9000,
    ],
)
def test_all_else_is_one_kind_of_error(text: bytes) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml_file.parse(text)
