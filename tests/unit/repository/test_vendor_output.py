"""Outputs that upstream's tools printed, read as the data says: what worked, and what did not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Step, Task
from orchestrator.toolchain import call_verb, load
from orchestrator.toolchain.load import ToolChain

OUTPUTS = Path(__file__).parent / "vendor_output"
PROMPTS = {
    "bloomz.cpp.complete.characters.txt": "Once 日 upon",
    "llama.cpp-ggjt-v1.complete.txt": "a b",
}
PRINTER = """
import sys
sys.stdout.buffer.write(open(sys.argv[1], "rb").read())
sys.exit(int(sys.argv[2]))
"""


def replay(folder: Path, recorded: str, code: int = 0, **counts: int) -> call_verb.Result:
    """Call a verb whose tool is replaced by one that prints a recorded output."""
    chain = chain_of(recorded)
    verb = recorded.removeprefix(f"{chain.name}.").split(".")[0]
    argv = (sys.executable, "-c", PRINTER, str(OUTPUTS / recorded), str(code))
    whole = chain.all_verbs.added_to(chain.verbs[verb])
    data = whole.model_copy(update={"argv": argv, "env": {}})
    step = Step("test", recorded, "0" * 64, {}, context={"verbs": {verb: data.model_dump()}})
    for part in ("work", "scratch"):
        (folder / part).mkdir(exist_ok=True)
    task = Task(step, {"outputs": OUTPUTS}, folder / "work", folder / "scratch", folder / "log", 1)
    prompt = PROMPTS.get(recorded, "Once upon a time")
    return call_verb.call(task, verb, {"prompt": prompt}, counts=counts)


def chain_of(recorded: str) -> ToolChain:
    [name] = [name for name in load.names() if re.match(re.escape(name) + r"\.[a-z_]+\.", recorded)]
    return load.load(name)


GOOD: list[tuple[str, int, dict[str, str]]] = [
    ("llama.cpp-ggjt-v1.convert.txt", 0, {}),
    ("llama.cpp-ggjt-v1.quantize.txt", 21, {}),
    ("llama.cpp-ggjt-v1.logits.txt", 0, {"chunks": "3"}),
    ("llama.cpp-ggjt-v1.complete.txt", 0, {}),
    ("llama.cpp-ggjt-v3.convert.txt", 0, {}),
    ("llama.cpp-ggjt-v3.quantize.txt", 21, {}),
    ("llama.cpp-ggjt-v3.quantize.fallback.txt", 12, {}),
    ("llama.cpp-ggjt-v3.logits.txt", 0, {"perplexity": "1.4617", "chunks": "4"}),
    ("llama.cpp-ggjt-v3.complete.txt", 0, {}),
    ("bloomz.cpp.convert.txt", 0, {}),
    ("bloomz.cpp.quantize.txt", 30, {}),
    ("bloomz.cpp.complete.txt", 30, {"generate_ms": "0.09"}),
    ("bloomz.cpp-phoenix.complete.txt", 30, {}),
    ("llama.cpp.import_ggml.txt", 0, {}),
]


@pytest.mark.parametrize(("recorded", "tensors", "values"), GOOD, ids=[one[0] for one in GOOD])
def test_successes_are_read(
    recorded: str, tensors: int, values: dict[str, str], tmp_path: Path
) -> None:
    result = replay(tmp_path, recorded, tensors=tensors)
    assert {name: result.values[name] for name in values} == values


@pytest.mark.parametrize("recorded", [one[0] for one in GOOD if one[1]])
def test_a_wrong_number_of_tensors_is_no_success(recorded: str, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="tensors"):
        replay(tmp_path, recorded, tensors=99)


BAD: list[tuple[str, int, str]] = [
    ("llama.cpp-ggjt-v1.convert.gqa.txt", 1, "share key-value heads"),
    ("llama.cpp-ggjt-v1.convert.ffn.txt", 1, "layer of 600 for an embedding of 256"),
    ("llama.cpp-ggjt-v1.quantize.requantize.txt", 1, "already quantized .q4_0"),
    ("llama.cpp-ggjt-v1.logits.short.txt", 0, "shorter than one context"),
    ("llama.cpp-ggjt-v1.complete.layers.txt", -6, "32, 40, 60 or 80 layers, not of 2"),
    ("llama.cpp-ggjt-v3.convert.ffn.txt", 1, "layer of 600 for an embedding of 256"),
    ("llama.cpp-ggjt-v3.convert.rows.txt", 1, "769 rows of embeddings, but its tokenizer 768"),
    ("llama.cpp-ggjt-v3.convert.tied.txt", 1, "tied to the embeddings"),
    ("llama.cpp-ggjt-v3.quantize.refused.txt", 1, "layers.0.feed_forward.w1.weight has 256 x 704"),
    ("llama.cpp-ggjt-v3.quantize.requantize.txt", 1, "already quantized .q4_K"),
    ("llama.cpp-ggjt-v3.quantize.cut.txt", 1, "middle of a tensor"),
    ("llama.cpp-ggjt-v3.logits.short.txt", 0, "shorter than one context"),
    ("llama.cpp-ggjt-v3.complete.gqa.txt", 1, "256 x +128, and the tool expects 256 x +256"),
    ("llama.cpp-ggjt-v1.convert.type.txt", 1, "weights are of the type F8_E4M3"),
    ("llama.cpp-ggjt-v1.convert.gptq.txt", 1, "quantized already, in a layout"),
    ("llama.cpp-ggjt-v1.convert.cut.txt", 1, "ends in the middle of a tensor"),
    ("llama.cpp-ggjt-v1.convert.lost.txt", 1, r"lack the tensor model\.layers\.1\.mlp\.up_proj"),
    ("llama.cpp-ggjt-v1.convert.config.txt", 1, "config.json lacks 'num_attention_heads'"),
    ("llama.cpp-ggjt-v1.convert.pointer.txt", 1, "^tokenizer.model is no SentencePiece model"),
    ("llama.cpp-ggjt-v3.convert.type.txt", 1, "weights are of the type F8_E4M3"),
    ("llama.cpp-ggjt-v3.convert.gptq.txt", 1, "quantized already, in a layout"),
    ("llama.cpp-ggjt-v3.convert.cut.txt", 1, "ends in the middle of a tensor"),
    ("llama.cpp-ggjt-v3.convert.lost.txt", 1, r"lack the tensor model\.layers\.1\.mlp\.up_proj"),
    ("llama.cpp-ggjt-v3.convert.config.txt", 1, "config.json lacks 'num_attention_heads'"),
    ("llama.cpp-ggjt-v3.convert.pointer.txt", 1, "^tokenizer.model is no SentencePiece model"),
    ("bloomz.cpp.convert.llama.txt", 1, "no n_head, so it is no bloom"),
    ("bloomz.cpp.quantize.type.txt", 0, "does not know the quantization type 7"),
    ("bloomz.cpp.quantize.cut.txt", 0, "tensors: 18, not 30"),
    ("bloomz.cpp.complete.cut.txt", 0, "tensors: 18, not 30"),
    ("bloomz.cpp.complete.flag.txt", 0, "unknown argument: --nonsense"),
    ("bloomz.cpp.complete.characters.txt", 0, "did not read the prompt to its end"),
    ("llama.cpp.convert.nextn.txt", 1, "LlamaForCausalLM have no tensors that predict"),
    ("llama.cpp.convert.quantized.txt", 1, "quantized already .bitsandbytes"),
    ("llama.cpp.convert.strategy.txt", 1, 'does not read: it wants strategy == "channel"'),
    ("llama.cpp.convert.groups.txt", 1, "does not read: Can't handle multiple config groups"),
    ("llama.cpp.convert.parts.txt", 1, r"the tensor .*down_proj\.g_idx that the converter needs"),
    ("llama.cpp.convert.static.txt", 1, "does not read the tensor .*down_proj.input_scale"),
    ("llama.cpp.convert.index.txt", 1, "no file holds, such as model.layers.1.mlp.extra.weight"),
    ("llama.cpp.convert.extra.txt", 1, "extra_special_tokens in tokenizer_config.json is a list"),
    ("llama.cpp.convert.tokenizer.txt", 1, "know the tokenizer class TokenizersBackend"),
    ("llama.cpp.convert.architecture.txt", 1, "config.json names no architecture"),
    ("llama.cpp.complete.layers.txt", 1, "cannot load the file: missing tensor 'blk.2.attn_norm"),
    ("llama.cpp.bench.layers.txt", 1, "cannot load the file: missing tensor 'blk.2.attn_norm"),
    ("llama.cpp.logits.assert.txt", -6, r"gave up at ggml.c:5144: GGML_ASSERT.a->ne.*failed"),
    ("llama.cpp.import_ggml.old.txt", 1, "GGJTv1 file of type MOSTLY_Q4_0 cannot become a GGUF"),
]


@pytest.mark.parametrize(("recorded", "code", "sentence"), BAD, ids=[one[0] for one in BAD])
def test_failures_are_told_from_successes(
    recorded: str, code: int, sentence: str, tmp_path: Path
) -> None:
    """Half of these exited with 0."""
    with pytest.raises(StepError, match=sentence):
        replay(tmp_path, recorded, abs(code), tensors=30)


@pytest.mark.parametrize("name", ["llama.cpp-ggjt-v1", "llama.cpp-ggjt-v3"])
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("GGML_ASSERT: /source/ggml.c:4711: a != b", "the tool gave up at ggml.c:4711: a != b"),
        ("LLAMA_ASSERT: llama.cpp:86: false", "the tool gave up at llama.cpp:86: false"),
        ("error loading model: bad magic", "llama.cpp cannot load the file: bad magic"),
    ],
)
def test_aborts_of_2023_are_told_by_their_place(name: str, line: str, sentence: str) -> None:
    for known in load.load(name).all_verbs.errors:
        if found := re.search(known.match, line):
            assert known.say.format_map(found.groupdict()) == sentence
            return
    pytest.fail(f"nothing explains {line!r}")


def test_every_recorded_output_is_used() -> None:
    recorded = {path.name for path in OUTPUTS.iterdir()}
    assert recorded == {one[0] for one in GOOD} | {one[0] for one in BAD}


def test_fallbacks_of_ggjt_v3_are_listed(tmp_path: Path) -> None:
    recorded = "llama.cpp-ggjt-v3.quantize.fallback.txt"
    result = replay(tmp_path, recorded)
    found = {one["tensor"]: one["got"] for one in result.lists["fallbacks"]}
    assert found == {"tok_embeddings.weight": "Q4_0", "output.weight": "F16"}


def test_the_text_of_bloomz_is_told_from_its_banner(tmp_path: Path) -> None:
    result = replay(tmp_path, "bloomz.cpp.complete.txt")
    assert result.values["text"].startswith("Once upon a time")
    assert "mem per token" not in result.values["text"]
    assert "sampling" not in result.values["text"]
