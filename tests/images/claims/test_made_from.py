"""What a signed file was made from: its signer vouches for having used it, and not for what others signed before."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import pytest

from morelli.images.claims.credentials_worker import report
from morelli.images.claims.findings import LINKED, of_ingredient
from morelli.images.claims.read import read_claims
from morelli.images.claims.report import EARLIER, report_claims
from morelli.types import Claim
from tests.images.claims import files, signing

ME, LEICA = signing.identity("Test Works"), signing.identity("Leica Camera AG")
ROOT = ME.root.decode()
CAMERA = {**signing.MANIFEST, "claim_generator_info": [{"name": "Leica M11-P"}]}
BY_ME = signing.sign(files.png(), "image/png", ME)
BY_LEICA = signing.sign(files.png(), "image/png", LEICA, CAMERA)


def tampered(data: bytes) -> bytes:
    """The same file with other pixels."""
    out = bytearray(data)
    out[-30] ^= 1
    return bytes(out)


def made_from(parent: bytes, trusts: signing.Identity | None = None) -> bytes:
    return signing.sign(files.png(seed=2), "image/png", ME, signing.EDITED, parent, trusts)


def split(claims: Sequence[Claim]) -> tuple[list[Claim], Claim]:
    """Claims of the file's own credentials, and the one of what it was made from."""
    own, earlier = (
        [claim for claim in claims if (claim.source == EARLIER) is before and claim.source.startswith("Content")]
        for before in (False, True)
    )
    assert len(earlier) == 1
    return own, earlier[0]


@pytest.mark.parametrize("parent", [BY_ME, BY_LEICA, tampered(BY_LEICA), tampered(BY_ME)])
def test_the_signer_vouches_for_having_used_it_and_for_no_more(parent: bytes) -> None:
    own, earlier = split(read_claims(made_from(parent), roots=ROOT).claims)
    assert [claim.statement for claim in own[1:]] == ['written by "Editor"', "opened", 'made from "parent.png"']
    assert all(claim.signed for claim in own)
    assert not earlier.signed
    assert "Leica" not in "".join(claim.statement + claim.source for claim in own)


@pytest.mark.parametrize(
    ("parent", "said"),
    [
        (BY_ME, '"parent.png" came with valid credentials by "Test Works", below a root that you named; they say: '),
        (
            BY_LEICA,
            '"parent.png" came with valid credentials that name "Leica Camera AG", below no root that you named: '
            "anyone can make such with any name; they say: ",
        ),
        (
            tampered(BY_ME),
            '"parent.png" came with invalid credentials that name "Test Works" (assertion.dataHash.mismatch); they say',
        ),
        (tampered(BY_LEICA), 'invalid credentials that name "Leica Camera AG" (assertion.dataHash.mismatch); they say'),
    ],
    ids=["known", "no root", "changed", "changed, no root"],
)
def test_what_earlier_credentials_are_worth(parent: bytes, said: str) -> None:
    _, earlier = split(read_claims(made_from(parent), roots=ROOT).claims)
    assert said in earlier.statement
    assert 'created by "Painter 3", digital source type trainedAlgorithmicMedia' in earlier.statement


def test_below_an_unknown_signer_nothing_earlier_counts() -> None:
    """Anybody can put somebody's sound credentials beside a picture and record that they belong to it."""
    both = LEICA.root.decode()  # knows the camera's maker, and not who says that its picture was used
    own, earlier = split(read_claims(made_from(BY_LEICA), roots=both).claims)
    assert not any(claim.signed for claim in (*own, earlier))
    assert "is said to have come with credentials that name" in earlier.statement
    assert "which nobody known has checked" in earlier.statement
    assert "nobody known has checked" in split(read_claims(made_from(BY_LEICA)).claims)[1].statement


def test_whom_the_signer_trusted_is_not_whom_the_user_trusts() -> None:
    data = made_from(BY_LEICA, trusts=LEICA)
    own, earlier = split(read_claims(data, roots=ROOT).claims)
    assert "below no root that you named" in earlier.statement
    # The reader's verdict on the whole is no longer "Trusted" then; who signed this file is known all the same.
    assert report(data, "image/png", ROOT)["report"]["validation_state"] == "Valid"
    assert all(claim.signed for claim in own)
    known = split(read_claims(data, roots=ROOT + LEICA.root.decode()).claims)[1]
    assert 'valid credentials by "Leica Camera AG", below a root that you named' in known.statement


def test_a_picture_without_credentials() -> None:
    claims = read_claims(made_from(files.png()), roots=ROOT).claims
    assert claims[-1].statement == 'made from "parent.png"'
    assert all(claim.signed for claim in claims)


def told(parent: bytes, change: Any) -> Claim:
    """The claim of what a file was made from, after a change to the ingredient in the reader's report, or to it all."""
    found = report(made_from(parent), "image/png", ROOT)["report"]
    change(found["manifests"][found["active_manifest"]]["ingredients"][0], found)
    return split(report_claims(found))[1]


def test_results_may_come_as_their_text() -> None:
    def as_text(ingredient: dict[str, Any], whole: dict[str, Any]) -> None:
        ingredient["validation_results"] = json.dumps(ingredient["validation_results"])

    assert "invalid credentials" in told(tampered(BY_LEICA), as_text).statement
    assert "valid credentials by" in told(BY_ME, as_text).statement


@pytest.mark.parametrize("results", [None, "", "no JSON", "[" * 100_000, [], {"activeManifest": 3}, {}, 7])
def test_results_that_are_none_prove_nothing(results: object) -> None:
    def without(ingredient: dict[str, Any], whole: dict[str, Any]) -> None:
        ingredient["validation_results"] = results

    assert "nobody known has checked" in told(BY_ME, without).statement


def test_what_is_not_looked_at_now_proves_nothing() -> None:
    def unlooked(ingredient: dict[str, Any], whole: dict[str, Any]) -> None:
        whole["validation_results"]["ingredientDeltas"] = []

    assert "nobody known has checked" in told(BY_ME, unlooked).statement


def test_what_fails_now_counts_whatever_was_recorded() -> None:
    def failing(ingredient: dict[str, Any], whole: dict[str, Any]) -> None:
        delta = whole["validation_results"]["ingredientDeltas"][0]["validationDeltas"]
        delta["failure"] = [{"code": "claimSignature.mismatch"}]

    assert "invalid credentials" in told(BY_ME, failing).statement


def test_failures_that_an_older_form_records() -> None:
    def older(ingredient: dict[str, Any], whole: dict[str, Any]) -> None:
        del ingredient["validation_results"]
        ingredient["validation_status"] = [{"code": "assertion.dataHash.mismatch"}]

    assert "invalid credentials" in told(BY_ME, older).statement


def test_another_ingredient_s_findings_are_not_its_own() -> None:
    found = report(made_from(BY_ME), "image/png", ROOT)["report"]
    ingredient = found["manifests"][found["active_manifest"]]["ingredients"][0]
    assert of_ingredient(ingredient, found).known
    other = copy.deepcopy(ingredient)
    other["label"] += "__1"
    assert LINKED not in of_ingredient(other, found).success
    assert not of_ingredient(other, found).known
