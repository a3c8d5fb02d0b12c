"""Write the reference pages that are made of the program itself: recipes, tool chains, commands.

    python scripts/make_reference.py

A test makes them again and compares, so they cannot go stale.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel

from orchestrator.cli import cli
from orchestrator.commands import help_sections
from orchestrator.measures import registry
from orchestrator.recipe import schema_text
from orchestrator.recipe.verify_section import model_name
from orchestrator.runs import load_and_plan
from orchestrator.toolchain import argv_template, load

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by scripts/make_reference.py; edit the program, not this page. -->"
Row = tuple[str, ...]


def pages() -> dict[str, str]:
    """All pages by the names of their files."""
    return {
        "recipe.md": recipe_page(),
        "tool-chain.md": toolchain_page(),
        "commands.md": commands_page(),
    }


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def table(titles: Row, rows: Iterable[Row]) -> str:
    """A table in Markdown; bars inside cells are escaped."""
    escaped = [tuple(cell.replace("|", r"\|") for cell in row) for row in rows]
    lines = [titles, ("---",) * len(titles), *escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def anchor(title: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def link(title: str) -> str:
    """A link to a heading of the same page."""
    return f"[{title}](#{anchor(title)})"


def join(parts: Iterator[str]) -> str:
    """Paragraphs, and a newline at the end."""
    return "\n\n".join(parts) + "\n"


# -- recipes ---------------------------------------------------------------------------------

# Where each part of a recipe is written, for its heading; Model and Weights are sources.
PLACES = {
    "ToolChainChoice": "toolchain",
    "Model": "model",
    "Weights": "model.base and model.delta",
    "Source": "corpus",
    "PyPI": "pypi",
    "Convert": "convert",
    "Imatrix": "imatrix",
    "Quant": "quantize",
    "Limits": "limits",
    "TextLimits": "limits.texts",
    "Verify": "verify",
    **{model_name(one): f"verify.{one}" for one in registry.sections()},
    "Reference": "verify.reference",
    "Runtime": "runtime",
    "Publish": "publish",
}

RECIPE_HEAD = """\
# The keys of recipes

