"""The model card: what the Hub and people read first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import __version__
from orchestrator.base import safe_markdown, units
from orchestrator.base.errors import StepError
from orchestrator.base.safe_markdown import Safe
from orchestrator.base.step_values import JSON
from orchestrator.measures import registry
from orchestrator.measures.check_status import Status
from orchestrator.modelfiles import header_consistency
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES
from orchestrator.planning.plan import Plan
from orchestrator.runs.report import Report
from orchestrator.toolchain import upstream_urls
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.toolchain.families import load as families_of
from orchestrator.workflows.publishing import (
    licences,
    markdown_template,
    model_tables,
    run_documents,
)
from orchestrator.workflows.publishing.model_facts import Facts
from orchestrator.workflows.publishing.published_files import Model

PICTURE = "quality.svg"
MODELFILE = "Modelfile"
_ENCODER_TASKS = ("sentence-similarity", "feature-extraction", "text-ranking")


@dataclass(frozen=True)
class Card:
    """What a card is made of beside the plan.

    Attributes:
        title: Its heading.
        repo: The repository on the Hub, or empty.
        owner: Who quantized it.
        facts: Licence, languages, base models.
        report: What the run found.
        models: The files of the text model.
        parts: Those of the model's other parts, such as its projector.
        best: The recommended one; ``whole``: that among the files in one piece, if any.
        quantized: The type of the source where that was quantized before; else empty.
        prompt: How the chat template writes a question; may be empty.
        chat: Whether they have a chat template.
        beside: Names of all that is published.
        papers: Names of licence texts that lie beside it.
        recipe_file: Name of the published recipe.
        signed: Whether the whole publication is signed.
    """

    title: str
    repo: str
    owner: str
    facts: Facts
    report: Report
    models: Sequence[Model]
    parts: Sequence[Model]
    best: Model
    whole: Model | None
    quantized: str
    prompt: str
    chat: bool
    beside: frozenset[str]
    papers: Sequence[str]
    recipe_file: str
    signed: bool = False

    @property
    def full(self) -> str:
        """What numbers compare with: the unquantized file, or the quantized source."""
        return self.quantized or self.report.full_name


def compared(quantized: str) -> str:
    """What numbers compare with, in words; ``quantized`` is the type of the source, if it was."""
    return f"the {quantized} source" if quantized else "the unquantized model"


def text(plan: Plan, card: Card) -> str:
    """The whole card.

    Raises:
        StepError: Its front matter is not read as what was written.
    """
    from orchestrator.sources.hub import card_metadata  # noqa: PLC0415 - its library is heavy

    wanted = {key: value for key, value in front_matter(plan, card).items() if value}
    values = {**_values(plan, card), "front_matter": Safe(card_metadata.front_matter(wanted))}
    made = markdown_template.render(
        "model_card.md.j2", values, {"hub_link": _hub_link, "owner": _owner}
    )
    found = card_metadata.metadata(made, "the model card")
    if found != wanted:
        keys = ", ".join(sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k)))
        raise StepError(f"the front matter of the model card is not read as it was meant: {keys}")
    return made


def front_matter(plan: Plan, card: Card) -> dict[str, JSON]:
    """The metadata, by the Hub's keys (https://huggingface.co/docs/hub/model-cards)."""
    said, facts = plan.recipe.publish, card.facts
    form = plan.chain.format
    tags = [form, plan.recipe.family, "quantized"]
    tags += ["imatrix"] if _matrix(plan, card) else []
    bases = list(facts.base_models)
    task = said.pipeline_tag or _encoder_task(plan, card.models) or _task(card.parts)
    return {
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": "quantized" if bases else None,
        "datasets": sorted(_datasets(plan)),
        "language": list(facts.languages),
        "library_name": form,
        "license": facts.license,
        "license_name": facts.license_name,
        "license_link": facts.license_link,
        "pipeline_tag": task,
        "quantized_by": said.quantized_by or card.owner,
        "tags": list(dict.fromkeys([*tags, *said.tags])),
    }


def _task(parts: Sequence[Model]) -> str:
    """What a model that writes text is for, by the Hub's tags, from its projector's header."""
    seen = [one for one in parts if one.output.part == "mmproj"]
    if not seen:
        return "text-generation"
    said = seen[0].header.metadata if seen[0].header is not None else {}
    hears = said.get("clip.has_audio_encoder") and not said.get("clip.has_vision_encoder")
    return "audio-text-to-text" if hears else "image-text-to-text"


def _values(plan: Plan, card: Card) -> dict[str, Any]:
    return {**_told(plan, card), **_files(plan, card), **_use(plan, card), **_check(plan, card)}


