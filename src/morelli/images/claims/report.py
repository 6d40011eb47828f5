"""The report on a file's Content Credentials becomes claims: the signature first, then what it covers.

"Signed" is said where the signature is valid, its hashes match this file's bytes, they leave out none that say
something, and the certificate chains to a root that the user named. Anyone can make a certificate with any name in it,
so a valid signature below no known root is told, and is not "signed". Nor is what the credentials of another file say:
the signer of this one vouches for having used it, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from morelli.images.claims.findings import Findings, of_file, of_ingredient
from morelli.images.claims.limits import quoted, word
from morelli.images.claims.manifest import dicts, signer, statements
from morelli.types import Claim

SOURCE = "Content Credentials"
#: Of the claims that another file's credentials make.
EARLIER = "Content Credentials of what it was made from"
_MAX_INGREDIENTS, _MAX_SAID = 8, 4


def report_claims(report: Mapping[str, Any], uncovered: int = 0) -> list[Claim]:
    """Claims of a report, those that are signed first.

    Parameters
    ----------
    report : mapping
        As c2pa's reader words it.
    uncovered : int
        Bytes of the file that the signature says nothing of, whatever the report says.
    """
    manifests = _mapping(report.get("manifests"))
    active = _mapping(manifests.get(word(report.get("active_manifest"), 400)))
    found = of_file(report)
    valid = found.bound and report.get("validation_state") in ("Valid", "Trusted")
    signed = valid and found.known and not uncovered
    source, said = _signature(active, found, valid, uncovered)
    ingredients = list(dicts(active.get("ingredients")))[:_MAX_INGREDIENTS]
    return [
        Claim(source, said, signed=signed),
        *(Claim(source, each, signed=signed) for each in statements(active)),
        *(Claim(source, f"made from {_title(each)}", signed=signed) for each in ingredients),
        *(Claim(EARLIER, each, signed=False) for each in _earlier(ingredients, report, valid and found.known)),
    ]


def _signature(active: Mapping[str, Any], found: Findings, valid: bool, uncovered: int) -> tuple[str, str]:
    """Source and statement of the first claim."""
    info, name = _mapping(active.get("signature_info")), signer(active)
    at = f" on {word(info.get('time'))}" if info.get("time") else ""
    if not valid:
        if found.changed:
            said = f"not of this file as it is: the bytes are not those that {name} signed ({found.why()})"
        else:
            said = f"invalid ({found.why()}); it names {name} as its signer"
        return f"{SOURCE} (invalid)", said
    unchanged = "unchanged since"
    if uncovered:
        unchanged += f", but for {uncovered} bytes that the signature does not cover: anyone could have put them there"
    if not found.known:
        return f"{SOURCE} (no known root)", (
            f"signed{at}, and {unchanged}{';' if uncovered else ','} with a certificate that names {name} and chains "
            "to no root that you named: anyone can make one with any name"
        )
    source = f"{SOURCE} (not of all bytes)" if uncovered else f"{SOURCE}, signer {name}"
    return source, f"signed by {name}{at}, and {unchanged}; the certificate chains to a root that you named"


def _earlier(ingredients: list[dict[str, Any]], report: Mapping[str, Any], vouched: bool) -> Iterator[str]:
    """What the credentials of what it was made from say, one level deep, and what they are worth."""
    manifests = _mapping(report.get("manifests"))
    for each in ingredients:
        made_of = manifests.get(word(each.get("active_manifest"), 400))
        if not isinstance(made_of, dict):
            continue
        said = "; ".join(list(statements(made_of))[:_MAX_SAID])
        found, title, name = of_ingredient(each, report), _title(each), signer(made_of)
        if found.failed:
            worth = f"{title} came with invalid credentials that name {name} ({found.why()})"
        # Whether they matched the bytes that they came with is the word of this file's signer.
        elif not (vouched and found.bound):
            worth = f"{title} is said to have come with credentials that name {name}, which nobody known has checked"
        elif found.known:
            worth = f"{title} came with valid credentials by {name}, below a root that you named"
        else:
            worth = (
                f"{title} came with valid credentials that name {name}, below no root that you named: anyone can make "
                "such with any name"
            )
        yield f"{worth}; they say: {said}" if said else worth


def _title(ingredient: Mapping[str, Any]) -> str:
    return quoted(word(ingredient.get("title")) or "untitled")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
