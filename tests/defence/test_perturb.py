"""The perturbation stays within its limits, does what it is for, and refuses what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.defence.ensemble import GRADIENT_DEFENCES, Ensemble, defence_settings
from morelli.defence.levels import to_levels
from morelli.defence.masking import SMOOTH, masking_map, whole_limits
from morelli.defence.perturb import Target, perturb, rounded, sign_noise, stream
from morelli.defence.quality import psnr
from morelli.defence.settings import PerturbSettings
from morelli.defence.strength import match_psnr, weakened
from morelli.errors import DivergedError, InputError, NotEnoughReferencesError, UnknownNameError
from morelli.types import LabelledEmbeddings

from .toys import STAMP, GrainEncoder, GrainSurrogate, scene


def towards_rough(vectors) -> torch.Tensor:
    """Small where neighbours differ much."""
    return -vectors["grain/steps"].sum()


ROUGH = Target(GrainSurrogate(), towards_rough)


def value(pixels) -> float:
    return float(towards_rough(GrainSurrogate()(to_levels(pixels))))


@settings(max_examples=25, deadline=None)
@given(
    epsilon=st.floats(1, 12),
    masked=st.booleans(),
    seed=st.integers(0, 99),
    text=st.sampled_from(["", "jpeg:60", "blur:1"]),
)
def test_no_sample_moves_by_more_than_epsilon(epsilon: float, masked: bool, seed: int, text: str) -> None:
    pixels = scene(seed, 20, 24)
    after = perturb(pixels, [ROUGH], PerturbSettings(epsilon, 3, transforms=(text,), masked=masked, seed=seed))
    change = np.abs(after.astype(int) - pixels)
    assert after.dtype == np.uint8
    assert change.max() <= epsilon
    assert change.max() >= 1
    if masked:
        assert (change <= np.ceil(np.float32(epsilon) * masking_map(pixels)[:, :, None])).all()


@given(limit=st.floats(0, 9), seed=st.integers(0, 99))
def test_rounding_never_passes_the_limit(limit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
    change = rng.uniform(-limit, limit, pixels.shape)
    away = rounded(pixels, change, limit).astype(int) - pixels
    assert np.abs(away).max() <= limit
    # Away from the limits and the ends of the scale it is plain rounding.
    free = (np.abs(np.rint(change)) <= np.floor(limit)) & (pixels >= 10) & (pixels <= 245)
    np.testing.assert_array_equal(away[free], np.rint(change)[free])


def test_it_reaches_what_random_signs_do_not() -> None:
    pixels = scene()
    settings = PerturbSettings(epsilon=4, steps=15)
    protected, control = perturb(pixels, [ROUGH], settings), sign_noise(pixels, 4)
    # Roughness is what random signs raise already; gradients must raise it more at the same largest change.
    assert value(protected) < value(control) - 0.5 < value(pixels) - 0.5


def test_more_epsilon_reaches_more() -> None:
    pixels = scene()
    reached = [value(perturb(pixels, [ROUGH], PerturbSettings(epsilon=e, steps=10))) for e in (1, 2, 4, 8)]
    assert reached == sorted(reached, reverse=True)


def test_pictures_have_nothing_in_common_that_one_could_know_of_another() -> None:
    """On flat ground half of the samples may not move: which, is each picture's own."""
    flat = [np.full((32, 32, 3), level, np.uint8) for level in (100, 101)]
    settings = PerturbSettings(2, 2, masked=True, seed=5)
    still = [perturb(pixels, [ROUGH], settings) == pixels for pixels in flat]
    for each in still:
        assert 0.3 < each.mean() < 0.8
    alike = (still[0] == still[1]).mean()
    by_chance = np.mean([still[0].mean() * still[1].mean() + (1 - still[0].mean()) * (1 - still[1].mean())])
    assert alike == pytest.approx(by_chance, abs=0.05)
    assert stream(flat[0], 5) != stream(flat[1], 5)
    assert stream(flat[0], 5) != stream(flat[0], 6)
    assert stream(flat[0], 5) == stream(flat[0].copy(), 5)


