"""The ablations' rows, what models are shown, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.fingerprint.__main__ import main
from benchmarks.fingerprint.ablation import Bench, markdown
from benchmarks.fingerprint.rows import Row, all_rows
from benchmarks.fingerprint.sources import Part, shown

from morelli.errors import MorelliError, WeightsError
from morelli.fingerprint.chain import LEARNING
from morelli.fingerprint.encoders import Fingerprint
from morelli.fingerprint.extractor import load_extractor, make_extractor, save_extractor
from morelli.fingerprint.learn.settings import LearnSettings
from morelli.fingerprint.learn.views import LiveViews
from morelli.fingerprint.windows import nine_windows
from morelli.synthesis.architectures import ARCHITECTURES, ModelKey
from morelli.synthesis.photos import Photos
from tests.fingerprint.learn.toys import MadeUp
from tests.synthesis.samples import picture

KEYS = [ModelKey(each.id, seed) for each in ARCHITECTURES for seed in range(20)]


def row(name: str) -> Row:
    return next(each for each in all_rows(288, 20) if each.name == name)


def test_rows_are_named_once_and_can_be_asked_for() -> None:
    rows = all_rows(288, 20)
    assert len({each.name for each in rows}) == len(rows)
    assert {"III", "IV", "V", "VI", "VII"} <= {each.table for each in rows}
    for each in rows:
        LearnSettings(**each.changes)
        each.signal("default").describe() if "denoiser" not in each.name and "published" not in each.name else None
    assert "15 seeds" in {each.name for each in rows}
    assert "5 seeds" not in {each.name for each in all_rows(10, 4)}


@pytest.mark.parametrize(
    ("name", "count"), [("all", 5760), ("without K", 2880), ("without U", 1920), ("without N", 1920), ("5 seeds", 1440),
                        ("36 architectures", 720)],
)  # fmt: skip
def test_rows_learn_from_the_models_they_say(name: str, count: int) -> None:
    chosen = row(name).keys(KEYS)
    assert len(set(chosen)) == count and set(chosen) <= set(KEYS)


def test_removed_options_have_one_value_left_and_fewer_architectures_keep_all() -> None:
    assert {key.architecture_id[3] for key in row("without U").keys(KEYS)} == {"0"}
    few = {key.architecture_id for key in row("36 architectures").keys(KEYS)}
    assert [len({each[place] for each in few}) for place in range(6)][:4] == [2, 2, 2, 3]
    assert {key.seed for key in row("5 seeds").keys(KEYS)} == set(range(5))


def test_a_row_changes_the_residual_and_nothing_else() -> None:
    asked = row("image in the same form")
    assert asked.table == "VI" and not asked.changes
    assert asked.signal("default") == replace(LEARNING, residual="none")
    assert row("spectrum of the image").signal("default") != replace(LEARNING, residual="none", tile=None)


def test_drawings_and_photographs() -> None:
    photos = Photos(tuple(picture(seed, 150, 150) for seed in range(6)), "p")
    assert shown("photographs", photos, 6) is photos
    drawings, both = shown("drawings", photos, 6), shown("both", photos, 6)
    assert len(drawings.pixels) == 6 and drawings.pixels[0].shape == (256, 256, 3)
    assert len({each.tobytes() for each in drawings.pixels}) == 6
    sizes = [each.shape[0] for each in both.pixels]
    assert sorted(sizes) == [150, 150, 150, 256, 256, 256] and len({photos.digest, drawings.digest, both.digest}) == 3


def test_a_part_is_some_of_the_classes() -> None:
    views = LiveViews(MadeUp(), LEARNING)
    part = Part(views, [3, 1])
    assert part.names == ["model-3", "model-1"] and part.digest != Part(views, [1, 3]).digest
    here, there = part.spectra(np.array([0, 1]), np.array([5, 6])), views.spectra(np.array([3, 1]), np.array([5, 6]))
    assert torch.equal(here, there)


def test_one_window_is_the_centre_and_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    save_extractor(
        make_extractor("small", 6, size=LEARNING.shape[1:]), path, name="small", chain=LEARNING, training={}, channels=6
    )
    one, nine = (Fingerprint(load_extractor(path), "x", windows=each) for each in ("centre", "nine"))
    pixels = picture(1, 300, 260)
    assert one.stamp != nine.stamp
    assert np.array_equal(one.prepare(pixels), nine_windows(pixels)[4][None])
    assert np.array_equal(one.prepare(pixels)[0], pixels[86:214, 66:194])


def test_the_table_has_numbers_or_the_reason() -> None:
    figures = {"accuracy": 0.5, "f1": 0.25, "pair_accuracy": None, "auc": 0.875}
    lines = [
        {"table": "III", "row": "a", "models": 4, "steps": 9, "unseen_synthetic": {"auc": 0.9}, "d": figures},
        {"table": "VI", "row": "b", "why": "no weights"},
    ]
    found = markdown(lines, ["d"]).splitlines()
    assert found[2] == "| III | a | 4 | 9 | 90.0 | 50.0 | 25.0 | – | 87.5 |"
    assert found[3].startswith("| VI | b | no weights |")
    assert len({line.count("|") for line in found}) == 1


def test_a_row_is_measured_once_and_one_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Empty:
        keys: list[ModelKey] = []  # noqa: RUF012

    bench = Bench(Empty(), Photos((), "p"), [], tmp_path, 1.0, LearnSettings())  # pyright: ignore[reportArgumentType]
    answers: list[MorelliError | None] = [WeightsError("are absent."), None]

    def train(self: Bench, row: Row) -> Path:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return tmp_path

    monkeypatch.setattr(Bench, "_train", train)
    monkeypatch.setattr(Bench, "_measure", lambda self, row, weights: {"models": 3})
    assert bench.row(Row("", "all"))["why"] == "are absent."
    assert bench.row(Row("", "all"))["models"] == 3
    assert bench.row(Row("", "all"))["models"] == 3 and not answers
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    answers.append(None)
    assert bench.row(Row("", "other"))["row"] == "other" and not answers
    assert [json.loads(line)["row"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()][-1] == "other"


def test_too_large_a_budget_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(tmp_path), "--photos", "p", "--dataset", "d", "--out", str(tmp_path), "--minutes", "16"]
    with pytest.raises(SystemExit):
        main(given)
    assert "at most 15" in capsys.readouterr().err
