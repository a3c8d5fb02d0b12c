"""The fields of a recipe, as frozen pydantic models; the reference page is made from them.

The models are filled by :mod:`orchestrator.recipe`, from YAML whose rules across fields
(:mod:`orchestrator.recipe.cross_field_rules`) were checked too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from orchestrator.recipe.field_types import (
    Also,
    BackEnd,
    ExistingPath,
    Family,
    Hub,
    MetadataKey,
    ModelName,
    Name,
    Number,
    OutType,
    Override,
    Positive,
    Profile,
    QuantType,
    Recorded,
    Regex,
    Revision,
    Sha256,
    Size,
    TensorPattern,
    TensorType,
    TextName,
    TokenName,
    Url,
    vocabulary_of,
)
from orchestrator.recipe.fit_section import Fit
from orchestrator.recipe.publish_section import Publish
from orchestrator.recipe.source_fields import AdapterFile, Frozen, Matrix, Model, Source
from orchestrator.recipe.verify_section import Alarms, Limits, Verify


class Tools(Frozen):
    """Installed tools: a folder or an archive, here or at an address."""

    path: ExistingPath | None = Field(
        default=None, description="Folder of the programs, or an archive, relative to the recipe."
    )
    url: Url | None = Field(default=None, description="Address of an archive; needs sha256.")
    sha256: Sha256 | None = Field(default=None, description="SHA-256 of the archive.")


class ToolChainChoice(Frozen):
    """Which pinned upstream does the work, and how it is built."""

    name: Name = Field(description="A folder of vendor/, such as llama.cpp.")
    commit: Revision | None = Field(
        default=None,
        description="Another commit than the pinned one: whole, its beginning, a tag or a branch, "
        "which is resolved first.",
    )
    release: Revision | None = Field(
        default=None, description="Upstream's release in place of a commit, such as b3821."
    )
    tools: Annotated[Tools, Also()] | None = Field(
        default=None,
        description="Installed tools, in place of a build: their folder, or more.",
    )
    backend: BackEnd = Field(
        default="",
        validate_default=True,
        description="Which processor the tools are built for.",
    )
    profile: Profile = Field(
        default="",
        validate_default=True,
        description="portable: the same bytes on every machine; native: this machine's best.",
    )


class WithOptions(Frozen):
    """A section whose other keys are options of a verb."""

    # Which there are is the tool chain's data: see cross_field_rules.
    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the verb that the recipe gives."""
        said = (self.model_extra or {}).items()
        return {name: value for name, value in said if value is not None and value is not False}


class Convert(WithOptions):
    """How the model becomes the file that is quantized.

    All keys but outtype, model_name and drop are options of the tool chain's converter.
    """

    outtype: OutType = Field(
        default="",
        validate_default=True,
        description="Type of the converted file's weights.",
    )
    model_name: ModelName | None = Field(
        default=None,
        description="Name written into the file, any text; auto: the one that the converter finds "
        "for a folder called like the repository; without it, the recipe's.",
    )
    drop: tuple[Regex, ...] = Field(
        default=(),
        description="Patterns of the source's tensors that the converter may leave out, such as "
        "vision_tower; others that it leaves out stop the run before weights are fetched.",
    )

    @model_validator(mode="before")
    @classmethod
    def _names_in_every_digest(cls, value: Any, info: ValidationInfo) -> Any:
        named = dict.fromkeys(vocabulary_of(info).named)
        return {**named, **value} if isinstance(value, Mapping) else value

    @property
    def unnamed(self) -> bool:
        """Whether the converter finds the model's name itself."""
        return self.model_name == "auto"


class Projector(Frozen):
    """The image or sound part of a model, as a file of its own beside the text model's."""

    outtype: OutType = Field(default="", validate_default=True, description="Type of its weights.")


def _unread(value: Any) -> Any:
    """The default as a recipe would say it, so that the tool chain's usual values fill it."""
    return {} if isinstance(value, Convert) else value


class Header(Frozen):
    """What the headers of the text model's files say otherwise; their tensors stay as they are."""

    chat_template: Annotated[Source, Also()] | None = Field(
        default=None,
        description="Chat template, a file: a path or a source; takes the place of all that "
        "there are.",
    )
    special_tokens: Mapping[TokenName, str | Annotated[int, Field(ge=0)]] = Field(
        default={}, description="Special tokens, such as eos or eot, by their texts or numbers."
    )
    set: Mapping[MetadataKey, bool | int | FiniteFloat | str | tuple[str, ...]] = Field(
        default={}, description="Values by the header's keys, of the type that the file has."
    )
    remove: tuple[MetadataKey, ...] = Field(default=(), description="Keys to leave out.")

    @property
    def keys(self) -> tuple[str, ...]:
        """The header's keys that are changed."""
        template = ("tokenizer.chat_template",) if self.chat_template is not None else ()
        tokens = (f"tokenizer.ggml.{name}_token_id" for name in self.special_tokens)
        return (*template, *tokens, *self.set, *self.remove)

    @property
    def changes_template(self) -> bool:
        """Whether the chat template is another than the source's."""
        return any(one.startswith("tokenizer.chat_template") for one in self.keys)

    @property
    def texts_only(self) -> bool:
        """Whether weights compute the same: only what the file says of itself is changed."""
        return all(one.startswith(("tokenizer.chat_template", "general.")) for one in self.keys)

    @property
    def sentence(self) -> str:
        """What was changed, for reports."""
        return (
            f"The recipe changes what headers say of {', '.join(self.keys)}; the tensors are those "
            "of the files before, byte for byte."
        )


