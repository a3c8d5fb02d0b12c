"""What the header of the file to be quantized shows before a weight is fetched; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.base.errors import OrchestrateError, StepError, UsageError
from orchestrator.base.near_match import near
from orchestrator.base.step_values import JSON
from orchestrator.measures import registry
from orchestrator.modelfiles import header_consistency
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.planning.plan import Choices, Plan
from orchestrator.toolchain import tensor_patterns
from orchestrator.toolchain.families import Families
from orchestrator.toolchain.families import load as families_of

_DIMENSIONS = 2


def not_overridden(
    plan: Plan, contradictions: Sequence[Mapping[str, JSON]]
) -> list[Mapping[str, JSON]]:
    """Contradictions between a converted file and its source whose keys no type overrides."""
    known = {key for one in plan.recipe.quantize for key in one.override_kv}
    known |= {*plan.recipe.header.keys} if plan.recipe.header is not None else set()
    return [one for one in contradictions if one["key"] not in known]


def objection(
    plan: Plan,
    header: GGUF,
    choices: Choices,
    contradictions: Sequence[Mapping[str, JSON]] = (),
    parts: Mapping[str, GGUF] | None = None,
) -> OrchestrateError | None:
    """Why a plan cannot give what its recipe asks for, or None.

    Args:
        plan: The plan.
        header: That of the file to be quantized.
        choices: What the command line adds.
        contradictions: What that header says otherwise than the source's configs.
        parts: The headers of the parts that become files of their own, by name.

    Returns:
        StepError for a model that contradicts itself, UsageError for a recipe that does not
        fit its model; with every reason.
    """
    name = plan.recipe.name
    damaged = header_consistency.problems(header)
    if damaged:
        return StepError(
            f"{name}: the model contradicts itself, and no program could load it: "
            f"{'; '.join(damaged)}",
            "Its config.json, its weights and its tokenizer must come from one checkpoint.",
        )
    converted = [one for one in not_overridden(plan, contradictions) if one["wrong"]]
    if converted and not choices.stand_in:
        return StepError(
            f"{name}: {'; '.join(str(one['said']) for one in converted)}",
            "Use a copy of the model whose configs agree; or accept it by saying on a type what "
            f"is right, as in 'override_kv: {{{converted[0]['key']}: ...}}'.",
        )
    wrong = [
        *_silent(plan, header, choices),
        *_contexts(plan, header, choices),
        *_rules(plan, header),
        *_senses(plan, parts or {}, choices),
    ]
    if not wrong:
        return None
    hints = dict.fromkeys(hint for _, hint in wrong)
    return UsageError(f"{name}: {'; '.join(text for text, _ in wrong)}", " ".join(hints))


def _silent(plan: Plan, header: GGUF, choices: Choices) -> Iterator[tuple[str, str]]:
    recipe = plan.recipe
    families = families_of(plan.chain.folder)
    own = families.of_gguf(str(header.metadata.get("general.architecture")))
    if not {recipe.family, own} & set(families.silent):
        return
    verify = recipe.verify
    asked = {
        "verify.smoke": choices.verify and verify.smoke is not None,
        "verify.perplexity": choices.verify and verify.perplexity is not None,
        "verify.reference_logits": choices.verify and verify.reference_logits,
        "imatrix": (used := recipe.used_imatrix) is not None and used.corpus is not None,
    }
    named = [key for key, is_asked in asked.items() if is_asked]
    if named:
        yield (
            f"models of this architecture continue no text, which {' and '.join(named)} "
            f"{'asks' if len(named) == 1 else 'ask'} for",
            f"Remove {' and '.join(named)}; {_instead({recipe.family, own}, families)}",
        )


def _instead(names: set[str], families: Families) -> str:
    if names & set(families.encoders):
        return "embeddings are measured instead, unless 'verify' says 'embedding: false'."
    return "sizes, tensors and types are checked all the same."


def _contexts(plan: Plan, header: GGUF, choices: Choices) -> Iterator[tuple[str, str]]:
    """Measuring contexts that are longer than the model's own."""
    length = header_consistency.context_length(header)
    if not length:
        return
    for key, asked in _asked_contexts(plan, header, choices):
        if asked > length:
            yield (
                f"{key} is {asked}, the model has {length} positions",
                f"Say at most {length} there.",
            )


def _asked_contexts(plan: Plan, header: GGUF, choices: Choices) -> Iterator[tuple[str, int]]:
    recipe, verify = plan.recipe, plan.recipe.verify
    if (used := recipe.used_imatrix) is not None and used.corpus is not None:
        yield "imatrix.context", used.context
    if not choices.verify:
        return
    if verify.perplexity is not None:
        yield "verify.perplexity.context", verify.perplexity.context
    # Models that compute positions can be timed beyond those that they have learned.
    if verify.speed is not None and header_consistency.has_learned_positions(header):
        yield "verify.speed.prompt", verify.speed.prompt
        yield "verify.speed.generate", verify.speed.generate


def _senses(plan: Plan, parts: Mapping[str, GGUF], choices: Choices) -> Iterator[tuple[str, str]]:
    """Measures that show a part of the model what it does not take."""
    for name in plan.recipe.verify.sections if choices.verify else ():
        section = registry.sections()[name]
        header = parts.get(section.part)
        if section.part_has and header and not header.metadata.get(section.part_has):
            yield (
                f"'verify.{name}' needs a model whose {section.part} has {section.part_has}, and "
                "this one's has not",
                f"Remove {name!r} from 'verify'.",
            )


def _rules(plan: Plan, header: GGUF) -> Iterator[tuple[str, str]]:
    """Patterns for tensor types that change nothing."""
    # The quantizer never looks at vectors.
    names = [one.name for one in header.tensors if len(one.shape) >= _DIMENSIONS]
    for output in plan.outputs:
        patterns = output.quant.tensor_types if output.quant is not None else {}
        for pattern, hiding in tensor_patterns.without_effect(patterns, names):
            what = f"tensor_types of {output.name}: {pattern!r}"
            if hiding:
                yield (
                    f"{what} decides about no tensor, since {hiding!r} before it matches them",
                    "The first pattern that matches a tensor decides: put the narrower one first.",
                )
            else:
                close = near(tensor_patterns.plain(pattern), map(tensor_patterns.plain, names))
                yield (
                    f"{what} matches no matrix of the model{close}",
                    "Patterns are searched in names such as blk.0.attn_v.weight.",
                )
