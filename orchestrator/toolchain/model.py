"""The keys of ``vendor/<name>/toolchain.yaml`` as frozen models; the reference is made of them.

Nothing here knows what a tool chain is for: :mod:`orchestrator.toolchain.load` gives the values
their meaning.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import Field

from orchestrator.base.errors import UsageError
from orchestrator.toolchain.argv_template import Argument, expand
from orchestrator.toolchain.data import Data
from orchestrator.toolchain.tool_results import BenchmarkFields, SavedLogits
from orchestrator.toolchain.verb_option import Option, given

_SHORTEST = 7  # letters of a commit, as upstream writes them itself


class Mirror(Data):
    """Another place for the same source: an sdist with upstream's git folder or its tree."""

    pypi: str = Field(description="Name of the package whose sdist it is.")
    version: str = Field(description="Its exact version.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the sdist.")
    commit: str = Field(default="", description="The commit that it holds; else the pinned one.")
    git_dir: str = Field(
        default="", description="Git folder inside the archive that holds the pinned commit."
    )
    tree: str = Field(
        default="", description="Or the plain source tree in it, which is trusted by sha256 alone."
    )


class Sdists(Data):
    """Many versions of one package, each of which holds upstream's source at another commit."""

    pypi: str = Field(description="Name of the package.")
    git_dir: str = Field(description="Git folder inside the archives.")
    table: str = Field(
        description="File of ours with a line for each: version, commit, SHA-256 of the sdist."
    )


class Tried(Data):
    """A commit that recipes were made with from the source to measured files."""

    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="The commit, whole.")
    date: str = Field(description="Its day, such as 2024-09-25.")
    release: str = Field(default="", description="Upstream's name for it, if it is known: b3821.")
    about: str = Field(default="", description="What is left out or otherwise with it.")
    files: Mapping[str, str] = Field(
        default={}, description="SHA-256 of files that came out, by recipe and name of the file."
    )
    differ: tuple[str, ...] = Field(
        default=(), description="Those of them whose tensors are not those of the pinned commit."
    )


class Source(Data):
    """Where upstream's source comes from; every place must give the same commit."""

    git: str = Field(default="", description="Address of the repository.")
    commit: str = Field(pattern=r"^[0-9a-f]{40}$", description="The pinned commit, whole.")
    mirrors: tuple[Mirror, ...] = Field(
        default=(), description="Places that are tried when git does not answer, in order."
    )
    download: int = Field(
        default=0, ge=0, description="Bytes that getting it fetches, about; plans say it."
    )
    sdists: Sdists | None = Field(
        default=None, description="Such places for other commits than the pinned one."
    )
    tried: tuple[Tried, ...] = Field(
        default=(), description="Other commits that this data is known to hold for."
    )
    folder: str = Field(
        default="", description="Not written: git folder on this machine that has the commit."
    )
    origin: str = Field(default="", description="Not written: where that came from.")

    def known(self, name: str) -> str:
        """The commit that a release or the beginning of a commit means, if it is known here."""
        ids = [self.commit, *(one.commit for one in self.tried)]
        ids += [one.commit for one in self.mirrors if one.commit]
        found = {one for one in ids if len(name) >= _SHORTEST and one.startswith(name)}
        found |= {one.commit for one in self.tried if one.release == name}
        return found.pop() if len(found) == 1 else ""


class Command(Data):
    """One command of a build's self-test."""

    argv: tuple[Argument, ...] = Field(description="Its arguments, as those of verbs.")
    expect: str = Field(default="", description="Pattern that its output must contain.")


