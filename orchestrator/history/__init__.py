"""What was run, when, on which machine, and with which result: ``history.sqlite`` in the store.

    history = History(store.root)
    run = history.begin_run(...)        # a row that says "running"
    history.end_run(run, ended)         # one transaction with all that is known
    history.runs(recipe="llama-7b")     # newest first

Times are UTC, as ISO 8601 text. A process that is killed leaves rows without an end, which
readers see as interrupted; nothing else is ever half there.
"""

from orchestrator.history.database import History
from orchestrator.history.run_records import Alarm, Ended, FileRow, Machine, Night, Run, StepRow

__all__ = ["Alarm", "Ended", "FileRow", "History", "Machine", "Night", "Run", "StepRow"]
