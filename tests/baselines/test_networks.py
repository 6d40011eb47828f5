"""The trained networks: an easy task is learnt, budgets are told, trainings are kept; on the zoo, all of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from morelli.attribution.image import IMAGE_REGISTRY, FeatureAttributor, load_image_attributor
from morelli.baselines.dna_det import DnaDet
from morelli.baselines.dna_network import grid_patches
from morelli.baselines.pose import Pose
from morelli.baselines.repmix import RepMix
from morelli.baselines.resnet50 import ResNetPixels, resnet_body
from morelli.baselines.shapes import signed
from morelli.baselines.yu import Yu
from morelli.errors import InputError, NotEnoughReferencesError, NotFittedError, UnknownNameError, WeightsError
from tests.baselines.toys import accuracy, pictures, rows, stripes

LONG = "MORELLI_LONG_TESTS"
RESNET = "resnet50@side=112+steps=13333"
#: Trainings for the zoo's pictures, at their own size of 64 pixels where the method allows it. The first five were
#: measured at 0.95, 0.95, 0.96, 0.97 and 0.97. Of the others no length is known yet that is enough (decision 0014):
#: `yu` had 0.64 after 5,500 steps and then learnt its pictures by heart; `repmix`, which begins from `resnet50` here as
#: its authors' begins from ImageNet's, had 0.64 after 400 steps.
ENOUGH = (
    "mlp-image",
    "mlp-image-text@text=CLIP",
    "pose@side=64+batch=4+expansions=4+steps=800",
    "dna-det@crops=1+rate=0.0001+steps=2400",
    RESNET,
    "yu@side=64+batch=16+steps=10000",
    "repmix@side=112+pretrained=FOLDER+steps=3000",
)
PROMPTS, HELD = 3100, 100
SMALL = (1, 1, 1, 1)
EASY = {
    "resnet50": (lambda: ResNetPixels(steps=30, batch=9, rate=1e-3, side=32, depths=SMALL), 2048),
    "repmix": (lambda: RepMix(steps=60, batch=9, rate=1e-3, side=32, depths=SMALL), 256),
    "yu": (lambda: Yu(steps=40, batch=9, side=16), 512),
    "yu-fingerprint": (lambda: Yu("fingerprint", steps=40, batch=9, rate=0.01, side=16), 3 * 16**2),
    "dna-det": (lambda: DnaDet(steps=50, batch=2, crops=4), 512),
    "pose": (lambda: Pose(steps=50, batch=4, expansions=2, side=32), 512),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EASY))
def test_an_easy_task_is_learnt(name):
    """Three fixed residual patterns; new pictures are right far more often than by chance (0.33)."""
    make, width = EASY[name]
    side = 128 if name == "dna-det" else 32 if not name.startswith("yu") else 16
    # A fingerprint is a sum over places: its pattern must outlive the mirror.
    patterns = rows(side) if name == "yu-fingerprint" else stripes(side)
    # DNA-Det deals its steps by the number of pictures: with more of them, fewer go to the transforms.
    count = 48 if name == "dna-det" else 8
    fitted = make().fit(*pictures(count, side, patterns, 40, seed=0))
    images, models = pictures(6, side, patterns, 40, seed=1)
    assert accuracy(fitted, images, models) >= 0.8
    assert fitted.embed(images[:2]).shape == (2, width)
    # A query's scores do not depend on its company.
    assert np.allclose(fitted.scores(images[:1])[0], fitted.scores(images)[0], atol=1e-3)


def test_a_budget_is_told_and_the_published_one_is_not():
    images, models = pictures(4, 32, stripes(32), 40, seed=0)
    short = ResNetPixels(steps=2, batch=4, side=32, depths=SMALL).fit(images, models)
    assert short.under_trained.startswith("2 of 30 usual steps, batches of 4 instead of 32, side 32 instead of 224")
    assert short.under_trained.endswith("no ImageNet weights to begin from, no published recipe")
    assert (short.steps_, short.published_steps_) == (2, 30)
    # Nobody published a training of it: however long it was, it is labelled.
    short.steps_, short.pretrained = short.published_steps_, "somewhere"
    assert "no published recipe" in short._shortfall()
    full = Yu(steps=1)
    full.steps_ = full.published_steps_ = full._published_steps(12, 3)
    assert full.published_steps_ == 3_125_000
    assert full._shortfall() == ""
    assert Yu("fingerprint")._published_steps(12, 3) == 781_250
    small = DnaDet(steps=2, batch=2, crops=2, enlarged=80).fit(images, models)
    assert "crops 2 instead of 16, rate" not in small.under_trained
    assert "crops 2 instead of 16, side 64 instead of 128, enlarged 80 instead of 512" in small.under_trained
    assert "rate 0.01 instead of 0.001" in Yu(steps=1, rate=0.01).fit(images, models).under_trained
    mixed = RepMix(steps=2, batch=4, side=32, depths=SMALL).fit(images, models)
    assert "8 pictures shown instead of 31,680,000" in mixed.under_trained
    assert DnaDet()._stages(1680, 7) == (50 * 13, 30 * 15)
    assert DnaDet()._first_steps(50 * 13 + 30 * 15, 1680, 7) == 50 * 13
    # Of a budget most is for the models, however many they are.
    assert DnaDet()._first_steps(21, 481, 41) == 7
    assert DnaDet()._first_steps(100, 192, 4) == 33
    assert Pose()._published_steps(1680, 7) == 30 * 30


def test_a_training_that_is_kept_is_not_repeated(tmp_path, monkeypatch):
    images, models = pictures(3, 16, stripes(16), 40, seed=0)
    first = Yu(steps=3, batch=4, side=16, checkpoint=str(tmp_path)).fit(images, models)
    with monkeypatch.context() as patched:
        patched.setattr("morelli.baselines.loop.descend", None)
        again = Yu(steps=3, batch=4, side=16, checkpoint=str(tmp_path)).fit(images, models)
        assert np.array_equal(again.scores(images), first.scores(images))
        # Other pictures are another training, which would have to be made.
        with pytest.raises(TypeError):
            Yu(steps=3, batch=4, side=16, checkpoint=str(tmp_path)).fit(images[::-1], models)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_training_of_other_code_is_repeated(tmp_path, monkeypatch):
    images, models = pictures(3, 16, stripes(16), 40, seed=0)

    def train():
        return Yu(steps=3, batch=4, side=16, checkpoint=str(tmp_path)).fit(images, models)

    train()
    train()
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("morelli.baselines.code.method_version", lambda maker: "edited")
    train()
    assert len(list(tmp_path.iterdir())) == 2


def learner(make, count=4, side=32, steps=12):
    """What a training would change, before its first step."""
    images, models = pictures(count, side, stripes(side), 40, seed=0)
    attributor = make(steps)
    attributor.real_, attributor.device_, attributor.steps_ = None, "cpu", steps
    attributor._prepare(images)
    labels = np.unique(models, return_inverse=True)[1]
    return attributor._seeded(attributor._tensor(images), labels, 3)


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda n: ResNetPixels(n, batch=4, side=32, depths=SMALL), {"optimiser": (1e-4, (0.9, 0.999), 0)}),
        (lambda n: RepMix(n, batch=4, side=32, depths=SMALL), {"optimiser": (1e-4, (0.9, 0.999), 5e-4)}),
        (lambda n: Yu(steps=n, batch=4, side=16), {"live": (1e-3, (0.0, 0.99), 0)}),
        (
            lambda n: Yu("fingerprint", steps=n, batch=4, side=16),
            {"live": (1e-3, (0.0, 0.99), 0), "critic": (1e-3, (0.0, 0.99), 0)},
        ),
        (
            lambda n: DnaDet(n, batch=2, crops=2),
            {
                "first network": (1e-4, (0.9, 0.999), 0),
                "first balance": (1e-2, (0.9, 0.999), 0),
                "network": (1e-3, (0.9, 0.999), 0),
                "balance": (1e-2, (0.9, 0.999), 0),
            },
        ),
        (
            lambda n: Pose(n, batch=2, expansions=2, side=32),
            {"network": (1e-4, (0.9, 0.999), 0), "pairs": (1e-2, (0.9, 0.999), 0)},
        ),
    ],
    ids=["resnet50", "repmix", "yu", "yu-fingerprint", "dna-det", "pose"],
)
def test_the_published_optimisers(make, wanted):
    found = {
        name: (each.defaults["lr"], each.defaults["betas"], each.defaults["weight_decay"])
        for name, each in learner(make).optimisers.items()
    }
    assert found == wanted


@pytest.mark.parametrize(
    ("make", "which", "rates"),
    [
        (
            lambda n: RepMix(n, batch=4, side=32, depths=SMALL),
            "optimiser",
            {0: 1e-4, 2: 1e-4, 3: 0.85e-4, 6: 0.85**2 * 1e-4},
        ),
        (lambda n: Pose(n, batch=2, expansions=900, side=32), "network", {0: 1e-4, 499: 1e-4, 500: 0.9e-4}),
        # Of nine thousand steps a third learns transforms; the counts begin anew with the second stage.
        (lambda n: DnaDet(n, batch=2, crops=2), "first network", {0: 1e-4, 499: 1e-4, 500: 0.9e-4}),
        (lambda n: DnaDet(n, batch=2, crops=2), "network", {3000: 1e-3, 5499: 1e-3, 5500: 0.9e-3}),
    ],
    ids=["repmix", "pose", "dna-det's transforms", "dna-det"],
)
def test_the_published_rates_by_step(make, which, rates, monkeypatch):
    monkeypatch.setattr(DnaDet, "_first_steps", lambda self, steps, pictures, classes: steps // 3)
    made = learner(make, steps=9000)
    for number, rate in rates.items():
        made.step(number, np.random.default_rng(number))
        assert made.optimisers[which].param_groups[0]["lr"] == pytest.approx(rate)


def test_patches_that_coincide_are_scored_once():
    x = torch.arange(2 * 3 * 64 * 64).reshape(2, 3, 64, 64).to(torch.uint8)
    shown, count = grid_patches(x, 64)
    assert (count, shown.shape) == (1, (2, 3, 64, 64))
    # At the size of the pictures nothing is resampled.
    assert torch.equal(shown, signed(x))
    assert grid_patches(x, 66)[1] == 9


@pytest.mark.parametrize(
    ("sides", "options", "wanted"),
    [
        ([128, 300, 1024], {}, (128, 512, 2, 4)),
        ([100, 100, 512], {}, (100, 100, 2, 4)),
        # One patch a picture: four times as many pictures.
        ([64, 64, 64], {}, (64, 64, 8, 1)),
        ([20, 20, 20], {}, (64, 64, 8, 1)),
        ([64, 64, 64], {"enlarged": 512}, (64, 512, 2, 4)),
        ([64, 64, 64], {"side": 128}, (128, 512, 2, 4)),
    ],
)
def test_dna_det_takes_small_pictures_as_they_are(sides, options, wanted):
    made = DnaDet(batch=2, crops=4, **options)
    made._prepare([np.zeros((side, side + 3, 3), np.uint8) for side in sides])
    assert (made.side_, made.enlarged_, made.batch_, made.crops_) == wanted


def test_what_learnt_transforms_goes_on_to_learn_models():
    made = learner(lambda n: DnaDet(n, batch=2, crops=2))
    network, first = made.modules["network"], made.modules["first"]
    assert network.body is first.body
    before = [each.detach().clone() for each in network.head.parameters()]
    weight = next(network.body.parameters()).detach().clone()
    losses = made.step(0, np.random.default_rng(0))
    assert set(losses) == {"transforms, loss", "transforms, attribution", "transforms, contrast"}
    assert not torch.equal(weight, next(network.body.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(before, network.head.parameters(), strict=True))


def test_repmix_tells_photographs_apart_where_there_are_some():
    images, models = pictures(3, 32, stripes(32), 40, seed=0)
    fitted = RepMix(steps=2, batch=4, side=32, depths=SMALL, real="birch").fit(images, models)
    assert fitted.network_.real == 1
    assert "detection" in fitted.curve_.losses[0]
    assert RepMix(steps=1, batch=4, side=32, depths=SMALL).fit(images, models).network_.detect is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Yu(form="classifer"), "classifier"),
        (lambda: Yu(side=48), "power of two"),
        (lambda: Yu(steps=0), "steps"),
        (lambda: Yu(batch=1), "batch"),
        (lambda: Yu(precision="half"), "bfloat16"),
        (lambda: Pose(side=20), "multiple of 16"),
        (lambda: Pose(expansions=0), "expansions"),
        (lambda: ResNetPixels(side=4), "side"),
        (lambda: DnaDet(enlarged=63), "64 or more"),
        (lambda: DnaDet(side=32), "side"),
        (lambda: DnaDet(crops=0), "crops"),
        (lambda: ResNetPixels(cooldown=1.5), "cooldown"),
        (lambda: ResNetPixels(cooldown=float("nan")), "cooldown"),
        (lambda: Yu(rate=float("nan")), "rate"),
        (lambda: ResNetPixels(rate=-1.0), "rate"),
        (lambda: ResNetPixels(depths=(1, 1, 1)), "depths"),
        (lambda: ResNetPixels(depths=(3, 4, 6, 0)), "depths"),
        (lambda: ResNetPixels(pretrained="nowhere"), "nowhere"),
        (lambda: ResNetPixels(device="abacus"), "abacus"),
    ],
)
def test_a_bad_option_is_named_before_any_work(make, said):
    images, models = pictures(2, 16, stripes(16), 40, seed=0)
    with pytest.raises((InputError, UnknownNameError, WeightsError), match=said):
        make().fit(images, models)


def test_bad_input_is_named():
    images, models = pictures(2, 16, stripes(16), 40, seed=0)
    with pytest.raises(NotFittedError):
        Yu().scores(images)
    with pytest.raises(NotEnoughReferencesError, match="here is 1"):
        Yu(steps=1).fit(images[:1], models[:1])


def test_the_catalogue_holds_all_baselines_and_options_reach_them():
    names = {"marra", "dzanic", "gram", "probe", "mlp-image", "mlp-image-text"}
    names |= {"resnet50", "yu", "dna-det", "repmix", "pose"}
    assert names <= set(IMAGE_REGISTRY)
    made = load_image_attributor("yu@form=fingerprint+steps=7+batch=4")
    assert (made.form, made.steps, made.batch) == ("fingerprint", 7, 4)
    assert load_image_attributor("resnet50@rate=0.01").rate == 0.01
    assert load_image_attributor("repmix@depths=1-2-3-1").depths == (1, 2, 3, 1)
    # A folder may be called by a number.
    assert load_image_attributor("yu@checkpoint=2024").checkpoint == "2024"
    for spec, error, said in (
        ("yuu", UnknownNameError, "yu"),
        ("yu@step=7", UnknownNameError, "steps"),
        ("yu@steps", InputError, "value"),
        ("yu@batch=many", InputError, "int"),
        ("yu@steps=1e3", InputError, "int"),
        ("resnet50@depths=1-x-1-1", InputError, "dashes"),
    ):
        with pytest.raises(error, match=said):
            load_image_attributor(spec)


def test_methods_keep_what_they_can_use_again():
    folders = {"checkpoint": "o/trained", "cache": "o/a+b=c"}
    specs = ("marra", "probe", "yu@steps=8", "yu@checkpoint=mine")
    made = {spec: load_image_attributor(spec, folders) for spec in specs}
    assert made["probe"].cache == "o/a+b=c"
    assert (made["yu@steps=8"].checkpoint, made["yu@steps=8"].steps) == ("o/trained", 8)
    assert made["yu@checkpoint=mine"].checkpoint == "mine"
    assert load_image_attributor("probe").cache is None


def test_other_weights_to_begin_from_are_another_training(tmp_path):
    """In the same folder: a finished training of the first is not taken for one of the second."""
    images, models = pictures(3, 32, stripes(32), 40, seed=0)
    folder, found = tmp_path / "resnet", []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        resnet_body(SMALL).save_pretrained(folder)
        made = ResNetPixels(
            steps=1, batch=4, side=32, depths=SMALL, pretrained=str(folder), checkpoint=str(tmp_path / "kept")
        )
        found.append(made.fit(images, models).scores(images[:2]))
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert len(list((tmp_path / "kept").iterdir())) == 2


@dataclass(frozen=True, eq=False)
class ZooPictures:
    """Pictures of many prompts by each of five models; the last hundred prompts are held out.

    With six hundred prompts the networks learn the pictures by heart: the models draw the same scenes (decision 0014).
    """

    images: np.ndarray
    models: np.ndarray
    texts: np.ndarray

    def part(self, held: bool) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
        """What is held out, or what is not."""
        rows = (np.arange(len(self.images)) % PROMPTS >= PROMPTS - HELD) == held
        return list(self.images[rows]), self.models[rows], self.texts[rows].tolist()


@pytest.fixture(scope="module")
def zoo() -> ZooPictures:
    from morelli.generators.zoo import catalogue
    from morelli.generators.zoo.manifest import WEIGHTS
    from morelli.generators.zoo.world import prompts

    names = catalogue.names()
    if not names:
        pytest.skip("THE ZOO HAS NO WEIGHTS: the trained baselines were not held to 0.9 on its models.")
    if not os.environ.get(LONG):
        pytest.skip(f"HOURS ON A CPU, set {LONG}=1: the trained baselines were not held to 0.9 on the zoo's models.")
    pytest.importorskip("diffusers")
    from training.zoo.score import sample

    chosen = distinct(catalogue, names)
    # Prompts that the zoo was not trained on, each once.
    texts = prompts("test", PROMPTS, seed=5)
    images = np.concatenate([sample(WEIGHTS, name, texts) for name in chosen])
    return ZooPictures(images, np.repeat(chosen, len(texts)), np.tile(texts, len(chosen)))


def distinct(catalogue: Any, names: Sequence[str]) -> list[str]:
    """One model an architecture: twins and fine-tunes are hard to tell apart for anyone."""
    families = {catalogue.entry(name).family: name for name in reversed(names)}
    return sorted({catalogue.entry(name).architecture: name for name in families.values()}.values())


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the trainings of this module are kept."""
    return tmp_path_factory.mktemp("long")


@pytest.mark.slow
@pytest.mark.timeout(100_000)
@pytest.mark.parametrize("spec", ENOUGH)
def test_new_images_of_zoo_models_are_attributed(spec: str, zoo: ZooPictures, long_run: Path):
    """≥ 0.9 on new images of the models that it was trained on, so that a failure elsewhere is the method's."""
    from morelli.generators.zoo.manifest import WEIGHTS

    if "FOLDER" in spec:
        images, models, _ = zoo.part(held=False)
        trained = load_image_attributor(RESNET, {"checkpoint": str(long_run)}).fit(images, models)
        trained.network_.get_submodule("body").save_pretrained(long_run / "resnet")
    spec = spec.replace("CLIP", str(WEIGHTS / "clip")).replace("FOLDER", str(long_run / "resnet"))
    fitted = load_image_attributor(spec, {"checkpoint": str(long_run)})
    images, models, texts = zoo.part(held=False)
    new, truth, told = zoo.part(held=True)
    if isinstance(fitted, FeatureAttributor):
        scores = fitted.fit(images, models, texts).scores(new, told)
    else:
        scores = fitted.fit(images, models).scores(new)
    assert (fitted.models_[scores.argmax(axis=1)] == truth).mean() >= 0.9
