"""``vendor/<name>/toolchain.yaml`` as typed, frozen values: pins, build, verbs, types.

Nothing here starts a process or asks the network. Upstream's flags, binary names and
output patterns are data; :mod:`orchestrator.toolchain.model` names them, this module loads
them and says what of them can change bytes. Files are read by :func:`load` alone: a
:class:`ToolChain` holds their digests, so that planning with one reads nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, PrivateAttr, ValidationError, field_validator

from orchestrator.base import installed_data, yaml_file
from orchestrator.base.digest import file_sha256, key
from orchestrator.base.errors import UsageError
from orchestrator.toolchain import variants
from orchestrator.toolchain.backend_needs import BackendNeeds
from orchestrator.toolchain.data import Data, wrong
from orchestrator.toolchain.harmless_tensor import HarmlessTensor
from orchestrator.toolchain.installed import Tools
from orchestrator.toolchain.model import (
    AllVerbs,
    Build,
    Compared,
    Environment,
    Installed,
    Mirror,
    OutType,
    Program,
    QuantType,
    Source,
    Verb,
)
from orchestrator.toolchain.variants import Listed, Variant
from orchestrator.toolchain.verb_option import Option

# The sections of a recipe whose keys may be options of verbs, and the verbs whose they are.
_SECTIONS = (
    ("convert", ("convert", "import_ggml")),
    ("imatrix", ("imatrix",)),
    ("quantize", ("quantize",)),
)
# Verbs that say what others will make, or sizes would be predicted of another file.
_PREDICTS = (("convert", "describe"), ("quantize", "plan_quantize"))
VENDOR = installed_data.TOOLCHAINS
DATA = "toolchain.yaml"


class ToolChain(Data):
    """One pinned upstream: everything that Python does not need to know about it."""

    name: str = Field(description="Not written: the name of the folder.")
    about: str = Field(default="", description="One sentence for lists.")
    format: Literal["gguf", "ggml"] = Field(description="What it makes.")
    layout: str = Field(default="", description="Which blocks its GGML files have.")
    extension: str = Field(description="How its files' names end.")
    source: Source = Field(description="Where its source comes from.")
    build: Build = Field(description="How it is built.")
    backend_needs: Mapping[str, BackendNeeds] = Field(
        default={}, description="What back ends need of the machine, by name."
    )
    programs: Mapping[str, Program] = Field(
        default={}, description="Programs that are only built when a verb needs them, by name."
    )
    installed: Installed | None = Field(
        default=None,
        description="How installed tools are used in place of a build, if they can be.",
    )
    compared: Compared | None = Field(
        default=None, description="How builds are told apart by what they make."
    )
    environment: Environment | None = Field(
        default=None, description="Its Python environment, if it needs one."
    )
    verbs: Mapping[str, Verb] = Field(description="What it can do, by name.")
    all_verbs: AllVerbs = Field(
        default=AllVerbs(), description="What holds for calls of every verb."
    )
    types: Mapping[str, QuantType] = Field(description="Its quantization types, by name.")
    tensor_types: tuple[str, ...] = Field(
        default=(), description="Types that recipes may give to single tensors."
    )
    outtypes: Mapping[str, OutType] = Field(
        min_length=1,
        description="Types that a model can be converted to, by name, the usual one first.",
    )
    inputs: tuple[str, ...] = Field(
        default=("hf",),
        description="Layouts of models that it reads: hf, mistral, gguf, ggml, pth.",
    )
    imatrix_formats: tuple[str, ...] = Field(
        default=("gguf", "dat"), description="Formats of importance matrices that it reads."
    )
    quantized_inputs: tuple[str, ...] = Field(
        default=(),
        description="Methods (quant_method in config.json) by which models may be quantized that "
        "it converts; where none is listed, any is tried.",
    )
    variants: Mapping[str, Variant] = Field(
        default={}, description="What is otherwise for some commits, by name, in order."
    )
    types_listed: Listed | None = Field(
        default=None, description="Where the source lists the types that its quantizer knows."
    )
    held: tuple[str, ...] | None = Field(
        default=None, description="Not written: which variants hold, where anybody looked."
    )
    harmless: tuple[HarmlessTensor, ...] = Field(
        default=(),
        description="Tensors of a source that its converter leaves out and that no file needs.",
    )
    folder: Path = Field(description="Not written: the folder itself.")
    files: Mapping[str, str] = Field(
        default={}, description="Not written: SHA-256 of every file of the folder by its path."
    )
    requirements: str = Field(
        default="", description="Not written: the text of the environment's requirements."
    )
    _pinned: ToolChain | None = PrivateAttr(default=None)
    _tools: Tools | None = PrivateAttr(default=None)

    @field_validator("verbs")
    @classmethod
    def _whole(cls, verbs: Mapping[str, Verb]) -> Mapping[str, Verb]:
        if "bench" in verbs and not verbs["bench"].results:
            raise ValueError("bench needs results: where the speeds stand in what it prints")
        for made, told in _PREDICTS:
            if {made, told} <= verbs.keys():
                missing = verbs[made].options.keys() - verbs[told].options.keys()
                if missing:
                    listed = ", ".join(sorted(missing))
                    raise ValueError(f"{told} lacks {made}'s options {listed}")
        return verbs

    @property
    def options(self) -> dict[str, dict[str, Option]]:
        """The options that a recipe may give, by its section and their name."""
        return {
            section: {
                name: option
                for verb in verbs
                if verb in self.verbs
                for name, option in self.verbs[verb].options.items()
                if not option.layout
            }
            for section, verbs in _SECTIONS
        }

    @property
    def option_defaults(self) -> dict[str, str]:
        """The options that count as named by every recipe, so that keys of steps stay."""
        return dict(self.verbs["convert"].defaults) if "convert" in self.verbs else {}

    @property
    def pinned(self) -> ToolChain | None:
        """The same for the pinned commit, where this is that of another."""
        return self._pinned

    @property
    def tools(self) -> Tools | None:
        """The installed tools that take the place of a build, if any do."""
        return self._tools

    def using(self, tools: Tools | None) -> ToolChain:
        """The same with tools in place of a build, or with a build."""
        changed = self.model_copy()
        changed._tools = tools
        return changed

    def with_packages(self, options: Collection[str]) -> ToolChain:
        """The same with the Python packages that options of its converter need."""
        known = self.verbs["convert"].options if "convert" in self.verbs else {}
        added = [one for name in options if name in known for one in known[name].packages]
        if not added or self.environment is None:
            return self
        layer = {one.partition("==")[0]: one for one in (*added, *self.environment.layer)}
        environment = self.environment.model_copy(update={"layer": tuple(layer.values())})
        return self.model_copy(update={"environment": environment})

    @property
    def spellings(self) -> dict[str, str]:
        """Every name and alias of a type, of any of upstream's commits, and its own name."""
        every = [self.types]
        every += [
            {
                name: QuantType.model_validate(spec)
                for name, spec in one.set["types"].items()
                if spec
            }
            for one in self.variants.values()
            if "types" in one.set
        ]
        return {
            spelling: known
            for types in every
            for known, spec in types.items()
            for spelling in (known, *spec.aliases)
        }

    def at(
        self,
        held: Sequence[str],
        types: Collection[str] = (),
        *,
        folder: str = "",
        origin: str = "",
    ) -> ToolChain:
        """The tool chain as it is for a commit.

        Args:
            held: The names of the variants that hold for it.
            types: What its own quantizer lists, if anybody looked.
            folder: A git folder on this machine that has the commit.
            origin: Where that came from.
        """
        data = variants.applied(
            self.model_dump(exclude={"variants"}),
            [one for name, one in self.variants.items() if name in held],
        )
        data["types"] = variants.without(data["types"], types)
        data["source"] |= {"folder": folder, "origin": origin}
        changed = ToolChain.model_validate({**data, "held": tuple(held)})
        changed = changed.model_copy(update={"variants": self.variants})
        changed._pinned = self
        return changed

    def verb(self, name: str) -> Verb:
        """The verb of this name.

        Raises:
            UsageError: The tool chain cannot do that.
        """
        program = self.tools.missing.get(name) if self.tools else None
        if program:
            raise UsageError(
                f"{name!r} needs {program}, which is not among the installed tools",
                "Put it beside the others, or build the tools: leave out 'tools'.",
            )
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

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 of files of the folder, as they were when it was loaded.

        Raises:
            UsageError: One of them is not there.
        """
        wanted = sorted(set(names))
        missing = [name for name in wanted if name not in self.files]
        if missing:
            raise UsageError(
                f"{self.folder / DATA} names {', '.join(missing)}, which its folder does not have",
                "Add the file, or correct the tool chain's data.",
            )
        return {name: self.files[name] for name in wanted}

    def verb_identity(
        self, name: str, options: Collection[str] = (), unnamed: bool = False
    ) -> dict[str, Any]:
        """What of a verb can change the bytes it makes: its argv, environment and scripts.

        ``options`` are those that a recipe gives; others of the verb change nothing.
        """
        verb = self.verb(name).with_options(options, unnamed)
        return {
            "argv": list(verb.argv),
            "env": dict(verb.env),
            "files": self.digests(_named(verb.argv)),
        }


def _named(argv: object) -> list[str]:
    """The files of the folder that argv templates name by ``{data}/``."""
    return re.findall(r"\{data\}/([\w./-]+)", repr(argv))


def names(vendor: Path = VENDOR) -> tuple[str, ...]:
    """The names of all tool chains under ``vendor``."""
    return tuple(sorted(path.parent.name for path in vendor.glob(f"*/{DATA}")))


@lru_cache(maxsize=32)
def load(name: str, vendor: Path = VENDOR) -> ToolChain:
    """The tool chain of this name; UsageError when there is none, or its data is wrong."""
    path = vendor / name / DATA
    if name not in names(vendor):
        raise UsageError(
            f"unknown tool chain {name!r}", f"Known: {', '.join(names(vendor)) or 'none'}."
        )
    try:
        loaded = yaml_file.read(path)
        chain = ToolChain.model_validate({**loaded, "name": name, "folder": path.parent})
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise wrong(path, error) from error
    return with_files(chain)


def with_files(chain: ToolChain) -> ToolChain:
    """The tool chain with what its folder's files hold now; each is hashed once.

    Raises:
        UsageError: The file with its environment's requirements cannot be read.
    """
    folder = chain.folder
    found = sorted(path for path in folder.rglob("*") if _is_data(path))
    files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in found}
    text = ""
    if chain.environment is not None:
        path = folder / chain.environment.requirements
        try:
            text = path.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise wrong(path, error) from error
    update = {"files": files, "requirements": text, "source": _with_sdists(chain.source, folder)}
    return chain.model_copy(update=update)


def _with_sdists(source: Source, folder: Path) -> Source:
    """The source with the mirrors of its table: text, since it is long and seldom needed."""
    if source.sdists is None:
        return source
    package, git_dir, path = source.sdists.pypi, source.sdists.git_dir, source.sdists.table
    try:
        lines = (folder / path).read_text("utf-8").splitlines()
        rows = [line.split() for line in lines if line and not line.startswith("#")]
        more = tuple(
            Mirror(pypi=package, version=version, commit=commit, sha256=sha256, git_dir=git_dir)
            for version, commit, sha256 in rows
        )
    except (OSError, ValueError) as error:
        raise wrong(folder / path, error) from error
    return source.model_copy(update={"mirrors": (*source.mirrors, *more)})


def build_identity(chain: ToolChain, options: Sequence[str], commit: str) -> dict[str, Any]:
    """What of a tool chain can change the bytes of its build: the parameters of that step."""
    build = chain.build
    ours = [build.cmakelists] if build.cmakelists else []
    files = [*_named(build.self_test), *ours, *build.overlay.values()]
    chosen = {"profiles", "backends", "platforms", "refused"}
    chosen |= set() if build.overlay else {"overlay"}
    return {
        "name": chain.name,
        "commit": commit,
        "trees": [mirror.sha256 for mirror in chain.source.mirrors if mirror.tree],
        "build": build.model_dump(mode="json", exclude=chosen),
        "options": list(options),
        "files": chain.digests(files),
    }


def tools_identity(chain: ToolChain, commit: str) -> dict[str, Any]:
    """What of installed tools can change what is made with them: their bytes, mostly."""
    assert chain.tools is not None
    build = chain.build
    return {
        "name": chain.name,
        "commit": commit,
        "build": build.model_dump(mode="json", include={"sources", "self_test"}),
        "options": [],
        "tools": dict(chain.tools.digests),
        "files": chain.digests(_named(build.self_test)),
    }


def program_identity(chain: ToolChain, name: str, build: Mapping[str, Any]) -> dict[str, Any]:
    """What can change the bytes of a program; ``build`` are the parameters of the build's step."""
    program = chain.programs[name]
    parts = {"system": "cmake", "binaries": ["."], "sources": [], "self_test": [], "overlay": {}}
    return {
        "commit": build["commit"],
        "build": {**program.model_dump(mode="json"), **parts},
        "options": build["options"],
        "files": chain.digests([program.cmakelists]),
    }


def environment_identity(chain: ToolChain) -> dict[str, Any] | None:
    """The parameters of the environment step, or None for a chain that needs none."""
    if chain.environment is None:
        return None
    return {
        "requirements": chain.requirements,
        "install_env": dict(chain.environment.install_env),
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "platform": sys.platform,
    }


def _is_data(path: Path) -> bool:
    """Not what Python makes of scripts when a package is installed."""
    return path.is_file() and path.parent.name != "__pycache__"


def data_digest(chain: ToolChain) -> str:
    """Digest of the whole data folder, for locks and provenance."""
    return key(chain.files)
