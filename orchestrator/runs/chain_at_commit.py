"""A tool chain's data as it is for a commit: what its source holds is found once and remembered."""

from __future__ import annotations

from orchestrator.planning import toolchain_steps
from orchestrator.runs import preflight
from orchestrator.runs.session import Session
from orchestrator.toolchain.load import ToolChain


def at_commit(chain: ToolChain, commit: str, session: Session) -> ToolChain:
    """The data with the variants that hold for a commit; its source is fetched if need be.

    Offline, where nobody has looked yet, it is the data of the pinned commit, and says so.

    Raises:
        OrchestrateError: The source cannot be fetched.
    """
    if commit == chain.source.commit or not chain.variants:
        return chain
    step = toolchain_steps.look(chain, commit)
    if session.known.find(step.key) is None and not session.settings.offline:
        preflight.succeeded(session.runner.run([step], [step.key], share=True))
    found = session.known.find(step.key)
    if found is None:
        return chain
    facts = found.facts
    folder = str(found.path / "upstream.git")
    return chain.at(facts["variants"], facts["types"], folder=folder, origin=facts["origin"])
