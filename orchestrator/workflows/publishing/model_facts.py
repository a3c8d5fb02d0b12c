"""What is to be said of a model: from the recipe, else from the card of what it was made from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.step_values import JSON, Outcome, Step
from orchestrator.engine import step_kinds
from orchestrator.modelfiles import chat_templates, gguf
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.runs.preflight import failure
from orchestrator.runs.session import Session
from orchestrator.sources.hub.repository_info import Card
from orchestrator.toolchain.artifact_file_names import HEADER

_PLAIN = ("F32", "F16", "BF16")
# What a licence may want to have beside the files.
_PAPERS = re.compile(r"(licen[cs]e|notice|use_policy|copying)([._-].*)?", re.IGNORECASE)


def is_paper(name: str) -> bool:
    """Whether a file of this name is a licence text or a notice."""
    return _PAPERS.fullmatch(name) is not None


@dataclass(frozen=True)
class Origin:
    """What a model was made from.

    Attributes:
        folder: Its configuration, tokenizer and papers; None for a single file.
        templates: Its chat templates by name.
        where: The file that those stand in; empty without any.
        hubs: The repositories on the Hub, the most telling one first.
        gated: Whether one of those is for people who accept its terms.
        metadata: The front matter of its own model card.
        generation: Its generation_config.json; empty without one.
        quantized: The type of a file that was quantized before, such as ``Q4_1``; else empty.
    """

    folder: Path | None
    templates: chat_templates.Templates
    where: str
    hubs: tuple[str, ...]
    gated: bool
    metadata: Mapping[str, JSON]
    generation: Mapping[str, JSON]
    quantized: str = ""

    @property
    def papers(self) -> dict[str, Path]:
        """Licence texts and notices by name."""
        if self.folder is None:
            return {}
        found = (path for path in sorted(self.folder.iterdir()) if path.is_file())
        return {path.name: path for path in found if is_paper(path.name)}


@dataclass(frozen=True)
class Facts:
    """What the front matter of a model card says of the model itself."""

    license: str
    license_name: str
    license_link: str
    languages: tuple[str, ...]
    base_models: tuple[str, ...]


def origin(plan: Plan, session: Session) -> Origin:
    """Look at what a model was made from; asks the Hub only about models on the Hub.

    What describes the model is in the store after a run, and brought back when it is not.

    Raises:
        StepError, EnvironmentProblem: It cannot be looked at.
    """
    telling = plan.sources.delta or plan.sources.shaped
    assert telling is not None
    hubs = tuple(dict.fromkeys(_hubs(plan)))
    cards = [] if session.settings.offline else [_card(repo) for repo in hubs]
    gated = any(card.gated for card in cards)
    told = cards[0].metadata if cards else {}
    made = _described(plan, telling, session)
    if made is None or telling.format == "ggml":
        return Origin(None, {}, "", hubs, gated, told, {})
    if telling.format == "gguf":
        header = gguf.read(made / HEADER, partial=True)
        own = chat_templates.of_file(header)
        return Origin(None, own, "its header", hubs, gated, told, {}, _quantized(header))
    folder = made / "small"
    templates, where = chat_templates.of_source(folder)
    generation = chat_templates.json_object(folder / "generation_config.json")
    # The card of the very commit wins over what the repository says today.
    metadata = _metadata(folder) or told
    return Origin(folder, templates, where, hubs, gated, metadata, generation)


def _quantized(header: gguf.GGUF) -> str:
    """The type of a quantized file; empty for one of plain numbers."""
    types = Counter(one.type for one in header.tensors if one.type not in _PLAIN)
    if not types:
        return ""
    number = header.metadata.get("general.file_type")
    named = FILE_TYPES.get(number) if isinstance(number, int) else None
    return named or types.most_common(1)[0][0]


def _hubs(plan: Plan) -> Iterator[str]:
    """Repositories of what is added, the model, the base."""
    sources = plan.sources
    for source in (sources.delta, *sources.adapters.values(), sources.model, sources.base):
        identity = source.identity if source is not None else {"kind": ""}
        if identity["kind"] == "hub" and identity["repo_type"] == "model":
            yield str(identity["repo"])


def _card(repo: str) -> Card:
    from orchestrator.sources.hub import repository_info  # noqa: PLC0415 - its library is heavy

    return repository_info.card(repo, "main")


def _described(plan: Plan, source: Resolved, session: Session) -> Path | None:
    """The artifact that describes a source; None where no step does that."""
    steps = [one for one in plan.steps if _describes(one, source)]
    if not steps:
        return None
    [result] = session.runner.run(plan.steps, [steps[0].key])
    if result.outcome is Outcome.FAILED:
        raise failure(result)
    return result.path


def _describes(step: Step, source: Resolved) -> bool:
    return step_kinds.is_description(step) and step.params["source"] == source.identity


def _metadata(folder: Path) -> Mapping[str, JSON]:
    card = folder / "README.md"
    if not card.is_file():
        return {}
    from orchestrator.sources.hub import card_metadata  # noqa: PLC0415 - its library is heavy

    return card_metadata.metadata(card.read_text("utf-8", errors="replace"), str(card))


def facts(plan: Plan, found: Origin) -> Facts:
    """What the recipe says, and where it is silent, what the model's own card says."""
    said, told = plan.recipe.publish, found.metadata
    own = said.license is None
    link = str(told.get("license_link") or "") if own else said.license_link
    if link and own and "/" not in link and found.hubs and link not in found.papers:
        link = f"https://huggingface.co/{found.hubs[0]}/blob/main/{link}"
    return Facts(
        license=said.license or _one(told.get("license")).lower(),
        license_name=said.license_name or (_one(told.get("license_name")) if own else ""),
        license_link=link or "",
        languages=said.languages or tuple(_many(told.get("language"))),
        base_models=said.base_model or found.hubs,
    )


def _one(value: JSON) -> str:
    """The only text of a value that may be a list, by mistake."""
    several = list(_many(value))
    return several[0] if len(several) == 1 else ""


def _many(value: JSON) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str) and one.strip() and one.isprintable():
            yield one.strip()
