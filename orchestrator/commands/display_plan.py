"""A plan for people: steps with hit or miss, exact sizes, fetches, disk and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from orchestrator.base import units
from orchestrator.base.step_values import JSON, Step
from orchestrator.base.terminal_colours import status
from orchestrator.base.text_table import table
from orchestrator.engine import step_kinds
from orchestrator.modelfiles.ggml_types import tensor_bytes
from orchestrator.planning.recipe_to_steps import union
from orchestrator.planning.resource_needs import Forecast, Moment
from orchestrator.runs import preflight
from orchestrator.runs.preflight import Preview
from orchestrator.runs.session import Session

_SHOWN = 3
# Of a file, in one tensor that has another type than asked for.
_LARGE_PART = 0.1


def as_text(previews: Sequence[Preview], session: Session, *, refused: bool = False) -> str:
    """All plans together: shared steps once; with one refused, not all is up to date."""
    moments = preflight.moments(previews, session)
    parts = [_steps(previews, moments, session)]
    parts += [_outputs(one) for one in previews]
    parts += [] if refused and not moments else [_needs(previews, moments)]
    return "\n\n".join(part for part in parts if part)


def _steps(previews: Sequence[Preview], moments: Sequence[Moment], session: Session) -> str:
    """Disk is the total at that step, so the column shows how it grows and shrinks."""
    costs = {moment.step.key: moment for moment in moments}
    rows = []
    steps = union([one.plan for one in previews])
    cached = session.known.cached([step.key for step in steps])
    for step in steps:
        moment = costs.get(step.key)
        fetch = step.resources.fetch_bytes
        rows.append(
            (
                status("to do" if moment else "in the cache" if step.key in cached else "hit"),
                step.label,
                f"{_about([step])}{units.size(fetch)}" if fetch and moment else "",
                units.size(moment.disk) if moment and moment.disk else "",
                units.size(moment.memory) if moment and moment.memory else "",
            )
        )
    return table(("", "Step", "Fetch", "Disk used", "Memory"), rows, right=(2, 3, 4))


def _about(steps: Sequence[Step]) -> str:
    """A mark where the sizes of what is fetched are those of tools: of other days or systems."""
    return "≈" if any(step_kinds.is_tool(one) for one in steps) else ""


def _outputs(one: Preview) -> str:
    forecast = one.forecast
    if not one.plan.forecast and not (forecast and forecast.full):
        return f"{one.plan.recipe.name}: sizes are known once the files are made."
    if forecast is None:
        return (
            f"{one.plan.recipe.name}: sizes are known once the tool chain is built "
            f"('orchestrate toolchain build {one.plan.chain.name}')."
        )
    about = "" if forecast.exact else "≈"
    told = {one.plan.full.name: forecast.full, **forecast.outputs}
    rows = []
    for output in (one.plan.full, *one.plan.outputs):
        entry = told.get(output.name, {})
        bits = entry.get("bits_per_weight")
        rows.append(
            (
                output.file,
                f"{about}{int(entry['size']):,}" if "size" in entry else "?",
                f"{about}{units.size(entry['size'])}" if "size" in entry else "?",
                f"{about}{bits:.2f}" if bits else "",
                _fallbacks(entry.get("fallbacks") or ()),
            )
        )
    shown = table(("File", "Bytes", "Size", "Bits/weight", "Fallbacks"), rows, right=(1, 2, 3))
    shown = "\n".join([shown, *_costly_fallbacks(one), *_unweighed(forecast)])
    if forecast.exact:
        return shown
    if not one.plan.forecast:
        return f"{shown}\nSizes marked ≈ are estimates."
    if one.plan.chain.pinned is not None:
        return f"{shown}\nSizes marked ≈ are estimates: the tools of this commit are not built yet."
    return (
        f"{shown}\nSizes marked ≈ are estimates: no tool chain is built yet. "
        f"'orchestrate toolchain build {one.plan.chain.name}' makes them exact."
    )


def _fallbacks(fallbacks: Sequence[dict[str, str]]) -> str:
    if not fallbacks:
        return ""
    names = ", ".join(one["tensor"] for one in fallbacks[:_SHOWN])
    more = ", …" if len(fallbacks) > _SHOWN else ""
    return f"{units.plural(len(fallbacks), 'tensor')}: {names}{more}"


def _unweighed(forecast: Forecast) -> Iterator[str]:
    """Files of which the importance matrix that others made does not reach all."""
    for name, entry in forecast.outputs.items():
        if found := entry.get("unweighed") or ():
            yield (
                f"{status('warning')}: {name}: the importance matrix has nothing for "
                f"{units.plural(len(found), 'tensor')}, such as {found[0]}: they are quantized "
                "without weighing."
            )


def _costly_fallbacks(one: Preview) -> Iterator[str]:
    """Files of which a tensor that fell back is a large part, and what helps."""
    if one.header is None or one.forecast is None:
        return
    shapes = {tensor.name: tensor.shape for tensor in one.header.tensors}
    for name, entry in one.forecast.outputs.items():
        found = entry.get("fallbacks") or ()
        sizes = [tensor_bytes(each["got"], shapes[each["tensor"]]) for each in found]
        most = max(sizes, default=0)
        if most > _LARGE_PART * entry["size"]:
            large = found[sizes.index(most)]
            yield (
                f"{status('warning')}: {name}: {large['tensor']} becomes {large['got']}, "
                f"{units.size(most)} of {units.size(entry['size'])}, since its rows do not fit "
                f"{large['wanted']}; 'orchestrate fit' searches for a better mix."
            )


def _needs(previews: Sequence[Preview], moments: Sequence[Moment]) -> str:
    if not moments:
        return status("Everything is up to date") + "."
    fetch = sum(m.step.resources.fetch_bytes for m in moments)
    about = _about([m.step for m in moments])
    disk = max(moments, key=lambda moment: moment.disk)
    memory = max(moments, key=lambda moment: moment.memory)
    lines = [f"To do: {units.plural(len(moments), 'step')}. Fetch: {about}{units.size(fetch)}."]
    if disk.disk:
        lines.append(f"Peak disk: {units.size(disk.disk)} at '{disk.step.label}'.")
    if memory.memory:
        lines.append(f"Peak memory: about {units.size(memory.memory)} at '{memory.step.label}'.")
    unpinned = {
        f"{one.plan.recipe.name}'s {what} follows {reference!r}"
        for one in previews
        for what, reference in one.plan.sources.unpinned.items()
    }
    lines += [f"{status('Unpinned')}: {text}." for text in sorted(unpinned)]
    lines += sorted(
        {said for one in previews for said in (one.plan.untried, one.plan.unable)} - {""}
    )
    return "\n".join(lines)


def as_value(one: Preview, session: Session) -> JSON:
    """One plan as JSON values."""
    moments = {moment.step.key: moment for moment in preflight.moments([one], session)}
    cached = session.known.cached([step.key for step in one.plan.steps])
    forecast = one.forecast
    return {
        "recipe": one.plan.recipe.name,
        "exact": bool(forecast and forecast.exact),
        "fetch_bytes": forecast.fetch_bytes if forecast else None,
        "full": dict(forecast.full) if forecast else None,
        "outputs": {name: dict(told) for name, told in forecast.outputs.items()}
        if forecast
        else {},
        "unpinned": one.plan.sources.unpinned,
        "untried": one.plan.untried,
        "unable": one.plan.unable,
        "variants": list(one.plan.chain.held or ()),
        "steps": [
            {
                "key": step.key,
                "kind": step.kind,
                "label": step.label,
                "hit": step.key not in moments,
                "cached": step.key in cached,
                "fetch_bytes": step.resources.fetch_bytes,
                "disk_bytes": moments[step.key].disk if step.key in moments else 0,
                "memory_bytes": step.resources.memory_bytes,
            }
            for step in one.plan.steps
        ],
    }
