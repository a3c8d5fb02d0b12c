"""The commands of unattended use: nightly, history, accept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.errors import EXIT_OK, Interrupted, OrchestrateError
from orchestrator.commands import completion_values, shared_options

if TYPE_CHECKING:
    from orchestrator.workflows.nightly.night_values import Options, Told

# A night is about whole recipes as they are, measured: no --only, --no-verify, --update-lock.
_SESSION = (
    *("profile", "backend", "jobs", "threads", "out", "keep", "offline", "locked"),
    *("keep_logits", "verbose", "log_json"),
)
_KINDS = ("systemd", "cron", "github-actions")


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    for command in (nightly, history, accept):
        cli.add_command(command)


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RECIPE...",
    shell_complete=completion_values.recipes,
)
@click.option(
    "--select",
    default="",
    show_default=False,
    metavar="GLOB",
    help="Only recipes whose file matches.",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the pages into this folder too.",
)
@click.option("--rebuild", is_flag=True, help="Make unchanged files again, to find drift.")
@click.option(
    "--max-hours",
    type=click.FloatRange(min=0, min_open=True),
    help="Start nothing new after so many hours.",
)
@click.option(
    "--max-store",
    default="",
    show_default=False,
    metavar="SIZE",
    help="Largest size of the store, such as 200G.",
)
@click.option(
    "--webhook",
    default="",
    show_default=False,
    metavar="URL",
    envvar="ORCHESTRATE_WEBHOOK",
    help="POST the summary to this URL as JSON; also ORCHESTRATE_WEBHOOK.",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="ADDRESS",
    envvar="ORCHESTRATE_NOTIFY",
    help="Tell people by Apprise, as in ntfy://HOST/TOPIC; also ORCHESTRATE_NOTIFY; may be "
    "given again.",
)
@click.option(
    "--notify-when",
    type=click.Choice(("bad", "always")),
    default="bad",
    help="After nights that need attention and the first good one again, or after all.",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.prom",
    help="Write states, ages and durations for Prometheus' node_exporter.",
)
@click.option(
    "--keep-days",
    type=click.IntRange(1),
    default=400,
    help="How long nights, their pages and logs are kept.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=3,
    help="How often requests that failed are repeated, minutes apart.",
)
@shared_options.AS_JSON
@click.option(
    "--print",
    "kind",
    type=click.Choice(_KINDS),
    help="Print a schedule that runs this every night; do nothing else.",
)
@shared_options.options(*_SESSION)
@shared_options.on_cluster
def nightly(
    paths: Sequence[Path],
    kind: str | None,
    *,
    as_json: bool,
    **options: Any,
) -> int:
    """Rebuild every recipe, unattended, and say what changed.

    Every file is compared with that of the last good night. Folders stand for all recipes
    below them. One recipe that fails never stops the others. Changes of bytes, perplexity,
    divergence, size and speed beyond the recipe's 'alarms' raise an alarm, every night until
    'orchestrate accept' or until they are gone. The summary is Markdown; it goes into
    GITHUB_STEP_SUMMARY too where that is set.

    \b
    Example:
      orchestrate nightly recipes/ --select 'llama*' --site site --max-hours 6 --max-store 200G

    \b
    Exit codes: 0 all is well; 1 a recipe failed or an alarm was raised; 3 the machine or the
    network was in the way, or another night works in this store.
    """
    from orchestrator.workflows.nightly import night, summary_values
    from orchestrator.workflows.nightly.share_results import Sharing
    from orchestrator.workflows.nightly.summary_markdown import markdown

    wanted, told = _wanted(paths, options), _told(options)
    sharing = Sharing(told, shared_options.store(), wanted.out, shared_options.warn)
    if kind is not None:
        from orchestrator.workflows.nightly import schedule_command

        root = shared_options.store().root
        text = schedule_command.schedule(kind, root, wanted, told, options)
        shared_options.say(text, end="")
        return EXIT_OK
    try:
        with shared_options.session(options) as session:
            summary, past = night.run(wanted, session, shared_options.remark)
    except Interrupted:
        raise  # whoever did that knows
    except OrchestrateError as error:
        sharing.no_night(error)
        raise
    if as_json:
        shared_options.print_json(summary_values.as_json(summary))
    else:
        shared_options.say(markdown(summary))
    sharing.night(summary, past)
    return summary.code


def _wanted(paths: Sequence[Path], options: dict[str, Any]) -> Options:
    """What the night is told; takes its own options out of those of a session."""
    from orchestrator.base import units
    from orchestrator.workflows.nightly.night_values import Options

    size = options.pop("max_store")
    return Options(
        paths=tuple(paths),
        out=options["out"],
        select=options.pop("select"),
        rebuild=options.pop("rebuild"),
        hours=options.pop("max_hours"),
        max_store=units.parse_size(size) if size else None,
        retries=options.pop("retries"),
        keep_days=options.pop("keep_days"),
    )


def _told(options: dict[str, Any]) -> Told:
    """Where the results go; takes those options out of a session's."""
    from orchestrator.workflows.nightly.night_values import Told

    return Told(
        site=options.pop("site"),
        webhook=options.pop("webhook"),
        notify=tuple(options.pop("notify")),
        when=options.pop("notify_when"),
        metrics=options.pop("metrics"),
    )


@click.command()
@click.argument("recipe", required=False, shell_complete=completion_values.known)
@click.option("--limit", type=click.IntRange(1), default=20, help="Most entries to show.")
@shared_options.AS_JSON
def history(recipe: str | None, limit: int, *, as_json: bool) -> int:
    """Show what was run, when, and with which result.

    Without RECIPE the nights and the newest runs; with the name of a recipe (or its file)
    its runs with their files.

    \b
    Example:
      orchestrate history tiny-llama
    """
    from orchestrator.commands import display_history
    from orchestrator.history import History

    store = shared_options.store()
    past = History(store.root)
    if as_json:
        shared_options.print_json(display_history.as_json(past, recipe or "", limit))
    else:
        shared_options.say(display_history.text(past, recipe or "", limit, store.log_path))
    return EXIT_OK


@click.command()
@click.argument(
    "recipes", nargs=-1, required=True, metavar="RECIPE...", shell_complete=completion_values.known
)
@click.option("--failed", is_flag=True, help="Accept what a night that failed has made, too.")
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the pages there anew, as 'nightly --site' does.",
)
@shared_options.AS_JSON
def accept(recipes: Sequence[str], *, failed: bool, site: Path | None, as_json: bool) -> int:
    """Accept changes: later nights compare with the newest.

    RECIPE is the name of a recipe, or its file. An alarm is raised every night until the change
    is gone or accepted. What is accepted is listed; of a night that failed --failed takes the
    files that it made.

    \b
    Example:
      orchestrate accept tiny-llama
    """
    from orchestrator.commands import display_history
    from orchestrator.history import History

    past = History(shared_options.store().root)
    runs = [display_history.accept(past, recipe, failed=failed) for recipe in recipes]
    if site is not None:
        from orchestrator.history import site as pages

        pages.write(past, site)
    if as_json:
        shared_options.print_json([display_history.run_json(run) for run in runs])
    for run in () if as_json else runs:
        shared_options.say(display_history.accepted(past, run))
    return EXIT_OK
