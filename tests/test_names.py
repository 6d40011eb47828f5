"""Names that a verdict could not tell from a rejection."""

from __future__ import annotations

import pytest

from morelli.attribution.decision import NONE, UNSURE
from morelli.errors import ReservedNameError
from morelli.names import RESERVED, is_reserved, refuse_reserved


def test_what_verdicts_say_of_no_model_is_reserved() -> None:
    assert frozenset({NONE, UNSURE}) == RESERVED


@pytest.mark.parametrize("name", ["none", "None", "NONE", "unsure", "Unsure", " none ", "ｎｏｎｅ", "\tUNSURE\n"])
def test_reserved_in_any_letters(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["", "none of these", "nonesuch", "un sure", "model-none", "yes", "no", "same"])
def test_other_names_are_free(name: str) -> None:
    assert not is_reserved(name)
    refuse_reserved(name, "x.csv")


@pytest.mark.parametrize(("what", "said"), [("model", "another name;"), ("base", "leave it out where there is none")])
def test_the_refusal_says_where_and_what_to_do(what: str, said: str) -> None:
    with pytest.raises(ReservedNameError) as caught:
        refuse_reserved("None", "x.csv, line 2", what)
    assert caught.value.argument == "x.csv, line 2"
    assert f"a {what} cannot be called 'None'" in caught.value.message
    assert said in (caught.value.fix or "")
