"""Make files that nobody keeps and measure their divergence: an ordinary plan of a changed recipe.

The steps are those of every run, so probes are cached, go on where they were interrupted, and
share the converted file, its logits and the importance matrix with each other and with the run
of the recipe that comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.file_links import only_file
from orchestrator.base.step_values import StepResult
from orchestrator.measures import registry
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.planning import recipe_to_steps
from orchestrator.planning.plan import Output, Plan, Sources
from orchestrator.recipe.models import Quant, Recipe
from orchestrator.recipe.verify_section import Limits, Verify
from orchestrator.runs import preflight
from orchestrator.runs.preflight import Preview
from orchestrator.runs.session import Session
from orchestrator.toolchain.load import ToolChain

# What a fit makes small, and the section that it is measured on.
DIVERGENCE, TEXT, MEMORY = "kld", "perplexity", "context_memory"
_UNQUANTIZED = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Found:
    """What was measured of one file: bytes, nats of divergence, perplexity, shares of 1."""

    name: str
    size: int
    divergence: float
    error: float
    p99: float
    same_top: float
    perplexity: float
    perplexity_error: float
    chunks: int


@dataclass(frozen=True)
class Bench:
    """Where files are measured: a recipe of one text, with its definite sources."""

    recipe: Recipe
    chain: ToolChain
    sources: Sources
    session: Session

    def plan(self, files: Sequence[Quant]) -> Plan:
        """The plan of these files; all but measures and what is wanted once is released."""
        recipe = self.recipe.model_copy(update={"quantize": tuple(files)})
        made = recipe_to_steps.make(recipe, self.chain, self.sources, self.session.choices)
        own = {output.step for output in made.outputs}
        logits = _logits(made)
        keep = {**dict.fromkeys(own, "intermediate"), logits: "f16"}
        steps = tuple(replace(one, keep=keep.get(one.key, one.keep)) for one in made.steps)
        return replace(made, steps=steps)

    def measure(self, files: Sequence[Quant]) -> dict[str, Found]:
        """Make files and measure them, by their names.

        Raises:
            StepError, EnvironmentProblem: A step failed.
        """
        plan = self.plan(files)
        preview = self._preview(plan)
        preflight.check_room([preview], self.session, Path())
        targets = [one.measures[name] for one in plan.outputs for name in ("header", DIVERGENCE)]
        results = preflight.succeeded(self.session.runner.run(preview.plan.steps, targets))
        return {one.name: _found(one, results) for one in plan.outputs}

    def sizes(self, files: Sequence[Quant]) -> dict[str, int]:
        """Exact bytes of files by their names, without making them.

        Raises:
            StepError, EnvironmentProblem: The model cannot be made.
        """
        forecast = self._preview(self.plan(files)).forecast
        assert forecast is not None
        return {name: int(facts["size"]) for name, facts in forecast.outputs.items()}

    def header(self) -> GGUF:
        """The header of the converted file, which need not be made for that; raises likewise."""
        header = self._preview(self.plan(self.recipe.quantize)).header
        assert header is not None
        return header

    def quantized(self, file: Quant) -> frozenset[str]:
        """Names of the tensors that are quantized in a file; raises likewise."""
        plan = self.plan([file])
        [made] = plan.outputs
        results = preflight.succeeded(self.session.runner.run(plan.steps, [made.step]))
        path = results[made.step].path
        assert path is not None
        tensors = gguf.read(path / made.artifact_file).tensors
        return frozenset(one.name for one in tensors if one.type not in _UNQUANTIZED)

    def memory_beside(self, context: int) -> int:
        """Bytes of memory that a context of so many tokens needs beside the weights.

        Raises:
            UsageError: The tool chain cannot tell.
            StepError, EnvironmentProblem: A step failed.
        """
        if "memory" not in self.chain.verbs:
            raise UsageError(
                f"{self.chain.name} does not say what memory a context needs",
                "Give --size instead of --vram.",
            )
        section = getattr(Verify.model_validate({MEMORY: {"context": context}}), MEMORY)
        verify = self.recipe.verify.model_copy(update={MEMORY: section})
        asked = self.recipe.model_copy(update={"verify": verify})
        plan = replace(self, recipe=asked).plan(self.recipe.quantize)
        key = plan.outputs[0].measures[MEMORY]
        facts = preflight.succeeded(self.session.runner.run(plan.steps, [key]))[key].facts
        return int(facts["context"]) + int(facts["compute"])

    def text(self) -> str:
        """The text that files are measured on; raises likewise."""
        plan = self.plan(self.recipe.quantize)
        key = plan.step(_logits(plan)).inputs["corpus"]
        path = preflight.succeeded(self.session.runner.run(plan.steps, [key]))[key].path
        assert path is not None
        return only_file(path, "").read_text("utf-8")

    def release(self) -> None:
        """Give back the logits of the converted file, which are large."""
        self.session.store.release(_logits(self.plan(self.recipe.quantize)))

    def _preview(self, plan: Plan) -> Preview:
        """What is known of a plan before it runs; raises why it cannot be made."""
        [preview] = preflight.previews([plan], self.session, build=True)
        if isinstance(preview, Exception):
            raise preview
        return preview


def on_text(recipe: Recipe, text: Mapping[str, object]) -> Recipe:
    """The recipe with nothing to measure but the divergence on a text.

    Args:
        recipe: The recipe.
        text: What replaces options of ``verify: perplexity:``.
    """
    verify = recipe.verify
    off = {
        name: None if section.options else False
        for name, section in registry.sections().items()
        if name not in (DIVERGENCE, TEXT)
    }
    asked = getattr(verify, TEXT).model_copy(update=dict(text))
    changed = {**off, TEXT: asked, DIVERGENCE: True, "limits": Limits(), "sha256": {}}
    return recipe.model_copy(
        update={"verify": verify.model_copy(update={**changed, "reference": None})}
    )


def _logits(plan: Plan) -> str:
    """The key of the converted file's logits, which every file is held against."""
    return plan.step(plan.outputs[0].measures[DIVERGENCE]).inputs["logits"]


def _found(output: Output, results: Mapping[str, StepResult]) -> Found:
    facts = results[output.measures[DIVERGENCE]].facts
    text = facts["perplexity"]
    return Found(
        name=output.name,
        size=int(results[output.measures["header"]].facts["size"]),
        divergence=float(facts["mean"]),
        error=float(facts["mean_error"]),
        p99=float(facts["p99"]),
        same_top=float(facts["same_top"]),
        perplexity=float(text["value"]),
        perplexity_error=float(text["error"]),
        chunks=int(text["chunks"]),
    )
