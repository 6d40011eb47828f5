"""From a run's folder to the package's weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from training.zoo.export import publish, write_json

from morelli.generators.zoo.generator import ZooGenerator
from morelli.generators.zoo.manifest import read_manifest


def test_what_is_published_makes_the_same_pictures_with_less(tiny_zoo: Path, tmp_path: Path) -> None:
    entries = {
        name: {"model": each} for name, each in json.loads((tiny_zoo / "manifest.json").read_text())["models"].items()
    }
    run = tmp_path / "run"
    shutil.copytree(tiny_zoo, run / "export")
    write_json(run / "entries.json", entries)
    name = next(name for name, each in entries.items() if "vae" in each["model"]["components"])
    size = publish(run, tmp_path / "to", [name])
    assert size == sum(path.stat().st_size for path in (tmp_path / "to").rglob("*") if path.is_file())
    configs = list((tmp_path / "to").rglob("config.json"))
    assert configs
    assert not [
        config for config in configs if str(tmp_path) in config.read_text() or "_name_or_path" in config.read_text()
    ]
    weights = "vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "to" / weights).stat().st_size < 0.8 * (tiny_zoo / weights).stat().st_size
    (one,), (other,) = (
        ZooGenerator(read_manifest.__wrapped__(folder), name, {}).pixels(["a red circle"], [1])
        for folder in (tiny_zoo, tmp_path / "to")
    )
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 1
