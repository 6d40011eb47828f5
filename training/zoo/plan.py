"""Which models there are to train, in which order and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.zoo.recipe import Recipe
from training.zoo.recipes.captioner import Captioner
from training.zoo.recipes.clip import Clip, Text
from training.zoo.recipes.dit import Dit
from training.zoo.recipes.gan import Gan
from training.zoo.recipes.latent import Latent, LatentLora, LatentTuned
from training.zoo.recipes.picture_teacher import PictureTeacherRecipe
from training.zoo.recipes.segmenter import LatentSegmenter, PixelSegmenter
from training.zoo.recipes.teacher import TeacherRecipe
from training.zoo.recipes.unet import Unet, UnetB
from training.zoo.recipes.vae import Vae, VaeB
from training.zoo.recipes.vq import Vq
from training.zoo.recipes.vq_ar import VqAr

AIMS = ("objects", "colours", "counts", "relations")
GOOD = 0.92
"""Agreement on each of `AIMS` at which a generator needs no further turn in the queue."""


@dataclass(frozen=True)
class Course:
    """How a part is trained.

    Attributes
    ----------
    recipe : type of Recipe
    turn : float
        Minutes at a time in the queue.
    most : float
        Minutes in all, in the queue; of CPU time where a CPU trains. A part that others are trained on is final then.
    share : float
        Part of the hours that ``all`` gives to a model.
    """

    recipe: type[Recipe]
    turn: float
    most: float
    share: float = 1.0


#: In the order of their usefulness.
COURSES: dict[str, Course] = {
    "text": Course(Text, 7, 6, 0.25),
    "segmenter": Course(PixelSegmenter, 7, 6, 0.25),
    "vae": Course(Vae, 15, 20, 0.75),
    "latent-segmenter": Course(LatentSegmenter, 4, 3, 0.15),
    "teacher": Course(TeacherRecipe, 4, 3, 0.15),
    "latent": Course(Latent, 10, 120),
    "unet": Course(Unet, 10, 180),
    "vae-b": Course(VaeB, 12, 20, 0.5),
    "picture-teacher": Course(PictureTeacherRecipe, 10, 8, 0.15),
    "vq": Course(Vq, 15, 15, 0.75),
    "vq-ar": Course(VqAr, 10, 180),
    "dit": Course(Dit, 10, 180),
    "gan": Course(Gan, 10, 180),
    "clip": Course(Clip, 15, 60, 0.75),
    "captioner": Course(Captioner, 10, 40, 0.5),
    "latent-tuned": Course(LatentTuned, 8, 16, 0.25),
    "latent-lora": Course(LatentLora, 8, 16, 0.25),
    "unet-b": Course(UnetB, 10, 180),
}


def is_final(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether the queue gives a part no further turn.

    Parameters
    ----------
    name : str
    entry : mapping
        What `training.zoo.export.read_entries` knows of it; empty before its first turn.
    """
    record = entry.get("training", {})
    # Wall time says little on a core that others use too.
    spent = record.get("cpu_seconds" if record.get("device") == "cpu" else "seconds", 0)
    if spent >= 60 * COURSES[name].most:
        return True
    figures = record.get("agreement", {})
    return "model" in entry and all(figures.get(aim, 0.0) >= GOOD for aim in AIMS)


def may_start(name: str, entries: Mapping[str, Any]) -> bool:
    """Whether everything that a part is trained on is final."""
    return all(need in entries and is_final(need, entries[need]) for need in COURSES[name].recipe.needs)
