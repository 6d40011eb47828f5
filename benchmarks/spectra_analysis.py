"""Paper 002's pictures of §III-A and figure 2, on our models: what makes a spectrum, and which block it comes from.

::

    python -m benchmarks.spectra_analysis STORE --photos DIR --out DIR [--dataset FOLDER ...] [--images 40]
        [--residual median] [--pairs 20] [--crops 100]

Writes ``options.png`` (figures 3 to 5: mean reduced spectra by up-sampling, activation, normalisation), ``kernels.png``
(figure 6: spectra of the last convolution's kernels beside those of the output), ``mean_spectra.png`` (figure 2) and
``exchange.json`` (figure 7: two models of one architecture exchange their last blocks, which needs a store with two
seeds of some). Datasets' models join the mean spectra; where pictures have less than 128 pixels a side, as the zoo's,
the spectra of that dataset are of as many pixels as its smallest has.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from morelli.fingerprint.log_spectrum import log_spectrum
from morelli.fingerprint.residual import load_residual
from morelli.images.dataset import read_dataset
from morelli.images.probe import probe
from morelli.synthesis.architectures import OPTIONS, ModelKey, from_id
from morelli.synthesis.crops import Crops
from morelli.synthesis.model_spectra import as_file, dataset_images, store_images, store_spectra
from morelli.synthesis.network import SyntheticModel
from morelli.synthesis.photos import Photos, read_photos
from morelli.synthesis.report import pick
from morelli.synthesis.spectra import Residual, SpectrumSettings, mean_power, power
from morelli.synthesis.store import Store

SIDE = 128
SHOWN = ("up", "act", "norm")
# Pixels of a tile of the spectrum that blocks are judged by, and the ridge as a share of the mean eigenvalue.
_TILE, _RIDGE = 32, 0.1


def draw_options(store: Store, photos: Photos, residual: Residual, images: int, file: Path) -> None:
    """Mean reduced spectra of all models that share a value of an option, with the spread between models."""
    settings = SpectrumSettings(bins=SIDE // 2 + 1)
    found = store_spectra(store, photos, residual, settings, side=SIDE, images=images)
    figure = Figure(figsize=(13, 4), layout="constrained")
    frequencies = np.linspace(0, 0.5, settings.bins)
    for place, option in enumerate(SHOWN, 1):
        axes = figure.add_subplot(1, len(SHOWN), place)
        for value in OPTIONS[option]:
            rows = [getattr(from_id(key.architecture_id), option) == value for key in found.keys or ()]
            if not any(rows):
                continue
            values = found.values[rows]
            (line,) = axes.plot(frequencies, values.mean(0), label=f"{value} ({len(values)} models)")
            spread = values.std(0)
            shade = {"color": line.get_color(), "alpha": 0.15, "linewidth": 0}
            axes.fill_between(frequencies, values.mean(0) - spread, values.mean(0) + spread, **shade)
        axes.set(title=option, xlabel="frequency, cycles a pixel", ylabel="log10 power of the residual")
        axes.legend()
    figure.savefig(file, dpi=120)


def last_convolution(model: SyntheticModel) -> nn.Conv2d:
    """The convolution that makes the picture."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)][-1]


def draw_kernels(store: Store, cut: Tensor, file: Path, models: int = 6) -> None:
    """Figure 6: the summed spectrum of the last kernels of one output channel, and that channel's own spectrum."""
    keys = [key for key in store.keys if from_id(key.architecture_id).order == "pre"] or store.keys
    shown = pick(keys, models)
    figure = Figure(figsize=(2.4 * len(shown), 5), layout="constrained")
    for place, key in enumerate(shown, 1):
        model = store.load(key)
        kernels = last_convolution(model).weight.detach()[1]
        summed = torch.fft.fft2(kernels, s=(64, 64)).abs().sum(0)
        with torch.no_grad():
            channel = power(model(cut)[:, 1:2]).mean(0)
        for row, (image, title) in enumerate(((summed, "kernels"), (channel, "output"))):
            axes = figure.add_subplot(2, len(shown), place + row * len(shown))
            axes.imshow(torch.fft.fftshift(image).clamp(min=1e-9).log().numpy(), cmap="viridis")
            axes.set_title(f"{key.architecture_id}/{key.seed} {title}", fontsize=8)
            axes.set_axis_off()
    figure.savefig(file, dpi=120)


def least_side(paths: Sequence[Path]) -> int:
    """Pixels that every picture has a side, `SIDE` at most.

    Raises
    ------
    ImageError
        A file that is no picture.
    """
    found = [probe(path) for path in paths]
    return min([SIDE, *(min(each.width, each.height) for each in found)])


def draw_means(store: Store, cut: Tensor, residual: Residual, datasets: list[Path], images: int, file: Path) -> None:
    """Figure 2: the mean two-dimensional spectrum of each model's residuals."""
    shown = {
        f"{key.architecture_id}/{key.seed}": mean_power(store_images(store, key, cut), residual)
        for key in pick(store.keys)
    }
    for folder in datasets:
        by_model: dict[str, list[Path]] = {}
        for item in read_dataset(folder).items:
            by_model.setdefault(item.model, []).append(item.path)
        by_model = {model: paths[:images] for model, paths in sorted(by_model.items())}
        side = least_side([path for paths in by_model.values() for path in paths])
        for model, paths in by_model.items():
            shown[model] = mean_power(dataset_images(paths, side), residual)
    across = min(8, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(1.9 * across, 2.1 * down), layout="constrained")
    for place, (name, mean) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(down, across, place)
        axes.imshow(mean.clamp(min=1e-9).log().numpy(), cmap="viridis")
        axes.set_title(name[:24], fontsize=7)
        axes.set_axis_off()
    figure.savefig(file, dpi=120)


