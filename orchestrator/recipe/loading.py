"""Reading recipes: the tree of YAML, the models, the rules across fields, all problems at once.

The caller says what a tool chain allows, so that no list of quantization types stands in
Python; errors look like ``recipes/x.yaml:12:5: quantize[1].type: 'Q4_KM' is not ...``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.base.digest import key
from orchestrator.base.errors import OrchestrateError
from orchestrator.base.near_match import near
from orchestrator.measures import registry
from orchestrator.recipe.cross_field_rules import findings
from orchestrator.recipe.extends import Tree, read_tree
from orchestrator.recipe.field_types import Vocabulary
from orchestrator.recipe.models import Document, QuantDefaults, Recipe
from orchestrator.recipe.yaml_positions import Loc, Mark, Problem, RecipeError

__all__ = ["Document", "Recipe", "RecipeError", "Vocabulary", "load", "load_many", "schema_text"]

# What says nothing about the files: it may change without another digest.
# Defaults of files are in the files.
_APART = {"extends", "defaults", "download", "publish", "alarms", "fit", "watch"}

# Sections whose keys may be options of verbs, and what their models are called.
_WITH_OPTIONS = (("convert", "Convert"), ("imatrix", "Imatrix"), ("quantize", "Quant"))

AllowedTypes = Callable[[str, Path], Vocabulary]

_SENTENCES = {
    "string_type": "must be text; put it in quotes if it is",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "mapping_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "is_instance_of": "must be a path",
    "path_type": "must be a path",
    "string_too_short": "must not be empty",
    "too_long": "has more entries than any recipe needs (500)",
    "finite_number": "must be a finite number",
}


def load(path: Path, allowed_types: AllowedTypes, *, check_files: bool = True) -> Recipe:
    """Read and validate one recipe.

    Args:
        path: The recipe; files that it names are relative to it.
        allowed_types: What the tool chain of this name allows to a recipe in this folder. It
            raises an OrchestrateError for a tool chain that it does not know.
        check_files: Whether files and folders that the recipe names must exist.

    Raises:
        RecipeError: With every problem of the recipe.
    """
    tree = _with_defaults(read_tree(path))
    problems: list[Problem] = []
    vocabulary = _vocabulary(tree, path.parent, allowed_types, problems)
    tree = _with_encoders_measures(tree, vocabulary)
    context = {"vocabulary": vocabulary, "check_files": check_files}
    document = None
    try:
        document = Document.model_validate(tree.data, context=context)
    except ValidationError as error:
        problems += [_problem(tree, details) for details in error.errors(include_url=False)]
    problems += [
        Problem(tree.mark(loc), loc, text) for loc, text in findings(tree.data, vocabulary)
    ]
    if problems or document is None:
        raise RecipeError(sorted(_said_once(tree, problems), key=_place))
    return _recipe(document, path)


def load_many(
    paths: Iterable[Path], allowed_types: AllowedTypes, *, check_files: bool = True
) -> tuple[Recipe, ...]:
    """Read and validate recipes that are used together; their names must differ.

    Raises:
        RecipeError: With every problem of every recipe.
    """
    recipes: dict[str, Recipe] = {}
    problems: list[Problem] = []
    once = cache(allowed_types)  # most lie in one folder and are of one tool chain
    for path in paths:
        try:
            recipe = load(path, once, check_files=check_files)
        except RecipeError as error:
            problems += error.problems
            continue
        other = recipes.setdefault(recipe.name.casefold(), recipe)
        if other is not recipe and not _same_file(other.file, path):
            problems.append(Problem(Mark(path), ("name",), f"{other.file} has this name too"))
    if problems:
        raise RecipeError(problems)
    return tuple(recipes.values())


def schema_text(vocabularies: Iterable[Vocabulary]) -> str:
    """The JSON Schema of recipes, for editors and the reference page; ends with a newline.

    It offers what any of the tool chains allows; whether that of a recipe does is for
    ``check`` to say.
    """
    schema = Document.model_json_schema()
    _offer(schema, tuple(vocabularies))
    # A recipe that extends another may inherit all but its name.
    inherited = [name for name in schema["required"] if name != "name"]
    schema["required"] = ["name"]
    schema["anyOf"] = [{"required": ["extends"]}, {"required": inherited}]
    for model in (schema, *schema["$defs"].values()):
        kept = {"name", "extends"} if model is schema else set()
        for name, value in model.get("properties", {}).items():
            model["properties"][name] = value if name in kept else _droppable(value)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **schema, "title": "Recipe"}, indent=2) + "\n"


def _droppable(value: Mapping[str, Any]) -> dict[str, Any]:
    """A property that may also be null, which drops what the recipe inherits."""
    about = {name: value[name] for name in ("title", "description", "default") if name in value}
    inner = {name: item for name, item in value.items() if name not in about}
    allowed = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    null = {"type": "null"}
    return {"anyOf": [*allowed, *([] if null in allowed else [null])], **about}


def _offer(schema: dict[str, Any], vocabularies: Sequence[Vocabulary]) -> None:
    """Write what tool chains allow into the schema of the models, which do not know it."""
    choice, convert = (schema["$defs"][name] for name in ("ToolChainChoice", "Convert"))
    offered = {
        "backend": (choice, [one.backends for one in vocabularies]),
        "profile": (choice, [one.profiles for one in vocabularies]),
        "outtype": (convert, [one.outtypes for one in vocabularies]),
    }
    for name, (model, lists) in offered.items():
        field = model["properties"][name]
        field["enum"] = list(dict.fromkeys(item for listed in lists for item in listed))
        usual = {listed[0] for listed in lists if listed}
        field["default"] = usual.pop() if len(usual) == 1 else None
    for section, name in _WITH_OPTIONS:
        model = schema["$defs"][name]
        model["additionalProperties"] = False
        for one in vocabularies:
            for key_, option in (one.options or {}).get(section, {}).items():
                model["properties"].setdefault(key_, option.json_schema())
    del schema["properties"]["convert"]["default"]


def _with_defaults(tree: Tree) -> Tree:
    """The tree with the recipe's defaults in each of its files that does not say otherwise."""
    given, files = tree.data.get("defaults"), tree.data.get("quantize")
    if not isinstance(given, Mapping) or not isinstance(files, tuple):
        return tree
    known = {name: value for name, value in given.items() if name in QuantDefaults.model_fields}
    filled = tuple({**known, **one} if isinstance(one, Mapping) else one for one in files)
    return replace(tree, data={**tree.data, "quantize": filled})


