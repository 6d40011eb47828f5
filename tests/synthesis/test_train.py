"""Training: the same model in any company, both policies, and what goes wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from morelli.errors import InputError, UnknownNameError
from morelli.synthesis import train as training
from morelli.synthesis.architectures import ModelKey, from_id
from morelli.synthesis.crops import Crops
from morelli.synthesis.settings import TrainingSettings
from morelli.synthesis.stacked import Stack, build, fresh_weights
from morelli.synthesis.streams import stream
from morelli.synthesis.train import Pool, Trained, measure, train
from morelli.synthesis.writing import StoreWriter

from .samples import photos, picture, quick

PHOTOS = photos()


def run(names: list[ModelKey], settings: TrainingSettings, scheme: str = "auto") -> list[Trained]:
    return train(names, Pool(PHOTOS, settings), settings, scheme=scheme)


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Equal up to rounding, but for biases that a BatchNorm takes out again.

    Their gradient is zero but for rounding, which Adam blows up to whole steps.
    """
    for name, value in one.items():
        of_convolution = name.endswith("bias") and one[name.removesuffix("bias") + "weight"].ndim > 1
        if of_convolution or name.endswith("running_mean"):
            continue
        torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-4)


def test_crops_are_parts_of_the_photographs() -> None:
    shown = [picture(seed, 20 + seed, 30 - seed) for seed in range(3)]
    crops = Crops(shown, 16)
    places = crops.draw(torch.Generator().manual_seed(3), 40)
    cut = ((crops.cut(places) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    seen = set()
    for one, number in zip(cut, places[:, 2].tolist(), strict=True):
        photo = shown[number]
        corners = [
            (y, x)
            for y in range(photo.shape[0] - 15)
            for x in range(photo.shape[1] - 15)
            if (photo[y : y + 16, x : x + 16] == one).all()
        ]
        assert len(corners) == 1
        seen.add((number, *corners[0]))
    assert len(seen) > 25 and {each[0] for each in seen} == {0, 1, 2}


def test_a_photograph_smaller_than_a_crop_is_refused() -> None:
    with pytest.raises(InputError, match="16"):
        Crops([picture(0, 15, 40)], 16)


def test_a_step_is_adam_on_the_models_own_crops() -> None:
    settings = quick(max_steps=3, check_every=2, policy="ceiling", schedule="cosine")
    key = ModelKey("010111", 4)
    found = run([key], settings)[0]
    model = build(from_id("010111"), {name: each[0] for name, each in fresh_weights([key], 4).items()}, 4).train()
    crops, generator = Crops(PHOTOS.training, 16), stream(key, "crops")
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.lr)
    places = torch.cat([crops.draw(generator, 2, 4), crops.draw(generator, 1, 4)])
    for step in range(3):
        optimiser.param_groups[0]["lr"] = settings.lr * (1 + math.cos(math.pi * step / 3)) / 2
        images = crops.cut(places[step])
        optimiser.zero_grad()
        (model(images) - images).square().mean().backward()
        optimiser.step()
    close({n: v for n, v in model.state_dict().items() if "num" not in n}, found.weights)
    assert found.steps == 3 and found.trouble is None


@pytest.mark.parametrize("scheme", ["loop", "grouped", "matmul", "vmap"])
def test_a_model_is_the_same_in_any_company(scheme: str) -> None:
    settings = quick(max_steps=4)
    alone = run([ModelKey("010111", 1)], settings)[0]
    company = run([ModelKey("010111", seed) for seed in (3, 1, 0)], settings, scheme)
    assert [each.key.seed for each in company] == [3, 1, 0]
    close(alone.weights, company[1].weights)
    assert company[1].mse == pytest.approx(alone.mse, rel=1e-2)


def test_those_that_are_done_leave_and_the_others_go_on_as_they_were() -> None:
    settings = quick(max_steps=12, check_every=2, lr=1e-2)
    names = [ModelKey("000000", seed) for seed in range(4)]
    errors = sorted(each.mse for each in run(names, quick(max_steps=6, lr=1e-2, schedule="constant")))
    eta = (errors[1] + errors[2]) / 2  # about half get there after six steps
    settings = quick(max_steps=12, check_every=2, lr=1e-2, eta=eta, schedule="constant")
    together = run(names, settings, "grouped")
    assert len({each.steps for each in together}) > 1
    for each in together:
        alone = run([each.key], settings)[0]
        assert alone.steps == each.steps
        close(alone.weights, each.weights)


def test_floor_stops_at_eta_and_ceiling_does_not() -> None:
    key = [ModelKey("000000", 0)]
    floor = run(key, quick(eta=10.0, max_steps=8))[0]
    ceiling = run(key, quick(eta=10.0, max_steps=8, policy="ceiling"))[0]
    assert (floor.steps, ceiling.steps) == (2, 8)


def test_the_floor_takes_the_gradient_away() -> None:
    settings = quick(eta=10.0, max_steps=2)
    key = ModelKey("000000", 0)
    first = fresh_weights([key], 4)
    trained = run([key], settings)[0]
    assert torch.equal(trained.weights["0.1.weight"], first["0.1.weight"][0])
    moving = run([key], quick(eta=1e-6, max_steps=2))[0]
    assert not torch.equal(moving.weights["0.1.weight"], first["0.1.weight"][0])


def test_training_lowers_the_error() -> None:
    settings = quick(max_steps=60, check_every=20, lr=1e-2, width=8)
    key = ModelKey("000200", 0)
    before = measure(Stack(from_id("000200"), fresh_weights([key], 8), "loop", 8), Pool(PHOTOS, settings).check)
    assert run([key], settings)[0].mse < 0.3 * before[0][0]


def test_the_error_is_measured_on_photographs_that_training_never_sees() -> None:
    held = {each.tobytes() for each in PHOTOS.checking}
    assert held and not held & {each.tobytes() for each in PHOTOS.training}
    assert len(PHOTOS.checking) + len(PHOTOS.training) == len(PHOTOS.pixels)


def test_a_model_that_blows_up_is_told() -> None:
    found = run([ModelKey("100000", 0)], quick(lr=1e30, optimiser="adamw", max_steps=6))[0]
    assert found.trouble is not None and "diverged" in found.trouble and found.steps < 6
    assert not found.mse < math.inf


def test_a_constant_output_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = quick(max_steps=2, eta=10.0)

    def dead(keys: list[ModelKey], width: int) -> dict[str, Tensor]:
        weights = fresh_weights(keys, width)
        weights["1.1.bias"][:] = -100  # the last ReLU never opens
        return weights

    monkeypatch.setattr(training, "fresh_weights", dead)
    found = run([ModelKey("000010", 0)], settings)[0]
    assert found.trouble is not None and "constant" in found.trouble


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"policy": "roof"}, UnknownNameError),
        ({"optimiser": "sgd"}, UnknownNameError),
        ({"schedule": "step"}, UnknownNameError),
        ({"eta": 0.0}, InputError),
        ({"ceiling": math.nan}, InputError),
        ({"lr": math.inf}, InputError),
        ({"crop": 18}, InputError),
        ({"crop": 8}, InputError),
        ({"batch": 0}, InputError),
        ({"max_steps": 0}, InputError),
        ({"weight_decay": -1.0}, InputError),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        quick(**settings)


