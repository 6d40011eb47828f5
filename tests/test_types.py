"""The records that cross layers: frozen, and the verdict's JSON is the one that was promised."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from morelli.types import (
    Claim,
    Degradation,
    EncoderStamp,
    Evidence,
    Item,
    LabelledEmbeddings,
    Ranked,
    Reference,
    Verdict,
)

VERDICT = Verdict(
    image="a.png",
    sha256="0" * 64,
    version="1",
    decision="painter",
    calibrated=True,
    ranking=[Ranked("painter", "school", 0.75, 2.0), Ranked("other", "other", 0.25, 1.0)],
    candidates=["painter"],
    epsilon=0.1,
    p_value=0.5,
    rejected=False,
    agreement=0.5,
    degradations=[Degradation("jpeg-75", "painter"), Degradation("blur-1", "other")],
    method={"name": "fused"},
    evidence=[Evidence("r.png", "painter", 0.25)],
    claims=[Claim("IPTC", "made by software", False)],
    claims_read=True,
    notes=["small gallery"],
)


def _embeddings() -> LabelledEmbeddings:
    return LabelledEmbeddings(
        {"a": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.arange(3, dtype=np.float32).reshape(3, 1)},
        np.array(["x", "y", "z"]),
        np.array(["p", "p", "q"]),
        np.array(["f", "f", "g"]),
    )


@pytest.mark.parametrize(
    "record",
    [
        Item(Path("a.png"), "a.png", "m", "f"),
        Reference("c", "s", "n", "m", "f"),
        EncoderStamp("e", "r", "p", {"a": 2}),
        _embeddings(),
        VERDICT,
        *VERDICT.ranking,
        *VERDICT.evidence,
        *VERDICT.claims,
        *VERDICT.degradations,
    ],
    ids=lambda r: type(r).__name__,
)
def test_records_are_frozen(record: object) -> None:
    first = dataclasses.fields(record)[0].name  # pyright: ignore[reportArgumentType]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, first, "changed")


def test_verdict_json_is_the_promised_schema() -> None:
    assert json.loads(json.dumps(VERDICT.to_json())) == {
        "image": "a.png",
        "sha256": "0" * 64,
        "schema": "morelli.verdict/1",
        "version": "1",
        "decision": "painter",
        "calibrated": True,
        "ranking": [
            {"model": "painter", "family": "school", "probability": 0.75, "score": 2.0},
            {"model": "other", "family": "other", "probability": 0.25, "score": 1.0},
        ],
        "candidates": ["painter"],
        "epsilon": 0.1,
        "unknown": {"p_value": 0.5, "rejected": False},
        "stability": {
            "agreement": 0.5,
            "degradations": [{"name": "jpeg-75", "model": "painter"}, {"name": "blur-1", "model": "other"}],
        },
        "method": {"name": "fused"},
        "evidence": [{"reference": "r.png", "model": "painter", "distance": 0.25}],
        "claims": [{"source": "IPTC", "statement": "made by software", "signed": False}],
        "claims_read": True,
        "notes": ["small gallery"],
    }


def test_take_by_mask_and_by_index_keeps_rows_together() -> None:
    whole = _embeddings()
    assert len(whole) == 3
    for rows, want in ((np.array([True, False, True]), [0, 2]), (np.array([2, 0]), [2, 0])):
        part = whole.take(rows)
        assert part.models.tolist() == ["xyz"[i] for i in want]
        assert part.prompts.tolist() == ["ppq"[i] for i in want]
        assert part.families.tolist() == ["ffg"[i] for i in want]
        assert part.vectors["a"].tolist() == [[2.0 * i, 2.0 * i + 1] for i in want]
        assert part.vectors["b"].tolist() == [[float(i)] for i in want]
    assert len(whole.take(np.zeros(3, dtype=bool))) == 0