def test_the_seed_decides_everything() -> None:
    pixels, several = scene(), ("", "jpeg:70", "blur:1")
    one, two, other = (perturb(pixels, [ROUGH], PerturbSettings(2, 4, transforms=several, seed=s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_the_ensemble_is_averaged() -> None:
    """Two surrogates that pull apart equally leave nothing to follow but the heavier one."""
    pixels = scene()
    brighter = Target(GrainSurrogate(), lambda v: -v["colour/mean"].sum())
    darker = Target(GrainSurrogate(), lambda v: 3 * v["colour/mean"].sum())
    after = perturb(pixels, [brighter, darker], PerturbSettings(4, 20))
    assert after.mean() < pixels.mean() - 3


def test_masking_spares_smooth_ground() -> None:
    pixels = scene()
    mask = masking_map(pixels)
    assert mask.shape == pixels.shape[:2]
    assert mask[:, :20].max() < 0.6 < mask[:, 36:].min()
    flat = np.full((20, 20, 3), 77, np.uint8)
    np.testing.assert_allclose(masking_map(flat), SMOOTH)
    change = np.abs(perturb(pixels, [ROUGH], PerturbSettings(8, 8, masked=True)).astype(int) - pixels)
    assert change[:, :20].max() < change[:, 36:].max() == 8


@pytest.mark.parametrize(("epsilon", "moved"), [(1, 0.25), (2, 0.5), (4, 1.0), (6, 1.0)])
def test_smooth_ground_keeps_its_share_of_a_small_epsilon(epsilon: float, moved: float) -> None:
    """A quarter of ε is less than a level below 4: then so many samples move by a whole one."""
    flat = np.full((60, 60, 3), 100, np.uint8)
    brighter = Target(GrainSurrogate(), lambda v: -v["colour/mean"].sum())
    change = perturb(flat, [brighter], PerturbSettings(epsilon, 12, masked=True)).astype(int) - flat
    assert (change > 0).mean() == pytest.approx(moved, abs=0.03)
    assert change.mean() == pytest.approx(epsilon * SMOOTH, abs=0.05)


@given(limit=st.floats(0, 8), largest=st.floats(1, 8), seed=st.integers(0, 9))
def test_whole_limits_keep_the_mean(limit: float, largest: float, seed: int) -> None:
    found = whole_limits(np.full((3, 40, 40), limit), largest, seed)
    assert set(np.unique(found)) <= {min(whole, np.floor(largest)) for whole in (np.floor(limit), np.ceil(limit))}
    if np.ceil(limit) <= np.floor(largest):
        # Five standard deviations of the mean of 4,800 draws.
        assert found.mean() == pytest.approx(limit, abs=5 * 0.5 / 4800**0.5)
    np.testing.assert_array_equal(found, whole_limits(np.full((3, 40, 40), limit), largest, seed))


@pytest.mark.parametrize("epsilon", [0, -2, 0.5, 33, float("nan"), float("inf")])
def test_epsilon_out_of_range(epsilon: float) -> None:
    for call in (lambda: perturb(scene(), [ROUGH], PerturbSettings(epsilon)), lambda: sign_noise(scene(), epsilon)):
        with pytest.raises(InputError, match="epsilon: must lie between 1 and 32"):
            call()


def test_refused() -> None:
    with pytest.raises(InputError, match="steps"):
        perturb(scene(), [ROUGH], PerturbSettings(steps=0))
    with pytest.raises(InputError, match="step"):
        perturb(scene(), [ROUGH], PerturbSettings(step=-1.0))
    with pytest.raises(InputError, match="no surrogate"):
        perturb(scene(), [], PerturbSettings())
    broken = Target(GrainSurrogate(), lambda v: v["grain/steps"].sum() * torch.nan)
    with pytest.raises(DivergedError, match="no number"):
        perturb(scene(), [broken], PerturbSettings(steps=1))


def test_sign_noise_is_plus_or_minus_epsilon() -> None:
    pixels = np.full((40, 40, 3), 100, np.uint8)
    change = sign_noise(pixels, 3.7).astype(int) - 100
    assert set(np.unique(change)) == {-3, 3}
    assert abs(change.mean()) < 0.2


# -- the named defences -----------------------------------------------------------------------------------------------


def leaderboard() -> LabelledEmbeddings:
    """Three models that differ in roughness, six prompts, three images each."""
    encoder, models, prompts, vectors = GrainEncoder(), [], [], []
    for model, sigma in (("calm", 2.0), ("middle", 9.0), ("rough", 20.0)):
        for prompt in range(6):
            for seed in range(3):
                rng = np.random.default_rng([prompt, seed, int(sigma)])
                x = 60 + 20 * prompt + rng.normal(0, sigma * rng.uniform(0.8, 1.2), (24, 24, 3))
                vectors.append(encoder.encode([encoder.prepare(np.clip(x, 0, 255).astype(np.uint8))]))
                models.append(model)
                prompts.append(f"p{prompt}")
    joined = {name: np.concatenate([v[name] for v in vectors]) for name in STAMP.dims}
    return LabelledEmbeddings(joined, np.array(models), np.array(prompts), np.array(models))


@pytest.mark.parametrize("defence", ["pgd", "eot"])
def test_a_calm_image_becomes_rougher_than_random_signs_make_it(defence: str) -> None:
    """Any change roughens a calm image: as much of it at random, at the same PSNR, does so less."""
    rng = np.random.default_rng(5)
    pixels = np.clip(100 + rng.normal(0, 3, (24, 24, 3)), 0, 255).astype(np.uint8)
    ensemble = Ensemble([GrainSurrogate()], {"grain": leaderboard()}, defence, PerturbSettings(8, 30))
    after, signs = ensemble.protect(pixels, "calm", "p2"), sign_noise(pixels, 8)
    control = weakened(pixels, signs, match_psnr([(pixels, signs)], psnr(pixels, after)).share)
    before, rougher, noisy = (
        float(GrainSurrogate()(to_levels(x))["grain/steps"].sum()) for x in (pixels, after, control)
    )
    assert rougher > noisy + 4 > before + 10


def test_shorter_steps_come_to_rest() -> None:
    """The sign of a gradient carries an image past what it is to reach by as much as a step."""
    assert [PerturbSettings(8, 4, step=1.0, shrinking=True).length_of(n) for n in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert [PerturbSettings(8, 4, step=1.0).length_of(n) for n in range(4)] == [1.0] * 4
    pixels, goal = np.full((24, 24, 3), 100, np.uint8), 103.0 / 8
    there = Target(GrainSurrogate(), lambda v: (v["colour/mean"] - goal).square().sum())
    apart = [
        abs(perturb(pixels, [there], PerturbSettings(8, 30, step=2.0, shrinking=each)).mean() - 103.0)
        for each in (False, True)
    ]
    assert apart[1] < 0.1 < 0.5 < apart[0]


def test_a_collision_is_the_same_model_s_for_all_surrogates() -> None:
    """The draw is the picture's and the seed's: two encoders of the same references lead to the same image."""
    held, pixels = leaderboard(), scene(0, 24, 24)
    other = replace(STAMP, encoder="other")
    seen = set()
    for seed in range(12):
        settings = PerturbSettings(4, 2, seed=seed)
        ensemble = Ensemble(
            [GrainSurrogate(), GrainSurrogate(other)], {"grain": held, "other": held}, "collide", settings
        )
        x = {name: v.detach() for name, v in GrainSurrogate()(to_levels(pixels)).items()}
        one, two = (float(target.objective(x)) for target in ensemble.targets(pixels, "calm", "p2"))
        assert one == two
        seen.add(one)
    assert len(seen) > 4
    with pytest.raises(NotEnoughReferencesError, match="one image a model"):
        few = held.take(np.unique(held.models, return_index=True)[1])
        Ensemble([GrainSurrogate()], {"grain": few}, "collide").protect(pixels, "calm")


def test_positives_are_of_the_prompt_where_there_are_any() -> None:
    held = leaderboard()
    ensemble = Ensemble([GrainSurrogate()], {"grain": held}, "pgd")
    pixels = scene(0, 24, 24)
    x = {name: v.detach() for name, v in GrainSurrogate()(to_levels(pixels)).items()}
    inside, everywhere, absent = (
        float(ensemble.targets(pixels, "calm", prompt)[0].objective(x)) for prompt in ("p0", None, "p77")
    )
    assert inside != everywhere
    assert absent == everywhere


def test_ensemble_refuses() -> None:
    with pytest.raises(UnknownNameError, match="defence"):
        Ensemble([GrainSurrogate()], {"grain": leaderboard()}, "pdg")
    with pytest.raises(InputError, match="names no encoder"):
        Ensemble([], {})
    with pytest.raises(InputError, match="no references under grain"):
        Ensemble([GrainSurrogate()], {})
    with pytest.raises(UnknownNameError):
        defence_settings("canonical", PerturbSettings())
    for defence, has in GRADIENT_DEFENCES.items():
        found = defence_settings(defence, PerturbSettings())
        assert (bool(found.transforms), found.masked) == (has.transforms, has.masked)
        assert found.shrinking == has.collision
    # What a caller asks for and the defence lacks is not dropped in silence.
    for asked in (
        PerturbSettings(masked=True),
        PerturbSettings(transforms=("jpeg:75",)),
        PerturbSettings(shrinking=True),
    ):
        with pytest.raises(InputError, match="no part of pgd"):
            defence_settings("pgd", asked)
    assert defence_settings("eot", PerturbSettings(transforms=("blur:1",))).transforms == ("blur:1",)
