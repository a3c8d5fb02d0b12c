"""What a search leaves behind: a recipe that needs no search, its record, a picture."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from orchestrator.base import text_table, units
from orchestrator.base.atomic_file import put
from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.history.site import render_template, scatter_chart, svg
from orchestrator.history.site.scatter_chart import Axes, Dot
from orchestrator.recipe import Recipe
from orchestrator.recipe.fit_section import Fit as Section
from orchestrator.workflows.drafting import save_recipe
from orchestrator.workflows.fitting.fit import Fit, Probed
from orchestrator.workflows.fitting.probing import Found

# So much more than was measured is allowed when the recipe runs.
_MARGIN = 1.1


@dataclass(frozen=True)
class Searched:
    """A search as it is written down.

    Attributes:
        recipe: What was searched for.
        section: The section ``fit`` of the new recipe.
        probed: The probes.
        fits: What was found, one for each goal.
        commit: The tool chain's.
        options: What all fitted files have in the recipe, such as ``imatrix``.
    """

    recipe: Recipe
    section: Section
    probed: Probed
    fits: tuple[Fit, ...]
    commit: str
    options: Mapping[str, JSON]


def check_target(target: Path, *, force: bool) -> None:
    """Refuse to write over a recipe.

    Raises:
        UsageError: It is there.
    """
    if target.exists() and not force:
        raise UsageError(f"{target} exists already", "Name another file with -o, or use --force.")


def write(found: Searched, target: Path) -> tuple[Path, ...]:
    """Write the recipe, the record and the picture beside each other; their paths.

    Raises:
        EnvironmentProblem: One cannot be written.
        RecipeError: The recipe would not be one.
    """
    save_recipe.publish(recipe_text(found, target), target.parent, target)
    record, drawn = (target.with_suffix(end) for end in (".fit.json", ".fit.svg"))
    try:
        put(record, (json.dumps(as_json(found), indent=1) + "\n").encode("utf-8"))
        put(drawn, picture(found).encode("utf-8"))
    except OSError as error:
        raise EnvironmentProblem(
            f"{target.parent} cannot be written to: {error.strerror}", "Choose another -o."
        ) from error
    return target, record, drawn


def recipe_text(found: Searched, target: Path) -> str:
    """The new recipe: it extends the old one and gives the types that were found."""
    recipe = found.recipe
    content: dict[str, JSON] = {
        "extends": _beside(recipe.file, target.parent),
        "name": target.stem,
        # The converted file is the old recipe's to the byte, and so is what is made of it.
        "convert": {"model_name": recipe.convert.model_name or recipe.name},
        "quantize": _files(found),
        "verify": {"sha256": None, "reference": None},
        "published": [],
        "fit": json.loads(found.section.model_dump_json()),
    }
    made_with = f"{recipe.toolchain.name} {found.commit[:12]}"
    head = (
        f"# Written by 'orchestrate fit' with {made_with}: types by measured divergence.\n"
        f"# 'run' makes these files without a search; {target.stem}.fit.json has the probes.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _beside(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.absolute(), folder.absolute())).as_posix()


def _files(found: Searched) -> list[dict[str, JSON]]:
    """One entry a file; a standard type that won against several goals is in there once."""
    files = (dict(_file(found, one)) for one in found.fits)
    return list({one.get("name", one["type"]): one for one in files}.values())


def _file(found: Searched, one: Fit) -> Iterator[tuple[str, JSON]]:
    """The entry of one file; the standard type where the search found none that is better."""
    measured = one.held_out if one.better else one.standard
    limit = measured.divergence * _MARGIN + 2 * measured.error
    yield "type", one.file.type if one.better else one.standard.name
    if one.better:
        yield "name", one.file.name
    yield from found.options.items()
    if one.better:
        yield "tensor_types", dict(one.file.tensor_types)
    else:
        yield "allow_fallback", True
    size = {"max_size": f"{one.goal.size} B"} if one.goal.size else {}
    yield "limits", {**size, "max_mean_kld": _rounded_up(limit)}


def _rounded_up(value: float) -> float:
    """To two digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1e-6
    return float(f"{math.ceil(value / unit) * unit:.2g}")


def as_json(found: Searched) -> dict[str, JSON]:
    """Everything that was measured, for programs."""
    return {
        "recipe": found.recipe.name,
        "digest": found.recipe.digest,
        "toolchain": f"{found.recipe.toolchain.name} {found.commit}",
        "fit": found.section.model_dump(mode="json"),
        "base": found.probed.base,
        "groups": [
            {"name": one.name, "pattern": one.pattern, "tensors": len(one.tensors)}
            for one in found.probed.groups
        ],
        "probes": [asdict(one) for one in found.probed.probes],
        "fits": [_fit_json(one) for one in found.fits],
    }


def _fit_json(one: Fit) -> dict[str, JSON]:
    return {
        "goal": asdict(one.goal),
        "type": one.file.type,
        "tensor_types": dict(one.file.tensor_types),
        "estimate": one.estimate,
        "candidates": [asdict(each) for each in one.searched],
        "held_out": asdict(one.held_out),
        "standard": asdict(one.standard),
        "better": one.better,
    }


def text(found: Searched, paths: Sequence[Path]) -> str:
    """The table and what it says, for people."""
    rows = [row for one in found.fits for row in (_row(one.standard), _row(one.held_out, one))]
    titles = ("File", "Size", "Mean KLD", "KLD, 99 %", "Same top", "Perplexity", "")
    lines = [text_table.table(titles, rows, right=(1, 2, 3, 4, 5)), ""]
    lines += [sentence(one, found.section) for one in found.fits]
    lines += ["", *(f"{path} is written" for path in paths)]
    return "\n".join([*lines, f"Next: orchestrate run {paths[0]}"])


def _row(found: Found, fit: Fit | None = None) -> tuple[str, ...]:
    name = fit.file.name if fit else found.name
    return (
        name,
        units.size(found.size),
        f"{found.divergence:.5f} ± {found.error:.5f}",
        f"{found.p99:.4f}",
        f"{found.same_top * 100:.2f} %",
        f"{found.perplexity:.4f}",
        f"estimated {fit.estimate:.5f}" if fit else "",
    )


def sentence(one: Fit, section: Section) -> str:
    """What may be said of a fitted file beside the standard type."""
    against = section.files.get(one.file.name)
    if against is not None:
        return f"{one.file.name}: {against.sentence}."
    return (
        f"{one.file.name}: not better than {one.standard.name} by two standard errors; "
        f"the recipe has {one.standard.name}."
    )


def picture(found: Searched) -> str:
    """Size against divergence on the held-out text: standard types and fitted files."""
    files = {one.standard.name: one.standard for one in found.fits}
    files |= {one.file.name: one.held_out for one in found.fits}
    dots = [
        Dot(
            name,
            one.size / 1e6,
            max(one.divergence, 1e-9),
            f"{name}: {units.size(one.size)}, {one.divergence:.5f}",
            int(name.startswith("fit-")),
        )
        for name, one in files.items()
    ]
    axes = Axes("size (MB)", "mean KL divergence (nats)", log=True)
    title = f"{found.recipe.name}: size against divergence"
    drawing = scatter_chart.draw("fit", title, dots, axes)
    return svg.alone(drawing, render_template.static(render_template.STYLE))


def text_name(name: str, content: str) -> str:
    """A text's name with its digest, so that a recipe tells which text was searched on."""
    return f"{name} sha256:{hashlib.sha256(content.encode('utf-8')).hexdigest()}"
