"""The model card: safe whatever a recipe says, and useful."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator.base import safe_markdown
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf
from orchestrator.planning.plan import Output
from orchestrator.runs.judge_measures import verdict
from orchestrator.runs.report import Row
from orchestrator.workflows.publishing.gguf_naming import Name
from orchestrator.workflows.publishing.model_card import ollama_tag
from orchestrator.workflows.publishing.model_tables import files_table, memory, picture, recommended
from orchestrator.workflows.publishing.published_files import Model, Piece
from tests.support import gguf_pairs
from tests.support.fake_steps import built, measured
from tests.support.measures import numbered
from tests.support.model_files import KV, Tensor
from tests.support.publications import RECIPE, RecipeFolder, front_matter

HOSTILE = (
    '"<script>x</script> [a](javascript:b) | `c` ![d](e) **f** \\n---\\nlicense: other # &lt;"'
)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a page, as a reader of Markdown with tables sees them."""
    for one in MarkdownIt("commonmark", {"html": True}).enable("table").parse(text):
        yield one
        yield from one.children or ()


def words(text: str) -> str:
    """What remains when all markup is gone."""
    return "".join(one.content for one in tokens(text) if one.type in ("text", "text_special"))


@given(any_text)
def test_text_is_shown_as_it_is_and_makes_no_markup(text: str) -> None:
    kinds = {one.type for one in tokens(f"A {safe_markdown.inline(text)}.")}
    assert kinds <= {"paragraph_open", "inline", "text", "text_special", "paragraph_close"}
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    assert words(f"A {safe_markdown.inline(text)}.") == " ".join(
        f"A {plain}".split()
    ) + "." or not (plain.strip())


@given(any_text.filter(lambda text: "|" not in text))
def test_code_is_shown_as_it_is(text: str) -> None:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not plain:
        return
    [found] = [
        one for one in tokens(f"A {safe_markdown.code(text)} b") if one.type == "code_inline"
    ]
    assert found.content == plain


@given(any_text)
def test_a_table_keeps_its_columns(text: str) -> None:
    page = (
        f"| a | b |\n| --- | --- |\n| {safe_markdown.inline(text)} | {safe_markdown.code(text)} |\n"
    )
    assert sum(one.type == "td_open" for one in tokens(page)) == 2


def test_what_is_not_said_to_be_safe_is_escaped_in_templates() -> None:
    assert safe_markdown.Safe("*") == "*"
    with pytest.raises(ValueError, match="not plain"):
        safe_markdown.raw("$(rm)")


def test_a_hostile_description_is_only_text(recipe_folder: RecipeFolder) -> None:
    recipe_folder.write(recipe_folder.recipe.read_text().replace("A small model", HOSTILE))
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert front_matter(card)["license"] == "mit"
    body = card.split("---\n", 2)[2]
    assert "<script>x</script> [a](javascript:b) | `c`" in words(body)
    assert not [one for one in tokens(body) if one.type.startswith("html")]
    links = [one.attrs["href"] for one in tokens(body) if one.type == "link_open"]
    assert not [link for link in links if "javascript" in str(link)]
    assert all(
        "://" in str(link) or (recipe_folder.place / "out" / str(link)).is_file() for link in links
    )


def test_a_projector_is_published_beside_the_text_files_and_said_how_to_use(
    recipe_folder: RecipeFolder,
) -> None:
    text = recipe_folder.recipe.read_text()
    recipe_folder.write(text.replace("quantize:", "mmproj: {outtype: q8_0}\nquantize:"))
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    out = recipe_folder.place / "out"
    names = sorted(path.name for path in out.glob("*small*.gguf"))
    assert names == [
        "mmproj-small-2.1M-Q8_0.gguf",
        "small-2.1M-IQ4_XS.gguf",
        "small-2.1M-Q4_0.gguf",
    ]
    card = (out / "README.md").read_text()
    assert front_matter(card)["pipeline_tag"] == "image-text-to-text"
    assert "--mmproj mmproj-small-2.1M-Q8_0.gguf" in card
    table = [line for line in card.splitlines() if line.startswith("| [")]
    assert len(table) == 2
    assert not [line for line in table if "mmproj" in line]
    modelfile = (out / "Modelfile").read_text().splitlines()
    assert modelfile[1:3] == [f"FROM ./{names[2]}", f"FROM ./{names[0]}"]


