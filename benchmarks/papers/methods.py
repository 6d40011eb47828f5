"""Methods of a cell: which code they are, and what they keep between cells."""

from __future__ import annotations

from functools import lru_cache

from morelli.attribution.catalogue import load_attributor
from morelli.attribution.image import IMAGE_REGISTRY
from morelli.baselines.code import FOLLOWED, code_version, method_version
from morelli.baselines.text import STAND_IN, tower_revision
from morelli.encoders.catalogue import load_encoder
from morelli.errors import MorelliError

_CELLS = tuple(f"benchmarks.papers.{name}" for name in ("work", "records", "sources", "training"))
#: What measures a cell of tables 000 and 002, by kind.
_PROTOCOLS = {
    "main": (*_CELLS, "morelli.evaluation.runner"),
    "zero-shot": (*_CELLS, "morelli.evaluation.zero_shot", "morelli.evaluation.zero_shot_pairs"),
}
#: What measures a cell of table 001, and what that follows.
_ATTACKS = tuple(f"benchmarks.papers.{name}" for name in ("attacks", "learnt", "regeneration"))
_ATTACKED = (*FOLLOWED, "morelli.regeneration", "morelli.generators", "morelli.inversion", "benchmarks.zoo")
_STORED = (
    *(f"benchmarks.papers.{name}" for name in ("stored_attacks", "learnt", "pictures", "sources")),
    "benchmarks.one_form",
    "benchmarks.zoo.plan",
)
_TUNED = ("benchmarks.papers.tuned", "benchmarks.one_form", "morelli.fingerprint.learn.run")
# Where methods keep what they compute, by option: folders below --out.
_KEPT = {"checkpoint": "trained", "cache": "cache"}


def versions(kind: str, spec: str, encoder: str) -> dict[str, str]:
    """What of the code and the weights decides a cell: hashes, which change where it may come out differently.

    Parameters
    ----------
    kind : str
        "main", "zero-shot", "tuned", "attack" or "stored".
    spec : str
        The method, with or without options.
    encoder : str
        "" where the cell looks at none.
    """
    protocol = _protocol(kind)
    found = {"protocol": protocol, "method": _method(spec.partition("@")[0]), "encoder": _stamp(encoder)}
    return found | ({"tower": _tower(spec)} if spec.partition("@")[0] == "mlp-image-text" else {})


def _protocol(kind: str) -> str:
    if kind == "attack":
        return code_version(*_ATTACKS, followed=_ATTACKED)
    if kind == "tuned":
        return code_version(*_PROTOCOLS["zero-shot"], *_TUNED)
    if kind == "stored":
        return code_version(*_STORED, followed=(*FOLLOWED, "morelli.regeneration"))
    return code_version(*_PROTOCOLS[kind])


@lru_cache(maxsize=32)
def _tower(spec: str) -> str:
    """The revision of the text tower of mlp-image-text; "" of one that cannot be had."""
    try:
        return tower_revision(spec_options(spec).get("text", STAND_IN))
    except MorelliError:
        return ""


def spec_options(spec: str) -> dict[str, str]:
    """The options of a spec, ``NAME@option=value+option=value``, as text."""
    return dict(part.split("=", 1) for part in spec.partition("@")[2].split("+") if "=" in part)


@lru_cache(maxsize=256)
def _method(name: str) -> str:
    if name in IMAGE_REGISTRY:
        maker = IMAGE_REGISTRY.get(name)
        return method_version(maker) if isinstance(maker, type) else code_version(maker.__module__)
    return method_version(type(load_attributor(name))) if name else ""


@lru_cache(maxsize=32)
def _stamp(encoder: str) -> str:
    """Revision and preprocessing; "" of an encoder that cannot be had, which the cell will say."""
    try:
        stamp = load_encoder(encoder).stamp if encoder else None
    except MorelliError:
        return ""
    return f"{stamp.revision}/{stamp.preprocessing}" if stamp else ""


def kept_in(out: str) -> dict[str, str]:
    """Folders below ``out`` in which methods keep trainings and embeddings, by their option."""
    return {option: f"{out}/{folder}" for option, folder in _KEPT.items()}
