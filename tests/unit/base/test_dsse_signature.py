"""Envelopes: signed by whom, changed by whom, and what is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.base import dsse_signature
from orchestrator.base.errors import OrchestrateError, UsageError
from orchestrator.runs.provenance_statement import PAYLOAD
from tests.support.signing_keys import keys


def test_what_was_signed_is_believed_with_that_key_only(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    _, stranger = keys(tmp_path, "stranger")
    envelope = dsse_signature.sign(b"{}", PAYLOAD, secret)

    assert dsse_signature.verify(envelope.encode(), PAYLOAD, public) == b"{}"
    assert dsse_signature.sign(b"{}", PAYLOAD, secret) == envelope
    with pytest.raises(OrchestrateError, match="signature is not of"):
        dsse_signature.verify(envelope.encode(), PAYLOAD, stranger)


@pytest.mark.parametrize("part", ["payload", "payloadType", "signatures"])
def test_a_changed_envelope_is_not_believed(tmp_path: Path, part: str) -> None:
    secret, public = keys(tmp_path)
    content = json.loads(dsse_signature.sign(b"{}", PAYLOAD, secret))
    content[part] = {"payload": "e30K", "payloadType": "text/plain", "signatures": []}[part]

    with pytest.raises(OrchestrateError):
        dsse_signature.verify(json.dumps(content).encode(), PAYLOAD, public)


def test_a_signed_payload_of_another_type_is_refused(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)

    envelope = dsse_signature.sign(b"x", "text/plain", secret)
    with pytest.raises(OrchestrateError, match="text/plain"):
        dsse_signature.verify(envelope.encode(), PAYLOAD, public)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"payload": 1}', '{"signatures": [1]}'])
def test_rubbish_is_no_envelope(tmp_path: Path, text: str) -> None:
    with pytest.raises(OrchestrateError):
        dsse_signature.verify(text.encode(), PAYLOAD, keys(tmp_path)[1])


def test_keys_that_are_none_are_named(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)

    with pytest.raises(UsageError, match="no private key"):
        dsse_signature.sign(b"", PAYLOAD, public)
    with pytest.raises(UsageError, match="no public key"):
        dsse_signature.verify(b"{}", PAYLOAD, secret)
    with pytest.raises(UsageError, match="cannot be read"):
        dsse_signature.sign(b"", PAYLOAD, tmp_path / "missing.pem")
