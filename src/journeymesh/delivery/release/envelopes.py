"""In-toto statements in signed DSSE envelopes: who says what about which artefact.

Formats: in-toto Statement v1 (https://in-toto.io/Statement/v1); DSSE v1 (secure-systems-lab/dsse, protocol.md).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.release.keys import SigningKey, TrustedKey, signer
from journeymesh.errors import UsageError

STATEMENT: Final = "https://in-toto.io/Statement/v1"
STATEMENTS: Final = (STATEMENT, "https://in-toto.io/Statement/v0.1")
PAYLOAD: Final = "application/vnd.in-toto+json"


class EnvelopeInvalid(UsageError):
    """An envelope is not one, or nobody who is trusted signed it."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said (``predicate`` of ``predicate_type``) about the artefacts whose digests are ``subjects``."""

    predicate_type: str
    predicate: Mapping[str, Any]
    subjects: Mapping[str, str]
    """From an artefact's name to its digest, ``sha256:…``."""

    def about(self, digest: str) -> bool:
        """Whether it speaks of this digest."""
        return digest in self.subjects.values()

    def encoded(self) -> bytes:
        """As canonical JSON: the same bytes for the same content."""
        subjects = [
            {"name": name, "digest": dict([digest.split(":", 1)])} for name, digest in sorted(self.subjects.items())
        ]
        content = {
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        }
        return canonical(content)


def canonical(content: Any) -> bytes:
    """JSON with sorted keys and without spaces."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def seal(statement: Statement, key: SigningKey) -> dict[str, Any]:
    """The statement in an envelope that the key signed."""
    payload = statement.encoded()
    signature = base64.b64encode(key.sign(_signed(PAYLOAD, payload))).decode()
    return {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key.keyid, "sig": signature}],
    }


def unseal(envelope: Any, trusted: Iterable[TrustedKey]) -> tuple[Statement, TrustedKey]:
    """What the envelope says, and which trusted key says so. An envelope's own ``keyid`` is only a hint: not used.

    Raises:
        EnvelopeInvalid: it is malformed, or no trusted key signed it.
    """
    keys = tuple(trusted)
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(each["sig"], validate=True) for each in envelope["signatures"]]
        signed = _signed(str(envelope["payloadType"]), payload)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise EnvelopeInvalid("not a DSSE envelope", todo="make it again") from error
    by = next((key for signature in signatures if (key := signer(keys, signature, signed))), None)
    if by is None:
        raise EnvelopeInvalid("signed by no key of release/keys", todo="sign it with a key that is trusted there")
    if envelope["payloadType"] != PAYLOAD:
        raise EnvelopeInvalid(f"holds {envelope['payloadType']}, not an in-toto statement", todo="make it again")
    return _statement(payload), by


def _statement(payload: bytes) -> Statement:
    try:
        content = json.loads(payload)
        if content["_type"] not in STATEMENTS:
            raise EnvelopeInvalid(f"a statement of type {content['_type']}", todo=f"make it as {STATEMENT}")
        subjects = {
            f"{each.get('name', '')}#{number}": f"sha256:{each['digest']['sha256']}"
            for number, each in enumerate(content["subject"])
            if "sha256" in each["digest"]
        }
        return Statement(str(content["predicateType"]), dict(content["predicate"]), subjects)
    except (KeyError, TypeError, ValueError) as error:
        raise EnvelopeInvalid("not an in-toto statement", todo="make it again") from error


def _signed(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is really signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
