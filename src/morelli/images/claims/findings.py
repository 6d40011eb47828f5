"""What the reader of Content Credentials found of a manifest: codes of success and failure.

C2PA Technical Specification 2.x, §15.2 (status codes). Of the file's own manifest they are found now. Of what it was
made from only the signature can be checked now, for its bytes are not here: whether they matched is what the signer of
the file recorded, and the reader tells what it finds otherwise now (a *delta*).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from morelli.errors import InputError
from morelli.images.claims.limits import parse_json, word
from morelli.images.claims.manifest import dicts

UNTRUSTED, TRUSTED = "signingCredential.untrusted", "signingCredential.trusted"
LINKED = "ingredient.manifest.validated"
_BINDING = re.compile(r"assertion\.(dataHash|bmffHash|boxesHash)\.match")
_CHANGED = re.compile(r"assertion\.(dataHash|bmffHash|boxesHash)\.(mismatch|malformed)")
_MAX_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Findings:
    """Codes of one manifest.

    Attributes
    ----------
    success, failure : tuple of str
        As the reader words them; not cleaned.
    known : bool
        The certificate chains to a root that the user named.
    """

    success: tuple[str, ...]
    failure: tuple[str, ...]
    known: bool

    @property
    def bound(self) -> bool:
        """The two findings that validity must rest on: a valid signature, over the very bytes."""
        return "claimSignature.validated" in self.success and any(_BINDING.fullmatch(code) for code in self.success)

    @property
    def failed(self) -> bool:
        """Something failed; that nobody knows the signer is no such failure."""
        return any(code != UNTRUSTED for code in self.failure)

    @property
    def changed(self) -> bool:
        """The bytes are not those that were signed."""
        return any(_CHANGED.fullmatch(code) for code in self.failure)

    def why(self) -> str:
        """The first codes of failure, for a reader who knows them."""
        codes = [word(code, 60) for code in dict.fromkeys(self.failure) if code != UNTRUSTED]
        return ", ".join(codes[:_MAX_SHOWN]) or "no signature over this file"


def of_file(report: Mapping[str, Any]) -> Findings:
    """Findings on the file's own manifest."""
    found = _object(_object(report.get("validation_results")).get("activeManifest"))
    failure = _codes(found, "failure")
    # Not by the library's verdict "Trusted", which an unknown root of what the file was made from takes away.
    known = _is_trusted(found, report.get("active_manifest")) and UNTRUSTED not in failure
    return Findings(_codes(found, "success"), failure, known)


def of_ingredient(ingredient: Mapping[str, Any], report: Mapping[str, Any]) -> Findings:
    """Findings on the manifest of what the file was made from: those recorded, as far as they hold now.

    Parameters
    ----------
    ingredient : mapping
        An entry of the active manifest's ``ingredients``.
    report : mapping
        The reader's whole report.
    """
    recorded = _object(_object(ingredient.get("validation_results")).get("activeManifest"))
    then, failed_then = _codes(recorded, "success"), _codes(recorded, "failure")
    failed_then += _all_codes(ingredient.get("validation_status"))  # all that an older form records
    delta = _delta(ingredient, report)
    now, failed_now = _codes(delta, "success"), _codes(delta, "failure")
    # Whom the signer of the file trusted is not whom the user trusts: what is found now counts for more.
    label = ingredient.get("active_manifest")
    trusted = _is_trusted(delta, label) or (_is_trusted(recorded, label) and UNTRUSTED not in failed_then)
    if LINKED not in now:  # this very manifest was not looked at now
        then, trusted = (), False
    return Findings((*then, *now), (*failed_then, *failed_now), trusted and UNTRUSTED not in failed_now)


def _is_trusted(findings: Mapping[str, Any], label: Any) -> bool:
    """Whether the certificate of that manifest's own signature, and no other one's, chains to a known root."""
    ending = f"/{word(label, 400)}/c2pa.signature"
    return any(
        each.get("code") == TRUSTED and word(each.get("url"), 1000).endswith(ending)
        for each in dicts(findings.get("success"))
    )


def _delta(ingredient: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    results = _object(report.get("validation_results"))
    ending = f"/{word(report.get('active_manifest'), 400)}/c2pa.assertions/{word(ingredient.get('label'), 400)}"
    for each in dicts(results.get("ingredientDeltas")):
        if word(each.get("ingredientAssertionURI"), 1000).endswith(ending):
            return _object(each.get("validationDeltas"))
    return {}


def _codes(findings: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return _all_codes(findings.get(kind))


def _all_codes(values: Any) -> tuple[str, ...]:
    return tuple(each["code"] for each in dicts(values) if isinstance(each.get("code"), str))


def _object(value: Any) -> dict[str, Any]:
    """A JSON object, which may come as its text; {} for anything else."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except InputError:
            return {}
    return value if isinstance(value, dict) else {}
