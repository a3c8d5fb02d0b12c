"""Rules of a recipe that concern several fields at once.

They look at plain data, before or after the models accepted it, so that a recipe with a
misspelt key is told in the same breath that two of its files have the same name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.base.near_match import near
from orchestrator.measures import registry
from orchestrator.recipe.field_types import Vocabulary
from orchestrator.recipe.models import Convert, Imatrix, Quant, WithOptions
from orchestrator.recipe.yaml_positions import CORPORA, Loc, places

Finding = tuple[Loc, str]

_KINDS: Mapping[str, frozenset[str]] = {
    "hub": frozenset({"revision", "repo_type", "file", "member", "files", "sha256", "subfolder"}),
    "pypi": frozenset({"sha256", "files"}),
    "path": frozenset({"member", "files", "sha256", "subfolder"}),
    "url": frozenset({"sha256", "member", "files"}),
    "base": frozenset({"delta", "method", "lora", "mergekit"}),
}
_NEEDS = {"hub": "revision", "pypi": "sha256", "url": "sha256"}
_MERGED = ("delta", "lora", "mergekit")
# Methods of mergekit whose result has the base's tensors and shapes.
_MERGES = ("linear", "slerp", "ties")
_RESHAPE = {"slices", "modules", "tokenizer", "tokenizer_source"}
_WHY = {
    "revision": "a full commit, or a branch such as main",
    "sha256": "the checksum of what is downloaded",
}
_ANY_KIND = frozenset().union(_KINDS, *_KINDS.values())


def findings(data: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Finding]:
    """Everything wrong across fields; never raises, whatever the data's shape."""
    converted = _converted(data, vocabulary)
    yield from _sources(data)
    chosen = _mapping(data, "toolchain")
    if chosen.get("commit") and chosen.get("release"):
        yield ("toolchain", "release"), "a release is a commit: give one of the two"
    yield from _tools(chosen)
    yield from _options(data, vocabulary)
    yield from _parts(data)
    yield from _names(data, converted)
    yield from _header(data)
    yield from _imatrix(data)
    yield from _without_matrix(data, vocabulary)
    yield from _measures(data)
    yield from _named_files(data, converted)


def _tools(chosen: Mapping[str, Any]) -> Iterator[Finding]:
    given = _mapping(chosen, "tools")
    if "tools" in chosen and len(given.keys() & {"path", "url"}) != 1:
        yield ("toolchain", "tools"), "give 'path' or 'url', one of the two"
    if "url" in given and "sha256" not in given:
        yield ("toolchain", "tools"), "'url' needs 'sha256', the checksum of what is downloaded"
    for name in ("profile", "backend"):
        if "tools" in chosen and chosen.get(name):
            yield ("toolchain", name), "installed tools are built already: leave it out"


def _mapping(data: Any, *path: str) -> Mapping[str, Any]:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def _quants(data: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any]]]:
    entries = data.get("quantize")
    listed = entries if isinstance(entries, tuple) else ()
    return [(i, entry) for i, entry in enumerate(listed) if isinstance(entry, Mapping)]


def _file_name(entry: Mapping[str, Any]) -> str:
    name = entry.get("name", entry.get("type"))
    return name if isinstance(name, str) else ""


def _converted(data: Mapping[str, Any], vocabulary: Vocabulary) -> str:
    usual = next(iter(vocabulary.outtypes), "")
    return str(_mapping(data, "convert").get("outtype", usual)).upper()


def _options(data: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Finding]:
    """Keys that are neither of every tool chain nor options of this one, or are wrong."""
    if vocabulary.options is None:
        return
    # What another commit's options take is not known before its source is looked at.
    elsewhere = not _mapping(data, "toolchain").keys().isdisjoint(("commit", "release"))
    places: list[tuple[Loc, Mapping[str, Any], type[WithOptions]]] = [
        (("convert",), _mapping(data, "convert"), Convert),
        (("imatrix",), _mapping(data, "imatrix"), Imatrix),
        *((("quantize", index), entry, Quant) for index, entry in _quants(data)),
    ]
    for loc, section, model in places:
        known, own = vocabulary.options.get(str(loc[0]), {}), model.model_fields
        dropped = {*known, *vocabulary.named} if model is Convert else known
        for name, value in section.items():
            if name in own or (value is None and name in dropped):
                continue
            if name not in known:
                yield (*loc, name), f"unknown key {name!r}{near(str(name), [*own, *known])}"
            elif not elsewhere and (problem := known[name].problem(value)):
                yield (*loc, name), problem


