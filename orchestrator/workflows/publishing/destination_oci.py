"""A registry as the place of a publication: models as Docker's model specification wants them.

https://github.com/docker/model-spec: one artifact a file, with the licence texts and
the projector where the model has one. Without a tag each file gets its type as one, and the
recommended file is ``latest``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.base.step_values import JSON
from orchestrator.engine.step_worker import Listener
from orchestrator.recipe.publish_section import OCI
from orchestrator.sources import oci_registry
from orchestrator.sources.oci_registry import Reference, Repository
from orchestrator.workflows.publishing.destination import Done, transfer
from orchestrator.workflows.publishing.model_facts import is_paper
from orchestrator.workflows.publishing.publication_record import Changes
from orchestrator.workflows.publishing.published_files import Model, Piece, Tree

_CONFIG = "application/vnd.docker.ai.model.config.v0.1+json"
_GGUF = "application/vnd.docker.ai.gguf.v3"
_SEES = "mmproj"
_PROJECTOR = "application/vnd.docker.ai.gguf.v3.mmproj"
_LICENSE = "application/vnd.docker.ai.license"
_LATEST = "latest"


@dataclass(frozen=True)
class Artifact:
    """One model under a tag: its blobs, and the manifest that names them."""

    tag: str
    blobs: tuple[Piece, ...]
    manifest: Mapping[str, JSON]

    @property
    def piece(self) -> Piece:
        """The manifest as what is sent last."""
        data = json.dumps(self.manifest, sort_keys=True).encode("utf-8")
        return Piece(f"tag {self.tag}", len(data), hashlib.sha256(data).hexdigest(), data=data)


@dataclass(frozen=True)
class Registry:
    """A repository of a registry, with a tag or without."""

    place: Reference

    @property
    def name(self) -> str:
        """As --to takes it."""
        return f"{OCI}{self.place}"

    @property
    def url(self) -> str:
        """Where to look at it."""
        return str(self.place)

    @property
    def _repository(self) -> Repository:
        return Repository(Reference(self.place.host, self.place.name))

    def plan(self, tree: Tree) -> tuple[Changes, bool]:
        """What would have to be sent, and whether any of the tags is there; asks the registry.

        Raises:
            NetworkProblem, EnvironmentProblem: The registry does not answer, or refuses.
        """
        send: dict[str, Piece] = {}
        there: dict[str, Piece] = {}
        exists = False
        for one in artifacts(tree, self.place.tag):
            found = self._repository.manifest(one.tag)
            exists |= found is not None
            for blob in one.blobs:
                known = self._repository.has(f"sha256:{blob.sha256}")
                (there if known else send)[blob.name] = blob
            (there if found == one.manifest else send)[one.piece.name] = one.piece
        return Changes(tuple(send.values()), tuple(there.values()), (), tree.notes), exists

    def publish(self, tree: Tree, listener: Listener) -> Done:
        """Send blobs, then name them by tags.

        Raises:
            NetworkProblem, EnvironmentProblem: As :meth:`plan`.
        """
        changes, _ = self.plan(tree)
        wanted = {one.name for one in changes.send}
        for one in artifacts(tree, self.place.tag):
            for blob in one.blobs:
                if blob.name in wanted:
                    with transfer(listener, f"upload {blob.name}", blob.size):
                        digest = f"sha256:{blob.sha256}"
                        self._repository.upload(digest, blob.size, blob.path, blob.data)
                    wanted.discard(blob.name)
        for one in artifacts(tree, self.place.tag):
            if one.piece.name in wanted:
                self._repository.tag(one.tag, one.manifest)
        return Done(changes, self.url)


def artifacts(tree: Tree, tag: str) -> Iterator[Artifact]:
    """What goes out: every file under its type, or the recommended one under this tag."""
    papers = [piece for piece in tree.pieces if is_paper(piece.name)]
    projectors = [one for one in tree.models if one.output.part == _SEES]
    for model in (one for one in tree.models if not one.output.part):
        best = model.file == tree.best
        tags = [tag] * best if tag else [model.name.encoding, *[_LATEST] * best]
        for one in tags:
            yield _artifact(model, projectors, papers, one)


def _artifact(model: Model, parts: Sequence[Model], papers: Sequence[Piece], tag: str) -> Artifact:
    layers = [(one, _GGUF) for one in model.pieces]
    layers += [(one, _PROJECTOR) for part in parts for one in part.pieces]
    layers += [(one, _LICENSE) for one in papers]
    data = json.dumps(_config(model, layers), sort_keys=True).encode("utf-8")
    digest = hashlib.sha256(data).hexdigest()
    config = Piece(f"config of {model.file}", len(data), digest, data=data)
    manifest: dict[str, JSON] = {
        "schemaVersion": 2,
        "mediaType": oci_registry.MANIFEST,
        "config": _described(config, _CONFIG),
        "layers": [_described(*one) for one in layers],
    }
    return Artifact(tag, (*(one for one, _ in layers), config), manifest)


def _described(piece: Piece, media: str) -> dict[str, JSON]:
    return {"mediaType": media, "size": piece.size, "digest": f"sha256:{piece.sha256}"}


def _config(model: Model, layers: list[tuple[Piece, str]]) -> dict[str, JSON]:
    """As the specification has it (``files``), and as Docker's own program reads it (``rootfs``).

    It says nothing of time or machine, so the same files are the same artifact.
    """
    header = model.header
    told = {
        "architecture": str(header.metadata.get("general.architecture", "")) if header else "",
        "parameters": f"{header.n_elements / 1e9:.2f} B" if header else "",
        "quantization": model.name.encoding,
    }
    gguf = {**told, "parameter_count": told["parameters"]}
    size = sum(one.size for one in model.pieces)
    digests = [f"sha256:{one.sha256}" for one, _ in layers]
    return {
        "config": {
            "format": "gguf",
            "format_version": "3",
            "gguf": gguf,
            "size": str(size),
            **told,
        },
        "files": [
            {"diffID": digest, "type": media}
            for digest, (_, media) in zip(digests, layers, strict=True)
        ],
        "rootfs": {"type": "rootfs", "diff_ids": digests},
    }
