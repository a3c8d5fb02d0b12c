"""Models to merge are held against the base by their outlines, as far as those tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles import safetensors
from orchestrator.modelfiles.merging.delta import expect_same_shapes

SHAPES: dict[str, tuple[int, ...]] = {"embed.weight": (4, 2), "layer.weight": (2, 2)}


def outline(folder: Path, shapes: dict[str, tuple[int, ...]], *, index: bool = False) -> Path:
    """As the step that inspects a model leaves it; of an index only the names are known."""
    (folder / "small").mkdir(parents=True)
    (folder / "small" / "config.json").write_text("{}")
    listed: dict[str, object] = {"model.bin": {"size": 9}}
    if index:
        names = json.dumps({"weight_map": dict.fromkeys(shapes, "model.bin")})
        (folder / "small" / "pytorch_model.bin.index.json").write_text(names)
    else:
        head, size = safetensors.build_header([(n, "F16", s) for n, s in shapes.items()])
        (folder / "head").write_bytes(head)
        listed = {"model.safetensors": {"header": "head", "size": size}}
    (folder / "weights.json").write_text(json.dumps(listed))
    return folder


def test_models_of_one_shape_fit_and_so_do_those_whose_shapes_are_not_known(
    tmp_path: Path,
) -> None:
    base = outline(tmp_path / "base", SHAPES)
    same, named = outline(tmp_path / "s", SHAPES), outline(tmp_path / "n", SHAPES, index=True)

    expect_same_shapes(base, [same, named, outline(tmp_path / "unknown", {}, index=True)])


@pytest.mark.parametrize(
    ("shapes", "index"),
    [
        ({**SHAPES, "layer.weight": (2, 3)}, False),
        ({"embed.weight": (4, 2)}, False),
        ({"embed.weight": (4, 2)}, True),
        ({**SHAPES, "layer.2.weight": (2, 2)}, True),
    ],
)
def test_another_name_or_shape_is_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], index: bool
) -> None:
    base, other = outline(tmp_path / "base", SHAPES), outline(tmp_path / "o", shapes, index=index)

    with pytest.raises(StepError, match=r"cannot be merged with .*: 1 tensor of another name"):
        expect_same_shapes(base, [other])
