"""Content Credentials (C2PA): signed or not, by whom, of this very file or not. Offline, in a process with limits.

C2PA Technical Specification 2.x, §15 (validation). "Signed" is said of a claim only where the signature is valid, its
hashes match this file's bytes, nothing else failed, and the certificate chains to a root that the user named. Anyone
can make a certificate with any name in it, so a valid signature below no known root is told, and is not "signed".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from morelli.errors import InputError
from morelli.images.claims.carried import Carried
from morelli.images.claims.described import source_type
from morelli.images.claims.limits import quoted, word
from morelli.types import Claim

SOURCE = "Content Credentials"
#: Seconds on the clock after which the reader is stopped; its processor time is limited more tightly.
PATIENCE = 8.0
WORKER: Sequence[str] = ("-P", "-m", "morelli.images.claims.credentials_worker")
MISSING = 'Content Credentials not read: pip install "morelli[claims]"'

MIMES: Mapping[str, str] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}
_UNTRUSTED = "signingCredential.untrusted"
_BINDING = re.compile(r"assertion\.(dataHash|bmffHash|boxesHash)\.match")
_CHANGED = re.compile(r"assertion\.(dataHash|bmffHash|boxesHash)\.(mismatch|malformed)")
_MAX_ACTIONS, _MAX_INGREDIENTS = 8, 8


def load_roots(path: str | Path | None) -> str | None:
    """Certificates of the authorities that the user knows.

    Parameters
    ----------
    path : str, Path or None
        A PEM file with one certificate or more; None: nobody is known.

    Raises
    ------
    InputError
        The file cannot be read, is larger than a megabyte, or holds no certificate.
    """
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            text = file.read(2**20 + 1).decode("ascii", "replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).", argument="--trust") from error
    if len(text) > 2**20 or "-----BEGIN CERTIFICATE-----" not in text:
        raise InputError(
            f"{path} is no PEM file of certificates.",
            argument="--trust",
            fix="Name a file with -----BEGIN CERTIFICATE----- blocks.",
        )
    return text


def credential_claims(data: bytes, kind: str, roots: str | None, carried: Carried) -> list[Claim]:
    """Claims of the file's Content Credentials, and of what they were made from.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : str
        Its format, told from its first bytes: its name says nothing.
    roots : str or None
        From `load_roots`.
    carried : Carried
        Its notes grow by what could not be read.
    """
    # Where they belong in the file is the reader's to judge; without these words there is nothing to judge.
    if kind not in MIMES or b"jumb" not in data or b"c2pa" not in data:
        return []
    if find_spec("c2pa") is None:
        carried.note(MISSING)
        return []
    answer = _ask(data, MIMES[kind], roots, carried)
    if answer is None:
        return []
    if "report" in answer:
        return list(_claims(answer["report"]))
    error = word(answer.get("error"), 200)
    if error.startswith("ManifestNotFound"):
        carried.note("Bytes that look like Content Credentials do not stand where they belong and were not read.")
        return []
    return [Claim(SOURCE, f"there are some, and they cannot be read: {error}", signed=False)]


def _ask(data: bytes, mime: str, roots: str | None, carried: Carried) -> dict[str, Any] | None:
    head = json.dumps({"mime": mime, "roots": roots, "size": len(data)}).encode()
    try:
        done = subprocess.run(
            [sys.executable, *WORKER],
            input=b"".join((head, b"\n", data)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        carried.note(f"Content Credentials not read: that took more than {PATIENCE:g} seconds.")
        return None
    except OSError as error:
        carried.note(f"Content Credentials not read: no process could be started ({error.strerror}).")
        return None
    try:
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:  # something else wrote to the worker's output
        answer = None
    if not isinstance(answer, dict):
        carried.note("Content Credentials not read: the reader crashed or passed its limits.")
        return None
    return answer


def _claims(report: Mapping[str, Any]) -> Iterator[Claim]:
    """The signature first; then what it covers, with the same mark."""
    manifests = report.get("manifests") or {}
    active = manifests.get(report.get("active_manifest")) or {}
    valid, known = _is_valid(report), report.get("validation_state") == "Trusted"
    info = active.get("signature_info") or {}
    signer = quoted(word(info.get("issuer")) or word(info.get("common_name")) or "nobody named")
    signed = valid and known
    at = f" on {word(info.get('time'))}" if info.get("time") else ""
    if signed:
        source = f"{SOURCE}, signer {signer}"
        said = f"signed by {signer}{at}, and unchanged since; the certificate chains to a root that you named"
    elif valid:
        source = f"{SOURCE} (no known root)"
        said = (
            f"signed{at}, and unchanged since, with a certificate that names {signer} and chains to no root that you "
            "named: anyone can make one with any name"
        )
    else:
        source, said = f"{SOURCE} (invalid)", _why_invalid(report, signer)
    yield Claim(source, said, signed=signed)
    for statement in (*_statements(active), *_ingredients(active, manifests)):
        yield Claim(source, statement, signed=signed)


def _is_valid(report: Mapping[str, Any]) -> bool:
    """The library's verdict, and, beside it, the two findings that it must rest on."""
    codes = set(_codes(report.get("validation_results"), "success"))
    return (
        report.get("validation_state") in ("Valid", "Trusted")
        and "claimSignature.validated" in codes
        and any(_BINDING.fullmatch(code) for code in codes)
    )


