"""Table II: what is compared, kept and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def row(without: str | None, ffd: float | None, why: list[str], notes: list[str]) -> dict[str, Any]:
    equal = {
        "ffd_models": 2, "ffd": ffd, "ffd_spread": None if ffd is None else 0.25, "volume_models": 4,
        "log_volume": -2.0, "log_volume_spread": 0.0, "volume_share": 0.5,
    }  # fmt: skip
    models = 4 if without is None else 2
    return {"without": without, "models": models, "other_models": 3, "equal": equal, "why": why, "notes": notes}


def test_the_table_has_datasets_side_by_side_and_says_why_a_figure_is_absent() -> None:
    found = {
        "a": {"side": 128, "rows": [row(None, 1.25, [], ["few."]), row("K", 2.5, [], ["few."])]},
        "b": {"side": 64, "rows": [row(None, None, ["too few."], []), row("K", None, ["too few."], [])]},
        "c": {"why": "has 32×32 pixels."},
    }
    lines = fidelity.markdown(found).splitlines()
    assert lines[0] == (
        "| synthetic models | models | FFD of 2 to 3 of a, 128 px | FFD of 2 to 3 of b, 64 px | log-volume of 4 "
        "| share of the volume |"
    )
    assert lines[2] == "| all | 4 | 1.25 ± 0.25 | – | -2 | 0.5 |"
    assert lines[3].startswith("| without K | 2 | 2.5 ± 0.25 | – |")
    assert lines[4:] == ["", "– : too few.", "", "few.", "", "c: has 32×32 pixels."]
    assert fidelity.markdown({"c": found["c"]}).strip() == "c: has 32×32 pixels."


def write(folder: Path, side: int, models: int = 3) -> Path:
    for model in range(models):
        (folder / f"m{model}").mkdir(parents=True)
        for seed in range(2):
            Image.fromarray(picture(10 * model + seed, side, side + 10)).save(folder / f"m{model}" / f"{seed}.png")
    return folder


def test_figures_are_those_of_the_command_and_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize(Plan(select("000000"), 3), photos(), tmp_path / "store", quick())
    store, shown = Store(tmp_path / "store"), Photos(tuple(picture(seed, 132, 132) for seed in range(4)), "p")
    real, small, tiny = (read_dataset(write(tmp_path / f"d{side}", side)) for side in (130, 67, 40))
    found = fidelity.fidelity(store, shown, [real, small, tiny], tmp_path, images=4)
    residual = load_residual("median")
    for data, side in ((real, 128), (small, 64)):
        ours = store_spectra(store, shown, residual, DEFAULT, side=side, images=4)
        theirs = dataset_spectra(data.root, residual, DEFAULT, side=side, images=4)
        wanted = compare(ours, theirs, fidelity.REMOVED)
        assert found[data.root.name] == {"side": side, "rows": wanted}
        assert [each["without"] for each in wanted] == [None, *fidelity.REMOVED] and wanted[-1]["models"] == 1
    assert found["d40"].keys() == {"why"} and "do not fill 33 rings" in found["d40"]["why"]
    assert "d40: images: 40×40 coefficients" in fidelity.markdown(found)
    assert json.loads((tmp_path / "table-ii.json").read_text())["found"] == found

    def never(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(fidelity, "store_spectra", never)
    assert fidelity.fidelity(store, shown, [real, small, tiny], tmp_path, images=4) == found
    with pytest.raises(AssertionError, match="measured again"):
        fidelity.fidelity(store, shown, [real, small, tiny], tmp_path, images=5)