class Build(Data):
    """How the native tools are built and what of the result is kept.

    Where make is wanted and not installed, a build with ``cmakelists`` is done with cmake.
    """

    system: Literal["cmake", "make"] = Field(default="cmake", description="What builds it.")
    cmakelists: str = Field(
        default="", description="A CMakeLists.txt of ours, for upstreams that have none."
    )
    overlay: Mapping[str, str] = Field(
        default={}, description="Paths in the source, and the files of ours that take their place."
    )
    targets: tuple[str, ...] = Field(description="What is built.")
    options: tuple[str, ...] = Field(default=(), description="Options of every build.")
    profiles: Mapping[str, tuple[str, ...]] = Field(
        min_length=1,
        description="Options by build profile, the usual one first; portable@x86_64 wins over "
        "portable there.",
    )
    backends: Mapping[str, tuple[str, ...]] = Field(
        min_length=1,
        description="Options by back end, the usual one first; cpu@darwin wins over cpu there.",
    )
    platforms: Mapping[str, tuple[str, ...]] = Field(
        default={}, description="Options by system: linux, darwin, win32."
    )
    refused: Mapping[str, str] = Field(
        default={},
        description="Patterns that no compiler's command may match, by build profile.",
    )
    binaries: tuple[str, ...] = Field(
        default=("bin",), description="Folders of the build where the programs may be."
    )
    products: tuple[str, ...] = Field(description="Patterns of the files there that are kept.")
    sources: tuple[str, ...] = Field(
        default=(), description="Patterns of source files that are kept beside them."
    )
    self_test: tuple[Command, ...] = Field(
        default=(), description="Commands that must work before the build is kept."
    )

    @property
    def profile_names(self) -> tuple[str, ...]:
        """The build profiles that can be chosen, the usual one first."""
        return _bare(self.profiles)

    @property
    def backend_names(self) -> tuple[str, ...]:
        """The back ends that can be chosen, the usual one first."""
        return _bare(self.backends)

    def arguments(
        self, profile: str, backend: str, platform: str = sys.platform, machine: str = ""
    ) -> tuple[str, ...]:
        """All build options of one profile, back end, platform and processor.

        An empty profile or back end is the usual one.

        Raises:
            UsageError: The tool chain knows no such profile or back end.
        """
        return (
            *self.options,
            *self.chosen(profile, backend, platform, machine),
            *self.platforms.get(platform, ()),
        )

    def chosen(
        self, profile: str, backend: str, platform: str = sys.platform, machine: str = ""
    ) -> tuple[str, ...]:
        """The options of a profile and a back end, without which a build is another one.

        Raises:
            UsageError: The tool chain knows no such profile or back end.
        """
        return (
            *_chosen(self.profiles, profile, machine, "build profile"),
            *_chosen(self.backends, backend, platform, "back end"),
        )


class Program(Data):
    """A program of the same source that few recipes need: it is compiled when one does.

    It is linked with the libraries of the build, which therefore stays as it is, and lies
    beside them afterwards.
    """

    cmakelists: str = Field(
        description="A CMakeLists.txt of ours for it alone; BUILT is the folder of the libraries."
    )
    targets: tuple[str, ...] = Field(description="What is built.")
    products: tuple[str, ...] = Field(description="Patterns of the files that are kept.")


class Archives(Data):
    """Upstream's own builds; their names may use {release}."""

    url: str = Field(description="Address of one, with {release} and {name}.")
    names: Mapping[str, tuple[str, ...]] = Field(
        description="By system and processor, such as linux/x86_64, the names that it has had, "
        "the newest first."
    )


class Installed(Data):
    """How installed tools take the place of a build."""

    asked: tuple[str, ...] = Field(
        description="Programs that say with --version what they are; the first there is is asked."
    )
    version: str = Field(
        description="Pattern of what they say, with the groups build and commit, the beginning."
    )
    release: str = Field(default="", description="Upstream's release of a {build}.")
    libraries: tuple[str, ...] = Field(
        description="Patterns of what belongs to them, from the programs' folder."
    )
    bindings: str = Field(
        default="", description="Pattern of the library that bindings of other languages load."
    )
    archives: Archives | None = Field(default=None, description="Upstream's own builds.")


class Compared(Data):
    """What a quantizer makes of a small model, by which builds are told apart."""

    argv: tuple[Argument, ...] = Field(description="The call, with {type} and {output}.")
    types: tuple[str, ...] = Field(description="For which types, where there are such.")
    portable: Mapping[str, Mapping[str, str]] = Field(
        default={}, description="SHA-256 of what the portable build makes, by commit and type."
    )


def _bare(table: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition("@")[0] for name in table))


def _chosen(
    table: Mapping[str, tuple[str, ...]], name: str, variant: str, what: str
) -> tuple[str, ...]:
    known = _bare(table)
    name = name or known[0]
    found = table.get(f"{name}@{variant}", table.get(name))
    if found is None or name not in known:
        raise UsageError(f"unknown {what} {name!r}", f"Known: {', '.join(sorted(known))}.")
    return found


