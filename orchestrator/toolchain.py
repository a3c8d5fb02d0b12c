"""``vendor/<name>/toolchain.yaml`` as typed, frozen values: pins, build, verbs, types.

Nothing here starts a process or asks the network. Upstream's flags, binary names and
output patterns are data; this module only gives them names and fills in values.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.digest import file_sha256, key
from orchestrator.errors import UsageError

VENDOR = Path(__file__).resolve().parent.parent / "vendor"

Argument = str | dict[str, Any]
_BELOW_A_PLACE = re.compile(r"\{\w+\}/")


class Data(BaseModel):
    """Base of all tool-chain data: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Mirror(Data):
    """Another place for the same source: an sdist with upstream's git folder or its tree.

    ``git_dir`` is a git folder inside the archive that holds the pinned commit; ``tree`` is
    the plain source tree, which then is trusted by the archive's ``sha256`` alone.
    """

    pypi: str
    version: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    git_dir: str = ""
    tree: str = ""


class Source(Data):
    """Where upstream's source comes from; every place must give the same commit.

    ``tried`` are other commits that the data is known to hold for; ``renamed`` says what
    programs and scripts were called before, for those of which nobody knows.
    """

    git: str = ""
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    mirrors: tuple[Mirror, ...] = ()
    tried: tuple[str, ...] = ()
    renamed: Mapping[str, str] = {}


class Command(Data):
    """One command of a build's self-test: its argv and a pattern its output must contain."""

    argv: tuple[Argument, ...]
    expect: str = ""


class Build(Data):
    """How the native tools are built and what of the result is kept.

    ``options`` go to every build, ``profiles``, ``backends`` and ``platforms`` add to them.
    ``profiles`` may depend on the processor: ``portable@x86_64`` wins over ``portable``;
    ``backends`` on the system: ``cpu@darwin`` wins over ``cpu``.
    ``sources`` are glob patterns of source files to keep beside the binaries.
    ``overlay`` maps paths in the source to files of the data that take their place;
    ``cmakelists`` is such a file for upstreams that have none. Where make is wanted and not
    installed, a build with ``cmakelists`` is done with cmake instead.
    """

    system: Literal["cmake", "make"] = "cmake"
    cmakelists: str = ""
    overlay: Mapping[str, str] = {}
    targets: tuple[str, ...]
    options: tuple[str, ...] = ()
    profiles: Mapping[str, tuple[str, ...]] = {"portable": ()}
    backends: Mapping[str, tuple[str, ...]] = {"cpu": ()}
    platforms: Mapping[str, tuple[str, ...]] = {}
    binaries: tuple[str, ...] = ("bin",)
    products: tuple[str, ...]
    sources: tuple[str, ...] = ()
    self_test: tuple[Command, ...] = ()

    def arguments(
        self, profile: str, backend: str, platform: str = sys.platform, machine: str = ""
    ) -> tuple[str, ...]:
        """All build options of one profile, back end, platform and processor.

        Raises:
            UsageError: The tool chain knows no such profile or back end.
        """
        chosen = self.profiles.get(f"{profile}@{machine}", self.profiles.get(profile))
        if chosen is None:
            known = sorted({name.partition("@")[0] for name in self.profiles})
            raise UsageError(f"unknown build profile {profile!r}", f"Known: {', '.join(known)}.")
        if backend not in self.backends:
            raise UsageError(
                f"unknown back end {backend!r}", f"Known: {', '.join(sorted(self.backends))}."
            )
        special = self.backends.get(f"{backend}@{platform}", self.backends[backend])
        return (*self.options, *chosen, *special, *self.platforms.get(platform, ()))


class ExtraIndex(Data):
    """A package index used beside the default one when its host answers."""

    url: str
    why: str = ""


class Environment(Data):
    """The Python environment of a tool chain's converters and checks."""

    requirements: str = "requirements.txt"
    extra_index: ExtraIndex | None = None
    install_env: Mapping[str, str] = {}
    imports: tuple[str, ...] = ()


