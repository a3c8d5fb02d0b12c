"""Every reader of files that others wrote, each with a sound file of its kind."""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.base import dsse_signature
from orchestrator.base.digest import file_sha256
from orchestrator.base.errors import OrchestrateError
from orchestrator.engine.artifact_store import Store
from orchestrator.history import Ended, History, site
from orchestrator.history.database import NAME
from orchestrator.history.site import write_pages
from orchestrator.modelfiles import (
    chat_templates,
    detect_format,
    foreign_code,
    ggml,
    gguf,
    header_consistency,
    header_facts,
    importance_matrix,
    lfs_pointer,
    safetensors,
    source_configs,
    tensor_values,
)
from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.modelfiles.merging.checkpoint import open_checkpoint
from orchestrator.planning import lockfile
from orchestrator.runs import (
    load_and_plan,
    output_folder,
    provenance_statement,
    report,
    use_lockfile,
)
from orchestrator.runs.judge_measures import Expectation, judge, numbers, verdict
from orchestrator.sources import choose_model_files, text_corpus
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub import card_metadata
from orchestrator.steps import full_file_logits
from orchestrator.toolchain import draft_policy, families, load
from orchestrator.workflows import verify_provenance
from orchestrator.workflows.drafting import model_config
from orchestrator.workflows.publishing import check_run_folder, publication_record
from orchestrator.workflows.publishing.published_files import Piece, Tree
from tests.support import long_history, merge_pairs, signing_keys
from tests.support.campaigns import mutations, small_files
from tests.support.campaigns.mutations import Mutation
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.importance_matrices import gguf_matrix, old_matrix
from tests.support.measures import FULL, MEASURES, asked
from tests.support.model_files import KV, GGMLSpec, ggml_bytes, whole_model
from tests.support.stores import open_store, put
from tests.support.typed_commands import MODELS, ROOT, TINY


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        make: Writes a sound file, and what stands beside it, into an empty folder.
        read: Reads it, as the program does.
        mutation: What fits its kind of file.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    mutation: Mutation = mutations.of_bytes


# -- files of models ----------------------------------------------------------------------------


def _gguf(folder: Path) -> Path:
    write_gguf(folder / "sound.gguf", Model())
    return write_gguf(folder / "model.gguf", Model())


def _read_gguf(path: Path) -> None:
    """As conversion, measuring, publishing and ``diff`` do."""
    detect_format.kind(path)
    lfs_pointer.refuse([(path.name, path)])
    compare(path, path.with_name("sound.gguf"))
    found = gguf.read(path)
    gguf.predicted_size(found, {})
    header_facts.facts(header_facts.header(path, "gguf"), None)
    header_consistency.problems(found)
    chat_templates.of_file(found)
    for value in found.metadata.values():
        if isinstance(value, gguf.ArrayInfo):
            gguf.read_array(path, value)
    list(tensor_values.scan(path))


_WEIGHED = {"blk.0.attn_q.weight": range(64)}


def _imatrix(folder: Path) -> Path:
    path = folder / "imatrix.gguf"
    path.write_bytes(gguf_matrix(_WEIGHED))
    return path


def _old_imatrix(folder: Path) -> Path:
    path = folder / "imatrix.dat"
    path.write_bytes(old_matrix(_WEIGHED))
    return path


def _read_imatrix(path: Path) -> None:
    found = importance_matrix.read(path)
    model = [gguf.TensorInfo(name, (64, 64), 0, "F32", 0, 0) for name in _WEIGHED]
    importance_matrix.expect_of_model(found, model)
    importance_matrix.notes(found, model)
    found.header("imatrix.gguf")


def _ggml(spec: GGMLSpec) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "sound.bin").write_bytes(ggml_bytes(spec))
        path = folder / "model.bin"
        path.write_bytes(ggml_bytes(spec))
        return path

    return make


def _read_ggml(path: Path) -> None:
    detect_format.kind(path)
    compare(path, path.with_name("sound.bin"))
    for family in ("llama", "bloom"):
        with suppress(FormatError):  # it is of the other one
            ggml.read(path, family, complete=False)
    list(tensor_values.scan(path))


def _safetensors(folder: Path) -> Path:
    merge_pairs.write_model(folder / "model", merge_pairs.llama(8, "F16", 1), shards=2)
    return folder / "model" / "model-00001-of-00002.safetensors"


def _torch(folder: Path) -> Path:
    merge_pairs.write_model(folder / "model", merge_pairs.llama(8, "F16", 1), "bin")
    return folder / "model" / "pytorch_model.bin"


