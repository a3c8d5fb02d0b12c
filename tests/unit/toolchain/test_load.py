"""Tool-chain data: its grammar, what is refused, and what of it changes keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.toolchain import load
from orchestrator.toolchain.argv_template import expand
from tests.support.plans import CHAIN, changed, loaded_again, make_chain, make_vendor


@pytest.mark.parametrize(
    ("template", "values", "argv"),
    [
        (["a", "{x}"], {"x": 1}, ["a", "1"]),
        (["{x}/b{y}"], {"x": "p", "y": ".exe"}, ["p/b.exe"]),
        (["{{literal}}"], {}, ["{literal}"]),
        ([{"if": "x", "then": ["-x", "{x}"]}], {"x": "v"}, ["-x", "v"]),
        ([{"if": "x", "then": ["-x"]}], {"x": ""}, []),
        ([{"if": "x", "then": ["-x"]}], {}, []),
        ([{"unless": "x", "then": ["-y"]}], {}, ["-y"]),
        ([{"unless": "x", "then": ["-y"]}], {"x": True}, []),
        ([{"each": "l", "then": ["-l", "{item}"]}], {"l": ["a", "b"]}, ["-l", "a", "-l", "b"]),
        ([{"each": "m", "then": ["{key}={item}"]}], {"m": {"a": "1", "b": "2"}}, ["a=1", "b=2"]),
        ([{"each": "l", "then": ["x"]}], {}, []),
        ([{"each": "l", "then": ["{key}:{item}"]}], {"l": ["a"]}, ["0:a"]),
        (
            [{"if": "x", "then": ["-x", {"unless": "y", "then": ["-n"]}]}],
            {"x": 1},
            ["-x", "-n"],
        ),
        (
            [{"each": "l", "then": [{"if": "v", "then": ["{item}{v}"]}]}],
            {"l": "ab", "v": 1},
            ["a1", "b1"],
        ),
    ],
)
def test_templates(template: list[Any], values: dict[str, Any], argv: list[str]) -> None:
    assert expand(template, values) == argv


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError, match="x"):
        expand(["{x}"], {})


@given(st.text())
def test_values_are_never_read_as_templates(value: str) -> None:
    assert expand(["-p", "{prompt}"], {"prompt": value}) == ["-p", value]


def test_types_have_one_spelling(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)

    assert chain.canonical_type("q4_k") == "Q4_K_M"
    assert chain.canonical_type("q4_k_m") == "Q4_K_M"
    assert chain.canonical_type("Q9") is None


@pytest.mark.parametrize(
    ("profile", "backend", "platform", "machine", "options"),
    [
        ("portable", "cpu", "linux", "x86_64", "-DA=1 -DPORTABLE -DAVX2"),
        ("portable", "cpu", "linux", "aarch64", "-DA=1 -DPORTABLE"),
        ("portable", "cpu", "darwin", "arm64", "-DA=1 -DPORTABLE -DMAC"),
        ("native", "cuda", "linux", "x86_64", "-DA=1 -DNATIVE -DCUDA"),
        ("native", "cpu", "win32", "AMD64", "-DA=1 -DNATIVE"),
    ],
)
def test_build_options(
    tmp_path: Path, profile: str, backend: str, platform: str, machine: str, options: str
) -> None:
    build = make_chain(tmp_path).build

    assert " ".join(build.arguments(profile, backend, platform, machine)) == options


def test_unknown_profiles_and_back_ends_name_the_known_ones(tmp_path: Path) -> None:
    build = make_chain(tmp_path).build

    with pytest.raises(UsageError, match="native, portable") as caught:
        build.arguments("fast", "cpu")
    assert "@" not in str(caught.value)
    with pytest.raises(UsageError, match="cpu, cuda"):
        build.arguments("portable", "rocm")


def test_a_verb_that_is_missing_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"stand cannot split\n  It can: complete, convert"):
        make_chain(tmp_path).verb("split")


def test_a_script_changes_a_verbs_identity(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    before = {name: chain.verb_identity(name) for name in chain.verbs}

    (chain.folder / "convert.py").write_text("print('otherwise')\n")

    chain = loaded_again(chain)
    after = {name: chain.verb_identity(name) for name in chain.verbs}
    assert {name for name in before if before[name] != after[name]} == {"convert", "describe"}


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        ("verbs.complete.progress", "new", False),
        ("verbs.complete.errors", [{"match": "x", "say": "y"}], False),
        ("verbs.complete.timeout", 3, False),
        ("verbs.complete.expect", {"match": ["done"]}, False),
        ("verbs.complete.argv", ["{bin}/tool", "--new"], True),
        ("verbs.complete.env", {"A": "1"}, True),
    ],
)
def test_what_of_a_verb_is_its_identity(
    tmp_path: Path, path: str, value: Any, changes: bool
) -> None:
    chain = make_chain(tmp_path)
    before = chain.verb_identity("complete")

    assert (changed(chain, path, value).verb_identity("complete") != before) == changes


def identity(chain: load.ToolChain) -> dict[str, Any]:
    options = chain.build.arguments("portable", "cpu", "linux", "x86_64")
    return load.build_identity(chain, options, chain.source.commit)


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        ("about", "another sentence", False),
        ("source.git", "https://elsewhere/upstream", False),
        ("source.mirrors", [], False),
        ("build.backends", {"cpu": [], "vulkan": ["-DV"]}, False),
        ("build.profiles", {"portable@x86_64": ["-DPORTABLE", "-DAVX2"], "x": []}, False),
        ("build.profiles", {"portable": ["-DOTHER"]}, True),
        ("build.options", ["-DA=2"], True),
        ("build.targets", ["tool", "more"], True),
        ("build.sources", ["*.py"], True),
        ("build.overlay", {"a.txt": "selftest.txt"}, True),
        ("types", {"Q4_0": {"bits": 4}}, False),
    ],
)
def test_what_of_the_data_is_the_identity_of_a_build(
    tmp_path: Path, path: str, value: Any, changes: bool
) -> None:
    chain = make_chain(tmp_path)
    before = identity(chain)

    assert (identity(changed(chain, path, value)) != before) == changes


def test_files_that_a_build_uses_are_in_its_identity(tmp_path: Path) -> None:
    chain = changed(make_chain(tmp_path), "build.overlay", {"a.txt": "convert.py"})
    first = identity(chain)
    (chain.folder / "convert.py").write_text("1")
    second = identity(loaded_again(chain))
    (chain.folder / "selftest.txt").write_text("2")
    third = identity(loaded_again(chain))
    (chain.folder / "shapes.py").write_text("3")

    assert first != second != third
    assert identity(loaded_again(chain)) == third


def test_a_loaded_chain_stays_as_it_was_loaded(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)

    def known() -> list[Any]:
        verbs = [chain.verb_identity(name) for name in chain.verbs]
        return [verbs, identity(chain), load.environment_identity(chain), load.data_digest(chain)]

    before = known()
    for path in chain.folder.iterdir():
        path.unlink()

    assert known() == before


def test_a_file_that_is_named_and_missing_is_named(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    (chain.folder / "convert.py").unlink()

    with pytest.raises(UsageError, match=r"toolchain\.yaml names convert\.py.*\n  Add the file"):
        loaded_again(chain).verb_identity("convert")


def test_requirements_that_are_missing_are_named(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    (chain.folder / "requirements.txt").unlink()

    with pytest.raises(UsageError, match=r"requirements\.txt"):
        loaded_again(chain)


def test_a_plain_tree_is_pinned_by_its_archive(tmp_path: Path) -> None:
    mirror = {"pypi": "m", "version": "1", "tree": "vendor/x"}
    chain = changed(make_chain(tmp_path), "source.mirrors", [{**mirror, "sha256": "1" * 64}])
    before = identity(chain)

    after = changed(chain, "source.mirrors", [{**mirror, "sha256": "2" * 64}])

    assert identity(after) != before


def test_requirements_are_the_identity_of_an_environment(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    before = load.environment_identity(chain)
    (chain.folder / "requirements.txt").write_text("six==1.17.0\n")

    assert before is not None
    assert load.environment_identity(loaded_again(chain)) != before
    without = chain.model_copy(update={"environment": None})
    assert load.environment_identity(without) is None


def test_every_file_of_the_data_is_in_its_digest(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    before = load.data_digest(chain)
    (chain.folder / "patch").mkdir()
    (chain.folder / "patch" / "a.diff").write_text("x")

    assert load.data_digest(loaded_again(chain)) != before


def test_what_python_makes_of_scripts_is_not_in_the_digest(tmp_path: Path) -> None:
    chain = make_chain(tmp_path)
    before = load.data_digest(chain)
    (chain.folder / "__pycache__").mkdir()
    (chain.folder / "__pycache__" / "convert.cpython-311.pyc").write_text("x")

    assert load.data_digest(load.with_files(chain)) == before


def test_an_unknown_tool_chain_names_the_known_ones(tmp_path: Path) -> None:
    vendor = make_vendor(tmp_path)

    for name in ("other", "../vendor/stand", "", "stand/"):
        with pytest.raises(UsageError, match=r"unknown tool chain.*\n  Known: stand\."):
            load.load(name, vendor)
    with pytest.raises(UsageError, match="Known: none"):
        load.load("stand", tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHAIN.replace("about:", "abuot:"), "abuot"),
        (CHAIN.replace("{commit}", "main"), "commit"),
        (CHAIN.replace("{sha}", "123"), "sha256"),
        ("[1, 2", "toolchain.yaml"),
        ("- 1\n", "toolchain.yaml"),
        (CHAIN.replace("about:", "about: 2001-02-30 #"), "day is out of range"),
        (CHAIN + "".join(f"more{n}: {'x' * 5000}\n" for n in range(9)), "; and 6 more"),
        ("!!python/object/apply:os.system [exit]", "toolchain.yaml"),
    ],
)
def test_wrong_data_is_refused_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        make_chain(tmp_path, text=text)
    assert "toolchain.yaml" in caught.value.message
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize("name", load.names())
def test_the_pinned_tool_chains_are_whole(name: str) -> None:
    """Every file that the data names is there, every pattern compiles, every error has a hint."""
    import re

    chain = load.load(name)
    for verb_name, verb in chain.verbs.items():
        chain.verb_identity(verb_name)
        patterns = [*verb.expect.match, *verb.expect.never, *verb.expect.count]
        patterns += [*verb.expect.number, *verb.values.values(), *verb.lists.values()]
        patterns += [known.match for known in verb.errors]
        for pattern in [*patterns, verb.progress]:
            re.compile(pattern)
        for known in verb.errors:
            groups = dict.fromkeys(re.compile(known.match).groupindex, "value")
            assert known.say.format_map(groups)
            assert known.hint.format_map(groups)
    for platform in ("linux", "darwin", "win32"):
        for machine in ("x86_64", "AMD64", "arm64", "aarch64"):
            for backend in chain.build.backend_names:
                options = chain.build.arguments("portable", backend, platform, machine)
                load.build_identity(chain, options, chain.source.commit)
    assert {"convert", "quantize"} <= set(chain.verbs)
