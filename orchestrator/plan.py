"""A recipe as ordered, keyed steps; pure.

Keys of steps come from the keys of their inputs, so the whole plan is known, hits and
misses included, before a weight file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator import digest
from orchestrator.recipe_models import Quant, Recipe
from orchestrator.records import JSON, Resources, Step
from orchestrator.sourcing import Resolved
from orchestrator.toolchain import ToolChain, build_identity, environment_identity, load

# Raised when the code of a kind changes what it writes for the same parameters.
VERSIONS = {
    "build": 1,
    "environment": 1,
    "outline": 1,
    "header": 1,
    "forecast": 1,
    "fetch": 1,
    "merge": 1,
    "convert": 1,
    "imatrix": 1,
    "quantize": 1,
    "logits": 1,
    "measure": 1,
}

MODEL = "model"


@dataclass(frozen=True)
class Sources:
    """The resolved sources of one recipe; ``commit`` is the tool chain's."""

    commit: str
    model: Resolved | None = None
    base: Resolved | None = None
    delta: Resolved | None = None
    corpora: Mapping[str, Resolved] = field(default_factory=dict)

    @property
    def unpinned(self) -> dict[str, str]:
        """Moving references by what they stand for."""
        named = {"model": self.model, "base": self.base, "delta": self.delta, **self.corpora}
        return {name: one.unpinned for name, one in named.items() if one and one.unpinned}


@dataclass(frozen=True)
class Output:
    """One file that a recipe makes.

    ``step`` is the key of the step that makes ``file``; ``measure`` the key of the one that
    measures it. ``quant`` is None for the converted file itself.
    """

    name: str
    file: str
    artifact_file: str
    step: str
    measure: str
    quant: Quant | None = None


@dataclass(frozen=True)
class Plan:
    """Everything one recipe needs: its steps in order, its outputs, what foretells them."""

    recipe: Recipe
    chain: ToolChain
    sources: Sources
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    full: Output
    forecast: str = ""

    def step(self, key: str) -> Step:
        """The step with this key."""
        return next(step for step in self.steps if step.key == key)

    @property
    def targets(self) -> tuple[str, ...]:
        """Keys of the steps whose results the user asked for."""
        wanted = [key for output in self.outputs for key in (output.step, output.measure)]
        return tuple(dict.fromkeys(key for key in (*wanted, self.full.measure) if key))


@dataclass(frozen=True)
class Choices:
    """What the command line adds to a recipe."""

    only: tuple[str, ...] = ()
    profile: str = ""
    backend: str = ""
    verify: bool = True
    machine: str = ""
    platform: str = "linux"


