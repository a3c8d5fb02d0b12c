"""The command that lets the shell complete: completion."""

from __future__ import annotations

import click

from orchestrator.base.errors import EXIT_OK, EnvironmentProblem
from orchestrator.commands import shared_options

_VARIABLE = "_ORCHESTRATE_COMPLETE"


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(completion)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what makes a shell complete words at Tab.

    Completed are commands, options, recipes, their types, tool chains and keys of the store.

    The script asks 'orchestrate' itself at every Tab, so it need not be made again after
    an update. Install it, then start a new shell:

    \b
      bash   orchestrate completion bash >> ~/.bashrc      (bash 4.4 or newer)
      zsh    orchestrate completion zsh >> ~/.zshrc        (after the line with compinit)
      fish   orchestrate completion fish > ~/.config/fish/completions/orchestrate.fish

    \b
    Example:
      orchestrate completion bash >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    if made is None:
        raise EnvironmentProblem(
            f"this version of click has no completion for {shell}", "Install click 8.1+."
        )
    shared_options.say(made(ctx.find_root().command, {}, "orchestrate", _VARIABLE).source())
    return EXIT_OK
