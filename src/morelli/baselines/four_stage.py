"""The small convolutional network that DNA-Det and POSE share."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class FourStage(nn.Module):
    """Four stages, each a 4 × 4 convolution of stride 2 and a 3 × 3, with batch normalisation and LeakyReLU 0.2.

    Pictures (n, 3, h, w) become maps (n, 512, h/16, w/16).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(c_in, c_out, 4, 2, 1), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(c_out, c_out, 3, 1, 1), nn.BatchNorm2d(c_out), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The last feature map."""
        return self.layers(x)
