"""A registry of OCI artifacts, through the library oras (extra ``oci``): blobs and manifests.

https://github.com/opencontainers/distribution-spec. Who may write is what ``docker login`` left.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import requests

from orchestrator.base.errors import EnvironmentProblem, NetworkProblem, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.recipe.publish_section import OCI_PLACE

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_HERE = re.compile(r"(localhost|127\.[0-9.]+)(:[0-9]+)?")
_WHOLE = 32 << 20  # bytes; larger blobs go in pieces, since a whole one is held in memory


@dataclass(frozen=True)
class Reference:
    """A repository of a registry, and the tag if one is named."""

    host: str
    name: str
    tag: str = ""

    def __str__(self) -> str:
        return f"{self.host}/{self.name}" + (f":{self.tag}" if self.tag else "")


def reference(text: str) -> Reference:
    """A place of :func:`orchestrator.recipe.publish_section.destination`, without ``oci:``."""
    found = OCI_PLACE.fullmatch(text)
    assert found is not None, "the place was checked"
    return Reference(found["host"], found["name"], found["tag"] or "")


@dataclass(frozen=True)
class Repository:
    """A repository of a registry; one on this machine is asked without TLS, as Docker does.

    Raises:
        UsageError: The library is not installed (when it is first used).
        NetworkProblem: The registry does not answer.
        EnvironmentProblem: It refuses.
    """

    place: Reference

    def has(self, digest: str) -> bool:
        """Whether it has a blob."""
        with self._asked() as (client, container):
            return bool(client.blob_exists({"digest": digest}, container))

    def manifest(self, tag: str) -> Mapping[str, JSON] | None:
        """The manifest of a tag; None without one."""
        with self._asked(tag) as (client, container):
            url = f"{client.prefix}://{container.manifest_url()}"
            found = client.do_request(url, "GET", headers={"Accept": MANIFEST})
            if found.status_code == requests.codes.not_found:
                return None
            self._require(found)
            told = found.json()
        return told if isinstance(told, dict) else None

    def upload(self, digest: str, size: int, path: Path | None, data: bytes = b"") -> None:
        """Send a blob that lies in a file or is given; the registry holds it against its digest."""
        with self._asked() as (client, container), tempfile.TemporaryDirectory() as folder:
            if path is None:
                path = Path(folder) / "blob"
                path.write_bytes(data)
            layer = {"digest": digest, "size": size}
            self._require(client.upload_blob(str(path), container, layer, do_chunked=size > _WHOLE))

    def tag(self, tag: str, manifest: Mapping[str, JSON]) -> None:
        """Name a manifest; its blobs must be there."""
        with self._asked(tag) as (client, container):
            self._require(client.upload_manifest(dict(manifest), container))

    def _require(self, answer: requests.Response) -> None:
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise self._refused(f"HTTP {answer.status_code}")
        if not answer.ok:
            raise EnvironmentProblem(
                f"{self.place.host} refused an upload to {self.place.name}: "
                f"HTTP {answer.status_code} {' '.join(answer.text.split())[:200]}"
            )

    def _refused(self, why: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"{self.place.host} does not let you write to {self.place.name} ({why})",
            f"Log in with 'docker login {self.place.host}'.",
        )

    @contextlib.contextmanager
    def _asked(self, tag: str = "") -> Iterator[tuple[Any, Any]]:
        try:
            from oras.auth import AuthenticationException  # noqa: PLC0415 - an extra
            from oras.container import Container  # noqa: PLC0415
            from oras.provider import Registry  # noqa: PLC0415
        except ImportError:
            raise UsageError(
                "a registry needs the library oras, which is not installed",
                "Install it with: pip install 'orchestrate-gguf[oci]'",
            ) from None
        logging.getLogger("oras").setLevel(logging.CRITICAL)
        try:
            client = Registry(insecure=_HERE.fullmatch(self.place.host) is not None)
            # As it is decorated, it asks five times in two minutes before it says "refused".
            client.do_request = partial(Registry.do_request.__wrapped__, client)
            container = Container(str(Reference(self.place.host, self.place.name, tag)))
            client.auth.load_configs(container)
            yield client, container
        except AuthenticationException as error:
            raise self._refused(str(error)) from error
        except requests.RequestException as error:
            raise NetworkProblem(
                f"{self.place.host} does not answer ({type(error).__name__})",
                "Check the address and the network.",
            ) from error
        except ValueError as error:
            raise self._refused(" ".join(str(error).split())[:200]) from error