def _with_encoders_measures(tree: Tree, vocabulary: Vocabulary) -> Tree:
    """The tree with what is measured of encoders, where a recipe of one is silent about it."""
    verify = tree.data.get("verify", {})
    if tree.data.get("family") not in vocabulary.encoders or not isinstance(verify, Mapping):
        return tree
    usual: dict[str, Any] = {
        name: {} for name, one in registry.sections().items() if one.of_encoders
    }
    return replace(tree, data={**tree.data, "verify": {**usual, **verify}})


def _said_once(tree: Tree, problems: Sequence[Problem]) -> list[Problem]:
    """Problems without those of defaults that come again with each file."""
    wrong = {
        problem.loc[1]
        for problem in problems
        if problem.loc[:1] == ("defaults",) and len(problem.loc) > 1
    }
    return [
        problem
        for problem in problems
        if problem.loc[:1] != ("quantize",)
        or problem.loc in tree.values
        or problem.loc[-1] not in wrong
    ]


def _vocabulary(
    tree: Tree, folder: Path, allowed_types: AllowedTypes, problems: list[Problem]
) -> Vocabulary:
    chosen = tree.data.get("toolchain")
    chosen = chosen if isinstance(chosen, Mapping) else {}
    name = chosen.get("name")
    if not isinstance(name, str):
        return Vocabulary()
    try:
        allowed = allowed_types(name, folder)
    except OrchestrateError as error:
        text = " ".join(part.rstrip(".") for part in (error.message + ".", error.hint) if part)
        problems.append(Problem(tree.mark(("toolchain", "name")), ("toolchain", "name"), text))
        return Vocabulary()
    # Another commit may convert other models than the one that the data describes.
    return (
        replace(allowed, families=()) if chosen.keys() & {"commit", "release", "tools"} else allowed
    )