class KnownError(Data):
    """A failure that the tool's output explains: pattern, sentence and what to do.

    ``say`` and ``hint`` may use the pattern's named groups.
    """

    match: str
    say: str
    hint: str = ""


class Expect(Data):
    """What the output of a successful call looks like, for tools whose exit code lies.

    ``count`` maps a pattern to the name of a value that its number of matches must equal,
    ``number`` one to the name of a value that its group must equal.
    ``echo`` maps the name of a value to a pattern that the value must follow word for word,
    for tools that say what they understood of it.
    """

    match: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    count: Mapping[str, str] = {}
    number: Mapping[str, str] = {}
    echo: Mapping[str, str] = {}


class Verb(Data):
    """One thing the tool chain can do: its argv template and how to read its output.

    An argument is a string with ``{values}``, or ``{if: name, then: [...]}`` that stays
    when the value is given and true (``unless`` when not), or ``{each: name, then: [...]}``
    repeated with ``{item}`` (and ``{key}`` for mappings).
    """

    argv: tuple[Argument, ...]
    env: Mapping[str, str] = {}
    progress: str = ""
    progress_total: float = 0
    unit: str = ""
    expect: Expect = Expect()
    values: Mapping[str, str] = {}
    lists: Mapping[str, str] = {}
    output: Literal["text", "json"] = "text"
    errors: tuple[KnownError, ...] = ()
    timeout: float | None = None

    def expand(self, values: Mapping[str, Any]) -> list[str]:
        """The argv for these values.

        Raises:
            KeyError: The template names a value that is not given.
        """
        return expand(self.argv, values)


class QuantType(Data):
    """One quantization type: what the tool is given, and the tensor types it mixes.

    ``mix`` are the tensor types that belong to the type; any other quantized tensor in
    the result is a fallback. ``imatrix`` says whether the type cannot do without one,
    ``bits`` is the nominal number of bits per weight, for estimates.
    """

    argument: str = ""
    aliases: tuple[str, ...] = ()
    mix: tuple[str, ...] = ()
    imatrix: Literal["", "required"] = ""
    bits: float = 0
    about: str = ""


class ToolChain(Data):
    """One pinned upstream: everything that Python does not need to know about it.

    ``inputs`` are the layouts of models that it reads: ``hf``, ``gguf``, ``ggml``, ``pth``.
    """

    name: str
    about: str = ""
    format: Literal["gguf", "ggml"]
    layout: str = ""
    extension: str
    source: Source
    build: Build
    environment: Environment | None = None
    verbs: Mapping[str, Verb]
    types: Mapping[str, QuantType]
    tensor_types: tuple[str, ...] = ()
    outtypes: tuple[str, ...] = ("f16",)
    inputs: tuple[str, ...] = ("hf",)
    folder: Path

    def verb(self, name: str) -> Verb:
        """The verb of this name.

        Raises:
            UsageError: The tool chain cannot do that.
        """
        if name not in self.verbs:
            raise UsageError(
                f"tool chain {self.name} cannot {name}",
                f"It can: {', '.join(sorted(self.verbs))}.",
            )
        return self.verbs[name]

    def canonical_type(self, name: str) -> str | None:
        """The data's spelling of a type's name or alias, whatever its case; None if unknown."""
        wanted = name.upper()
        for known, spec in self.types.items():
            if wanted == known.upper() or wanted in (alias.upper() for alias in spec.aliases):
                return known
        return None

    def data_files(self, verb: Verb) -> dict[str, str]:
        """SHA-256 of the files of ``vendor/<name>/`` that a verb's argv names by ``{data}/``."""
        text = repr(verb.argv)
        names = sorted(set(re.findall(r"\{data\}/([\w./-]+)", text)))
        return {name: file_sha256(self.folder / name) for name in names}

    def verb_identity(self, name: str) -> dict[str, Any]:
        """What of a verb can change the bytes it makes: its argv, environment and scripts."""
        verb = self.verb(name)
        return {
            "argv": list(verb.argv),
            "env": dict(verb.env),
            "files": self.data_files(verb),
        }


