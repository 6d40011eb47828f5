"""Hand-computed pieces of the networks: mixing, compound head, losses, transforms, counts of layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch import nn

from morelli.baselines import corruptions
from morelli.baselines.dna_network import DnaNetwork, dna_loss, grid_patches, patches
from morelli.baselines.four_stage import FourStage
from morelli.baselines.pose_networks import (
    PoseNetwork,
    cosine_basis,
    expansion,
    expansion_loss,
    pose_loss,
    untracked,
)
from morelli.baselines.repmix_network import RepMixNetwork, compound, mix, mixed_loss
from morelli.baselines.resnet50 import centre_crops, random_crops, resnet_body
from morelli.baselines.shapes import imagenet, signed, square
from morelli.baselines.transforms import TRANSFORMS, apply_transform, kernel_blur
from morelli.baselines.yu import follow
from morelli.baselines.yu_networks import (
    Classifier,
    Critic,
    EqualConv,
    FingerprintNetwork,
    critic_loss,
    with_deviation,
)
from tests.baselines.toys import pictures, stripes


def layers(module, kind):
    return [each for each in module.modules() if isinstance(each, kind)]


def test_resnet_50_has_its_layers():
    with torch.device("meta"):
        body = resnet_body()
    assert len(layers(body, nn.Conv2d)) == 53
    assert sum(each.numel() for each in body.parameters()) == 23_508_032


def test_yu_s_classifier_is_the_discriminator_of_128():
    with torch.device("meta"):
        network = Classifier(128, 7)
    assert [tuple(each.weight.shape[:2]) for each in layers(network, EqualConv)] == [
        (16, 3), (32, 16), (32, 32), (64, 32), (64, 64), (128, 64), (128, 128), (256, 128),
        (256, 256), (512, 256), (512, 512),
    ]  # fmt: skip
    assert {tuple(each.weight.shape[2:]) for each in layers(network, EqualConv)} == {(3, 3)}
    features, logits = network(torch.empty(2, 3, 128, 128, device="meta"))
    assert (features.shape, logits.shape) == ((2, 512), (2, 7))


def test_yu_s_fingerprints_are_as_large_as_the_picture():
    network = FingerprintNetwork(16, 3)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    fingerprints, logits = network(x)
    assert fingerprints.shape == x.shape
    assert network.down(x).shape == (2, 512, 4, 4)
    by_hand = [
        [(f * (network.prints.weight[j] * network.prints.scale).view(3, 16, 16)).sum() for j in range(3)]
        for f in fingerprints
    ]
    assert torch.allclose(logits, torch.tensor(by_hand), atol=1e-4)
    assert network.prints.bias is None
    with torch.device("meta"):
        whole = FingerprintNetwork(128, 7)
    # Down, four at 4 × 4, up, and the picture.
    shapes = [tuple(each.weight.shape[:2]) for each in layers(whole, EqualConv)]
    assert shapes[10:14] == [(512, 512)] * 4
    assert shapes[14:] == [
        (256, 512), (256, 256), (128, 256), (128, 128), (64, 128), (64, 64), (32, 64), (32, 32), (16, 32), (16, 16),
        (3, 16),
    ]  # fmt: skip


def test_an_equalised_layer_keeps_the_variance():
    torch.manual_seed(0)
    layer = EqualConv(64, 64, 3, gain=1.0)
    assert float(layer(torch.randn(4, 64, 16, 16)).std()) == pytest.approx(1.0, abs=0.1)
    # The weights themselves have deviation 1: the scale, and with it the rate of learning, is the layer's.
    assert float(layer.weight.std()) == pytest.approx(1.0, abs=0.02)


def test_the_critic_s_loss_of_a_linear_critic():
    """A critic w·x with ‖w‖ = 3 everywhere: penalty (3 − 1)² · 10."""

    class Plane(nn.Module):
        def forward(self, x):
            return 3 * x[:, :1, :1, :1]

    real, made = torch.zeros(5, 3, 4, 4), torch.ones(5, 3, 4, 4)
    assert float(critic_loss(Plane(), real, made, 10.0, 1e-3)) == pytest.approx(3 - 0 + 40)
    assert float(critic_loss(Plane(), made, real, 10.0, 1e-3)) == pytest.approx(0 - 3 + 40 + 9e-3)
    assert Critic(32)(torch.rand(2, 3, 32, 32)).shape == (2, 1, 1, 1)


def test_the_statistic_of_a_batch_by_hand():
    """Groups of four, dealt as rows n, n + size, …: in each the deviation over its pictures, mean over all places."""
    x = torch.zeros(8, 2, 1, 1)
    x[:, 0, 0, 0] = torch.tensor([0.0, 5.0, 2.0, 5.0, 0.0, 5.0, 2.0, 5.0])
    out = with_deviation(x)
    assert out.shape == (8, 3, 1, 1)
    assert torch.equal(out[:, :2], x)
    # The even rows are one group, 0, 2, 0, 2: deviation 1 in one of two channels; the odd ones do not differ.
    assert out[::2, 2].flatten().tolist() == pytest.approx([0.5] * 4, abs=1e-3)
    assert out[1::2, 2].flatten().tolist() == pytest.approx([0.0] * 4, abs=1e-3)
    assert with_deviation(x[:3])[:, 2].unique().numel() == 1


def averaged(values, start=0):
    """What the average of a weight becomes that begins at 100, for "random", and then has these values."""
    average, live = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    average.weight.data.fill_(100.0)
    for number, value in enumerate(values, start=start):
        live.weight.data.fill_(float(value))
        follow(average, live, number)
    return float(average.weight)


def test_the_average_of_a_short_training_forgets_its_beginning():
    assert averaged([0.0] * 30) == pytest.approx(0.0, abs=1e-3)
    # Of a weight that moves one a step it lags behind by about a ninth of the steps; a plain mean would by a half.
    assert 300 - averaged(range(301)) == pytest.approx(300 / 10, rel=0.1)


def test_the_average_of_a_long_training_is_the_published_one():
    assert averaged([0.0], start=20_000) == pytest.approx(99.9, abs=1e-4)


def test_four_stages():
    network = FourStage()
    assert [each.out_channels for each in layers(network, nn.Conv2d)] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 512, 4, 4)


def test_mixed_maps_by_hand():
    maps = torch.tensor([[[[1.0]]], [[[5.0]]], [[[9.0]]]])
    out = mix(maps, torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.25, 0.5]))
    assert out.flatten().tolist() == [1.0, 8.0, 5.0]


def test_the_compound_head_by_hand():
    logits, detection = torch.tensor([[2.0, 4.0, -1.0]]), torch.tensor([[math.log(3.0), 0.0]])
    assert torch.allclose(compound(logits, detection, real=1), torch.tensor([[0.5, 3.0, -0.25]]))


def test_repmix_s_loss_by_hand():
    logits, share = torch.zeros(1, 4), torch.tensor([0.25])
    mine, other = torch.tensor([0]), torch.tensor([2])
    detection = torch.tensor([[math.log(3.0), 0.0]])
    parts = mixed_loss(logits, detection, mine, other, share, real=0)
    assert float(parts["attribution"]) == pytest.approx(math.log(4))
    wanted = 0.25 * -math.log(0.75) + 0.75 * (1 / 3) * -math.log(0.25)
    assert float(parts["detection"]) == pytest.approx(wanted)
    assert float(parts["loss"]) == pytest.approx(math.log(4) + wanted)
    assert "detection" not in mixed_loss(logits, None, mine, other, share, real=None)


def test_repmix_mixes_before_it_pools():
    class Body(nn.Module):
        def forward(self, x):
            return type("Out", (), {"last_hidden_state": x})

    network = RepMixNetwork(Body(), 3, 5, 4, real=None)
    x = torch.rand(2, 3, 2, 2)
    mixed, _, _ = network(x, torch.tensor([1, 0]), torch.tensor([0.5, 0.5]))
    assert torch.allclose(mixed[0], network.embed(x.mean(dim=(0, 2, 3))), atol=1e-6)


def test_the_cosine_transform_is_scipy_s():
    x = np.random.default_rng(0).normal(size=(16, 16))
    basis = cosine_basis(16).double().numpy()
    assert np.allclose(basis @ x @ basis.T, dctn(x, norm="ortho"), atol=1e-5)
    with torch.device("meta"):
        network = PoseNetwork(128, 5)
    assert network.embed.in_features == 8 * 8 * 512
    assert network.head[-1].out_features == 5


def test_pose_s_double_softmax_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0]])
    features = torch.zeros(1, 4)
    parts = pose_loss(features, logits, [features + 3.0], torch.tensor([0]), 0.3)
    assert float(parts["attribution"]) == pytest.approx(math.log(1 + math.exp(-5.0)))
    assert float(parts["triplet"]) == 0.0


def test_pose_keeps_the_open_space_apart_from_the_known_by_distances_alone():
    """Two models at 0 and 10, two pictures each; the open space of the first lies 0.1 from it."""
    known = torch.tensor([[0.0], [0.0], [10.0], [10.0]])
    opened = torch.tensor([[0.1], [0.1], [30.0], [30.0]])
    logits, targets = torch.tensor([[9.0, -9.0]] * 2 + [[-9.0, 9.0]] * 2), torch.tensor([0, 0, 1, 1])
    parts = pose_loss(known, logits, [opened], targets, 0.3)
    # Both pictures and both of their open space have an intruder at 0.1: 0.3 − 0.1 for four of eight anchors.
    assert float(parts["triplet"]) == pytest.approx(0.1, abs=1e-5)
    # An earlier pair's pictures are compared on their own: two sets in one place are not each other's negatives.
    twice = pose_loss(known, logits, [opened, opened], targets, 0.3)
    assert float(twice["triplet"]) == pytest.approx(0.2, abs=1e-5)
    # The head is not asked about them at all.
    assert float(twice["attribution"]) == float(parts["attribution"]) < 1e-3


def test_a_pair_s_step_leaves_the_network_s_weights_without_gradients():
    network, pair = PoseNetwork(16, 2), expansion()
    known = torch.rand(4, 3, 16, 16)
    plain = torch.autocast("cpu", enabled=False)
    expansion_loss(network, known, pair(known), torch.rand(4, 3, 16, 16), lambda: plain).backward()
    assert all(each.grad is None and each.requires_grad for each in network.parameters())
    assert all(float(each.grad.abs().sum()) > 0 for each in pair.parameters())


def test_the_expansion_s_terms():
    """Features are the picture's own numbers: cosines are known."""

    class Own(nn.Module):
        def forward(self, x):
            return x.flatten(1), None

    known = torch.tensor([[[[1.0, 0.0]]]])
    opened, older = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[0.0, -1.0]]]])
    plain = torch.autocast("cpu", enabled=False)
    assert float(expansion_loss(Own(), known, opened, None, lambda: plain)) == pytest.approx(2.5)
    assert float(expansion_loss(Own(), known, opened, older, lambda: plain)) == pytest.approx(2.5 + 0.01 - 1e-4)
    same = float(expansion_loss(Own(), known, known, older, lambda: plain))
    assert same == pytest.approx(0.01 * 0.05)
    assert len(layers(expansion(), nn.Conv2d)) == len(list(expansion().children())) == 2


