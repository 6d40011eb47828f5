"""Identify at the level of bases: from the metadata's column through the gallery to the verdict."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from morelli.enrol import enrol
from morelli.errors import InputError, UnknownNameError
from morelli.gallery.store import Gallery
from morelli.identify import Identifier
from morelli.images.dataset import Dataset, read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Verdict

from .evaluation.samples import TextureEncoder

BASES = {"model-00": "model-00", "model-01": "model-00"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("b") / "d", 4, 4, 2, 48, families=["x", "y", "a", "b"])


@pytest.fixture(scope="module")
def based(plain) -> Dataset:
    """The same pictures with bases and decoders in the metadata."""
    path = plain / "metadata.csv"
    before = path.read_text(encoding="utf-8")
    rows = list(csv.DictReader(before.splitlines()))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "base", "decoder"])
        writer.writeheader()
        writer.writerows({**row, "base": BASES.get(row["model"], ""), "decoder": "vae"} for row in rows)
    found = read_dataset(plain)
    path.write_text(before, encoding="utf-8")
    return found


def test_columns_of_the_metadata(based, plain):
    assert {(item.model, item.base, item.decoder) for item in based.items} == {
        (f"model-{j:02}", "model-00" if j < 2 else "", "vae") for j in range(4)
    }
    assert {(item.base, item.decoder) for item in read_dataset(plain).items} == {("", "")}


def test_bases_are_attributed(based, plain, tmp_path):
    gallery = Gallery.create(tmp_path / "g")
    enrol(gallery, read_dataset(plain), TextureEncoder(), copies=0)
    ask = {"encoder": TextureEncoder(), "method": "cosine", "stability": False, "cache": tmp_path}
    picture = next(item.path for item in based.items if item.model == "model-01")
    with pytest.raises(InputError, match="derive from"):
        list(Identifier(gallery, level="base", **ask).identify([picture]))
    # Adding the same pictures again fills their bases in.
    report = enrol(gallery, based, TextureEncoder(), copies=0)
    assert (report.added, report.updated, report.unchanged) == (0, 16, 16)
    (verdict,) = Identifier(gallery, level="base", **ask).identify([picture])
    assert isinstance(verdict, Verdict)
    assert {line.model for line in verdict.ranking} == {"model-00", "model-02", "model-03"}
    # The family of a base is its own, not that of what derives from it.
    assert {line.family for line in verdict.ranking if line.model == "model-00"} == {"x"}
    (verdict,) = Identifier(gallery, **ask).identify([picture])
    assert isinstance(verdict, Verdict)
    assert len(verdict.ranking) == 4
    with pytest.raises(UnknownNameError):
        list(Identifier(gallery, level="bass", **ask).identify([picture]))
