"""What a plan made, read back from the store: judged, reported, published to a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Artifact
from orchestrator.engine.digest_cache import Digests
from orchestrator.engine.known_artifacts import KnownArtifacts
from orchestrator.engine.step_kinds import Brings
from orchestrator.history.site import report_page
from orchestrator.measures import further_texts, registry, timing
from orchestrator.measures.check_status import Check, Status
from orchestrator.measures.expectation import Earlier, Expectation, Facts, Reference
from orchestrator.measures.timing import Taken
from orchestrator.planning.recipe_to_steps import Output, Plan
from orchestrator.recipe import without_checksums
from orchestrator.recipe.fit_section import Against
from orchestrator.runs import (
    header_checks,
    judge_measures,
    output_folder,
    report,
    source_census,
    step_notes,
    tools_at_hand,
)
from orchestrator.runs.report import Report, Row
from orchestrator.runs.small_text import Text


@dataclass(frozen=True)
class Result:
    """One plan's report and where its files lie in the store."""

    plan: Plan
    report: Report
    files: Mapping[str, output_folder.Wanted]
    manifests: Mapping[str, Mapping[str, JSON]]

    @cached_property
    def described(self) -> Mapping[str, JSON]:
        """The report as JSON values."""
        return report.as_json(self.report)


def collect(
    plan: Plan,
    known: KnownArtifacts,
    *,
    strict: bool = True,
    earlier: Mapping[str, JSON] | None = None,
    perplexity: Earlier | None = None,
) -> Result:
    """Judge every file of a plan that is in the store.

    Args:
        plan: The plan.
        known: Where its artifacts are.
        strict: False for stand-in models: limits are reported as off.
        earlier: The report of an earlier run, for how released steps were made.
        perplexity: What an earlier run found of the full file.
    """
    wanted = (plan.full, *plan.outputs)
    whole = {output.step: known.find(output.step) for output in wanted}
    found = {step.key: known.find(step.key, quick=True) for step in plan.steps}
    manifests = {key: one.manifest for key, one in found.items() if one is not None}
    manifests |= _given_back(plan, known, manifests)
    rows: list[Row] = []
    files: dict[str, output_folder.Wanted] = {}
    for output in wanted:
        made = whole[output.step]
        if made is not None and output is not plan.full:
            files[output.file] = output_folder.Wanted(
                made.path / output.artifact_file, _sha256(made, output)
            )
        row = _row(plan, output, made, manifests, strict=strict, earlier=perplexity)
        if row is not None:
            rows.append(row)
    described = Report(
        name=plan.recipe.name,
        description=plan.recipe.description,
        rows=tuple(rows),
        pins=_pins(plan, manifests),
        steps=report.made_steps(plan.steps, manifests, earlier),
        notes=tuple(_notes(plan, strict, tools_at_hand.sentence(plan.chain, plan.steps, known))),
        full_name=plan.full.name,
        missing=tuple(output.file for output in plan.outputs if whole[output.step] is None),
        warnings=step_notes.of(plan.steps, manifests),
        source=source_census.told(
            plan, manifests.get(plan.census, {}).get("facts"), _of_adapters(plan, manifests)
        ),
    )
    return Result(plan, described, files, manifests)


def _of_adapters(plan: Plan, manifests: Mapping[str, Mapping[str, JSON]]) -> dict[str, int]:
    """How many tensors the adapters have that are files of their own."""
    tried = {name: plan.part_headers.get(name, "") for name in plan.recipe.adapter_parts}
    return {n: manifests[key]["facts"]["tensors"] for n, key in tried.items() if key in manifests}


def _given_back(
    plan: Plan, known: KnownArtifacts, there: Collection[str]
) -> dict[str, Mapping[str, JSON]]:
    """How files were made that are gone, or never were here; numbers that are gone are not told."""
    gone = [one.key for one in plan.steps if one.key not in there and not step_kinds.measures(one)]
    recalled = {key: known.recall(key) for key in gone}
    return {key: told for key, told in recalled.items() if told is not None}


def _sha256(made: Artifact, output: Output) -> str:
    return str(made.manifest["files"][output.artifact_file]["sha256"])


