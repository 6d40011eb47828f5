"""Random crops of photographs, cut on the device where they are used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.errors import InputError


class Crops:
    """Photographs as one row of pixels, from which crops are gathered.

    Parameters
    ----------
    photos : sequence of ndarray, each of shape (height, width, 3), uint8
        Of any sizes.
    side : int
        Of the crops, pixels.
    device : torch.device or str

    Raises
    ------
    InputError
        No photograph, or one that is smaller than a crop.
    """

    def __init__(self, photos: Sequence[NDArray[np.uint8]], side: int, device: torch.device | str = "cpu") -> None:
        if not photos or any(min(photo.shape[:2]) < side for photo in photos):
            raise InputError(f"every photograph must have sides of {side} pixels or more.", argument="photos")
        self.side, self.device = side, torch.device(device)
        self._pixels = torch.from_numpy(np.concatenate([photo.reshape(-1, 3) for photo in photos])).to(self.device)
        self._sizes = torch.tensor([photo.shape[:2] for photo in photos])
        areas = self._sizes.prod(1)
        self._starts = torch.cumsum(areas, 0) - areas

    def draw(self, generator: torch.Generator, *shape: int) -> Tensor:
        """Places of random crops: every photograph is as likely as another, every place in it too.

        Returns
        -------
        Tensor, shape (*shape, 3), int64, on the CPU
            The first pixel of the crop in the row, the photograph's width, the photograph's number.
        """
        which = torch.randint(len(self._sizes), shape, generator=generator)
        free = self._sizes[which] - self.side + 1
        corner = (torch.rand(*shape, 2, generator=generator, dtype=torch.float64) * free).long()
        width = self._sizes[which][..., 1]
        return torch.stack([self._starts[which] + corner[..., 0] * width + corner[..., 1], width, which], dim=-1)

    def cut(self, places: Tensor) -> Tensor:
        """The crops at these places.

        Parameters
        ----------
        places : Tensor, shape (…, 3), int64
            From `draw`.

        Returns
        -------
        Tensor, shape (…, 3, side, side), float32, −1 to 1
        """
        places = places.to(self.device)
        steps = torch.arange(self.side, device=self.device)
        rows = places[..., 0, None] + places[..., 1, None] * steps
        pixels = self._pixels[rows[..., None] + steps]
        return pixels.movedim(-1, -3).float().div_(127.5).sub_(1)
