"""Reading YAML with places, extending recipes, and refusing what is no recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.recipe import RecipeError, load, yaml_positions
from orchestrator.recipe.yaml_positions import MAX_BYTES, dotted
from tests.support.recipes import MINIMAL, allowed, loaded, one, problems, write, wrong

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: a recipe is a mapping: it begins with 'name: ...'"),
        ("- a\n", "1:1: a recipe is a mapping: it begins with 'name: ...'"),
        ("name: [x\n", "2:1: this is not YAML: "),
        ("name: x\n\tfamily: y\n", "2:1: this is not YAML: "),
        ("name: x\n---\nname: y\n", "2:1: this is not YAML: but found another document"),
        ("name: *x\n", "1:7: this is not YAML: found undefined alias"),
        ("name: x\nname: y\n", "2:1: name: this key was already given"),
        ("model: {a: 1, a: 2}\n", "1:15: model.a: this key was already given"),
        ("? [a]\n: x\n", "1:3: a key must be a word"),
        ("name: !!python/object/apply:os.system [ls]\n", "must be text"),
        ("name: !!python/name:os.system x\n", "the tag tag:yaml.org,2002:python/name:os.syste"),
        ("name: !x y\n", "1:7: name: the tag !x is refused"),
        ('name: "a\\0"\n', "1:7: name: text must not hold the NUL character"),
        ('name: "\\ud800"\n', "1:7: name: text must not hold the NUL character"),
        ("name: 0b_\n", "1:7: name: '0b_' is not a value; quote it if it is text"),
        ("a: " + "[" * 100_000, "nested more than 40 levels deep"),
        ("a: &a [*a]\n", "aliases (*name) make more than 20000 values or a loop"),
        (BOMB, "aliases (*name) make more than 20000 values or a loop"),
        ("a" * (MAX_BYTES + 1), "1:1: a recipe has at most 1000000 bytes"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert any(expected in line for line in found), found


SHIPPED = sorted((Path(__file__).parents[3] / "recipes").rglob("*.yaml"))
ODD = (
    "name: {a: [b, {c: d}]}\n",
    "name: |\n  text\n   more\n\nfamily: >-\n  folded\n  text\n",
    "- - - a\n    - b\n",
    "? key\n: - a\n  - &x {b: c}\nother: *x\n",
    "# comment\n---\nname: é 'x' \"\\u00e9\"\n...\n",
)


@pytest.mark.parametrize("text", [*(path.read_text("utf-8") for path in SHIPPED), *ODD])
def test_both_loaders_read_the_same_in_the_same_places(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"

    def tree(node: yaml.Node | None) -> object:
        assert node is not None
        builder = yaml_positions._Builder(path)
        return builder.node(node, (), None), builder.problems

    slow = yaml.compose(text, Loader=yaml_positions._Loader)
    assert tree(yaml_positions._composed(text)) == tree(slow)


def test_most_recipes_are_read_by_the_fast_loader() -> None:
    shallow = [
        yaml_positions._deepest(path.read_text("utf-8")) <= yaml_positions.MAX_DEPTH
        for path in SHIPPED
    ]
    assert sum(shallow) > len(shallow) // 2


@given(st.text(alphabet=" -?:[{a\n", max_size=80))
def test_nothing_is_deeper_than_it_looks(text: str) -> None:
    def depth(node: yaml.Node | None) -> int:
        if isinstance(node, yaml.MappingNode):
            return 1 + max((depth(one) for pair in node.value for one in pair), default=0)
        if isinstance(node, yaml.SequenceNode):
            return 1 + max(map(depth, node.value), default=0)
        return 1

    try:
        found = yaml.compose(text, Loader=yaml_positions._Loader)
    except yaml.YAMLError:
        return
    assert depth(found) <= 1 + yaml_positions._deepest(text)


@pytest.mark.parametrize("text", [BOMB, "a: " + "[" * 100_000, "a" * (MAX_BYTES + 1)])
def test_bombs_are_one_sentence(tmp_path: Path, text: str) -> None:
    assert "\n" not in one(tmp_path, text)


def test_keys_and_values_without_end_make_no_sentence_without_end(tmp_path: Path) -> None:
    long = "a" * 100_000
    said = problems(tmp_path, f"{MINIMAL}{long}: 1\nname: [{long}]\n")

    assert len(said) > 0
    assert max(map(len, said)) < 2000


def test_no_utf8_no_file_and_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"name: \xff\n")
    assert wrong(path) == ["x.yaml:1:1: this is not UTF-8 text"]
    assert wrong(tmp_path / "none") == [
        "none:1:1: the recipe cannot be read: No such file or directory"
    ]
    folder = tmp_path / "folder"
    folder.mkdir()
    assert wrong(folder) == ["folder:1:1: the recipe cannot be read: Is a directory"]


def test_a_byte_order_mark_and_aliases_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = MINIMAL.replace("[Q4_0]", "[&q Q4_0, {type: Q8_0, output_tensor_type: *q}]")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(path, allowed).quantize[1].output_tensor_type == "q4_0"


@given(st.text(max_size=200))
def test_any_text_is_a_recipe_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RecipeError):
        load(path, allowed)


@given(st.binary(max_size=60))
def test_no_bytes_in_a_good_recipe_break_it(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "x.yaml"
    path.write_bytes(MINIMAL.encode() + b"description: " + noise)
    try:
        name = load(path, allowed).name
    except RecipeError as error:
        name = "x" if error.problems else ""
    assert name == "x"


# -- extends ---------------------------------------------------------------------------------

PARENT = """\
name: parent
family: llama
description: The parent
toolchain: {name: llama.cpp, backend: cuda}
model: {hub: a/parent, revision: 0123456789012345678901234567890123456789, file: w.bin}
quantize: [Q4_0, Q8_0]
verify:
  smoke: {prompt: Hi, expect: ho}
  perplexity: {corpus: text.txt, chunks: 4}
  limits: {max_ppl: 9, max_size: 1 GB}
  sha256: {Q4_0: "%s"}
  reference: {source: "https://example.org"}
