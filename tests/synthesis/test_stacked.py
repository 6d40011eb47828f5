"""Every scheme gives the numbers of the single model: outputs, running statistics, and a step of training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from morelli.errors import InputError, UnknownNameError, WeightsError
from morelli.synthesis.architectures import ModelKey, from_id
from morelli.synthesis.network import SyntheticModel
from morelli.synthesis.stacked import SCHEMES, Stack, build, choose_scheme, fresh_weights, weights_of

NAMES = ["000000", "010111", "011212", "100221", "111032", "101131"]
CPU = torch.device("cpu")


def keys(name: str, count: int = 3) -> list[ModelKey]:
    return [ModelKey(name, seed) for seed in range(count)]


def singles(name: str, weights: dict[str, Tensor], width: int) -> list[SyntheticModel]:
    count = len(next(iter(weights.values())))
    return [build(from_id(name), {n: v[row] for n, v in weights.items()}, width) for row in range(count)]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_is_that_of_single_models(name: str, scheme: str) -> None:
    weights = fresh_weights(keys(name), 4)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, 2, 3, 16, 16, generator=generator) * 2 - 1
    stack = Stack(from_id(name), weights, scheme, 4, trainable=True).train()
    optimiser = torch.optim.SGD(stack.parameters.values(), lr=0.05)
    (stack(images) - images).square().flatten(1).mean(1).sum().backward()
    optimiser.step()
    after = stack.weights()
    for row, model in enumerate(singles(name, weights, 4)):
        model.train()
        own = torch.optim.SGD(model.parameters(), lr=0.05)
        (model(images[row]) - images[row]).square().mean().backward()
        own.step()
        for what, value in weights_of(model).items():
            torch.testing.assert_close(after[what][row], value, rtol=1e-4, atol=1e-5, msg=f"{what} of {row}")
    with torch.no_grad():
        out = stack.train(False)(images)
        for row in range(3):
            alone = build(from_id(name), {n: v[row] for n, v in after.items()}, 4)
            torch.testing.assert_close(out[row], alone(images[row]), rtol=1e-4, atol=1e-5)


def test_a_step_moves_every_weight_that_it_should() -> None:
    # So that the comparison above is not between two things that stood still.
    weights = fresh_weights(keys("010111"), 4)
    stack = Stack(from_id("010111"), weights, "grouped", 4, trainable=True).train()
    images = torch.rand(3, 2, 3, 16, 16)
    (stack(images) - images).square().mean().backward()
    assert all(value.grad is not None and bool(value.grad.any()) for value in stack.parameters.values())
    moved = {name: not torch.equal(value, weights[name]) for name, value in stack.statistics.items()}
    assert moved and all(moved.values())


def test_the_stack_leaves_the_weights_that_it_was_given_alone() -> None:
    weights = fresh_weights(keys("100221"), 4)
    before = {name: value.clone() for name, value in weights.items()}
    for scheme in SCHEMES:
        Stack(from_id("100221"), weights, scheme, 4).train()(torch.rand(3, 2, 3, 16, 16))
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_first_weights_follow_from_the_key_alone() -> None:
    torch.manual_seed(5)
    alone = fresh_weights([ModelKey("010111", 2)], 4)
    state = torch.get_rng_state()
    together = fresh_weights(keys("010111"), 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(alone[name][0], together[name][2]) for name in alone)
    assert not torch.equal(together["0.1.weight"][0], together["0.1.weight"][1])
    other = fresh_weights([ModelKey("010112", 2)], 4)
    assert not torch.equal(alone["0.1.weight"], other["0.1.weight"])


def test_the_default_scheme_depends_on_the_device() -> None:
    assert choose_scheme("auto", CPU) == "loop"
    assert choose_scheme("auto", torch.device("cuda")) == "grouped"
    assert choose_scheme("vmap", CPU) == "vmap"
    with pytest.raises(UnknownNameError, match="grouped"):
        choose_scheme("groupd", CPU)


def test_images_for_another_number_of_models_are_refused() -> None:
    with pytest.raises(InputError, match="3, n, 3"):
        Stack(from_id("000000"), fresh_weights(keys("000000"), 4), "loop", 4)(torch.zeros(2, 1, 3, 16, 16))


def test_weights_of_another_architecture_are_refused() -> None:
    weights = {name: value[0] for name, value in fresh_weights(keys("000000"), 4).items()}
    with pytest.raises(WeightsError, match="000200"):
        build(from_id("000200"), weights, 4)
    with pytest.raises(WeightsError):
        build(from_id("000000"), weights, 8)
