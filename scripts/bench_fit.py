"""Hold searched placements of types against standard types and against controls of their size.

For each standard type of ``--as`` it prints, measured on the recipe's held-out text:

- the standard type;
- the search over roles, and with ``--finer`` over thirds of roles;
- random: ``--rounds`` placements by chance that fill at least 97 % of the size;
- shuffled: the searched types given to other groups, as far as the size allows;
- by bits alone: the least sum of squared errors of weights if each bit quarters it, without any
  measurement.

Files are made in the user's store and measured once; a second round takes no time.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from orchestrator.commands import shared_options
from orchestrator.modelfiles.ggml_types import type_by_name
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import find_toolchain
from orchestrator.workflows.fitting import fit, placements, start_search
from orchestrator.workflows.fitting.fit import Goal, Probed, Search
from orchestrator.workflows.fitting.placements import Option
from orchestrator.workflows.fitting.probing import Found

LEAST = 0.97
TRIES = 20_000


@dataclass(frozen=True)
class Row:
    """One file of the table; ``probes`` and seconds only where a search was made."""

    goal: str
    way: str
    found: Found
    probes: str = ""


def main() -> None:
    """Search, measure the controls, print the table."""
    given = _arguments()
    recipe = load_and_plan.load_one(given.recipe)
    chain = find_toolchain.load(recipe.toolchain.name, recipe.file.parent)
    wanted = start_search.Wanted(
        like=tuple(given.like.split(",")),
        text=given.text,
        chunks=given.chunks,
        imatrix=given.imatrix,
    )
    with shared_options.session({"threads": given.threads}) as session:
        search = start_search.prepare(recipe, wanted, session, chain)
        rows = list(_rows(search, wanted.like, given.rounds, finer=given.finer))
    print(f"{recipe.name}, {given.recipe.name}\n")
    print(
        "| at the size of | placement | size, MB | mean KLD | to the standard | same top | probes |"
    )
    print("|---|---|---|---|---|---|---|")
    standard = {row.goal: row.found.divergence for row in rows if row.way == "standard"}
    for row in rows:
        print(_line(row, standard[row.goal]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--as", dest="like", default="Q4_K_M,Q5_K_M")
    parser.add_argument("--text", type=Path, default=None)
    parser.add_argument("--chunks", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--finer", action="store_true")
    parser.add_argument("--imatrix", action=argparse.BooleanOptionalAction, default=False)
    return parser.parse_args()


def _line(row: Row, standard: float) -> str:
    change = row.found.divergence / standard - 1
    cells = (
        row.goal,
        row.way,
        f"{row.found.size / 1e6:.2f}",
        f"{row.found.divergence:.5f} ± {row.found.error:.5f}",
        "" if row.way == "standard" else f"{change:+.0%}",
        f"{row.found.same_top:.2%}",
        row.probes,
    )
    return f"| {' | '.join(cells)} |"


def _rows(search: Search, like: Sequence[str], rounds: int, *, finer: bool) -> Iterator[Row]:
    files = [search.file(name, name) for name in like]
    sizes = search.held_out.sizes(files)
    measured = search.held_out.measure(files)
    for thirds in (False, True) if finer else (False,):
        start = time.monotonic()
        probed = fit.probe(search, thirds=thirds, say=_say)
        cost = f"{len(probed.probes)} in {time.monotonic() - start:.0f} s"
        way = "fit, thirds of roles" if thirds else "fit, roles"
        for name in like:
            goal = Goal(f"{name}-thirds" if thirds else name, sizes[name], like=name)
            done = fit.fit(search, probed, goal, _say)
            if not thirds:
                yield Row(name, "standard", measured[name])
            yield Row(name, way, done.held_out, cost)
            if not thirds:
                types = [done.file.tensor_types[one.pattern] for one in probed.groups]
                yield from _controls(search, probed, goal, types, rounds)


def _controls(
    search: Search, probed: Probed, goal: Goal, types: Sequence[str], rounds: int
) -> Iterator[Row]:
    room = goal.size - fit.overhead(search, probed)
    options = probed.options()
    chance = random.Random(goal.label)
    ways = [("by bits alone", _by_bits(probed, options, room))]
    ways += [(f"random {n + 1}", _random(options, room, chance)) for n in range(rounds)]
    ways += [(f"shuffled {n + 1}", _shuffled(options, types, room, chance)) for n in range(rounds)]
    files = {
        way: fit.placed(search, probed, f"control-{goal.label}-{number}", chosen)
        for number, (way, chosen) in enumerate(ways)
        if chosen is not None
    }
    measured = search.held_out.measure(list(files.values()))
    for way, file in files.items():
        yield Row(goal.label, way, measured[file.name])


def _by_bits(
    probed: Probed, options: Sequence[Sequence[Option]], room: int
) -> tuple[str, ...] | None:
    plain = [
        [
            Option(
                one.type,
                one.nbytes,
                group.elements * 4.0 ** -type_by_name(one.type.upper()).bits_per_weight,
                measured=False,
            )
            for one in each
        ]
        for group, each in zip(probed.groups, options, strict=True)
    ]
    found = placements.best_within(placements.front(plain), room)
    return found.types if found else None


def _random(
    options: Sequence[Sequence[Option]], room: int, chance: random.Random
) -> tuple[str, ...] | None:
    for _ in range(TRIES):
        chosen = [chance.choice(each) for each in options]
        if LEAST * room <= sum(one.nbytes for one in chosen) <= room:
            return tuple(one.type for one in chosen)
    return None


def _shuffled(
    options: Sequence[Sequence[Option]], types: Sequence[str], room: int, chance: random.Random
) -> tuple[str, ...] | None:
    """The places on the groups' ladders of types exchanged among the groups."""
    places = [
        next(place for place, one in enumerate(each) if one.type == name)
        for each, name in zip(options, types, strict=True)
    ]
    for _ in range(TRIES):
        mixed = chance.sample(places, len(places))
        chosen = [each[min(at, len(each) - 1)] for each, at in zip(options, mixed, strict=True)]
        if mixed != places and LEAST * room <= sum(one.nbytes for one in chosen) <= room:
            return tuple(one.type for one in chosen)
    return None


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
