"""The command line: parse, call, print, exit code. Nothing here does the work."""

from __future__ import annotations

import sys

import click

from orchestrator import __version__
from orchestrator.base import safe_text, terminal_colours
from orchestrator.base.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    OrchestrateError,
)
from orchestrator.base.process import utf8_names
from orchestrator.commands import (
    adopt_and_provenance,
    bisect,
    chat,
    compare,
    completion,
    diff,
    fit,
    help_sections,
    interrupts,
    list_recipes,
    new,
    nightly,
    publish,
    recipes,
    reproduce,
    site,
    store_and_toolchain,
    worker,
)


@click.group(
    cls=help_sections.Sections,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="orchestrate")
def cli() -> None:
    """Make quantized language models reproducibly: one recipe in, verified bytes out.

    \b
    Example:
      orchestrate run recipes/tiny/llama.yaml

    \b
    Exit codes: 0 done; 1 a step failed or a limit was not kept; 2 bad recipe or usage;
    3 the machine lacks something (compiler, disk, network); 130 interrupted.
    """


def main() -> None:
    """The console script: every expected error is a sentence and an exit code."""
    try:
        utf8_names.start_again_in_utf8()
        utf8_names.check(sys.argv[1:])
        with interrupts.heeded(interrupts.end):
            code = cli(standalone_mode=False, color=terminal_colours.chosen())
        sys.exit(code or EXIT_OK)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.UsageError as error:
        _fail(_usage(error), error.exit_code)
    except click.ClickException as error:
        _fail(_error(error.format_message()), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail(_error("interrupted"), EXIT_INTERRUPTED)
    except OrchestrateError as error:
        _fail(_error(error), error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(_error(f"{where}{error.strerror or error}"), EXIT_ENVIRONMENT)
    except Exception as error:
        from orchestrator.commands.crash_report import report

        _fail(report(error), EXIT_FAILED)


def _error(what: object) -> str:
    return f"{terminal_colours.status('error')}: {what}"


def _fail(text: str, code: int) -> None:
    """Say what went wrong on standard error, and end with this exit code."""
    click.echo(safe_text.terminal(text), err=True, color=terminal_colours.chosen())
    sys.exit(code)


def _usage(error: click.UsageError) -> str:
    """What click found wrong, after how the command is to be used; help, if nothing was said."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    found = _error(error.format_message())
    if error.ctx is None:
        return found
    hint = f"Try '{error.ctx.command_path} --help' for help."
    return f"{error.ctx.get_usage()}\n{found}\n  {hint}"


for _module in (
    recipes,
    list_recipes,
    new,
    fit,
    reproduce,
    diff,
    chat,
    site,
    adopt_and_provenance,
    nightly,
    bisect,
    publish,
    store_and_toolchain,
    compare,
    worker,
    completion,
):
    _module.register(cli)
