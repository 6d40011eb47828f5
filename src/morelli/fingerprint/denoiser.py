"""A blind denoiser of the DnCNN form: a photograph with faint noise in, the noise out.

Source: Zhang et al., *Beyond a Gaussian Denoiser* (2017), with the changes of Corvi et al. (2023) that model
fingerprints build on: no padding, so that no border is made up, and noise of about one grey level, the size of what
generators leave. Ours differs in one thing: the filters of the first convolution have zero mean, so a picture's
brightness and its flat parts cannot reach the output, and a flat picture has no residual at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from morelli.encoders.weights import short_hash
from morelli.errors import ArrayError, InputError, WeightsError
from morelli.fingerprint.tensors import read_tensors, write_tensors

#: One unit of the output, as a part of the image's range.
UNIT = 1.0 / 256.0
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Form:
    """Depth (convolutions, 3 or more) and width (channels between them) of a denoiser."""

    depth: int
    width: int

    def __post_init__(self) -> None:
        if self.depth < 3 or self.width < 1:
            raise InputError(f"needs a depth of 3 and a width of 1 at least; got {self}.", argument="form")

    @property
    def margin(self) -> int:
        """Pixels that the output lacks on each side."""
        return self.depth

    def __str__(self) -> str:
        return f"{self.depth}x{self.width}"


PUBLISHED_FORM = Form(17, 64)


class Denoiser(nn.Module):
    """Images (n, 3, h, w) float32 in 0–1 to their residual (n, 3, h − 2·depth, w − 2·depth) in units of 1/256.

    ``depth`` convolutions of 3 × 3 without padding; batch normalisation and ReLU between all but the first two.

    Parameters
    ----------
    form : Form
    norm : bool
        With batch normalisation, for training; without it, as `folded` makes it.
    """

    def __init__(self, form: Form = PUBLISHED_FORM, *, norm: bool = True) -> None:
        super().__init__()
        self.form = form
        layers: list[nn.Module] = [nn.Conv2d(3, form.width, 3), nn.ReLU(inplace=True)]
        for _ in range(form.depth - 2):
            layers.append(nn.Conv2d(form.width, form.width, 3, bias=not norm))
            if norm:
                layers.append(nn.BatchNorm2d(form.width))
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Conv2d(form.width, 3, 3))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """The residual in units of 1/256 of the range."""
        return self.layers(images)

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """All of them, first to last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]

    @torch.no_grad()
    def centre_first(self) -> None:
        """Take the mean out of each filter of the first convolution."""
        weight = self.convolutions[0].weight
        weight -= weight.mean(dim=(2, 3), keepdim=True)

    @torch.no_grad()
    def folded(self) -> Denoiser:
        """A copy for inference: normalisations absorbed, and a flat picture's residual moved to zero."""
        out = Denoiser(self.form, norm=False)
        norms = [layer for layer in self.layers if isinstance(layer, nn.BatchNorm2d)]
        inner = self.convolutions[1:-1]
        absorbed = [(layer.weight, layer.bias) for layer in inner]
        if norms:
            absorbed = [_absorb(layer, norm) for layer, norm in zip(inner, norms, strict=True)]
        ends = [(layer.weight, layer.bias) for layer in (self.convolutions[0], self.convolutions[-1])]
        for target, (weight, bias) in zip(out.convolutions, [ends[0], *absorbed, ends[1]], strict=True):
            target.weight.copy_(weight)
            if target.bias is not None and bias is not None:
                target.bias.copy_(bias)
        out.eval().zero_flat()
        return out

    @torch.no_grad()
    def zero_flat(self) -> None:
        """Move the last bias so that a flat picture's residual is zero."""
        bias = self.convolutions[-1].bias
        if bias is not None:
            side = 2 * self.form.margin + 1
            bias -= self(torch.zeros(1, 3, side, side, device=bias.device))[0, :, 0, 0]


def _absorb(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise ArrayError("batch normalisation without running statistics cannot be absorbed.", argument="denoiser")
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return convolution.weight * factor[:, None, None, None], norm.bias - norm.running_mean * factor


def save_denoiser(denoiser: Denoiser, path: Path) -> str:
    """Write a folded denoiser, the middle convolutions as float16; returns the file's SHA-256.

    The first convolution stays float32: it is what cancels a picture's brightness, which is a hundred times the noise.
    """
    middle = {f"layers.{i}.weight" for i, layer in enumerate(denoiser.layers) if isinstance(layer, nn.Conv2d) and i}
    state = {
        name: value.detach().cpu().to(torch.float16 if name in middle else torch.float32).contiguous()
        for name, value in denoiser.state_dict().items()
    }
    return write_tensors(path, state, {"kind": "denoiser", "depth": denoiser.form.depth, "width": denoiser.form.width})


def load_denoiser(path: Path, sha256: str | None = None) -> tuple[Denoiser, str]:
    """A denoiser ready to run on the CPU, and the hash of its weights (16 hexadecimal digits).

    Parameters
    ----------
    path : Path
        What `save_denoiser` wrote.
    sha256 : str, optional
        What the file's SHA-256 must be.

    Raises
    ------
    WeightsError
        No such file, another hash, or no denoiser in it.
    """
    state, about, found = read_tensors(path, sha256)
    try:
        denoiser = Denoiser(Form(int(about["depth"]), int(about["width"])), norm=False)
        denoiser.load_state_dict({name: value.float() for name, value in state.items()})
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError(f"holds no denoiser: {str(error).splitlines()[0]}", argument=str(path)) from error
    denoiser.eval().requires_grad_(False).zero_flat()
    # torch's stubs leave memory_format out.
    return denoiser.to(memory_format=torch.channels_last), short_hash(found)  # pyright: ignore[reportCallIssue]
