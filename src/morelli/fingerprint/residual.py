"""What is left of an image when its content is taken away: the named residuals.

A residual is a function of images (n, 3, h, w), float32 in 0–1, to (n, 3, h', w') in units of 1/256 of that range.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from morelli.errors import ArrayError, FlatImageError, ImageTooSmallError, UnknownNameError, WeightsError
from morelli.fingerprint.denoiser import PUBLISHED_FORM, UNIT, WEIGHTS, Denoiser, Form, load_denoiser
from morelli.fingerprint.median import median_residual
from morelli.fingerprint.oidn import oidn_residual
from morelli.fingerprint.parts import in_parts
from morelli.fingerprint.wavelet import LEVELS, SIGMA, wavelet_residual

#: Below this deviation, in units of 1/256, a residual says nothing: float32 leaves about 1e-4 of it on flat images.
FLAT = 1e-3
#: The form of the small denoiser (docs/fingerprint.md has its speed and quality beside the published form's).
SMALL_FORM = Form(9, 32)
#: Environment variable that names the file of a denoiser that the package does not carry.
OWN_DENOISER = "MORELLI_DENOISER"
# Form and SHA-256 of the weights file of each denoiser; files are called NAME.safetensors. Without a hash the package
# carries none, and the user's own is taken: the one that the environment names, or one that lies beside the others.
_DENOISERS: dict[str, tuple[Form, str | None]] = {
    "denoiser": (SMALL_FORM, "6190c6dc8df563d46caec8cb9a0791b80f7abf0ddd5b9524198653b3bf09ad78"),
    "denoiser-17x64": (PUBLISHED_FORM, None),
}


@dataclass(frozen=True, slots=True)
class Residual:
    """One kind of residual.

    Attributes
    ----------
    name : str
    margin : int
        Pixels that the result lacks on each side.
    revision : str
        Changes with its weights and constants.
    function : callable
        Images (n, 3, h, w) to residuals.
    smooth : bool
        Gradients flow through ``function``.
    anywhere : bool
        ``function`` takes images of any device and gives their residual there. Where it does not, images go to the
        CPU and the residual comes back.
    """

    name: str
    margin: int
    revision: str
    function: Callable[[Tensor], Tensor]
    smooth: bool = True
    anywhere: bool = True

    def __call__(self, images: Tensor) -> Tensor:
        """The residual, in units of 1/256, without gradient, on the device of the images.

        Raises
        ------
        ArrayError
            The images are not float32 of shape (n, 3, h, w).
        ImageTooSmallError
            Nothing would be left beside the margin.
        """
        if images.dtype != torch.float32 or images.ndim != 4 or images.shape[1] != 3:
            raise ArrayError(
                f"must be float32 of shape (n, 3, h, w); got {images.dtype} of shape {tuple(images.shape)}.",
                argument="images",
            )
        if min(images.shape[-2:]) <= 2 * self.margin:
            raise ImageTooSmallError(
                f"{images.shape[-1]} × {images.shape[-2]} pixels, and the residual {self.name!r} needs "
                f"{2 * self.margin + 1} a side.",
                argument="images",
            )
        with torch.inference_mode():
            return self.function(images) if self.anywhere else self.function(images.cpu()).to(images.device)


def _file(name: str) -> Path:
    """Where a denoiser's weights are looked for."""
    own = os.environ.get(OWN_DENOISER, "") if _DENOISERS[name][1] is None else ""
    return Path(own).expanduser() if own else WEIGHTS / f"{name}.safetensors"


def _denoiser(name: str) -> Residual:
    form, sha256 = _DENOISERS[name]
    path = _file(name)
    if sha256 is None and not path.is_file():
        raise WeightsError(
            f"the package does not carry the weights of {name!r}, and there is no file {path}.",
            argument="residual",
            fix=f"Name yours in the environment: {OWN_DENOISER}=FILE. Morelli's source tree trains them: "
            f"python -m training.denoiser --photos DIR --form {form} --out FILE.",
        )
    network, revision = load_denoiser(path, sha256)
    if network.form != form:
        raise WeightsError(f"holds a denoiser of another form than {form}.", argument=str(path))
    return Residual(name, form.margin, revision, _OnDevices(network))


class _OnDevices:
    """A denoiser that runs where its images are: a copy for each device, made when the first images come from it."""

    def __init__(self, network: Denoiser) -> None:
        self._copies = {torch.device("cpu"): network}

    def __call__(self, images: Tensor) -> Tensor:
        device = images.device
        if device not in self._copies:
            # No tensors of inference mode, whoever asks first: gradients may flow through the copy too.
            with torch.inference_mode(False):
                self._copies[device] = copy.deepcopy(self._copies[torch.device("cpu")]).to(device)
        with _float32(device):
            return self._copies[device](images.contiguous(memory_format=torch.channels_last)).contiguous()


@contextmanager
def _float32(device: torch.device) -> Iterator[None]:
    """Convolutions in float32 on a GPU too: with TF32's eleven bits a picture's brightness would not cancel."""
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


_MAKERS: dict[str, Callable[[], Residual]] = {
    **{name: partial(_denoiser, name) for name in _DENOISERS},
    "median": lambda: Residual("median", 0, "3x3", partial(in_parts, median_residual)),
    # Its matrices and indices are the CPU's.
    "wavelet": lambda: Residual(
        "wavelet", 0, f"db4-{LEVELS}-{SIGMA:g}", partial(in_parts, wavelet_residual), anywhere=False
    ),
    "oidn": lambda: Residual("oidn", 0, "srgb", oidn_residual, smooth=False),
    # The image itself: what the others are compared with (paper 002, table VI).
    "none": lambda: Residual("none", 0, "image", lambda images: images / UNIT),
}
RESIDUALS = tuple(_MAKERS)


def load_residual(name: str) -> Residual:
    """The residual of a name: one of `RESIDUALS`.

    Raises
    ------
    UnknownNameError
        With the nearest known names.
    WeightsError
        A denoiser's weights are absent or are not those expected. Those of ``denoiser-17x64`` are the user's own: the
        file that `OWN_DENOISER` names in the environment.
    """
    if name not in _MAKERS:
        raise UnknownNameError("residual", name, RESIDUALS)
    return _load(name, _file(name) if name in _DENOISERS else None)


@cache
def _load(name: str, _: Path | None) -> Residual:
    """Each residual once, and of each file of weights."""
    return _MAKERS[name]()


def is_flat(residual: Tensor) -> Tensor:
    """Which residuals (n, 3, h, w) hold no signal: shape (n,), bool.

    True where no channel deviates from its own mean by `FLAT` anywhere: a spectrum of it is rounding error.
    """
    deviation = residual - residual.mean(dim=(-2, -1), keepdim=True)
    return deviation.abs().amax(dim=(1, 2, 3)) < FLAT


def flat_image() -> FlatImageError:
    """What is to be raised about an image without any residual."""
    return FlatImageError(
        "the image is flat: it has no residual, and its model cannot be told.",
        argument="pixels",
        fix="Leave it out, or use an encoder that looks at the picture.",
    )
