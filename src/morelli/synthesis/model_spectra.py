"""Mean spectra of many models: of a store's over photographs, of a dataset's over its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from morelli.errors import ImageTooSmallError, InputError, NotEnoughReferencesError
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image
from morelli.synthesis.architectures import ModelKey
from morelli.synthesis.crops import Crops
from morelli.synthesis.photos import Photos
from morelli.synthesis.records import HEADER
from morelli.synthesis.spectra import DEFAULT, Residual, SpectrumSettings, mean_spectrum
from morelli.synthesis.store import Store

_BATCH = 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Mean spectra of a set of models.

    Attributes
    ----------
    source : str
    names : tuple of str
        "ARCHITECTURE/SEED", or a dataset's model.
    keys : tuple of ModelKey or None
        Of synthetic models.
    values : ndarray, shape (models, bins), float64
    """

    source: str
    names: tuple[str, ...]
    keys: tuple[ModelKey, ...] | None
    values: NDArray[np.float64]


def is_store(path: str | Path) -> bool:
    """Whether a folder is a store of synthetic models, and no dataset."""
    return (Path(path) / HEADER).is_file()


def as_file(images: Tensor) -> Tensor:
    """Outputs as an 8-bit file would hold them.

    Parameters
    ----------
    images : Tensor, float32, −1 to 1 or beyond

    Returns
    -------
    Tensor, float32, 0–1
        Multiples of 1/255.
    """
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 255


def store_images(store: Store, key: ModelKey, photos: Tensor) -> Iterator[Tensor]:
    """What one model makes of photographs, as 8-bit files would hold it, in batches.

    Parameters
    ----------
    photos : Tensor, shape (n, 3, side, side), float32, −1 to 1
    """
    for at in range(0, len(photos), _BATCH):
        batch = photos[at : at + _BATCH]
        yield as_file(store.apply(batch, [key] * len(batch)))


def store_spectra(
    store: Store,
    photos: Photos,
    residual: Residual,
    settings: SpectrumSettings = DEFAULT,
    *,
    side: int = 128,
    images: int = 100,
    keys: Sequence[ModelKey] | None = None,
    progress: Progress | None = None,
) -> Spectra:
    """Mean spectra of a store's models over crops of photographs, the same ones for all.

    Parameters
    ----------
    store : Store
    photos : Photos
    residual : callable
        As in `mean_spectrum`.
    settings : SpectrumSettings
    side : int
        Of the crops, pixels; a multiple of 4.
    images : int
        Crops; the paper takes 100.
    keys : sequence of ModelKey, optional
        All by default.
    progress : callable, optional
        Called with models done and models in all.

    Raises
    ------
    NotEnoughReferencesError
        The store holds no model.
    InputError
        Photographs smaller than a crop, or another wrong number.
    """
    chosen = list(store.keys if keys is None else keys)
    if not chosen:
        raise NotEnoughReferencesError("the store holds no model.", argument=str(store.path))
    if side < 16 or side % 4:
        raise InputError(f"must be a multiple of 4 from 16 on; got {side}.", argument="side")
    crops = Crops(photos.pixels, side)
    cut = crops.cut(crops.draw(torch.Generator().manual_seed(0), images))
    rows: list[Tensor] = []
    for number, key in enumerate(chosen, 1):
        rows.append(mean_spectrum(store_images(store, key, cut), residual, settings))
        if progress is not None:
            progress(number, len(chosen))
    names = tuple(f"{key.architecture_id}/{key.seed}" for key in chosen)
    return Spectra(str(store.path), names, tuple(chosen), torch.stack(rows).numpy())


def dataset_images(paths: Sequence[Path], side: int) -> Iterator[Tensor]:
    """Centre crops of pictures, each a batch of one, shape (1, 3, side, side), float32, 0–1.

    Raises
    ------
    ImageTooSmallError
        A picture with a side under ``side``: to enlarge it would change its spectrum.
    """
    for path in paths:
        pixels = load_image(path).pixels
        height, width, _ = pixels.shape
        if min(height, width) < side:
            raise ImageTooSmallError(
                f"has {width}×{height} pixels, and {side} are compared.",
                argument=str(path),
                fix="Choose a smaller side.",
            )
        top, left = (height - side) // 2, (width - side) // 2
        crop = torch.from_numpy(pixels[top : top + side, left : left + side].copy())
        yield crop.permute(2, 0, 1)[None].float() / 255


def dataset_spectra(
    folder: str | Path,
    residual: Residual,
    settings: SpectrumSettings = DEFAULT,
    *,
    side: int = 128,
    images: int = 100,
    progress: Progress | None = None,
) -> Spectra:
    """Mean spectra of a dataset's models over the centres of their first pictures.

    Parameters are those of `store_spectra`.

    Raises
    ------
    DatasetError
        No dataset there.
    ImageTooSmallError
        A picture with a side under ``side``.
    """
    by_model: dict[str, list[Path]] = {}
    for item in read_dataset(folder).items:
        by_model.setdefault(item.model, []).append(item.path)
    rows: list[Tensor] = []
    for number, model in enumerate(sorted(by_model), 1):
        rows.append(mean_spectrum(dataset_images(by_model[model][:images], side), residual, settings))
        if progress is not None:
            progress(number, len(by_model))
    return Spectra(str(folder), tuple(sorted(by_model)), None, torch.stack(rows).numpy())
