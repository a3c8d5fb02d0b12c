"""From a verified folder to the tree that is published; nothing is sent here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from orchestrator.base.process import run_process
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.modelfiles import chat_templates, gguf, tensor_digest
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES
from orchestrator.planning.plan import Output, Plan
from orchestrator.recipe.free_licences import why_not_free
from orchestrator.runs import output_folder
from orchestrator.runs.report import Report
from orchestrator.runs.session import Session
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.workflows.publishing import (
    chat_prompt,
    gguf_naming,
    licences,
    model_card,
    model_signature,
    model_tables,
    ollama_modelfile,
    publication_record,
    run_documents,
    split_files,
)
from orchestrator.workflows.publishing.check_run_folder import Checked
from orchestrator.workflows.publishing.gguf_naming import Name
from orchestrator.workflows.publishing.model_facts import Facts, Origin
from orchestrator.workflows.publishing.published_files import (
    Model,
    Piece,
    Tree,
    file_piece,
    sums,
    text_piece,
)

README = "README.md"
# Tokens that templates write by these names.
_SPECIAL = ("bos_token", "eos_token", "unk_token")
# In a text: all but tabs, ends of lines, and the form feeds of the GNU licences.
_CONTROLS = re.compile(rb"[^\t\n\f\r\x20-\x7e\x80-\xff]|\xc2[\x80-\x9f]")


@dataclass(frozen=True)
class Material:
    """All that a publication is assembled from.

    Attributes:
        plan: The recipe's plan.
        checked: The folder of its run.
        origin: What the model was made from.
        facts: What is to be said of it.
        limit: Bytes that a file may have.
        title: The heading of the card.
        repo: The repository on the Hub; empty for a folder.
        key: A private key that signs, if any.
    """

    plan: Plan
    checked: Checked
    origin: Origin
    facts: Facts
    limit: int
    title: str
    repo: str
    key: Path | None = None


def models(material: Material, session: Session, *, split: bool) -> tuple[Model, ...]:
    """The files under their published names, large ones in parts.

    Args:
        material: All there is.
        session: Its store keeps the parts.
        split: False for a look ahead: parts that are not in the store yet stay without digest.

    Raises:
        StepError: A chat template is not that of the source, or a file cannot be split.
        UsageError: Two files would have the same name, or the tool chain cannot split.
    """
    plan, checked = material.plan, material.checked
    headers = {one.file: _header(checked.folder / one.file) for one in plan.outputs}
    for one in plan.outputs:
        header = headers[one.file]
        if header is not None and not one.part and not _another_template(plan):
            origin = material.origin
            chat_templates.require_same(
                one.file, chat_templates.of_file(header), origin.templates, origin.where
            )
    names = {one.file: _name(one, headers[one.file], plan) for one in plan.outputs}
    gguf_naming.distinct(names)
    steps = {
        one.file: split_files.step(
            plan, one, names[one.file].stem, checked.size(one.file), material.limit
        )
        for one in plan.outputs
        if checked.size(one.file) > material.limit
    }
    now = {
        file: one for file, one in steps.items() if split or session.store.find(one.key) is not None
    }
    parts = split_files.split(plan, now, session)
    return tuple(
        Model(
            one,
            replace(checked.row(one.file), type=names[one.file].encoding),
            names[one.file],
            tuple(
                _pieces(
                    material,
                    one,
                    names[one.file],
                    parts,
                    headers[one.file],
                    large=one.file in steps,
                )
            ),
            headers[one.file],
        )
        for one in plan.outputs
    )


def _another_template(plan: Plan) -> bool:
    return plan.recipe.header is not None and plan.recipe.header.changes_template


def _header(path: Path) -> GGUF | None:
    return gguf.read(path) if path.suffix == gguf_naming.SUFFIX else None


def _name(output: Output, header: GGUF | None, plan: Plan) -> Name:
    pattern, suffix = plan.recipe.publish.file_name, plan.chain.extension
    if header is None and pattern is None:
        return Name(output.file.removesuffix(suffix), output.name, suffix)
    encoding = output.name if header is None else _encoding(output, header)
    model = gguf_naming.model_of(plan)
    if output.part:
        encoding = plan.recipe.parts[output.part].upper()
        pattern = f"{output.part}-{gguf_naming.USUAL}"
        if output.part in plan.recipe.adapter_parts:
            pattern = f"{{model}}-{output.part}-{{type}}"
    return gguf_naming.name_of(pattern or gguf_naming.USUAL, model, encoding, header, suffix)


def _encoding(output: Output, header: GGUF) -> str:
    """The name of the type; a file that was only rewritten has that of its source."""
    number = header.metadata.get("general.file_type")
    if output.name == "COPY" and isinstance(number, int):
        return FILE_TYPES.get(number, output.name)
    return output.name


def _pieces(
    material: Material,
    output: Output,
    name: Name,
    parts: Mapping[str, tuple[split_files.Part, ...]],
    header: GGUF | None,
    *,
    large: bool,
) -> Iterator[Piece]:
    size = material.checked.size(output.file)
    if not large:
        path = material.checked.folder / output.file
        sha256 = material.checked.sha256(output.file)
        tensors = header and tensor_digest.sha256(path, header, run_process.check_stopped)
        yield Piece(name.file, size, sha256, path, tensors=tensors or "")
    elif output.file in parts:
        for part in parts[output.file]:
            yield Piece(f"{name.stem}/{part.path.name}", part.size, part.sha256, part.path)
    else:
        count = ceil(size / material.limit)
        for number in range(1, count + 1):
            yield Piece(f"{name.stem}/{name.part(number, count)}", size // count, "")


# -- what goes with them ---------------------------------------------------------------------


def tree(material: Material, found: tuple[Model, ...], store: Store) -> Tree:
    """The whole publication.

    Raises:
        StepError: The model card cannot be made.
    """
    plan = material.plan
    notes: list[str] = []
    recipe = run_documents.recipe(plan)
    described = run_documents.renamed(plan, material.checked, found, recipe)
    others = [
        *run_documents.provenance(material.checked, found, material.key, notes),
        *_imatrix(plan, store, notes),
        *run_documents.reports(material.checked, found, described),
        *run_documents.lock(plan),
        *_papers(material, notes),
        *_notice(material),
    ]
    notes += _terms(material)
    texts = tuple(one for one in found if not one.output.part)
    parts = tuple(one for one in found if one.output.part)
    if plan.chain.format == "gguf":
        others += _modelfile(material, texts, parts, notes)
    drawn, _ = model_tables.picture(
        [one.row for one in texts], model_card.compared(material.origin.quantized)
    )
    others += [text_piece(model_card.PICTURE, drawn)] if drawn else []
    whole = [piece for one in found for piece in one.pieces] + [*others, recipe]
    whole.append(text_piece(output_folder.SUMS, sums(whole)))
    whole.append(text_piece(README, _card(material, described, (texts, parts), whole)))
    whole += model_signature.pieces(material.title, whole, material.key, notes)
    whole.append(
        text_piece(publication_record.RECORD, publication_record.text(plan.recipe.name, whole))
    )
    best = _best(material, texts, whole=False)
    return Tree(plan.recipe.name, found, tuple(whole), tuple(notes), best.file if best else "")


def _papers(material: Material, notes: list[str]) -> Iterator[Piece]:
    """The licence texts as they are, for their words count; none that a terminal would obey."""
    for name, path in material.origin.papers.items():
        paper = file_piece(name, path)
        if _CONTROLS.search(paper.data):
            notes.append(
                f"{name} of the model's repository holds control characters and is not published; "
                "look at it ('cat -v') and add it there by hand"
            )
        else:
            yield paper


def _notice(material: Material) -> Iterator[Piece]:
    """The file that some licences want beside the weights, unless the model brings one."""
    _, text = licences.said(material.facts.license)
    brought = any(one.lower().startswith("notice") for one in material.origin.papers)
    if text and not brought:
        yield text_piece(licences.NOTICE, f"{text}\n")


def _terms(material: Material) -> Iterator[str]:
    """What a licence that is not free asks for and the model's repository does not hold."""
    name = material.facts.license_name or material.facts.license
    if why_not_free(material.facts.license) and not material.origin.papers:
        yield (
            f"no text of the licence {name} is in the model's repository; such licences mostly "
            "require a copy: add it there by hand, files that others put there are kept"
        )


