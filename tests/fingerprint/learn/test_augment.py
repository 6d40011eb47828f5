"""Degradations in training."""

from __future__ import annotations

import numpy as np

from morelli.fingerprint.learn import augment
from morelli.fingerprint.learn.augment import draw_degradation
from morelli.images.degrade import jpeg, webp
from tests.synthesis.samples import picture

PIXELS = picture(0, 48, 48)


def test_they_keep_the_shape_and_draw_nothing_when_applied() -> None:
    for seed in range(40):
        chain = draw_degradation(np.random.default_rng(seed))
        found = chain(PIXELS)
        assert found.shape == PIXELS.shape and found.dtype == np.uint8
        assert np.array_equal(found, chain(PIXELS))
        assert np.array_equal(found, draw_degradation(np.random.default_rng(seed))(PIXELS))


def test_some_pictures_stay_and_the_others_differ() -> None:
    found = [draw_degradation(np.random.default_rng(seed))(PIXELS) for seed in range(200)]
    untouched = np.mean([np.array_equal(each, PIXELS) for each in found])
    assert abs(untouched - augment.UNTOUCHED) < 0.1
    assert len({each.tobytes() for each in found}) > 100


def test_strengths_stay_in_their_ranges(monkeypatch) -> None:
    seen: dict[str, list[float]] = {}

    def note(name):
        def function(pixels, strength, *rest):
            seen.setdefault(name, []).append(strength)
            if name == "jpeg":
                seen.setdefault("subsampling", []).extend(rest)
            return pixels

        return function

    for name in ("jpeg", "webp", "blur", "noise", "crop_resize"):
        monkeypatch.setattr(augment, name, note(name))
    for seed in range(400):
        draw_degradation(np.random.default_rng(seed))(PIXELS)
    ranges = {"jpeg": (50, 100), "webp": (50, 100), "blur": (0.3, 1), "noise": (0.5, 3), "crop_resize": (0.5, 1)}
    for name, (low, high) in ranges.items():
        assert low <= min(seen[name]) < max(seen[name]) <= high
        assert max(seen[name]) - min(seen[name]) > 0.8 * (high - low)
    assert set(seen["subsampling"]) == {"4:4:4", "4:2:2", "4:2:0"}


def test_codecs_are_those_of_degrade(monkeypatch) -> None:
    monkeypatch.setattr(augment, "UNTOUCHED", 0.0)
    monkeypatch.setattr(augment, "_CHANCES", {"codec": 1.0})
    possible = {jpeg(PIXELS, q, s).tobytes() for q in range(50, 101) for s in ("4:4:4", "4:2:2", "4:2:0")}
    possible |= {webp(PIXELS, q).tobytes() for q in range(50, 101)}
    assert all(draw_degradation(np.random.default_rng(seed))(PIXELS).tobytes() in possible for seed in range(20))
