"""Pictures of any size brought to the square that a network takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from morelli.errors import ArrayError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.uint8]


def square(pixels: Pixels, side: int) -> Pixels:
    """The centre square, resized to ``side`` pixels (Pillow's bilinear filter, which averages when it shrinks)."""
    height, width, _ = check_pixels(pixels).shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    cut = pixels[top : top + short, left : left + short]
    if short == side:
        return cut
    return np.array(Image.fromarray(np.ascontiguousarray(cut)).resize((side, side), Image.Resampling.BILINEAR))


def stack_squares(images: Sequence[Pixels], side: int) -> Tensor:
    """Squares of n pictures: uint8, shape (n, 3, side, side).

    Raises
    ------
    ArrayError
        No picture, or one that is none.
    """
    import torch

    if not len(images):
        raise ArrayError("no picture came.", argument="images")
    return torch.from_numpy(np.stack([square(image, side) for image in images])).permute(0, 3, 1, 2).contiguous()


def signed(x: Tensor) -> Tensor:
    """uint8 levels as float32 in −1 to 1."""
    return x.float() / 127.5 - 1.0


#: Mean and deviation of ImageNet's pictures in 0–1, by channel.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet(x: Tensor) -> Tensor:
    """uint8 levels as float32, standardised as ImageNet's networks expect."""
    import torch

    mean = torch.tensor(IMAGENET_MEAN, device=x.device)[:, None, None]
    std = torch.tensor(IMAGENET_STD, device=x.device)[:, None, None]
    return (x.float() / 255.0 - mean) / std
