"""The small extractor: a residual network over spectra that one core runs fast."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

#: Channels of the four stages; each halves the sides.
WIDTHS = (32, 64, 128, 256)
#: Length of the features: mean and deviation of each channel of the last stage.
FEATURES = 2 * WIDTHS[-1]


class _Block(nn.Module):
    """Two convolutions and a shortcut; the first may halve the sides."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(c_out)
        self.short = nn.Identity()
        if stride > 1 or c_in != c_out:
            self.short = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        return relu(y + self.short(x))


class SmallExtractor(nn.Module):
    """Spectra (n, c, 128, 128) to features (n, 512), not normalised.

    A stem that quarters the sides by one convolution of 5 × 5 and stride 4 keeps the work low; four blocks follow, and
    the last stage is pooled by mean and by deviation: a peak at one frequency moves the second more than the first.
    The input is normalised over each batch in training, so that raw and logarithmic spectra both serve.

    Parameters
    ----------
    channels : int
        Of the spectra.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.input = nn.BatchNorm2d(channels)
        self.stem = nn.Conv2d(channels, WIDTHS[0], 5, 4, 2, bias=False)
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        before = (WIDTHS[0], *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(_Block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip(before, WIDTHS, strict=True)))
        )

    def forward(self, spectra: Tensor) -> Tensor:
        """Features, shape (n, 512)."""
        x = self.blocks(relu(self.norm(self.stem(self.input(spectra)))))
        flat = x.flatten(2).float()
        return torch.cat([flat.mean(2), (flat.var(2, correction=0) + 1e-6).sqrt()], dim=1)
