"""A synthetic model against the table: the same layers by hand, and what follows from them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from morelli.errors import ArrayError
from morelli.synthesis.architectures import ARCHITECTURES, Architecture, from_id
from morelli.synthesis.network import SyntheticModel


def by_hand(model: SyntheticModel, x: Tensor) -> Tensor:
    """The table of the authors' code, step by step, with the model's own weights; BatchNorm as in ``eval``."""
    state = [value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")]
    blocks, layers, order, up, act, norm = (int(digit) for digit in model.architecture.id)
    width = model.width

    def conv(x: Tensor, after: int) -> Tensor:
        weight, bias = state.pop(0), state.pop(0)
        assert weight.shape == (after, x.shape[1], 3, 3)
        return F.conv2d(x, weight, bias, padding=1)

    def batch_norm(x: Tensor) -> Tensor:
        weight, bias, mean, variance = (state.pop(0).view(1, -1, 1, 1) for _ in range(4))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def normalise(x: Tensor) -> Tensor:
        if norm == 1:
            return batch_norm(x)
        if norm == 2:
            return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x

    def activate(x: Tensor) -> Tensor:
        return [x, x.clamp(min=0), 1 / (1 + (-x).exp()), x.tanh()][act]

    def enlarge(x: Tensor) -> Tensor:
        if up == 0:
            return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        if up == 1:
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        weight, bias = state.pop(0), state.pop(0)
        spread = torch.einsum("ncyx,cdij->ndyixj", x, weight)
        return spread.reshape(len(x), x.shape[1], 2 * x.shape[2], 2 * x.shape[3]) + bias.view(1, -1, 1, 1)

    def unit(x: Tensor, after: int, enlarged: bool) -> Tensor:
        if order == 1:
            x = activate(normalise(x))
        x = conv(enlarge(x) if enlarged else x, after)
        return x if order == 1 else activate(normalise(x))

    def down(x: Tensor, after: int) -> Tensor:
        x = batch_norm(conv(F.avg_pool2d(x, 2), after)).clamp(min=0)
        return batch_norm(conv(x, after))

    def up_block(x: Tensor, after: int) -> Tensor:
        if layers == 1:
            x = unit(x, x.shape[1], True)
            return unit(x, after, False)
        return unit(x, after, True)

    x = down(x, width)
    if blocks == 1:
        x = up_block(down(x, 2 * width), width)
    x = up_block(x, 3)
    assert not state
    return x


@pytest.mark.parametrize("each", ARCHITECTURES[::5], ids=str)
def test_the_layers_are_those_of_the_table(each: Architecture) -> None:
    torch.manual_seed(0)
    model = SyntheticModel(each, width=4)
    x = torch.rand(2, 3, 8, 12) * 2 - 1
    model(x)  # in training: moves the running statistics away from 0 and 1
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(x), by_hand(model, x), rtol=1e-4, atol=1e-5)


def test_the_reference_notices_another_order() -> None:
    model = SyntheticModel(from_id("000011"), width=4).eval()
    x = torch.rand(1, 3, 8, 8) * 2 - 1
    right = by_hand(model, x)
    model.architecture = from_id("001011")
    with pytest.raises((AssertionError, IndexError, RuntimeError, ValueError)):
        torch.testing.assert_close(by_hand(model, x), right)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Down(3→32): 896 + 64 + 9,248 + 64; Up(32→3): 867.
        ("000000", 10_272 + 867),
        # … and a transposed convolution 32→32 of 2×2: 4,128.
        ("000200", 10_272 + 867 + 4_128),
        # Two convolutions, each with its BatchNorm after it: 9,248 + 64 and 867 + 6.
        ("010001", 10_272 + 9_312 + 873),
        # Before them the first norm has 32 channels, and so has the second.
        ("011001", 10_272 + 64 + 9_248 + 64 + 867),
        # Down(32→64): 18,496 + 128 + 36,928 + 128; Up(64→32): 18,464.
        ("100000", 10_272 + 55_680 + 18_464 + 867),
    ],
)
def test_parameters_of_width_32(name: str, parameters: int) -> None:
    assert sum(value.numel() for value in SyntheticModel(from_id(name)).parameters()) == parameters


@pytest.mark.parametrize(("name", "low", "high"), [("000010", 0, torch.inf), ("000020", 0, 1), ("000030", -1, 1)])
def test_in_post_order_the_activation_bounds_the_output(name: str, low: float, high: float) -> None:
    out = SyntheticModel(from_id(name), 8).eval()(torch.rand(2, 3, 16, 16) * 2 - 1)
    assert out.min() >= low and out.max() <= high


@pytest.mark.parametrize("name", ["000000", "100000"])
def test_any_size_of_the_right_multiple_comes_back(name: str) -> None:
    x = torch.zeros(1, 3, 20, 36)
    assert SyntheticModel(from_id(name), 4).eval()(x).shape == x.shape


@pytest.mark.parametrize("shape", [(1, 3, 18, 20), (1, 1, 16, 16), (3, 16, 16), (1, 3, 4, 16), (1, 3, 0, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArrayError, match="multiples of 4"):
        SyntheticModel(from_id("100000"), 4)(torch.zeros(shape))
