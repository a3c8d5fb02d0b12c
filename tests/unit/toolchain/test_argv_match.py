"""Commands without what is the machine's: the number of threads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.toolchain import argv_template
from orchestrator.toolchain.argv_match import neutral

TEMPLATE = (
    "{bin}/tool{exe}",
    {"if": "dry", "then": ["--dry"]},
    {"unless": "dry", "then": ["--wet", "{threads}"]},
    {"each": "rules", "then": ["--rule", "{key}={item}"]},
    "-t",
    "{threads}",
    "{input}",
)


@given(
    threads=st.integers(1, 512).map(str),
    dry=st.booleans(),
    rules=st.dictionaries(st.text("abc-t2", min_size=1), st.text("abc-t2"), max_size=3),
    path=st.text("abc-t2/ ", min_size=1),
)
def test_only_the_threads_of_a_command_are_hidden(
    threads: str, dry: bool, rules: dict[str, str], path: str
) -> None:
    values = {"bin": "{toolchain}/bin", "exe": "", "dry": dry, "rules": rules, "input": path}
    argv = argv_template.expand(TEMPLATE, {**values, "threads": threads})

    found = neutral(TEMPLATE, argv)

    assert found == argv_template.expand(TEMPLATE, {**values, "threads": "{threads}"})


def test_a_command_of_something_else_is_left_alone() -> None:
    assert neutral(TEMPLATE, ["git", "clone"]) is None
