"""Fingerprints a second beside the published chain: python -m benchmarks.fingerprint.speed FOLDER

Both in one run, in turns, on one core and in processor time: ``fingerprint`` over up to 64 windows and over nine, and
the published chain (17 × 64 denoiser, raw spectra of nine windows, ResNet-50). The published chain has random weights:
how long it takes does not depend on them. Pictures are decoded before; the median of the rounds counts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from morelli.fingerprint.chain import PUBLISHED
from morelli.fingerprint.denoiser import Denoiser
from morelli.fingerprint.encoders import Fingerprint, Windows, shipped_parts
from morelli.fingerprint.resnet import ResNet50
from morelli.fingerprint.several import SeveralFingerprints
from morelli.fingerprint.windows import Pixels, nine_windows
from morelli.images.dataset import read_dataset
from morelli.images.load import load_image

ROUNDS = 3


def published() -> Callable[[Pixels], np.ndarray]:
    """The published chain: a picture to the mean of nine windows' features, shape (2048,)."""
    denoiser, network = Denoiser().eval(), ResNet50().eval()

    def run(pixels: Pixels) -> np.ndarray:
        windows = torch.from_numpy(nine_windows(pixels)).permute(0, 3, 1, 2).contiguous().float() / 255
        with torch.inference_mode():
            return network(PUBLISHED.spectrum(denoiser(windows))).mean(0).numpy()

    return run


def ours(windows: Windows) -> Callable[[Pixels], np.ndarray]:
    """The shipped fingerprint over these windows."""
    parts = {word: Fingerprint(part.extractor, word, windows=windows) for word, part in shipped_parts().items()}
    encoder = SeveralFingerprints(parts, "fingerprint")

    def run(pixels: Pixels) -> np.ndarray:
        return encoder.encode([encoder.prepare(pixels)])["fingerprint/mean"][0]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a dataset; sdnext's pictures have 1024 pixels a side")
    parser.add_argument("--images", type=int, default=6)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pictures = [load_image(item.path).pixels for item in read_dataset(given.folder).items[: given.images]]
    ways = {"published chain, nine windows": published(), "ours, 64 windows": ours("grid"), "ours, nine": ours("nine")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for run in ways.values():
        run(pictures[0])  # what is set up once
    for _ in range(ROUNDS):
        for name, run in ways.items():
            begun = time.process_time()
            for pixels in pictures:
                run(pixels)
            seconds[name].append((time.process_time() - begun) / len(pictures))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    slowest = medians["published chain, nine windows"]
    print("| chain | seconds a picture | ratio |\n|---|---:|---:|")
    for name, value in medians.items():
        print(f"| {name} | {value:.3f} | {slowest / value:.1f} × |")


if __name__ == "__main__":
    main()
