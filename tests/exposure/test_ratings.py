"""Ratings by model: one row each, all of them, and no others."""

from __future__ import annotations

import pytest

from morelli.errors import InputError, UnknownNameError
from morelli.exposure.ratings import check_rated, read_ratings


def test_ratings_by_model(tmp_path):
    file = tmp_path / "ratings.csv"
    file.write_text('\ufeffrank,model,rating\n1,"a, b", 1210.5\n2,c,-3\n\n', encoding="utf-8")
    assert read_ratings(file) == {"a, b": 1210.5, "c": -3.0}
    check_rated({"a": 1.0, "b": 0.0}, ("b", "a"))
    with pytest.raises(UnknownNameError, match="'model-a'"):
        check_rated({"a": 1.0, "model_a": 1.0}, ("a", "model-a"))
    with pytest.raises(InputError, match="no rating for 'b', 'c'"):
        check_rated({"a": 1.0}, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the columns model and rating, once each; it has none"),
        ("model,elo\na,1\n", "it has model, elo"),
        ("model,rating,rating\na,1,2\n", "once each"),
        ("model,rating\n", "no row"),
        ("model,rating\na,1\na,2\n", "line 3.*second row"),
        ("model,rating\na\n", "line 2.*must have"),
        ("model,rating\na,1,2\n", "line 2.*must have"),
        ("model,rating\n,1\n", "line 2.*must have"),
        ("model,rating\na,high\n", "line 2.*no finite number: 'high'"),
        ("model,rating\na,1\nb,nan\n", "line 3.*no finite number"),
        ("model,rating\na,\n", "line 2.*no finite number"),
        ('model,rating\n"a,1\n', "no CSV"),
    ],
)
def test_bad_tables_of_ratings(tmp_path, text, said):
    file = tmp_path / "ratings.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_ratings(file)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_ratings(tmp_path / "absent.csv")
