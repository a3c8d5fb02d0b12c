"""``vendor/<name>/families.yaml``: which models a tool chain converts, by family.

A family is what a recipe calls the kind of its model: mostly the architecture's name in
GGUF. ``architectures.yaml`` beside it is upstream's own table, written by
``scripts/list_architectures.py``; a tool chain without these files takes any family.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.base import yaml_file
from orchestrator.base.errors import UsageError
from orchestrator.toolchain.data import wrong


class Families(BaseModel):
    """What a tool chain converts.

    ``architectures`` gives the family of each name in config.json's ``architectures``,
    ``gguf`` that of each architecture which GGUF calls otherwise, ``also`` further families,
    ``encoders`` those whose models do not continue a text but turn it into numbers, ``silent``
    further ones that continue none; once loaded, ``silent`` holds both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architectures: Mapping[str, str] = {}
    gguf: Mapping[str, str] = {}
    also: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """All families."""
        return frozenset({*self.architectures.values(), *self.also})

    def of_gguf(self, architecture: str) -> str:
        """The family of a GGUF file by its ``general.architecture``; empty if not known."""
        family = self.gguf.get(architecture, architecture)
        return family if family in self.names else ""


@lru_cache(maxsize=32)
def load(folder: Path) -> Families:
    """The families of the tool chain whose data is in ``folder``.

    Raises:
        UsageError: The data is wrong.
    """
    upstream = _mapping(folder / "architectures.yaml")
    try:
        own = Families.model_validate(_mapping(folder / "families.yaml"))
        renamed = own.architectures
        gguf = {upstream[name]: family for name, family in renamed.items() if name in upstream}
        known = {
            "architectures": {**upstream, **renamed},
            "gguf": gguf,
            "silent": (*own.silent, *own.encoders),
        }
        return Families.model_validate({**own.model_dump(), **known})
    except (ValidationError, TypeError) as error:
        raise wrong(folder / "families.yaml", error) from error


def _mapping(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        loaded = yaml_file.read(path)
    except yaml.YAMLError as error:
        raise wrong(path, error) from error
    if not isinstance(loaded, dict):
        raise UsageError(f"{path} is not a mapping", "Fix the tool chain's data.")
    return loaded
