"""A small tool chain of the tests' own, recipes for it and plans of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from orchestrator.base.step_values import Step
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.recipe_to_steps import Choices, Plan, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe import Recipe, load
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import load as toolchain
from orchestrator.toolchain.load import ToolChain

COMMIT = "a" * 40
SHA = "b" * 64

CHAIN = """\
about: a stand-in
format: gguf
extension: .gguf
source:
  git: https://localhost/upstream
  commit: {commit}
  mirrors:
    - {{pypi: mirror, version: "1.0", sha256: {sha}, git_dir: .git/modules/x}}
build:
  targets: [tool]
  options: [-DA=1]
  profiles:
    portable: [-DPORTABLE]
    portable@x86_64: [-DPORTABLE, -DAVX2]
    native: [-DNATIVE]
  backends: {{cpu: [], cuda: [-DCUDA]}}
  platforms: {{darwin: [-DMAC]}}
  products: [tool]
  self_test: [{{argv: ["{{bin}}/tool", "{{data}}/selftest.txt"], expect: fine}}]
environment:
  requirements: requirements.txt
  extra_index: {{url: "https://localhost/extra"}}
  imports: [json]
verbs:
  convert:
    argv: ["{{python}}", "{{data}}/convert.py", "{{input}}", "{{output}}"]
    defaults: &named {{tokenizer_pre: ""}}
  describe:
    argv: ["{{python}}", "{{data}}/convert.py", --header, "{{input}}", "{{output}}"]
    defaults: *named
  shapes: {{argv: ["{{python}}", "{{data}}/shapes.py", "{{input}}", "{{output}}"]}}
  plan_quantize: {{argv: ["{{bin}}/tool", --dry-run, "{{input}}", "{{type}}"]}}
  quantize: {{argv: ["{{bin}}/tool", "{{input}}", "{{output}}", "{{type}}"]}}
  imatrix: {{argv: ["{{bin}}/tool", imatrix]}}
  logits: {{argv: ["{{bin}}/tool", perplexity]}}
  divergence: {{argv: ["{{bin}}/tool", kld]}}
  load: {{argv: ["{{bin}}/tool", load]}}
  complete: {{argv: ["{{bin}}/tool", complete, "{{prompt}}"], progress: old}}
types:
  F16: {{bits: 16}}
  COPY: {{}}
  Q4_0: {{bits: 4.5}}
  Q4_K_M: {{aliases: [Q4_K], argument: "15", bits: 4.8}}
  Q8_0: {{bits: 8.5}}
