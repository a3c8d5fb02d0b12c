"""The steps that bring what a recipe starts from: models whole or in outline, and texts; pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON, Resources
from orchestrator.planning.plan import MODEL
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.step_collector import Basis, StepCollector, verbs
from orchestrator.planning.toolchain_steps import mergekit_packages

TEMPLATE = "chat template"


def check_weights(basis: Basis) -> None:
    """Refuse models in a layout that the tool chain does not read.

    Raises:
        UsageError: With what it reads.
    """
    name, chain = basis.recipe.name, basis.chain
    for source in weights(basis).values():
        if source.format not in (*chain.inputs, "lora"):
            raise UsageError(
                f"{name}: tool chain {chain.name} does not read models in the format "
                f"{source.format!r}",
                f"It reads: {', '.join(chain.inputs)}.",
            )
        if source.format == "mistral" and basis.sources.model is None:
            raise UsageError(
                f"{name}: what is merged must be in the layout of transformers, "
                "not in Mistral's own",
                "Name the model's repository in that layout, and leave 'format' out.",
            )
        if source.format == "lora":
            expect_folder(name, source)
        if source.original and _is_one_file(source):
            raise UsageError(
                f"{name}: a model in the format {source.format!r} is a folder with its "
                f"configuration, not one file like {_short(source)!r}",
                "Say 'format: gguf' or 'format: ggml' on the model if the file is one.",
            )


def expect_folder(name: str, source: Resolved) -> None:
    """Refuse an adapter that is one file.

    Raises:
        UsageError: It is.
    """
    if _is_one_file(source):
        raise UsageError(
            f"{name}: an adapter is a folder with adapter_config.json, not one file like "
            f"{_short(source)!r}",
            "Name the folder or the repository that peft saved it in.",
        )


def weights(basis: Basis) -> dict[str, Resolved]:
    """The sources of the model's weights by their part: model, or base and what is added."""
    sources = basis.sources
    if sources.model is not None:
        return {"model": sources.model}
    assert sources.base is not None
    if sources.adapters:
        return {"base": sources.base, **sources.adapters}
    assert sources.delta is not None
    return {"base": sources.base, "delta": sources.delta}


def fetch(
    collector: StepCollector, source: Resolved, what: str = "", after: tuple[str, ...] = ()
) -> str:
    """Add the fetching of a source; ``what`` is its part in the recipe."""
    return collector.add(
        "fetch",
        _words("fetch", what, _short(source)),
        {"source": dict(source.identity), "format": source.format},
        context=dict(source.context),
        after=after,
        resources=Resources(net=source.identity["kind"] != "path"),
        keep="always",
    )


def brought(basis: Basis, source: Resolved, what: str) -> str:
    """Add the fetching of a source, once it is known that it can be used."""
    return fetch(basis.collector, source, what, basis.gate)


def corpus(basis: Basis, name: str) -> str:
    """Add the fetching of a text."""
    return fetch(basis.collector, basis.sources.corpora[name], f"{name} text", basis.gate)


def template(basis: Basis) -> dict[str, str]:
    """Add the fetching of a chat template that is put into headers, as an input; or none."""
    source = basis.sources.corpora.get(TEMPLATE)
    return {} if source is None else {"template": fetch(basis.collector, source, TEMPLATE)}


def matrix(basis: Basis) -> str:
    """Add the fetching of an importance matrix that exists; '' where the recipe names none."""
    source = basis.sources.corpora.get("imatrix")
    if source is None:
        return ""
    return fetch(basis.collector, source, "importance matrix", basis.gate)