def test_a_separate_head_is_published_with_the_way_to_draft_by_it(
    recipe_folder: RecipeFolder,
) -> None:
    text = recipe_folder.recipe.read_text()
    recipe_folder.write(text.replace("quantize:", "mtp: separate\nquantize:"))
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    out = recipe_folder.place / "out"
    card = (out / "README.md").read_text()
    assert "-md mtp-small-2.1M-F16.gguf --spec-type draft-mtp" in card
    assert "--mmproj" not in card
    assert front_matter(card)["pipeline_tag"] == "text-generation"
    assert (out / "Modelfile").read_text().count("FROM ") == 1


def test_a_licence_of_its_own_is_linked_and_its_text_lies_beside(
    recipe_folder: RecipeFolder,
) -> None:
    recipe_folder.write(
        license="other",
        license_name="Small Terms",
        license_link="LICENSE",
        redistribute=True,
    )
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    card = (recipe_folder.place / "out" / "README.md").read_text()
    told = front_matter(card)
    assert (told["license_name"], told["license_link"]) == ("Small Terms", "LICENSE")
    assert "[Small Terms](LICENSE), that of the original model; see [LICENSE](LICENSE)." in card
    assert (recipe_folder.place / "out" / "LICENSE").read_text() == "You may.\n"


def model(bits: float, size: int = 10**9, **found: float | None) -> Model:
    name = Name(f"x-Q{round(bits)}", f"Q{round(bits)}")
    output = Output(name.encoding, f"x-{name.encoding}.gguf", "model.gguf", "")
    numbers = numbered(size=size, bits_per_weight=bits, **found)
    row = Row(name.file, name.encoding, "", verdict(()), (), numbers)
    return Model(output, row, name, (Piece(name.file, 10**9, "0"),))


def table(models: list[Model], full: str = "F16") -> list[str]:
    """The lines of the table of files."""
    return files_table(models, full, "the unquantized model").splitlines()


def test_the_file_near_five_bits_is_for_those_who_do_not_choose() -> None:
    assert recommended([model(8.5), model(4.8), model(2.6)]).row.bits_per_weight == 4.8
    worse = [model(8.5, kld=0.01), model(5.7, kld=0.002), model(4.8, kld=0.15)]
    assert recommended(worse).row.bits_per_weight == 5.7


def test_the_usual_type_is_recommended_unless_its_numbers_speak_against_it() -> None:
    def named(bits: float, name: str, **found: float | None) -> Model:
        one = model(bits, int(bits * 1e8), **found)
        return replace(
            one,
            row=replace(one.row, type=name, file=name),
            output=replace(one.output, name=name),
        )

    usual = named(4.85, "Q4_K_M", kld=0.03, kld_error=0.001)
    nearer = named(5.7, "Q5_K_M", kld=0.01, kld_error=0.001)
    small = named(4.3, "IQ4_XS", kld=0.031, kld_error=0.001)
    assert recommended([nearer, small, usual]) is usual
    assert recommended([nearer, small]) is small
    assert recommended([nearer, small, usual], "q5_k_m") is nearer
    poor = named(4.85, "Q4_K_M", kld=0.4, kld_error=0.001)
    assert recommended([nearer, poor]) is nearer


def test_columns_that_would_be_empty_are_left_out() -> None:
    assert table([model(4.8)])[0] == "| File | Size | Bits/weight | Good for |"
    head = table([model(4.8, kld=0.1, increase=0.01)], "BF16")[0]
    assert head == "| File | Size | Bits/weight | Δ to BF16 | KLD, mean | Good for |"


def test_a_file_that_another_beats_at_its_size_is_neither_called_good_nor_recommended() -> None:
    near, far = model(4.8, kld=0.03, kld_error=0.001), model(4.81, kld=0.05, kld_error=0.001)

    lines = table([far, near])[2:]

    assert lines[0].endswith("| Q5 is better at this size |")
    assert lines[1].endswith("| good for most uses |")
    assert recommended([far, near]) is near


