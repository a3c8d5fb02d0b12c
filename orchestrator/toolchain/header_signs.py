"""``vendor/<name>/signs.yaml``: when a file's tools were made, by what its header looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from orchestrator.base import yaml_file
from orchestrator.toolchain.data import Data, wrong

# Layers apart: names are sorted within one.
_LAYER = re.compile(r"blk\.(\d+)\.")


class Sign(Data):
    """Something that files have from a day on; days are those of commits that were tried."""

    about: str
    until: str
    since: str
    gone: str = ""
    needs: str = ""
    only: bool = False
    order: tuple[str, ...] = ()
    by_name: bool = False
    key: str = ""
    matches: str = ""

    def holds(self, keys: Mapping[str, str], tensors: Sequence[str]) -> bool:
        """Whether a header has it."""
        if self.order:
            return tuple(key for key in keys if key in self.order) == self.order
        if self.by_name:
            return _by_name(tensors)
        return self.key in keys and re.search(self.matches, keys[self.key]) is not None


class _Signs(Data):
    quantizer: tuple[Sign, ...] = ()
    converter: tuple[Sign, ...] = ()


@dataclass(frozen=True)
class Era:
    """Between which days tools were made, both left out; why, in words. Empty: no bound."""

    after: str = ""
    before: str = ""
    reasons: tuple[str, ...] = ()

    def within(self, day: str) -> bool:
        """Whether a day is between them."""
        return self.after < day and (not self.before or day < self.before)


def era(folder: Path, keys: Mapping[str, str], tensors: Sequence[str], quantized: bool) -> Era:
    """When the tools that wrote a header were made.

    Args:
        folder: The tool chain's data; without ``signs.yaml`` nothing is known.
        keys: The header's values as texts, in its order.
        tensors: The names of its tensors, in its order.
        quantized: Whether a quantizer wrote it last.

    Raises:
        UsageError: The data is wrong.
    """
    path = folder / "signs.yaml"
    if not path.is_file():
        return Era()
    try:
        found = _Signs.model_validate(yaml_file.read(path))
    except (ValidationError, yaml.YAMLError) as error:
        raise wrong(path, error) from error
    after, before, reasons = [""], [], []
    for sign in (*(found.quantizer if quantized else ()), *found.converter):
        if sign.needs and sign.needs not in keys:
            continue
        if sign.holds(keys, tensors):
            after.append(sign.until)
            before += [sign.gone] if sign.gone else []
            reasons.append(f"after {sign.until}, for {sign.about}")
        elif not (sign.only or sign.gone):
            before.append(sign.since)
            reasons.append(f"before {sign.since}, for it is not so that {sign.about}")
    return Era(max(after), min(before, default=""), tuple(reasons))


def _by_name(tensors: Sequence[str]) -> bool:
    """Whether layers come in order, and the tensors of each by name."""
    found = [_LAYER.match(name) for name in tensors]
    layers = [(int(one[1]), name) for one, name in zip(found, tensors, strict=True) if one]
    return layers == sorted(layers)