def _imatrix(plan: Plan, store: Store, notes: list[str]) -> Iterator[Piece]:
    """The importance matrix that the files were made with, if it is still there."""
    keys = {plan.step(one.step).inputs.get("imatrix", "") for one in plan.outputs} - {""}
    # One that others made is theirs to publish.
    for key in (one for one in keys if step_kinds.of(plan.step(one)).brings is None):
        made = store.find(key)
        if made is None:
            notes.append(
                "the importance matrix is no longer in the store and is not published; "
                f"'orchestrate run {plan.recipe.file}' does not make it again by itself"
            )
            continue
        entry = made.manifest["files"][IMATRIX_FILE]
        path = made.path / IMATRIX_FILE
        yield Piece(IMATRIX_FILE, int(entry["size"]), str(entry["sha256"]), path)


def _modelfile(
    material: Material, found: Sequence[Model], parts: Sequence[Model], notes: list[str]
) -> list[Piece]:
    """Ollama's Modelfile for the file that suits most; it takes no file in parts."""
    best = _best(material, found, whole=True)
    if best is None:
        notes.append("there is no Modelfile: Ollama takes no files in parts")
        return []
    path = material.checked.folder / best.output.file
    generation = material.origin.generation
    model = ollama_modelfile.Model(
        file=best.file,
        parts=[one.file for one in parts if one.output.part == "mmproj" and not one.split],
        generation=generation,
        stops=[
            *_texts(path, ollama_modelfile.stop_tokens(generation)),
            *ollama_modelfile.stop_texts(generation),
        ],
        license=material.facts.license_name or material.facts.license,
        about=f"{material.title}, {best.name.encoding}",
    )
    return [text_piece(model_card.MODELFILE, ollama_modelfile.modelfile(model))]