def test_files_of_2023_keep_their_names_and_are_not_said_to_run_today(
    recipe_folder: RecipeFolder,
) -> None:
    def written(task: Task) -> dict[str, JSON]:
        (task.workdir / task.step.params["file"]).write_text(task.step.label)
        return {"size": 1, "bits_per_weight": 4.84, "fallbacks": []}

    text = recipe_folder.recipe.read_text().replace("llama.cpp", "llama.cpp-ggjt-v3")
    text = text.replace("Q4_0, {type: IQ4_XS, imatrix: true}", "{type: Q4_0, allow_fallback: true}")
    recipe_folder.write(text.replace("kld: true", ""))
    recipe_folder.work |= {"quantize": written, "convert": written}
    assert recipe_folder.run().code == 0
    said = recipe_folder.publish("--to", "dir:out", "--allow-warnings")
    assert said.code == 0, said.err
    names = {path.name for path in (recipe_folder.place / "out").iterdir()}
    assert "small-Q4_0.bin" in names
    assert "Modelfile" not in names
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert front_matter(card)["tags"] == ["ggml", "llama", "quantized"]
    assert "`orchestrate toolchain build llama.cpp-ggjt-v3`" in card
    assert "ollama" not in card.lower()


def test_ollama_is_told_a_type_that_it_knows_or_the_file() -> None:
    known = model(4.8)
    named = replace(known, name=Name("x-Q4_K_M", "Q4_K_M"))
    assert ollama_tag(named) == "Q4_K_M"
    own = replace(known, name=Name("x-Q4_K_M_imatrix", "Q4_K_M_imatrix"))
    assert ollama_tag(own) == "x-Q4_K_M_imatrix.gguf"
    assert ollama_tag(None) == ""


def test_card_and_report_say_what_a_search_measured_of_the_files_that_it_found(
    recipe_folder: RecipeFolder,
) -> None:
    found = {
        "standard": "Q4_0",
        "tokens": 1016,
        "mean_kld": 0.03,
        "error": 0.001,
        "standard_mean_kld": 0.05,
        "standard_error": 0.002,
    }
    fit = {
        "text": "words.txt sha256:0",
        "chunks": 3,
        "context": 512,
        "groups": "role",
        "files": {"IQ4_XS": found, "not-made": found},
    }
    recipe_folder.write(RECIPE + f"fit: {json.dumps(fit)}\n")
    assert recipe_folder.run().code == 0
    sentence = (
        "lower mean KL divergence than Q4_0 on the text of the verification: "
        "0.03000 ± 0.00100 against 0.05000 ± 0.00200 (1016 tokens)."
    )
    report = (recipe_folder.dist / "report.md").read_text("utf-8")
    assert words(report).count(sentence) == 1
    assert recipe_folder.publish("--to", f"dir:{recipe_folder.place / 'public'}").code == 0
    [card] = (recipe_folder.place / "public").rglob("README.md")
    assert words(card.read_text("utf-8")).count(sentence) == 1


def test_a_model_that_was_quantized_before_says_so_first(recipe_folder: RecipeFolder) -> None:
    fields = {
        "general.architecture": KV("str", "llama"),
        "general.name": KV("str", "a working title"),
        "general.file_type": KV("u32", 3),
        "tokenizer.ggml.model": KV("str", "llama"),
        "tokenizer.ggml.tokens": KV("arr", ["<unk>", "<s>", "</s>"], "str"),
    }
    made = gguf_pairs.Model([Tensor("blk.0.x.weight", (32, 2), "Q4_1")], fields)
    gguf_pairs.write_gguf(recipe_folder.place / "Small-3B-Chat.Q4_1.gguf", made)
    model = "{path: Small-3B-Chat.Q4_1.gguf, format: gguf}"
    recipe_folder.write(recipe_folder.recipe.read_text().replace("{path: model}", model))
    assert recipe_folder.run().code == 0
    said = recipe_folder.publish("--to", "dir:out")
    assert said.code == 0, said.err
    assert (recipe_folder.place / "out" / "Small-3B-Chat-Q4_0.gguf").is_file()
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert "# Small-3B-Chat GGUF, requantized from Q4_1\n" in card
    assert "quality against the Q4_1 source" in card
    assert "unquantized model" not in card
    assert "| Δ to Q4_1 |" in card


def test_what_a_licence_wants_is_said_and_lies_beside(recipe_folder: RecipeFolder) -> None:
    recipe_folder.write(license="llama3.1", redistribute=True)
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    assert "**Built with Llama**" in (recipe_folder.place / "out" / "README.md").read_text()
    notice = (recipe_folder.place / "out" / "NOTICE").read_text()
    assert notice.startswith("Llama 3.1 is licensed under the Llama 3.1 Community License")


