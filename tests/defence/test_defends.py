"""That a defence defends: an attributor with images of its own recognises protected ones less than noisy ones; and
what one recognises who learns from protected images.

A leaderboard of made-up models, ``residual-spectrum`` as the surrogate, and an attacker who sees through the same and
has other seeds. The control is random signs at the PSNR of the protected images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from morelli.attribution.base import Attributor
from morelli.attribution.catalogue import load_attributor
from morelli.defence.ensemble import Ensemble
from morelli.defence.perturb import sign_noise
from morelli.defence.quality import psnr
from morelli.defence.settings import PerturbSettings
from morelli.defence.strength import match_psnr, weakened
from morelli.defence.surrogate import load_surrogate
from morelli.encoders.embed import embed
from morelli.fingerprint.encoders import ResidualSpectrum
from morelli.images.dataset import read_dataset
from morelli.images.load import from_array, load_image
from morelli.testing.datasets import write_dataset
from morelli.types import Item, LabelledEmbeddings

Pixels = NDArray[np.uint8]
EPSILON, STEPS = 4.0, 8
METHODS = ("euclid", "fused")


class Leaderboard:
    """Four models, of which one image each is shown; the leaderboard has two seeds, and the attacker three others."""

    def __init__(self, folder: Path) -> None:
        items = read_dataset(write_dataset(folder, models=4, prompts=5, seeds=5, size=64)).items
        self.encoder = ResidualSpectrum()
        self.held = self.labelled([item for item in items if (item.seed or 0) < 2])
        references = self.labelled([item for item in items if (item.seed or 0) >= 2])
        self.queries = [item for item in items if (item.seed, item.prompt_id) == (0, "001")]
        self.before = [load_image(query.path).pixels for query in self.queries]
        self.inside = references.take(references.prompts == "001")
        self.judges: dict[str, Attributor] = {name: load_attributor(name).fit(references) for name in METHODS}

    def labelled(self, items: Sequence[Item]) -> LabelledEmbeddings:
        vectors = dict(embed(self.encoder, [item.path for item in items], on_error="raise").vectors)
        models, prompts = (np.array([getattr(item, name) for item in items]) for name in ("model", "prompt_id"))
        return LabelledEmbeddings(vectors, models, prompts, models)

    def protected(self, defence: str) -> list[Pixels]:
        settings = PerturbSettings(EPSILON, STEPS)
        ensemble = Ensemble([load_surrogate(self.encoder)], {self.encoder.stamp.encoder: self.held}, defence, settings)
        return [
            ensemble.protect(pixels, query.model, query.prompt_id)
            for pixels, query in zip(self.before, self.queries, strict=True)
        ]

    def like(self, after: Sequence[Pixels]) -> list[Pixels]:
        """Random signs of the same largest change, weakened to the PSNR of protected images."""
        pairs = [(pixels, sign_noise(pixels, EPSILON, seed=k)) for k, pixels in enumerate(self.before)]
        target = float(np.mean([psnr(*pair) for pair in zip(self.before, after, strict=True)]))
        share = match_psnr(pairs, target).share
        return [weakened(*pair, share) for pair in pairs]

    def leads(self, shown: Sequence[Pixels], method: str) -> NDArray[np.float64]:
        """By how much the true model leads the likeliest other one, of each image."""
        judge = self.judges[method]
        vectors = embed(self.encoder, [from_array(pixels) for pixels in shown], on_error="raise").vectors
        models = judge.candidates(self.inside)
        own = np.array([query.model for query in self.queries])[:, None] == models[None]
        scores = judge.scores(dict(vectors), self.inside, "001")
        return np.where(own, scores, -np.inf).max(axis=1) - np.where(own, -np.inf, scores).max(axis=1)

    def defends(self, after: Sequence[Pixels], method: str) -> bool:
        """Whether the mean lead falls by more than under random signs of that PSNR: by half of what it was more."""
        plain, protected, noisy = (self.leads(shown, method) for shown in (self.before, after, self.like(after)))
        assert (plain > 0).all()  # else there is nothing to defend
        return bool(protected.mean() < noisy.mean() - 0.5 * plain.mean())


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    return Leaderboard(tmp_path_factory.mktemp("d"))


@pytest.mark.parametrize("defence", ["pgd", "eot"])
def test_it_takes_more_than_random_signs_do(leaderboard: Leaderboard, defence: str) -> None:
    after = leaderboard.protected(defence)
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(leaderboard.before, after, strict=True)) <= 4
    assert {method: leaderboard.defends(after, method) for method in METHODS} == dict.fromkeys(METHODS, True)


def test_other_random_signs_are_no_defence(leaderboard: Leaderboard) -> None:
    """The judge of the test above can say no."""
    others = [sign_noise(pixels, 2, seed=100 + k) for k, pixels in enumerate(leaderboard.before)]
    assert {method: leaderboard.defends(others, method) for method in METHODS} == dict.fromkeys(METHODS, False)


@pytest.mark.slow
def test_collisions_leave_nothing_to_learn_from(tmp_path: Path) -> None:
    """Who has protected images with their models' names knows the published defence's; of collisions, hardly more than
    the drawn model, one in four."""
    items = read_dataset(write_dataset(tmp_path / "d", models=4, prompts=2, seeds=5, size=64)).items
    encoder, pixels = ResidualSpectrum(), [load_image(item.path).pixels for item in items]
    models, prompts = (np.array([getattr(item, name) for item in items]) for name in ("model", "prompt_id"))

    def labelled(shown: Sequence[Pixels]) -> LabelledEmbeddings:
        vectors = dict(embed(encoder, [from_array(each) for each in shown], on_error="raise").vectors)
        return LabelledEmbeddings(vectors, models, prompts, models)

    held = labelled(pixels)
    seeds = np.array([item.seed for item in items])

    def recognised(defence: str) -> float:
        settings = PerturbSettings(8, 16)
        ensemble = Ensemble([load_surrogate(encoder)], {encoder.stamp.encoder: held}, defence, settings)
        pairs = zip(pixels, items, strict=True)
        shown = labelled([ensemble.protect(each, item.model, item.prompt_id) for each, item in pairs])
        hits: list[bool] = []
        for seed in np.unique(seeds):
            references, queries = shown.take(seeds != seed), shown.take(seeds == seed)
            judge = load_attributor("euclid").fit(references)
            for prompt in np.unique(prompts):
                inside, asked = (each.take(each.prompts == prompt) for each in (references, queries))
                scores = judge.scores(dict(asked.vectors), inside, str(prompt))
                hits += (judge.candidates(inside)[scores.argmax(axis=1)] == asked.models).tolist()
        return float(np.mean(hits))

    assert recognised("pgd") > 0.9
    assert recognised("collide") < 0.6