def test_bfloat16_trains_nearly_the_same_model() -> None:
    """Weights stay single precision; they differ from float32's, and what comes of them hardly does."""
    key = ModelKey("000000", 0)
    plain, half = (
        run([key], quick(max_steps=60, precision=each, policy="ceiling"))[0] for each in ("float32", "bfloat16")
    )
    assert {value.dtype for value in half.weights.values()} == {value.dtype for value in plain.weights.values()}
    assert any(not torch.equal(plain.weights[name], half.weights[name]) for name in plain.weights)
    assert half.mse == pytest.approx(plain.mse, rel=0.05)
    assert half.trouble is None


def test_a_precision_that_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="float16"):
        quick(precision="float16")


def test_a_store_from_before_a_setting_was_there_goes_on(tmp_path: Path) -> None:
    """It was made with the setting's default, and with another value it is refused."""
    settings = quick()
    StoreWriter(tmp_path / "s", settings, "photos").__enter__().__exit__(None, None, None)
    file = tmp_path / "s" / "store.json"
    header = json.loads(file.read_text())
    del header["settings"]["precision"]
    file.write_text(json.dumps(header))
    with StoreWriter(tmp_path / "s", settings, "photos") as again:
        assert not again.records
    with (
        pytest.raises(InputError, match="made with precision 'float32'"),
        StoreWriter(tmp_path / "s", quick(precision="bfloat16"), "photos"),
    ):
        pass
