"""A denoiser of the published form with random weights: the package carries none."""

from __future__ import annotations

from pathlib import Path

import torch

from morelli.fingerprint.denoiser import PUBLISHED_FORM, Denoiser, save_denoiser


def write_published(path: Path, seed: int = 0) -> Path:
    """Write one whose layers keep the size of what goes through, so that a faint step is not lost in 17 of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Denoiser(PUBLISHED_FORM)
        for layer in net.convolutions:
            torch.nn.init.kaiming_normal_(layer.weight)
    net.centre_first()
    save_denoiser(net.eval().folded(), path)
    return path