def test_the_recipe_may_recommend_a_file(recipe_folder: RecipeFolder) -> None:
    recipe_folder.write(license="mit", recommended="iq4_xs")
    recipe_folder.run()
    assert recipe_folder.publish("--to", "dir:out").code == 0
    card = (recipe_folder.place / "out" / "README.md").read_text()
    assert "[small-2.1M-IQ4_XS.gguf](small-2.1M-IQ4_XS.gguf) if you do not want" in card
    recipe_folder.write(license="mit", recommended="Q9")
    said = recipe_folder.publish("--to", "dir:out")
    assert "publish.recommended: 'Q9' is no quantized file of this recipe" in said.err


def test_the_picture_has_every_file_even_one_of_the_sources_type() -> None:
    found = [model(4.8, kld=0.1), model(8.5, 2 * 10**9, kld=0.01)]
    drawn, title = picture([one.row for one in found], "the Q5 source")
    assert [name for name in ("Q5", "Q8") if f">{name}<" in drawn] == ["Q5", "Q8"]
    assert title == "Mean KL divergence against size"
    assert picture([model(4.8).row], "the unquantized model") == ("", "")


def test_what_a_context_takes_is_added_to_the_file(tmp_path: Path) -> None:
    fields = {
        "general.architecture": KV("str", "llama"),
        "llama.block_count": KV("u32", 2),
        "llama.context_length": KV("u32", 8192),
        "llama.embedding_length": KV("u32", 64),
        "llama.attention.head_count": KV("u32", 4),
        "llama.attention.head_count_kv": KV("u32", 1),
    }
    header = gguf.read(gguf_pairs.write_gguf(tmp_path / "x.gguf", gguf_pairs.Model([], fields)))
    found = memory([replace(model(4.8, 1_000_000), header=header)])
    # 2 layers, keys and values, 1 head of 16 numbers of 2 bytes: 128 bytes a token.
    assert found.splitlines()[0] == "| File | 4,096 tokens | 8,192 tokens |"
    assert found.splitlines()[2] == "| Q5 | 1.52 MB | 2.05 MB |"
    assert memory([model(4.8)]) == ""


EMBEDDED = {"texts": 24, "pooling": "mean", "pooling_stated": False, "dimensions": 384}
COMPARED = {"mean_cosine": 0.99, "min_cosine": 0.98, "rank_agreement": 0.97, "same_nearest": 1.0}


def card_of_an_encoder(recipe_folder: RecipeFolder, **facts: JSON) -> str:
    """The card of files whose embeddings, or scores, were found to be these."""

    def work(task: Task) -> dict[str, JSON]:
        if task.step.params["measure"] != "embedding":
            return measured(task)
        return {**EMBEDDED, **(COMPARED if "full" in task.inputs else {}), **facts}

    text = recipe_folder.recipe.read_text()
    start, _, rest = text.partition("verify:")
    _, _, end = rest.partition("publish:")
    recipe_folder.write(f"{start}verify: {{embedding: true, speed: false}}\npublish:{end}")
    recipe_folder.work = {"measure": work, "program": built}
    recipe_folder.run()
    said = recipe_folder.publish("--to", "dir:out")
    assert said.code == 0, said.err
    return (recipe_folder.place / "out" / "README.md").read_text()


def test_an_embedding_model_is_used_as_one(recipe_folder: RecipeFolder) -> None:
    card = card_of_an_encoder(recipe_folder)

    assert front_matter(card)["pipeline_tag"] == "feature-extraction"
    assert ".gguf --pooling mean -p" in card
    assert "--embedding --pooling mean\ncurl http" in card
    assert "embedding=True, pooling_type=LLAMA_POOLING_TYPE_MEAN)" in card
    assert "| 0.99000 | 0.9700 | -, shared | no | good for most uses |" in card
    assert "Cosine is the similarity of both files' embeddings of a text." in card
    assert "Once upon" not in card
    assert "llama-completion" not in card
    assert "keys and values" not in card


def test_a_pooling_that_the_file_states_is_not_told_again(recipe_folder: RecipeFolder) -> None:
    card = card_of_an_encoder(recipe_folder, pooling_stated=True)

    assert "pooling" not in card


def test_a_reranker_is_used_as_one(recipe_folder: RecipeFolder) -> None:
    scored = {"pooling": "rank", "mean_cosine": None, "min_cosine": None}
    card = card_of_an_encoder(recipe_folder, **scored)

    assert front_matter(card)["pipeline_tag"] == "text-ranking"
    assert "--reranking" in card
    assert "/v1/rerank" in card
    assert "llama_cpp" not in card
    assert "agree with those of F16 (Spearman's correlation)" in card
