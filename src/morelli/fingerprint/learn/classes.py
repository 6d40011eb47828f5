"""The classes of a training, put together: synthetic models, photographs, models of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from morelli.errors import DatasetError
from morelli.fingerprint.learn.dataset_pictures import DatasetPictures, Where
from morelli.fingerprint.learn.pictures import Crops, Joined, ModelPictures, ModelStore, Pictures, PlainPictures
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.learn.split import split_keys
from morelli.fingerprint.windows import SIDE
from morelli.types import Item

# Added to the seed of validation's crops.
_OTHER = 1 << 20


class PhotoSet(Protocol):
    """Photographs in memory; `morelli.synthesis.photos.Photos` has all of it."""

    @property
    def digest(self) -> str: ...
    @property
    def training(self) -> Sequence[NDArray[np.uint8]]: ...
    @property
    def checking(self) -> Sequence[NDArray[np.uint8]]: ...


@dataclass(frozen=True, eq=False)
class Classes:
    """What is learnt from, and what is validated on.

    Attributes
    ----------
    learn : Pictures
    validate : Pictures or None
        Synthetic models that are no class of ``learn``, over photographs that ``learn`` has not.
    about : mapping
        Counts and digests, for the file of weights.
    least_slots : int
        Slots that show all there is of a dataset; 0 where photographs can be cropped without end.
    """

    learn: Pictures
    validate: Pictures | None
    about: Mapping[str, Any]
    least_slots: int = 0


def synthetic_classes(
    store: ModelStore,
    photos: PhotoSet,
    settings: LearnSettings,
    *,
    held_out: float = 0.1,
    plain: bool = False,
    also: Sequence[Item] = (),
    also_where: Where = "windows",
    device: str = "cpu",
) -> Classes:
    """Synthetic models as classes.

    Parameters
    ----------
    store : ModelStore
    photos : PhotoSet
        Seven of eight are learnt from, the eighth is for validation.
    settings : LearnSettings
    held_out : float
        Share of the models that are kept for validation, whole architectures of them.
    plain : bool
        The photographs themselves as one more class.
    also : sequence of Item
        A dataset's models as further classes.
    also_where : {"windows", "centre"}
    device : str
        Where synthetic models run.

    Raises
    ------
    InputError
        Too few models or photographs, or photographs smaller than a crop.
    NotEnoughReferencesError
        A model of ``also`` with one image.
    """
    learn, held = split_keys(list(store.keys), held_out, settings.seed)
    side, squeeze = SIDE + 2 * settings.margin_px, settings.view == "resize"
    crops = Crops(photos.training, side, settings.seed, squeeze=squeeze)
    parts: list[Pictures] = [
        ModelPictures(store, learn, crops, photos.digest, device=device, quantise=settings.quantise)
    ]
    if plain:
        parts.append(PlainPictures(crops, photos.digest))
    further = DatasetPictures(also, settings.seed, also_where) if also else None
    if further is not None:
        parts.append(further)
    validate = None
    if held:
        # Always crops: whole photographs would be too few for references and queries. And always as files hold them.
        others = Crops(photos.checking, SIDE + 2 * settings.margin_px, settings.seed + _OTHER)
        validate = ModelPictures(store, held, others, photos.digest, device=device)
    pictures = parts[0] if len(parts) == 1 else Joined(parts)
    if len(set(pictures.names)) < len(pictures.names):
        raise DatasetError("a model of it has the name of another class.", argument="also", fix="Rename it.")
    about = {
        "synthetic_models": len(learn),
        "architectures": len({key[0] for key in learn}),
        "held_out_models": len(held),
        "store": parts[0].digest,
        "photographs": len(photos.training),
        "photos": photos.digest,
        "plain_photographs": plain,
        "further_models": [] if further is None else list(further.names),
    }
    return Classes(pictures, validate, about)


def dataset_classes(items: Sequence[Item], settings: LearnSettings, where: Where = "windows") -> Classes:
    """A dataset's models as classes, for fine-tuning; the caller leaves out the models that will be tested on.

    Raises
    ------
    NotEnoughReferencesError
        A model with one image, or none.
    """
    pictures = DatasetPictures(items, settings.seed, where)
    about = {"models": list(pictures.names), "images": pictures.images, "dataset": pictures.digest, "where": where}
    return Classes(pictures, None, about, least_slots=pictures.most)