def _texts(path: Path, numbers: tuple[int, ...]) -> list[str]:
    """The texts of tokens of a GGUF file; none for numbers that its vocabulary lacks."""
    tokens = gguf.read(path).metadata.get("tokenizer.ggml.tokens")
    if not numbers or not isinstance(tokens, gguf.ArrayInfo):
        return []
    listed = gguf.read_array(path, tokens)
    return [str(listed[one]) for one in numbers if one < len(listed)]


def _best(material: Material, found: Sequence[Model], *, whole: bool) -> Model | None:
    """The recommended file, with ``whole`` of those that are not in parts."""
    fitting = [one for one in found if not (whole and one.split)]
    stated = material.plan.recipe.publish.recommended
    return model_tables.recommended(fitting, stated) if fitting else None


def _question(material: Material, models: Sequence[Model]) -> str:
    """How the model's chat template writes a question."""
    header = models[0].header
    template = chat_templates.of_file(header).get(chat_templates.DEFAULT) if header else None
    if template is None or header is None:
        return ""
    path = material.checked.folder / models[0].output.file
    numbers = {one: header.metadata.get(f"tokenizer.ggml.{one}_id") for one in _SPECIAL}
    special = {one: _texts(path, (n,)) for one, n in numbers.items() if isinstance(n, int)}
    return chat_prompt.shown(template, {one: text[0] for one, text in special.items() if text})


def _card(
    material: Material,
    described: Report,
    files: tuple[Sequence[Model], Sequence[Model]],
    whole: list[Piece],
) -> str:
    plan, (found, parts) = material.plan, files
    names = frozenset(piece.name for piece in whole)
    best = _best(material, found, whole=False)
    assert best is not None, "there are files"
    card = model_card.Card(
        title=material.title,
        repo=material.repo,
        owner=material.repo.partition("/")[0],
        facts=material.facts,
        report=described,
        models=found,
        parts=parts,
        best=best,
        whole=_best(material, found, whole=True),
        quantized=material.origin.quantized,
        prompt=_question(material, found),
        chat=any(one.header and chat_templates.of_file(one.header) for one in found),
        beside=names,
        papers=[one for one in (*material.origin.papers, licences.NOTICE) if one in names],
        recipe_file=plan.recipe.file.name,
        signed=model_signature.possible(material.key),
    )
    return model_card.text(plan, card)
