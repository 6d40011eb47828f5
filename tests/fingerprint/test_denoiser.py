"""The denoiser's network, its file, and what the shipped weights find."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.errors import InputError, StorageError, WeightsError
from morelli.fingerprint import residual
from morelli.fingerprint.denoiser import PUBLISHED_FORM, WEIGHTS, Denoiser, Form, load_denoiser, save_denoiser
from morelli.fingerprint.residual import _DENOISERS, OWN_DENOISER, SMALL_FORM, load_residual
from morelli.fingerprint.tensors import read_tensors, write_tensors
from morelli.images.load import load_image
from tests.fingerprint.denoisers import write_published

SMALL = Form(4, 6)


def trained(form: Form = SMALL) -> Denoiser:
    """Random weights, and normalisation that has seen something."""
    torch.manual_seed(3)
    net = Denoiser(form)
    net.centre_first()
    net.train()
    for _ in range(3):
        net(torch.rand(2, 3, 24, 24) * 3)
    return net.eval()


def test_the_published_form() -> None:
    net = Denoiser(PUBLISHED_FORM)
    assert len(net.convolutions) == 17
    assert sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in net.layers) == 15
    assert {tuple(layer.weight.shape) for layer in net.convolutions[1:-1]} == {(64, 64, 3, 3)}
    assert net(torch.rand(1, 3, 40, 37)).shape == (1, 3, 6, 3)
    with pytest.raises(InputError, match="depth"):
        Form(2, 8)


def test_folding_changes_a_constant_at_most() -> None:
    net = trained()
    x = torch.rand(2, 3, 30, 25)
    with torch.no_grad():
        apart = net.folded()(x) - net(x)
    assert apart.std(dim=(0, 2, 3)).max() < 1e-5
    assert net.folded()(torch.full((1, 3, 20, 20), 0.37)).abs().max() < 1e-5


def test_brightness_does_not_reach_the_output() -> None:
    folded = trained().folded()
    x = torch.rand(1, 3, 30, 30) * 0.5
    with torch.no_grad():
        apart = folded(x) - folded(x + torch.tensor([0.4, 0.1, 0.3])[None, :, None, None])
    assert apart.abs().max() < 1e-5


def test_a_file_gives_the_network_back(tmp_path: Path) -> None:
    folded = trained().folded()
    path = tmp_path / "d.safetensors"
    sha256 = save_denoiser(folded, path)
    again, revision = load_denoiser(path, sha256)
    assert stat.S_IMODE(path.stat().st_mode) & 0o044  # an installed file is read by other users too
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        wanted, found = folded(x), again(x)
    assert (wanted - found).square().mean().sqrt() < 0.01 * wanted.std()
    assert again.form == SMALL
    assert load_denoiser(path)[1] == revision
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.safetensors"]


def test_a_file_that_is_not_the_one_named_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    save_denoiser(trained().folded(), path)
    with pytest.raises(WeightsError, match="SHA-256"):
        load_denoiser(path, "0" * 64)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_denoiser(tmp_path / "absent")
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="safetensors"):
        load_denoiser(path)
    write_tensors(path, {"a": torch.zeros(2)}, {"kind": "other"})
    with pytest.raises(WeightsError, match="no denoiser"):
        load_denoiser(path)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="not written by Morelli"):
        read_tensors(path)


def test_a_disk_that_refuses_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_tensors(tmp_path / "file" / "w", {}, {})


def test_the_shipped_file_is_small_and_has_a_card() -> None:
    form, sha256 = _DENOISERS["denoiser"]
    path = WEIGHTS / "denoiser.safetensors"
    assert path.stat().st_size < 1.2e6
    assert sha256 is not None and sha256 in (WEIGHTS / "denoiser.md").read_text(encoding="utf-8")
    assert load_denoiser(path, sha256)[0].form == form


def test_a_denoiser_of_the_published_form_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OWN_DENOISER)
    monkeypatch.setattr(residual, "WEIGHTS", tmp_path / "package")
    with pytest.raises(WeightsError, match=rf"{OWN_DENOISER}=FILE.*python -m training.denoiser.*17x64 --out FILE"):
        load_residual("denoiser-17x64")
    mine, other = (write_published(tmp_path / f"{seed}.safetensors", seed) for seed in (1, 2))
    monkeypatch.setenv(OWN_DENOISER, str(mine))
    found = load_residual("denoiser-17x64")
    assert (found.margin, found.revision) == (17, load_denoiser(mine)[1])
    assert found(torch.rand(1, 3, 64, 64)).shape == (1, 3, 30, 30)
    monkeypatch.setenv(OWN_DENOISER, str(other))
    assert load_residual("denoiser-17x64").revision == load_denoiser(other)[1] != found.revision
    monkeypatch.setenv(OWN_DENOISER, str(tmp_path / "absent"))
    with pytest.raises(WeightsError, match=f"no file {tmp_path / 'absent'}"):
        load_residual("denoiser-17x64")
    save_denoiser(trained().folded(), mine)
    monkeypatch.setenv(OWN_DENOISER, str(mine))
    with pytest.raises(WeightsError, match="another form than 17x64"):
        residual._denoiser("denoiser-17x64")


def test_a_denoiser_beside_the_package_s_own_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OWN_DENOISER)
    monkeypatch.setattr(residual, "WEIGHTS", tmp_path)
    path = write_published(tmp_path / "denoiser-17x64.safetensors", 3)
    assert load_residual("denoiser-17x64").revision == load_denoiser(path)[1]


def test_the_shipped_denoiser_is_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_residual("denoiser").revision
    save_denoiser(Denoiser(SMALL_FORM).folded(), tmp_path / "d.safetensors")
    monkeypatch.setenv(OWN_DENOISER, str(tmp_path / "d.safetensors"))
    assert load_residual("denoiser").revision == before
    # Also where it lies in the package's place: its hash is known.
    monkeypatch.setattr(residual, "WEIGHTS", tmp_path)
    (tmp_path / "d.safetensors").rename(tmp_path / "denoiser.safetensors")
    with pytest.raises(WeightsError, match="SHA-256"):
        residual._denoiser("denoiser")


def test_it_runs_where_the_images_are_and_is_copied_there_once() -> None:
    network = trained().folded().requires_grad_(False)
    runs = residual._OnDevices(network)
    x = torch.rand(2, 3, 24, 24)
    assert torch.equal(runs(x), network(x)) and list(runs._copies) == [x.device]
    with torch.inference_mode():
        assert runs(x.to("meta")).device.type == "meta"
    copy = runs._copies[torch.device("meta")]
    assert not any(each.is_inference() for each in copy.parameters())
    runs(x.to("meta"))
    assert runs._copies[torch.device("meta")] is copy and len(runs._copies) == 2
    assert next(network.parameters()).device.type == "cpu"


def test_a_gpu_convolves_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with residual._float32(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    with residual._float32(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32


@pytest.mark.realdata
def test_the_shipped_weights_find_noise_in_photographs(data_dir: Path) -> None:
    photographs = sorted((data_dir / "photos").rglob("*.png"))[11::60]  # held out of the training
    rng = np.random.default_rng(0)
    missed = energy = 0.0
    for path in photographs:
        clean = torch.from_numpy(load_image(path).pixels[:128, :128].copy()).permute(2, 0, 1)[None].float() / 255
        noise = torch.from_numpy(rng.normal(0, 1, clean.shape).astype(np.float32))
        chosen = load_residual("denoiser")
        m = chosen.margin
        inner = noise[..., m:-m, m:-m]
        missed += float((chosen(clean + noise / 256) - inner).square().mean())
        energy += float(inner.square().mean())
    assert len(photographs) >= 3
    assert missed < 0.9 * energy
