"""What is asked of an evaluation, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from morelli.attribution.catalogue import attributor_names, load_attributor
from morelli.attribution.image import IMAGE_REGISTRY, is_image_attributor, load_image_attributor
from morelli.errors import InputError, UnknownNameError
from morelli.evaluation.against import Against
from morelli.evaluation.pair_scores import METHODS as PAIR_METHODS
from morelli.evaluation.sweep import expand

PROTOCOLS = ("same-prompt", "any-prompt", "one-vs-many", "open-set", "robustness", "identification", "verification")
#: Protocols that draw both sides of a comparison from one dataset.
ONE_DATASET = ("verification", "identification")
LEVELS = ("model", "base")
BASELINE = "euclid"
DEFAULT_EPSILON = 0.1
PAIRS = 5000


@dataclass(frozen=True)
class Settings:
    """What is asked of an evaluation.

    Attributes
    ----------
    protocol : one of `PROTOCOLS`, or None
        None: same-prompt where most images have another of their prompt by their model, else any-prompt.
    methods : sequence of str or None
        Names of attributors; None: `default_methods`.
    k : int or None
        References a model, of the same prompt or of others; None: all there are, and 10 for identification.
    epsilon : float
        Of the candidate sets: they aim to hold the right model with probability 1 − ε.
    seed : int
        Decides folds, draws and resamples.
    ablate : bool
        Whether to add, for each method that learns from a background, the row without the candidates in it.
    degrade : sequence of str or None
        What ``robustness`` does to queries, sweeps ("jpeg:50-100:10") included; None: a fixed set.
    pairs : int
        Pairs of each kind that ``verification`` draws.
    level : {"model", "base"}
        What is attributed: models, or the bases that they derive from.
    unseen : float or None
        Share of the models that trained methods never see, under ``verification`` and ``identification``; seen and
        unseen models then have rows of their own. None: no such split, and half of the models for methods that see
        pictures under ``verification``.
    optional : frozenset of str
        Methods that a group named (`morelli.evaluation.groups`): where one cannot be run, a note says why.
    against : Against or None
        The row that lifts are over. None: the published rule (`default_against`) under the row's own encoder.
    calibrate : bool
        Whether attributors that learn are calibrated, which takes most of the time. Without it a row has ranks and no
        forecasts: no ece, coverage and set size.
    keep : str or None
        Folder in which trained methods keep their trainings: interrupted ones go on, and finished ones are read.
    """

    protocol: str | None = None
    methods: Sequence[str] | None = None
    k: int | None = None
    epsilon: float = DEFAULT_EPSILON
    seed: int = 0
    ablate: bool = True
    degrade: Sequence[str] | None = None
    pairs: int = PAIRS
    level: str = "model"
    unseen: float | None = None
    optional: frozenset[str] = frozenset()
    against: Against | None = None
    calibrate: bool = True
    keep: str | None = None

    @property
    def reference(self) -> Against:
        """The row that lifts are over."""
        return default_against(self.protocol) if self.against is None else self.against


def default_against(protocol: str | None) -> Against:
    """The published rule: ``cosine`` for pairs, else ``euclid``; under the row's own encoder."""
    return Against(method=PAIR_METHODS[0] if protocol == "verification" else BASELINE)


def default_methods(prompt_known: bool) -> list[str]:
    """The built-in methods that can be run: plda compares inside one prompt."""
    return ["euclid", "cosine", *(["plda"] if prompt_known else []), "lda", "fused"]


def learning(methods: Sequence[str]) -> list[str]:
    """Those of the attributors that learn from a background of embeddings."""
    return [name for name in methods if not is_image_attributor(name) and load_attributor(name).uses_background]


def check_settings(settings: Settings, *, second: bool = False) -> None:
    """Refuse what no dataset could answer; ``second`` says whether there is a second one.

    Raises
    ------
    UnknownNameError
        For a protocol or a method that there is not.
    InputError
        For a number out of its range, or an option of a method that is not what it takes.
    """
    if settings.protocol is not None and settings.protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", settings.protocol, PROTOCOLS)
    if settings.k is not None and settings.k < 1:
        raise InputError(f"must be 1 or more; got {settings.k}.", argument="--k")
    if not 0.0 < settings.epsilon < 1.0:
        raise InputError(f"must lie between 0 and 1; got {settings.epsilon:g}.", argument="--epsilon")
    if settings.degrade is not None and settings.protocol != "robustness":
        raise InputError(
            "only the protocol robustness degrades queries.", argument="--degrade", fix="Add --protocol robustness."
        )
    if settings.degrade is not None and not settings.degrade:
        raise InputError("names no degradation.", argument="--degrade", fix="Leave it out for the usual ones.")
    expand(settings.degrade or ())
    if second and (settings.level == "base" or settings.protocol in ONE_DATASET):
        what = "--level base" if settings.level == "base" else settings.protocol
        raise InputError(f"{what} takes one dataset.", argument="--references", fix="Leave it out.")
    _check_level(settings)
    _check_unseen(settings)
    if settings.pairs < 1:
        raise InputError(f"must be 1 or more; got {settings.pairs}.", argument="--pairs")
    if settings.protocol == "verification":
        _check_pair_methods(settings)
        return
    for name in settings.methods or ():
        if is_image_attributor(name):
            load_image_attributor(name)
        elif name not in attributor_names():
            raise UnknownNameError("attributor", name, [*attributor_names(), *IMAGE_REGISTRY])


def _check_level(settings: Settings) -> None:
    if settings.level not in LEVELS:
        raise UnknownNameError("level", settings.level, LEVELS)
    if settings.level == "base" and settings.protocol not in (None, "any-prompt"):
        raise InputError(
            f"bases are attributed under any-prompt; got {settings.protocol}.",
            argument="--level base",
            fix="Use --protocol any-prompt.",
        )


def _check_unseen(settings: Settings) -> None:
    if settings.unseen is None:
        return
    if settings.protocol not in ONE_DATASET:
        raise InputError(
            "only verification and identification split models.",
            argument="--unseen",
            fix="Add --protocol identification.",
        )
    if not 0.0 < settings.unseen < 1.0:
        raise InputError(f"must lie between 0 and 1; got {settings.unseen:g}.", argument="--unseen")


def _check_pair_methods(settings: Settings) -> None:
    for name in settings.methods or ():
        if is_image_attributor(name):
            load_image_attributor(name)
        elif name not in PAIR_METHODS and name not in settings.optional:
            raise UnknownNameError("method of the protocol verification", name, [*PAIR_METHODS, *IMAGE_REGISTRY])
    against = settings.reference.method
    if against is not None and not is_image_attributor(against) and against not in PAIR_METHODS:
        raise UnknownNameError("method of the protocol verification", against, [*PAIR_METHODS, *IMAGE_REGISTRY])
    if settings.k is not None:
        raise InputError("verification compares pairs, and has no references.", argument="--k", fix="Leave it out.")
