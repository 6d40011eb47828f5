"""Content Credentials of our own making: a root, a signer below it, and files that it signs."""

from __future__ import annotations

import datetime
import io
import json
from dataclasses import dataclass
from typing import Any

import pytest

c2pa = pytest.importorskip("c2pa", reason="Content Credentials are not installed: pip install 'morelli[claims]'")
pytest.importorskip("cryptography", reason="certificates cannot be made: pip install cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: E402

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MANIFEST = {
    "claim_generator_info": [{"name": "Test Painter", "version": "1.0"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "created": True,  # the signer's own word, not gathered
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "softwareAgent": {"name": "Painter 3"},
                        "digitalSourceType": SOURCE_TYPE,
                    }
                ]
            },
        }
    ],
}
#: Of a file that was made from another one: valid only beside a parent.
EDITED = {
    "claim_generator_info": [{"name": "Editor"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "created": True,
            "data": {"actions": [{"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}]},
        }
    ],
}


@dataclass(frozen=True)
class Identity:
    """A signer: certificate chain and key, and the root that the chain ends in; all PEM."""

    chain: bytes
    key: bytes
    root: bytes


def _name(common: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def identity(organisation: str = "Test Works") -> Identity:
    """A root of its own and a signer below it, good for a year."""
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = _name("Test Root", "Test Authority")

    def build(subject: x509.Name, public: Any, *, authority: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * day)
            .not_valid_after(now + 365 * day)
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(_usage(signs=authority), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )

    root = build(root_name, root_key.public_key(), authority=True).sign(root_key, hashes.SHA256())
    leaf = (
        build(_name("Test Signer", organisation), key.public_key(), authority=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(leaf.public_bytes(pem) + root.public_bytes(pem), secret, root.public_bytes(pem))


def sign(
    data: bytes,
    mime: str,
    who: Identity,
    manifest: dict[str, Any] | None = None,
    parent: bytes | None = None,
    trusts: Identity | None = None,
) -> bytes:
    """The file with Content Credentials; ``parent`` is what it is made from, ``trusts`` whom its signer knows."""
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", who.chain, who.key, None))
    settings: dict[str, Any] = {
        "verify": {"verify_after_sign": False},
        "builder": {"thumbnail": {"enabled": False}},
    }
    if trusts is not None:
        settings["trust"] = {"trust_anchors": trusts.root.decode()}
    out = io.BytesIO()
    text = json.dumps(manifest or MANIFEST)
    with c2pa.Context.from_dict(settings) as context, c2pa.Builder(text, context=context) as builder:
        if parent is not None:
            ingredient = {"title": "parent.png", "relationship": "parentOf", "label": "parent"}
            builder.add_ingredient(ingredient, "image/png", io.BytesIO(parent))
        builder.sign(signer, mime, io.BytesIO(data), out)
    return out.getvalue()
