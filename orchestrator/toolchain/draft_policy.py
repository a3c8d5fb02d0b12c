"""``vendor/<name>/drafts.yaml``: what a new recipe gets where the user does not say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.base import yaml_file
from orchestrator.base.errors import UsageError
from orchestrator.toolchain.data import wrong

# Of the quantizer's larger blocks: where the data does not name a type, this is assumed.
LARGEST_BLOCK = 256


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Types(_Data):
    """The types for models with at least so many parameters."""

    parameters: float
    types: tuple[str, ...]


class TypeLimits(_Data):
    """The limits of types with at least so many nominal bits per weight, by a recipe's keys."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float]

    bits: float


class Smaller(_Data):
    """How much more a model with fewer parameters may lose."""

    below: float
    factor: float


class TypeFamily(_Data):
    """Tensor types of one kind in rising order of bits, and those that groups are probed in."""

    types: tuple[str, ...] = Field(min_length=1)
    probes: tuple[str, ...] = Field(min_length=1)


class Base(_Data):
    """The type that a fitted file is said to have, from so many bits per weight on."""

    bits: float
    type: str


class Fitting(_Data):
    """How the best file for a size is searched.

    ``families`` are tried in their order: a group of tensors gets the first whose types fit its
    rows. ``base`` is what all other tensors have while one group is probed, ``standards`` are
    what a fitted file is held against, ``bases`` what it is said to be.
    """

    base: str
    families: tuple[TypeFamily, ...] = Field(min_length=1)
    standards: tuple[str, ...] = Field(min_length=1)
    bases: tuple[Base, ...] = Field(min_length=1)

    def base_for(self, bits: float) -> str:
        """The type that a file of so many bits per weight is said to have."""
        fitting = [one.type for one in self.bases if one.bits <= bits]
        return fitting[-1] if fitting else self.bases[0].type


class Policy(_Data):
    """What a tool chain's new recipes get.

    ``calibrated`` are types that are added where there is an importance matrix, ``rows`` the
    lengths that rows must be multiples of, by type; ``reference`` is the most parameters that
    a model may have for its predictions to be compared with the original's; ``facts`` the fewest
    with which it is expected to know some.
    """

    types: tuple[Types, ...] = Field(min_length=1)
    calibrated: tuple[str, ...] = ()
    rows: Mapping[str, int] = {}
    limits: tuple[TypeLimits, ...] = ()
    smaller: tuple[Smaller, ...] = ()
    reference: float = 0
    facts: float = 0
    fit: Fitting | None = None

    def types_for(self, parameters: int) -> tuple[str, ...]:
        """The types for a model of this size."""
        fitting = (one.types for one in self.types if parameters >= one.parameters)
        return next(fitting, self.types[-1].types)

    def limits_for(self, bits: float, parameters: int) -> Mapping[str, float]:
        """The limits of a type for a model of this size; empty where nothing is promised."""
        held = next((one for one in self.limits if bits >= one.bits), None)
        if held is None:
            return {}
        factors = (one.factor for one in self.smaller if parameters < one.below)
        factor = next(factors, 1.0)
        # What is at most 1 loses what it lacks of it.
        return {
            name: round(1 - (1 - value) * factor, 6) if name.startswith("min_") else value * factor
            for name, value in held.__pydantic_extra__.items()
        }

    def block(self, kind: str) -> int:
        """What the rows must be a multiple of, so that no tensor gets another type."""
        return self.rows.get(kind, LARGEST_BLOCK)


def load(folder: Path) -> Policy:
    """The policy of the tool chain whose data is in ``folder``.

    Raises:
        UsageError: There is none, or the data is wrong.
    """
    path = folder / "drafts.yaml"
    if not path.is_file():
        raise UsageError(
            f"the tool chain {folder.name} does not say what a new recipe should hold",
            f"Write {path}, as vendor/llama.cpp has it, or use another tool chain.",
        )
    try:
        return Policy.model_validate(yaml_file.read(path))
    except (yaml.YAMLError, ValidationError) as error:
        raise wrong(path, error) from error
