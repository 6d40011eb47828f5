"""A dataset's models as classes: for fine-tuning, and as further classes beside synthetic models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.encoders.weights import file_sha256, short_hash
from morelli.errors import NotEnoughReferencesError
from morelli.fingerprint.windows import SIDE, enlarge
from morelli.images.load import load_image
from morelli.types import Item

Integers = NDArray[np.int64]
Where = Literal["windows", "centre"]
_WINDOW = 104


class DatasetPictures:
    """Pictures of real models: one window of an image a slot.

    Slots go round each model's images, so that every image is seen before one is seen again. An image with a side
    below 128 px is enlarged, as at inference.

    Parameters
    ----------
    items : sequence of Item
        `morelli.images.dataset.read_dataset` has them. The caller leaves out whatever will be tested on.
    seed : int
        Decides the order of images and the places of windows.
    where : {"windows", "centre"}
        A window anywhere in the image, or its centre.

    Raises
    ------
    NotEnoughReferencesError
        Fewer than two images of a model.
    """

    limit = None

    def __init__(self, items: Sequence[Item], seed: int = 0, where: Where = "windows") -> None:
        paths: dict[str, list[Path]] = {}
        for item in items:
            paths.setdefault(item.model, []).append(item.path)
        lonely = [name for name, own in paths.items() if len(own) < 2]
        if lonely or not paths:
            raise NotEnoughReferencesError(
                f"a model needs two images to be a class; {lonely[0] if lonely else 'none'} has not.",
                argument="dataset",
                fix="Leave it out, or add images of it.",
            )
        families = {item.model: item.family for item in items}
        self.names = sorted(paths)
        self.groups = [families[name] for name in self.names]
        rng = np.random.default_rng([seed, _WINDOW])
        self._paths = [[own[at] for at in rng.permutation(len(own))] for own in (paths[name] for name in self.names)]
        self.seed, self.where = seed, where
        contents = [
            [name, [file_sha256(path) for path in own]] for name, own in zip(self.names, self._paths, strict=True)
        ]
        self.digest = short_hash([contents, seed, where])

    @property
    def images(self) -> int:
        """Images in all."""
        return sum(map(len, self._paths))

    @property
    def most(self) -> int:
        """Images of the model that has the most."""
        return max(map(len, self._paths))

    def pixels(self, classes: Integers, slots: Integers) -> Tensor:
        """See `morelli.fingerprint.learn.pictures.Pictures.pixels`.

        Raises
        ------
        ImageError
            As `morelli.images.load.load_image`: a side is below 16 px, for one.
        """
        windows = [self._window(int(row), int(slot)) for row, slot in zip(classes, slots, strict=True)]
        return torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2)

    def _window(self, row: int, slot: int) -> NDArray[np.uint8]:
        path = self._paths[row][slot % len(self._paths[row])]
        pixels = load_image(path).pixels
        if min(pixels.shape[:2]) < SIDE:
            pixels = enlarge(pixels, SIDE)
        free = [extent - SIDE for extent in pixels.shape[:2]]
        if self.where == "centre":
            top, left = free[0] // 2, free[1] // 2
        else:
            rng = np.random.default_rng([self.seed, _WINDOW, row, slot])
            top, left = (int(rng.integers(each + 1)) for each in free)
        return pixels[top : top + SIDE, left : left + SIDE]
