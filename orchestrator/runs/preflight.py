"""What is known of a plan before it runs: sizes, room, and what the quantizer would refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from orchestrator.base import machine_info, units
from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, OrchestrateError, StepError
from orchestrator.base.process import isolation, warm_python
from orchestrator.base.step_values import JSON, Outcome, Step, StepResult
from orchestrator.engine import progress_listeners, step_kinds
from orchestrator.engine.artifact import Artifact
from orchestrator.engine.scheduler import needed
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.modelfiles.merging import lora as lora_merge
from orchestrator.modelfiles.merging.delta import expect_outlines_fit, expect_same_shapes
from orchestrator.modelfiles.merging.side_names import as_in_recipe
from orchestrator.planning import file_steps, resource_needs, rough_sizes, source_steps
from orchestrator.planning import recipe_to_steps as plan
from orchestrator.planning.recipe_to_steps import MODEL, Choices, Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.planning.resource_needs import Forecast, Moment
from orchestrator.runs import header_checks, source_census
from orchestrator.runs.session import Session
from orchestrator.toolchain.artifact_file_names import HEADER
from orchestrator.toolchain.quantizer_facts import refuse_fallbacks


@dataclass(frozen=True)
class Preview:
    """A plan with what is known before it runs: sizes, and the converted file's header.

    ``contradictions`` are what that says otherwise than the source's configs, ``census`` the
    facts of the step that counts the source's tensors, ``parts`` the headers of the parts that
    become files of their own, by name.
    """

    plan: Plan
    forecast: Forecast | None
    header: GGUF | None = None
    contradictions: Sequence[Mapping[str, JSON]] = ()
    census: Mapping[str, JSON] | None = None
    parts: Mapping[str, GGUF] = field(default_factory=dict)


class StepFailed(StepError):  # noqa: N818 - a failure of a step, with all that is known of it
    """A step that a preview needs failed by no fault of the machine."""

    def __init__(self, text: str, result: StepResult) -> None:
        super().__init__(text)
        self.result = result


def previews(
    plans: Sequence[Plan], session: Session, *, build: bool
) -> list[Preview | OrchestrateError]:
    """Foretell the sizes of plans, each for itself.

    Args:
        plans: The plans.
        session: Its runner makes what the forecasts need.
        build: Whether a tool chain may be built for it; otherwise estimates are given
            where none is there.

    Returns:
        For each plan its preview, or why its model cannot be made.
    """
    _warn_of_trust(plans, session)
    predictions = [key for one in plans for key in (one.forecast, one.census)]
    wanted = [*predictions, *(key for one in plans for key in one.targets)]
    session.known.ask_cache(plan.union(plans), wanted)
    targets = [key for one in plans for key in _predicting(one, session, build=build)]
    failed: dict[str, StepResult] = {}
    if targets:
        try:
            results = session.runner.run(
                plan.union(plans), list(dict.fromkeys(targets)), share=True
            )
        finally:
            warm_python.end_all()  # no converter's memory is held while files are made
        failed = {r.step.key: r for r in results if r.outcome is Outcome.FAILED}
    return [
        _adapter_misfit(one, session)
        or _obstacle(one, failed)
        or _misfit(one, session)
        or _preview(one, session)
        for one in plans
    ]


def _warn_of_trust(plans: Sequence[Plan], session: Session) -> None:
    """Say which models' own code is not cut off here from the network and the home folder."""
    trusting = [one.recipe.name for one in plans if file_steps.trusts_code(one.recipe.model)]
    if trusting and (reason := isolation.obstacle()):
        session.store.warn(
            f"the models' own code of {', '.join(trusting)} can read your files and use the "
            f"network: {reason}"
        )


def _predicting(one: Plan, session: Session, *, build: bool) -> list[str]:
    """Keys of what tells sizes: the prediction, or where tools lack what the sources hold."""
    tries = (one.forecast, one.census, one.rehearsal, *one.part_headers.values())
    told = [key for key in tries if key]
    own = [one.part_headers[name] for name in one.recipe.adapter_parts if name in one.part_headers]
    if not build and not _built(one, own, session):  # they wait for a tool that the others need not
        outlines = [one.step(key).inputs[MODEL] for key in own]
        told = [*(key for key in told if key not in own), *outlines]
    known = all(session.known.at_hand(key) is not None for key in told)
    if one.forecast and (build or known or _built(one, told, session)):
        return told
    if session.settings.offline:
        return []
    return [step.key for step in one.steps if step_kinds.is_description(step)]


def _built(one: Plan, told: Sequence[str], session: Session) -> bool:
    """Whether a forecast costs no build: the tools that it needs are there."""
    return not any(map(step_kinds.is_tool, needed(one.steps, told, session.known.find).values()))


def _obstacle(one: Plan, failed: Mapping[str, StepResult]) -> OrchestrateError | None:
    """The first step of a plan that failed, as an error with all that is known of it."""
    results = [failed[step.key] for step in one.steps if step.key in failed]
    return failure(results[0]) if results else None


