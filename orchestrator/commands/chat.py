"""The command that runs what was made: chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import completion_values, shared_options


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(chat)


@click.command()
@click.argument(
    "what",
    type=click.Path(path_type=Path),
    metavar="RECIPE|FILE",
    shell_complete=completion_values.recipes,
)
@click.option("--context", type=click.IntRange(8), default=4096, help="Tokens of the context.")
@click.option("--python", is_flag=True, help="Print the lines that load the model in Python.")
@shared_options.options("only", *shared_options.TOOLS, "locked")
def chat(what: Path, context: int, python: bool, **options: Any) -> int:
    """Talk to a model in the terminal.

    Of a recipe its first file, or that of --only, is made if it is not there yet; nothing is
    measured. A GGUF file is run by the llama.cpp that this program comes with, a GGML file by
    that of its age. It is the program of upstream that talks, without network: /help or Ctrl-C
    are its own.

    \b
    Example:
      orchestrate chat recipes/smollm2-135m-requant.yaml --only Q4_K_M

    \b
    Exit codes: that of upstream's program; before, 1 a file could not be made; 2 no recipe and
    no model file; 3 the machine lacks something.
    """
    from orchestrator.base.process import replace_process
    from orchestrator.base.process.environment_variables import clean_env
    from orchestrator.workflows import use_model

    with shared_options.session(options) as session:
        ready = use_model.prepare(what, "complete_python" if python else "chat", session)
        if python:
            shared_options.say(ready.in_python(context), end="")
            return EXIT_OK
        argv = ready.alone(ready.argv("chat", context=context))
    replace_process.replace(argv, clean_env({"PWD": "/"}))