def _codes(results: Any, kind: str) -> Iterator[str]:
    active = results.get("activeManifest") if isinstance(results, dict) else None
    found = active.get(kind) if isinstance(active, dict) else None
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict) and isinstance(each.get("code"), str):
            yield each["code"]


def _why_invalid(report: Mapping[str, Any], signer: str) -> str:
    codes = [code for code in _codes(report.get("validation_results"), "failure") if code != _UNTRUSTED]
    shown = ", ".join(word(code, 60) for code in codes[:4]) or "no signature over this file"
    if any(_CHANGED.fullmatch(code) for code in codes):
        return f"not of this file as it is: the bytes are not those that {signer} signed ({shown})"
    return f"invalid ({shown}); it names {signer} as its signer"


def _statements(manifest: Mapping[str, Any]) -> Iterator[str]:
    generators = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator")}]
    names = [f"{word(each.get('name'))} {word(each.get('version'))}".strip() for each in _dicts(generators)]
    if any(names):
        yield f"written by {', '.join(quoted(name) for name in names[:4] if name)}"
    for assertion in _dicts(manifest.get("assertions")):
        label, data = word(assertion.get("label")), assertion.get("data")
        if not isinstance(data, dict):
            continue
        if label.startswith("c2pa.actions"):
            for action in list(_dicts(data.get("actions")))[:_MAX_ACTIONS]:
                yield _action(action)
        source = data.get("Iptc4xmpExt:DigitalSourceType") or data.get("iptc:DigitalSourceType")
        if isinstance(source, str):
            yield source_type(source)


def _action(action: Mapping[str, Any]) -> str:
    agent = action.get("softwareAgent")
    if isinstance(agent, dict):
        agent = f"{word(agent.get('name'))} {word(agent.get('version'))}".strip()
    said = word(action.get("action")).removeprefix("c2pa.") or "an action"
    if word(agent):
        said += f" by {quoted(word(agent))}"
    source = action.get("digitalSourceType")
    return f"{said}, {source_type(source)}" if isinstance(source, str) else said


def _ingredients(manifest: Mapping[str, Any], manifests: Mapping[str, Any]) -> Iterator[str]:
    """What the picture was made from, one level deep: the signer vouches for no more than that it was so."""
    for each in list(_dicts(manifest.get("ingredients")))[:_MAX_INGREDIENTS]:
        made_of = manifests.get(word(each.get("active_manifest"), 400))
        said = list(_statements(made_of)) if isinstance(made_of, dict) else []
        title = quoted(word(each.get("title")) or "untitled")
        yield f"made from {title}" + (f", whose own credentials say: {'; '.join(said[:4])}" if said else "")


def _dicts(values: Any) -> Iterator[dict[str, Any]]:
    for each in values if isinstance(values, list) else ():
        if isinstance(each, dict):
            yield each
