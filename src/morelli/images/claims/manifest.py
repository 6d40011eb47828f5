"""What one manifest of Content Credentials states, in words: who wrote it, what was done, of what source.

C2PA Technical Specification 2.x, §10 (claims): assertions that the signer *created* are its own word; those that it
*gathered* come from others, and it vouches for no more than that they are these. Version 1 knows no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from morelli.images.claims.described import source_type
from morelli.images.claims.limits import quoted, word

GATHERED = " (gathered: covered by the signature, and not the signer's own word)"
_MAX_ACTIONS = 8


def signer(manifest: Mapping[str, Any]) -> str:
    """The name in its certificate, in quotes."""
    info = manifest.get("signature_info")
    info = info if isinstance(info, dict) else {}
    return quoted(word(info.get("issuer")) or word(info.get("common_name")) or "nobody named")


def statements(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Its statements, in order.

    Parameters
    ----------
    manifest : mapping
        One of the reader's report.
    """
    generators = manifest.get("claim_generator_info") or [{"name": manifest.get("claim_generator")}]
    names = [f"{word(each.get('name'))} {word(each.get('version'))}".strip() for each in dicts(generators)]
    if any(names):
        yield f"written by {', '.join(quoted(name) for name in names[:4] if name)}"
    tells_apart = manifest.get("claim_version", 1) != 1
    for assertion in dicts(manifest.get("assertions")):
        label, data = word(assertion.get("label")), assertion.get("data")
        if not isinstance(data, dict):
            continue
        whose = GATHERED if tells_apart and assertion.get("created") is not True else ""
        if label.startswith("c2pa.actions"):
            for action in list(dicts(data.get("actions")))[:_MAX_ACTIONS]:
                yield _action(action) + whose
        source = data.get("Iptc4xmpExt:DigitalSourceType") or data.get("iptc:DigitalSourceType")
        if isinstance(source, str):
            yield source_type(source) + whose


def _action(action: Mapping[str, Any]) -> str:
    agent = action.get("softwareAgent")
    if isinstance(agent, dict):
        agent = f"{word(agent.get('name'))} {word(agent.get('version'))}".strip()
    said = word(action.get("action")).removeprefix("c2pa.") or "an action"
    if word(agent):
        said += f" by {quoted(word(agent))}"
    source = action.get("digitalSourceType")
    return f"{said}, {source_type(source)}" if isinstance(source, str) else said


def dicts(values: Any) -> Iterator[dict[str, Any]]:
    """The objects in what should be a list of them."""
    for each in values if isinstance(values, list) else ():
        if isinstance(each, dict):
            yield each
