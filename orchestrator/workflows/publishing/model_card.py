"""The model card: what the Hub and people read first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator import __version__
from orchestrator.base import safe_markdown
from orchestrator.base.errors import StepError
from orchestrator.base.safe_markdown import Safe
from orchestrator.base.step_values import JSON
from orchestrator.measures import closeness, number_tables, registry
from orchestrator.measures.check_status import Status
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES
from orchestrator.planning.plan import Plan
from orchestrator.runs.report import Report, Row
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.toolchain.families import load as families_of
from orchestrator.workflows.publishing import markdown_template
from orchestrator.workflows.publishing.model_facts import Facts
from orchestrator.workflows.publishing.published_files import Model

# Most people are best served by a file of about five bits a weight.
_USUAL_BITS = 4.85
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
        models: The files.
        chat: Whether they have a chat template.
        imatrix: Whether an importance matrix is published.
        modelfile: Whether a Modelfile is.
        papers: Names of licence texts that lie beside it.
        recipe_file: Name of the published recipe.
    """

    title: str
    repo: str
    owner: str
    facts: Facts
    report: Report
    models: Sequence[Model]
    chat: bool
    imatrix: bool
    modelfile: bool
    papers: Sequence[str]
    recipe_file: str


def text(plan: Plan, card: Card) -> str:
    """The whole card.

    Raises:
        StepError: Its front matter is not read as what was written.
    """
    from orchestrator.sources.hub import card_metadata  # noqa: PLC0415 - its library is heavy

    wanted = {key: value for key, value in front_matter(plan, card).items() if value}
    values = {**_values(plan, card), "front_matter": Safe(card_metadata.front_matter(wanted))}
    made = markdown_template.render("model_card.md.j2", values, {"hub_link": _hub_link})
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
    task = said.pipeline_tag or _encoder_task(plan, card.models) or "text-generation"
    return {
        "base_model": bases[0] if len(bases) == 1 else bases,
        "base_model_relation": "quantized" if bases else None,
        "language": list(facts.languages),
        "library_name": form,
        "license": facts.license,
        "license_name": facts.license_name,
        "license_link": facts.license_link,
        "pipeline_tag": task,
        "quantized_by": said.quantized_by or card.owner,
        "tags": list(dict.fromkeys([*tags, *said.tags])),
    }


def _values(plan: Plan, card: Card) -> dict[str, Any]:
    best = recommended(card.models)
    rows = [one.row for one in card.models]
    whole = [one for one in card.models if not one.split]
    quality = registry.quality()
    return {
        "title": card.title,
        "description": plan.recipe.description or f"Quantized files of {plan.recipe.name}.",
        "base_models": card.facts.base_models,
        "source": _source(plan),
        "tools": card.report.pins.get("tool chain", plan.chain.name),
        "version": __version__,
        "imatrix": _matrix(plan, card),
        "smoke": plan.recipe.verify.smoke is not None,
        "measured": any(row.number(m.name, n.name) is not None for m, n in quality for row in rows),
        "warnings": list(_warnings(card.models)),
        "census": card.report.source.message if card.report.source is not None else "",
        "told": [one.message for one in card.report.warnings],
        "columns": list(_columns(rows, card.report)),
        "table": Safe(table(card.models, card.report)),
        "searched": list(_searched(plan, card.models)),
        "models": card.models,
        "chat": card.chat,
        "encoder": _encoder_task(plan, card.models),
        # What programs must be told; of a reranker they are told by its use.
        "pooling": _pooling(card.models, stated=False),
        "chain": plan.chain.name,
        "gguf": plan.chain.format == "gguf",
        "modelfile": card.modelfile,
        "prompt": _prompt(plan, card.chat),
        "repo": card.repo,
        "best": _shown(best),
        "ollama": ollama_tag(whole),
        "whole": recommended(whole).file if whole else "",
        "split": len(whole) < len(card.models),
        "hub_or_file": _hub_or_file(card.repo, best),
        "short_name": plan.recipe.name.lower(),
        "recipe_file": card.recipe_file,
        "local": list(_local(plan)),
        "pins": [one for one in sorted(card.report.pins.items()) if one[0] != "build options"],
        "license": card.facts.license_name or card.facts.license,
        "license_link": card.facts.license_link,
        "papers": card.papers,
    }


def _searched(plan: Plan, models: Iterable[Model]) -> Iterator[tuple[str, str]]:
    """Files whose types a search placed, and what it measured."""
    found = plan.recipe.fit.files if plan.recipe.fit else {}
    return (
        (one.file, found[one.output.name].sentence) for one in models if one.output.name in found
    )


