"""Numbers by model, ratings and prices: one row each, all of them, and no others."""

from __future__ import annotations

import pytest

from morelli.errors import InputError, UnknownNameError
from morelli.exposure.prices import read_prices
from morelli.exposure.ratings import check_rated, read_ratings

READ = {"rating": read_ratings, "price": read_prices}


def test_ratings_by_model(tmp_path):
    file = tmp_path / "ratings.csv"
    file.write_text('\ufeffrank,model,rating\n1,"a, b", 1210.5\n2,c,-3\n\n', encoding="utf-8")
    assert read_ratings(file) == {"a, b": 1210.5, "c": -3.0}
    check_rated({"a": 1.0, "b": 0.0}, ("b", "a"))
    with pytest.raises(UnknownNameError, match="'model-a'"):
        check_rated({"a": 1.0, "model_a": 1.0}, ("a", "model-a"))
    with pytest.raises(InputError, match="no rating for 'b', 'c'"):
        check_rated({"a": 1.0}, ("a", "b", "c"))


@pytest.mark.parametrize("column", list(READ))
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "needs the columns model and COLUMN, once each; it has none"),
        ("model,cost\na,1\n", "it has model, cost"),
        ("model,COLUMN,COLUMN\na,1,2\n", "once each"),
        ("model,COLUMN\n", "no row"),
        ("model,COLUMN\na,1\na,2\n", "line 3.*second row"),
        ("model,COLUMN\na\n", "line 2.*must have a model and its COLUMN"),
        ("model,COLUMN\na,1,2\n", "line 2.*must have"),
        ("model,COLUMN\n,1\n", "line 2.*must have"),
        ("model,COLUMN\na,dear\n", "line 2.*the COLUMN of 'a' is no number: 'dear'"),
        ("model,COLUMN\na,\n", "line 2.*no number: ''"),
        ('model,COLUMN\n"a,1\n', "no CSV"),
    ],
)
def test_bad_tables(tmp_path, column, text, said):
    refused(tmp_path, column, text.replace("COLUMN", column), said.replace("COLUMN", column))


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("rating", "a,1\nb,nan\n", "line 3.*finite number; got nan"),
        ("rating", "a,-inf\n", "line 2.*finite number; got -inf"),
        ("price", "a,1\nb,-0.1\n", "line 3.*from 0 on; got -0.1"),
        ("price", "a,nan\n", "line 2.*from 0 on"),
    ],
)
def test_numbers_out_of_range(tmp_path, column, text, said):
    refused(tmp_path, column, f"model,{column}\n{text}", said)


def refused(folder, column, text, said):
    file = folder / "numbers.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        READ[column](file)


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_ratings(tmp_path / "absent.csv")