def _misfit(one: Plan, session: Session) -> StepError | None:
    """Why what is merged does not fit, as far as configs and headers tell; no tool is needed."""
    sources, lora = one.sources, one.recipe.model.lora
    if sources.base is None:
        return None
    sides = [sources.base, *filter(None, [sources.delta]), *sources.adapters.values()]
    known = [_outline(one, side, session) for side in sides]
    found = [artifact.path for artifact in known if artifact is not None]
    if len(found) < max(len(sides), 2):  # a single file has its full one for a base
        return None
    names = map(source_steps.name, sides)
    try:
        with as_in_recipe(dict(zip(found, names, strict=True))):
            if lora:
                lora_merge.expect_outlines_fit(found[0], found[1:], [one.scale for one in lora])
            elif sources.delta is not None:
                expect_outlines_fit(*found)
            else:
                expect_same_shapes(found[0], found[1:])
    except StepError as error:
        return StepError(f"{one.recipe.name}: {error.message}", error.hint)
    return None


def _adapter_misfit(one: Plan, session: Session) -> StepError | None:
    """Why an adapter cannot be a file of its own for the recipe's model, as far as headers tell."""
    base = one.sources.shaped
    for name in one.recipe.adapter_parts:
        assert base is not None  # the plan refuses others
        sides = (base, one.sources.corpora[f"adapter {name}"])
        found = [known.path for side in sides if (known := _outline(one, side, session))]
        if len(found) < len(sides):
            continue
        try:
            with as_in_recipe(dict(zip(found, map(source_steps.name, sides), strict=True))):
                lora_merge.expect_outlines_fit(found[0], found[1:], [1.0])
                lora_merge.expect_own_file(found[1])
        except StepError as error:
            return StepError(f"{one.recipe.name}: {error.message}", error.hint)
    return None


def _outline(one: Plan, source: Resolved, session: Session) -> Artifact | None:
    """What is known of a source before its weights are fetched."""
    steps = filter(step_kinds.is_description, one.steps)
    keys = [step.key for step in steps if step.params.get("source") == dict(source.identity)]
    return session.known.find(keys[0]) if keys else None


def succeeded(results: Sequence[StepResult]) -> dict[str, StepResult]:
    """Results by key of their steps.

    Raises:
        OrchestrateError: One of the steps failed: the first's error, as :func:`failure` has it.
    """
    for one in results:
        if one.outcome is Outcome.FAILED:
            raise failure(one)
    return {one.step.key: one for one in results}


def failure(result: StepResult) -> OrchestrateError:
    """A failed step's own error with its label before and the end of its log after it."""
    cause, text = result.cause, progress_listeners.failures([result])[0]
    if isinstance(cause, NetworkProblem):
        return NetworkProblem(text, wait=cause.wait)
    if isinstance(cause, EnvironmentProblem):
        return EnvironmentProblem(text)
    return StepFailed(text, result)


def _preview(one: Plan, session: Session) -> Preview:
    artifact = session.known.find(one.forecast) if one.forecast else None
    fetched = _fetched(one, session)
    if artifact is None:
        forecast = rough_sizes.estimate(one, fetched, partial(_facts, session))
    else:
        facts = artifact.manifest["facts"]
        parts = {name: _facts(session, one.step(key)) for name, key in one.part_headers.items()}
        outputs = facts["outputs"] | {name: told for name, told in parts.items() if told}
        forecast = Forecast(facts["full"], outputs, fetched)
    plan_ = resource_needs.with_sizes(one, forecast) if forecast else one
    counted = session.known.find(one.census) if one.census else None
    census = counted.manifest["facts"] if counted else None
    key = one.step(one.forecast).inputs["header"] if one.forecast else ""
    known = session.known.find(key) if key else None
    if known is None:
        return Preview(plan_, forecast, census=census)
    header = gguf.read(known.path / HEADER, partial=True)
    contradictions = known.manifest["facts"].get("contradictions", ())
    made = {name: session.known.find(key) for name, key in one.part_headers.items()}
    heads = {name: gguf.read(it.path / HEADER, partial=True) for name, it in made.items() if it}
    return Preview(plan_, forecast, header, contradictions, census, heads)


def _facts(session: Session, step: Step) -> Mapping[str, object] | None:
    artifact = session.known.find(step.key)
    return None if artifact is None else artifact.manifest["facts"]


def _fetched(one: Plan, session: Session) -> list[tuple[Mapping[str, JSON], int]]:
    """The bytes of each source that is described, by its identity."""
    described = filter(step_kinds.is_description, one.steps)
    told = [(step, _facts(session, step) or {}) for step in described]
    return [
        (step.params["source"], int(str(facts["fetch_bytes"])))
        for step, facts in told
        if "fetch_bytes" in facts
    ]