published: [{type: Q4_0}]
""" % ("0" * 64)


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("text")
    return write(tmp_path, PARENT, "parent.yaml")


def child(parent: Path, text: str) -> Path:
    return write(parent.parent / "sub", f"extends: ../parent.yaml\nname: child\n{text}", "x.yaml")


def test_three_lines_make_another_recipe(parent: Path) -> None:
    path = child(parent, "model: {hub: a/child, revision: main}\n")
    recipe = load(path, allowed)
    assert recipe.name == "child"
    assert recipe.toolchain.backend == "cuda"
    assert [quant.name for quant in recipe.quantize] == ["Q4_0", "Q8_0"]
    assert (recipe.model.hub, recipe.model.revision) == ("a/child", "main")
    assert recipe.file == path


def test_a_new_source_takes_nothing_from_the_old_one(parent: Path) -> None:
    assert (
        load(child(parent, "model: {hub: a/child, revision: main}\n"), allowed).model.file is None
    )
    path = child(parent, "model: {hub: a/child}\n")
    assert "'hub' needs 'revision'" in wrong(path)[0]


def test_a_delta_keeps_the_inherited_base(tmp_path: Path) -> None:
    base = MINIMAL.replace(
        "{hub: a/b, revision: main}",
        "{base: {hub: a/base, revision: main}, delta: {hub: a/one, revision: v1}}",
    )
    write(tmp_path, base, "base.yaml")
    recipe = loaded(
        tmp_path,
        """\
        extends: base.yaml
        name: other
        model: {delta: {hub: a/two, revision: main}}
        """,
    )
    assert recipe.model.base is not None
    assert recipe.model.base.hub == "a/base"
    assert recipe.model.delta is not None
    assert (recipe.model.delta.hub, recipe.model.delta.revision) == ("a/two", "main")


def test_a_merge_replaces_a_plain_source_and_back(parent: Path) -> None:
    both = "{base: {hub: a/b, revision: main}, delta: {hub: a/c, revision: main}}"
    path = child(parent, f"model: {both}\n")
    assert load(path, allowed).model.kind == "merge"
    grandchild = write(
        path.parent, "extends: x.yaml\nname: y\nmodel: {hub: a/d, revision: main}\n", "y.yaml"
    )
    assert load(grandchild, allowed).model.kind == "hub"


def test_a_matrix_of_others_replaces_one_that_is_made_and_back(parent: Path) -> None:
    made = "imatrix: {corpus: ../text.txt, chunks: 3}\n"
    path = child(parent, made)
    given = write(path.parent, "extends: x.yaml\nname: y\nimatrix: {file: y.yaml}\n", "y.yaml")
    back = write(path.parent, f"extends: y.yaml\nname: z\n{made}", "z.yaml")

    first, second = load(given, allowed).imatrix, load(back, allowed).imatrix

    assert first is not None
    assert (first.corpus, first.file is not None) == (None, True)
    assert second is not None
    assert (second.chunks, second.file) == (3, None)


def test_a_description_is_inherited_unless_it_is_replaced(parent: Path) -> None:
    assert load(child(parent, ""), allowed).description == "The parent"
    own = "description: The child\n"
    assert load(child(parent, own), allowed).description == "The child"


def test_what_states_results_of_the_parent_is_not_inherited(parent: Path) -> None:
    recipe = load(child(parent, ""), allowed)
    assert recipe.published == ()
    assert recipe.verify.sha256 == {}
    assert recipe.verify.reference is None
    assert recipe.verify.smoke is not None
    nameless = write(parent.parent, "extends: parent.yaml\n", "x.yaml")
    assert wrong(nameless) == ["x.yaml:1:1: name: is required"]


def test_mappings_merge_lists_replace_and_null_drops(parent: Path) -> None:
    path = child(
        parent,
        "toolchain: llama.cpp\n"
        "quantize: [Q4_K_S]\n"
        "verify: {smoke: null, limits: {max_ppl: 8, max_size: null}, perplexity: {chunks: null}}\n",
    )
    recipe = load(path, allowed)
    assert (recipe.toolchain.name, recipe.toolchain.backend) == ("llama.cpp", "cuda")
    assert [quant.type for quant in recipe.quantize] == ["Q4_K_S"]
    assert recipe.verify.smoke is None
    assert (recipe.verify.limits.max_ppl, recipe.verify.limits.max_size) == (8, None)
    assert recipe.verify.perplexity is not None
    assert recipe.verify.perplexity.chunks is None


def test_null_drops_an_inherited_text(parent: Path) -> None:
    (parent.parent / "t.jinja").write_text("x")
    with_header = parent.read_text() + "header: {chat_template: t.jinja, remove: [general.url]}\n"
    parent.write_text(with_header)

    header = load(child(parent, "header: {chat_template: null}\n"), allowed).header

    assert header is not None
    assert (header.chat_template, header.keys) == (None, ("general.url",))


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("{}", "changes nothing"),
        ("{set: {tokenizer.ggml.eos_token_id: 3}, special_tokens: {eos: x}}", "stated twice"),
        ("{set: {general.url: x}, remove: [general.url]}", "both stated and removed"),
        ("{set: {general.url: {a: b}}}", "must be"),
        ("{special_tokens: {eos: -1}}", "greater than or equal to 0"),
        ("{chat_template: {}}", "needs exactly one of hub, pypi, path or url"),
    ],
)
def test_headers_that_say_nothing_or_the_same_twice(parent: Path, header: str, why: str) -> None:
    assert why in " ".join(wrong(child(parent, f"header: {header}\n")))


def test_an_inherited_path_is_relative_to_the_parent(parent: Path) -> None:
    perplexity = load(child(parent, ""), allowed).verify.perplexity
    assert perplexity is not None
    path = perplexity.corpus.path
    assert path is not None
    assert path.samefile(parent.parent / "text.txt")
    own = child(parent, "verify: {perplexity: {corpus: text.txt}}\n")
    assert "there is no file or folder" in wrong(own)[0]


def test_an_inherited_problem_is_shown_where_it_is_written(parent: Path) -> None:
    parent.write_text(PARENT.replace("Q8_0]", "Q8]"))
    path = child(parent, "model: {path: nowhere}\n")
    first, second = wrong(path)
    assert first.startswith(
        "../parent.yaml:6:18: quantize[1].type: 'Q8' is not a quantization type"
    )
    assert second.startswith("x.yaml:3:15: model.path: there is no file or folder")


def test_extending_in_a_circle_nothing_or_a_number(tmp_path: Path) -> None:
    write(tmp_path, "extends: b.yaml\nname: a\n", "a.yaml")
    path = write(tmp_path, "extends: ./a.yaml\nname: b\n", "b.yaml")
    assert wrong(path) == ["a.yaml:1:10: extends: 'b.yaml' extends this recipe itself"]
    gone = one(tmp_path, "extends: gone.yaml\nname: x\n")
    assert gone == f"1:10: extends: there is no file '{'gone.yaml'}'"
    assert one(tmp_path, "extends: [a]\n") == "1:10: extends: must be the path of another recipe"
    assert "extends this recipe itself" in one(tmp_path, "extends: x.yaml\n")
    assert "there is no file" in one(tmp_path, f"extends: {'a' * 5000}\n")


def test_a_key_path_is_written_as_people_do() -> None:
    assert dotted(("quantize", 1, "type")) == "quantize[1].type"
    assert dotted(()) == ""


def test_of_very_many_problems_the_first_hundred_are_shown(tmp_path: Path) -> None:
    text = MINIMAL + "".join(f"k{number}: 1\n" for number in range(3000))
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, text)
    shown = str(caught.value).splitlines()
    assert len(shown) == 101
    assert shown[-1] == "and 2900 more problems"


def test_more_files_than_any_recipe_has_are_refused(tmp_path: Path) -> None:
    types = ", ".join(f"{{type: Q4_0, name: q{number}}}" for number in range(501))
    [problem] = problems(tmp_path, MINIMAL.replace("[Q4_0]", f"[{types}]"))
    assert "quantize: has more entries" in problem
