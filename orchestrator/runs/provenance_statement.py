"""Where a file comes from, as an in-toto statement with a SLSA provenance predicate; pure.

The formats are those of in-toto's Statement v1 and SLSA's Provenance v1. A statement depends
on what was used and done alone: no times, hosts, users, folders or numbers of threads, so
whoever makes the file again gets the same statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestrator import __version__
from orchestrator.base.safe_text import without_credentials
from orchestrator.base.step_values import JSON, Step
from orchestrator.engine import step_kinds
from orchestrator.engine.step_kinds import Brings
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.lockfile_packages import normalized
from orchestrator.planning.plan import Output, Plan
from orchestrator.runs.output_folder import BESIDE
from orchestrator.sources import gguf_source
from orchestrator.sources.hub.wanted_files import folder_of
from orchestrator.toolchain.load import data_digest

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
PAYLOAD = "application/vnd.in-toto+json"
BUILDER = "pkg:pypi/orchestrate-gguf"
BUILD_TYPE = f"{BUILDER}#recipe/v1"
SUFFIX, SIGNED_SUFFIX = BESIDE

_HUB = "https://huggingface.co"

Manifests = Mapping[str, Mapping[str, JSON]]
Described = dict[str, JSON]


@dataclass(frozen=True)
class Pins:
    """The lock beside a recipe: its digest and what it pins; empty without one."""

    sha256: str = ""
    lock: Lock | None = field(default=None)


def statement(
    plan: Plan, output: Output, sha256: str, manifests: Manifests, pins: Pins
) -> Described:
    """The statement about one file.

    Args:
        plan: The plan that made it.
        output: The file.
        sha256: Its digest.
        manifests: How each step of the plan was done, by key; released ones too.
        pins: The recipe's lock.
    """
    steps = _ancestors(plan, output)
    return {
        "_type": STATEMENT,
        "subject": [{"name": output.file, "digest": {"sha256": sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(plan, output, pins),
                "internalParameters": _internal(plan, steps, manifests),
                "resolvedDependencies": list(_dependencies(plan, steps, manifests, pins)),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"orchestrate": __version__}},
                "metadata": {"invocationId": output.step},
                "byproducts": list(_byproducts(steps, output, manifests)),
            },
        },
    }


def text(content: Described) -> str:
    """A statement as it is published: always the same spelling."""
    spelled = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return without_credentials(spelled)


def _ancestors(plan: Plan, output: Output) -> list[Step]:
    """The steps whose results are in the file, in the plan's order."""
    steps = {step.key: step for step in plan.steps}
    wanted: set[str] = set()
    pending = [output.step]
    while pending:
        key = pending.pop()
        if key not in wanted:
            wanted.add(key)
            pending += steps[key].inputs.values()
    return [step for step in plan.steps if step.key in wanted]


def _external(plan: Plan, output: Output, pins: Pins) -> Described:
    recipe: Described = {"name": plan.recipe.name, "digest": {"sha256": plan.recipe.digest}}
    found: Described = {"recipe": recipe, "output": output.name}
    return {**found, "lock": {"digest": {"sha256": pins.sha256}}} if pins.sha256 else found


# -- internal parameters: how it was done ----------------------------------------------------


def _internal(plan: Plan, steps: Sequence[Step], manifests: Manifests) -> Described:
    build = step_kinds.bringing(steps, Brings.UPSTREAM)
    assert build is not None, "every plan builds its tools"
    return {
        "toolchain": {"name": plan.chain.name, "dataSha256": data_digest(plan.chain)},
        "build": _build(plan, build),
        "steps": [_step(step, manifests.get(step.key, {})) for step in steps if _done_here(step)],
    }


def _done_here(step: Step) -> bool:
    """Whether a step is work of this project, not a dependency that it brings from outside."""
    return step_kinds.of(step).brings is None


def _build(plan: Plan, step: Step) -> Described:
    options = tuple(step.params["options"])
    platform, machine = step.params["system"]
    build = plan.chain.build
    for profile in build.profile_names:
        for backend in build.backend_names:
            if build.arguments(profile, backend, platform, machine) == options:
                return {"profile": profile, "backend": backend, "options": list(options)}
    return {"options": list(options)}