def make(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan one recipe.

    Raises:
        UsageError: The tool chain has no such profile or back end, or ``--only`` names no
            file of the recipe.
    """
    return _Planner(recipe, chain, sources, choices).plan()


def toolchain_steps(name: str, choices: Choices) -> tuple[Step, ...]:
    """The steps that build a tool chain and its environment, with the chain's own defaults."""
    chain = load(name)
    planner = _Planner(None, chain, Sources(chain.source.commit), choices)
    planner.toolchain(choices.profile or "portable", choices.backend or "cpu")
    return tuple(planner.steps.values())


def make_single(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan the measuring of one file that is there.

    ``sources.base`` is the file, ``sources.model`` the unquantized one that it is compared
    with, or the file itself.
    """
    return _Planner(recipe, chain, sources, choices).single()


class _Planner:
    """Collects steps; every method returns the key of the step it added."""

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

    def plan(self) -> Plan:
        """All steps, in an order in which each comes after its inputs."""
        choice = self.recipe.toolchain
        self.toolchain(
            self.choices.profile or choice.profile, self.choices.backend or choice.backend
        )
        forecast = self._forecast()
        full_key = self._full()
        imatrix = self._imatrix()
        chosen = self._chosen()
        quantized = {quant.name: self._quantize(quant, full_key, imatrix) for quant in chosen}
        logits = self._logits(full_key)
        name = self.recipe.converted_name
        full = self._output(name, full_key, full_key, logits, None)
        outputs = tuple(
            self._output(quant.name, quantized[quant.name], full_key, logits, quant)
            for quant in chosen
        )
        return Plan(
            self.recipe,
            self.chain,
            self.sources,
            tuple(self.steps.values()),
            outputs,
            full,
            forecast,
        )

    def single(self) -> Plan:
        """Fetch (by reference), measure and nothing else."""
        choice = self.recipe.toolchain
        self.toolchain(choice.profile, choice.backend)
        assert self.sources.model is not None
        assert self.sources.base is not None
        full = self._source(self.sources.model, "")
        [self.file] = self.sources.model.identity["files"]
        [name] = self.sources.base.identity["files"]
        step = self._source(self.sources.base, "")
        logits = self._logits(full) if step != full else ""
        measure = self._measure(name, step, full, logits, name)
        output = Output(name, name, name, step, measure)
        whole = Output(self.recipe.converted_name, self.file, self.file, full, "")
        steps = tuple(self.steps.values())
        return Plan(self.recipe, self.chain, self.sources, steps, (output,), whole)

    def _chosen(self) -> list[Quant]:
        quants = list(self.recipe.quantize)
        if not self.choices.only:
            return quants
        from orchestrator.errors import UsageError  # noqa: PLC0415

        wanted = {name.casefold() for name in self.choices.only}
        chosen = [q for q in quants if {q.name.casefold(), q.type.casefold()} & wanted]
        if not chosen:
            raise UsageError(
                f"{self.recipe.name} has no file {', '.join(self.choices.only)}",
                f"It has: {', '.join(q.name for q in quants)}.",
            )
        return chosen

    # -- steps ---------------------------------------------------------------------------

    def _add(
        self,
        kind: str,
        label: str,
        params: Mapping[str, JSON],
        inputs: Mapping[str, str] | None = None,
        **rest: Any,
    ) -> str:
        inputs = dict(inputs or {})
        identity = {"kind": kind, "version": VERSIONS[kind], "params": params, "inputs": inputs}
        key = digest.key(identity)
        if key not in self.steps:
            self.steps[key] = Step(kind, label, key, params, inputs, **rest)
        return key

    def _verbs(self, *names: str) -> tuple[dict[str, JSON], dict[str, JSON]]:
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
        self.tools["toolchain"] = self._add(
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
            self.tools["environment"] = self._add(
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

    def _outline(self, source: Resolved, what: str) -> str:
        """Names, types and shapes of a model's tensors, its config and tokenizer."""
        return self._add(
            "outline",
            f"describe {what} {_short(source)}".strip(),
            {"source": dict(source.identity), "format": source.format},
            context=dict(source.context),
            resources=Resources(net=source.identity["kind"] != "path"),
            keep="always",
        )

    def _forecast(self) -> str:
        """The exact sizes of all outputs, known before a weight is fetched."""
        verbs, context = self._verbs("describe", "plan_quantize", "shapes")
        if not {"describe", "plan_quantize"} <= set(verbs):
            return ""
        header = self._header(verbs, context)
        dataset = self._dataset()
        specs = [
            {**self._spec(quant), **({"dataset": dataset} if quant.imatrix else {})}
            for quant in self.recipe.quantize
        ]
        key = self._add(
            "forecast",
            f"foretell sizes of {self.recipe.name}",
            {"argv": {"plan_quantize": verbs["plan_quantize"]}, "outputs": specs, **header[1]},
            {**header[0], "toolchain": self.tools["toolchain"]},
            context={**context, "requantize": self._requantizes()},
            keep="always",
        )
        self.gate = (key,)
        return key

    def _dataset(self) -> str:
        """The name of the calibration text, which the quantizer writes into the file."""
        corpus = self.sources.corpora.get("calibration")
        if corpus is None:
            return ""
        identity = corpus.identity
        name = identity.get("member") or identity.get("file") or identity.get("name")
        return str(name or next(iter(identity["files"]))).rpartition("/")[2]

    def _header(
        self, verbs: Mapping[str, JSON], context: Mapping[str, JSON]
    ) -> tuple[dict[str, str], dict[str, JSON]]:
        """The input of the forecast: a header of the converted file, or the GGUF itself."""
        model = self.sources.model
        if model is not None and model.format != "hf":
            return {"model": self._source(model, "model")}, {"full": self.recipe.converted_name}
        outlines = {
            name: self._outline(source, "" if name == "model" else name)
            for name, source in self._weights().items()
        }
        key = self._add(
            "header",
            f"try converting {self.recipe.name} without weights",
            {
                **self._conversion(),
                "argv": {name: verbs[name] for name in ("describe", "shapes") if name in verbs},
                "trust_remote_code": self._trusted(),
            },
            {**outlines, **self.tools},
            context=dict(context),
            keep="always",
        )
        return {"header": key}, {"full": ""}

    def _weights(self) -> dict[str, Resolved]:
        sources = self.sources
        if sources.model is not None:
            return {"model": sources.model}
        assert sources.base is not None
        assert sources.delta is not None
        return {"base": sources.base, "delta": sources.delta}

    def _trusted(self) -> bool:
        return any(
            bool(one.identity.get("trust_remote_code")) for one in self._weights().values()
        ) or bool(self.recipe.model.trust_remote_code)

    def _requantizes(self) -> bool:
        return self.sources.model is not None and self.sources.model.format in ("gguf", "ggml")

    def _conversion(self) -> dict[str, JSON]:
        convert = self.recipe.convert
        return {
            "outtype": convert.outtype,
            "tokenizer_pre": convert.tokenizer_pre or "",
            "model_name": convert.model_name or self.recipe.name,
            "file": self.file,
        }

    def _source(self, source: Resolved, what: str) -> str:
        return self._add(
            "fetch",
            f"fetch {what} {_short(source)}".strip(),
            {"source": dict(source.identity), "format": source.format},
            context=dict(source.context),
            after=self.gate,
            resources=Resources(net=source.identity["kind"] != "path"),
            keep="always",
        )

    def _merged(self) -> str:
        weights = {
            name: self._source(source, "" if name == "model" else name)
            for name, source in self._weights().items()
        }
        if "model" in weights:
            return weights["model"]
        return self._add(
            "merge",
            f"merge base and delta of {self.recipe.name}",
            {"method": self.recipe.model.method},
            weights,
            after=self.gate,
            resources=Resources(cpu=True),
            keep="intermediate",
        )

    def _full(self) -> str:
        """The file that is quantized: converted, or rewritten from a GGUF."""
        model = self._merged()
        source = self.sources.model
        if source is not None and source.format == "gguf":
            return self._rewrite(model)
        verb = "import_ggml" if source is not None and source.format == "ggml" else "convert"
        verbs, context = self._verbs(verb)
        return self._add(
            "convert",
            f"convert {self.recipe.name} to {self.recipe.converted_name}",
            {"verb": verb, "argv": verbs, **self._conversion(), **self._runtime()},
            {MODEL: model, **self.tools},
            context=context,
            after=self.gate,
            resources=Resources(cpu=True),
            keep="f16",
        )

    def _runtime(self) -> dict[str, JSON]:
        stated = self.recipe.runtime.model_dump(mode="json", exclude_none=True)
        return {"runtime": stated} if stated else {}

    def _rewrite(self, model: str) -> str:
        verbs, context = self._verbs("quantize")
        return self._add(
            "quantize",
            f"rewrite {self.recipe.name} as {self.recipe.converted_name}",
            {
                "argv": verbs,
                "type": self.recipe.converted_name,
                "file": self.file,
                "allow_requantize": True,
            },
            {MODEL: model, "toolchain": self.tools["toolchain"]},
            context={**context, "allow_fallback": True},
            after=self.gate,
            resources=Resources(cpu=True),
            keep="f16",
        )

    def _corpus(self, name: str) -> str:
        return self._source(self.sources.corpora[name], f"{name} text")

    def _imatrix(self) -> str:
        wanted = self.recipe.imatrix
        if wanted is None or not any(quant.imatrix for quant in self.recipe.quantize):
            return ""
        verbs, context = self._verbs("imatrix")
        self.chain.verb("imatrix")
        return self._add(
            "imatrix",
            f"importance matrix of {self.recipe.name}",
            {"argv": verbs, "chunks": wanted.chunks or -1, "context": wanted.context},
            {
                MODEL: self._full(),
                "corpus": self._corpus("calibration"),
                "toolchain": self.tools["toolchain"],
            },
            context=context,
            resources=Resources(cpu=True),
            keep="always",
        )

    def _spec(self, quant: Quant) -> dict[str, JSON]:
        """The options of one quantization for the verb's template; unset ones are left out."""
        spec = self.chain.types[quant.type]
        options: dict[str, JSON] = {
            "pure": quant.pure,
            "leave_output_tensor": quant.leave_output_tensor,
            "output_tensor_type": quant.output_tensor_type or "",
            "token_embedding_type": quant.token_embedding_type or "",
            "tensor_types": dict(quant.tensor_types),
            "override_kv": dict(quant.override_kv),
            "allow_requantize": quant.allow_requantize,
        }
        given = {name: value for name, value in options.items() if value}
        return {
            "name": quant.name,
            "type": spec.argument or quant.type,
            "imatrix": quant.imatrix,
            **given,
        }

    def _quantize(self, quant: Quant, full: str, imatrix: str) -> str:
        verbs, context = self._verbs("quantize")
        spec = {name: value for name, value in self._spec(quant).items() if name != "name"}
        inputs = {MODEL: full, "toolchain": self.tools["toolchain"]}
        if quant.imatrix:
            inputs["imatrix"] = imatrix
        rewrites = quant.type == "COPY" and self._requantizes()
        if rewrites:
            inputs[MODEL] = self._merged()
        return self._add(
            "quantize",
            f"quantize {self.recipe.name} to {quant.name}",
            {"argv": verbs, **spec, "file": self.file},
            inputs,
            context={
                **context,
                "allow_fallback": quant.allow_fallback,
                "mix": list(self.chain.types[quant.type].mix),
                "format": self.chain.format,
                "layout": self.chain.layout,
            },
            after=self.gate,
            resources=Resources(cpu=True),
            keep="final",
        )

    def _perplexity(self) -> dict[str, JSON] | None:
        wanted = self.recipe.verify.perplexity
        if wanted is None or "logits" not in self.chain.verbs:
            return None
        return {"context": wanted.context, "chunks": wanted.chunks or -1}

    def _logits(self, full: str) -> str:
        """The full file's own perplexity, and its logits where divergence is wanted."""
        settings = self._perplexity()
        if settings is None or not self.choices.verify:
            return ""
        verbs, context = self._verbs("logits")
        save = self.recipe.verify.kld and "divergence" in self.chain.verbs
        return self._add(
            "logits",
            f"perplexity of {self.recipe.name} {self.recipe.converted_name}",
            {"argv": verbs, "file": self.file, "save": save, **settings, **self._runtime()},
            {MODEL: full, "corpus": self._corpus("perplexity"), **self.tools},
            context=context,
            resources=Resources(cpu=True),
            keep="intermediate" if save else "always",
        )

    def _output(self, name: str, step: str, full: str, logits: str, quant: Quant | None) -> Output:
        file = f"{self.recipe.name}-{name}{self.chain.extension}"
        measure = self._measure(name, step, full, logits) if self.choices.verify else ""
        return Output(name, file, self.file, step, measure, quant)

    def _measure(self, name: str, step: str, full: str, logits: str, file: str = "") -> str:
        verbs, context = self._verbs("logits", "divergence", "complete", "complete_python", "bench")
        verify = self.recipe.verify
        perplexity = self._perplexity()
        inputs = {MODEL: step, "full": full, **self.tools}
        kld = bool(logits) and verify.kld and step != full and "divergence" in verbs
        if perplexity is not None:
            inputs["corpus"] = self._corpus("perplexity")
        if logits and (kld or step == full):
            inputs["logits"] = logits
        params = {
            "argv": verbs,
            "file": file or self.file,
            "full_file": self.file,
            "format": self.chain.format,
            "layout": self.chain.layout,
            "smoke": _smoke(verify.smoke),
            "perplexity": perplexity,
            "kld": kld,
            "speed": verify.speed.model_dump(mode="json") if verify.speed else None,
            **self._runtime(),
        }
        return self._add(
            "measure",
            f"measure {self.recipe.name} {name}",
            params,
            inputs,
            context=context,
            resources=Resources(cpu=True),
            keep="always",
        )


def _source_of(chain: ToolChain, commit: str) -> dict[str, JSON]:
    """Where a commit is to be had; mirrors hold the pinned one only."""
    source = chain.source.model_dump(mode="json")
    return source if commit == chain.source.commit else {**source, "mirrors": []}


def _smoke(smoke: Any) -> dict[str, JSON] | None:
    return None if smoke is None else {"prompt": smoke.prompt, "tokens": smoke.tokens}


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
    return files[0] if len(files) == 1 else ""


def union(plans: Iterable[Plan]) -> tuple[Step, ...]:
    """The steps of several plans, shared ones once."""
    merged: dict[str, Step] = {}
    for plan in plans:
        for step in plan.steps:
            merged.setdefault(step.key, step)
    return tuple(merged.values())