def _told(plan: Plan, card: Card) -> dict[str, Any]:
    """What the model is, and what was done with it."""
    header, chain = card.models[0].header, plan.chain
    built, _ = licences.said(card.facts.license)
    return {
        "title": card.title,
        "quantized": card.quantized,
        "description": plan.recipe.description or f"Quantized files of {plan.recipe.name}.",
        "base_models": card.facts.base_models,
        "source": _source(plan),
        "parameters": _count(header.n_elements) if header else "",
        "context": header_consistency.context_length(header) if header else None,
        "architecture": header.metadata.get("general.architecture", "") if header else "",
        "chain": chain.name,
        "release": run_documents.release(plan),
        "commit": plan.sources.commit,
        "commit_url": upstream_urls.commit_url(chain.source.git, plan.sources.commit),
        "version": __version__,
        "imatrix": _matrix(plan, card),
        "license": card.facts.license_name or card.facts.license,
        "license_link": card.facts.license_link,
        "built_with": built,
        "papers": card.papers,
    }


def _files(plan: Plan, card: Card) -> dict[str, Any]:
    """What of the files is said."""
    rows, quality = [one.row for one in card.models], registry.quality()
    encodes = _encoder_task(plan, card.models)
    whole = compared(card.quantized)
    _, drawn = model_tables.picture(rows, whole)
    return {
        "compared": whole,
        "smoke": plan.recipe.verify.smoke is not None,
        "measured": any(row.number(m.name, n.name) is not None for m, n in quality for row in rows),
        "warnings": list(_warnings([*card.models, *card.parts])),
        "parts": [(one.output.part, one.first, units.size(one.row.size)) for one in card.parts],
        "census": card.report.source.message if card.report.source is not None else "",
        "told": [
            *([plan.recipe.header.sentence] if plan.recipe.header else []),
            *(one.message for one in card.report.warnings),
        ],
        "table": Safe(model_tables.files_table(card.models, card.full, whole)),
        "columns": [*model_tables.notes(card.models, card.full), *_full(card)],
        # Encoders keep no keys and values between texts.
        "memory": "" if encodes else Safe(model_tables.memory(card.models)),
        "picture": PICTURE if drawn else "",
        "drawn": drawn,
        "searched": list(_searched(plan, card.models)),
        "models": card.models,
        "split": any(one.split for one in card.models),
    }


def _use(plan: Plan, card: Card) -> dict[str, Any]:
    """How programs are told a file."""
    encoder = _encoder_task(plan, card.models)
    return {
        "gguf": plan.chain.format == "gguf",
        "chat": card.chat,
        "format": "" if encoder or not card.prompt else safe_markdown.block(card.prompt),
        "encoder": encoder,
        # What programs must be told; of a reranker they are told by its use.
        "pooling": _pooling(card.models, stated=False),
        "modelfile": MODELFILE in card.beside,
        "prompt": _prompt(plan, card.chat),
        "repo": card.repo,
        "best": _shown(card.best),
        "pattern": f"{card.best.name.stem}/*" if card.best.split else card.best.first,
        "tag": card.whole.name.encoding if card.whole else "",
        "ollama": ollama_tag(card.whole),
        "hub_or_file": _hub_or_file(card),
        "short_name": plan.recipe.name.lower(),
    }


def _check(plan: Plan, card: Card) -> dict[str, Any]:
    """How others check the files."""
    return {
        "whole": card.whole.file if card.whole else "",
        "recipe_file": card.recipe_file,
        "signed": card.signed,
        "local": list(_local(plan)),
        "pins": [one for one in sorted(card.report.pins.items()) if one[0] != "build options"],
    }


def _count(number: int) -> str:
    """A number of parameters."""
    if number < 10**6:
        return f"{number:,}"
    return f"{number / 1e9:.2f} billion" if number >= 10**9 else f"{number / 1e6:.1f} million"


def _datasets(plan: Plan) -> set[str]:
    """Data sets on the Hub of which texts calibrated or measured the files."""
    texts = (one.identity for one in plan.sources.corpora.values())
    return {str(one["repo"]) for one in texts if one.get("repo_type") == "dataset"}


def _searched(plan: Plan, models: Iterable[Model]) -> Iterator[tuple[str, str]]:
    """Files whose types a search placed, and what it measured."""
    found = plan.recipe.fit.files if plan.recipe.fit else {}
    return (
        (one.file, found[one.output.name].sentence) for one in models if one.output.name in found
    )


def _warnings(models: Sequence[Model]) -> Iterator[str]:
    """Each kind of warning once, with the files that have it; all of it is in the report."""
    found: dict[str, list[str]] = {}
    for one in models:
        for check in one.row.checks:
            if check.status is Status.WARN:
                found.setdefault(check.message.partition(" (")[0], []).append(one.name.encoding)
    return (f"{message}: {', '.join(which)}" for message, which in found.items())


def _shown(model: Model) -> dict[str, Any]:
    return {
        "first": model.first,
        "file": model.file,
        "split": model.split,
        "others": [piece.name for piece in model.pieces[1:]],
    }