def _sources(data: Mapping[str, Any]) -> Iterator[Finding]:
    model = _mapping(data, "model")
    if isinstance(data.get("model"), Mapping):
        kinds = "hub, pypi, path, url, or base and delta, lora or mergekit"
        yield from _source(model, ("model",), kinds)
    listed = model.get("lora")
    adapters = listed if isinstance(listed, tuple) else ()
    sides: list[tuple[Loc, Any]] = [((name,), model.get(name)) for name in ("base", "delta")]
    sides += [(("lora", i), one) for i, one in enumerate(adapters)]
    others = _mapping(model, "mergekit", "models")
    sides += [(("mergekit", "models", str(name)), one) for name, one in others.items()]
    if "mergekit" in model:
        yield from _mergekit(_mapping(model, "mergekit"))
    sides = [(("model", *at), side) for at, side in sides]
    sides += [(("adapters", name), one) for name, one in _mapping(data, "adapters").items()]
    for at, side in sides:
        if isinstance(side, Mapping):
            yield from _source(side, at, "hub, pypi, path or url")
    found = (
        path
        for pattern in CORPORA
        for path in places(pattern, lambda loc: _mapping(data, *map(str, loc)))
    )
    for path in found:
        *above, last = map(str, path)
        corpus = _mapping(data, *above).get(last)
        if isinstance(corpus, Mapping):
            yield from _source(corpus, path, "hub, pypi, path or url")


def _source(source: Mapping[str, Any], loc: Loc, kinds: str) -> Iterator[Finding]:
    said = {key for key, value in source.items() if value is not None}
    merged = [name for name in _MERGED if name in said]
    given = [kind for kind in _KINDS if kind in said or (kind == "base" and merged)]
    if len(given) != 1:
        found = f", not {' and '.join(given)}" if given else ""
        yield loc, f"needs exactly one of {kinds}{found}"
        return
    kind = given[0]
    needed = _NEEDS.get(kind)
    if needed and needed not in source:
        yield loc, f"{kind!r} needs {needed!r}: {_WHY[needed]}"
    if kind == "base" and "base" not in source:
        yield loc, f"{merged[0]!r} needs 'base': the weights that it is added to"
    elif kind == "base" and (len(merged) != 1 or not source[merged[0]]):
        yield loc, "'base' needs one of 'delta', 'lora' and 'mergekit': what is merged into it"
    if kind == "base" and "delta" not in said and source.get("method") is not None:
        yield (*loc, "method"), f"'method' does not go with {merged[0]!r}"
    for key in sorted((_ANY_KIND - _KINDS[kind] - {kind}) & source.keys() - {"base", *_MERGED}):
        yield (*loc, key), f"{key!r} does not go with {kind!r}"
    yield from _trust(source, loc)
    one_file = {"file", "member"} & said or source.get("format") in ("gguf", "ggml")
    if "subfolder" in said and one_file:
        yield (*loc, "subfolder"), "goes with a model in a folder: say a file's folder in its path"


def _mergekit(section: Mapping[str, Any]) -> Iterator[Finding]:
    loc: Loc = ("model", "mergekit", "config")
    config, known = _mapping(section, "config"), {"base", *_mapping(section, "models")}
    method = config.get("merge_method")
    if config and method not in _MERGES:
        text = (
            f"{method!r} is not one of {', '.join(_MERGES)}, whose results have the base's shapes"
        )
        yield (*loc, "merge_method"), text
    for key in sorted(config.keys() & _RESHAPE):
        text = f"{key!r} can give a model of other shapes than the base's; name whole 'models'"
        yield (*loc, key), text
    if "base" in _mapping(section, "models"):
        yield (*loc[:-1], "models", "base"), "'base' is what the configuration calls model.base"
    used = set(_models(config))
    for name in sorted(used - known):
        yield loc, f"{name!r} is none of the models {', '.join(sorted(known))}{near(name, known)}"
    if config and (idle := sorted(known - used)):
        yield loc, f"merges {idle[0]!r} with nothing: it is named nowhere in the configuration"


def _models(config: Any) -> Iterator[str]:
    """The models that a configuration of mergekit names."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key in ("model", "base_model"):
                yield str(value)
            else:
                yield from _models(value)
    elif isinstance(config, tuple | list):
        for one in config:
            yield from _models(one)


def _trust(source: Mapping[str, Any], loc: Loc) -> Iterator[Finding]:
    trusted = source.get("trust_remote_code") is True and "hub" in source
    if trusted and not re.fullmatch(r"[0-9a-f]{40}", str(source.get("revision", ""))):
        text = "code is only run from a full commit: say it in 'revision'"
        yield (*loc, "trust_remote_code"), text


def _parts(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Of a base and a delta no tensor is counted before they are merged."""
    if _mapping(data, "model").get("delta") is None:
        return
    for key, usual in (("mmproj", None), ("mtp", "inside"), ("adapters", {})):
        if data.get(key) not in (None, usual):
            text = "does not go with 'delta': nothing tells before the merge what such a part holds"
            yield (key,), f"{text}; leave it out, or name the merged model"


def _names(data: Mapping[str, Any], converted: str) -> Iterator[Finding]:
    """Files of one folder must differ in more than case: some file systems do not tell."""
    seen = {converted.casefold(): "the converted file"}
    seen |= {"mmproj": "the projector", "mtp": "the head"}
    adapters: list[str] = []
    for name in _mapping(data, "adapters"):
        if f"lora-{name}".casefold() in adapters:
            yield ("adapters", name), "another adapter is called so but for the case"
        adapters.append(f"lora-{name}".casefold())
    seen |= dict.fromkeys(adapters, "an adapter")
    for index, entry in _quants(data):
        name = _file_name(entry)
        loc: Loc = ("quantize", index, "name" if "name" in entry else "type")
        if name.casefold() in seen:
            yield loc, f"{seen[name.casefold()]} is already called {name!r}; give another 'name'"
        elif name.casefold().startswith(tuple(f"{one}-" for one in adapters)):  # then its type
            yield loc, f"an adapter's file may be called {name!r}; give another 'name'"
        elif name:
            seen[name.casefold()] = f"quantize[{index}]"