class ExtraIndex(Data):
    """A package index used beside the default one when its host answers."""

    url: str = Field(description="Its address.")
    why: str = Field(default="", description="What it is good for.")


class Environment(Data):
    """The Python environment of a tool chain's converters and checks."""

    requirements: str = Field(
        default="requirements.txt", description="File of ours with the pinned packages."
    )
    extra_index: ExtraIndex | None = Field(default=None, description="A second package index.")
    install_env: Mapping[str, str] = Field(
        default={}, description="Environment variables while packages are installed."
    )
    imports: tuple[str, ...] = Field(
        default=(), description="Modules that must be importable afterwards."
    )
    download: int = Field(
        default=0, ge=0, description="Bytes of all packages, about; plans say it."
    )
    without_compiler: Mapping[str, str] = Field(
        default={},
        description="Environment variables too while packages are installed on a machine without "
        "a compiler; may use {python}.",
    )
    layer: tuple[str, ...] = Field(
        default=(),
        description="Packages of other versions, all that are needed, in a folder before them.",
    )
    mergekit: tuple[str, ...] = Field(
        default=(),
        description="mergekit and the packages that it needs beside the environment's.",
    )


class KnownError(Data):
    """A failure that the tool's output explains."""

    match: str = Field(description="Pattern of the output.")
    say: str = Field(description="The sentence; may use the pattern's named groups.")
    hint: str = Field(default="", description="What to do; the same.")


class KnownNote(Data):
    """Something that a successful call says and that belongs into the report."""

    match: str = Field(description="Pattern of the output.")
    say: str = Field(
        description="The sentence; may use {count} and the named groups of the first match."
    )


class Expect(Data):
    """What the output of a successful call looks like, for tools whose exit code lies."""

    match: tuple[str, ...] = Field(default=(), description="Patterns that must be there.")
    never: tuple[str, ...] = Field(default=(), description="Patterns that must not be there.")
    count: Mapping[str, str] = Field(
        default={},
        description="Patterns, and the name of the value that their number of matches equals.",
    )
    number: Mapping[str, str] = Field(
        default={}, description="Patterns, and the name of the value that their group equals."
    )
    echo: Mapping[str, str] = Field(
        default={},
        description="Values that the tool repeats word for word, and the pattern before them.",
    )


