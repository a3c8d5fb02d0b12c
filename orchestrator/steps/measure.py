"""Measure one model file: its structure, what it writes, how well and how fast.

Nothing is judged here, so that another limit never means another measurement.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow, only_file
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import header_facts
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.model import Verb
from orchestrator.toolchain.output_numbers import number, optional
from orchestrator.toolchain.tool_results import BenchmarkFields, SavedLogits

MEASURES = "measures.json"
_LOGITS = "logits.bin"
_FULL_FACTS = "perplexity.json"
_LEAST_CONTEXT = 512
_BY_TOOLS = ("smoke", "memory", "perplexity", "kld", "speed")


def run(task: Task) -> dict[str, JSON]:
    """Measure ``inputs["model"]/params["file"]`` and write ``measures.json``.

    Inputs beside ``model``, ``toolchain`` and ``environment``: ``full`` (the file that was
    quantized, ``params["full_file"]``, for its tensors), ``logits`` (of the full file),
    ``corpus`` (one text). ``params``: ``format``, ``layout``, ``smoke`` {prompt, tokens},
    ``perplexity`` {context, chunks}, ``kld``, ``speed`` {prompt, generate, repetitions},
    each of the last four possibly None or false; ``runtime``: more values for every argv.
    With ``logits`` but without ``kld`` the file is the full one itself, and its perplexity
    is the one that was found with its logits.

    Returns:
        ``structure``, ``census``, ``tensors``, ``parameters``, ``size`` (bytes),
        ``bits_per_weight``; ``smoke`` {cli, python} (texts without the prompt);
        ``perplexity`` {value, error, base, context, wanted_chunks, chunks}; ``kld``
        {mean, max, p99, median, same_top}; ``speed`` {prompt, generation} of {ms_per_token,
        tokens_per_second, stddev}; ``memory`` {peak} (bytes of the smoke run);
        ``unavailable``: verbs that were wanted and that the tool chain lacks. What was
        not measured is None; nothing is, when the tensors are not the full file's.

    Raises:
        StepError: The file is malformed, a tool failed or printed no number.
    """
    measures = _Measurement(task).all()
    text = json.dumps(measures, indent=2, sort_keys=True, allow_nan=False)
    (task.workdir / MEASURES).write_text(f"{text}\n", encoding="utf-8")
    return measures


class _Measurement:
    """The work on one file; ``unavailable`` collects the verbs that the data lacks."""

    def __init__(self, task: Task) -> None:
        self.task, self.params = task, task.step.params
        self.unavailable: list[str] = []
        self.counts: dict[str, int] = {}
        self.values: dict[str, Any] = dict(self.params.get("runtime", {}))

    def all(self) -> dict[str, JSON]:
        """Everything that the parameters ask for, cheapest first."""
        measures = self._inspected()
        if _differs(measures["structure"]):  # no tool would load it, or believe what it says
            return {**measures, **dict.fromkeys(_BY_TOOLS), "unavailable": []}
        self.counts["tensors"] = measures["tensors"]
        name = str(self.params["file"])
        model = self.task.inputs["model"] / name
        self.values["input"] = borrow(model, self.task.scratch / name).name
        smoke, peak, timings = self._smoke()
        perplexity, kld = self._quality()
        return {
            **measures,
            "smoke": smoke,
            "memory": {"peak": peak} if peak else None,
            "perplexity": perplexity,
            "kld": kld,
            "speed": self._speed(timings),
            "unavailable": sorted(self.unavailable),
        }

    def _inspected(self) -> dict[str, JSON]:
        name, form, layout = (self.params[key] for key in ("file", "format", "layout"))
        found = header_facts.header(self.task.inputs["model"] / name, form, layout)
        header_facts.expect_layout(found, layout, name)
        full = None
        if "full" in self.task.inputs:
            full_name = self.params["full_file"]
            full = header_facts.header(self.task.inputs["full"] / full_name, form, layout)
        return header_facts.facts(found, full)

    def _call(self, verb: str, values: Mapping[str, Any], doing: str) -> call_verb.Result | None:
        """Call a verb, or note that the tool chain lacks it."""
        if verb not in self.task.step.context["verbs"]:
            self.unavailable.append(verb)
            return None
        return call_verb.call(
            self.task,
            verb,
            {**self.values, **values},
            cwd=self.task.scratch,
            counts=self.counts,
            what=f"{self.task.step.label}: {doing}",
            report=self._noted(doing),
        )

    def _verb(self, name: str) -> Verb:
        return Verb.model_validate(self.task.step.context["verbs"][name])

    def _noted(self, doing: str) -> Callable[[Progress], None]:
        self.task.report(Progress(0, 0, note=doing))
        return lambda progress: self.task.report(replace(progress, note=doing))

    def _smoke(self) -> tuple[JSON, int, Mapping[str, str]]:
        """Texts, peak memory in bytes, and timings for tool chains without a benchmark."""
        wanted = self.params["smoke"]
        if not wanted:
            return None, 0, {}
        prompt, tokens = wanted["prompt"], wanted["tokens"]
        # A token is at least one byte of the prompt, or it starts the text.
        context = max(_LEAST_CONTEXT, -(-(len(prompt.encode()) + 1 + tokens) // 256) * 256)
        values = {"prompt": prompt, "tokens": str(tokens), "context": str(context)}
        cli = self._call("complete", values, "smoke test")
        python = self._call("complete_python", values, "smoke test in Python")
        texts = {
            "cli": _continuation(cli.values.get("text", cli.stdout), prompt) if cli else None,
            "python": str(python.parsed["text"]).strip() if python else None,
        }
        return texts, cli.peak_memory if cli else 0, cli.values if cli else {}

    def _quality(self) -> tuple[JSON, JSON]:
        """Perplexity, and the divergence from the full file where its logits are given."""
        wanted = self.params["perplexity"]
        if not wanted:
            return None, None
        setting = {"context": str(wanted["context"]), "chunks": str(wanted["chunks"])}
        logits = self.task.inputs.get("logits")
        if logits is not None and not self.params["kld"]:
            return _of_full(logits, wanted), None
        if logits is not None and "divergence" in self.task.step.context["verbs"]:
            return self._divergence(logits / _LOGITS, setting, wanted)
        if self.params["kld"]:
            self.unavailable.append("divergence")
        return self._perplexity(setting, wanted), None

    def _divergence(
        self, logits: Path, setting: Mapping[str, str], wanted: Mapping[str, JSON]
    ) -> tuple[JSON, JSON]:
        known = "logits" in self.task.step.context["verbs"]
        layout = self._verb("logits").saved if known else None
        if layout is not None:
            _expect_enough(logits.parent, layout, self.task.step.label)
        name = borrow(logits, self.task.scratch / _LOGITS).name
        done = self._call("divergence", {**setting, "logits": name}, "divergence")
        assert done is not None
        read, what = done.values, self.task.step.label
        kld = {
            "mean": number(read, "mean_kld", what),
            "max": optional(read, "max_kld"),
            "p99": optional(read, "kld_99"),
            "median": optional(read, "median_kld"),
            "same_top": number(read, "same_top", what) / 100,
        }
        return {**_perplexity(read, what, wanted), "base": optional(read, "perplexity_base")}, kld

    def _perplexity(self, setting: Mapping[str, str], wanted: Mapping[str, JSON]) -> JSON:
        folder = self.task.inputs["corpus"]
        text = only_file(folder, self.params.get("corpus_file") or "")
        name = borrow(text, self.task.scratch / "corpus.txt").name
        done = self._call("logits", {**setting, "corpus": name, "save": ""}, "perplexity")
        return _perplexity(done.values, self.task.step.label, wanted) if done else None

    def _speed(self, timings: Mapping[str, str]) -> JSON:
        wanted = self.params["speed"]
        if not wanted:
            return None
        if "bench" not in self.task.step.context["verbs"] and timings:
            return _from_timings(timings)
        values = {
            "prompt_tokens": str(wanted["prompt"]),
            "generate_tokens": str(wanted["generate"]),
            "repetitions": str(wanted["repetitions"]),
        }
        done = self._call("bench", values, "speed")
        if done is None:
            return None
        return _from_bench(done.parsed, self._verb("bench").results, self.task.step.label)


def _differs(structure: Mapping[str, JSON]) -> bool:
    return any(structure.get(kind) for kind in ("missing", "extra", "reshaped"))


def _continuation(stdout: str, prompt: str) -> str:
    """What the model added: some tools print the prompt first, some a space before it."""
    text = stdout.strip()
    return text.removeprefix(prompt.strip()).strip()


def _perplexity(
    values: Mapping[str, str], what: str, wanted: Mapping[str, JSON]
) -> dict[str, JSON]:
    chunks = optional(values, "chunks")
    return {
        "value": number(values, "perplexity", what),
        "error": optional(values, "perplexity_error"),
        "base": None,
        "context": wanted["context"],
        "wanted_chunks": wanted["chunks"],
        "chunks": int(chunks) if chunks else None,
    }


def _expect_enough(logits: Path, layout: SavedLogits, what: str) -> None:
    """Statistics need so many tokens, or the tool exits 0 without any."""
    facts = json.loads((logits / _FULL_FACTS).read_text("utf-8"))
    tokens = layout.scored_tokens(context=int(facts["context"]), chunks=facts["chunks"] or 0)
    if tokens < layout.enough:
        raise StepError(
            f"{what}: {tokens} tokens are too few to say how far a file diverges, at least "
            f"{layout.enough} are needed",
            "Raise 'chunks' or 'context' of 'verify: perplexity:', or say 'kld: false'.",
        )


def _of_full(logits: Path, wanted: Mapping[str, JSON]) -> dict[str, JSON]:
    """The full file's own perplexity, found when its logits were."""
    facts = json.loads((logits / _FULL_FACTS).read_text("utf-8"))
    return {
        "value": facts["perplexity"],
        "error": facts["perplexity_error"],
        "base": None,
        "context": wanted["context"],
        "wanted_chunks": wanted["chunks"],
        "chunks": facts["chunks"],
    }


def _from_bench(parsed: JSON, fields: Mapping[Any, BenchmarkFields], what: str) -> JSON:
    """Speeds out of a benchmark's list of tests: the prompt's and the generation's."""
    speed: dict[str, JSON] = {"source": "bench"}
    try:
        for test in parsed:
            [name, one], *_ = [given for given in fields.items() if test[given[1].tokens]]
            speed[name] = {
                "ms_per_token": test[one.nanoseconds] / 1e6 / test[one.tokens],
                "tokens_per_second": test[one.tokens_per_second],
                "stddev": test[one.stddev],
            }
    except (KeyError, TypeError, ValueError) as error:
        raise StepError(f"{what}: the benchmark's JSON lacks {error}") from error
    return speed


def _from_timings(timings: Mapping[str, str]) -> JSON:
    """Speeds out of the timings that the smoke run printed, for tools without a benchmark."""
    speed: dict[str, JSON] = {"source": "smoke"}
    for name, value in (("prompt", "prompt_ms"), ("generation", "generate_ms")):
        milliseconds = optional(timings, value)
        if milliseconds:
            speed[name] = {
                "ms_per_token": milliseconds,
                "tokens_per_second": 1000 / milliseconds,
                "stddev": None,
            }
    return speed
