"""What counts as outside of an ensemble: not what goes by another name, but what looks at something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morelli.defence.overlap import IN, OUTSIDE, SHARED, overlap, overlap_with, share_a_name
from morelli.defence.surrogate import load_surrogate
from morelli.encoders.base import Encoder
from morelli.encoders.catalogue import load_encoder
from morelli.encoders.split import SplitEncoder
from morelli.encoders.transformers_vision import TransformersEncoder
from morelli.fingerprint.chain import LEARNING, SignalChain
from morelli.fingerprint.encoders import Fingerprint, ResidualSpectrum, shipped_parts
from morelli.fingerprint.extractor import Extractor, make_extractor
from morelli.types import EncoderStamp

from ..encoders.checkpoints import save_checkpoint
from .toys import STAMP, GrainEncoder, scene

GRAIN = GrainEncoder()


def of_chain(chain: SignalChain) -> Fingerprint:
    """A fingerprint of random weights over that chain."""
    torch.manual_seed(0)
    channels, *size = chain.shape
    network = make_extractor("small", channels, size=(size[0], size[1])).eval().requires_grad_(False)
    return Fingerprint(Extractor("small", network, chain, 512, "0" * 16, {}), "of a user")


@pytest.fixture(scope="module")
def fingerprint() -> Encoder:
    return load_encoder("fingerprint")


def test_a_vector_of_fingerprint_is_the_residual_spectrum(fingerprint: Encoder) -> None:
    """What the rest of this file takes for granted, on a picture of one window: channel by channel up to scale."""
    pixels = scene(1, 128, 128)
    spectrum = ResidualSpectrum()
    one = spectrum.encode([spectrum.prepare(pixels)])["residual/spectrum"].reshape(6, -1)
    other = fingerprint.encode([fingerprint.prepare(pixels)])["fingerprint/input"].reshape(6, -1)
    for mine, theirs in zip(one, other, strict=True):
        assert np.corrcoef(mine, theirs)[0, 1] > 0.9999


def test_the_names_differ_and_the_front_end_does_not(fingerprint: Encoder) -> None:
    spectrum = ResidualSpectrum()
    assert not share_a_name("fingerprint", "residual-spectrum")
    for one, other in ((fingerprint, spectrum), (spectrum, fingerprint)):
        assert overlap(one, other) == SHARED
        assert overlap(load_surrogate(one), load_surrogate(other)) == SHARED
        assert overlap(SplitEncoder(one), load_surrogate(other)) == SHARED


def test_a_joined_encoder_has_what_its_parts_have(fingerprint: Encoder) -> None:
    spectrum, both = ResidualSpectrum(), load_encoder("residual-lattice+residual-spectrum")
    assert overlap(both, spectrum) == overlap(spectrum, both) == overlap(spectrum, load_surrogate(both)) == IN
    assert overlap(both, fingerprint) == overlap(fingerprint, both) == SHARED
    assert overlap(both, GRAIN) == OUTSIDE
    # One that only its id tells of.
    assert overlap(GrainEncoder(EncoderStamp("grain+other", "1", "plain", STAMP.dims)), GRAIN) == IN


def test_parts_of_fingerprint(fingerprint: Encoder) -> None:
    parts = shipped_parts()
    assert {word: overlap(fingerprint, part) for word, part in parts.items()} == dict.fromkeys(parts, IN)
    assert overlap(parts["wavelet"], ResidualSpectrum()) == OUTSIDE
    assert overlap(parts["fingerprint"], ResidualSpectrum()) == SHARED
    assert overlap(parts["wavelet"], parts["fingerprint"]) == OUTSIDE


@pytest.mark.parametrize(
    ("chain", "found"),
    [
        (LEARNING, SHARED),
        (replace(LEARNING, tile=None, floor=1.0), SHARED),  # other tiles of the same numbers
        (replace(LEARNING, residual="wavelet"), OUTSIDE),
        (replace(LEARNING, residual="none"), OUTSIDE),
        (SignalChain("median", side=None, transform=False), OUTSIDE),  # no spectrum
    ],
)
def test_chains_of_one_s_own(chain: SignalChain, found: str) -> None:
    assert overlap(of_chain(chain), ResidualSpectrum()) == found


def test_what_looks_at_something_else_is_outside(fingerprint: Encoder) -> None:
    spectrum = ResidualSpectrum()
    for name in ("residual-lattice", "efficientnet-lite0"):
        assert overlap(load_encoder(name), spectrum) == OUTSIDE
        assert overlap(fingerprint, load_encoder(name)) == OUTSIDE
    assert overlap(GRAIN, spectrum) == OUTSIDE
    assert overlap(GRAIN, GrainEncoder(EncoderStamp("grain-two", "1", "plain", STAMP.dims))) == OUTSIDE
    assert overlap(GRAIN, GrainEncoder()) == IN


def test_other_layers_of_one_network(tmp_path: Path) -> None:
    low, high, other = (
        TransformersEncoder(str(save_checkpoint(kind, tmp_path / kind)), layers, device="cpu")
        for kind, layers in (("clip", ["block2/mean"]), ("clip", ["projected"]), ("vit", None))
    )
    assert low.stamp.encoder != high.stamp.encoder
    assert overlap(low, high) == overlap(load_surrogate(low), high) == SHARED
    assert overlap(low, other) == OUTSIDE
    assert overlap(low, low) == IN


def test_the_most_of_an_ensemble_counts(fingerprint: Encoder) -> None:
    spectrum = ResidualSpectrum()
    assert overlap_with(fingerprint, []) == OUTSIDE
    assert overlap_with(fingerprint, [GRAIN]) == OUTSIDE
    assert overlap_with(fingerprint, [GRAIN, spectrum]) == SHARED
    assert overlap_with(fingerprint, [spectrum, fingerprint, GRAIN]) == IN