class Verb(Data):
    """One thing the tool chain can do: its argv template and how to read its output.

    An argument is a string with ``{values}``, or ``{if: name, then: [...]}`` that stays
    when the value is given and true (``unless`` when not), or ``{each: name, then: [...]}``
    repeated with ``{item}`` (and ``{key}`` for mappings).
    """

    argv: tuple[Argument, ...] = Field(description="The arguments; see above.")
    program: str = Field(
        default="", description="Of measures: the one of the programs that it calls."
    )
    env: Mapping[str, str] = Field(default={}, description="Environment variables of the call.")
    progress: str = Field(
        default="", description="Pattern of progress, with groups done and perhaps total."
    )
    progress_total: float = Field(default=0, description="The total, where it is not printed.")
    unit: str = Field(default="", description="What is counted, such as tensors or %.")
    expect: Expect = Field(default=Expect(), description="What success looks like.")
    values: Mapping[str, str] = Field(
        default={}, description="Numbers to read, each by a pattern with the group v."
    )
    lists: Mapping[str, str] = Field(
        default={}, description="Lists to read: a pattern whose matches are the entries."
    )
    output: Literal["text", "json"] = Field(
        default="text", description="Whether the tool prints JSON as its result."
    )
    errors: tuple[KnownError, ...] = Field(default=(), description="Failures that are known.")
    notes: tuple[KnownNote, ...] = Field(
        default=(), description="What of a success is told in the report."
    )
    timeout: float | None = Field(default=None, description="Seconds until the call is ended.")
    warm: tuple[str, ...] = Field(
        default=(),
        description="Of a script that this tool chain's Python runs: another script, with its "
        "arguments, that does the imports; one process does them then for many calls.",
    )
    unlisted: tuple[str, ...] = Field(
        default=(), description="Flags of the argv that the program's --help does not speak of."
    )
    pinned: bool = Field(
        default=False,
        description="Whether it runs with the build of the pinned commit, whatever made the file.",
    )
    named_twice: bool = Field(
        default=False,
        description="Of a converter: the model's folder lies in another of the same name.",
    )
    named_by: tuple[Argument, ...] = Field(
        default=(),
        description="Of a converter: what of its argv tells it the model's name; left out where it "
        "is to find one itself.",
    )
    options: Mapping[str, Option] = Field(
        default={},
        description="What recipes may say where they speak of the verb: under convert, under "
        "imatrix or of a quantized file; by name.",
    )
    left_out_by: str = Field(
        default="",
        description="Of a part of a model: the converter's option that keeps it out of the text "
        "model's file.",
    )
    options_after: int | None = Field(
        default=None,
        ge=1,
        description="How many items of the argv come before the options' arguments; without it, "
        "all do.",
    )
    defaults: Mapping[str, str] = Field(
        default={},
        description="Options that are part of a step's key even where no recipe gives them.",
    )
    results: Mapping[Literal["prompt", "generation"], BenchmarkFields] = Field(
        default={}, description="Of a benchmark: where the speeds stand in its JSON."
    )
    saved: SavedLogits | None = Field(
        default=None, description="Of logits: the layout of the file that is saved."
    )

    def given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the options for the argv: the defaults, and what a recipe says.

        Raises:
            UsageError: The verb has no such option, or it takes no such value.
        """
        for name in options.keys() - self.options.keys():
            raise UsageError(
                f"the option {name!r} goes with another tool chain, commit or format of models",
                "Leave it out.",
            )
        for name, value in options.items():
            if problem := self.options[name].problem(value):
                raise UsageError(f"the option {name!r} of this commit: {problem}")
        return {**self.defaults, **{name: given(value) for name, value in options.items()}}

    def with_options(self, names: Collection[str], unnamed: bool = False) -> Verb:
        """The verb whose argv has the arguments of these options.

        Those of others are left out, so that a new option changes no key of a step.

        Args:
            names: The options that a recipe gives.
            unnamed: Whether a converter is to find the model's name itself.
        """
        added: list[Argument] = [
            {"if": name, "then": list(option.argv)}
            for name, option in self.options.items()
            if name in names and option.argv
        ]
        place = len(self.argv) if self.options_after is None else self.options_after
        argv = (*self.argv[:place], *added, *self.argv[place:])
        dropped = self.named_by if unnamed else ()
        return self.model_copy(update={"argv": tuple(one for one in argv if one not in dropped)})

    def expand(self, values: Mapping[str, Any]) -> list[str]:
        """The argv for these values.

        Raises:
            KeyError: The template names a value that is not given.
        """
        return expand(self.argv, values)


class AllVerbs(Data):
    """What holds for the calls of every verb; it changes no bytes and is part of no key."""

    env: Mapping[str, str] = Field(
        default={}, description="Environment variables, unless the verb says otherwise."
    )
    errors: tuple[KnownError, ...] = Field(
        default=(), description="Failures that are known, looked for after the verb's own."
    )

    def added_to(self, verb: Verb) -> Verb:
        """A verb with all this."""
        env, errors = {**self.env, **verb.env}, (*verb.errors, *self.errors)
        return verb.model_copy(update={"env": env, "errors": errors})


class QuantType(Data):
    """One quantization type: what the tool is given, and the tensor types it mixes."""

    argument: str = Field(default="", description="What the tool is given; without it, the name.")
    aliases: tuple[str, ...] = Field(default=(), description="Other names in recipes.")
    mix: tuple[str, ...] = Field(
        default=(),
        description="Tensor types that belong to it; any other quantized tensor is a fallback.",
    )
    imatrix: Literal["", "required"] = Field(
        default="", description="Whether it cannot do without an importance matrix."
    )
    bits: float = Field(default=0, description="Nominal bits per weight, for estimates.")
    about: str = Field(default="", description="One sentence for people.")


class OutType(Data):
    """One type that the converter writes."""

    bits: float = Field(gt=0, description="Bits per weight, for estimates.")
    suits: tuple[str, ...] = Field(
        default=(),
        description="Types of original weights that drafted recipes convert to it: bf16, f8_...",
    )
    about: str = Field(default="", description="One sentence for people.")
