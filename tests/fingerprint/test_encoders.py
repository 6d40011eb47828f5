"""The fingerprints as encoders: the contract, names, flat images, untrained weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.encoders.catalogue import encoder_names, load_encoder
from morelli.encoders.embed import embed
from morelli.errors import FlatImageError, ImageTooSmallError, InputError, UnknownNameError, WeightsError
from morelli.fingerprint import encoders
from morelli.fingerprint.chain import LEARNING, SignalChain
from morelli.fingerprint.encoders import Fingerprint, ResidualSpectrum
from morelli.fingerprint.extractor import LAYERS, load_extractor, make_extractor, save_extractor
from morelli.fingerprint.windows import grid_windows, nine_windows
from morelli.images.load import from_array
from morelli.testing.encoders import check_encoder

NAMES = ("residual-spectrum", "fingerprint", "fingerprint-as-published")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = make_extractor("small").train()
    net(torch.rand(4, 3, 128, 128))
    path = tmp_path / "with@sign.safetensors"
    save_extractor(net.eval(), path, name="small", chain=SignalChain("median", log=True), training={})
    return path


def picture(seed: int, height: int = 200, width: int = 180) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_they_are_registered() -> None:
    assert set(NAMES) <= set(encoder_names())


def test_residual_spectrum_keeps_the_contract() -> None:
    encoder = load_encoder("residual-spectrum")
    check_encoder(encoder)
    assert encoder.stamp.encoder == "residual-spectrum"


def test_a_fingerprint_keeps_the_contract_and_its_name_loads_it_again(weights: Path) -> None:
    encoder = load_encoder(f"fingerprint@{weights}")
    check_encoder(encoder)
    assert load_encoder(encoder.stamp.encoder).stamp == encoder.stamp


def test_a_fingerprint_is_the_plain_mean_over_nine_windows(weights: Path) -> None:
    extractor = load_extractor(weights)
    encoder = Fingerprint(extractor, "x", windows="nine")
    pixels = picture(0, 300, 400)
    windows = torch.from_numpy(nine_windows(pixels)).permute(0, 3, 1, 2).float() / 255
    assert len(windows) == 9
    with torch.no_grad():
        alone = torch.cat([extractor.network(extractor.chain(window[None])) for window in windows])
    found = encoder.encode([encoder.prepare(pixels)])["fingerprint/mean"][0]
    assert np.allclose(found, alone.mean(0).numpy(), atol=1e-4)


def test_by_default_it_sees_the_whole_picture(weights: Path) -> None:
    extractor = load_extractor(weights)
    pixels = picture(0, 300, 400)
    windows = torch.from_numpy(grid_windows(pixels)).permute(0, 3, 1, 2).float() / 255
    assert len(windows) == 12
    encoder = Fingerprint(extractor, "x")
    found = encoder.encode([encoder.prepare(pixels), encoder.prepare(picture(1))])
    with torch.no_grad():
        layers = extractor.layers(extractor.chain(windows))
    assert {name: values.shape for name, values in found.items()} == {
        "fingerprint/mean": (2, 512),
        "fingerprint/stage3": (2, 1024),
        "fingerprint/stage4": (2, 2048),
    }
    assert encoder.stamp.dims == {name: values.shape[1] for name, values in found.items()}
    for name, values in layers.items():
        np.testing.assert_allclose(found[f"fingerprint/{name}"][0], values.mean(0).numpy(), rtol=1e-3, atol=1e-4)


def test_a_short_spectrum_is_a_layer_of_its_own(tmp_path: Path) -> None:
    path, chain = tmp_path / "tiles.safetensors", LEARNING
    net = make_extractor("small", chain.shape[0], size=chain.shape[1:]).eval()
    save_extractor(net, path, name="small", chain=chain, training={}, channels=chain.shape[0])
    dims = load_encoder(f"fingerprint@{path}").stamp.dims
    assert dims == {"fingerprint/input": 6 * 32 * 17, **{f"fingerprint/{k}": v for k, v in LAYERS["small"].items()}}


def test_windows_and_layers_are_part_of_the_stamp(weights: Path) -> None:
    extractor = load_extractor(weights)
    kinds = [Fingerprint(extractor, "x", windows=each) for each in ("grid", "nine", "centre")]
    assert len({kind.stamp.preprocessing for kind in kinds}) == 3
    assert [len(kind.prepare(picture(0, 300, 400))) for kind in kinds] == [12, 9, 1]
    np.testing.assert_array_equal(kinds[2].prepare(picture(0, 300, 400))[0], kinds[1].prepare(picture(0, 300, 400))[4])
    alone = Fingerprint(extractor, "x", layers=("mean",))
    assert alone.stamp.dims == {"fingerprint/mean": 512}
    assert set(alone.encode([alone.prepare(picture(2))])) == {"fingerprint/mean"}
    spectrum = Fingerprint(extractor, "x", layers=("input",))
    assert spectrum.stamp.dims == {"fingerprint/input": 3 * 128 * 128}
    found = spectrum.encode([spectrum.prepare(picture(0, 300, 400))])["fingerprint/input"][0]
    windows = torch.from_numpy(grid_windows(picture(0, 300, 400))).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(found, extractor.chain(windows).mean(0).flatten().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(UnknownNameError, match="stage9"):
        Fingerprint(extractor, "x", layers=("stage9",))


def test_the_stamp_knows_weights_chain_and_tile(weights: Path, tmp_path: Path) -> None:
    first = load_encoder(f"fingerprint@{weights}").stamp
    other = tmp_path / "other.safetensors"
    save_extractor(load_extractor(weights).network, other, name="small", chain=SignalChain("median"), training={})
    second = load_encoder(f"fingerprint@{other}").stamp
    assert first.revision != second.revision
    assert first.preprocessing != second.preprocessing
    plain, tiles, wavelet = ResidualSpectrum().stamp, ResidualSpectrum(tile=16).stamp, ResidualSpectrum("wavelet").stamp
    assert len({plain.preprocessing, tiles.preprocessing, wavelet.preprocessing}) == 3
    assert plain.revision != wavelet.revision


def test_without_weights_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "SHIPPED", {})
    for name in ("fingerprint", "fingerprint-as-published"):
        with pytest.raises(WeightsError, match=rf"carries no weights for it.*{name}@FILE"):
            load_encoder(name)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_encoder("fingerprint@nowhere.safetensors")


def test_shipped_weights_are_checked(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    weights.rename(weights.parent / "fingerprint.safetensors")
    monkeypatch.setattr(encoders, "WEIGHTS", weights.parent)
    monkeypatch.setattr(encoders, "SHIPPED", {"fingerprint": "0" * 64})
    with pytest.raises(WeightsError, match="SHA-256"):
        load_encoder("fingerprint")


def test_an_argument_where_none_is_taken_is_refused() -> None:
    with pytest.raises(InputError, match="nothing after @"):
        load_encoder("residual-spectrum@32")
    with pytest.raises(InputError, match="nothing after @"):
        load_encoder("efficientnet-lite0@pooled")


@pytest.mark.parametrize("size", [(16, 16), (64, 200), (129, 131)])
def test_a_flat_image_is_refused_by_name_and_the_others_are_not(size: tuple[int, int]) -> None:
    encoder = load_encoder("residual-spectrum")
    flat = np.full((*size, 3), (200, 10, 90), np.uint8)
    with pytest.raises(FlatImageError, match="cannot be told"):
        encoder.encode([encoder.prepare(flat)])
    found = embed(encoder, [from_array(image, "x") for image in (picture(0), flat, picture(1))])
    assert found.rows.tolist() == [0, 2]
    assert isinstance(found.errors[0][1], FlatImageError)


def test_flat_windows_do_not_count() -> None:
    encoder = load_encoder("residual-spectrum")
    part = np.full((384, 128, 3), 90, np.uint8)
    part[:128] = picture(3, 128, 128)
    whole = encoder.encode([encoder.prepare(part)])["residual/spectrum"]
    alone = encoder.encode([encoder.prepare(part[:128])])["residual/spectrum"]
    assert np.allclose(whole, alone, atol=1e-4)


def test_under_sixteen_pixels_is_refused() -> None:
    with pytest.raises(ImageTooSmallError, match="16"):
        load_encoder("residual-spectrum").prepare(picture(0, 15, 300))


def test_spectra_tell_upsampled_noise_from_noise() -> None:
    """White noise, and noise whose pixels are doubled: every pair of one kind is nearer than every mixed pair."""
    encoder = load_encoder("residual-spectrum")
    plain = [picture(i, 128, 128) for i in range(4)]
    doubled = [picture(i, 64, 64).repeat(2, 0).repeat(2, 1) for i in range(4, 8)]
    found = encoder.encode([encoder.prepare(image) for image in (*plain, *doubled)])["residual/spectrum"]
    apart = np.linalg.norm(found[:, None] - found[None], axis=2)
    same = np.kron(np.eye(2), np.ones((4, 4))).astype(bool)
    assert apart[same].max() < apart[~same].min()
