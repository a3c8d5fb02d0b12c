"""Signed statements: DSSE envelopes made and checked with a key file, offline.

securesystemslib does the cryptography; it is imported when something is signed. Keys are
PEM files: ``openssl genpkey -algorithm ed25519 -out key.pem`` and
``openssl pkey -in key.pem -pubout -out key.pub.pem``.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.base import json_text
from orchestrator.base.errors import OrchestrateError, UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

_MAKE = "Make one: openssl genpkey -algorithm ed25519 -out key.pem"


def sign(payload: bytes, kind: str, key: Path) -> str:
    """The envelope (JSON) of a payload, signed; with Ed25519 always the same.

    Args:
        payload: What is signed.
        kind: Its media type.
        key: A private key, PEM, not encrypted: Ed25519, ECDSA or RSA.

    Raises:
        UsageError: The key cannot be read or used.
    """
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - heavy

    envelope = Envelope(payload, kind, {})
    envelope.sign(_signer(key))
    return json.dumps(envelope.to_dict(), indent=2, sort_keys=True) + "\n"


def verify(envelope: bytes, kind: str, key: Path) -> bytes:
    """The payload of an envelope that this key has signed.

    Args:
        envelope: JSON.
        kind: The media type that the payload must have.
        key: The public key, PEM.

    Raises:
        UsageError: The key cannot be read.
        OrchestrateError: It is no envelope, or not signed by this key, or of another type.
    """
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - heavy
    from securesystemslib.exceptions import VerificationError  # noqa: PLC0415

    public = _public(key)
    try:
        found = Envelope.from_dict(json_text.parse(envelope))
        found.verify([public], 1)
    except VerificationError as error:
        raise OrchestrateError(
            f"the signature is not of {key}", "Ask the publisher for the right public key."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OrchestrateError(f"this is no signed envelope ({error})") from error
    if found.payload_type != kind:
        raise OrchestrateError(f"the envelope holds {found.payload_type!r}, not {kind!r}")
    return bytes(found.payload)


def unverified(envelope: bytes) -> bytes:
    """The payload of an envelope, whoever signed it.

    Raises:
        ValueError: It is no envelope.
    """
    try:
        return base64.b64decode(json_text.parse(envelope)["payload"], validate=True)
    except (KeyError, TypeError) as error:
        raise ValueError("this is no signed envelope") from error


def _signer(path: Path) -> CryptoSigner:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
    )
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    try:
        key: Any = load_pem_private_key(_read(path), password=None)
        return CryptoSigner(key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no private key that can sign ({error})", _MAKE) from error


def _public(path: Path) -> SSlibKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - heavy
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_public_key,
    )
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    try:
        key: Any = load_pem_public_key(_read(path))
        return SSlibKey.from_crypto(key)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        hint = "Derive it: openssl pkey -in key.pem -pubout -out key.pub.pem"
        raise UsageError(f"{path} is no public key ({error})", hint) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", _MAKE) from error
