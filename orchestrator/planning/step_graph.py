"""The steps that every plan is made of: tool chain, environment, outlines, fetches; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base import digest
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Resources, Step
from orchestrator.engine.step_kinds import KINDS
from orchestrator.planning.plan import MODEL, Choices, Sources
from orchestrator.planning.resolved_source import Resolved
from orchestrator.recipe.models import Recipe
from orchestrator.toolchain.load import ToolChain, build_identity, environment_identity


class Graph:
    """Collects steps; every method that adds one returns its key."""

    def __init__(
        self, recipe: Recipe | None, chain: ToolChain, sources: Sources, choices: Choices
    ) -> None:
        self._recipe, self.chain, self.sources, self.choices = recipe, chain, sources, choices
        self.steps: dict[str, Step] = {}
        self.tools: dict[str, str] = {}
        self.gate: tuple[str, ...] = ()
        self.file = f"{MODEL}{chain.extension}"

    @property
    def recipe(self) -> Recipe:
        """The recipe; a tool chain alone has none."""
        assert self._recipe is not None
        return self._recipe

    def add(
        self,
        kind: str,
        label: str,
        params: Mapping[str, JSON],
        inputs: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> str:
        """Add a step under the key of everything that can change its bytes; ``rest`` cannot."""
        inputs = dict(inputs or {})
        identity = {
            "kind": kind,
            "version": KINDS[kind].version,
            "params": params,
            "inputs": inputs,
        }
        key = digest.key(identity)
        if key not in self.steps:
            self.steps[key] = Step(kind, label, key, params, inputs, **rest)
        return key

    def verbs(self, *names: str) -> tuple[dict[str, JSON], dict[str, JSON]]:
        """Identity and data of the verbs that the chain has, for params and context."""
        have = [name for name in names if name in self.chain.verbs]
        identity = {name: self.chain.verb_identity(name) for name in have}
        data = {name: self.chain.verbs[name].model_dump(mode="json") for name in have}
        return identity, {"verbs": data, "data": str(self.chain.folder)}

    def toolchain(self, profile: str, backend: str) -> None:
        """Add the build and the environment, side inputs of nearly everything else."""
        chain = self.chain
        options = chain.build.arguments(
            profile, backend, self.choices.platform, self.choices.machine
        )
        commit = self.sources.commit
        self.tools["toolchain"] = self.add(
            "build",
            f"build {chain.name} {commit[:7]}",
            {
                **build_identity(chain, options, commit),
                "system": [self.choices.platform, self.choices.machine],
            },
            context={
                "source": _source_of(chain, commit),
                "data": str(chain.folder),
            },
            resources=Resources(cpu=True, disk_bytes=80 << 20, scratch_bytes=900 << 20),
            keep="always",
        )
        environment = environment_identity(chain)
        if environment is not None and chain.environment is not None:
            index = chain.environment.extra_index
            self.tools["environment"] = self.add(
                "environment",
                f"Python environment of {chain.name}",
                environment,
                context={
                    "imports": list(chain.environment.imports),
                    "extra_index": index.url if index else "",
                },
                resources=Resources(net=True, disk_bytes=1300 << 20),
                keep="always",
            )

    def source(self, source: Resolved, what: str) -> str:
        """Add the fetching of a source; ``what`` is its part in the recipe."""
        return self.add(
            "fetch",
            _words("fetch", what, _short(source)),
            {"source": dict(source.identity), "format": source.format},
            context=dict(source.context),
            after=self.gate,
            resources=Resources(net=source.identity["kind"] != "path"),
            keep="always",
        )

    def outline(self, source: Resolved, what: str) -> str:
        """Names, types and shapes of a model's tensors, its config and tokenizer."""
        return self.add(
            "outline",
            _words("describe", what, _short(source)),
            {"source": dict(source.identity), "format": source.format},
            context=dict(source.context),
            resources=Resources(net=source.identity["kind"] != "path"),
            keep="always",
        )

    def peek(self, source: Resolved) -> str:
        """The header of a GGUF file where it is."""
        return self.add(
            "peek",
            f"look into {_short(source)}",
            {"source": dict(source.identity)},
            context=dict(source.context),
            resources=Resources(net=source.identity["kind"] != "path"),
            keep="always",
        )

    def check_weights(self) -> None:
        """Refuse models in a layout that the tool chain does not read.

        Raises:
            UsageError: With what it reads.
        """
        for source in self.weights().values():
            if source.format not in self.chain.inputs:
                raise UsageError(
                    f"{self.recipe.name}: tool chain {self.chain.name} does not read models in "
                    f"the format {source.format!r}",
                    f"It reads: {', '.join(self.chain.inputs)}.",
                )
            if source.format == "hf" and _is_one_file(source):
                raise UsageError(
                    f"{self.recipe.name}: a model in the format 'hf' is a folder with config.json, "
                    f"not one file like {_short(source)!r}",
                    "Say 'format: gguf' or 'format: ggml' on the model if the file is one.",
                )

    def weights(self) -> dict[str, Resolved]:
        """The sources of the model's weights by their part: model, or base and delta."""
        sources = self.sources
        if sources.model is not None:
            return {"model": sources.model}
        assert sources.base is not None
        assert sources.delta is not None
        return {"base": sources.base, "delta": sources.delta}

    def merged(self) -> str:
        """Add the folder with the original weights: fetched, or made from base and delta."""
        weights = {
            name: self.source(source, "" if name == "model" else name)
            for name, source in self.weights().items()
        }
        if "model" in weights:
            return weights["model"]
        return self.add(
            "merge",
            f"merge base and delta of {self.recipe.name}",
            {"method": self.recipe.model.method},
            weights,
            after=self.gate,
            resources=Resources(cpu=True),
            keep="intermediate",
        )

    def corpus(self, name: str) -> str:
        """Add the fetching of a text."""
        return self.source(self.sources.corpora[name], f"{name} text")


def toolchain_steps(chain: ToolChain, choices: Choices) -> tuple[Step, ...]:
    """The steps that build a tool chain and its environment, with the chain's own defaults."""
    planner = Graph(None, chain, Sources(chain.source.commit), choices)
    planner.toolchain(choices.profile or "portable", choices.backend or "cpu")
    return tuple(planner.steps.values())


def _source_of(chain: ToolChain, commit: str) -> dict[str, JSON]:
    """Where a commit is to be had; mirrors hold the pinned one only."""
    source = chain.source.model_dump(mode="json")
    return source if commit == chain.source.commit else {**source, "mirrors": []}


def _is_one_file(source: Resolved) -> bool:
    identity = source.identity
    single = identity["kind"] in ("url", "pypi") or bool(identity.get("file"))
    return single or (identity["kind"] == "path" and len(identity["files"]) == 1)


def _short(source: Resolved) -> str:
    """How a person calls a source."""
    identity = source.identity
    if identity["kind"] == "hub":
        return f"{identity['repo']}@{str(identity['commit'])[:7]}"
    if identity["kind"] == "pypi":
        return f"{identity['package']} {identity['version']}"
    if identity["kind"] == "url":
        return str(identity["name"])
    files: Sequence[str] = list(identity["files"])
    return files[0] if len(files) == 1 else Path(str(source.context.get("path", ""))).name


def _words(*words: str) -> str:
    """A label of the words that there are."""
    return " ".join(word for word in words if word)
