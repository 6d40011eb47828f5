"""The 288 architectures, their ids, and what a user may write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import InputError, UnknownNameError
from morelli.synthesis.architectures import ARCHITECTURES, LETTERS, OPTIONS, Architecture, from_id, select

from ..test_light_import import loaded_by


def test_there_are_288_of_them_each_with_its_own_id() -> None:
    ids = [each.id for each in ARCHITECTURES]
    assert len(set(ids)) == 2 * 2 * 2 * 3 * 4 * 3
    assert ids == sorted(ids)
    assert ids[0] == "000000" and ids[-1] == "111232"


def test_the_digits_are_those_of_the_authors_code() -> None:
    # K, L, S, U, A, N: METHODS' table, written out once more by hand.
    assert from_id("101230") == Architecture("2", "1", "pre", "transposed", "tanh", "none")
    assert from_id("010121") == Architecture("1", "2", "post", "nearest", "sigmoid", "batch")
    assert from_id("000012") == Architecture("1", "1", "post", "bilinear", "relu", "instance")


@given(st.sampled_from(ARCHITECTURES))
def test_an_id_names_its_architecture(each: Architecture) -> None:
    assert from_id(each.id) == each
    assert select(each.id) == (each,)


@pytest.mark.parametrize("text", ["000300", "200000", "00000", "0000000", "", "00000x", "٠٠٠٠٠٠"])
def test_an_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UnknownNameError):
        from_id(text)


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="bicubic"):
        Architecture("1", "1", "post", "bicubic", "none", "none")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("all", 288),
        ("0.....", 144),
        ("...0..", 96),
        ("0.1...", 72),
        ("000000,000001, 000000", 2),
        ("without:up", 96),
        ("without:A", 72),
        ("without:blocks,without:layers", 72),
        ("0.....,without:norm", 48),
        ("000000,1.....", 145),
    ],
)
def test_selections(text: str, count: int) -> None:
    found = select(text)
    assert len(found) == len(set(found)) == count
    assert list(found) == sorted(found, key=lambda each: each.id)


@pytest.mark.parametrize(("letter", "share"), [*zip("KLSUAN", [2, 2, 2, 3, 4, 3], strict=True)])
def test_an_option_taken_away_leaves_its_first_value(letter: str, share: int) -> None:
    found = select(f"without:{letter}")
    option = LETTERS[letter]
    assert {getattr(each, option) for each in found} == {OPTIONS[option][0]}
    assert len(found) * share == 288


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", InputError),
        ("nonsense", InputError),
        ("0.1", InputError),
        ("000001,", InputError),
        ("9.....", UnknownNameError),
        ("000009", UnknownNameError),
        ("without:colour", UnknownNameError),
        ("111232,without:up", InputError),
    ],
)
def test_bad_selections_are_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        select(text)


def test_names_and_settings_load_nothing_heavy() -> None:
    code = "from morelli.synthesis import architectures, records, settings, photos, streams, ffd, volume"
    assert loaded_by(code) == []
