"""Find the options that make the pinned quantizer choose the types that a file has.

The quantizer is run dry on a file of the header and a hole, so no tensor is read; see
:mod:`orchestrator.toolchain.search_type_options` for how options are searched.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import gguf
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import HEADER, IMATRIX_FILE
from orchestrator.toolchain.quantizer_facts import write_stand_in
from orchestrator.toolchain.search_type_options import Explanation, Options, explain

_FULL_SEARCHES = 3  # of all types, when the header does not say which it is


def run(task: Task) -> dict[str, JSON]:
    """Write ``explanation.json`` and give the same as facts.

    Returns:
        Facts: ``type``, ``options`` (as in a recipe), ``unexplained`` and ``fixed`` tensors
        (those that the quantizer never changes though they are quantized in the file), and
        whether ``fallbacks`` happen.

    Raises:
        StepError: The quantizer cannot read the file.
        FormatError: It is no GGUF file.
    """
    source = hollow_model.gguf_of_header(task.inputs["header"] / HEADER, task.scratch / "input")
    if task.step.params["imatrix"]:
        write_stand_in(task.scratch / IMATRIX_FILE)
    whole = gguf.read(source)
    wanted = {one.name: one.type for one in whole.tensors if _dimensions(one.shape) > 1}
    quantizer = _Quantizer(task)
    kind, found = _best(task, quantizer, wanted)
    facts: dict[str, JSON] = {
        "type": kind,
        "options": found.options.given(),
        "unexplained": list(found.unexplained),
        "fixed": _fixed(task, quantizer, wanted),
        "fallbacks": bool(quantizer.ask(kind, found.options).lists["fallbacks"]),
    }
    (task.workdir / "explanation.json").write_text(json.dumps(facts, indent=1, sort_keys=True))
    return facts


class _Quantizer:
    """The pinned quantizer, run dry on the file; what it answered is remembered."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._known: dict[str, call_verb.Result] = {}

    def types(self, kind: str, options: Options) -> dict[str, str]:
        """The type (upper case) that each tensor would get, by name."""
        listed = self.ask(kind, options).lists["tensors"]
        return {one["tensor"]: (one["to"] or one["from"]).upper() for one in listed}

    def ask(self, kind: str, options: Options) -> call_verb.Result:
        """All that the quantizer prints for a type and options."""
        given = options.given()
        told = json.dumps([kind, given], sort_keys=True)
        if told not in self._known:
            values: dict[str, Any] = {
                **given,
                "type": kind,
                "dry_run": True,
                "allow_requantize": True,
                "input": "input",
                "output": "",
                "imatrix": IMATRIX_FILE if self._task.step.params["imatrix"] else "",
            }
            self._known[told] = call_verb.call(
                self._task, "plan_quantize", values, cwd=self._task.scratch
            )
        return self._known[told]


def _best(task: Task, quantizer: _Quantizer, wanted: Mapping[str, str]) -> tuple[str, Explanation]:
    """The type that explains the file with the fewest options."""
    kinds = list(task.step.params["types"])
    if len(kinds) > _FULL_SEARCHES:
        wrong = {kind: _wrong(quantizer.types(kind, Options()), wanted) for kind in kinds}
        kinds = sorted(kinds, key=wrong.__getitem__)[:_FULL_SEARCHES]
    found: dict[str, Explanation] = {}
    for index, kind in enumerate(kinds):
        found[kind] = explain(wanted, partial(quantizer.types, kind))
        task.report(Progress(index + 1, len(kinds), "types"))
    best = min(kinds, key=lambda kind: found[kind].rank)
    return best, found[best]


def _wrong(types: Mapping[str, str], wanted: Mapping[str, str]) -> int:
    return sum(types[name] != kind for name, kind in wanted.items())


def _fixed(task: Task, quantizer: _Quantizer, wanted: Mapping[str, str]) -> list[str]:
    """Tensors that are quantized in the file though this quantizer leaves them as they are."""
    plain = task.step.params["plain"]
    kept = quantizer.types(plain[0], Options())
    return sorted(name for name, kind in wanted.items() if kept[name] == kind not in plain)


def _dimensions(shape: Sequence[int]) -> int:
    """Dimensions as the quantizer counts them: trailing ones are none."""
    return max((at + 1 for at, size in enumerate(shape) if size > 1), default=1)
