"""Yu's networks: ProGAN's blocks with equalised learning rates (Karras et al. 2018)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear, pad

FMAP_BASE, FMAP_MAX, SLOPE = 1024, 512, 0.2


def width(stage: int) -> int:
    """Channels at a stage: 1024 / 2^stage, at most 512."""
    return min(FMAP_BASE // 2**stage, FMAP_MAX)


class EqualConv(nn.Module):
    """A convolution whose weights are scaled when used (He's constant), with reflected borders."""

    def __init__(self, c_in: int, c_out: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        self.scale = gain / math.sqrt(c_in * kernel**2)
        self.margin = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """(n, c_in, h, w) to (n, c_out, h, w)."""
        if self.margin:
            x = pad(x, [self.margin] * 4, mode="reflect")
        return conv2d(x, self.weight * self.scale, self.bias)


class EqualDense(nn.Module):
    """A dense layer whose weights are scaled when used."""

    def __init__(self, d_in: int, d_out: int, gain: float = math.sqrt(2), *, biased: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_out, d_in))
        self.bias = nn.Parameter(torch.zeros(d_out)) if biased else None
        self.scale = gain / math.sqrt(d_in)

    def forward(self, x: Tensor) -> Tensor:
        """(n, d_in) to (n, d_out)."""
        return linear(x, self.weight * self.scale, self.bias)


class Down(nn.Module):
    """From the picture to 4 × 4: two 3 × 3 convolutions a level, the sides halved after them."""

    def __init__(self, side: int) -> None:
        super().__init__()
        levels = side.bit_length() - 1
        stages = [(width(level - 1), width(level - 2)) for level in range(levels, 2, -1)]
        # The first takes the picture itself, without a layer of its own.
        inputs = [3, *(a for a, _ in stages[1:])]
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualConv(c_in, a, 3), EqualConv(a, b, 3)])
            for c_in, (a, b) in zip(inputs, stages, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, 512, 4, 4)."""
        for block in self.blocks:
            for layer in block.children():
                x = leaky_relu(layer(x), SLOPE)
            x = avg_pool2d(x, 2)
        return x


class Classifier(nn.Module):
    """ProGAN's discriminator without its statistic of the batch, one output a model.

    Features are the hidden dense layer of max(512, classes).
    """

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.down = Down(side)
        self.last = EqualConv(width(1), width(1), 3)
        hidden = max(FMAP_MAX, classes)
        self.hidden = EqualDense(width(1) * 16, hidden)
        self.head = EqualDense(hidden, classes, gain=1.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, hidden) and logits (n, classes) of pictures in −1 to 1."""
        x = leaky_relu(self.last(self.down(x)), SLOPE)
        features = leaky_relu(self.hidden(x.flatten(1)), SLOPE)
        return features, self.head(features)


class FingerprintNetwork(nn.Module):
    """Rebuilds pictures through a 4 × 4 latent, and holds one fingerprint (3, side, side) a model."""

    def __init__(self, side: int, classes: int) -> None:
        super().__init__()
        self.down = Down(side)
        # Two that end the encoder, two that begin the generator.
        self.latent = nn.ModuleList(EqualConv(width(1), width(1), 3) for _ in range(4))
        levels = side.bit_length() - 1
        stages = [(width(level - 2), width(level - 1)) for level in range(3, levels + 1)]
        self.up = nn.ModuleList(nn.ModuleList([EqualConv(a, b, 3), EqualConv(b, b, 3)]) for a, b in stages)
        self.out = EqualConv(width(levels - 1), 3, 3)
        self.prints = EqualDense(3 * side**2, classes, gain=1.0, biased=False)

    def rebuild(self, x: Tensor) -> Tensor:
        """The picture as the latent remembers it, in −1 to 1: the same shape."""
        x = self.down(x)
        for layer in self.latent:
            x = leaky_relu(layer(x), SLOPE)
        for block in self.up:
            x = interpolate(x, scale_factor=2, mode="nearest")
            for layer in block.children():
                x = leaky_relu(layer(x), SLOPE)
        return self.out(x).tanh()

    def logits(self, fingerprints: Tensor) -> Tensor:
        """Inner products of pictures' fingerprints (n, 3, side, side) with the models': (n, classes)."""
        return self.prints(fingerprints.flatten(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Fingerprints of the pictures and logits."""
        fingerprints = x - self.rebuild(x)
        return fingerprints, self.logits(fingerprints)


class Critic(nn.Module):
    """ProGAN's discriminator: the classifier's levels, a statistic of the batch, and one number a picture."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.down = Down(side)
        self.last = EqualConv(width(1) + 1, width(1), 3)
        self.hidden = EqualDense(width(1) * 16, width(0))
        self.head = EqualDense(width(0), 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, side, side) to (n, 1, 1, 1)."""
        x = leaky_relu(self.last(with_deviation(self.down(x))), SLOPE)
        x = leaky_relu(self.hidden(x.flatten(1)), SLOPE)
        return self.head(x)[:, :, None, None]


def with_deviation(x: Tensor, group: int = 4) -> Tensor:
    """A channel more: how far the pictures of a group differ, one number for each group (Karras et al. 2018, §3).

    Parameters
    ----------
    x : Tensor, shape (n, c, h, w)
    group : int
        Pictures of a group, at most; as many fewer as it takes to divide n.
    """
    size = next(size for size in range(min(group, len(x)), 0, -1) if len(x) % size == 0)
    parts = x.float().unflatten(0, (size, -1))
    deviation = ((parts - parts.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])
    return torch.cat([x, channel.to(x.dtype)], dim=1)


def critic_loss(critic: nn.Module, real: Tensor, made: Tensor, penalty: float, drift: float) -> Tensor:
    """The Wasserstein loss with gradient penalty (Gulrajani et al. 2017) and ProGAN's drift term."""
    for_real, for_made = critic(real), critic(made)
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * made).requires_grad_(True)
    slope = torch.autograd.grad(critic(between).mean(dim=(1, 2, 3)).sum(), between, create_graph=True)[0]
    steep = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return for_made.mean() - for_real.mean() + penalty * steep + drift * for_real.square().mean()
