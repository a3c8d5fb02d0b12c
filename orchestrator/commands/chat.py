"""The commands that run what was made: chat and serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import completion_values, shared_options


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(chat)
    cli.add_command(serve)


_WHAT = click.argument(
    "what",
    type=click.Path(path_type=Path),
    metavar="RECIPE|FILE",
    shell_complete=completion_values.recipes,
)
_CONTEXT = click.option(
    "--context", type=click.IntRange(8), default=4096, help="Tokens of the context."
)
_TOOLS = shared_options.options("only", *shared_options.TOOLS, "locked")


@click.command()
@_WHAT
@_CONTEXT
@click.option("--python", is_flag=True, help="Print the lines that load the model in Python.")
@_TOOLS
def chat(what: Path, context: int, python: bool, **options: Any) -> int:
    """Talk to a model in the terminal.

    Of a recipe its first file, or that of --only, is made if it is not there yet; nothing is
    measured. A GGUF file is run by the llama.cpp that this program comes with, a GGML file by
    that of its age. It is the program of upstream that talks, without network: /help or Ctrl-C
    are its own. With the projector of a recipe ('mmproj') /image shows it a picture, named by its
    whole path, of the folder that you are in.

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


@click.command()
@_WHAT
@_CONTEXT
@click.option("--host", default="127.0.0.1", help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, help="Port to listen at.")
@_TOOLS
def serve(what: Path, context: int, host: str, port: int, **options: Any) -> int:
    """Answer programs that speak OpenAI's protocol.

    Of a recipe its first file, or that of --only, is made if it is not there yet; nothing is
    measured. It is upstream's llama-server, which is built when it is needed first, without its
    web page. It answers until Ctrl-C. Whoever reaches the address can ask: leave it on this
    machine unless you trust the network.

    \b
    Example:
      orchestrate serve recipes/smollm2-135m-requant.yaml --only Q4_K_M

    \b
    Exit codes: that of upstream's program; before, 1 a file could not be made; 2 no recipe and
    no model file; 3 the machine lacks something, or the port is taken.
    """
    from orchestrator.base.process import replace_process
    from orchestrator.base.process.environment_variables import clean_env
    from orchestrator.workflows import use_model

    use_model.require_free(host, port)
    with shared_options.session(options) as session:
        ready = use_model.prepare(what, "serve", session)
        values = {"context": context, "host": host, "port": port, "alias": ready.name}
        argv = ready.alone(ready.argv("serve", **values), network=True)
    shared_options.say(use_model.how_to_ask(host, port, ready.name))
    replace_process.replace(argv, clean_env({"PWD": "/"}))
