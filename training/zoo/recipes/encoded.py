"""The drawn pictures as latents of the KL autoencoder."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from training.zoo.context import Context
from training.zoo.styles import STYLES

STYLED = 12_000
"""Pictures of a sub-world."""


def encoded(context: Context, style: str = "") -> NDArray[np.float16]:
    """Latents of unit spread of the pictures, or of the first `STYLED` of them in a style.

    Returns
    -------
    ndarray, shape (n, LATENTS, 8, 8), float16
    """

    @torch.no_grad()
    def encode(rows: NDArray[np.int64]) -> NDArray[np.float16]:
        raw = np.asarray(context.pictures.pixels[rows])
        if style:
            raw = STYLES[style](raw)
        mean = context.vae.encode(context.to_tensor(raw)).latent_dist.mean
        return (mean.float() * context.vae.config.scaling_factor).cpu().numpy().astype(np.float16)

    weights = context.export / "vae" / "diffusion_pytorch_model.safetensors"
    return context.cached(f"latents-{style}" if style else "latents", weights, encode, STYLED if style else None)
