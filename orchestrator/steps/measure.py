"""Take one measure of one model file.

Nothing is judged here, so that another limit never means another measurement.
"""

from __future__ import annotations

import json

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import header, registry, taking


def run(task: Task) -> dict[str, JSON]:
    """Take the measure ``params["measure"]`` and write its facts to ``measures.json``.

    ``inputs["model"]/params["file"]`` is the file; other inputs and parameters are the
    measure's. Where the file's header (``inputs["header"]``) shows other tensors than the full
    file's, no tool would load it or believe what it says: then nothing is measured.

    Returns:
        The measure's facts; empty when nothing was measured.

    Raises:
        StepError: The file is malformed, a tool failed or printed no number.
    """
    work = registry.named(str(task.step.params["measure"])).work
    assert work is not None
    wrong = header.differs(taking.header_facts(task))
    facts = {} if wrong else work.run(task)
    text = json.dumps(facts, indent=2, sort_keys=True, allow_nan=False)
    (task.workdir / taking.MEASURES).write_text(f"{text}\n", encoding="utf-8")
    return facts