def merged(basis: Basis) -> str:
    """Add the folder with the original weights: fetched, or made by merging."""
    parts = {
        name: fetch(basis.collector, source, "" if name == "model" else name, basis.gate)
        for name, source in weights(basis).items()
    }
    if "model" in parts:
        return parts["model"]
    if basis.recipe.model.mergekit is not None:
        return _mixed(basis, parts)
    what = "adapters" if basis.sources.adapters else "delta"
    how = "lora" if basis.sources.adapters else basis.recipe.model.method
    return basis.collector.add(
        "merge",
        f"merge base and {what} of {basis.recipe.name}",
        {"method": how, **scales(basis)},
        parts,
        context=names(basis),
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="intermediate",
    )


def _mixed(basis: Basis, parts: dict[str, str]) -> str:
    """Add the merge of several models by mergekit, in the tool chain's environment.

    Raises:
        UsageError: The tool chain does not call mergekit.
    """
    basis.chain.verb("mergekit")
    mix = basis.recipe.model.mergekit
    assert mix is not None
    argvs, context = verbs(basis.chain, "mergekit")
    environment = basis.tools["environment"]
    packages = mergekit_packages(basis.collector, basis.chain, environment)
    return basis.collector.add(
        "mix",
        f"merge the models of {basis.recipe.name} with mergekit",
        {"config": mix.model_dump(mode="json")["config"], "argv": argvs},
        {**parts, "environment": environment, "packages": packages},
        context={**context, **names(basis)},
        after=basis.gate,
        resources=Resources(cpu=True),
        keep="intermediate",
    )


def scales(basis: Basis) -> dict[str, JSON]:
    """By how much each adapter that is merged counts, as a parameter; nothing without adapters."""
    given: list[JSON] = [one.scale for one in basis.recipe.model.lora]
    return {"scales": given} if given else {}


def outlines(basis: Basis) -> dict[str, str]:
    """Add the outlines of the model's weights; a base of adapters stands for the model itself."""
    keys = {
        name: outline(basis, source, "" if name == "model" else name)
        for name, source in weights(basis).items()
    }
    if basis.sources.adapters:
        keys = {MODEL: keys.pop("base"), **keys}
    return keys


def names(basis: Basis) -> dict[str, str]:
    """What errors call the parts of the weights: the repository or the path in the recipe."""
    found = {part: name(source) for part, source in weights(basis).items()}
    return {**found, MODEL: found["base"]} if basis.sources.adapters else found


def name(source: Resolved) -> str:
    """What errors call a source: the repository or the path in the recipe."""
    return str(source.context.get("path", _short(source)))


def outline(basis: Basis, source: Resolved, what: str) -> str:
    """Add names, types and shapes of a model's tensors, its config and tokenizer."""
    return basis.collector.add(
        "outline",
        _words("inspect", what, _short(source)),
        {"source": dict(source.identity), "format": source.format},
        context=dict(source.context),
        resources=Resources(net=source.identity["kind"] != "path"),
        keep="always",
    )


def peek(collector: StepCollector, source: Resolved) -> str:
    """Add the header of a GGUF file where it is."""
    return collector.add(
        "peek",
        f"inspect {_short(source)}",
        {"source": dict(source.identity)},
        context=dict(source.context),
        resources=Resources(net=source.identity["kind"] != "path"),
        keep="always",
    )


def _is_one_file(source: Resolved) -> bool:
    identity = source.identity
    single = identity["kind"] in ("url", "pypi") or bool(identity.get("file"))
    return single or (identity["kind"] == "path" and len(identity["files"]) == 1)


def _short(source: Resolved) -> str:
    """How a person calls a source."""
    identity = source.identity
    if identity["kind"] == "hub":
        place = f"{identity['repo']}/{identity.get('subfolder', '')}".rstrip("/")
        return f"{place}@{str(identity['commit'])[:7]}"
    if identity["kind"] == "pypi":
        return f"{identity['package']} {identity['version']}"
    if identity["kind"] == "url":
        return str(identity["name"])
    files: Sequence[str] = list(identity["files"])
    return files[0] if len(files) == 1 else Path(str(source.context.get("path", ""))).name


def _words(*words: str) -> str:
    """A label of the words that there are."""
    return " ".join(word for word in words if word)
