"""One synthetic model: a shallow autoencoder with one or two pairs of blocks (paper 002, §III-B, figure 8)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from morelli.errors import ArrayError
from morelli.synthesis.architectures import Architecture

WIDTH = 32
_UP_MODES = ("bilinear", "nearest")
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
_NORMS: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}


class SyntheticModel(nn.Sequential):
    """A synthetic model, as the authors' code has it: 3×3 convolutions, width 32 and on the second level 64.

    A down-sampling block is fixed: average of 2×2, convolution, BatchNorm, ReLU, convolution, BatchNorm. Activation and
    normalisation follow the last convolution too where the order is "post", so such a model with ReLU or sigmoid
    cannot emit negative values.

    Parameters
    ----------
    architecture : Architecture
    width : int
        Channels of the first level.
    copies : int
        Models side by side in one network by grouped convolutions: channels ``3 i`` to ``3 i + 2`` are the i-th's.
        Its weights are those of the single models, one after another along the first axis.
    conv : type
        What makes the 3×3 convolutions.
    """

    def __init__(
        self, architecture: Architecture, width: int = WIDTH, copies: int = 1, conv: type[nn.Conv2d] = nn.Conv2d
    ) -> None:
        self.architecture, self.width, self.copies = architecture, width, copies
        parts = _Parts(architecture, copies, conv)
        levels = [3, width, 2 * width][: int(architecture.blocks) + 1]
        pairs = list(pairwise(levels))
        down = [parts.down(before, after) for before, after in pairs]
        up = [parts.up(before, after) for after, before in reversed(pairs)]
        super().__init__(*down, *up)

    def forward(self, input: Tensor) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        input : Tensor, shape (n, 3 · copies, h, w), float32, −1 to 1
            Sides are multiples of ``architecture.multiple``.

        Returns
        -------
        Tensor, the same shape
            Not clamped.

        Raises
        ------
        ArrayError
            Another shape.
        """
        check_sides(input, self.architecture, 3 * self.copies)
        return super().forward(input)


def check_sides(images: Tensor, architecture: Architecture, channels: int = 3) -> None:
    """Refuse images that a model of this architecture cannot give back in their own size.

    Raises
    ------
    ArrayError
        Not (…, channels, h, w), or sides that are no multiples of ``architecture.multiple`` from 8 on.
    """
    multiple = architecture.multiple
    shape = tuple(images.shape)
    if len(shape) < 4 or shape[-3] != channels or any(side < 8 or side % multiple for side in shape[-2:]):
        raise ArrayError(
            f"must be (n, {channels}, h, w) with sides of 8 or more that are multiples of {multiple}; got {shape}.",
            argument="images",
            fix="Crop the images.",
        )


class _Parts:
    """Makes the blocks of one architecture."""

    def __init__(self, architecture: Architecture, copies: int, conv: type[nn.Conv2d]) -> None:
        self.architecture, self.copies, self._conv = architecture, copies, conv

    def conv(self, before: int, after: int) -> nn.Conv2d:
        return self._conv(self.copies * before, self.copies * after, 3, padding=1, groups=self.copies)

    def down(self, before: int, after: int) -> nn.Sequential:
        def norm() -> nn.BatchNorm2d:
            return nn.BatchNorm2d(self.copies * after)

        return nn.Sequential(
            nn.AvgPool2d(2), self.conv(before, after), norm(), nn.ReLU(), self.conv(after, after), norm()
        )

    def up(self, before: int, after: int) -> nn.Sequential:
        if self.architecture.layers == "1":
            return nn.Sequential(*self.unit(before, after, True))
        # The first convolution carries the up-sampling and keeps the channels; the second changes them.
        return nn.Sequential(*self.unit(before, before, True), *self.unit(before, after, False))

    def unit(self, before: int, after: int, enlarge: bool) -> list[nn.Module]:
        """One convolution with what stands around it."""
        up = [self.upsampling(before)] if enlarge else []
        pre = self.architecture.order == "pre"
        around: list[nn.Module] = []
        if self.architecture.norm in _NORMS:
            around.append(_NORMS[self.architecture.norm](self.copies * (before if pre else after)))
        if self.architecture.act in _ACTIVATIONS:
            around.append(_ACTIVATIONS[self.architecture.act]())
        core = [*up, self.conv(before, after)]
        return [*around, *core] if pre else [*core, *around]

    def upsampling(self, channels: int) -> nn.Module:
        kind = self.architecture.up
        if kind in _UP_MODES:
            return nn.Upsample(scale_factor=2, mode=kind)
        return nn.ConvTranspose2d(self.copies * channels, self.copies * channels, 2, stride=2, groups=self.copies)