def _pickle(folder: Path) -> Path:
    """The pickle alone; it is read within its archive."""
    tensors = merge_pairs.llama(8, "F16", 1)
    merge_pairs.write_model(folder / "model", tensors, "bin")
    with zipfile.ZipFile(folder / "model" / "pytorch_model.bin") as archive:
        path = folder / "data.pkl"
        path.write_bytes(archive.read("archive/data.pkl"))
        storages = {f"{n}": archive.read(f"archive/data/{n}") for n in range(len(tensors))}
    (folder / "storages.json").write_text(json.dumps({k: v.hex() for k, v in storages.items()}))
    return path


def _read_pickle(path: Path) -> object:
    storages = json.loads(path.with_name("storages.json").read_text())
    model = path.parent / "model"
    data = {name: bytes.fromhex(text) for name, text in storages.items()}
    (model / "pytorch_model.bin").write_bytes(merge_pairs.archive(path.read_bytes(), data))
    return open_checkpoint(model)


def _read_checkpoint(path: Path) -> object:
    return open_checkpoint(path.parent)


def _tiny(name: str, model: str = "llama") -> Callable[[Path], Path]:
    """A file of a tiny model among those beside it."""

    def make(folder: Path) -> Path:
        shutil.copytree(MODELS / model, folder / "model")
        return folder / "model" / name

    return make


def _shard_index(folder: Path) -> Path:
    return _safetensors(folder).with_name("model.safetensors.index.json")


def _read_model_folder(path: Path) -> None:
    """Any small file of a model, as drafting, converting, merging and publishing read it."""
    folder = path.parent
    found = [HubFile(one.name, one.stat().st_size, None, None) for one in folder.iterdir()]
    model_config.parse(path.read_bytes())
    said: list[OrchestrateError] = []
    for read in (
        lambda: model_config.read((folder / "config.json").read_bytes(), "org/name"),
        lambda: choose_model_files.select(
            found,
            read_index=lambda name: (folder / name).read_bytes(),
            quantized=lambda name: safetensors.quantized(
                partial(safetensors.file_range, folder / name), name
            ),
        ),
        lambda: chat_templates.of_source(folder),
        lambda: source_configs.contradictions(folder, _converted(folder)),
        lambda: open_checkpoint(folder),
        lambda: foreign_code.remove(folder),
    ):
        try:
            read()
        except OrchestrateError as error:
            said.append(error)
    if said:
        raise said[0]


def _converted(folder: Path) -> gguf.GGUF:
    """The header of what the folder's model was converted to."""
    fields = {
        "general.architecture": KV("str", "llama"),
        "llama.context_length": KV("u32", 512),
        "tokenizer.ggml.tokens": KV("arr", ["<unk>", "<s>", "</s>", "a"], "str"),
        "tokenizer.ggml.eos_token_id": KV("u32", 2),
        "tokenizer.ggml.add_bos_token": KV("bool", 1),
        "tokenizer.chat_template": KV("str", "{{ messages }}</s>"),
    }
    return gguf.read(write_gguf(folder.parent / "converted.gguf", Model(fields=fields)))


def _card(folder: Path) -> Path:
    path = folder / "README.md"
    path.write_text("---\nlicense: mit\nlanguage: [en, zh]\ntags: [a, b]\n---\nA model.\n")
    return path


def _read_card(path: Path) -> object:
    return card_metadata.metadata(path.read_text("utf-8", errors="replace"), str(path))


def _text(folder: Path) -> Path:
    path = folder / "words.txt"
    path.write_text("Once upon a time\r\nthere was <s> a gïrl.\n" * 20, "utf-8")
    return path


_LOGITS = load.load("llama.cpp").verb("logits").saved


def _logits(folder: Path) -> Path:
    path = folder / "logits.bin"
    path.write_bytes(b"_logits_" + struct.pack("<3i", 8, 10, 1) + bytes(4 * 8 + 3 * 2 * 14))
    return path


def _read_logits(path: Path) -> object:
    return full_file_logits.expect_whole(path, _LOGITS, "logits of tiny")


# -- recipes, locks and tool chains -------------------------------------------------------------


def _recipe(folder: Path) -> Path:
    shutil.copytree(TINY.parent / "corpus", folder / "corpus")
    (folder / "models" / "llama").mkdir(parents=True)
    path = folder / "llama.yaml"
    path.write_bytes(TINY.read_bytes())
    return path