class Imatrix(WithOptions):
    """Importance matrix: which weights matter most on a calibration text; made, or a file."""

    corpus: Annotated[Source, Also()] | None = Field(
        default=None, description="Calibration text to make it from: a path or a source."
    )
    more: Mapping[TextName, Annotated[Source, Also()]] = Field(
        default={},
        description="Further texts by name, added in the order of their names; chunks holds for "
        "each.",
    )
    file: Annotated[Matrix, Also()] | None = Field(
        default=None,
        description="Or the file of one that exists, GGUF or the older format: a path or a source.",
    )
    recorded_as: Recorded | None = Field(
        default=None,
        description="Path of the matrix to write into the quantized files "
        "(quantize.imatrix.file); without it, the name of the file, or imatrix.gguf.",
    )
    chunks: Positive | None = Field(default=100, description="How many pieces of it are used.")
    context: Positive = Field(default=512, description="Tokens in each piece.")


class Quant(WithOptions):
    """One quantized file."""

    type: QuantType = Field(description="A type that the tool chain's quantizer knows.")
    name: Name = Field(
        default="",
        validate_default=True,
        description="Name of this file among the recipe's files; without it, the type.",
    )
    imatrix: bool = Field(default=False, description="Use the importance matrix.")
    pure: bool = Field(default=False, description="One type for all tensors, no mixture.")
    leave_output_tensor: bool = Field(
        default=False, description="Keep the output tensor as it is in the input."
    )
    output_tensor_type: TensorType | None = Field(
        default=None, description="Tensor type of the output tensor."
    )
    token_embedding_type: TensorType | None = Field(
        default=None, description="Tensor type of the token embeddings."
    )
    tensor_types: Mapping[TensorPattern, TensorType] = Field(
        default={},
        description="Tensor types by pattern, searched in the tensor's name; the first that is "
        "found decides. One that decides about no tensor is an error.",
    )
    override_kv: Mapping[MetadataKey, Override] = Field(
        default={}, description="Metadata to write, as type:value, such as str:bloom or int:7."
    )
    allow_requantize: bool = Field(
        default=False, description="Accept an input that is already quantized."
    )
    allow_fallback: bool = Field(
        default=False,
        description="Accept that tensors whose rows do not fit the type get another one.",
    )
    limits: Limits = Field(default=Limits(), description="Limits that win over verify.limits.")

    @property
    def order(self) -> list[list[str]]:
        """Names in the order that decides about bytes: the first rule that matches wins."""
        return [list(names) for names in (self.tensor_types, self.override_kv) if len(names) > 1]

    @field_validator("name", mode="before")
    @classmethod
    def _named_by_type(cls, value: Any, info: ValidationInfo) -> Any:
        # A wrong type was already told; its missing name is no second problem.
        return info.data.get("type", "unknown") if value == "" else value


class QuantDefaults(Frozen):
    """What holds for every quantized file that does not say otherwise itself."""

    imatrix: bool = Field(default=False, description="As of a quantized file.")
    pure: bool = Field(default=False, description="As of a quantized file.")
    leave_output_tensor: bool = Field(default=False, description="As of a quantized file.")
    allow_requantize: bool = Field(default=False, description="As of a quantized file.")
    allow_fallback: bool = Field(default=False, description="As of a quantized file.")


class Runtime(Frozen):
    """What old GGML files do not hold and the tools of their time must be told."""

    norm_eps: Number | None = Field(default=None, description="Epsilon of the RMS norm.")
    gqa: Positive | None = Field(
        default=None, description="Query heads per key-value head, where there are several."
    )
    context: Positive | None = Field(
        default=None, description="Context length to write when a GGML file becomes GGUF."
    )


class Watch(Frozen):
    """What nights look after at the Hub beside making files."""

    source: Revision | None = Field(
        default=None,
        description="Branch of the model's repository: an alarm is raised when files that the "
        "recipe takes are others there than at its revision.",
    )
    published: Hub | None = Field(
        default=None,
        description="Repository with the published files: an alarm is raised when one of them is "
        "not what the recipe makes, or is gone.",
    )


