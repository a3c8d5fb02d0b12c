"""From a recipe and what the user wants to a finished search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.recipe import Recipe
from orchestrator.recipe.fit_section import Against
from orchestrator.recipe.fit_section import Fit as Section
from orchestrator.recipe.models import Quant
from orchestrator.recipe.source_fields import Source
from orchestrator.runs import load_and_plan, tools_at_hand, use_lockfile
from orchestrator.runs.session import Session
from orchestrator.toolchain import draft_policy, find_toolchain
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.fitting import fit as fitting
from orchestrator.workflows.fitting import fitted_recipe, probing
from orchestrator.workflows.fitting.fit import Fit, Goal, Say, Search
from orchestrator.workflows.fitting.fitted_recipe import Searched
from orchestrator.workflows.fitting.probing import TEXT, Bench

# Words in a row that two texts share where one was copied from the other, and the share of such
# passages that chance and idioms explain.
_SHARED_WORDS = 13
_BY_CHANCE = 0.01
_NEEDS, _HINT = {"plan_quantize", "divergence"}, "Use the pinned commit of llama.cpp."
# Characters of a token, generously: how far into its text a measurement can reach.
_CHARACTERS = 8


@dataclass(frozen=True)
class Wanted:
    """What the user asks for; sizes in bytes, ``text`` instead of the calibration text.

    ``vram`` is the memory for the file and a context of ``context`` tokens.
    """

    sizes: tuple[int, ...] = ()
    like: tuple[str, ...] = ()
    divergence: float | None = None
    finer: bool = False
    text: Path | None = None
    chunks: int = 3
    vram: int = 0
    context: int = 8192
    imatrix: bool | None = None


def search(recipe: Recipe, wanted: Wanted, session: Session, say: Say) -> Searched:
    """Find the best files of a recipe.

    Raises:
        UsageError: The recipe lacks what a search needs, or nothing is as small as asked.
        StepError, EnvironmentProblem: A step failed.
    """
    if not (wanted.sizes or wanted.like or wanted.divergence or wanted.vram):
        raise UsageError("nothing says how large the file may be", "Give --size 4.0GB.")
    chain = find_toolchain.load(recipe.toolchain.name, recipe.file.parent)
    ready = prepare(recipe, wanted, session, chain)
    content = _expect_other_text(ready, wanted)
    probed = fitting.probe(ready, thirds=wanted.finer, say=say)
    fits = tuple(fitting.fit(ready, probed, goal, say) for goal in _goals(ready, wanted))
    for bench in (ready.fitting, ready.held_out):
        bench.release()
    section = _section(ready, wanted, fits, content)
    return Searched(recipe, section, probed, fits, ready.fitting.sources.commit, ready.options)


def prepare(recipe: Recipe, wanted: Wanted, session: Session, chain: ToolChain) -> Search:
    """Where and how to search for the files of a recipe.

    Raises:
        UsageError: The recipe or its tool chain lacks what a search needs.
        NetworkProblem: A source could not be resolved.
    """
    policy = draft_policy.load(chain.folder).fit
    if policy is None or _NEEDS - chain.verbs.keys():
        raise UsageError(f"{chain.name} cannot search for types", _HINT)
    if getattr(recipe.verify, TEXT) is None:
        raise UsageError(
            f"{recipe.file}: there is no text that the found file could be measured on",
            "Give the recipe 'verify: perplexity:' with a corpus.",
        )
    options = _options(recipe, wanted)
    source = _text(recipe, wanted)
    changed = {"corpus": source, "chunks": wanted.chunks}

    def bench(one: Recipe) -> Bench:
        first = Quant.model_construct(type=policy.base, name="fit-base")
        one = one.model_copy(update={"quantize": (first.model_copy(update=options),)})
        lock = use_lockfile.held(recipe, chain, session)
        sources = load_and_plan.resolve(one, chain, session, lock)
        own, sources = tools_at_hand.definite(one, chain, sources, session, locked=lock is not None)
        if _NEEDS - own.verbs.keys():
            raise UsageError(f"{chain.name} {sources.commit[:12]} cannot search for types", _HINT)
        return Bench(one, own, sources, session)

    session = replace(session, choices=replace(session.choices, verify=True, only=()))
    on_fit, held_out = probing.on_text(recipe, changed), probing.on_text(recipe, {})
    return Search(bench(on_fit), bench(held_out), policy, options)


def _options(recipe: Recipe, wanted: Wanted) -> dict[str, JSON]:
    """What every file of the search has in common, as keys of a recipe's files."""
    weighed = recipe.imatrix is not None if wanted.imatrix is None else wanted.imatrix
    if weighed and recipe.imatrix is None:
        raise UsageError(f"{recipe.file} has no section 'imatrix'", "Give it a calibration text.")
    options: dict[str, JSON] = {"imatrix": True} if weighed else {}
    if any(one.allow_requantize for one in recipe.quantize):
        options["allow_requantize"] = True
    return options