def _lock(folder: Path) -> Path:
    path = folder / "tiny.lock.yaml"
    file = lockfile.File(size=4000, sha256="a" * 64)
    pins = lockfile.Lock(
        recipe=lockfile.Named(name="tiny", digest="b" * 64),
        toolchain=lockfile.Tools(name="llama.cpp", commit="c" * 40, data="d" * 64),
        build=lockfile.BuildOf(profile="portable", backend="cpu", system=("linux", "x86_64")),
        python=lockfile.Python(
            version="3.11",
            platform="linux",
            packages={"numpy": lockfile.Package(version="2.0", sha256=("e" * 64,))},
        ),
        sources={
            "model": lockfile.Input(kind="hub", repo="a/b", commit="f" * 40, files={"x": file})
        },
    )
    path.write_text(lockfile.text(pins, "tiny.yaml"))
    return path


def _read_lock(path: Path) -> object:
    found = use_lockfile.read(path)
    return found.commit_of("model", "a/b", "main") if found is not None else None


def _chain(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        shutil.copytree(ROOT / "vendor" / "llama.cpp", folder / "vendor" / "llama.cpp")
        return folder / "vendor" / "llama.cpp" / name

    return make


def _read_chain(path: Path) -> None:
    chain = load.load.__wrapped__("llama.cpp", path.parents[1])
    families.load.__wrapped__(chain.folder)
    draft_policy.load(chain.folder)
    load_and_plan.vocabulary_of(chain)
    load.build_identity(chain, (), "a" * 40)
    load.environment_identity(chain)


# -- what this program wrote --------------------------------------------------------------------


def _history(folder: Path) -> Path:
    long_history.fill(History(folder), long_history.Plot(nights=3, broken=(1,), changed=2))
    path = folder / NAME
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    return path


def _read_history(path: Path) -> None:
    history = History(path.parent)
    runs = history.runs()
    history.steps_of([one.id for one in runs])
    history.alarms([one.id for one in runs])
    history.machines()
    for night in history.nights():
        history.summary(night.id)
    site.write(history, path.parent / "site")
    run = history.begin_run(
        "tiny", TINY, "d" * 64, night=0, toolchain="llama.cpp", commit="", source=""
    )
    history.end_run(run, Ended("ok"))


def _report(folder: Path) -> Path:
    wanted = Expectation(full=FULL, asked=asked())
    checks = judge(MEASURES, wanted)
    row = report.Row("t.gguf", "Q4_0", "a" * 64, verdict(checks), checks, numbers(MEASURES, wanted))
    call = {"argv": ["quantize", "a b", "Q4_0"], "seconds": 1.5, "peak_memory": 9}
    step = report.MadeStep("k", "quantize tiny to Q4_0", 75.0, (call,))
    found = report.Report("tiny", "A model.", (row,), {"model": "a/b@1"}, (step,))
    (folder / "t.gguf").write_bytes(b"GGUF")
    record = {"t.gguf": {"size": 4, "sha256": "a" * 64}}
    path = folder / output_folder.REPORT_JSON
    path.write_text(json.dumps({**report.as_json(found), output_folder.RECORD: record}))
    return path


def _read_report(path: Path) -> None:
    """As ``publish`` and the next ``run`` do."""
    told = output_folder.earlier_report(path.parent)
    if told:
        found = check_run_folder.read_report(told, "F16", path, "Run again.")
        site.report_page(report.as_json(found))
    digests = open_store(path.parent / "store").digests
    output_folder.publish_files(path.parent, {}, {"name": "tiny"}, str, digests=digests)


def _publication(folder: Path) -> Path:
    piece = Piece("a.gguf", 4, "a" * 64, known_blob="b" * 40)
    path = folder / publication_record.RECORD
    path.write_text(publication_record.text("tiny", [piece]))
    return path


def _read_publication(path: Path) -> object:
    earlier = publication_record.files_of(path.read_bytes(), "tiny", "here")
    tree = Tree("tiny", (), (Piece("b.gguf", 4, "a" * 64),))
    return publication_record.changes(tree, list(earlier), lambda _n, _p: True, earlier)


def _statement(folder: Path) -> Path:
    file = folder / "t.gguf"
    file.write_bytes(b"GGUF")
    external = {"recipe": {"digest": {"sha256": "b" * 64}}, "output": "Q4_0"}
    build = {
        "buildType": provenance_statement.BUILD_TYPE,
        "externalParameters": external,
        "internalParameters": {},
    }
    told = {
        "_type": provenance_statement.STATEMENT,
        "predicateType": provenance_statement.PREDICATE,
        "subject": [{"name": "t.gguf", "digest": {"sha256": file_sha256(file)}}],
        "predicate": {"buildDefinition": build, "runDetails": {}},
    }
    path = folder / f"t.gguf{provenance_statement.SUFFIX}"
    path.write_text(json.dumps(told))
    return path


def _read_statement(path: Path) -> object:
    return verify_provenance.verify(path.parent / "t.gguf", None)


def _envelope(folder: Path) -> Path:
    plain = _statement(folder)
    secret, _ = signing_keys.keys(folder)
    path = folder / f"t.gguf{provenance_statement.SIGNED_SUFFIX}"
    path.write_text(dsse_signature.sign(plain.read_bytes(), provenance_statement.PAYLOAD, secret))
    return path


def _read_envelope(path: Path) -> object:
    return verify_provenance.verify(path.parent / "t.gguf", path.parent / "key.pub.pem")


def _manifest(folder: Path) -> Path:
    made = put(open_store(folder / "store"), {"model.gguf": b"GGUF"}, facts={"size": 4})
    return made.path.parent / "manifest.json"


def _read_manifest(path: Path) -> None:
    """As a run, ``store list`` and ``store verify`` do."""
    store = Store(path.parents[3], lambda _text: None)
    list(store.verify())
    list(store.artifacts())
    store.find(path.parent.name)


def _pages(folder: Path) -> Path:
    long_history.fill(History(folder), long_history.Plot(nights=1, broken=()))
    site.write(History(folder), folder / "site")
    return folder / "site" / write_pages.LIST


def _read_pages(path: Path) -> None:
    site.write(History(path.parents[1]), path.parent)


_GGJT = GGMLSpec("ggjt", tensors=whole_model("llama"))
_GGML = GGMLSpec("ggml", tensors=whole_model("llama"))
_BLOOM = GGMLSpec("ggml", family="bloom", tensors=whole_model("bloom"))

READERS: Mapping[str, Reader] = {
    "GGUF": Reader(_gguf, _read_gguf),
    "imatrix.gguf": Reader(_imatrix, _read_imatrix),
    "imatrix.dat": Reader(_old_imatrix, _read_imatrix),
    "GGML": Reader(_ggml(_GGML), _read_ggml),
    "ggjt": Reader(_ggml(_GGJT), _read_ggml),
    "bloomz": Reader(_ggml(_BLOOM), _read_ggml),
    "safetensors": Reader(_safetensors, _read_checkpoint),
    "torch zip": Reader(_torch, _read_checkpoint),
    "torch pickle": Reader(_pickle, _read_pickle, mutations.of_pickle),
    "shard index": Reader(_shard_index, _read_model_folder, mutations.of_json),
    "config.json": Reader(_tiny("config.json"), _read_model_folder, mutations.of_json),
    "tokenizer_config.json": Reader(
        _tiny("tokenizer_config.json", "falcon"), _read_model_folder, mutations.of_json
    ),
    "tokenizer.json": Reader(
        _tiny("tokenizer.json", "falcon"), _read_model_folder, mutations.of_json
    ),
    **{
        f"a small {name}": Reader(make, _read_model_folder, mutations.of_json)
        for name, make in small_files.MAKERS.items()
    },
    "tokenizer.model": Reader(_tiny("tokenizer.model"), _read_model_folder),
    "model card": Reader(_card, _read_card, mutations.of_card),
    "text": Reader(_text, lambda path: text_corpus.notes(path, path.name)),
    "saved logits": Reader(_logits, _read_logits),
    "recipe": Reader(_recipe, lambda path: load_and_plan.load([path]), mutations.of_yaml),
    "lock": Reader(_lock, _read_lock, mutations.of_yaml),
    "toolchain.yaml": Reader(_chain("toolchain.yaml"), _read_chain, mutations.of_yaml),
    "families.yaml": Reader(_chain("families.yaml"), _read_chain, mutations.of_yaml),
    "drafts.yaml": Reader(_chain("drafts.yaml"), _read_chain, mutations.of_yaml),
    "sdists.txt": Reader(_chain("sdists.txt"), _read_chain),
    "requirements.txt": Reader(_chain("requirements.txt"), _read_chain),
    "history": Reader(_history, _read_history, mutations.of_database),
    "report.json": Reader(_report, _read_report, mutations.of_json),
    "publish.json": Reader(_publication, _read_publication, mutations.of_json),
    "provenance": Reader(_statement, _read_statement, mutations.of_json),
    "signature": Reader(_envelope, _read_envelope, mutations.of_json),
    "manifest.json": Reader(_manifest, _read_manifest, mutations.of_json),
    "site's list": Reader(_pages, _read_pages, mutations.of_json),
}
