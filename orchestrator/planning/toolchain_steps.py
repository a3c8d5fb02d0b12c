"""The steps that make a tool chain's programs and its Python environment; pure."""

from __future__ import annotations

from orchestrator.base.step_values import JSON, Resources, Step
from orchestrator.planning.plan import Choices
from orchestrator.planning.step_collector import StepCollector
from orchestrator.toolchain.load import ToolChain, build_identity, environment_identity


def toolchain_steps(chain: ToolChain, choices: Choices) -> tuple[Step, ...]:
    """The steps that make a tool chain alone, with the chain's own defaults."""
    collector = StepCollector()
    add_tools(collector, chain, chain.source.commit, choices)
    return collector.steps


def add_tools(
    collector: StepCollector, chain: ToolChain, commit: str, choices: Choices
) -> dict[str, str]:
    """Add the build and the environment, if the chain needs one; their keys by input name.

    Without a profile or back end in ``choices`` the chain's defaults are taken.

    Raises:
        UsageError: The tool chain has no such profile or back end.
    """
    options = chain.build.arguments(
        choices.profile, choices.backend, choices.platform, choices.machine
    )
    build = collector.add(
        "build",
        f"build {chain.name} {commit[:7]}",
        {
            **build_identity(chain, options, commit),
            "system": [choices.platform, choices.machine],
        },
        context={"source": _source_of(chain, commit), "data": str(chain.folder)},
        resources=Resources(cpu=True, disk_bytes=80 << 20, scratch_bytes=900 << 20),
        keep="always",
    )
    return {"toolchain": build, **_environment(collector, chain)}


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
            "extra_index": index.url if index else "",
        },
        resources=Resources(net=True, disk_bytes=1300 << 20),
        keep="always",
    )
    return {"environment": key}


def _source_of(chain: ToolChain, commit: str) -> dict[str, JSON]:
    """Where a commit is to be had; mirrors hold the pinned one only."""
    source = chain.source.model_dump(mode="json")
    return source if commit == chain.source.commit else {**source, "mirrors": []}
