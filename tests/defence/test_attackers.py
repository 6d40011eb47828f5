"""Attackers see what they say they see."""

from __future__ import annotations

import numpy as np
import pytest

from morelli.defence import attackers
from morelli.defence.attackers import (
    ATTACKERS,
    Attacker,
    attacker_names,
    embed_as,
    embed_copies_as,
    load_attacker,
    purifier,
)
from morelli.defence.canonical import canonical
from morelli.defence.transforms import TRANSFORMS
from morelli.errors import ImageTooSmallError, InputError, UnknownNameError
from morelli.images.degrade import degrade

from .toys import GrainEncoder, scene

PICTURES = [scene(seed, 24, 30) for seed in range(3)]


def plain(pictures) -> dict[str, np.ndarray]:
    encoder = GrainEncoder()
    return dict(encoder.encode([encoder.prepare(pixels) for pixels in pictures]))


def test_plain() -> None:
    found = embed_as(load_attacker("plain"), GrainEncoder(), PICTURES)
    for name, values in plain(PICTURES).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)


def test_every_kind_of_purifier_has_a_strength_that_eot_does_not_draw() -> None:
    views = {each.views[0] for each in ATTACKERS if len(each.views) == 1 and ":" in each.views[0]}
    drawn = {text for draw in TRANSFORMS for text in (draw, *draw.split("+"))}
    assert {view.partition(":")[0] for view in views - drawn} == {"jpeg", "resize", "blur"}


@pytest.mark.parametrize(
    "name", ["purify jpeg", "purify jpeg 60", "purify resize 0.6", "purify blur", "purify resize", "purify median"]
)
def test_purified(name: str) -> None:
    attacker = load_attacker(name)
    want = plain([canonical(pixels, attacker.views[0]) for pixels in PICTURES])
    found = embed_as(attacker, GrainEncoder(), PICTURES)
    for vector, values in want.items():
        np.testing.assert_allclose(found[vector], values, rtol=1e-6)
        assert not np.allclose(values, plain(PICTURES)[vector], rtol=1e-6)


def test_averaged() -> None:
    found = embed_as(Attacker("two", ("", "jpeg:50")), GrainEncoder(), PICTURES)
    one, two = plain(PICTURES), plain([degrade(pixels, "jpeg:50") for pixels in PICTURES])
    for name in one:
        np.testing.assert_allclose(found[name], (one[name] + two[name]) / 2, rtol=1e-5)


def test_both_variants_of_every_purifier_are_listed() -> None:
    whole = {each.name: each.views for each in ATTACKERS if each.throughout}
    assert {name.removesuffix(" throughout"): views for name, views in whole.items()} == {
        each.name: each.views for each in ATTACKERS if not each.throughout and each.views != ("",)
    }


def test_a_degradation_comes_before_the_purifier() -> None:
    attacker = Attacker("one", ("blur:1",))
    found = embed_as(attacker, GrainEncoder(), PICTURES, after="jpeg:40")
    want = plain([degrade(degrade(pixels, "jpeg:40"), "blur:1") for pixels in PICTURES])
    other = plain([degrade(degrade(pixels, "blur:1"), "jpeg:40") for pixels in PICTURES])
    for name, values in want.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
    assert not np.allclose(want["grain/steps"], other["grain/steps"], rtol=1e-6)


def test_copies_are_seen_by_the_attacker_too() -> None:
    attacker, rows = Attacker("two", ("", "blur:1")), np.array([4, 7, 9])
    found = embed_copies_as(attacker, GrainEncoder(), PICTURES, rows, ("jpeg:60", "resize:0.5"))
    assert found.names.tolist() == ["jpeg:60"] * 3 + ["resize:0.5"] * 3
    assert found.rows.tolist() == [4, 7, 9, 4, 7, 9]
    small = [degrade(pixels, "resize:0.5") for pixels in PICTURES]
    halves = plain(small), plain([degrade(pixels, "blur:1") for pixels in small])
    for name, values in found.vectors.items():
        np.testing.assert_allclose(values[3:], (halves[0][name] + halves[1][name]) / 2, rtol=1e-5)
    with pytest.raises(InputError, match="no degradation"):
        embed_copies_as(attacker, GrainEncoder(), PICTURES, rows, ())


def test_progress_counts_every_view() -> None:
    seen: list[tuple[int, int]] = []
    embed_as(Attacker("two", ("", "blur:1")), GrainEncoder(), PICTURES, progress=lambda *at: seen.append(at))
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_purifiers_keep_sizes() -> None:
    for attacker in ATTACKERS:
        for text in attacker.views:
            if text != attackers.OIDN:
                assert purifier(text)(scene(0, 31, 45)).shape == (31, 45, 3)


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attackers, "find_spec", lambda name: None)
    assert "purify oidn" not in attacker_names()
    with pytest.raises(UnknownNameError, match="Did you mean"):
        load_attacker("purify jpg")
    monkeypatch.setattr(attackers, "find_spec", lambda name: object())
    assert "purify oidn" in attacker_names()


def test_refused() -> None:
    with pytest.raises(InputError, match="no image"):
        embed_as(load_attacker("plain"), GrainEncoder(), [])
    with pytest.raises(ImageTooSmallError):
        embed_as(load_attacker("plain"), GrainEncoder(), [np.zeros((2, 2, 3), np.uint8)])
