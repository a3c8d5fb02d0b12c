"""What ORCHESTRATE_REMOTE says: addresses with marks, or the name of a YAML file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from orchestrator.base import yaml_file
from orchestrator.base.errors import UsageError
from orchestrator.engine.shared_cache import remote_folder
from orchestrator.engine.shared_cache.places import VARIABLE, Place, Remote
from orchestrator.sources.http_client import without_secrets

_MARKS = ("read-only", "private")
_EXAMPLE = "Write addresses such as s3://bucket/prefix or file:///mnt/cache#private."


def _address(url: str) -> str:
    if "://" not in url or url.partition("://")[2].strip("/") == "":
        raise ValueError("this is no address of a cache")  # it may hold a password
    scheme = url.partition("://")[0]
    if not remote_folder.knows(scheme):
        raise ValueError(f"no library knows addresses that begin with {scheme}://")
    return url.rstrip("/")


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _PlaceEntry(_Frozen):
    url: Annotated[str, AfterValidator(_address)]
    read_only: bool = False
    private: bool = False


class _File(_Frozen):
    places: list[_PlaceEntry]
    trust: list[str] = []
    sign_key: str = ""
    patience: float = Field(default=Remote.patience, gt=0)
    finish: float = Field(default=Remote.finish, ge=0)


def from_environment(environ: Mapping[str, str] = os.environ) -> Remote:
    """The caches that ORCHESTRATE_REMOTE names: addresses, or one YAML file; none without it.

    Raises:
        UsageError: It names none that can be, or the file holds what it must not.
    """
    stated = environ.get(VARIABLE, "").strip()
    if not stated:
        return Remote()
    if stated.endswith((".yaml", ".yml")) and "://" not in stated:
        return _of_file(Path(stated).expanduser())
    entries = [_marked(word) for word in stated.split()]
    trust = environ.get(f"{VARIABLE}_TRUST", "")
    content = {
        "places": entries,
        "trust": [path for path in trust.split(os.pathsep) if path],
        "sign_key": environ.get(f"{VARIABLE}_SIGN_KEY", ""),
    }
    return _checked(content, VARIABLE, Path())


def _marked(word: str) -> dict[str, str | bool]:
    url, _, marks = word.partition("#")
    named = marks.split(",") if marks else []
    if not set(named) <= set(_MARKS):
        raise UsageError(
            f"{VARIABLE}: {without_secrets(url)} is marked {marks!r}",
            f"Marks are {' and '.join(_MARKS)}, after a '#', with a comma between two.",
        )
    return {"url": url, **{mark.replace("-", "_"): True for mark in named}}


def _of_file(path: Path) -> Remote:
    import yaml  # noqa: PLC0415 - only where there is such a file

    try:
        content = yaml_file.read(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path}, which {VARIABLE} names, cannot be read: {why}") from error
    return _checked(content, str(path), path.absolute().parent)


def _checked(content: object, where: str, folder: Path) -> Remote:
    try:
        found = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        said = first["msg"].removeprefix("Value error, ")
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {said}" if place else "it is no table with 'places'"
        raise UsageError(f"{where}: {why}", _EXAMPLE) from None
    return Remote(
        tuple(Place(one.url, one.read_only, one.private) for one in found.places),
        tuple(_key(one, where, folder) for one in found.trust),
        _key(found.sign_key, where, folder) if found.sign_key else None,
        found.patience,
        found.finish,
    )


def _key(name: str, where: str, folder: Path) -> Path:
    path = folder / Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{where}: there is no key {path}", "Name a PEM file.")
    return path