def _warnings(models: Sequence[Model]) -> Iterator[tuple[str, str]]:
    for one in models:
        for check in one.row.checks:
            if check.status is Status.WARN:
                yield one.file, check.message


def _shown(model: Model) -> dict[str, Any]:
    return {
        "first": model.first,
        "file": model.file,
        "split": model.split,
        "others": [piece.name for piece in model.pieces[1:]],
    }


def recommended(models: Iterable[Model]) -> Model:
    """The file for those who do not want to choose: near five bits a weight, and still good."""

    given = list(models)
    rows = [one.row for one in given]

    def rank(one: Model) -> tuple[bool, bool, float]:
        beaten = closeness.beaten_by(one.row, rows) is not None
        off = abs(one.row.bits_per_weight - _USUAL_BITS)
        return not closeness.good(one.row), beaten, off

    return min(given, key=rank)


def ollama_tag(whole: Sequence[Model]) -> str:
    """How Ollama is told a file of a repository: by a type that it knows, else by its name."""
    if not whole:
        return ""
    best = recommended(whole)
    known = best.name.encoding in FILE_TYPES.values()
    return best.name.encoding if known else best.file


def _hub_or_file(repo: str, best: Model) -> Safe:
    """How programs of llama.cpp are told a file: by repository and file, or by the file."""
    if repo:
        return Safe(f"-hf {safe_markdown.raw(repo)} -hff {safe_markdown.shell(best.first)}")
    return Safe(f"-m {safe_markdown.shell(best.first)}")


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
        return (IMATRIX_FILE, "") if card.imatrix else ()
    return given.file_name, str(given.identity.get("repo", ""))


def _source(plan: Plan) -> str:
    """What was quantized, in words."""
    model = plan.recipe.model
    if model.base is not None and model.delta is not None:
        return "a base model and a published difference, merged"
    source = plan.sources.model
    assert source is not None
    identity = source.identity
    if identity["kind"] == "hub":
        return f"commit {str(identity['commit'])[:12]}"
    if identity["kind"] == "pypi":
        return f"a file in the Python package {identity['package']} {identity['version']}"
    if identity["kind"] == "url":
        return str(identity["name"])
    return "a local model"


def _local(plan: Plan) -> Iterable[str]:
    """Inputs that are nowhere but on the machine of the run, as the recipe names them."""
    recipe = plan.recipe
    folder = recipe.file.parent.absolute()
    weighing = (
        [recipe.imatrix.corpus, *recipe.imatrix.more.values(), recipe.imatrix.file]
        if recipe.imatrix
        else []
    )
    corpora = (*weighing, *recipe.verify.texts.values())
    for source in (recipe.model, recipe.model.base, recipe.model.delta, *corpora):
        if source is not None and source.path is not None:
            path = source.path.absolute()
            inside = path.is_relative_to(folder)
            yield path.relative_to(folder).as_posix() if inside else path.name


def _hub_link(repo: object) -> Safe:
    return safe_markdown.link(f"https://huggingface.co/{repo}")


# -- the table -------------------------------------------------------------------------------


def table(models: Sequence[Model], described: Report) -> str:
    """The files with what was measured, without columns that would be empty."""
    rows = [one.row for one in models]
    found = number_tables.table(rows, "card", described.full_name)
    head = ["File", *found.titles, "Good for"]
    lines = [head, ["---"] * len(head)]
    lines += [
        [_link(one), *measured, safe_markdown.inline(closeness.words(one.row, rows))]
        for one, measured in zip(models, found.texts, strict=True)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _link(model: Model) -> str:
    parts = f" and {len(model.pieces) - 1} more" if model.split else ""
    return f"[{safe_markdown.inline(model.first)}]({safe_markdown.link(model.first)}){parts}"


def _columns(rows: Sequence[Row], described: Report) -> Iterator[str]:
    """Sentences about the columns of the table, and what the full file has in them."""
    for measure in registry.measures():
        if measure.note and any(row.numbers.get(measure.name) for row in rows):
            yield measure.note.format(full=described.full_name)
    full = next((row for row in described.rows if row.type == described.full_name), None)
    numbers = [
        f"{number.title} {number.shown(value)}"
        for measure, number in registry.quality()
        if full is not None and (value := full.number(measure.name, number.name)) is not None
    ]
    if numbers:
        yield f"{described.full_name}, which is not published, has {', '.join(numbers)}."
