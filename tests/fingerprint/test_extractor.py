"""Extractors: their sizes, what they give, and their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from morelli.errors import InputError, UnknownNameError, WeightsError
from morelli.fingerprint.chain import DEFAULT, SignalChain
from morelli.fingerprint.extractor import EXTRACTORS, load_extractor, make_extractor, save_extractor
from morelli.fingerprint.tensors import read_tensors, write_tensors


def seen() -> torch.nn.Module:
    """A small extractor whose normalisations have seen spectra."""
    torch.manual_seed(1)
    net = make_extractor("small").train()
    net(torch.rand(4, 3, 128, 128) * 5)
    return net.eval()


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_features_have_the_stated_length_and_are_not_normalised(name: str) -> None:
    if name == "resnet50":
        pytest.importorskip("transformers")
    net = make_extractor(name).eval()
    with torch.no_grad():
        found = net(torch.rand(2, 3, 128, 128) * 3)
    assert found.shape == (2, EXTRACTORS[name])
    assert found.dtype == torch.float32
    assert not torch.allclose(found.norm(dim=1), torch.ones(2), atol=0.01)


def test_sizes() -> None:
    small = sum(p.numel() for p in make_extractor("small").parameters())
    assert small <= 2_000_000
    pytest.importorskip("transformers")
    resnet = make_extractor("resnet50")
    assert sum(p.numel() for p in resnet.parameters()) == 23_508_032  # ResNet-50 without its classifier
    stem = next(layer for layer in resnet.modules() if isinstance(layer, torch.nn.Conv2d))
    assert stem.kernel_size == (7, 7)


def test_every_parameter_learns() -> None:
    net = make_extractor("small", channels=2)
    net(torch.rand(3, 2, 128, 128)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in net.parameters())


def test_a_constant_spectrum_has_a_finite_gradient() -> None:
    net = make_extractor("small").eval()
    x = torch.zeros(2, 3, 128, 128, requires_grad=True)
    net(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="resnet50"):
        make_extractor("resnet5")
    with pytest.raises(InputError, match="1 or more"):
        make_extractor("small", channels=0)
    with pytest.raises(InputError, match="resnet50 alone"):
        make_extractor("small", pretrained=tmp_path)
    pytest.importorskip("transformers")
    with pytest.raises(WeightsError, match="ResNet"):
        make_extractor("resnet50", pretrained=tmp_path)


def test_a_file_gives_the_extractor_and_its_chain_back(tmp_path: Path) -> None:
    net, path = seen(), tmp_path / "e.safetensors"
    chain = SignalChain("median", log=True, shift=True)
    sha256 = save_extractor(net, path, name="small", chain=chain, training={"models": 7})
    assert path.stat().st_size <= 4e6
    found = load_extractor(path, sha256, chain)
    assert (found.name, found.chain, found.size, found.training) == ("small", chain, 512, {"models": 7})
    x = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        wanted = net(x)
        assert torch.allclose(found.network(x), wanted, atol=0.01 * float(wanted.std()))
    save_extractor(net, path, name="small", chain=chain, training={}, half=False)
    with torch.no_grad():
        assert torch.equal(load_extractor(path).network(x), wanted)


def test_another_chain_than_the_files_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_extractor(seen(), path, name="small", chain=DEFAULT, training={})
    with pytest.raises(WeightsError, match="another signal chain: log is False"):
        load_extractor(path, chain=SignalChain("median", side=DEFAULT.side))
    tensors, about, _ = read_tensors(path)
    write_tensors(path, tensors, about | {"chain": DEFAULT.describe() | {"residual_revision": "old"}})
    with pytest.raises(WeightsError, match="residual_revision"):
        load_extractor(path)


def test_broken_files_are_named_errors(tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    save_extractor(seen(), path, name="small", chain=DEFAULT, training={})
    with pytest.raises(WeightsError, match="SHA-256"):
        load_extractor(path, "1" * 64)
    tensors, about, _ = read_tensors(path)
    for wrong in ({"name": "large"}, {"chain": 3}, {"chain": {"colour": True}}):
        write_tensors(path, tensors, about | wrong)
        with pytest.raises(WeightsError, match="no extractor"):
            load_extractor(path)
    tensors.pop("stem.weight")
    write_tensors(path, tensors, about)
    with pytest.raises(WeightsError, match="no small extractor"):
        load_extractor(path)