def _step(step: Step, manifest: Mapping[str, JSON]) -> Described:
    described: Described = {
        "key": step.key,
        "kind": step.kind,
        "inputs": dict(step.inputs),
        "parameters": {name: value for name, value in step.params.items() if name != "argv"},
        "outputs": _digests(manifest),
    }
    calls = manifest.get("facts", {}).get("calls", ())
    return {**described, "argv": [_command(call) for call in calls]}


def _command(call: Mapping[str, JSON]) -> list[str]:
    """A command without what depends on the machine; older artifacts do not say what does."""
    return list(call.get("portable", call["argv"]))


def _digests(manifest: Mapping[str, JSON]) -> dict[str, str]:
    files = manifest.get("files", {})
    return {name: one["sha256"] for name, one in sorted(files.items()) if "sha256" in one}


def _byproducts(steps: Sequence[Step], output: Output, manifests: Manifests) -> Iterator[Described]:
    """Files between the sources and the result: merged, converted, importance matrix."""
    for step in steps:
        if not _done_here(step) or step.key == output.step:
            continue
        for name, sha256 in _digests(manifests.get(step.key, {})).items():
            yield {
                "name": name,
                "digest": {"sha256": sha256},
                "annotations": {"step": step.key, "kind": step.kind},
            }


# -- dependencies: what was used -------------------------------------------------------------


def _dependencies(
    plan: Plan, steps: Sequence[Step], manifests: Manifests, pins: Pins
) -> Iterator[Described]:
    parts = {key: name for step in steps for name, key in step.inputs.items()}
    for step in steps:
        manifest = manifests.get(step.key, {})
        brings = step_kinds.of(step).brings
        if brings is Brings.UPSTREAM:
            yield _upstream(plan, step)
        elif brings is Brings.PACKAGES:
            yield from _packages(manifest, pins)
        elif brings is Brings.FILES:
            yield from _fetched(step, parts[step.key], manifest)


def _upstream(plan: Plan, step: Step) -> Described:
    commit = str(step.params["commit"])
    return {
        "name": plan.chain.name,
        "uri": f"git+{plan.chain.source.git}@{commit}",
        "digest": {"gitCommit": commit},
        "annotations": {"part": "toolchain", "step": step.key, **_installed(step)},
    }


def _installed(step: Step) -> Described:
    """The files of installed tools by SHA-256: what of them was built of that commit."""
    return {"tools": dict(step.params["tools"])} if "tools" in step.params else {}


def _packages(manifest: Mapping[str, JSON], pins: Pins) -> Iterator[Described]:
    """The Python packages of the converters; a release has several files, so many digests."""
    python = pins.lock.python if pins.lock else None
    locked = {normalized(name): one for name, one in python.packages.items()} if python else {}
    for line in manifest.get("facts", {}).get("packages", ()):
        name, _, version = line.partition("==")
        if name == "pip":  # it installs the others, and comes with the machine's Python
            continue
        known = locked.get(normalized(name))
        hashes = list(known.sha256) if known and known.version == version else []
        yield {
            "name": name,
            "uri": f"pkg:pypi/{normalized(name)}@{version}",
            "annotations": {"part": "environment", **({"sha256": hashes} if hashes else {})},
        }


def _fetched(step: Step, part: str, manifest: Mapping[str, JSON]) -> Iterator[Described]:
    source = step.params["source"]
    stated = source["files"] if source["kind"] == "path" and not source.get("member") else {}
    for name, sha256 in (_digests(manifest) or dict(sorted(stated.items()))).items():
        described: Described = {"name": name, "digest": {"sha256": sha256}}
        uri = _uri(step, name)
        yield {
            **described,
            **({"uri": uri} if uri else {}),
            "annotations": {"part": part, "step": step.key},
        }


def _uri(step: Step, name: str) -> str:
    """Where everybody can get a file; none for those of a local folder."""
    source = step.params["source"]
    if source["kind"] == "hub":
        kind = "" if source["repo_type"] == "model" else f"{source['repo_type']}s/"
        path = source["file"] if source.get("member") else folder_of(source) + name
        return f"{_HUB}/{kind}{source['repo']}/resolve/{source['commit']}/{path}"
    if source["kind"] == "pypi":
        package = f"pkg:pypi/{normalized(source['package'])}@{source['version']}"
        return f"{package}#{PurePosixPath(source['file']).with_name(name)}"
    if source["kind"] != "url":
        return ""
    own = name if name in source.get("files", {}) else source["name"]
    return str(gguf_source.part(source, step.context, own)[1].get("url", ""))