def _place(problem: Problem) -> tuple[str, int, int]:
    return str(problem.mark.file), problem.mark.line, problem.mark.column


def _same_file(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _recipe(document: Document, path: Path) -> Recipe:
    own = {name: getattr(document, name) for name in Document.model_fields}
    own["verify"] = document.verify.model_copy(update={"sha256": _spelled(document)})
    final = Document.model_construct(**own)
    content = portable(_digested(final), path.parent)
    order = [quant.order for quant in document.quantize]
    content |= {"order": order} if any(order) else {}  # keys of canonical JSON are sorted
    return Recipe.model_construct(**own, file=path, digest=key(content))


def _digested(document: Document) -> dict[str, Any]:
    """What the digest is of: sections and limits that are new and unset are left out of it.

    So a new measure leaves the digests of recipes as they were that do not use it.
    """
    content = document.model_dump(exclude=_APART)
    new = {name for name, one in registry.sections().items() if not one.in_digest}
    _drop_unset(content, ("mmproj", "mtp", "header", "adapters"))
    _drop_unset(content["model"], ("lora", "mergekit"))
    _drop_unset(content["verify"], new)
    _drop_unset(content["toolchain"], ("release", "tools"))
    for name in (None, "base", "delta"):
        _drop_unset((content["model"][name] if name else content["model"]) or {}, ("subfolder",))
    _drop_unset(content["convert"], ("drop",))
    _drop_unset(content["imatrix"] or {}, ("file", "more", "recorded_as"))
    unset = {"texts", *(limit.key for _, limit in registry.limits() if not limit.in_digest)}
    for part in (content["verify"], *content["quantize"]):
        _drop_unset(part["limits"], unset)
    return content


def _drop_unset(part: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if not part.get(name, True):
            del part[name]


def _spelled(document: Document) -> dict[str, str]:
    """The checksums under the files' own names, whatever case the recipe writes them in."""
    names = (document.converted_name, *(quant.name for quant in document.quantize), *document.parts)
    spelled = {name.casefold(): name for name in names}
    return {spelled[name.casefold()]: value for name, value in document.verify.sha256.items()}


def portable(value: Any, folder: Path) -> Any:
    """JSON with paths relative to the recipe: the same digest wherever it is checked out."""
    if value is None or type(value) in (str, int, bool, float):
        return value
    if isinstance(value, Path):
        return Path(os.path.relpath(value, folder)).as_posix()
    if isinstance(value, Mapping):
        return {name: portable(item, folder) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [portable(item, folder) for item in value]
    return value


def _problem(tree: Tree, details: ErrorDetails) -> Problem:
    # A key of a mapping is reported by pydantic as (..., key, "[key]").
    loc: Loc = tuple(part for part in details["loc"] if part != "[key]")
    unknown = details["type"] == "extra_forbidden"
    return Problem(tree.mark(loc, key=unknown), loc, _sentence(loc, details))


def _sentence(loc: Loc, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {loc[-1]!r}{near(str(loc[-1]), _fields_at(loc[:-1]))}"
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", str(context["expected"]))
        given = details["input"]
        return f"{given!r} is not one of {', '.join(known)}{near(str(given), known)}"
    if kind == "value_error":
        return str(context["error"])
    message = details["msg"]
    return _SENTENCES.get(kind, message.replace("Input should", "must"))


def _fields_at(loc: Loc) -> Iterable[str]:
    """The keys that a recipe may have at a place."""
    annotation: Any = Document
    for part in loc:
        annotation = _inside(annotation, part)
    return annotation.model_fields if _is_model(annotation) else ()


def _inside(annotation: Any, part: str | int) -> Any:
    if _is_model(annotation):
        field = annotation.model_fields.get(part)
        return _unwrapped(field.annotation) if field else None
    arguments = get_args(annotation)
    return _unwrapped(arguments[0 if isinstance(part, int) else -1]) if arguments else None


def _is_model(annotation: Any) -> bool:
    # Not issubclass(): Python 3.10 takes tuple[...] for a class until it is asked that.
    return hasattr(annotation, "model_fields")


def _unwrapped(annotation: Any) -> Any:
    """The annotation without Annotated and Optional."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation
