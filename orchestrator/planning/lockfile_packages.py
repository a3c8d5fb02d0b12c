"""Python packages of a lock: their names and versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

_PIN = re.compile(r"\s*([A-Za-z0-9][\w.-]*)==([^\s;#]+)")


def pinned(lines: Iterable[str]) -> dict[str, str]:
    """Versions by normalized name, of lines such as ``numpy==2.2.6``; other lines say nothing."""
    found = (_PIN.match(line) for line in lines)
    return {normalized(one[1]): one[2] for one in found if one is not None}


def public(version: str) -> str:
    """A version without its local part: ``2.13.0+cpu`` of another index is 2.13.0 too."""
    return version.partition("+")[0]


@cache
def normalized(name: str) -> str:
    """The one spelling of a package's name: ``Foo.Bar_baz`` is ``foo-bar-baz``."""
    from packaging.utils import canonicalize_name  # noqa: PLC0415 - heavy

    return canonicalize_name(name)
