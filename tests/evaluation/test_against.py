"""The reference of lifts: how it is named, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from morelli.errors import UnknownNameError
from morelli.evaluation.against import Against, Scores, parse_against
from morelli.evaluation.settings import Settings, check_settings

NAMES = {"default": "efficientnet-lite0", "hf:a/b": "hf:a/b", "hf:a/b@one": "hf:a/b@one", "x+y": "x+y"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("default", Against("efficientnet-lite0")),
        (" default : lda ", Against("efficientnet-lite0", "lda")),
        ("hf:a/b", Against("hf:a/b")),
        ("hf:a/b:fused", Against("hf:a/b", "fused")),
        ("hf:a/b@one:fused", Against("hf:a/b@one", "fused")),
        ("x+y:marra", Against("x+y", "marra")),
        ("cosine", Against(method="cosine")),
        ("yu@steps=20", Against(method="yu@steps=20")),
    ],
)
def test_texts(text: str, found: Against) -> None:
    assert parse_against(text.replace(" : ", ":").strip(), NAMES) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defalt", "Did you mean 'default'"),
        ("default:fusd", "Did you mean 'fused'"),
        ("default:", "no attributor is called ''"),
        ("cosin", "Did you mean 'cosine'"),
        ("", "no encoder or method of this evaluation"),
    ],
)
def test_texts_that_name_nothing(text: str, words: str) -> None:
    with pytest.raises(UnknownNameError, match=words):
        parse_against(text, NAMES)


def test_what_is_not_named_is_the_row_s_own() -> None:
    assert Against().of("e", "m") == ("e", "m")
    assert Against("a").of("e", "m") == ("a", "m")
    assert Against(method="n").of("e", "m") == ("e", "n")
    assert Against("a", "n").of("e", "m") == ("a", "n")


def test_the_usual_reference_is_the_published_rule() -> None:
    assert Settings().reference == Settings("identification").reference == Against(method="euclid")
    assert Settings("verification").reference == Against(method="cosine")
    assert Settings("verification", against=Against("e")).reference == Against("e")


def test_verification_compares_with_what_compares_pairs() -> None:
    check_settings(Settings("verification", against=Against("e", "plda")))
    check_settings(Settings("verification", against=Against(method="marra")))
    with pytest.raises(UnknownNameError, match="method of the protocol verification"):
        check_settings(Settings("verification", against=Against(method="lda")))


def test_an_encoder_that_is_not_evaluated_is_refused() -> None:
    Against("a").require(["a", "b"])
    with pytest.raises(UnknownNameError, match="no encoder of this evaluation is called 'c'"):
        Against("c").require(["a", "b"])


@dataclass
class Maker:
    encoder: str


def test_each_score_is_computed_once_and_a_reference_is_its_own() -> None:
    asked: list[tuple[str, str]] = []

    def score(make: Maker, name: str) -> list[str]:
        asked.append((make.encoder, name))
        return [f"{name} under {make.encoder}"]

    scores = Scores([Maker("a"), Maker("b")], Against("a", "lda"), score)  # pyright: ignore[reportArgumentType]
    assert scores.pair("b", "fused") == (["fused under b"], ["lda under a"])
    own, reference = scores.pair("a", "lda")
    assert own is reference
    assert scores.get("b", "fused") == ["fused under b"]
    assert asked == [("b", "fused"), ("a", "lda")]
    # What sees pictures needs no encoder.
    assert scores.get("b", "marra") is scores.get("a", "marra")
    assert asked[-1] == ("a", "marra")