def ollama_tag(whole: Model | None) -> str:
    """How Ollama is told a file of a repository: by a type that it knows, else by its name."""
    if whole is None:
        return ""
    return whole.name.encoding if whole.name.encoding in FILE_TYPES.values() else whole.file


def _hub_or_file(card: Card) -> Safe:
    """How programs of llama.cpp are told a file: by repository and type, or by the file."""
    if not card.repo:
        return Safe(f"-m {safe_markdown.shell(card.best.first)}")
    repo, encoding = safe_markdown.raw(card.repo), card.best.name.encoding
    # The first file of that type is taken, in the order of names.
    pattern = re.compile(rf"{re.escape(encoding)}[.-]", re.IGNORECASE)
    files = sorted(one.first for one in card.models)
    if next((one for one in files if pattern.search(one)), "") == card.best.first:
        return Safe(f"-hf {repo}:{safe_markdown.raw(encoding)}")
    return Safe(f"-hf {repo} -hff {safe_markdown.shell(card.best.first)}")


def _prompt(plan: Plan, chat: bool) -> str:
    smoke = plan.recipe.verify.smoke
    if smoke is not None and not chat:
        return str(smoke.prompt)
    return "Why is the sky blue?" if chat else "Once upon a time"


def _encoder_task(plan: Plan, models: Sequence[Model]) -> str:
    """What a model does that writes no text, by the Hub's tag of it; empty for all others."""
    said, found = plan.recipe.publish.pipeline_tag, _pooling(models)
    if said in _ENCODER_TASKS:
        return str(said)
    if found:
        return "text-ranking" if found == "rank" else "feature-extraction"
    encodes = plan.recipe.family in families_of(plan.chain.folder).encoders
    return "feature-extraction" if encodes else ""


def _pooling(models: Sequence[Model], *, stated: bool = True) -> str:
    """How the files' embeddings were made; with ``stated`` false only if no file says it."""
    for one in models[0].row.checks:
        if "pooling" in one.numbers and (stated or not one.numbers["pooling_stated"]):
            return str(one.numbers["pooling"])
    return ""


def _matrix(plan: Plan, card: Card) -> tuple[str, ...]:
    """The file of the importance matrix and, if it is of others, their repository; may be empty."""
    given = plan.sources.corpora.get("imatrix")
    if given is None:
        return (IMATRIX_FILE, "") if IMATRIX_FILE in card.beside else ()
    return given.file_name, str(given.identity.get("repo", ""))


def _source(plan: Plan) -> str:
    """What was quantized, in words."""
    model = plan.recipe.model
    if model.lora:
        adapters = "a LoRA adapter" if len(model.lora) == 1 else f"{len(model.lora)} LoRA adapters"
        return f"a base model and {adapters}, merged"
    if model.base is not None:
        mix = model.mergekit
        what = f"{1 + len(mix.models)} models" if mix else "a base model and a published difference"
        return f"{what}, merged{' by mergekit' if mix else ''}"
    source = plan.sources.model
    assert source is not None
    identity = source.identity
    if identity["kind"] == "hub":
        folder = f", its folder {identity['subfolder']}" if identity.get("subfolder") else ""
        return f"commit {str(identity['commit'])[:12]}{folder}"
    if identity["kind"] == "pypi":
        return f"a file in the Python package {identity['package']} {identity['version']}"
    if identity["kind"] == "url":
        return str(identity["name"])
    return "a local model"


def _local(plan: Plan) -> Iterator[str]:
    """What the files were made from and is only on the machine of the run, as the recipe has it."""
    recipe = plan.recipe
    folder = recipe.file.parent.absolute()
    used = recipe.used_imatrix
    weighing = [used.corpus, *used.more.values(), used.file] if used else []
    model = recipe.model
    added = [*(source for _, source in model.added.values()), *recipe.adapters.values()]
    for source in (model, model.base, model.delta, *added, *weighing):
        if source is not None and source.path is not None:
            path = source.path.absolute()
            inside = path.is_relative_to(folder)
            yield path.relative_to(folder).as_posix() if inside else path.name


def _hub_link(repo: object) -> Safe:
    return safe_markdown.link(f"https://huggingface.co/{repo}")


def _owner(repo: object) -> str:
    return str(repo).partition("/")[0]


def _full(card: Card) -> Iterator[str]:
    """What the full file has in the columns of the table."""
    report = card.report
    full = next((row for row in report.rows if row.type == report.full_name), None)
    numbers = [
        f"{number.title} {number.shown(value)}"
        for measure, number in registry.quality()
        if full is not None and (value := full.number(measure.name, number.name)) is not None
    ]
    whole = f"{report.full_name}, which is not published,"
    if card.quantized:
        whole = f"{card.quantized} is the source; computed in {report.full_name}, it"
    if numbers:
        yield f"{whole} has {', '.join(numbers)}."
