"""The residual of Intel's Open Image Denoise, through mitsuba-oidn (an extra)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from morelli.errors import MissingExtraError
from morelli.fingerprint.denoiser import UNIT


def oidn_residual(images: Tensor) -> Tensor:
    """Images (n, 3, h, w) in 0–1 minus what the denoiser makes of them, in units of 1/256: the same shape.

    The denoiser was trained on noise of rendering, which is louder than what generators leave, and takes some texture
    for noise.

    Raises
    ------
    MissingExtraError
        mitsuba-oidn is not installed.
    """
    try:
        # No fixed import: the package is not there when types are checked.
        import mitsuba_oidn  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingExtraError("oidn", 'The residual "oidn"') from error
    clean = []
    for image in images.detach().cpu():
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy(), dtype=np.float32)
        clean.append(torch.from_numpy(np.array(mitsuba_oidn.denoise(pixels, srgb=True))).permute(2, 0, 1))
    residual = (images - torch.stack(clean).to(images)) / UNIT
    # The network changes even a flat picture, by some levels at its border; that is no signal of the picture's.
    flat = (images.amax(dim=(2, 3)) == images.amin(dim=(2, 3))).all(dim=1)
    return torch.where(flat[:, None, None, None], 0.0, residual)
