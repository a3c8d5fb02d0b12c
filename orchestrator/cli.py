"""The command line: parse, call, print, exit code. Nothing here does the work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import (
    __version__,
    cli_common,
    commands_diff,
    commands_reproduce,
    commands_trust,
)
from orchestrator.cli_common import RECIPES, common, planning
from orchestrator.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    OrchestrateError,
)

if TYPE_CHECKING:
    from orchestrator.workflow import Session


class Commands(click.Group):
    """The commands in the order in which a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of definition."""
        del ctx
        return list(self.commands)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
        sys.exit(cli(standalone_mode=False) or EXIT_OK)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except OrchestrateError as error:
        click.secho(f"error: {error}", err=True, fg="red")
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.secho(f"error: {where}{error.strerror or error}", err=True, fg="red")
        sys.exit(EXIT_ENVIRONMENT)
    except Exception as error:
        from orchestrator.bug import report

        click.secho(report(error), err=True, fg="red")
        sys.exit(EXIT_FAILED)


@cli.command()
@RECIPES
@common
@click.option(
    "--no-limits",
    is_flag=True,
    help="Report limits, checksums and smoke texts without failing: for stand-in models.",
)
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="ORCHESTRATE_SIGN_KEY",
    help="Private key (PEM) to sign the files' provenance with; also ORCHESTRATE_SIGN_KEY.",
)
@planning
def run(
    session: Session,
    plans: Any,
    options: dict[str, Any],
    no_limits: bool,
    sign_key: Path | None,
) -> int:
    """Make, check and explain the files of recipes.

    Steps that are done are not repeated; what failed or was interrupted goes on.

    \b
    Example:
      orchestrate run recipes/smollm2-135m-requant.yaml --only Q4_K_M
    """
    from orchestrator import finish

    strict, out = not no_limits, options["out"]
    return finish.run(session, plans, out, strict=strict, say=click.echo, sign_key=sign_key)


@cli.command()
@RECIPES
@common
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@planning
def plan(session: Session, plans: Any, options: dict[str, Any], as_json: bool) -> int:
    """Show what a run would do, fetch and need, without doing it.

    \b
    Example:
      orchestrate plan recipes/llama-7b.yaml
    """
    from orchestrator import display, workflow
    from orchestrator.finish import foretell

    outlooks, refused = foretell(plans, session)
    click.echo(display.plan(outlooks, session, as_json=as_json))
    for error in refused:
        click.secho(f"error: {error}", err=True, fg="red")
    workflow.check_room(outlooks, session, options["out"])
    return max((error.exit_code for error in refused), default=EXIT_OK)


@cli.command()
@RECIPES
def check(recipes: Sequence[Path]) -> int:
    """Validate recipes and do nothing else.

    \b
    Example:
      orchestrate check recipes/*.yaml
    """
    from orchestrator import units, workflow

    loaded = workflow.load(recipes)
    click.echo(f"{units.plural(len(loaded), 'recipe')}: no problem found")
    return EXIT_OK


@cli.command()
def schema() -> int:
    """Print the JSON Schema of recipes, for editors."""
    from orchestrator.recipe import schema_text

    click.echo(schema_text(), nl=False)
    return EXIT_OK


@cli.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The unquantized file: names, shapes, perplexity and divergence are compared with it.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Text for perplexity and divergence.",
)
@click.option("--prompt", default="", help="A prompt to continue.")
@common
def verify(
    path: Path, against: Path | None, corpus: Path | None, prompt: str, **options: Any
) -> int:
    """Check a recipe's files again, or any GGUF file.

    PATH is a recipe (.yaml) or a GGUF file.

    \b
    Example:
      orchestrate verify model-Q4_K_M.gguf --against model-F16.gguf --corpus wiki.test.raw
    """
    from orchestrator import finish, workflow

    if path.suffix in (".yaml", ".yml"):
        loaded = workflow.load([path])
        with cli_common.session(options) as session:
            plans = workflow.make(loaded, session)
            return finish.verify(session, plans, options["out"], say=click.echo)
    with cli_common.session(options) as session:
        return finish.verify_file(session, path, against, corpus, prompt, say=click.echo)


@cli.group(cls=Commands)
def store() -> None:
    """Look after the store of finished steps."""


@store.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def store_ls(as_json: bool) -> int:
    """List what is stored."""
    from orchestrator import display

    click.echo(display.artifacts(cli_common.store().artifacts(), as_json=as_json))
    return EXIT_OK


@store.command("path")
@click.argument("key", required=False)
def store_path(key: str | None) -> int:
    """Print the folder of the store, or of one artifact."""
    from orchestrator.display import artifact_path

    click.echo(artifact_path(cli_common.store(), key))
    return EXIT_OK


@store.command("verify")
def store_verify() -> int:
    """Read every stored file again; damaged artifacts are set aside and made again by run."""
    from orchestrator import display

    text, sound = display.verified(cli_common.store().verify())
    click.echo(text)
    return EXIT_OK if sound else EXIT_FAILED


@store.command("gc")
@click.option(
    "--max-size",
    default="",
    metavar="SIZE",
    help="Remove the least recently used until this is left, such as 50GB.",
)
def store_gc(max_size: str) -> int:
    """Remove rubbish, and what was not used for longest beyond --max-size.

    \b
    Example:
      orchestrate store gc --max-size 50GB
    """
    from orchestrator import display, units

    limit = units.parse_size(max_size) if max_size else None
    click.echo(display.collected(cli_common.store().gc(max_bytes=limit)))
    return EXIT_OK


@cli.group("toolchain", cls=Commands)
def toolchain_group() -> None:
    """Look after the pinned upstream tools."""


@toolchain_group.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def toolchain_ls(as_json: bool) -> int:
    """List the tool chains, their pins and whether they are built here."""
    from orchestrator import display

    click.echo(display.toolchains(cli_common.store(), as_json=as_json))
    return EXIT_OK


@toolchain_group.command("build")
@click.argument("name")
@common
def toolchain_build(name: str, **options: Any) -> int:
    """Build a tool chain and its Python environment.

    \b
    Example:
      orchestrate toolchain build llama.cpp
    """
    from orchestrator import finish

    with cli_common.session(options) as session:
        return finish.build(session, name, say=click.echo)


@cli.command()
def doctor() -> int:
    """Look at this machine: what is missing, and what to do about it."""
    from orchestrator import doctor as doctor_

    found = doctor_.examine(cli_common.store().root)
    click.echo(doctor_.text(found))
    return EXIT_OK if doctor_.sound(found) else EXIT_ENVIRONMENT


commands_diff.register(cli)
commands_reproduce.register(cli)
commands_trust.register(cli)
