"""The steps that make a tool chain's programs and its Python environment; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.base.step_values import JSON, Resources, Step
from orchestrator.planning.plan import Choices
from orchestrator.planning.step_collector import StepCollector
from orchestrator.toolchain.installed import Archive
from orchestrator.toolchain.load import (
    ToolChain,
    build_identity,
    environment_identity,
    program_identity,
    tools_identity,
)
from orchestrator.toolchain.model import Verb


def toolchain_steps(
    chain: ToolChain, choices: Choices, commit: str = "", *, programs: Collection[str] = ()
) -> tuple[Step, ...]:
    """The steps that make a tool chain alone, with the chain's own defaults.

    ``commit`` is another one than the pinned one; the data is as it is for that.
    ``programs`` adds some of those that recipes seldom need.
    """
    collector = StepCollector()
    tools = add_tools(collector, chain, commit or chain.source.commit, choices)
    for name in programs:
        add_program(collector, chain, name, collector.step(tools["toolchain"]))
    return collector.steps


def add_tools(
    collector: StepCollector, chain: ToolChain, commit: str, choices: Choices
) -> dict[str, str]:
    """Add the build and the environment, if the chain needs one; their keys by input name.

    Installed tools take the place of the build.

    Without a profile or back end in ``choices`` the chain's defaults are taken.

    Raises:
        UsageError: The tool chain has no such profile or back end.
    """
    if chain.tools is not None:
        return {
            "toolchain": _there(collector, chain, commit, choices),
            **_environment(collector, chain),
        }
    asked = (choices.profile, choices.backend, choices.platform, choices.machine)
    options = chain.build.arguments(*asked)
    build = collector.add(
        "build",
        f"build {chain.name} {commit[:7]}",
        {
            **build_identity(chain, options, commit),
            "system": [choices.platform, choices.machine],
        },
        context={
            "source": _source_of(chain, commit),
            "data": str(chain.folder),
            "needed": list(chain.build.chosen(*asked)),
            "refused": chain.build.refused.get(choices.profile or chain.build.profile_names[0], ""),
            "instead": _instead(chain),
            "backend": _backend(chain, choices.backend),
            **_trials(chain),
        },
        resources=Resources(
            cpu=True,
            fetch_bytes=chain.source.download,
            disk_bytes=80 << 20,
            scratch_bytes=900 << 20,
        ),
        keep="always",
    )
    return {"toolchain": build, **_environment(collector, chain)}


def _backend(chain: ToolChain, name: str) -> dict[str, JSON]:
    """What a back end needs, for a build that fails."""
    needs = chain.backend_needs.get(name)
    return {"name": name, **needs.model_dump(mode="json")} if needs else {}


def _there(collector: StepCollector, chain: ToolChain, commit: str, choices: Choices) -> str:
    """Add the taking of installed tools, and the archive that they were unpacked from."""
    tools = chain.tools
    assert tools is not None
    archive = (unpack(collector, chain, tools.archive),) if tools.archive else ()
    absent = sorted(f"{{bin}}/{name}{{exe}}" for name in set(tools.missing.values()))
    return collector.add(
        "take",
        f"take the installed tools of {chain.name} {commit[:7]}",
        {**tools_identity(chain, commit), "system": [choices.platform, choices.machine]},
        context={
            "source": _source_of(chain, commit),
            "data": str(chain.folder),
            "paths": {name: str(path) for name, path in tools.files.items()},
            "absent": absent,
            "kept": str(tools.kept.folder) if tools.kept else "",
            "origin": tools.kept.origin if tools.kept else "",
            **_trials(chain),
        },
        after=archive,
        resources=Resources(
            cpu=True,
            fetch_bytes=0 if tools.kept else chain.source.download,
            scratch_bytes=300 << 20,
        ),
        keep="always",
    )


def unpack(collector: StepCollector, chain: ToolChain, archive: Archive) -> str:
    """Add the unpacking of an archive of tools."""
    return collector.add(
        "unpack",
        f"unpack tools of {chain.name}",
        dict(archive.params),
        context=dict(archive.context),
        resources=Resources(net="urls" in archive.context, disk_bytes=100 << 20),
        keep="always",
    )


def _trials(chain: ToolChain) -> dict[str, JSON]:
    """What programs are tried with: the verbs that call them, and a small model to quantize."""
    calls: list[JSON] = [_call(one) for one in chain.verbs.values() if _is_built(one)]
    compared = chain.compared
    types = [one for one in compared.types if one in chain.types] if compared else []
    argv = list(compared.argv) if compared else []
    return {"calls": calls, "compared": {"argv": argv, "types": types}}


def _instead(chain: ToolChain) -> str:
    """What else there is, for machines without a compiler."""
    if chain.installed is None:
        return ""
    upstream = ", take upstream's own with --prebuilt" if chain.installed.archives else ""
    return f"{upstream}, or name installed ones with --tools FOLDER"


def look(chain: ToolChain, commit: str) -> Step:
    """The step that looks into the source of a commit for what the chain's variants ask."""
    collector = StepCollector()
    when = {name: one.when.model_dump(mode="json") for name, one in chain.variants.items()}
    listed = chain.types_listed.model_dump(mode="json") if chain.types_listed else None
    collector.add(
        "look",
        f"look into {chain.name} {commit[:7]}",
        {"name": chain.name, "commit": commit, "variants": when, "types_listed": listed},
        context={"source": _source_of(chain, commit), "terms": {"why": "", "hubs": []}},
        resources=Resources(net=True, disk_bytes=40 << 20, scratch_bytes=300 << 20),
        keep="always",
    )
    return collector.steps[0]


