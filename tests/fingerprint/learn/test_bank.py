"""Caches: filled once, resumed, bounded, and keyed by all that decides them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from morelli.errors import InputError, StorageError
from morelli.fingerprint.chain import SignalChain
from morelli.fingerprint.learn import bank as banks
from morelli.fingerprint.learn.augment import draw_degradation
from morelli.fingerprint.learn.bank import slots_that_fit
from morelli.fingerprint.learn.kept import PixelBank, SpectraBank, entry_bytes
from morelli.fingerprint.learn.views import LiveViews
from tests.fingerprint.learn.toys import CHAIN, MadeUp


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers)


def test_pixels_come_back(tmp_path: Path) -> None:
    kept = PixelBank(MadeUp(), 5, tmp_path)
    kept.bank.fill()
    assert torch.equal(kept.pixels(rows(3, 0), rows(4, 1)), MadeUp().pixels(rows(3, 0), rows(4, 1)))
    assert (kept.limit, kept.names, kept.bank.size) == (5, MadeUp().names, 4 * 5 * 3 * 128 * 128)


def test_spectra_come_back_in_half_precision(tmp_path: Path) -> None:
    live = LiveViews(MadeUp(), CHAIN)
    kept = SpectraBank(live, 3, tmp_path)
    kept.bank.fill()
    found, wanted = (each.spectra(rows(1, 2), rows(2, 0)) for each in (kept, live))
    assert found.dtype == torch.float32 and found.shape == (2, *CHAIN.shape)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3)
    assert not wanted.is_inference() and wanted.isfinite().all()
    raw = replace(CHAIN, log=False, standardise=False)
    assert entry_bytes(raw, "spectra") == 2 * entry_bytes(CHAIN, "spectra") == 4 * 3 * 32 * 17


def test_an_interrupted_filling_goes_on(tmp_path: Path) -> None:
    class Breaks(MadeUp):
        def pixels(self, classes, slots):
            if self.asked >= 10:
                raise KeyboardInterrupt
            return super().pixels(classes, slots)

    broken = PixelBank(Breaks(), 5, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        broken.bank.fill()
    assert broken.bank.filled == {0, 1}
    done = next(tmp_path.glob("*.done"))
    done.write_text(done.read_text() + "2")  # a line that a crash cut
    pictures = MadeUp()
    kept = PixelBank(pictures, 5, tmp_path)
    kept.bank.fill()
    assert pictures.asked == 10
    again = MadeUp()
    PixelBank(again, 5, tmp_path).bank.fill()
    assert again.asked == 0
    assert torch.equal(kept.pixels(rows(0, 2), rows(0, 4)), MadeUp().pixels(rows(0, 2), rows(0, 4)))


def test_a_file_that_was_cut_is_made_anew(tmp_path: Path) -> None:
    PixelBank(MadeUp(), 2, tmp_path).bank.fill()
    file = next(tmp_path.glob("*.bin"))
    file.write_bytes(file.read_bytes()[:1000])
    kept = PixelBank(MadeUp(), 2, tmp_path)
    kept.bank.fill()
    assert torch.equal(kept.pixels(rows(3), rows(1)), MadeUp().pixels(rows(3), rows(1)))


def test_other_contents_have_another_file(tmp_path: Path) -> None:
    def key(pictures=None, slots=3, chain=CHAIN, **others) -> str:
        return SpectraBank(LiveViews(pictures or MadeUp(), chain, **others), slots, tmp_path).digest

    changed = [
        key(MadeUp(digest="other")), key(slots=4), key(chain=replace(CHAIN, tile=16)), key(augment=True), key(seed=1),
        key(chain=SignalChain("wavelet")),
    ]  # fmt: skip
    assert len({key(), *changed}) == 7
    assert key() == key()


def test_degradations_are_the_same_in_all_classes_of_a_slot() -> None:
    pictures = MadeUp(strength=0)  # all classes look alike
    live = LiveViews(pictures, CHAIN, augment=True, seed=4)
    one, two = live.spectra(rows(0, 1), rows(9, 9))
    assert torch.equal(one, two)
    pixels = pictures.pixels(rows(0), rows(9))[0].permute(1, 2, 0).numpy()
    wanted = draw_degradation(np.random.default_rng([4, 105, 0, 9]))(np.ascontiguousarray(pixels))
    direct = CHAIN(torch.from_numpy(wanted).permute(2, 0, 1)[None].float() / 255)[0]
    assert torch.allclose(one, direct)
    steps = [live.spectra(rows(0), rows(9), step) for step in range(4)]
    assert all(torch.equal(steps[0], each) for each in steps)
    fresh = LiveViews(pictures, CHAIN, augment=True, seed=4, fresh=True)
    steps = [fresh.spectra(rows(0), rows(9), step) for step in range(6)]
    assert any(not torch.equal(steps[0], each) for each in steps)


def test_the_bound_decides_how_many_slots_there_are() -> None:
    assert slots_that_fit(64, 10, 100, 10_000, 4) == 10
    assert slots_that_fit(8, 10, 100, 10_000, 4) == 8
    with pytest.raises(InputError, match="are allowed"):
        slots_that_fit(64, 10, 100, 3_999, 4)


def test_a_full_disk_is_said_before_it_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banks.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match="are free"):
        PixelBank(MadeUp(), 2, tmp_path).bank.fill()
    assert not list(tmp_path.glob("*.bin"))


def test_reading_before_filling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="before it was filled"):
        PixelBank(MadeUp(), 2, tmp_path).pixels(rows(0), rows(0))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        PixelBank(MadeUp(), 2, tmp_path / "file").bank.fill()
