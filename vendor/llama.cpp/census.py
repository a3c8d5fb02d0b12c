"""What the converter does with each tensor of a checkpoint, without reading a weight.

    python census.py SRC OUT.json -- CONVERTER-ARGUMENTS

The converter's tensors are lazy: each holds what it is computed from, down to the entries of
the weight files. So every tensor that it hands to its writer is followed back to those that it
came of, whatever was merged, cut or summed on the way. Vocabulary and metadata are left out.

OUT.json gets ``{into: {source: [written]}, read: [source], generated: [written]}``: what each
source became, those whose values the converter used in its own computing, and what it wrote
that came of none. Sources in neither ``into`` nor ``read`` are dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import FunctionType
from typing import Any


def parse() -> tuple[argparse.Namespace, list[str]]:
    """The arguments before ``--`` are ours, those after it the converter's."""
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("src", type=Path)
    parser.add_argument("out", type=Path)
    return parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]


class Census:
    """Names of sources by their entries in the files, and what was made of them."""

    def __init__(self, gguf: Any) -> None:
        self.lazy, self.entry = gguf.LazyBase, gguf.utility.LocalTensor
        self.known: dict[int, tuple[str, Any]] = {}
        self.into: dict[str, list[str]] = {}
        self.read: set[str] = set()
        self.generated: list[str] = []

    def sources(self, thing: Any) -> set[str]:
        """The names of all entries that a value is computed from."""
        found: set[str] = set()
        seen: set[int] = set()
        pending = [thing]
        while pending:
            one = pending.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, self.entry):
                found |= {self.known[id(one)][0]} if id(one) in self.known else set()
            else:
                pending += self.parts(one)
        return found

    def parts(self, one: Any) -> list[Any]:
        """What a value holds of others: a lazy tensor's arguments, what a function encloses."""
        if isinstance(one, self.lazy):
            return [*one._args, *one._kwargs.values(), one._func]
        if isinstance(one, (list, tuple)):
            return list(one)
        if isinstance(one, FunctionType):
            cells = [cell.cell_contents for cell in one.__closure__ or ()]
            return [*cells, *(one.__defaults__ or ()), *(one.__kwdefaults__ or {}).values()]
        # A tensor that is written piece by piece: one function a piece.
        return list(getattr(one, "_chunks", ()))

    def written(self, name: str, data: Any) -> None:
        """A tensor that the converter hands to its writer."""
        found = self.sources(data)
        for source in found:
            self.into.setdefault(source, []).append(name)
        if not found:
            self.generated.append(name)


def watch(census: Census, gguf: Any, base: Any) -> None:
    """Have the converter's library tell what it opens, evaluates and writes."""
    opened, to_eager = gguf.utility.SafetensorsLocal.__init__, gguf.LazyBase.to_eager.__func__
    added = gguf.GGUFWriter.add_tensor

    def open_and_name(self: Any, filename: Path) -> None:
        opened(self, filename)
        census.known |= {id(one): (name, one) for name, one in self.tensors.items()}

    def evaluate(cls: Any, thing: Any) -> Any:
        census.read |= census.sources(thing)
        return to_eager(cls, thing)

    def add(self: Any, name: str, tensor: Any, *rest: Any, **more: Any) -> None:
        census.written(name, tensor)
        added(self, name, tensor, *rest, **more)

    gguf.utility.SafetensorsLocal.__init__ = open_and_name
    gguf.LazyBase.to_eager = classmethod(evaluate)
    gguf.GGUFWriter.add_tensor = add
    base.ModelBase.write = lambda self: self.prepare_tensors()


def main() -> None:
    """Run the converter up to where it would write, and write the census."""
    args, rest = parse()
    sys.path.insert(0, str(args.src))
    import convert_hf_to_gguf as converter  # noqa: PLC0415 - its folder is an argument
    from conversion import base  # noqa: PLC0415

    census = Census(converter.gguf)
    watch(census, converter.gguf, base)
    sys.argv = ["convert_hf_to_gguf.py", *rest]
    converter.main()
    found = {
        "into": census.into,
        "read": sorted(census.read),
        "generated": census.generated,
    }
    args.out.write_text(json.dumps(found, indent=1, sort_keys=True))


main()
