"""Errors a user can meet: one sentence, what to do next, and the exit code.

Every expected failure is an :class:`OrchestrateError`; anything else that reaches the
command line is a bug and is reported as one.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_INTERRUPTED = 130

_LONGEST_LINE = 1000


class OrchestrateError(Exception):
    """An expected failure.

    Args:
        message: One sentence that says what happened and where. Of a line that what it quotes
            makes very long, the middle is left out.
        hint: What the user can do about it; empty when there is nothing to add.
    """

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = "\n".join(map(_shortened, message.split("\n")))
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


def _shortened(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:700]} ... {line[-200:]}"


class StepError(OrchestrateError):
    """A step did not do its work, or its result is not what it must be."""


class ExplainedFailure(StepError):  # noqa: N818 - a failure whose cause is known
    """A step failed for a reason that its sentence gives in full: its log adds nothing."""


class UsageError(OrchestrateError):
    """A recipe, an option or a file named by the user is wrong."""

    exit_code = EXIT_USAGE


class EnvironmentProblem(OrchestrateError):  # noqa: N818 - an error of the machine, not ours
    """The machine lacks something: a compiler, disk, memory, the network."""

    exit_code = EXIT_ENVIRONMENT


class NetworkProblem(EnvironmentProblem):
    """Another machine did not answer, or not now: asking again later may help.

    ``wait`` is how many seconds it asked to be left alone, 0 if it did not say.
    """

    def __init__(self, message: str, hint: str = "", wait: float = 0) -> None:
        super().__init__(message, hint)
        self.wait = wait


class Interrupted(OrchestrateError):  # noqa: N818 - the user's will is no error
    """The user pressed Ctrl-C, or the process was asked to end."""

    exit_code = EXIT_INTERRUPTED


def problem_of(error: OSError) -> EnvironmentProblem:
    """What the system refused, with the file that it was about, as an expected error."""
    where = f"{error.filename}: " if error.filename else ""
    return EnvironmentProblem(f"{where}{error.strerror or error}")