def _text(recipe: Recipe, wanted: Wanted) -> Source:
    """The text to search on."""
    if wanted.text is not None:
        return Source.model_construct(path=wanted.text.absolute())
    if recipe.imatrix is not None and recipe.imatrix.corpus is not None:
        return recipe.imatrix.corpus
    raise UsageError(
        f"{recipe.file} names no text to search on",
        "Give one with --text, other than that of 'verify: perplexity:'.",
    )


def _expect_other_text(ready: Search, wanted: Wanted) -> str:
    """The text of the search, which must not be in that of the verification.

    Raises:
        UsageError: One holds passages of the other.
    """
    mine, theirs = ready.fitting.text(), ready.held_out.text()
    options = getattr(ready.held_out.recipe.verify, TEXT)
    reach = (options.chunks or 1 << 30) * options.context * _CHARACTERS
    own = wanted.chunks * options.context * _CHARACTERS
    measured = _passages(theirs[:reach])
    shared = _passages(mine[:own]) & measured
    if len(shared) > _BY_CHANCE * len(measured):
        raise UsageError(
            f"of the text of 'verify: perplexity:', {len(shared) / len(measured):.0%} stands in "
            f"the text of the search too, such as {min(shared)!r}",
            "Search on another text with --text: a file must not be judged by what it was made on.",
        )
    return mine


def _passages(text: str) -> set[str]:
    words = text.split()
    rows = zip(*(islice(words, start, None) for start in range(_SHARED_WORDS)), strict=False)
    return {" ".join(row) for row in rows}


def _goals(ready: Search, wanted: Wanted) -> list[Goal]:
    chain = ready.fitting.chain  # the commit's own types
    goals = [Goal(_named(size), size) for size in wanted.sizes]
    unknown = [name for name in wanted.like if name not in chain.types]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no type of {chain.name}", "'orchestrate toolchain ls'")
    if wanted.like:
        sizes = ready.held_out.sizes([ready.file(name, name) for name in wanted.like])
        goals += [Goal(f"size-of-{name}", sizes[name], like=name) for name in wanted.like]
    if wanted.vram:
        goals.append(_for_memory(ready, wanted))
    if wanted.divergence:
        goals.append(Goal(f"kld-{wanted.divergence:g}", divergence=wanted.divergence))
    return goals


def _for_memory(ready: Search, wanted: Wanted) -> Goal:
    """What the file may take beside a context and its buffers, which no type changes.

    Raises:
        UsageError: They alone need more, or the tool chain cannot tell what they need.
    """
    beside = ready.fitting.memory_beside(wanted.context)
    label = f"{_named(wanted.vram)}-memory-{wanted.context}"
    if beside >= wanted.vram:
        raise UsageError(
            f"a context of {wanted.context} tokens and its buffers need {units.size(beside)}",
            "Give more with --vram, or a shorter --context.",
        )
    return Goal(label, wanted.vram - beside)


def _named(size: int) -> str:
    return units.size(size).replace(" ", "")


def _section(ready: Search, wanted: Wanted, fits: Sequence[Fit], content: str) -> Section:
    options = getattr(ready.held_out.recipe.verify, TEXT)
    saved = ready.fitting.chain.verbs["logits"].saved
    assert saved is not None  # a divergence was measured with it
    corpus = ready.fitting.sources.corpora[TEXT].identity
    name = str(corpus.get("name") or corpus.get("file") or next(iter(corpus.get("files", [""]))))
    files: Mapping[str, Against] = {
        one.file.name: Against(
            standard=one.standard.name,
            tokens=saved.scored_tokens(context=options.context, chunks=one.held_out.chunks),
            mean_kld=one.held_out.divergence,
            error=one.held_out.error,
            standard_mean_kld=one.standard.divergence,
            standard_error=one.standard.error,
        )
        for one in fits
        if one.better
    }
    return Section(
        text=fitted_recipe.text_name(name.rpartition("/")[2], content),
        chunks=wanted.chunks,
        context=options.context,
        groups="thirds of roles" if wanted.finer else "role",
        files=files,
    )