def _call(verb: Verb) -> list[JSON]:
    """What of a verb's argv the program's help must speak of."""
    return [one for one in verb.argv if one not in verb.unlisted]


def _is_built(verb: Verb, program: str = "") -> bool:
    """Whether a verb calls the build's own programs itself, or the one that is built apart."""
    first = verb.argv[0]
    return verb.program == program and isinstance(first, str) and first.startswith("{bin}/")


def add_program(collector: StepCollector, chain: ToolChain, name: str, build: Step) -> str:
    """Add a program that is built when it is needed; the key of the step that makes it."""
    return collector.add(
        "program",
        f"build {name} with {chain.name} {str(build.params['commit'])[:7]}",
        program_identity(chain, name, build.params),
        {"toolchain": build.key},
        context={
            **{part: build.context[part] for part in ("source", "data")},
            "calls": [_call(one) for one in chain.verbs.values() if _is_built(one, name)],
        },
        resources=Resources(cpu=True, disk_bytes=1 << 20, scratch_bytes=300 << 20),
        keep="always",
    )


def _environment(collector: StepCollector, chain: ToolChain) -> dict[str, str]:
    identity = environment_identity(chain)
    if identity is None or chain.environment is None:
        return {}
    index = chain.environment.extra_index
    key = collector.add(
        "environment",
        f"Python environment of {chain.name}",
        identity,
        context={
            "imports": list(chain.environment.imports),
            "without_compiler": dict(chain.environment.without_compiler),
            "extra_index": index.url if index else "",
        },
        resources=Resources(
            net=True, fetch_bytes=chain.environment.download, disk_bytes=1300 << 20
        ),
        keep="always",
    )
    if not chain.environment.layer:
        return {"environment": key}
    layer = chain.environment.layer
    return {
        "environment": key,
        "packages": _layer(collector, layer, key, f"packages {', '.join(layer)}"),
    }


def mergekit_packages(collector: StepCollector, chain: ToolChain, environment: str) -> str:
    """Add the packages that mergekit needs beside the environment; the key of their step."""
    packages = chain.environment.mergekit if chain.environment is not None else ()
    return _layer(collector, packages, environment, "packages of mergekit")


def _layer(collector: StepCollector, packages: Sequence[str], environment: str, what: str) -> str:
    """Packages that take the place of some of the environment's, without another torch."""
    return collector.add(
        "layer",
        f"Python {what}",
        {"packages": list(packages)},
        {"environment": environment},
        context={"extra_index": ""},
        resources=Resources(net=True, disk_bytes=100 << 20),
        keep="always",
    )


def _source_of(chain: ToolChain, commit: str) -> dict[str, JSON]:
    """Where a commit is to be had: of mirrors, those that hold it."""
    source, pinned = chain.source, chain.source.commit
    mirrors = [one for one in source.mirrors if (one.commit or pinned) == commit]
    kept = source.model_copy(update={"mirrors": tuple(mirrors)})
    return kept.model_dump(mode="json", exclude={"tried", "sdists"})
