"""The commands that make and check the files of recipes: run, plan, check, verify, schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.errors import EXIT_OK, EXIT_USAGE, UsageError
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.shared_options import AS_JSON, RECIPES, common, planning

if TYPE_CHECKING:
    from orchestrator.planning.recipe_to_steps import Plan
    from orchestrator.recipe import Recipe, RecipeError
    from orchestrator.recipe.yaml_positions import Problem
    from orchestrator.runs.session import Session

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    for command in (run, plan, check, verify, schema):
        cli.add_command(command)


@click.command()
@RECIPES
@common
@shared_options.on_cluster
@click.option(
    "--no-limits",
    is_flag=True,
    help="Report limits, checksums and smoke texts without failing: for stand-in models.",
)
@click.option(
    "--sign-key",
    type=_FILE,
    envvar="ORCHESTRATE_SIGN_KEY",
    help="Private key (PEM) to sign the files' provenance with; also ORCHESTRATE_SIGN_KEY.",
)
@click.option(
    "--measure-again",
    multiple=True,
    metavar="NAME",
    shell_complete=completion_values.measures,
    help="Take this measure of all files anew, such as speed; may be given again.",
)
@AS_JSON
@planning
def run(
    session: Session,
    plans: Sequence[Plan],
    options: dict[str, Any],
    *,
    no_limits: bool,
    sign_key: Path | None,
    measure_again: Sequence[str],
    as_json: bool,
) -> int:
    """Make and check the files of recipes, and report how.

    Fetches, converts, quantizes and measures what is not done yet; steps that are done are
    not repeated, and what failed or was interrupted goes on. The files, their checksums and a
    report are in a folder of the recipe's name below --out. A recipe's lock is respected.
    One recipe that cannot be made does not stop the others. Speeds of different days or machines
    do not compare, and the report says so: --measure-again speed takes all of them in one go.

    \b
    Example:
      orchestrate run recipes/smollm2-135m-requant.yaml --only Q4_K_M

    \b
    Exit codes: 0 made, and every limit is kept; 1 a step failed or a limit was not kept;
    2 a bad recipe; 3 the machine lacks something; 130 interrupted.
    """
    from orchestrator.commands import run_and_show
    from orchestrator.runs import execute_plans

    out, voice = options["out"], shared_options.voice(as_json)
    execute_plans.forget_measures(plans, session, measure_again)
    return run_and_show.run(
        session, plans, out, strict=not no_limits, voice=voice, sign_key=sign_key
    )


@click.command()
@RECIPES
@common
@AS_JSON
@planning
def plan(session: Session, plans: Sequence[Plan], options: dict[str, Any], as_json: bool) -> int:
    """Show what a run would do, fetch and need.

    Only configurations and headers are fetched, no weights. Sizes are exact once the tool
    chain is built, and marked as estimates before.

    \b
    Example:
      orchestrate plan recipes/llama-7b.yaml

    \b
    Exit codes: 0 a run could begin; 1 a file cannot be made; 3 disk or memory is short.
    """
    from orchestrator.commands import display_run
    from orchestrator.runs import preflight
    from orchestrator.runs.bring_up_to_date import predict

    previews, refused = predict(plans, session)
    if as_json or previews:
        shown = display_run.plan(previews, session, as_json=as_json, refused=bool(refused))
        shared_options.say(shown)
    for error in refused:
        shared_options.complain(error)
    preflight.check_room(previews, session, options["out"])
    return max((error.exit_code for error in refused), default=EXIT_OK)


@click.command()
@RECIPES
@AS_JSON
def check(recipes: Sequence[Path], as_json: bool) -> int:
    """Validate recipes and do nothing else.

    Every problem of every recipe is told at once, with its line. Nothing is fetched, so
    whether a repository exists is not looked at. Weights of your own that are not there yet are
    no problem of the recipe, and are noted.

    \b
    Example:
      orchestrate check recipes/llama-7b.yaml recipes/falcon-7b.yaml

    \b
    Exit codes: 0 no problem found; 2 a recipe cannot be used.
    """
    from orchestrator.base import units
    from orchestrator.base.terminal_colours import status
    from orchestrator.recipe import RecipeError

    try:
        loaded, absent = _checked(recipes)
    except RecipeError as error:
        if not as_json:
            raise
        shared_options.print_json(
            {"recipes": [], "problems": [_problem_value(p) for p in error.problems]}
        )
        shared_options.complain(error)
        return EXIT_USAGE
    if as_json:
        values = [
            {"name": one.name, "recipe": str(one.file), "digest": one.digest} for one in loaded
        ]
        notes = [_problem_value(one) for one in absent]
        shared_options.print_json({"recipes": values, "problems": [], "notes": notes})
    else:
        found = status("no problem found")
        shared_options.say(f"{units.plural(len(loaded), 'recipe')}: {found}")
    for problem in absent:
        shared_options.remark(f"note: {problem}")
    return EXIT_OK


def _checked(paths: Sequence[Path]) -> tuple[list[Recipe], Sequence[Problem]]:
    """The recipes, and which weights of their models are not on this machine yet.

    Raises:
        RecipeError: There are other problems.
    """
    from orchestrator.recipe import RecipeError
    from orchestrator.runs import load_and_plan

    try:
        return load_and_plan.load(paths), []
    except RecipeError as error:
        loaded = _sound_otherwise(paths, error)
        if any(one.loc[:1] != ("model",) for one in error.problems):
            raise
        return loaded, error.problems


def _sound_otherwise(paths: Sequence[Path], error: RecipeError) -> list[Recipe]:
    """The recipes without regard to files; raises ``error`` where these were not all."""
    from orchestrator.recipe import RecipeError
    from orchestrator.runs import load_and_plan

    try:
        return load_and_plan.load(paths, check_files=False)
    except RecipeError:
        raise error from None


def _problem_value(problem: Problem) -> dict[str, Any]:
    mark = problem.mark
    where = {"recipe": str(mark.file), "line": mark.line, "column": mark.column}
    return {**where, "key": list(problem.loc), "problem": problem.text}


@click.command()
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write recipe.schema.json into this folder of recipes, over an older one.",
)
def schema(folder: Path | None) -> int:
    """Print the JSON Schema of recipes, for editors.

    Editors that know it complete keys and mark mistakes while a recipe is written. --write
    puts it beside recipes and says by which line they name it.

    \b
    Example:
      orchestrate schema --write recipes
    """
    from orchestrator.recipe import schema_text
    from orchestrator.runs import load_and_plan
    from orchestrator.workflows.drafting import editor_schema

    if folder is None:
        shared_options.say(schema_text(load_and_plan.vocabularies(Path.cwd())), end="")
        return EXIT_OK
    shared_options.say(f"{editor_schema.write(folder)} is written; recipes there begin with")
    shared_options.say(editor_schema.line(folder), end="")
    return EXIT_OK


@click.command()
@click.argument("path", type=click.Path(path_type=Path), shell_complete=completion_values.recipes)
@click.option(
    "--against",
    type=_FILE,
    help="The unquantized file: names, shapes, perplexity and divergence are compared with it.",
)
@click.option("--corpus", type=_FILE, help="Text for perplexity and divergence.")
@click.option("--prompt", default="", show_default=False, help="A prompt to continue.")
@shared_options.options(
    "only", "out", "keep", "keep_logits", *shared_options.TOOLS, *shared_options.INSTALLED, "locked"
)
@AS_JSON
def verify(
    path: Path,
    against: Path | None,
    corpus: Path | None,
    prompt: str,
    as_json: bool,
    **options: Any,
) -> int:
    """Check a recipe's files again, or any GGUF file.

    PATH is a recipe (its file or name), whose files must have been made, or a GGUF file: of a
    model in several files any of them, or their folder.
    Everything is measured anew; nothing is quantized. --against, --corpus and --prompt are for
    a file; a recipe says these itself.

    \b
    Example:
      orchestrate verify model-Q4_K_M.gguf --against model-F16.gguf --corpus wiki.test.raw

    \b
    Exit codes: 0 every check holds; 1 one does not, or a file was not made yet; 2 PATH is
    neither a recipe nor a GGUF file.
    """
    from orchestrator.commands import run_and_show
    from orchestrator.runs import find_recipes, load_and_plan

    voice = shared_options.voice(as_json)
    path = _set_in(path) or path
    if not path.is_file() or path.suffix in find_recipes.SUFFIXES:
        loaded = load_and_plan.load([path])
        with shared_options.session(options) as session:
            plans = load_and_plan.make(loaded, session)
            return run_and_show.verify(session, plans, options["out"], voice)
    if path.suffix != ".gguf" and not _is_gguf(path):
        raise UsageError(f"{path} is no GGUF file", "Name a recipe (.yaml) or a GGUF file.")
    with shared_options.session(options) as session:
        return run_and_show.verify_file(session, path, against, corpus, prompt, voice=voice)


def _set_in(folder: Path) -> Path | None:
    """The model that a folder holds, if it holds one and no recipes."""
    from orchestrator.modelfiles import gguf_parts
    from orchestrator.runs import find_recipes

    if not folder.is_dir() or any(one.suffix in find_recipes.SUFFIXES for one in folder.iterdir()):
        return None
    return gguf_parts.only_set(folder)


def _is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do, whatever its name."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"