class Judge:
    """Tells the images of two models apart by their residuals' logarithmic spectra: a ridge regression on ±1.

    Figure 7 trains "a classifier on the Fourier spectrum" and says no more of it.

    Parameters
    ----------
    first, second : Tensor, shape (n, 3, h, w)
        Images of the two models, of the same crops in the same order; the sides have 32 pixels or more.
    residual : Residual
    """

    def __init__(self, first: Tensor, second: Tensor, residual: Residual) -> None:
        self._residual = residual
        x = np.concatenate([vectors(first, residual), vectors(second, residual)])
        self._mean, self._scale = x.mean(axis=0), x.std(axis=0) + 1e-9
        z = (x - self._mean) / self._scale
        gram = z @ z.T
        ridge = _RIDGE * float(np.trace(gram)) / len(z)
        sides = np.repeat([1.0, -1.0], [len(first), len(second)])
        self._weights = z.T @ np.linalg.solve(gram + ridge * np.eye(len(z)), sides)

    def firsts(self, images: Tensor) -> float:
        """Share of images that are taken for the first model's."""
        z = (vectors(images, self._residual) - self._mean) / self._scale
        return float((z @ self._weights > 0).mean())


def vectors(images: Tensor, residual: Residual) -> np.ndarray:
    """Logarithmic spectrum of each image's residual: float64 (n, 3264), six channels of 32 × 17 frequencies."""
    return torch.stack([log_spectrum(each[None], _TILE) for each in residual(images)]).numpy().astype(np.float64)


def exchanged(one: SyntheticModel, other: SyntheticModel, start: int) -> nn.Sequential:
    """The first with its blocks from ``start`` on taken from the second."""
    return nn.Sequential(*list(one)[:start], *list(other)[start:]).eval()


def exchange(store: Store, cut: Tensor, residual: Residual, pairs: int = 20) -> list[dict[str, Any]]:
    """Figure 7: how often a judge of two models names the right one, before and after they exchange blocks.

    The judge learns from the first half of the crops; what is counted comes from the second. After an exchange "right"
    is the model that has the beginning: 0 says that all images are attributed by the end.

    Returns
    -------
    list of dict
        ``architecture``; ``as trained``; and ``blocks from N of M exchanged`` for each N from the last to the second.
    """
    by_architecture: dict[str, list[ModelKey]] = {}
    for key in store.keys:
        by_architecture.setdefault(key.architecture_id, []).append(key)
    chosen = [keys[:2] for keys in by_architecture.values() if len(keys) > 1]
    half, rows = len(cut) // 2, []
    for first, second in (chosen[round(at)] for at in np.linspace(0, len(chosen) - 1, min(pairs, len(chosen)))):
        one, other = store.load(first), store.load(second)
        with torch.no_grad():
            judge = Judge(as_file(one(cut[:half])), as_file(other(cut[:half])), residual)

            def right(one: nn.Module, other: nn.Module, judge: Judge = judge) -> float:
                shares = [judge.firsts(as_file(model(cut[half:]))) for model in (one, other)]
                return (shares[0] + 1 - shares[1]) / 2

            row: dict[str, Any] = {"architecture": first.architecture_id, "as trained": right(one, other)}
            for start in range(len(one) - 1, 0, -1):
                swapped = exchanged(one, other, start), exchanged(other, one, start)
                row[f"blocks from {start + 1} of {len(one)} exchanged"] = right(*swapped)
        rows.append(row)
    return rows


def means(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each depth of architecture: how many pairs there are, and their mean shares."""
    depths: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        depths.setdefault(tuple(name for name in row if name != "architecture"), []).append(row)
    return [
        f"{len(some)} pair{'s' if len(some) > 1 else ''}  "
        + "  ".join(f"{name} {np.mean([row[name] for row in some]):.2f}" for name in names)
        for names, some in depths.items()
    ]


def main() -> None:
    """Draw everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, action="append", default=[])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--residual", default="median", help="see morelli.fingerprint.residual")
    parser.add_argument("--pairs", type=int, default=20, help="of models that exchange blocks")
    parser.add_argument("--crops", type=int, default=100, help="that those are shown, half of them to learn from")
    asked = parser.parse_args()
    if asked.crops < 4 or asked.pairs < 1:
        parser.error("--crops must be 4 or more, two to learn from and two to judge, and --pairs 1 or more")
    matplotlib.use("Agg")
    asked.out.mkdir(parents=True, exist_ok=True)
    store, photos = Store(asked.store), read_photos(asked.photos, SIDE)
    residual = load_residual(asked.residual)
    crops = Crops(photos.pixels, SIDE)
    cut = crops.cut(crops.draw(torch.Generator().manual_seed(0), asked.images))
    draw_options(store, photos, residual, asked.images, asked.out / "options.png")
    draw_kernels(store, cut, asked.out / "kernels.png")
    draw_means(store, cut, residual, asked.dataset, asked.images, asked.out / "mean_spectra.png")
    rows = exchange(store, crops.cut(crops.draw(torch.Generator().manual_seed(1), asked.crops)), residual, asked.pairs)
    if not rows:
        print("No architecture has two seeds, so no blocks were exchanged.", file=sys.stderr)
    (asked.out / "exchange.json").write_text(json.dumps(rows, indent=1) + "\n")
    for line in means(rows):
        print(line)


if __name__ == "__main__":
    main()
