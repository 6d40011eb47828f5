"""LPIPS, a learnt distance between two images that follows what people see.

After Zhang, Isola, Efros, Shechtman and Wang, *The unreasonable effectiveness of deep features as a perceptual metric*
(2018), version 0.1 over AlexNet. Its weights are not ours to ship: the network's are torchvision's, the five layers on
top come with the package lpips (BSD-2-Clause).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morelli.errors import ArrayError, ImageTooSmallError, WeightsError
from morelli.images.pixels import check_pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SMALLEST = 31
"""Pixels a side under which AlexNet's last layers see nothing."""
_WIDTHS = (64, 192, 384, 256, 256)
# Of its own inputs, -1 to 1.
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_NETWORK = "its AlexNet is torchvision's alexnet-owt-7be5be79.pth"
_TOP = "the layers on top are weights/v0.1/alex.pth of the package lpips"


class Lpips:
    """The distance, with weights from files.

    Parameters
    ----------
    network : str or Path
        Weights of AlexNet as torchvision keeps them: ``.safetensors``, or ``.pth`` read without running code. Only the
        convolutions are read.
    top : str or Path, optional
        Weights of the layers on top, as the package lpips keeps them. Default: that package's, where it is installed.

    Raises
    ------
    WeightsError
        A file is absent, cannot be read, or holds other layers.
    """

    def __init__(self, network: str | Path, top: str | Path | None = None) -> None:
        self._convs = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        self._top = nn.ModuleList([nn.Conv2d(width, 1, 1, bias=False) for width in _WIDTHS])
        where = Path(network)
        at = dict(zip((0, 3, 6, 8, 10), self._convs, strict=True))
        names = {f"features.{k}.{part}": getattr(c, part) for k, c in at.items() for part in ("weight", "bias")}
        _fill(names, where, _NETWORK)
        above = _of_package() if top is None else Path(top)
        _fill({f"lin{k}.model.1.weight": layer.weight for k, layer in enumerate(self._top)}, above, _TOP)

    @torch.no_grad()
    def __call__(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        """Distance of two images (height, width, 3) of one size; 0 where they are equal, seldom above 1.

        Raises
        ------
        ArrayError
            Not pixels, or of two sizes.
        ImageTooSmallError
            A side is shorter than `SMALLEST`.
        """
        check_pixels(one)
        check_pixels(other)
        if one.shape != other.shape:
            raise ArrayError(
                f"two images of one size are needed; got {one.shape} and {other.shape}.", argument="pixels"
            )
        if min(one.shape[:2]) < SMALLEST:
            raise ImageTooSmallError(f"{one.shape[1]} × {one.shape[0]} pixels: LPIPS needs {SMALLEST} each way.")
        total = 0.0
        for first, second, layer in zip(self._features(one), self._features(other), self._top, strict=True):
            total += float(layer((first - second).square()).mean())
        return total

    def _features(self, pixels: NDArray[np.uint8]) -> list[Tensor]:
        """Activations of the five convolutions, of unit length at each position."""
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        x = (x - torch.tensor(_SHIFT)[:, None, None]) / torch.tensor(_SCALE)[:, None, None]
        found = []
        for k, conv in enumerate(self._convs):
            if k in (1, 2):
                x = F.max_pool2d(x, 3, stride=2)
            x = F.relu(conv(x))
            found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found


def _of_package() -> Path:
    """The file in the package lpips, which is not imported: it would ask for torchvision."""
    found = importlib.util.find_spec("lpips")
    if found is None or found.origin is None:
        raise WeightsError(
            "the package lpips is not installed, and no file stands for the layers on top.",
            argument="lpips",
            fix="pip install --no-deps lpips",
        )
    return Path(found.origin).parent / "weights" / "v0.1" / "alex.pth"


def _fill(names: Mapping[str, Any], path: Path, meant: str) -> None:
    """Copy a file's tensors of those names."""
    state = _read(path)
    wrong = [n for n, t in names.items() if n not in state or state[n].shape != t.shape]
    if wrong:
        raise WeightsError(
            f"is not what LPIPS takes: {wrong[0]} is absent or of another shape.",
            argument=str(path),
            fix=f"Name another file: {meant}.",
        )
    with torch.no_grad():
        for name, tensor in names.items():
            tensor.copy_(state[name])


def _read(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror or error}.", argument=str(path)) from error
    except (SafetensorError, UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        why = str(error).partition("\n")[0] or "it ends too early."
        raise WeightsError(f"holds no weights: {why}", argument=str(path)) from error
    if not isinstance(state, Mapping):
        raise WeightsError("holds no table of weights.", argument=str(path))
    return state
