"""What a recipe means, and how it says what is wrong."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.base.errors import EXIT_USAGE
from orchestrator.recipe import RecipeError, load, load_many
from orchestrator.recipe.models import Recipe
from tests.support.recipes import MINIMAL, allowed, loaded, one, problems, write, wrong

SHA = "0123456789abcdef" * 4
TEXT = "{hub: a/b, revision: main}"


@pytest.mark.parametrize("model", ["{}", "{path: null}"])
def test_a_model_without_a_source_is_told(tmp_path: Path, model: str) -> None:
    text = MINIMAL.replace(MINIMAL[MINIMAL.index("model:") :].splitlines()[0], f"model: {model}")

    assert any("model: needs exactly one of" in one for one in problems(tmp_path, text))


def test_minimal_recipe_has_the_documented_defaults(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, MINIMAL)
    assert recipe.name == "x"
    assert recipe.toolchain.name == "llama.cpp"
    assert (recipe.toolchain.backend, recipe.toolchain.profile) == ("cpu", "portable")
    assert recipe.model.kind == "hub"
    assert recipe.convert.outtype == "f16"
    assert recipe.converted_name == "F16"
    assert recipe.verify.speed is not None
    assert recipe.verify.perplexity is None
    assert [quant.name for quant in recipe.quantize] == ["Q4_0"]
    assert recipe.file == tmp_path / "x.yaml"


def test_a_release_takes_the_place_of_a_commit_and_changes_no_other_recipes_digest(
    tmp_path: Path,
) -> None:
    plain, chosen = "toolchain: llama.cpp", "toolchain: {name: llama.cpp, %s}"
    released = loaded(tmp_path, MINIMAL.replace(plain, chosen % "release: b3821"))
    written = loaded(tmp_path, MINIMAL.replace(plain, chosen % "release: null"))
    both = problems(tmp_path, MINIMAL.replace(plain, chosen % "commit: master, release: b3821"))

    assert released.toolchain.release == "b3821"
    assert len({released.digest, written.digest, loaded(tmp_path, MINIMAL).digest}) == 2
    assert any("toolchain.release: a release is a commit: give one of the two" in x for x in both)


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ("{}", "toolchain.tools: give 'path' or 'url', one of the two"),
        ("{url: 'https://localhost/x.tgz'}", "toolchain.tools: 'url' needs 'sha256'"),
        ("there, profile: native", "toolchain.profile: installed tools are built already"),
        ("nowhere", "toolchain.tools.path: there is no file or folder"),
    ],
)
def test_installed_tools_that_cannot_be_meant_are_told(
    tmp_path: Path, tools: str, said: str
) -> None:
    (tmp_path / "there").mkdir()
    text = MINIMAL.replace(
        "toolchain: llama.cpp", f"toolchain: {{name: llama.cpp, tools: {tools}}}"
    )

    assert any(said in one for one in problems(tmp_path, text))


def test_installed_tools_are_a_folder_beside_the_recipe_and_change_no_other_recipes_digest(
    tmp_path: Path,
) -> None:
    (tmp_path / "there").mkdir()
    chosen = MINIMAL.replace("toolchain: llama.cpp", "toolchain: {name: llama.cpp, tools: there}")
    recipe = loaded(tmp_path, chosen)

    assert recipe.toolchain.tools is not None
    assert recipe.toolchain.tools.path == tmp_path / "there"
    assert recipe.digest != loaded(tmp_path, MINIMAL).digest


def test_a_type_is_named_with_place_and_near_match(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("[Q4_0]", "\n- Q4_0\n- {type: Q4_KM}"), "x.yaml")
    with pytest.raises(RecipeError) as caught:
        load(path, allowed)
    expected = "quantize[1].type: 'Q4_KM' is not a quantization type; did you mean 'Q4_K_M'?"
    assert str(caught.value) == f"{path}:7:10: {expected}"
    assert caught.value.exit_code == EXIT_USAGE


def test_all_problems_of_a_file_come_at_once_in_order(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
        name: a/b
        famly: llama
        family: lama
        toolchain: llama.cpp
        model: {hub: a/b, revision: main, path: "."}
        quantize:
          - Q9
          - {type: q4_0, pur: true, limits: {max_ppl: 3}}
          - {type: Q4_0, name: 7}
          - Q4_0
        verify: {kld: true, sha256: {q8: ab}}
        """,
    )
    places = [line.partition(": ")[0] for line in found]
    assert places == sorted(places, key=lambda place: tuple(map(int, place.split(":"))))
    said = [line.partition(": ")[2] for line in found]
    assert said == [
        "name: 'a/b' is not a name: letters, digits, '.', '_' and '-', a letter or digit first",
        "famly: unknown key 'famly'; did you mean 'family'?",
        "family: 'lama' is no family that this tool chain converts; did you mean 'llama'?",
        "model: needs exactly one of hub, pypi, path, url, or base and delta, lora or mergekit, "
        "not hub and path",
        "quantize[0].type: 'Q9' is not a quantization type",
        "quantize[1].pur: unknown key 'pur'; did you mean 'pure'?",
        "quantize[1].limits.max_ppl: needs 'verify.perplexity', which measures it",
        "quantize[2].name: must be text; put it in quotes if it is",
        "quantize[3].type: quantize[1] is already called 'Q4_0'; give another 'name'",
        "verify.kld: needs 'verify.perplexity': it is measured on the same text",
        "verify.sha256.q8: 'ab' is not a SHA-256: 64 hexadecimal digits",
        "verify.sha256.q8: 'q8' is not a file of this recipe",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nam: x", "6:1: nam: unknown key 'nam'; did you mean 'name'?"),
        (
            "convert: {outtype: f61}",
            "does not write 'f61', only f16, f32, q8_0; did you mean 'f16'?",
        ),
        ("convert: {outtype: bf16}", "this tool chain's converter does not write 'bf16', only "),
        ("convert: {tokenizer_pro: x}", "'tokenizer_pro'; did you mean 'tokenizer_pre'?"),
        ("convert: {tokenizer_pre: [x]}", "6:26: convert.tokenizer_pre: must be text"),
        ("convert: {tokenizer_pre: ../x}", "convert.tokenizer_pre: '../x' does not match"),
        ("convert: {fast: maybe}", "6:17: convert.fast: must be true or false"),
        (f"imatrix: {{corpus: {TEXT}, merge: true}}", "'merge'; did you mean 'merged'?"),
        (f"imatrix: {{corpus: {TEXT}, merged: 1}}", "imatrix.merged: must be true or false"),
        ("convert: {model_name: ''}", "convert.model_name: '' is not the name of a model"),
        ("convert: {model_name: ' x'}", "' x' is not the name of a model: one line"),
        ('convert: {model_name: "a\\nb"}', "is not the name of a model: one line"),
        ("convert: f16", "6:10: convert: must be a mapping of keys to values"),
        ("verify: {speed: {prompt: 0}}", "verify.speed.prompt: must be greater than 0"),
        ("verify: {speed: {prompt: many}}", "verify.speed.prompt: must be a whole number"),
        ("verify: {kld: 'yes'}", "verify.kld: must be true or false"),
        ("verify: {smoke: {prompt: '', expect: x}}", "verify.smoke.prompt: must not be empty"),
        ("verify: {smoke: {prompt: x}}", "6:17: verify.smoke.expect: is required"),
        ("verify: {smoke: {prompt: x, expect: '('}}", "'(' is not a regular expression"),
        ("verify: {limits: {max_size: 4 apples}}", "'4 apples' is not a size: write bytes "),
        ("verify: {limits: {max_size: .inf}}", ".inf is not a finite number"),
        ("verify: {limits: {max_size: -1}}", "'-1' is not a size: write bytes"),
        ("verify: {limits: {max_size: 0}}", "verify.limits.max_size: must be greater than 0"),
        ("verify: {limits: {max_bits_per_weight: .nan}}", ".nan is not a finite number"),
        ("verify: {limits: {max_mean_kld: 0.1}}", "needs 'verify.kld', which measures it"),
        (f"verify: {{limits: {{max_size: 1{'0' * 400}}}}}", "0 is not a finite number below 2^63"),
        (f"verify: {{limits: {{max_ppl_increase: 1{'0' * 400}}}}}", "is not a finite number below"),
        (f"publish: {{max_file: 1{'0' * 400}G}}", "is not a size"),
        (f"verify: {{limits: {{max_mean_kld: !!float 1{':1' * 400}}}}}", "is not a value"),
        (f"verify: {{limits: {{max_mean_kld: !!int 1{':1' * 4000}}}}}", "is not a finite number"),
        (f"alarms: {{perplexity: 1{'0' * 400}}}", "alarms.perplexity: 1000"),
        ('"\\e[31;1mred\\e[0m": 1', r"6:1: \x1b[31;1mred\x1b[0m: unknown key"),
        ("verify: !x%1b[31m 1", r"the tag !x\x1b[31m is refused"),
        ("imatrix: {corpus: none.txt}", "there is no file or folder"),
        ("imatrix: {file: none.dat}", "imatrix.file.path: there is no file or folder"),
        ("imatrix: {chunks: 3}", "6:10: imatrix: needs either 'corpus', to make"),
        ("imatrix: {corpus: x.yaml, file: x.yaml}", "imatrix: needs either 'corpus', to make"),
        ("imatrix: {file: x.yaml, chunks: 3}", "imatrix.chunks: 'chunks' does not go with 'file'"),
        ("imatrix: {file: {hub: a/b}}", "imatrix.file: 'hub' needs 'revision'"),
        ("imatrix: {file: x.yaml, recorded_as: ''}", "'' is not a path of at most 127 bytes"),
        (f"imatrix: {{file: x.yaml, recorded_as: {'ä' * 64}}}", "is not a path of at most 127"),
        ("alarms: [1]", "alarms: must be a mapping of keys to values"),
        ("published: x", "published: must be a list"),
    ],
)
def test_single_problems(tmp_path: Path, line: str, expected: str) -> None:
    assert expected in one(tmp_path, MINIMAL + line + "\n")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("{}", ["model: is required"]),
        ("{hub: a/b}", ["'hub' needs 'revision': a full commit, or a branch such as main"]),
        ("{hub: a/b/c, revision: main}", ["is not the name of a repository"]),
        ("{hub: ../b, revision: main}", ["is not the name of a repository"]),
        ("{hub: a/b, revision: ../x}", ["'../x' is not a revision"]),
        ("{hub: a/b, revision: --x}", ["'--x' is not a revision"]),
        ("{hub: a/b, revision: main, file: ../x}", ["'../x' is not a path inside"]),
        ("{hub: a/b, revision: main, file: 'C:/x'}", ["is not a path inside"]),
        ("{hub: a/b, revision: main, files: {/etc/x: SHA}}", ["is not a path inside"]),
        ("{hub: a/b, revision: main, member: 'a\\b'}", ["is not a path inside"]),
        ("{hub: a/b, revision: main, trust_remote_code: true}", ["from a full commit"]),
        ("{path: nowhere}", ["there is no file or folder"]),
        ("{path: ''}", ["model.path: must be a path"]),
        ("{path: ., revision: main}", ["'revision' does not go with 'path'"]),
        ("{path: ., subfolder: x, format: gguf}", ["goes with a model in a folder"]),
        ("{hub: a/b, revision: main, subfolder: x, file: y}", ["goes with a model in a folder"]),
        ("{path: ., subfolder: ../x}", ["'../x' is not a path inside"]),
        ("{url: 'https://x/y'}", ["'url' needs 'sha256': the checksum of what is downloaded"]),
        ("{url: 'file:///etc/passwd', sha256: SHA}", ["is not an http(s) address"]),
        ("{url: 'https://u:p@x/y', sha256: SHA}", ["is not an http(s) address"]),
        ("{pypi: {package: p, version: '1', file: f}}", ["'pypi' needs 'sha256'"]),
        ("{pypi: {package: p, version: 1.0, file: f}, sha256: SHA}", ["must be text"]),
        ("{base: {hub: a/b, revision: main}}", ["'base' needs one of 'delta', 'lora' and 'm"]),
        ("{base: {hub: a/b, revision: main}, lora: []}", ["needs one of 'delta', 'lora' and"]),
        ("{lora: [{hub: a/b, revision: main}]}", ["'lora' needs 'base'"]),
        (
            "{base: {path: .}, delta: {path: .}, lora: [{path: .}]}",
            ["needs one of 'delta', 'lora'"],
        ),
        ("{base: {path: .}, lora: [{path: .}], method: delta}", ["'method' does not go with"]),
        ("{base: {path: .}, lora: [{hub: a/b}]}", ["model.lora[0]: 'hub' needs 'revision'"]),
        ("{base: {path: .}, lora: [{path: nowhere}]}", ["model.lora[0].path: there is no"]),
        ("{base: {path: .}, lora: [{path: ., scale: .nan}]}", ["model.lora[0].scale"]),
        ("{base: {path: .}, lora: {path: .}}", ["model.lora: must be a list"]),
        ("{delta: {hub: a/b, revision: main}}", ["'delta' needs 'base'"]),
        (
            "{base: {}, delta: {hub: a/b}}",
            ["model.base: needs exactly one", "model.delta: 'hub' n"],
        ),
        ("text", ["model: must be a mapping"]),
    ],
)
def test_sources(tmp_path: Path, model: str, expected: list[str]) -> None:
    text = MINIMAL.replace("{hub: a/b, revision: main}", model.replace("SHA", SHA))
    if model == "{}":
        text = text.replace("model: {}\n", "")
    found = problems(tmp_path, text)
    assert len(found) == len(expected), found
    for line, part in zip(found, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{type: Q4_0, imatrix: true}", "imatrix: needs the section 'imatrix' with a corpus"),
        ("{type: Q4_0, tensor_types: {'-x': q8_0}}", "'-x' is not the name of tensors"),
        ("{type: Q4_0, tensor_types: {'a=b': q8_0}}", "'a=b' is not the name of tensors"),
        ("{type: Q4_0, tensor_types: {a: q9}}", "'q9' is not a tensor type"),
        ("{type: Q4_0, output_tensor_type: q6k}", "is not a tensor type; did you mean 'q6_K'?"),
        ("{type: Q4_0, override_kv: {a: 7}}", "override_kv.a: must be text"),
        ("{type: Q4_0, override_kv: {a: 'int:x'}}", "'int:x' is not an override: write 'int:7'"),
        ("{type: Q4_0, override_kv: {a: 'bool:1'}}", "'bool:1' is not an override"),
        ("{type: Q4_0, override_kv: {'a=b': 'int:1'}}", "is not the name of a metadata key"),
        ("{type: Q4_0, name: ../x}", "'../x' is not a name"),
        ("{type: Q4_0, name: f16}", "the converted file is already called 'f16'"),
        ("F16", "quantize[0].type: the converted file is already called 'F16'"),
        ("{name: x}", "quantize[0].type: is required"),
        ("[Q4_0]", "quantize[0]: must be a mapping of keys to values"),
        ("7", "quantize[0]: must be a mapping of keys to values"),
        ("{type: Q4_0, limits: {max_ppl_increase: 8}}", "8 would be 800 %: write '8%' if"),
    ],
)
def test_quantize_entries(tmp_path: Path, entry: str, expected: str) -> None:
    found = problems(tmp_path, MINIMAL.replace("[Q4_0]", f"[{entry}]"))
    assert any(expected in line for line in found), found


