"""How an extractor is trained. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from morelli.errors import InputError, UnknownNameError

Loss = Literal["ce+triplet", "ce", "triplet", "supcon"]
Triplet = Literal["batch-hard", "semi-hard"]
Sampler = Literal["pk", "random"]
Schedule = Literal["cool-down", "warm-restarts"]
Augment = Literal["none", "immunised"]
View = Literal["crop", "resize"]
Precision = Literal["auto", "float32", "bfloat16"]
Keep = Literal["last", "best"]
Cache = Literal["spectra", "pixels", "none"]
_WORDS = {
    "loss": Loss, "triplet": Triplet, "sampler": Sampler, "schedule": Schedule, "augment": Augment, "view": View,
    "precision": Precision, "keep": Keep, "cache": Cache,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """What decides an extractor's weights beside its classes.

    Parameters
    ----------
    architecture : str
        A key of `morelli.fingerprint.extractor.EXTRACTORS`.
    chain : str
        As `morelli.fingerprint.chain.find_chain` takes it.
    loss : {"ce+triplet", "ce", "triplet", "supcon"}
        Cross-entropy of a linear head plus ``weight`` times the triplet loss; one of them; or supervised contrast.
    triplet : {"batch-hard", "semi-hard"}
    margin, weight : float
        As published 0.3 and 1.
    normalise : bool
        Triplets between features of length 1; as published False. Supervised contrast always has length 1.
    temperature : float
        Of the supervised contrast.
    sampler : {"pk", "random"}
        A batch is ``p`` models × ``k`` images, or ``p · k`` images each through a model of its own (published).
    p, k : int
    siblings : int
        Of the ``p`` models so many are seeds of one architecture, where there are so many; 1: drawn freely.
    same_photos : bool
        The ``k`` photographs of a batch are the same for all its models, so that content tells nothing.
    slots : int
        Crops of photographs that the cache has of each model; fewer where its bound is reached.
    view : {"crop", "resize"}
        Crops of 128 px, or whole photographs squeezed to 128 × 128 (published).
    margin_px : int
        Models are shown crops larger by so much on each side, and their borders are cut off again; a multiple of 2.
    quantise : bool
        Outputs of synthetic models are clamped and rounded to 8 bits before the residual, as files are; as published
        False, which goes with neither a cache of pixels nor degradations: both hold 8-bit pictures.
    augment : {"none", "immunised"}
        JPEG, WebP, crop-and-resize, blur and noise, before the residual.
    cache : {"spectra", "pixels", "none"}
        What is made once and kept: spectra, 8-bit reconstructions, or nothing (in every step other crops of
        photographs, or whole ones, go through the models).
    lr, weight_decay : float
        AdamW's, betas 0.9 and 0.999.
    schedule : {"cool-down", "warm-restarts"}
    warm_up, cool_down : float
        Shares of the steps; see `rate`.
    clip : float
        Of the gradient's norm.
    steps : int
        0: no training, the control of the same network untrained.
    validate_every : int
        Steps.
    keep : {"last", "best"}
        Which weights are saved: of the last step, or of the best validation (area under the curve).
    precision : {"auto", "float32", "bfloat16"}
        Of convolutions in training; auto takes bfloat16 where the processor computes in it.
    shuffle_labels : bool
        The control: in every slot the models are permuted, so that labels say nothing.
    seed : int

    Raises
    ------
    InputError, UnknownNameError
        A value out of range.
    """

    architecture: str = "small"
    chain: str = "default"
    loss: Loss = "ce+triplet"
    triplet: Triplet = "batch-hard"
    margin: float = 0.3
    weight: float = 1.0
    normalise: bool = True
    temperature: float = 0.1
    sampler: Sampler = "pk"
    p: int = 16
    k: int = 4
    siblings: int = 4
    same_photos: bool = True
    slots: int = 64
    view: View = "crop"
    margin_px: int = 8
    quantise: bool = True
    augment: Augment = "none"
    cache: Cache = "spectra"
    lr: float = 2e-3
    weight_decay: float = 0.01
    schedule: Schedule = "cool-down"
    warm_up: float = 0.05
    cool_down: float = 0.4
    clip: float = 1.0
    steps: int = 4000
    validate_every: int = 500
    keep: Keep = "last"
    precision: Precision = "auto"
    shuffle_labels: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kinds in _WORDS.items():
            if getattr(self, name) not in get_args(kinds):
                raise UnknownNameError(name, str(getattr(self, name)), get_args(kinds))
        for name in ("lr", "temperature", "clip"):
            self._need(name, getattr(self, name) > 0, "must be above 0")
        for name in ("margin", "weight", "weight_decay", "margin_px", "steps", "seed"):
            self._need(name, getattr(self, name) >= 0, "must be 0 or more")
        for name in ("p", "k", "siblings", "slots", "validate_every"):
            self._need(name, getattr(self, name) >= 1, "must be 1 or more")
        for name in ("warm_up", "cool_down"):
            self._need(name, 0 <= getattr(self, name) <= 1, "must be 0 to 1")
        self._need("margin_px", self.margin_px % 2 == 0, "must be even")
        rounded = self.cache == "pixels" or self.augment != "none"
        self._need("quantise", self.quantise or not rounded, "must be True with a cache of pixels or degradations")
        contrast = self.loss != "ce" and self.sampler == "pk"
        self._need("k", self.k >= 2 or not contrast, "must be 2 or more, or no image of a batch has a partner")
        self._need("p", self.p >= 2, "must be 2 or more")

    def _need(self, name: str, good: bool, words: str) -> None:
        value = getattr(self, name)
        if not good or (isinstance(value, float) and not math.isfinite(value)):
            raise InputError(f"{words}; got {value!r}.", argument=name)

    @property
    def batch(self) -> int:
        """Images a step."""
        return self.p * self.k

    def rate(self, step: int, planned: int) -> float:
        """The learning rate of a step, from 0, of so many.

        ``cool-down`` rises over the first share ``warm_up`` of the steps, stays, and falls linearly to a fiftieth over
        the last share ``cool_down``. ``warm-restarts`` is as published: the steps are 40 epochs, and a cosine from
        ``lr`` to a tenth of it begins anew after 15 of them and lasts 30 then; it changes from epoch to epoch.
        """
        if self.schedule == "warm-restarts":
            epoch = 40 * step // max(planned, 1)
            place = epoch / 15 if epoch < 15 else (epoch - 15) / 30
            return self.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * place)))
        rise, fall = self.warm_up * planned, self.cool_down * planned
        return self.lr * min(1.0, (step + 1) / max(rise, 1.0)) * max(0.02, min(1.0, (planned - step) / max(fall, 1.0)))

    def as_dict(self) -> dict[str, Any]:
        """All settings by name, for JSON; ``quantise`` where it is False alone.

        A training from before there was that choice is then the same training, and can be gone on with.
        """
        return {name: value for name, value in asdict(self).items() if name != "quantise" or not value}


#: Whole sets of settings. ``as-published`` follows the authors' code with two bugs mended: it never set gradients to
#: zero, and clipped them before they were computed. docs/train-fingerprint.md names all that is otherwise. 40,520
#: steps are 40 epochs of its 1,013.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "as-published": {
        "architecture": "resnet50", "chain": "published", "normalise": False, "sampler": "random", "p": 200, "k": 1,
        "siblings": 1, "same_photos": False, "slots": 256, "view": "resize", "margin_px": 0, "lr": 1e-4,
        "weight_decay": 0.01, "schedule": "warm-restarts", "steps": 40_520, "precision": "float32", "cache": "none",
        "quantise": False,
    },
}  # fmt: skip


def preset(name: str, **changes: Any) -> LearnSettings:
    """The settings of a preset with some of them changed; a change of None is none.

    Raises
    ------
    UnknownNameError
        No such preset.
    InputError, UnknownNameError
        A value out of range.
    """
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    given = {key: value for key, value in changes.items() if value is not None}
    return LearnSettings(**{**PRESETS[name], **given})