outtypes: {{f16: {{bits: 16}}, q8_0: {{bits: 8.5}}}}
inputs: [hf, gguf]
tensor_types: [f16, q5_0, q8_0, q4_k, q6_k]
"""
# The same with one more verb, and a recipe that asks for it.
WITH_REFERENCE = CHAIN.replace("  load:", "  reference_logits: {{argv: [python]}}\n  load:")


# What a line of verbs that convert begins with, and a chain that makes projectors.
CONVERTS = '{{argv: ["{{python}}", "{{data}}/convert.py", "{{output}}"]'
SEES = CHAIN.replace(
    "  load:",
    f"  mmproj: {CONVERTS}}}}}\n"
    f"  census: {CONVERTS}, options: {{{{mmproj: {{{{argv: [--mmproj], about: x}}}}}}}}}}}}\n"
    '  look_at: {{argv: ["{{bin}}/tool", "{{image}}"]}}\n  load:',
)

# One whose converter makes adapters files of their own, which it can try.
ADAPTS = CHAIN.replace(
    "  load:",
    f"  lora: {CONVERTS}, program: lora}}}}\n"
    '  complete_adapted: {{argv: ["{{bin}}/tool", "{{adapter}}"]}}\n  load:',
).replace(
    "verbs:\n",
    "programs: {{lora: {{cmakelists: selftest.txt, targets: [lora], products: [x]}}}}\nverbs:\n",
    1,
)


def make_vendor(folder: Path, name: str = "stand", text: str = CHAIN) -> Path:
    """A vendor folder with one tool chain; the text may use ``{commit}`` and ``{sha}``."""
    data = folder / "vendor" / name
    data.mkdir(parents=True, exist_ok=True)
    (data / "toolchain.yaml").write_text(text.format(commit=COMMIT, sha=SHA))
    (data / "requirements.txt").write_text("six==1.16.0\n")
    (data / "convert.py").write_text("print('converted')\n")
    (data / "shapes.py").write_text("print('shapes')\n")
    (data / "selftest.txt").write_text("fine\n")
    return folder / "vendor"


def make_chain(folder: Path, name: str = "stand", text: str = CHAIN) -> ToolChain:
    toolchain.load.cache_clear()
    return toolchain.load(name, make_vendor(folder, name, text))


def changed(chain: ToolChain, path: str, value: Any) -> ToolChain:
    """The chain with one value of its data changed, such as ``verbs.convert.progress``."""
    file = chain.folder / "toolchain.yaml"
    data = yaml.safe_load(file.read_text())
    *parents, last = path.split(".")
    place = data
    for part in parents:
        place = place[part]
    place[last] = value
    file.write_text(yaml.safe_dump(data, sort_keys=False))
    return loaded_again(chain)


def loaded_again(chain: ToolChain) -> ToolChain:
    """The chain as its files are now, which another process would load."""
    toolchain.load.cache_clear()
    return toolchain.load(chain.name, chain.folder.parent)


RECIPE = """\
name: small
family: llama
toolchain: stand
model: {hub: org/small, revision: main}
imatrix: {corpus: {path: cal.txt}, chunks: 10}
quantize: [Q4_0, {type: Q4_K_M, imatrix: true}]
verify:
  perplexity: {corpus: {path: text.txt}, context: 128, chunks: 4}
  kld: true
  smoke: {prompt: Once, expect: upon}
"""
ASKS_FOR_REFERENCE = RECIPE.replace("  kld: true\n", "  kld: true\n  reference_logits: true\n")


def make_recipe(folder: Path, chain: ToolChain, text: str = RECIPE, name: str = "r") -> Recipe:
    for corpus in ("cal.txt", "text.txt"):
        (folder / corpus).write_text("words")
    path = folder / f"{name}.yaml"
    path.write_text(dedent(text))
    return load(path, lambda _name, _folder: load_and_plan.vocabulary_of(chain))


def hub(repo: str = "org/small", commit: str = "c" * 40, **rest: Any) -> Resolved:
    identity = {"kind": "hub", "repo": repo, "repo_type": "model", "commit": commit, **rest}
    return Resolved(identity, {}, "hf")


def local(name: str, digest: str = SHA, kind: str = "file", path: str = "x") -> Resolved:
    return Resolved({"kind": "path", "files": {name: digest}, "member": ""}, {"path": path}, kind)


def sources(**changes: Any) -> Sources:
    given: dict[str, Any] = {
        "commit": COMMIT,
        "model": hub(),
        "corpora": {"calibration": local("cal.txt"), "perplexity": local("text.txt", "d" * 64)},
    }
    return Sources(**{**given, **changes})


def make_plan(
    folder: Path,
    text: str = RECIPE,
    *,
    chain: ToolChain | None = None,
    found: Sources | None = None,
    **choices: Any,
) -> Plan:
    chain = chain or make_chain(folder)
    recipe = make_recipe(folder, chain, text)
    return recipe_to_steps.make(recipe, chain, found or sources(), Choices(**choices))


def by_label(one: Plan) -> Mapping[str, Step]:
    labelled = {step.label: step for step in one.steps}
    assert len(labelled) == len(one.steps)
    return labelled


def python(code: str, *arguments: str) -> list[str]:
    """An argv that runs a line of Python; its braces survive the filling in of values."""
    return [
        sys.executable,
        "-I",
        "-S",
        "-c",
        code.replace("{", "{{").replace("}", "}}"),
        *arguments,
    ]
