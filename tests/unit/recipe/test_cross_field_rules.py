"""Rules over several keys of a recipe: what is merged, and what does not go with a merge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recipes import MINIMAL, problems

LINEAR = "{merge_method: linear, models: [{model: base}, {model: b}]}"


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        (f"{{models: {{b: {{path: .}}}}, config: {LINEAR}}}", []),
        (f"{{models: {{b: {{path: nowhere}}}}, config: {LINEAR}}}", ["models.b.path: there is"]),
        (f"{{models: {{b: {{hub: a/b}}}}, config: {LINEAR}}}", ["models.b: 'hub' needs"]),
        (
            f"{{models: {{b: {{path: .}}, c: {{path: .}}}}, config: {LINEAR}}}",
            ["config: merges 'c' with nothing"],
        ),
        (
            f"{{models: {{b: {{path: .}}}}, config: {LINEAR.replace('linear', 'passthrough')}}}",
            ["config.merge_method: 'passthrough' is not one of linear, slerp, ties"],
        ),
        (
            f"{{models: {{b: {{path: .}}}}, config: {LINEAR.replace('model: b}', 'model: x/b}')}}}",
            ["config: 'x/b' is none of the models b, base", "merges 'b' with nothing"],
        ),
        (
            f"{{models: {{b: {{path: .}}}}, config: {LINEAR.replace('}]', '}], slices: []')}}}",
            ["config.slices: 'slices' can give a model of other shapes"],
        ),
        (
            "{models: {base: {path: .}}, config: {merge_method: ties, base_model: base}}",
            ["models.base: 'base' is what the configuration calls model.base"],
        ),
        ("{models: {b: {path: .}}}", ["mergekit.config: is required"]),
        ("{config: {}}", ["mergekit.models: is required"]),
        ("ties", ["mergekit: must be a mapping"]),
    ],
)
def test_a_merge_of_models_names_each_of_them(
    tmp_path: Path, mix: str, expected: list[str]
) -> None:
    text = MINIMAL.replace(
        "{hub: a/b, revision: main}", f"{{base: {{hub: a/b, revision: main}}, mergekit: {mix}}}"
    )
    found = [line for line in problems(tmp_path, text + "x: 1\n") if "unknown key" not in line]
    assert len(found) == len(expected), found
    for line, part in zip(found, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mmproj: {outtype: f16}", "mmproj: does not go with 'delta': nothing tells before"),
        ("mtp: separate", "mtp: does not go with 'delta'"),
        ("mtp: without", "mtp: does not go with 'delta'"),
        ("adapters: {a: {path: .}}", "adapters: does not go with 'delta'"),
    ],
)
def test_parts_of_a_base_and_a_delta_are_refused(tmp_path: Path, line: str, expected: str) -> None:
    merged = MINIMAL.replace(
        "{hub: a/b, revision: main}",
        "{base: {hub: a/b, revision: main}, delta: {hub: a/c, revision: main}}",
    )
    [other] = problems(tmp_path, merged + "mtp: inside\nx: 1\n")
    assert "unknown key" in other
    [found] = problems(tmp_path, f"{merged}{line}\n")
    assert expected in found


@pytest.mark.parametrize("name", ["lora-a-F16", "LORA-A-q8_0", "lora-a"])
def test_no_quantized_file_is_called_like_an_adapters(tmp_path: Path, name: str) -> None:
    text = MINIMAL + "adapters: {a: {path: .}}\n"
    text = text.replace("quantize: [Q4_0]", f"quantize: [{{type: Q4_0, name: {name}}}]")
    [found] = problems(tmp_path, text)
    assert f"{name!r}; give another 'name'" in found


def test_adapters_differ_in_more_than_case(tmp_path: Path) -> None:
    [found] = problems(tmp_path, MINIMAL + "adapters: {a: {path: .}, A: {path: .}}\n")
    assert "adapters.A: another adapter is called so but for the case" in found
