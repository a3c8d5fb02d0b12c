"""The signature of a whole publication, as OpenSSF's model-signing makes and checks it.

https://github.com/sigstore/model-transparency: its library (extra ``sign``) signs a list of files
with their digests, which are known here already. Whoever has the files needs only its command.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.workflows.publishing.publication_record import RECORD
from orchestrator.workflows.publishing.published_files import Piece, file_piece

SIGNATURE = "model.sig"


def pieces(
    name: str, whole: Sequence[Piece], key: Path | None, notes: list[str]
) -> Iterator[Piece]:
    """The signature of all files; none without a key, or where the library is not installed.

    Args:
        name: What is signed, for those who read the signature.
        whole: The files.
        key: A private key of an elliptic curve (PEM).
        notes: Told why there is none.
    """
    if key is None or not all(one.sha256 for one in whole):  # parts that are still to be made
        return
    signer, why = _signer(key)
    if signer is None:
        notes.append(f"there is no {SIGNATURE}: {why}")
        return
    from model_signing._signing.signing import Payload  # noqa: PLC0415 - an extra, and heavy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SIGNATURE
        signer.sign(Payload(_manifest(name, whole))).write(path)
        yield file_piece(SIGNATURE, path)


def possible(key: Path | None) -> bool:
    """Whether a publication with this key is signed as a whole."""
    return key is not None and _signer(key)[0] is not None


def _signer(key: Path) -> tuple[Any, str]:
    """What signs, or None and why not."""
    try:
        from model_signing import signing  # noqa: PLC0415 - an extra, and heavy
    except ImportError:
        return None, "model-signing is not installed (pip install 'orchestrate-gguf[sign]')"
    try:
        # The library hashes whole folders before it signs; all digests are known here.
        config: Any = signing.Config
        return config().use_elliptic_key_signer(private_key=key)._signer, ""
    except (ValueError, AttributeError):  # the latter for keys of no curve at all
        return None, "model-signing takes keys of the curves P-256, P-384 and P-521"


def _manifest(name: str, whole: Sequence[Piece]) -> Any:
    """The files with their digests; what is written after it is left out when it is checked."""
    from model_signing import manifest  # noqa: PLC0415
    from model_signing._hashing.hashing import Digest  # noqa: PLC0415

    items = [
        manifest.FileManifestItem(
            path=PurePosixPath(one.name), digest=Digest("sha256", bytes.fromhex(one.sha256))
        )
        for one in whole
    ]
    later = [Path(SIGNATURE), Path(RECORD)]
    return manifest.Manifest(name, items, manifest._FileSerialization("sha256", False, later))