def expand(template: Sequence[Argument], values: Mapping[str, Any]) -> list[str]:
    """Fill an argv template; see :class:`Verb` for its grammar."""
    argv: list[str] = []
    for item in template:
        if isinstance(item, str):
            argv.append(_filled(item, values))
        elif "if" in item:
            argv += expand(item["then"], values) if values.get(item["if"]) else []
        elif "unless" in item:
            argv += [] if values.get(item["unless"]) else expand(item["then"], values)
        else:
            argv += _repeat(item, values)
    return argv


def _filled(item: str, values: Mapping[str, Any]) -> str:
    """One argument; paths below a place get Windows' separator where programs end in .exe."""
    if values.get("exe") and _BELOW_A_PLACE.match(item):
        item = item.replace("/", "\\")
    return item.format_map(values)


def _repeat(item: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    several = values.get(item["each"]) or ()
    pairs = several.items() if isinstance(several, Mapping) else enumerate(several)
    argv: list[str] = []
    for name, value in pairs:
        argv += expand(item["then"], {**values, "key": name, "item": value})
    return argv


def names(vendor: Path = VENDOR) -> tuple[str, ...]:
    """The names of all tool chains under ``vendor``."""
    return tuple(sorted(path.parent.name for path in vendor.glob("*/toolchain.yaml")))


@lru_cache(maxsize=32)
def load(name: str, vendor: Path = VENDOR) -> ToolChain:
    """The tool chain of this name; UsageError when there is none, or its data is wrong."""
    path = vendor / name / "toolchain.yaml"
    if name not in names(vendor):
        raise UsageError(
            f"unknown tool chain {name!r}", f"Known: {', '.join(names(vendor)) or 'none'}."
        )
    try:
        loaded = yaml.load(path.read_text("utf-8"), Loader=_loader())  # noqa: S506 - a safe loader
        return ToolChain.model_validate({**loaded, "name": name, "folder": path.parent})
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise UsageError(f"{path}: {error}", "Mend the tool chain's data.") from error


def _loader() -> type[yaml.SafeLoader]:
    """The C loader reads this data twenty times faster, where PyYAML has it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def build_identity(chain: ToolChain, options: Sequence[str], commit: str) -> dict[str, Any]:
    """What of a tool chain can change the bytes of its build: the parameters of that step."""
    build = chain.build
    named = re.findall(r"\{data\}/([\w./-]+)", repr(build.self_test))
    ours = [build.cmakelists] if build.cmakelists else []
    files = sorted({*named, *ours, *build.overlay.values()})
    chosen = {"profiles", "backends", "platforms"} | (set() if build.overlay else {"overlay"})
    return {
        "name": chain.name,
        "commit": commit,
        "trees": [mirror.sha256 for mirror in chain.source.mirrors if mirror.tree],
        "build": build.model_dump(mode="json", exclude=chosen),
        "options": list(options),
        "files": {name: file_sha256(chain.folder / name) for name in files},
    }


def environment_identity(chain: ToolChain) -> dict[str, Any] | None:
    """The parameters of the environment step, or None for a chain that needs none."""
    if chain.environment is None:
        return None
    requirements = (chain.folder / chain.environment.requirements).read_text("utf-8")
    return {
        "requirements": requirements,
        "install_env": dict(chain.environment.install_env),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "platform": sys.platform,
    }


def data_digest(chain: ToolChain) -> str:
    """Digest of the whole data folder, for locks and provenance."""
    files = sorted(path for path in chain.folder.rglob("*") if path.is_file())
    return key({path.relative_to(chain.folder).as_posix(): file_sha256(path) for path in files})
