"""A text finds a prompt of the gallery by its id or its wording."""

from __future__ import annotations

import pytest

from morelli.errors import InputError, UnknownNameError
from morelli.gallery.prompts import find_prompt
from morelli.types import Reference


def references(*prompts: tuple[str, str]) -> list[Reference]:
    return [Reference("0" * 64, "0" * 64, f"{i}.png", "m", "m", p, text) for i, (p, text) in enumerate(prompts)]


KNOWN = references(("001", "A red fox"), ("002", "a blue whale"), ("003", "A red fox"), ("x", ""), ("", ""))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("002", ("002",)),
        ("a blue whale", ("002",)),
        ("  A Blue WHALE\n", ("002",)),
        ("A red fox", ("001", "003")),
        ("X", ("x",)),
    ],
)
def test_by_id_or_wording(text: str, found: tuple[str, ...]) -> None:
    assert find_prompt(KNOWN, text) == found


def test_an_exact_id_beats_another_case_and_a_wording() -> None:
    known = references(("p", "q"), ("P", "x"), ("q", "z"))
    assert find_prompt(known, "P") == ("P",)
    assert find_prompt(known, "q") == ("q",)


def test_ids_that_differ_in_case_alone() -> None:
    with pytest.raises(InputError, match="'Ab' or 'aB'"):
        find_prompt(references(("Ab", ""), ("aB", "")), "ab")


@pytest.mark.parametrize(
    ("text", "said"), [("a blue whal", "Did you mean 'a blue whale'"), ("zzzzz", "The gallery has others")]
)
def test_an_unknown_prompt_suggests_and_says_the_way_round(text: str, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said) as caught:
        find_prompt(KNOWN, text)
    assert "leave --prompt out, or pass --prompt-free" in str(caught.value)


@pytest.mark.parametrize("text", ["", " ", "anything"])
def test_a_gallery_without_prompts(text: str) -> None:
    with pytest.raises(UnknownNameError, match="No reference of this gallery has a prompt"):
        find_prompt(references(("", ""), ("", "")), text)