A recipe is one YAML file. Unknown keys are refused. The same as a JSON Schema, for editors, is
[recipe.schema.json](../recipe.schema.json); `orchestrate schema` prints it. Types, back ends,
build profiles, outtypes and options of the converter and the quantizer are
[the tool chain's data](tool-chain.md): listed here is what any of those that come along has;
`orchestrate check` says what the recipe's lacks.

Sizes are bytes (`1000`) or have a unit: `50G`, `50GB` and `50 GB` are 50 · 10⁹ bytes, `50GiB` is
50 · 2³⁰ bytes. The same goes for options such as `--max-size`. Sizes are always shown in decimal
units, as the Hub states them: 1 GB is 10⁹ bytes."""


def recipe_page() -> str:
    """The page about recipes, from their JSON Schema."""
    schema = json.loads(schema_text(load_and_plan.vocabularies()))

    def parts() -> Iterator[str]:
        yield f"{MADE}\n{RECIPE_HEAD}"
        yield "## recipe"
        yield schema["description"]
        yield schema_table(schema)
        known = schema["$defs"]
        for name in sorted(known, key=lambda name: [*PLACES, name].index(name)):
            yield f"## {place(name)}"
            yield known[name]["description"]
            yield schema_table(known[name])

    return join(parts())


def place(name: str) -> str:
    """The heading of a definition; a new one goes by its own name until it has a place."""
    return PLACES.get(name, name.lower())


def schema_table(schema: Mapping[str, Any]) -> str:
    """The keys of one mapping."""
    required = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            schema_type(value),
            "required" if name in required else default(value.get("default")),
            value.get("description", ""),
        )
        for name, value in schema["properties"].items()
    ]
    return table(("Key", "Value", "Default", "Meaning"), rows)


def schema_type(value: Mapping[str, Any]) -> str:
    """What may be written, in words."""
    if "$ref" in value:
        return link(place(value["$ref"].rpartition("/")[2]))
    if "anyOf" in value:
        several = [schema_type(one) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(several))
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{json.dumps(value['const'])}`"
    if value.get("type") == "array":
        return f"list of {schema_type(value['items'])}"
    if value.get("type") == "object":
        return mapping_type(value)
    words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
    kind = str(value.get("type", "anything"))
    return "path" if value.get("format") == "path" else words.get(kind, kind)


def mapping_type(value: Mapping[str, Any]) -> str:
    """A mapping whose keys are free."""
    inner = value.get("additionalProperties")
    if not isinstance(inner, Mapping):
        inner = next(iter(value.get("patternProperties", {}).values()), None)
    return f"mapping to {schema_type(inner)}" if inner else "mapping"


def default(value: Any) -> str:
    """A default as YAML has it; none where nothing is written."""
    if value is None or value in ("", [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


# -- tool chains -----------------------------------------------------------------------------

TOOLCHAIN_HEAD = """\
# The keys of tool chains

`vendor/NAME/toolchain.yaml` is all that the program knows of an upstream. Unknown keys are refused.
Patterns are Python's regular expressions. How to write one:
[a tool chain of your own](../how-to/tool-chain.md)."""


def toolchain_page() -> str:
    """The page about ``toolchain.yaml``, from its models."""
    models: list[type[BaseModel]] = [load.ToolChain, *data_models()]

    def parts() -> Iterator[str]:
        yield f"{MADE}\n{TOOLCHAIN_HEAD}"
        for model in models:
            yield f"## {model.__name__}"
            yield inspect.cleandoc(model.__doc__ or "").replace("``", "`")
            yield model_table(model)

    return join(parts())


def data_models() -> list[type[BaseModel]]:
    """The models in the order in which they are needed by one another, outermost first."""
    found: dict[type[BaseModel], None] = {}

    def collect(model: type[BaseModel]) -> None:
        for field in model.model_fields.values():
            for inner in inner_models(field.annotation):
                if inner not in found:
                    found[inner] = None
                    collect(inner)

    collect(load.ToolChain)
    return list(found)


def inner_models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from inner_models(one)


def model_table(model: type[BaseModel]) -> str:
    """The keys of one model that are written."""
    rows = []
    for name, field in model.model_fields.items():
        about = field.description or ""
        if about.startswith("Not written"):
            continue
        shown = "required" if field.is_required() else default(plain(field.default))
        rows.append((f"`{name}`", python_type(field.annotation), shown, about))
    return table(("Key", "Value", "Default", "Meaning"), rows)


def plain(value: Any) -> Any:
    """A default as JSON values."""
    if isinstance(value, BaseModel):
        return None
    return list(value) if isinstance(value, tuple) else value


def python_type(annotation: Any) -> str:
    """What may be written, in words."""
    if annotation == argv_template.Argument:
        return "argument"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(python_type(one) for one in inner if one is not type(None))
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner if one)
    if origin is tuple:
        return f"list of {python_type(inner[0])}"
    if inner:
        return f"mapping to {python_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return link(annotation.__name__)
    return {str: "text", float: "number", int: "whole number", bool: "true or false"}.get(
        annotation, "anything"
    )


# -- commands --------------------------------------------------------------------------------

COMMANDS_HEAD = """\
# Commands

What `orchestrate COMMAND --help` says. `--json` prints one JSON value on standard output; progress,
warnings and errors go to standard error in any case. [Exit codes](exit-codes.md) mean the same
everywhere."""


def commands_page() -> str:
    """The page about the commands, from click."""
    assert isinstance(cli, help_sections.Sections)

    def parts() -> Iterator[str]:
        yield f"{MADE}\n{COMMANDS_HEAD}"
        for title, names in cli.sections().items():
            yield f"## {title}"
            for name in names:
                yield from command_parts(cli.commands[name], ("orchestrate", name))

    return join(parts())


def command_parts(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    """One command, and those of a group after it."""
    yield f"### {' '.join(path)}"
    context = click.Context(command, info_name=path[-1], show_default=True)
    if isinstance(command, click.Group):
        usage = "COMMAND ..."
    else:
        usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{' '.join(path)} {usage}\n```"
    yield from help_parts(command.help or "")
    rows = [option_row(one, context) for one in command.params if isinstance(one, click.Option)]
    if rows:
        yield table(("Option", "Meaning"), rows)
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from command_parts(child, (*path, name))


def help_parts(text: str) -> Iterator[str]:
    """The paragraphs of a help; what keeps its lines there keeps them here."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        marked, _, kept = paragraph.partition("\b\n")
        if marked:
            yield paragraph
        elif kept.startswith("Example:"):
            yield f"```sh\n{inspect.cleandoc(kept.partition(':')[2])}\n```"
        elif kept.startswith("Exit codes:"):
            yield kept
        else:
            yield f"```text\n{inspect.cleandoc(kept)}\n```"


def option_row(option: click.Option, context: click.Context) -> Row:
    """One option: how it is written, and what for, with its default."""
    written, about = option.get_help_record(context) or ("", "")
    return f"`{written}`", about


if __name__ == "__main__":
    main()