def _header(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Keys that would be changed twice, and a section that changes none."""
    section = _mapping(data, "header")
    set_, removed = _mapping(section, "set"), section.get("remove")
    if "header" in data and data["header"] is not None and not any(section.values()):
        yield ("header",), "changes nothing: leave it out"
    template = ["tokenizer.chat_template"] if section.get("chat_template") else []
    tokens = [f"tokenizer.ggml.{one}_token_id" for one in _mapping(section, "special_tokens")]
    for key in (*template, *tokens):
        if key in set_:
            yield ("header", "set", key), f"{key} is stated twice: say it in one place"
    for key in removed if isinstance(removed, tuple) else ():
        if key in (*template, *tokens, *set_):
            yield ("header", "remove"), f"{key} is both stated and removed"


def _imatrix(data: Mapping[str, Any]) -> Iterator[Finding]:
    section = {name for name, value in _mapping(data, "imatrix").items() if value is not None}
    if section:
        yield from _one_matrix(section)
        return
    for index, entry in _quants(data):
        if entry.get("imatrix") is True:
            yield (
                ("quantize", index, "imatrix"),
                "needs the section 'imatrix' with a corpus or a file",
            )


def _one_matrix(section: set[str]) -> Iterator[Finding]:
    if len(section & {"corpus", "file"}) != 1:
        yield ("imatrix",), "needs either 'corpus', to make a matrix from, or 'file'"
    for name in sorted(section & {"chunks", "context", "more"} if "file" in section else ()):
        yield ("imatrix", name), f"{name!r} does not go with 'file'"


def _without_matrix(data: Mapping[str, Any], vocabulary: Vocabulary) -> Iterator[Finding]:
    """Types that the quantizer refuses to make; types of tensors may change that."""
    needing = {name.casefold() for name in vocabulary.weighed}
    for index, entry in _quants(data):
        kind, plain = entry.get("type"), not (entry.get("imatrix") or entry.get("tensor_types"))
        if plain and isinstance(kind, str) and kind.casefold() in needing:
            text = (
                f"{kind} needs an importance matrix: give the recipe one, and say 'imatrix: true'"
            )
            yield ("quantize", index, "type"), text


def _measures(data: Mapping[str, Any]) -> Iterator[Finding]:
    verify = _mapping(data, "verify")
    sections = registry.sections()
    has = {
        name
        for name, section in sections.items()
        if verify.get(name) is True
        or (section.options and isinstance(verify.get(name), Mapping))
        or (section.default and name not in verify)
    }
    for name in sections:
        part = sections[name].part
        if name in has and part and data.get(part) is None:
            yield ("verify", name), f"needs {part!r}: {sections[name].why}"
        needs = sections[name].needs
        if name in has and needs and needs not in has:
            yield ("verify", name), f"needs 'verify.{needs}': {sections[name].why}"
    places: list[tuple[Loc, Mapping[str, Any]]] = [
        (("verify", "limits"), _mapping(verify, "limits"))
    ]
    places += [(("quantize", i, "limits"), _mapping(entry, "limits")) for i, entry in _quants(data)]
    named = [
        text
        for name, section in sections.items()
        for option in section.options
        if option.kind == "texts"
        for text in _mapping(verify, name, option.name)
    ]
    measured_by = {limit.key: measure.asked_by for measure, limit in registry.limits()}
    for loc, limits in places:
        for limit in limits:
            section = measured_by.get(limit)
            if section and section not in has:
                yield (*loc, limit), f"needs 'verify.{section}', which measures it"
        for text in _mapping(limits, "texts"):
            if text not in named:
                said = f"{text!r} is no further text of 'verify'{near(str(text), named)}"
                yield (*loc, "texts", text), said


def _named_files(data: Mapping[str, Any], converted: str) -> Iterator[Finding]:
    names = [converted, *(_file_name(entry) for _, entry in _quants(data))]
    names += ["mmproj"] if data.get("mmproj") is not None else []
    names += ["mtp"] if data.get("mtp") == "separate" else []
    names += [f"lora-{name}" for name in _mapping(data, "adapters")]
    known = {name.casefold() for name in names}
    chosen = _mapping(data, "publish").get("recommended")
    if isinstance(chosen, str) and chosen.casefold() not in {one.casefold() for one in names[1:]}:
        text = f"{chosen!r} is no quantized file of this recipe{near(chosen, names[1:])}"
        yield ("publish", "recommended"), text
    for name in _mapping(data, "verify", "sha256"):
        if name.casefold() not in known:
            text = f"{name!r} is not a file of this recipe{near(name, names)}"
            yield ("verify", "sha256", name), text
