"""Write which architectures a tool chain's converter knows, from its own sources.

    python scripts/list_architectures.py SOURCE vendor/llama.cpp/architectures.yaml

SOURCE is llama.cpp's checkout, or ``src`` of its build in the store. The converter's modules
are read, not run: each class of a model is registered under the names that config.json's
``architectures`` uses, and says as ``model_arch`` what GGUF calls it.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

HEAD = """\
# Which architectures of config.json the pinned converter knows, and what GGUF calls each.
# Written by scripts/list_architectures.py; exceptions of ours are in families.yaml.
"""
# Parts of a model that see or hear: they become files of their own beside the model's.
NOT_TEXT = "MMPROJ"


def main() -> None:
    """Read the sources and write the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    given = parser.parse_args()
    found = architectures(given.source)
    lines = [f"{name}: {family}" for name, family in sorted(found.items())]
    given.target.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def architectures(source: Path) -> dict[str, str]:
    """Names that the converter can look up, with their GGUF architecture."""
    names = gguf_names(source / "gguf-py" / "gguf" / "constants.py")
    known = converted(source / "conversion" / "__init__.py")
    found = {}
    for path in sorted((source / "conversion").glob("*.py")):
        for architecture, kind in registered(ast.parse(path.read_text("utf-8"))):
            if architecture in known and kind != NOT_TEXT:
                found[architecture] = names[kind]
    # Some names lead to a module whose classes only take the part that sees or hears.
    for name in sorted(known - found.keys()):
        print(f"left out, since no class of a text model has this name: {name}")
    return found


def _table(path: Path, name: str) -> ast.Dict:
    """The dictionary that a module assigns to a name."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.value, ast.Dict)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
        ):
            return node.value
    raise SystemExit(f"{path} has no table {name}")


def gguf_names(path: Path) -> Mapping[str, str]:
    """GGUF's names by the constant that stands for each, such as LLAMA: llama."""
    table = _table(path, "MODEL_ARCH_NAMES")
    return {
        key.attr: value.value
        for key, value in zip(table.keys, table.values, strict=True)
        if isinstance(key, ast.Attribute)
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
    }


def converted(path: Path) -> set[str]:
    """The names that the converter looks up before it loads any class."""
    keys = _table(path, "TEXT_MODEL_MAP").keys
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def registered(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Registered names of a module's classes, each with the class's ``model_arch``."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and (kind := _model_arch(node)):
            for decorator in node.decorator_list:
                yield from ((name, kind) for name in _arguments(decorator))


def _model_arch(node: ast.ClassDef) -> str:
    for statement in node.body:
        if (
            isinstance(statement, ast.Assign)
            and isinstance(statement.targets[0], ast.Name)
            and statement.targets[0].id == "model_arch"
            and isinstance(statement.value, ast.Attribute)
        ):
            return statement.value.attr
    return ""


def _arguments(decorator: ast.expr) -> Iterator[str]:
    """The texts of ``@ModelBase.register("A", "B")``."""
    if (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr == "register"
    ):
        yield from (str(one.value) for one in decorator.args if isinstance(one, ast.Constant))


if __name__ == "__main__":
    main()