def _row(
    plan: Plan,
    output: Output,
    made: Artifact | None,
    manifests: Mapping[str, Mapping[str, JSON]],
    *,
    strict: bool,
    earlier: Earlier | None,
) -> Row | None:
    """What is known of one file; None for the full one where nothing was measured on it."""
    facts = _facts(output, manifests)
    if "header" not in facts:
        return _unmeasured(output, made, strict) if output is not plan.full else None
    # The full file need not be there: what is told of it is what others were made of.
    told_of = made.manifest if made is not None else None
    if output is plan.full:
        told_of = told_of or manifests.get(output.step)
    sha256 = str(told_of["files"][output.artifact_file]["sha256"]) if told_of else ""
    told = (manifests.get(output.base) or told_of or {"facts": {}})["facts"]
    full = _facts(plan.full, manifests) if output is not plan.full else {}
    wanted = _expectation(plan, output, sha256, full, told, strict=strict)
    wanted = replace(wanted, failed=_failed(output, facts))
    if output is plan.full:
        own = header_checks.not_overridden(plan, told.get("contradictions", ()))
        wanted = replace(wanted, is_full=True, earlier=earlier, contradictions=own)
    checks = judge_measures.judge(facts, wanted)
    return Row(
        file=_shown_name(plan, output),
        type=output.name,
        sha256=sha256,
        status=judge_measures.verdict(checks),
        checks=checks,
        numbers=judge_measures.numbers(facts, wanted),
        taken=dict(_taken(output, manifests)),
    )


def _taken(
    output: Output, manifests: Mapping[str, Mapping[str, JSON]]
) -> Iterator[tuple[str, Taken]]:
    """When and where the numbers of the machine were taken, by measure."""
    for one in timing.timed():
        keys = [output.measures.get(name, "") for name in (one.name, one.found_with)]
        made = next((manifests[key] for key in keys if key in manifests), None)
        if made is not None:
            where = dict(made.get("machine", {}))
            told = {"machine": where.pop("id"), **where} if where else {}
            yield one.name, {"date": made["created"], **told}


def _facts(output: Output, manifests: Mapping[str, Mapping[str, JSON]]) -> Facts:
    """What was measured on a file, by measure; nothing where its tensors are not the full one's."""
    found = {name: manifests.get(key) for name, key in output.measures.items()}
    return {
        name: {key: value for key, value in made["facts"].items() if key != "calls"}
        for name, made in found.items()
        if made is not None
    }


def _failed(output: Output, facts: Facts) -> frozenset[str]:
    """Measures that were to be taken and are not there, with those that they cover."""
    failed = {name for name in output.measures if name not in facts}
    covered = {
        one.name
        for one in registry.measures(further_texts.of(failed))
        if one.work is not None and one.work.covered_by in failed
    }
    return frozenset(failed | (covered - output.measures.keys()))


def _shown_name(plan: Plan, output: Output) -> str:
    """The file in the folder; the full file stays in the store and has none there."""
    return output.file if output is not plan.full else f"{output.name}, for comparison"


def _unmeasured(output: Output, made: Artifact | None, strict: bool) -> Row | None:
    """A file that was made and not measured: its size and digest.

    It is not judged where nothing was to be measured; else it has failed.
    """
    if made is None:
        return None
    sha256 = _sha256(made, output)
    size = int(made.manifest["files"][output.artifact_file]["size"])
    bits = made.manifest["facts"].get("bits_per_weight")
    told = {"bits_per_weight": float(bits)} if bits else {}
    checks = [Check("header", Status.FAIL, "it could not be measured")] * bool(output.measures)
    checks += judge_measures.values(made.manifest["facts"].get("constant", ()), strict=strict)
    status = judge_measures.verdict(checks)
    numbers = {"header": {"size": size, **told}}
    return Row(output.file, output.name, sha256, status, tuple(checks), numbers)


def _expectation(
    plan: Plan,
    output: Output,
    sha256: str,
    full: Facts,
    made: Mapping[str, Any],
    *,
    strict: bool,
) -> Expectation:
    verify, quant = plan.recipe.verify, output.quant
    limits = plan.recipe.limits_for(quant).model_dump(exclude_none=True) if quant else {}
    text_limits = limits.pop("texts", {})
    return Expectation(
        limits=limits,
        text_limits=text_limits,
        asked=verify.sections,
        lacking=output.lacking,
        allow_fallback=quant.allow_fallback if quant else True,
        fallbacks=made.get("fallbacks", ()) if quant else (),
        constant=made.get("constant", ()),
        mix=plan.chain.types[quant.type].mix if quant else (),
        sha256=sha256,
        expected_sha256=_stated(verify.sha256, output),
        reference=_reference(plan, output),
        full_name=plan.full.name,
        full=full,
        is_part=bool(output.part),
        strict=strict,
    )


def _stated(values: Mapping[str, Any], output: Output) -> Any:
    """A value that the recipe states by file name, output name or type, in any case."""
    names = {output.file.casefold(), output.name.casefold()}
    if output.quant is not None and output.quant.name == output.quant.type:
        names.add(output.quant.type.casefold())
    return next((value for name, value in values.items() if name.casefold() in names), "")


def _reference(plan: Plan, output: Output) -> Reference | None:
    published = plan.recipe.verify.reference
    if published is None:
        return None
    keys = [number.key for _, number in registry.numbers() if number.tolerance is not None]
    stated = {key: _stated(getattr(published, key), output) for key in keys}
    return Reference(
        source=str(published.source),
        numbers={name: value for name, value in stated.items() if value},
        context=published.context,
        chunks=published.chunks,
    )


def _pins(plan: Plan, manifests: Mapping[str, Mapping[str, JSON]]) -> dict[str, str]:
    """What was used, each with its exact version."""
    pins = {
        "tool chain": f"{plan.chain.name} {plan.sources.commit}",
        "recipe": f"{plan.recipe.file.name} (SHA-256 {plan.recipe.digest})",
    }
    for step in plan.steps:
        made = manifests.get(step.key)
        if made is None:
            continue
        brings = step_kinds.of(step).brings
        if brings is Brings.UPSTREAM:
            pins |= _tools(step, made["facts"])
            pins["source of the tool chain"] = str(made["facts"]["origin"])
        if brings is Brings.FILES:
            pins[step.label.removeprefix("fetch ")] = _identity(step.params["source"])
    return pins


def _tools(step: Step, facts: Mapping[str, JSON]) -> dict[str, str]:
    """How the tools were built, or which ones they are."""
    if "tools" not in step.params:
        return {"build options": " ".join(facts["options"])}
    files = step.params["tools"].items()
    return {"installed tools": ", ".join(f"{name} {digest[:12]}…" for name, digest in files)}


def _identity(source: Mapping[str, JSON]) -> str:
    if source["kind"] == "hub":
        folder = f"{source['subfolder']} of " if source.get("subfolder") else ""
        return f"{folder}{source['repo']} at {source['commit']}"
    if source["kind"] == "path":
        return ", ".join(f"{name} {digest[:12]}…" for name, digest in source["files"].items())
    return f"{source.get('package', source.get('name'))} SHA-256 {source['sha256']}"


def _notes(plan: Plan, strict: bool, tools_said: str = "") -> list[str]:
    unpinned = plan.sources.unpinned
    moved = [
        f"The {what} was named by {reference!r}, which can move; it was resolved for this run."
        for what, reference in unpinned.items()
    ]
    moved += [plan.untried] if plan.untried else []
    moved += [plan.recipe.header.sentence] if plan.recipe.header else []
    moved += [tools_said] if tools_said else []
    moved += [f"{name}: {found.sentence}." for name, found in _searched(plan).items()]
    return moved if strict else [*moved, without_checksums.NOTE]


def _searched(plan: Plan) -> Mapping[str, Against]:
    """What the recipe says of the files that a search found, by name."""
    fit, made = plan.recipe.fit, {output.name for output in plan.outputs}
    return {name: found for name, found in fit.files.items() if name in made} if fit else {}


def write(
    result: Result,
    folder: Path,
    digests: Digests,
    texts: Mapping[str, Text] | None = None,
    earlier: Mapping[str, JSON] | None = None,
) -> output_folder.Published:
    """Bring the folder of one recipe up to date; files of other types stay.

    ``digests`` knows files' contents.
    ``texts`` are small files by name to put beside the others, such as provenance.
    ``earlier`` is the report that is there, for whoever has read it.
    """
    return output_folder.publish_files(
        folder,
        result.files,
        result.described,
        lambda: report.markdown(result.report),
        list(_kept(result, folder, texts or {})),
        digests=digests,
        texts=texts,
        page=lambda: report_page(result.described),
        earlier=earlier,
    )


def _kept(result: Result, folder: Path, texts: Mapping[str, Text]) -> Iterator[str]:
    """Names from earlier runs that stay: of other types, and signatures that still hold."""
    plan, recipe = result.plan, result.plan.recipe
    stems = [f"{recipe.name}-{quant.name}" for quant in recipe.quantize]
    for stem in (*stems, *map(recipe.part_name, recipe.parts)):
        file = f"{stem}{plan.chain.extension}"
        told, signed = (file + suffix for suffix in output_folder.BESIDE)
        if file not in result.files:
            yield from (file, told, signed)
        elif (folder / signed).exists() and _says(folder / told, texts.get(told)):
            yield signed


def _says(path: Path, text: Text | None) -> bool:
    return text is not None and path.is_file() and path.read_bytes() == text.make().encode("utf-8")