def check_outputs(preview: Preview, choices: Choices) -> None:
    """Refuse before work what could not be loaded or measured, and what the quantizer refuses.

    Raises:
        StepError: The model contradicts itself, tensors would fall back, or an importance
            matrix is missing; of all files at once.
        UsageError: The recipe does not fit the model.
    """
    if preview.header is not None:
        wrong = header_checks.objection(
            preview.plan, preview.header, choices, preview.contradictions, preview.parts
        )
        if wrong is not None:
            raise wrong
    if preview.census is not None:
        lost = source_census.objection(preview.plan, preview.census)
        if lost is not None:
            raise lost
    forecast = preview.forecast
    found = list(_quantizer_objections(preview.plan, forecast)) if forecast else []
    if found:
        hints = dict.fromkeys(error.hint for error in found)
        raise StepError("; ".join(error.message for error in found), " ".join(hints))


def _quantizer_objections(plan: Plan, forecast: Forecast) -> Iterator[StepError]:
    """What the quantizer would refuse, or do silently, file by file."""
    for output in plan.outputs:
        predicted = forecast.outputs.get(output.name, {})
        quant = output.quant
        if quant is None or not predicted:
            continue
        label = f"{plan.recipe.name} {output.name}"
        try:
            refuse_fallbacks(label, predicted.get("fallbacks", ()), quant.allow_fallback)
        except StepError as error:
            yield error
        if predicted.get("needs_imatrix") and not quant.imatrix:
            yield StepError(
                f"{label}: this type needs an importance matrix",
                "Add 'imatrix: {corpus: TEXT}' or 'imatrix: {file: MATRIX}' to the recipe and "
                "'imatrix: true' to the type.",
            )


def moments(previews: Sequence[Preview], session: Session) -> list[Moment]:
    """Disk and memory of everything that is to run, step by step."""
    steps = plan.union([one.plan for one in previews])
    hits = _hits(steps, previews, session)
    settings = session.settings
    return resource_needs.timeline(steps, hits, settings.keep, settings.keep_logits)


def _hits(steps: Sequence[Step], previews: Sequence[Preview], session: Session) -> set[str]:
    targets = [key for one in previews for key in one.plan.targets]
    work = needed(steps, targets, session.known.at_hand)
    return {step.key for step in steps if step.key not in work}


def check_room(previews: Sequence[Preview], session: Session, out: Path) -> None:
    """Say no before starting when disk or memory is short.

    Raises:
        EnvironmentProblem: With the numbers of the step that needs most, and what helps.
    """
    times = moments(previews, session)
    if not times:
        return
    peak = max(times, key=lambda moment: moment.disk)
    free = machine_info.disk_free(session.store.root)
    # Workers with stores of their own make it there; what is asked for comes here.
    apart = session.cluster is not None and session.cluster.apart
    if peak.disk > free and not apart:
        raise EnvironmentProblem(
            f"{units.size(peak.disk)} of disk are needed at the peak ('{peak.step.label}'), "
            f"{units.size(free)} are free at {session.store.root}",
            _disk_advice(previews, session, free),
        )
    hungry = max(times, key=lambda moment: moment.memory)
    memory = machine_info.memory_total()
    # A cluster's workers have their own, and say so before work too.
    if memory and hungry.memory > memory and session.cluster is None:
        raise EnvironmentProblem(
            f"'{hungry.step.label}' needs about {units.size(hungry.memory)} of memory, "
            f"this machine has {units.size(memory)}",
            "Use a machine with more memory, a smaller context, or --no-verify for a file "
            "that is only made here.",
        )
    _check_out(previews, session, out, apart=apart)


def _disk_advice(previews: Sequence[Preview], session: Session, free: int) -> str:
    """Whether ``--keep final`` would be enough."""
    lean = replace(session, settings=replace(session.settings, keep="final"))
    least = max((moment.disk for moment in moments(previews, lean)), default=0)
    elsewhere = "set ORCHESTRATE_HOME to a larger disk"
    if least <= free:
        return f"'--keep final' needs {units.size(least)}; or {elsewhere}."
    return f"Free some space ('orchestrate store gc'), or {elsewhere}."


def _check_out(previews: Sequence[Preview], session: Session, out: Path, *, apart: bool) -> None:
    """On another disk than the store's, the outputs are copied; those of others come anew."""
    folder = machine_info.existing(out)
    same = folder.stat().st_dev == machine_info.existing(session.store.root).stat().st_dev
    if same and not apart:
        return
    forecasts = [one.forecast for one in previews if one.forecast]
    size = sum(
        int(predicted.get("size", 0)) for one in forecasts for predicted in one.outputs.values()
    )
    free = machine_info.disk_free(folder)
    if size > free:
        raise EnvironmentProblem(
            f"{units.size(size)} of outputs do not fit in {out} ({units.size(free)} free)",
            "Choose another --out; on the store's own disk outputs need no extra space.",
        )
