"""What a cell costs, in seconds of one processor: estimates from measurements, for the plan and for the time left.

Measured once, with torch on one core that computes in bfloat16, on visor (128 × 128 pixels) and sdnext (1024 × 1024).
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.papers.sources import Source

from morelli.evaluation.groups import BUDGETS

# To begin, and to look at the files and at the leaks.
_BASE = 3.0
#: Of one picture, and more of each of its megapixels.
DECODE = (0.001, 0.008)
EMBED = (0.04, 0.1)
_FEATURES: dict[str, tuple[float, float]] = {
    "marra": (0.003, 0.35),
    "marra@form=dncnn": (0.003, 2.0),
    "dzanic": (0.001, 0.034),
    "gram": (0.017, 0.007),
}
#: Statistics of one picture over all folds: weights of several views take most.
RULE = {"plda": 0.01, "lda": 0.015, "fused": 0.15}
# Marra looks at the centre of so many megapixels at most.
_WINDOW = {"marra": 512**2 / 1e6}
#: A network's answer for one picture.
ANSWER = {"resnet50": 0.016, "repmix": 0.016, "yu": 0.011, "dna-det": 0.06, "pose": 0.004}
# A classifier over features: so many seconds for a thousand training pictures of seven models, growing with the square
# of their number and with the models.
_FIT = {"gram": 7.0, "probe": 25.0, "mlp-image": 5.0, "mlp-image-text": 5.0}


def looking(source: Source) -> float:
    """To decode every picture once, and to begin."""
    return _BASE + source.images * _each(DECODE, source)


def scoring(method: str, source: Source) -> float:
    """What a method takes beside its training, its pictures decoded."""
    name = method.partition("@")[0]
    known = _FEATURES.get(method) or _FEATURES.get(name)
    if known is None:
        return source.images * (ANSWER.get(name, 0.0) + RULE.get(name, 0.0))
    pixels = min(source.megapixels, _WINDOW.get(name, source.megapixels))
    return source.images * (known[0] + known[1] * pixels)


def fitting(method: str, images: float, models: float) -> float:
    """To fit a classifier on so many pictures of so many models, once."""
    return _FIT.get(method.partition("@")[0], 0.0) * (images / 1000) ** 2 * models / 7


def main_cell(method: str, source: Source, folds: int, training: float) -> float:
    """A cell of table 000. Networks decode their pictures anew for every fold."""
    again = folds - 1 if method in BUDGETS else 0
    decoded = looking(source) + again * source.images * _each(DECODE, source)
    fitted = folds * fitting(method, (1 - 1 / folds) * source.images, source.models)
    return decoded + scoring(method, source) + fitted + (folds * training if method in BUDGETS else 0.0)


def zero_shot_cell(method: str, source: Source, unseen: float, training: float) -> float:
    """A cell of table 002: half of the seen models' pictures are learnt from, half of all pictures are tested."""
    seen = (1 - unseen) * source.models
    fitted = fitting(method, (1 - unseen) / 2 * source.images, seen)
    return looking(source) + scoring(method, source) + fitted + training


def embedding(sources: Sequence[Source]) -> float:
    """To embed every picture, once for all cells."""
    return sum(looking(source) + source.images * _each(EMBED, source) for source in sources)


def _each(cost: tuple[float, float], source: Source) -> float:
    return cost[0] + cost[1] * source.megapixels