class Document(Frozen):
    """A recipe: which model, which pinned tool chain, which files, and how they are checked."""

    extends: str | None = Field(
        default=None,
        description="Another recipe, relative to this one, or by name one of 'orchestrate "
        "recipes'; mappings merge, all else replaces.",
    )
    name: Name = Field(description="Name of the recipe and of its files' folder; not inherited.")
    family: Family = Field(
        description="Family of the model: one that its tool chain converts, such as llama or qwen3."
    )
    description: str = Field(default="", description="One sentence for lists and reports.")
    download: Size | None = Field(
        default=None,
        description="About how much is fetched for the model, for lists; 'plan' asks exactly.",
    )
    toolchain: Annotated[ToolChainChoice, Also()] = Field(
        description="The pinned upstream, by name or with options."
    )
    model: Model = Field(description="Where the model comes from.")
    convert: Annotated[Convert, BeforeValidator(_unread)] = Field(
        default=Convert(), validate_default=True, description="How the model is converted."
    )
    mmproj: Projector | None = Field(
        default=None,
        description="Make a file of the model's image or sound part too, mmproj-NAME-TYPE.gguf.",
    )
    mtp: Literal["inside", "separate", "without"] | None = Field(
        default=None,
        description="Where a head that predicts further tokens goes: inside the text model's file, "
        "which is usual; separate, mtp-NAME-TYPE.gguf; or without: left out.",
    )
    header: Header | None = Field(
        default=None, description="Changes to the headers of the finished files."
    )
    adapters: Mapping[TextName, AdapterFile] = Field(
        default={},
        description="LoRA adapters by name, each as a file of its own beside the text model's, "
        "RECIPE-lora-NAME-TYPE.gguf.",
    )
    imatrix: Imatrix | None = Field(default=None, description="Importance matrix to make.")
    defaults: QuantDefaults = Field(
        default=QuantDefaults(), description="What holds for all quantized files."
    )
    quantize: tuple[Annotated[Quant, Also()], ...] = Field(
        max_length=500, description="The quantized files: types, or mappings with options."
    )
    runtime: Runtime = Field(
        default=Runtime(), description="Values that old tools need as options."
    )
    verify: Verify = Field(default=Verify(), description="What is checked.")
    publish: Publish = Field(default=Publish(), description="What publishing needs.")
    fit: Fit | None = Field(default=None, description="How a search found the tensor types.")
    alarms: Alarms = Field(
        default=Alarms(), description="Which changes between nights raise an alarm."
    )
    watch: Watch | None = Field(
        default=None, description="What nights look after at the Hub beside making files."
    )
    published: tuple[Mapping[str, Any], ...] = Field(
        default=(), description="Files of this model that others published."
    )

    @property
    def converted_name(self) -> str:
        """Name of the converted file among the recipe's files, such as ``F16``."""
        return self.convert.outtype.upper()

    @property
    def parts(self) -> dict[str, str]:
        """The parts of the model that become files of their own, and their types."""
        found = {"mmproj": self.mmproj.outtype} if self.mmproj is not None else {}
        found |= {"mtp": self.convert.outtype} if self.mtp == "separate" else {}
        return found | {part: one.outtype for part, one in self.adapter_parts.items()}

    @property
    def adapter_parts(self) -> dict[str, AdapterFile]:
        """The adapters that become files of their own, by what their parts are called."""
        return {f"lora-{name}": one for name, one in self.adapters.items()}


class Recipe(Document):
    """A validated recipe and where it came from; ``digest`` is that of its content."""

    file: Path
    digest: str

    @property
    def parts_apart(self) -> list[str]:
        """The parts that are kept out of the text model's file, made or not."""
        return ["mtp"] if self.mtp in ("separate", "without") else []

    def part_name(self, part: str) -> str:
        """Name of the file of a part, without the end."""
        names = (self.name, part) if part in self.adapter_parts else (part, self.name)
        return "-".join((*names, self.parts[part].upper()))

    @property
    def used_imatrix(self) -> Imatrix | None:
        """The importance matrix, if one of the recipe's files is made with it."""
        return self.imatrix if any(quant.imatrix for quant in self.quantize) else None

    def limits_for(self, quant: Quant) -> Limits:
        """The limits of one file: its own, and the recipe's where it has none."""
        own = quant.limits.model_dump(exclude_none=True)
        texts = dict(self.verify.limits.texts or {})
        for name, one in (quant.limits.texts or {}).items():
            stated = one.model_dump(exclude_none=True)
            texts[name] = texts[name].model_copy(update=stated) if name in texts else one
        own["texts"] = texts or None
        merged: Limits = self.verify.limits.model_copy(update=own)
        return merged
