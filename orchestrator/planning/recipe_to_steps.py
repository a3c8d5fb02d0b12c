"""A recipe as ordered, keyed steps; pure.

Keys of steps come from the keys of their inputs, so the whole plan is known, hits and
misses included, before a weight file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Resources
from orchestrator.planning.plan import MODEL, Choices, Output, Plan, Sources, union
from orchestrator.planning.step_graph import Graph, toolchain_steps
from orchestrator.recipe.models import Quant, Recipe
from orchestrator.toolchain.load import ToolChain

__all__ = [
    "MODEL",
    "Choices",
    "Output",
    "Plan",
    "Sources",
    "make",
    "make_single",
    "toolchain_steps",
    "union",
]


def make(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan one recipe.

    Raises:
        UsageError: The tool chain has no such profile or back end or does not read such
            models, or ``--only`` names no file of the recipe.
    """
    return _Planner(recipe, chain, sources, choices).plan()


def make_single(recipe: Recipe, chain: ToolChain, sources: Sources, choices: Choices) -> Plan:
    """Plan the measuring of one file that is there.

    ``sources.base`` is the file, ``sources.model`` the unquantized one that it is compared
    with, or the file itself.
    """
    return _Planner(recipe, chain, sources, choices).single()


class _Planner(Graph):
    """Collects steps; every method returns the key of the step it added."""

    def plan(self) -> Plan:
        """All steps, in an order in which each comes after its inputs."""
        self.check_weights()
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
        full = self.source(self.sources.model, "")
        [self.file] = self.sources.model.identity["files"]
        [name] = self.sources.base.identity["files"]
        step = self.source(self.sources.base, "")
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
        wanted = {name.casefold() for name in self.choices.only}
        chosen = [q for q in quants if {q.name.casefold(), q.type.casefold()} & wanted]
        if not chosen:
            raise UsageError(
                f"{self.recipe.name} has no file {', '.join(self.choices.only)}",
                f"It has: {', '.join(q.name for q in quants)}.",
            )
        return chosen

    # -- steps ---------------------------------------------------------------------------

    def _forecast(self) -> str:
        """The exact sizes of all outputs, known before a weight is fetched."""
        verbs, context = self.verbs("describe", "plan_quantize", "shapes")
        format_ = self.sources.model.format if self.sources.model else "hf"
        if not {"describe", "plan_quantize"} <= set(verbs) or format_ not in ("hf", "gguf"):
            return ""
        header = self._header(verbs, context)
        dataset = self.sources.dataset
        specs = [
            {**self._spec(quant), **({"dataset": dataset} if quant.imatrix else {})}
            for quant in self.recipe.quantize
        ]
        key = self.add(
            "forecast",
            f"foretell sizes of {self.recipe.name}",
            {"argv": {"plan_quantize": verbs["plan_quantize"]}, "outputs": specs, **header[1]},
            {**header[0], "toolchain": self.tools["toolchain"]},
            context={**context, "requantize": self._requantizes()},
            keep="always",
        )
        self.gate = (key,)
        return key

    def _header(
        self, verbs: Mapping[str, JSON], context: Mapping[str, JSON]
    ) -> tuple[dict[str, str], dict[str, JSON]]:
        """The input of the forecast: a header of the converted file, or the GGUF itself."""
        model = self.sources.model
        if model is not None and model.format == "gguf":
            return {"header": self.peek(model)}, {"full": self.recipe.converted_name}
        outlines = {
            name: self.outline(source, "" if name == "model" else name)
            for name, source in self.weights().items()
        }
        key = self.add(
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

    def _trusted(self) -> bool:
        return any(
            bool(one.identity.get("trust_remote_code")) for one in self.weights().values()
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

    def _full(self) -> str:
        """The file that is quantized: converted, or rewritten from a GGUF."""
        model = self.merged()
        source = self.sources.model
        if source is not None and source.format == "gguf":
            return self._rewrite(model)
        verb = "import_ggml" if source is not None and source.format == "ggml" else "convert"
        verbs, context = self.verbs(verb)
        return self.add(
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
        verbs, context = self.verbs("quantize")
        return self.add(
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

    def _imatrix(self) -> str:
        wanted = self.recipe.imatrix
        if wanted is None or not any(quant.imatrix for quant in self.recipe.quantize):
            return ""
        verbs, context = self.verbs("imatrix")
        self.chain.verb("imatrix")
        return self.add(
            "imatrix",
            f"importance matrix of {self.recipe.name}",
            {"argv": verbs, "chunks": wanted.chunks or -1, "context": wanted.context},
            {
                MODEL: self._full(),
                "corpus": self.corpus("calibration"),
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
            "order": quant.order,
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
        verbs, context = self.verbs("quantize")
        spec = {name: value for name, value in self._spec(quant).items() if name != "name"}
        inputs = {MODEL: full, "toolchain": self.tools["toolchain"]}
        if quant.imatrix:
            inputs["imatrix"] = imatrix
        rewrites = quant.type == "COPY" and self._requantizes()
        if rewrites:
            inputs[MODEL] = self.merged()
        return self.add(
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
        verbs, context = self.verbs("logits")
        save = self.recipe.verify.kld and "divergence" in self.chain.verbs
        return self.add(
            "logits",
            f"perplexity of {self.recipe.name} {self.recipe.converted_name}",
            {"argv": verbs, "file": self.file, "save": save, **settings, **self._runtime()},
            {MODEL: full, "corpus": self.corpus("perplexity"), **self.tools},
            context=context,
            resources=Resources(cpu=True),
            keep="intermediate" if save else "always",
        )

    def _output(self, name: str, step: str, full: str, logits: str, quant: Quant | None) -> Output:
        file = f"{self.recipe.name}-{name}{self.chain.extension}"
        measure = self._measure(name, step, full, logits) if self.choices.verify else ""
        return Output(name, file, self.file, step, measure, quant)

    def _measure(self, name: str, step: str, full: str, logits: str, file: str = "") -> str:
        verbs, context = self.verbs("logits", "divergence", "complete", "complete_python", "bench")
        verify = self.recipe.verify
        perplexity = self._perplexity()
        inputs = {MODEL: step, "full": full, **self.tools}
        kld = bool(logits) and verify.kld and step != full and "divergence" in verbs
        if perplexity is not None:
            inputs["corpus"] = self.corpus("perplexity")
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
        return self.add(
            "measure",
            f"measure {self.recipe.name} {name}",
            params,
            inputs,
            context=context,
            resources=Resources(cpu=True),
            keep="always",
        )


def _smoke(smoke: Any) -> dict[str, JSON] | None:
    return None if smoke is None else {"prompt": smoke.prompt, "tokens": smoke.tokens}
