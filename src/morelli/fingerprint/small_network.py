"""The small extractor: a residual network over spectra that one core runs fast."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

#: Channels of the four stages; each halves the sides.
WIDTHS = (32, 64, 128, 256)
#: Length of the features: mean and deviation of each channel of the last stage.
FEATURES = 2 * WIDTHS[-1]
#: Places, rows by columns, that a stage's map is averaged to: where in the spectrum something is stays told.
PLACES = (4, 2)
#: Name → length of the layers that `SmallExtractor.layers` gives.
LAYERS = {"mean": FEATURES, **{f"stage{i}": WIDTHS[i - 1] * PLACES[0] * PLACES[1] for i in (3, 4)}}


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


class Standardise(nn.Module):
    """Each frequency of each channel to mean 0 and deviation 1 over the spectra that `fit` was shown.

    A spectrum falls by orders of magnitude from low to high frequencies, the same way for all models; what tells them
    apart is how they differ from that. Until it is fitted it changes nothing.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, rows, columns.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @torch.no_grad()
    def fit(self, spectra: Tensor) -> None:
        """Learn means and deviations from spectra (n, c, h, w), n ≥ 2."""
        self.mean.copy_(spectra.mean(0))
        # A frequency that hardly varies must not be blown up: the floor is a share of the typical deviation.
        deviation = spectra.std(0)
        self.scale.copy_(1 / deviation.clamp_min(0.05 * float(deviation.median()) + 1e-6))

    def forward(self, spectra: Tensor) -> Tensor:
        """The same shape."""
        return (spectra - self.mean) * self.scale


class SmallExtractor(nn.Module):
    """Spectra (n, c, h, w) to features (n, 512), not normalised.

    A stem brings the rows to 32, four blocks follow, and the last stage is pooled by mean and by deviation. Where in a
    spectrum something is matters more than what it looks like, and convolutions do not know where they are: a learnt
    map is added behind the stem. The last normalisation, over each batch in training, centres the features, without
    which the cosine of any two of them is near 1.

    Parameters
    ----------
    channels : int
        Of the spectra.
    size : (int, int)
        Rows and columns of the spectra.
    """

    def __init__(self, channels: int = 3, size: tuple[int, int] = (128, 128)) -> None:
        super().__init__()
        stride = max(1, size[0] // 32)
        self.input = Standardise((channels, *size))
        self.stem = nn.Conv2d(channels, WIDTHS[0], 5, stride, 2, bias=False)
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        self.place = nn.Parameter(torch.zeros(WIDTHS[0], *((extent - 1) // stride + 1 for extent in size)))
        before = (WIDTHS[0], *WIDTHS[:-1])
        self.blocks = nn.Sequential(
            *(_Block(a, b, 1 if i == 0 else 2) for i, (a, b) in enumerate(zip(before, WIDTHS, strict=True)))
        )
        self.centre = nn.BatchNorm1d(FEATURES, affine=False)

    def forward(self, spectra: Tensor) -> Tensor:
        """Features, shape (n, 512)."""
        return self._pooled(self._maps(spectra)[-1])

    def layers(self, spectra: Tensor) -> dict[str, Tensor]:
        """Features by layer, `LAYERS` long: ``mean`` is `forward`'s; a stage's are its map averaged to `PLACES`.

        The loss asks the last stage for what tells apart the models of the training. Earlier stages still hold what
        tells others apart, and maps where in the spectrum it is.
        """
        maps = self._maps(spectra)
        out = {"mean": self._pooled(maps[-1])}
        for number in (3, 4):
            out[f"stage{number}"] = adaptive_avg_pool2d(maps[number - 1].float(), PLACES).flatten(1)
        return out

    def _maps(self, spectra: Tensor) -> list[Tensor]:
        """Of the four stages."""
        x, maps = relu(self.norm(self.stem(self.input(spectra))) + self.place), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def _pooled(self, last: Tensor) -> Tensor:
        flat = last.flatten(2).float()
        return self.centre(torch.cat([flat.mean(2), (flat.var(2, correction=0) + 1e-6).sqrt()], dim=1))