def test_an_unknown_tool_chain_is_told_with_the_known_ones(tmp_path: Path) -> None:
    said = one(tmp_path, MINIMAL.replace("llama.cpp", "lama.cpp"))
    assert said == "3:12: toolchain.name: unknown tool chain 'lama.cpp' Known: llama.cpp"


def test_missing_files_may_be_forgiven(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL.replace("{hub: a/b, revision: main}", "{path: nowhere}"))
    assert "there is no file or folder" in wrong(path)[0]
    assert load(path, allowed, check_files=False).model.path == tmp_path / "nowhere"


def test_recipes_are_frozen_and_pickle(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        recipe.name = "y"
    again = pickle.loads(pickle.dumps(recipe))
    assert isinstance(again, Recipe)
    assert again == recipe


def test_the_digest_is_that_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    text = MINIMAL.replace("{hub: a/b, revision: main}", "{path: m}")
    for folder in ("one", "two"):
        (tmp_path / folder / "m").mkdir(parents=True)
    here = loaded(tmp_path / "one", text)
    spelled = text.replace("[Q4_0]", "[{type: q4_0}]") + "# a comment\n"
    there = loaded(tmp_path / "two", spelled, "y.yaml")
    assert here.digest == there.digest
    assert loaded(tmp_path / "one", text.replace("Q4_0", "Q8_0")).digest != here.digest


def test_an_option_that_came_later_is_in_the_digest_only_where_it_is_given(tmp_path: Path) -> None:
    perplexity = "{corpus: {path: t.txt}%s}"
    (tmp_path / "t.txt").write_text("words")
    plain, stated = (
        loaded(tmp_path, f"{MINIMAL}\nverify: {{perplexity: {perplexity % more}}}\n", name)
        for more, name in (("", "plain.yaml"), (", expected: 5.5", "stated.yaml"))
    )

    assert plain.verify.sections["perplexity"].keys() == {"corpus", "context", "chunks"}
    assert stated.verify.sections["perplexity"]["expected"] == 5.5
    assert plain.digest != stated.digest


def test_tensors_to_drop_are_part_of_the_digest_once_a_recipe_names_some(tmp_path: Path) -> None:
    plain = loaded(tmp_path, MINIMAL)
    empty = loaded(tmp_path, MINIMAL + "convert: {drop: []}\n")
    named = loaded(tmp_path, MINIMAL + "convert: {drop: [vision_tower]}\n")

    assert plain.digest == empty.digest != named.digest
    with pytest.raises(RecipeError, match="drop"):
        loaded(tmp_path, MINIMAL + "convert: {drop: ['(']}\n")


def test_several_recipes_tell_all_their_problems(tmp_path: Path) -> None:
    good = write(tmp_path, MINIMAL, "good.yaml")
    bad = write(tmp_path, MINIMAL.replace("Q4_0", "Q4"), "bad.yaml")
    twin = write(tmp_path, MINIMAL.replace("name: x", "name: X"), "twin.yaml")
    gone = tmp_path / "gone.yaml"
    with pytest.raises(RecipeError) as caught:
        load_many([good, bad, twin, gone], allowed)
    first, second, third = str(caught.value).splitlines()
    assert first.startswith(f"{bad}:5:12: quantize[0].type: 'Q4' is not a quantization type")
    assert second == f"{twin}:1:1: name: {good} has this name too"
    assert third == f"{gone}:1:1: the recipe cannot be read: No such file or directory"


def test_a_recipe_named_twice_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    assert len(load_many([path, tmp_path / "." / "x.yaml"], allowed)) == 1


def test_errors_survive_pickling(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path / "gone.yaml", allowed)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


KEYS = """
name family toolchain model hub revision path base delta files quantize type imatrix corpus
verify perplexity limits max_ppl sha256 override_kv smoke speed convert outtype extends
published alarms
""".split()  # noqa: SIM905
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
    | st.sampled_from(["Q4_0", "f16", "a/b", "main", "8%", "4 GB", SHA]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(
    st.dictionaries(st.sampled_from(["model", "quantize", "verify", "imatrix", "convert"]), VALUES)
)
def test_no_shape_of_data_breaks_the_checks(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    import json

    path = tmp_path_factory.mktemp("shape") / "x.yaml"
    head = {"name": "x", "family": "llama", "toolchain": "llama.cpp"}
    path.write_text(json.dumps({**head, **data}, ensure_ascii=True))
    try:
        recipe = load(path, allowed)
    except RecipeError as error:
        problems_found = error.problems
    else:
        assert len(recipe.digest) == 64
        return
    assert problems_found
    assert all(problem.mark.file == path for problem in problems_found)


ENCODER = MINIMAL.replace("family: llama", "family: bert")


def test_embeddings_of_encoders_are_measured_unless_their_recipe_says_no(tmp_path: Path) -> None:
    silent = loaded(tmp_path, ENCODER)
    off = loaded(tmp_path, ENCODER + "verify: {embedding: false}\n")
    llama = loaded(tmp_path, MINIMAL)

    assert silent.verify.sections["embedding"] == {"texts": None}
    assert "embedding" not in off.verify.sections
    assert "embedding" not in llama.verify.sections


def test_a_section_without_required_options_may_be_true(tmp_path: Path) -> None:
    limited = "verify: {embedding: true, limits: {min_cosine: 0.99}}\n"

    assert loaded(tmp_path, MINIMAL + limited).verify.embedding is not None
    found = problems(tmp_path, MINIMAL + limited.replace("embedding: true, ", ""))
    assert any("needs 'verify.embedding', which measures it" in text for text in found)


@pytest.mark.parametrize("texts", ["[a, b]", '[a, b, "c\\td"]', '[a, b, "  "]', '[a, b, "c\\nd"]'])
def test_texts_are_three_or_more_of_one_line(tmp_path: Path, texts: str) -> None:
    assert problems(tmp_path, f"{MINIMAL}verify: {{embedding: {{texts: {texts}}}}}\n")


TEXTS = """\
verify:
  perplexity:
    corpus: a.txt
    more: {code: b.txt, prose: {path: c.txt}}
  limits: {max_ppl_increase: 8%, texts: {code: {max_ppl_increase: 3%}}}
"""


@pytest.fixture
def three_texts(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / name).write_text("words")
    return tmp_path


def test_further_texts_have_names_and_paths_beside_the_recipe(three_texts: Path) -> None:
    texts = loaded(three_texts, MINIMAL + TEXTS).verify.texts

    assert {name: one.path for name, one in texts.items()} == {
        "perplexity": three_texts / "a.txt",
        "perplexity (code)": three_texts / "b.txt",
        "perplexity (prose)": three_texts / "c.txt",
    }


def test_a_files_limits_of_a_text_are_added_to_the_recipes(three_texts: Path) -> None:
    quantized = (
        "quantize: [{type: Q4_0, limits: {texts: {code: {max_ppl: 9}, prose: {max_ppl: 7}}}}]"
    )
    recipe = loaded(three_texts, MINIMAL.replace("quantize: [Q4_0]", quantized) + TEXTS)

    limits = recipe.limits_for(recipe.quantize[0]).model_dump(exclude_none=True)
    assert limits == {
        "max_ppl_increase": 0.08,
        "texts": {"code": {"max_ppl_increase": 0.03, "max_ppl": 9.0}, "prose": {"max_ppl": 7.0}},
    }
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_recipes_with_one_text_have_the_digest_that_they_had(three_texts: Path) -> None:
    text = "verify: {perplexity: {corpus: a.txt, context: 128}, limits: {max_ppl: 9}}\n"

    assert loaded(three_texts, MINIMAL + text).digest == (
        "1bb3c9233e6e7b13e78df0d24c731e3daa936830c134650ef378968c7f630875"
    )


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("{code: b.txt", "{code: d.txt", "verify.perplexity.more.code.path: there is no file"),
        ("{code: b.txt", "{(x): b.txt", "is not the name of a text"),
        ("texts: {code", "texts: {cod", "'cod' is no further text of 'verify'; did you"),
        ("{path: c.txt}", "{url: 'https://x/y'}", "'url' needs 'sha256'"),
    ],
)
def test_what_is_wrong_with_a_further_text_is_told_with_its_place(
    three_texts: Path, was: str, becomes: str, said: str
) -> None:
    found = problems(three_texts, MINIMAL + TEXTS.replace(was, becomes))

    assert any(said in one for one in found), found
