"""Run upstream's converter on weight files of holes: the header of the file to come.

The converter's tensors are lazy and its writer is told to leave holes too, so a 13 GB model
costs a few seconds and kilobytes. The same run finds out whether the architecture and the
tokenizer are known at all.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import foreign_code, gguf, source_configs
from orchestrator.modelfiles.merging import lora
from orchestrator.modelfiles.merging.delta import copies, expect_outlines_fit, merged_config
from orchestrator.modelfiles.merging.side_names import as_in_recipe, of_step
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import HEADER
from orchestrator.toolchain.verb_option import hide


def run(task: Task) -> dict[str, JSON]:
    """Write ``header.gguf``: the converted file without its tensors' data.

    ``params["part"]`` is a part of the model; without it, the text model is converted.

    Returns:
        Facts: ``size`` of the whole file in bytes, ``parameters``, ``vocabulary``, and
        ``contradictions`` (:mod:`orchestrator.modelfiles.source_configs`) if there are any.

    Raises:
        StepError: The converter does not know the architecture or the tokenizer.
    """
    params = task.step.params
    model = task.scratch / params.get("folder", params["model_name"])
    merged = "model" not in task.inputs
    _expect_adapters_fit(task)
    if merged:
        _small_files_of_merge(task, model)
    else:
        hollow_model.small_files(task.inputs["model"], model)
    verb = str(params.get("part", "describe"))
    hide(call_verb.verb(task, verb).options, params, model)
    removed = () if params["trust_remote_code"] else foreign_code.remove(model)
    output = task.scratch / params["file"]
    values = {**params, "input": str(model), "output": str(output), "header_only": True}
    values |= hollow_model.beside_adapter(task)
    with foreign_code.explained(removed):
        if merged:
            hollow_model.from_shapes(task, model)
        else:
            hollow_model.weights(task, task.inputs["model"], model)
        call_verb.call(task, verb, values, cwd=task.scratch)
    found = gguf.read(output)
    _keep_header(output, found.data_offset, task.workdir / HEADER)
    return {
        "size": found.file_size,
        "parameters": found.n_elements,
        "vocabulary": _vocabulary(found),
        **_of_adapter(task, found),
        **(source_configs.facts(model, output) if verb == "describe" else {}),
    }


def _expect_adapters_fit(task: Task) -> None:
    """Refuse adapters that cannot be merged, or cannot be a file, where the step is about some."""
    scales = task.step.params.get("scales", ())
    adapters = [task.inputs[f"lora {at}"] for at, _ in enumerate(scales, 1)]
    with as_in_recipe(of_step(task)):
        if adapters:
            lora.expect_outlines_fit(task.inputs["model"], adapters, scales)
        if "script" in task.inputs:
            lora.expect_own_file(task.inputs["model"])


def _of_adapter(task: Task, found: gguf.GGUF) -> dict[str, JSON]:
    """How many ``tensors`` an adapter has that becomes a file; nothing of others.

    Raises:
        StepError: The file holds fewer numbers than they.
    """
    if "script" not in task.inputs:
        return {}
    known = lora.expect_own_file(task.inputs["model"])
    count = sum(one.count for one in known.values())
    if found.n_elements < count:
        raise StepError(
            f"{task.step.label}: the converter would leave out {count - found.n_elements} of the "
            f"{count} numbers of the adapter",
            "Merge the adapter into its base instead: 'model: {base: ..., lora: [...]}'.",
        )
    return {"tensors": len(known)}


def _vocabulary(found: gguf.GGUF) -> int:
    tokens = found.metadata.get("tokenizer.ggml.tokens")
    return tokens.count if isinstance(tokens, gguf.ArrayInfo) else 0


def _keep_header(path: Path, length: int, target: Path) -> None:
    with path.open("rb") as source, target.open("wb") as out:
        remaining = length
        while remaining:
            chunk = source.read(min(remaining, 1 << 20))
            out.write(chunk)
            remaining -= len(chunk)


def _small_files_of_merge(task: Task, model: Path) -> None:
    """What merging base and delta will give beside weights: the delta's tokenizer.

    Raises:
        StepError: The two cannot fit.
    """
    model.mkdir()
    with as_in_recipe(of_step(task)):
        base, delta = expect_outlines_fit(*(task.inputs[side] for side in ("base", "delta")))
        for name, path in copies(base.folder / "small", delta.folder / "small").items():
            shutil.copyfile(path, model / name)
        config = merged_config(base.config, delta.config.get("vocab_size"), base.folder)
    (model / "config.json").write_text(json.dumps(config))
