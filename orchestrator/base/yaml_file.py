"""YAML that is data, not a recipe: tables of hundreds of lines that every command reads, locks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read(path: Path) -> Any:
    """The content of a file.

    Raises:
        OSError, yaml.YAMLError: It cannot be read, or is no YAML.
    """
    return parse(path.read_bytes())


def parse(text: bytes) -> Any:
    """The value of a YAML text in UTF-8.

    Raises:
        yaml.YAMLError: It is no YAML, or holds a value that Python cannot: a date of no
            calendar, a number of thousands of digits, nesting without end.
    """
    # Twenty times faster, where PyYAML was built with it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(text.decode("utf-8"), Loader=loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        raise
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    # PyYAML hands on whatever the making of a value raised.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        raise yaml.YAMLError(f"it holds what is no value: {error}") from error
