"""Where the images of a training come from: classes that can be asked for the picture in a slot.

A new kind of class is any object with the attributes and the method of `Pictures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.encoders.weights import short_hash
from morelli.errors import InputError
from morelli.fingerprint.windows import SIDE

Integers = NDArray[np.int64]
_PLACE = 103


class Pictures(Protocol):
    """Classes and their pictures.

    Attributes
    ----------
    names : sequence of str
        One a class.
    groups : sequence of str
        One a class; classes of one group are siblings (a synthetic model's architecture).
    digest : str
        Changes with anything that changes a picture.
    limit : int or None
        Slots there are at most; None: any number.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def digest(self) -> str: ...
    @property
    def limit(self) -> int | None: ...

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """Pictures, shape (n, 3, 128, 128), uint8, as 8-bit files would hold them; ``classes``, ``slots``: (n,).

        Pictures that no file holds may be float32: levels between the whole ones, and beyond 0–255.
        """
        ...


class ModelStore(Protocol):
    """What is asked of a store of synthetic models; `morelli.synthesis.store.Store` has it."""

    path: Path

    @property
    def keys(self) -> Sequence[Any]: ...
    @property
    def records(self) -> Any: ...
    def apply(self, images: Tensor, keys: Sequence[Any]) -> Tensor:
        """Images (n, 3, h, w), −1 to 1, each through its own model."""
        ...


class Crops:
    """The photograph of a slot: a crop whose place follows from seed and slot, or a whole one squeezed to the size.

    Parameters
    ----------
    photos : sequence of ndarray, each of shape (height, width, 3), uint8
    side : int
        Of the crops, pixels.
    seed : int
    squeeze : bool

    Raises
    ------
    InputError
        No photograph, or one with a side below the crop's.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], side: int, seed: int, *, squeeze: bool = False) -> None:
        if not photos or (not squeeze and any(min(each.shape[:2]) < side for each in photos)):
            raise InputError(f"every photograph must have sides of {side} pixels or more.", argument="photos")
        self.photos, self.side, self.seed, self.squeeze = photos, side, seed, squeeze
        self.limit = len(photos) if squeeze else None
        self._order = np.random.default_rng([seed, _PLACE]).permutation(len(photos))

    def cut(self, slot: int) -> NDArray[np.uint8]:
        """The crop, (side, side, 3), uint8; every photograph comes once before one comes again."""
        photo = self.photos[self._order[slot % len(self.photos)]]
        if self.squeeze:
            from PIL import Image

            return np.asarray(Image.fromarray(photo).resize((self.side, self.side), Image.Resampling.BICUBIC))
        rng = np.random.default_rng([self.seed, _PLACE, slot])
        top, left = (int(rng.integers(extent - self.side + 1)) for extent in photo.shape[:2])
        crop = photo[top : top + self.side, left : left + self.side]
        return crop[:, ::-1] if rng.random() < 0.5 else crop

    def batch(self, slots: Integers) -> Tensor:
        """Crops of slots (n,): (n, 3, side, side), float32, −1 to 1."""
        found = {slot: self.cut(slot) for slot in np.unique(slots).tolist()}
        stacked = np.stack([found[slot] for slot in slots.tolist()])
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


class ModelPictures:
    """Photographs as synthetic models give them back.

    Parameters
    ----------
    store : ModelStore
    keys : sequence
        The models that are classes here.
    crops : Crops
        Their side is 128 and twice the margin, which is cut off again.
    photos : str
        The photographs' digest.
    device : str
        Where the models run, and the pictures are.
    quantise : bool
        Clamped and rounded to 8 bits, as files hold them; otherwise as the models give them, float32.

    Raises
    ------
    InputError
        The crops have another side.
    """

    def __init__(
        self,
        store: ModelStore,
        keys: Sequence[Any],
        crops: Crops,
        photos: str,
        *,
        device: str = "cpu",
        quantise: bool = True,
    ) -> None:
        if crops.side < SIDE or crops.side % 4:
            raise InputError(f"must be a multiple of 4 from {SIDE} on; got {crops.side}.", argument="crops")
        self.store, self.keys, self.crops, self.device = store, list(keys), crops, device
        self.quantise = quantise
        self.names = [f"{key[0]}/{key[1]}" for key in self.keys]
        self.groups = [str(key[0]) for key in self.keys]
        self.limit = crops.limit
        weights = [[*key, store.records[key].sha256, store.records[key].row] for key in self.keys]
        # Nothing is said of what is rounded: pictures from before there was a choice keep their digest.
        unrounded = [] if quantise else ["not quantised"]
        self.digest = short_hash([weights, photos, crops.side, crops.seed, crops.squeeze, *unrounded])

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """See `Pictures.pixels`."""
        out = self.store.apply(self.crops.batch(slots).to(self.device), [self.keys[each] for each in classes])
        edge = (self.crops.side - SIDE) // 2
        out = out[..., edge : edge + SIDE, edge : edge + SIDE]
        if not self.quantise:
            return out.add(1).mul(127.5)
        return out.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


class PlainPictures:
    """The photographs themselves as one class: a model that changes nothing. The paper has no such class."""

    names = groups = ("photographs",)

    def __init__(self, crops: Crops, photos: str) -> None:
        self.crops, self.limit = crops, crops.limit
        self.digest = short_hash(["plain", photos, crops.side, crops.seed, crops.squeeze])

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """See `Pictures.pixels`."""
        edge = (self.crops.side - SIDE) // 2
        crops = self.crops.batch(slots)[..., edge : edge + SIDE, edge : edge + SIDE]
        return crops.add(1).mul(127.5).round().to(torch.uint8)


class Joined:
    """Several kinds of classes one after another."""

    def __init__(self, parts: Sequence[Pictures]) -> None:
        self.parts = list(parts)
        self.names = [name for part in parts for name in part.names]
        self.groups = [group for part in parts for group in part.groups]
        self.digest = short_hash([part.digest for part in parts])
        limits = [part.limit for part in parts if part.limit is not None]
        self.limit = min(limits) if limits else None
        self._ends = np.cumsum([len(part.names) for part in parts])

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """See `Pictures.pixels`."""
        owner = np.searchsorted(self._ends, classes, side="right")
        found: list[tuple[Integers, Tensor]] = []
        for number, part in enumerate(self.parts):
            rows = np.flatnonzero(owner == number)
            if len(rows):
                first = int(self._ends[number]) - len(part.names)
                found.append((rows, part.pixels(classes[rows] - first, slots[rows])))
        made = [each for _, each in found]
        # Together where models run, and as exact as the most exact kind.
        device = next((each.device for each in made if each.device.type != "cpu"), torch.device("cpu"))
        dtype = torch.uint8 if all(each.dtype == torch.uint8 for each in made) else torch.float32
        out = torch.empty(len(classes), 3, SIDE, SIDE, dtype=dtype, device=device)
        for rows, each in found:
            out[torch.from_numpy(rows).to(device)] = each.to(device, dtype)
        return out