def test_dna_det_s_loss_by_hand():
    """Two patches of each of two models, projections of a model equal and orthogonal to the other's."""
    projected = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    parts = dna_loss(torch.zeros(4, 2), projected, torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 2.0]))
    contrast = math.log(1 + 2 * math.exp(-1 / 0.07))
    assert float(parts["contrast"]) == pytest.approx(contrast, abs=1e-5)
    wanted = 0.5 * math.log(2) + 0.125 * contrast + math.log(2) + math.log(5)
    assert float(parts["loss"]) == pytest.approx(wanted, abs=1e-5)


def test_dna_det_s_patches_lie_in_the_enlarged_picture():
    picture = torch.arange(128, dtype=torch.uint8)[None, None, None].expand(1, 3, 128, 128)
    shown, count = grid_patches(picture, 512)
    assert (count, tuple(shown.shape)) == (16, (16, 3, 64, 64))
    # Four times as large: 64 pixels of it are 16 of the picture.
    assert float(shown[0, 0, 0, -2] - shown[0, 0, 0, 2]) * 127.5 == pytest.approx(15, abs=0.1)
    assert torch.allclose(shown[0], shown[4], atol=1e-5)
    # Not enlarged: pixels of the picture, to its last one.
    as_it_is, _ = grid_patches(picture, 128)
    assert torch.allclose((as_it_is[3, 0, 0] + 1) * 127.5, torch.arange(64.0, 128), atol=1e-3)
    some = patches(picture, 3, np.random.default_rng(0), 512)
    assert some.shape == (3, 3, 64, 64)
    assert not torch.equal(some[0], some[1])
    features, logits, projected = DnaNetwork(5).eval()(some)
    assert (features.shape[1], logits.shape[1], projected.shape[1]) == (512, 5, 128)


