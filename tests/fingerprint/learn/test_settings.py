"""Settings: the learning rates, the presets, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch

from morelli.errors import InputError, UnknownNameError
from morelli.fingerprint.chain import PUBLISHED, find_chain
from morelli.fingerprint.learn.settings import LearnSettings, preset


def test_the_rate_rises_stays_and_falls_to_a_fiftieth() -> None:
    settings = LearnSettings(lr=1.0, warm_up=0.1, cool_down=0.5)
    rates = [settings.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == 1.0
    assert rates[75] == pytest.approx(0.5) and rates[99] == pytest.approx(0.02)
    assert all(before >= after for before, after in pairwise(rates[10:]))
    assert math.isfinite(settings.rate(0, 1))


def test_the_published_schedule_is_torchs_warm_restarts() -> None:
    settings = preset("as-published")
    assert settings.cache == "none"  # photographs are drawn anew at each step
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, 15, 2, eta_min=1e-5)
    for epoch in range(40):
        for step in (0, 1012):
            assert settings.rate(1013 * epoch + step, 40_520) == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_the_published_settings() -> None:
    settings = preset("as-published", steps=7, seed=None)
    assert (settings.architecture, settings.batch, settings.margin, settings.weight) == ("resnet50", 200, 0.3, 1.0)
    assert (settings.sampler, settings.normalise, settings.loss, settings.triplet) == (
        "random", False, "ce+triplet", "batch-hard",
    )  # fmt: skip
    assert find_chain(settings.chain) == PUBLISHED
    assert (settings.view, settings.margin_px, settings.quantise) == ("resize", 0, False)
    assert (settings.steps, settings.seed) == (7, 0)
    with pytest.raises(UnknownNameError, match="as-published"):
        preset("published")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"loss": "hinge"}, "supcon"),
        ({"sampler": "kp"}, "pk"),
        ({"augment": "all"}, "immunised"),
        ({"lr": 0.0}, "above 0"),
        ({"lr": math.nan}, "lr"),
        ({"margin": math.inf}, "margin"),
        ({"steps": -1}, "0 or more"),
        ({"slots": 0}, "1 or more"),
        ({"cool_down": 1.5}, "0 to 1"),
        ({"k": 1}, "no image of a batch has a partner"),
        ({"p": 1}, "2 or more"),
        ({"margin_px": 3}, "even"),
        ({"quantise": False, "cache": "pixels"}, "quantise: must be True with a cache of pixels or degradations"),
        ({"quantise": False, "augment": "immunised"}, "quantise: must be True"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises((InputError, UnknownNameError), match=said):
        LearnSettings(**wrong)


def test_rounding_is_told_where_it_is_left_out_alone() -> None:
    """A training from before there was a choice has the same settings, and goes on."""
    assert "quantise" not in LearnSettings().as_dict()
    assert LearnSettings(**LearnSettings().as_dict()) == LearnSettings()
    raw = LearnSettings(quantise=False)
    assert raw.as_dict()["quantise"] is False and LearnSettings(**raw.as_dict()) == raw


def test_one_image_a_model_is_enough_without_pairs() -> None:
    assert LearnSettings(k=1, loss="ce").batch == 16
