"""The network against its upstream implementation, weights and all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from morelli.encoders.efficientnet import EfficientNetLite, _Conv, _Depthwise
from morelli.encoders.embedded import _WEIGHTS
from morelli.encoders.weights import find_packaged, load_checked


def state(variant: str) -> dict[str, Tensor]:
    source = _WEIGHTS[variant]
    return load_checked(find_packaged(source.package, source.file), source.sha256)


def ours(variant: str) -> EfficientNetLite:
    network = EfficientNetLite(variant)
    network.load_state_dict(state(variant))
    return network.eval()


def upstream(variant: str, size: Any) -> nn.Module:
    """Its padding is laid out for one input size, given here."""
    network = EfficientNet.from_name(f"efficientnet-{variant}", image_size=size)
    network.load_state_dict(state(variant))
    return network.eval()


def pictures(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def apart(a: Tensor, b: Tensor) -> float:
    """Largest difference over the largest absolute value."""
    assert a.shape == b.shape
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize(
    ("variant", "size"),
    [("lite0", (224, 224)), ("lite0", (131, 131)), ("lite0", (96, 64)), ("lite2", (260, 260)), ("lite2", (75, 75))],
)
def test_logits_and_blocks_are_upstream_s(variant: str, size: tuple[int, int]) -> None:
    theirs, network, x = upstream(variant, size), ours(variant), pictures(*size)
    seen: list[Tensor] = []
    for block in theirs._blocks:
        block.register_forward_hook(lambda _module, _args, output: seen.append(output))
    with torch.inference_mode():
        expected = theirs(x)
        found = network.blocks(x, range(len(network.widths) + 1))
        assert apart(network(x), expected) < 1e-5
        head = theirs.extract_features(x)
    assert list(found) == list(range(len(network.widths) + 1))
    for i, width in enumerate(network.widths):
        assert found[i].shape[1] == width
        assert apart(found[i], seen[i]) < 1e-5
    assert apart(found[len(network.widths)], head) < 1e-5


def test_upstream_s_layout_matters() -> None:
    """The comparison can fail: laid out for another size, upstream pads otherwise."""
    with torch.inference_mode():
        x = pictures(131, 131)
        assert apart(ours("lite0")(x), upstream("lite0", (224, 224))(x)) > 1e-3


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_fused_gives_the_same(variant: str) -> None:
    plain, fused, x = ours(variant), ours(variant), pictures(128, 96)
    assert fused.fused() is fused
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    with torch.inference_mode():
        wanted = range(len(plain.widths) + 1)
        for before, after in zip(plain.blocks(x, wanted).values(), fused.blocks(x, wanted).values(), strict=True):
            assert apart(after, before) < 1e-4
        assert apart(fused(x), plain(x)) < 1e-4


def test_only_what_is_wanted_is_computed() -> None:
    network, x = ours("lite0"), pictures(64, 64)
    ran: list[int] = []

    def note(i: int) -> Callable[..., None]:
        return lambda *_: ran.append(i)

    for i, block in enumerate(network._blocks):
        block.register_forward_hook(note(i))
    network._conv_head.register_forward_hook(note(99))
    with torch.inference_mode():
        found = network.blocks(x, [5, 1])
        assert sorted(found) == [1, 5]
        assert ran == [0, 1, 2, 3, 4, 5]
        ran.clear()
        assert list(network.blocks(x, [len(network.widths)])) == [len(network.widths)]
    assert ran == [*range(16), 99]


@pytest.mark.parametrize(("variant", "blocks", "last"), [("lite0", 16, 320), ("lite1", 21, 320), ("lite2", 21, 352)])
def test_widths(variant: str, blocks: int, last: int) -> None:
    with torch.device("meta"):
        network = EfficientNetLite(variant)
    # lite1: stages of 1, 2, 2, 3, 3, 4, 1 blocks, times 1.1 and rounded up but for the first and the last.
    assert len(network.widths) == blocks
    assert network.widths[-1] == last
    theirs = EfficientNet.from_name(f"efficientnet-{variant}")
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes


def test_a_normalisation_without_statistics_cannot_be_absorbed() -> None:
    network = EfficientNetLite("lite0")
    network._bn0 = nn.BatchNorm2d(32, track_running_stats=False)
    with pytest.raises(ValueError, match="running statistics"):
        network.fused()


def test_the_quicker_backward_pass_gives_torch_s_own_gradient(monkeypatch) -> None:
    """In bfloat16 strided depthwise convolutions have a backward pass of their own; weights that learn do without."""
    network = ours("lite0").fused().requires_grad_(False)
    x = pictures(64, 64)

    def gradient() -> Tensor:
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            (out,) = network.blocks(leaf, [8]).values()
        return torch.autograd.grad(out.float().square().sum(), leaf)[0]

    taken: list[int] = []
    own = _Depthwise.backward
    monkeypatch.setattr(_Depthwise, "backward", lambda ctx, *grads: taken.append(1) or own(ctx, *grads))
    mine = gradient()
    assert len(taken) == 3  # blocks of stride two before the ninth
    monkeypatch.setattr(_Conv, "_needs_only_the_input_s_gradient", lambda self, x: False)
    theirs = gradient()
    assert len(taken) == 3
    assert apart(mine, theirs) < 0.01
    monkeypatch.undo()
    learning = network.requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        learning.blocks(x.clone().requires_grad_(), [8])[8].float().square().sum().backward()
    assert all(block._depthwise_conv.weight.grad is not None for block in learning._blocks[:9])