def test_there_are_170_transforms_and_each_changes_the_picture():
    kinds = [kind for kind, _, _ in TRANSFORMS]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    assert counts == {"jpeg": 24, "jpeg twice": 24, "blur": 14, "median": 14, "resize": 80, "noise": 14}
    assert len(set(TRANSFORMS)) == 170
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    for number in range(0, 170, 7):
        out = apply_transform(picture, number, np.random.default_rng(1))
        assert out.shape == picture.shape
        assert not np.array_equal(out, picture)


def test_a_kernel_s_sigma_is_opencv_s():
    impulse = np.zeros((9, 9, 3), np.uint8)
    impulse[4, 4] = 255
    weights = np.exp(-(np.arange(-1, 2) ** 2) / (2 * 0.8**2))
    weights /= weights.sum()
    assert np.abs(kernel_blur(impulse, 3)[3:6, 3:6, 0] - 255 * np.outer(weights, weights)).max() <= 1


@pytest.mark.parametrize("name", list(corruptions.CORRUPTIONS))
def test_corruptions_grow_with_their_severity(name):
    picture = pictures(1, 64, stripes(64), 15, seed=3)[0][0]
    if name == "saturate":
        picture = picture // 2 + np.array([60, 20, 0], np.uint8)
    if name == "pixelate":  # stripes may happen to fall on the grid of the larger squares
        picture = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    far = [
        np.abs(corruptions.corrupt(picture, name, severity, np.random.default_rng(0)).astype(float) - picture).mean()
        for severity in (1, 5)
    ]
    assert far[1] > far[0] > 0
    one, two = (corruptions.corrupt(picture, name, 3, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.dtype == np.uint8


def test_a_share_of_a_batch_is_corrupted():
    x = torch.from_numpy(np.stack(pictures(10, 32, stripes(32), 15, seed=0)[0])).permute(0, 3, 1, 2)
    assert torch.equal(corruptions.corrupt_batch(x, 0.0, np.random.default_rng(0)), x)
    out = corruptions.corrupt_batch(x, 0.5, np.random.default_rng(0))
    changed = int((out != x).flatten(1).any(1).sum())
    assert 8 <= changed <= 22


def test_shapes_of_pictures():
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, 10:30] = 255
    assert square(wide, 20).min() == 255
    assert square(wide, 10).shape == (10, 10, 3)
    x = torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2).expand(1, 3, 1, 2)
    assert signed(x)[0, 0, 0].tolist() == [-1.0, 1.0]
    assert float(imagenet(x)[0, 0, 0, 1]) == pytest.approx((1 - 0.485) / 0.229)
    ramp = torch.arange(64).view(1, 1, 8, 8).expand(6, 1, 8, 8)
    crops = random_crops(ramp, 4, np.random.default_rng(0))
    assert crops.shape == (6, 1, 4, 4)
    assert len({tuple(each.flatten().tolist()) for each in crops}) > 2
    assert centre_crops(ramp, 4)[0, 0, 0].tolist() == [18, 19, 20, 21]


def test_untracked_layers_normalise_as_ever_and_keep_nothing():
    network = FourStage().train()
    x = torch.randn(4, 3, 32, 32)
    (layer, *_) = layers(network, nn.BatchNorm2d)
    kept = layer.running_mean.clone()
    with untracked(network):
        inside = network(x)
    assert torch.equal(layer.running_mean, kept)
    assert torch.allclose(network(x), inside, atol=1e-5)
    assert not torch.equal(layer.running_mean, kept)
