"""Fingerprints of several residuals as one encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morelli.encoders.catalogue import load_encoder
from morelli.errors import FlatImageError, InputError
from morelli.fingerprint import encoders
from morelli.fingerprint.chain import LEARNING, find_chain
from morelli.fingerprint.encoders import Fingerprint, shipped_parts
from morelli.fingerprint.extractor import load_extractor, make_extractor, save_extractor
from morelli.fingerprint.several import SeveralFingerprints
from tests.synthesis.samples import picture


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Fingerprint]:
    made = {}
    for word, chain in (("one", LEARNING), ("two", find_chain("wavelet"))):
        path = tmp_path / f"{word}.safetensors"
        network = make_extractor("small", 6, size=chain.shape[1:])
        save_extractor(network, path, name="small", chain=chain, training={}, channels=6)
        made[word] = Fingerprint(load_extractor(path), word, windows="nine")
    return made


def test_vectors_are_the_parts_own_under_their_words(parts: dict[str, Fingerprint]) -> None:
    encoder = SeveralFingerprints(parts, "x")
    images = [picture(seed, 150, 140) for seed in range(2)]
    found = encoder.encode([encoder.prepare(image) for image in images])
    assert list(found) == list(encoder.stamp.dims) and len(found) == 8
    for word, part in parts.items():
        for name, values in part.encode([part.prepare(image) for image in images]).items():
            np.testing.assert_array_equal(found[name.replace("fingerprint/", f"{word}/")], values)
    assert not np.allclose(found["one/input"], found["two/input"])
    assert encoder.encode([]).keys() == found.keys()


def test_the_stamp_changes_with_any_part(parts: dict[str, Fingerprint]) -> None:
    both, alone = SeveralFingerprints(parts, "x").stamp, SeveralFingerprints({"one": parts["one"]}, "x").stamp
    twice = SeveralFingerprints({"one": parts["one"], "two": parts["one"]}, "x").stamp
    assert len({both.revision, alone.revision, twice.revision}) == 3
    assert both.preprocessing != twice.preprocessing
    assert both.dims["two/mean"] == 512


def test_parts_that_look_elsewhere_or_none_are_refused(parts: dict[str, Fingerprint]) -> None:
    other = Fingerprint(parts["two"].extractor, "two", windows="grid")
    with pytest.raises(InputError, match="same windows"):
        SeveralFingerprints({"one": parts["one"], "two": other}, "x")
    with pytest.raises(InputError, match="same windows"):
        SeveralFingerprints({}, "x")


def test_a_flat_image_is_refused(parts: dict[str, Fingerprint]) -> None:
    encoder = SeveralFingerprints(parts, "x")
    with pytest.raises(FlatImageError):
        encoder.encode([encoder.prepare(np.full((140, 140, 3), 90, np.uint8))])


def test_the_shipped_fingerprint_has_a_part_for_each_residual() -> None:
    shipped, named = shipped_parts(), load_encoder("fingerprint")
    assert {word: part.extractor.chain.residual for word, part in shipped.items()} == {
        "fingerprint": "median",
        "wavelet": "wavelet",
    }
    assert isinstance(named, SeveralFingerprints) and set(named.parts) == set(encoders.PARTS)
    size = sum((encoders.WEIGHTS / f"{file}.safetensors").stat().st_size for file in encoders.PARTS.values())
    assert size <= 8_000_000
