from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import GalleryError
from morelli.gallery import schema as layout
from morelli.gallery import table
from morelli.gallery.store import Gallery
from morelli.types import EncoderStamp

from .samples import STAMP

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STAMPS = st.builds(EncoderStamp, TEXT, TEXT, TEXT, st.dictionaries(TEXT, st.integers(1, 9), min_size=1, max_size=5))


@given(STAMPS)
def test_a_stamp_survives_its_column_with_its_order(stamp):
    back = layout.field_stamp(layout.vector_field(stamp))
    assert back == stamp
    assert list(back.dims) == list(stamp.dims)


@given(TEXT, TEXT)
def test_distinct_encoders_have_distinct_columns(a, b):
    assert (layout.column_name(a) == layout.column_name(b)) == (a == b)


def test_column_names_are_legible():
    assert layout.column_name("laion/CLIP-ViT-bigG-14").startswith("vectors_laion_clip_vit_bigg_14_")


def with_metadata(path, metadata):
    gallery = Gallery.create(path)
    schema = layout.empty_schema().with_metadata(metadata)
    table.rewrite(gallery._dataset, schema, schema.empty_table().to_batches(), gallery.path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({layout.FORMAT_KEY: b"2"}, r"format 2; this version of Morelli reads up to format 1.*[Uu]pgrade"),
        ({layout.FORMAT_KEY: b"one"}, "unknown format"),
        ({b"other": b"x"}, "no gallery"),
    ],
)
def test_a_format_that_is_not_known_is_refused(tmp_path, metadata, message):
    with_metadata(tmp_path / "g", metadata)
    for ask in (Gallery.open, Gallery.open_or_create):
        with pytest.raises(GalleryError, match=message):
            ask(tmp_path / "g")


def test_the_format_survives_every_kind_of_write(tmp_path):
    from .samples import OTHER, add

    gallery = Gallery.create(tmp_path / "g")
    for stamp in (STAMP, OTHER, STAMP):
        add(gallery, range(len(gallery) + 3), stamp)
        gallery.remove(models=["model 0"])
        written = Gallery.open(tmp_path / "g")._dataset.schema
        assert written.metadata[layout.FORMAT_KEY] == b"1"
        layout.check_format(written, "g")


def test_check_same_accepts_what_is_the_same():
    layout.check_same(STAMP, EncoderStamp(STAMP.encoder, "r1", "p1", {"native/4": 3, "whole": 2}), "g")


def test_vectors_are_one_fixed_size_list():
    assert layout.vector_field(STAMP).type == pa.list_(pa.float32(), 5)
