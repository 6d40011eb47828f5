"""Table II: what is compared, kept and said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.fingerprint import fidelity
from PIL import Image

from morelli.fingerprint.residual import load_residual
from morelli.images.dataset import read_dataset
from morelli.synthesis.architectures import select
from morelli.synthesis.compare import compare
from morelli.synthesis.model_spectra import dataset_spectra, store_spectra
from morelli.synthesis.photos import Photos
from morelli.synthesis.run import Plan, synthesize
from morelli.synthesis.spectra import DEFAULT
from morelli.synthesis.store import Store

from ..synthesis.samples import photos, picture, quick


def row(without: str | None, models: int, ffd: float | None, why: list[str]) -> dict[str, object]:
    return {"without": without, "models": models, "ffd": ffd, "log_volume": -2.0, "volume_share": 0.5, "why": why}


def test_the_table_has_datasets_side_by_side_and_says_why_a_figure_is_absent() -> None:
    found = {
        "a": [row(None, 4, 1.25, []), row("K", 2, 2.5, [])],
        "b": [row(None, 4, None, ["too few."]), row("K", 2, None, ["too few."])],
    }
    lines = fidelity.markdown(found).splitlines()
    assert lines[0] == "| synthetic models | models | FFD to a | FFD to b | log-volume | share of the volume |"
    assert lines[2] == "| all | 4 | 1.25 | – | -2 | 0.5 |" and lines[3].startswith("| without K | 2 | 2.5 | – |")
    assert lines[4:] == ["", "– : too few."]


def test_figures_are_those_of_the_command_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize(Plan(select("000000"), 3), photos(), tmp_path / "store", quick())
    for model in range(3):
        (tmp_path / "real" / f"m{model}").mkdir(parents=True)
        for seed in range(2):
            Image.fromarray(picture(10 * model + seed, 130, 140)).save(tmp_path / "real" / f"m{model}" / f"{seed}.png")
    store, shown = Store(tmp_path / "store"), Photos(tuple(picture(seed, 132, 132) for seed in range(4)), "p")
    data = read_dataset(tmp_path / "real")
    found = fidelity.fidelity(store, shown, [data], tmp_path, images=4)
    residual = load_residual("median")
    ours = store_spectra(store, shown, residual, DEFAULT, images=4)
    assert found == {"real": compare(ours, dataset_spectra(data.root, residual, DEFAULT, images=4), fidelity.REMOVED)}
    assert [each["without"] for each in found["real"]] == [None, *fidelity.REMOVED]
    assert found["real"][-1]["models"] == 1
    assert json.loads((tmp_path / "table-ii.json").read_text())["rows"] == found

    def never(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(fidelity, "store_spectra", never)
    assert fidelity.fidelity(store, shown, [data], tmp_path, images=4) == found
    with pytest.raises(AssertionError, match="measured again"):
        fidelity.fidelity(store, shown, [data], tmp_path, images=5)
