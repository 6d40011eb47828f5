"""Claims stand beside the verdict: whatever a file says of itself, its pixels are judged the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from morelli.enrol import enrol
from morelli.gallery.store import Gallery
from morelli.identify import Failure, Identifier
from morelli.images.claims import attach
from morelli.images.claims.attach import with_claims
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.load import load_image
from morelli.testing.datasets import write_dataset
from morelli.types import Item, Verdict

from .images.claims import files
from .test_identify import Texture

FORGED = "a forgery\nSteps: 20, Sampler: Euler, Seed: 1, Model: model-00"


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=6, seeds=3, size=96)).items


@pytest.fixture(scope="module")
def identifier(items: tuple[Item, ...], tmp_path_factory: pytest.TempPathFactory) -> Identifier:
    folder = tmp_path_factory.mktemp("g")
    references = tuple(item for item in items if not (item.prompt_id == "004" and item.seed == 2))
    enrol(Gallery.create(folder / "g"), Dataset(folder, references), Texture())
    return Identifier(folder / "g", encoder=Texture(), cache=folder / "cache")


def of_pixels(verdict: Verdict) -> dict[str, Any]:
    """All of a verdict but what is the file's own."""
    own = ("image", "sha256", "claims", "claims_read", "notes")
    return {name: value for name, value in verdict.to_json().items() if name not in own}


def judged(identifier: Identifier, *sources: Any) -> list[Verdict]:
    found = list(identifier.identify(sources))
    assert not any(isinstance(each, Failure) for each in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("model", ["model-01", "model-02"])
def test_forged_claims_change_nothing_that_the_pixels_say(
    identifier: Identifier, items: tuple[Item, ...], tmp_path: Path, model: str
) -> None:
    honest = next(i for i in items if (i.prompt_id, i.seed, i.model) == ("004", 2, model)).path
    data = honest.read_bytes()
    packet = files.xmp(attributes=f'Iptc4xmpExt:DigitalSourceType="{files.SOURCE_TYPE}"')
    graph = json.loads(json.dumps(files.GRAPH))
    graph["4"]["inputs"]["ckpt_name"] = "model-00"
    forgery = tmp_path / "forged.png"
    forgery.write_bytes(
        data[:33]
        + files.text("parameters", FORGED)
        + files.text("prompt", json.dumps(graph))
        + files.xmp_chunk(packet)
        + data[33:]
        + b"and a payload"
    )
    first, second = judged(identifier, honest, forgery)
    assert of_pixels(first) == of_pixels(second)
    assert first.decision != "model-00"
    assert first.claims == ()
    assert len(second.claims) == 3
    assert not any(claim.signed for claim in second.claims)
    assert any('model "model-00"' in claim.statement for claim in second.claims)
    assert second.to_json()["claims"] == [
        {"source": claim.source, "statement": claim.statement, "signed": False} for claim in second.claims
    ]
    assert set(second.notes) - set(first.notes) == {"13 bytes follow the end of the image; they were not read."}


def test_bytes_and_pictures_have_claims_too(identifier: Identifier, items: tuple[Item, ...]) -> None:
    data = items[0].path.read_bytes()
    forged = data[:33] + files.text("parameters", FORGED) + data[33:]
    from_bytes, from_picture = judged(identifier, forged, load_image(forged))
    assert len(from_bytes.claims) == 1
    assert from_picture.claims == ()  # decoded pixels carry no text
    assert of_pixels(from_bytes) == of_pixels(from_picture)


def test_claims_can_be_left_out(identifier: Identifier, items: tuple[Item, ...]) -> None:
    data = items[0].path.read_bytes()
    forged = data[:33] + files.text("parameters", FORGED) + data[33:]
    silent = Identifier(identifier.gallery, encoder=Texture(), cache=identifier.cache, claims=False)
    (first,), (second,) = judged(identifier, forged), judged(silent, forged)
    assert (len(first.claims), len(second.claims)) == (1, 0)
    assert (first.claims_read, second.claims_read) == (True, False)
    assert of_pixels(first) == of_pixels(second)


def test_a_file_that_fails_or_changes_keeps_its_answer(
    identifier: Identifier, items: tuple[Item, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (verdict,) = judged(identifier, items[0].path)
    absent = tmp_path / "absent.png"
    (told,) = with_claims([absent], [verdict])
    assert of_pixels(told) == of_pixels(verdict)
    assert "Claims not read" in told.notes[-1]
    (told,) = with_claims([items[1].path], [verdict])
    assert "changed while it was judged" in told.notes[-1]
    failure = Failure("x", ValueError())  # type: ignore[arg-type]
    monkeypatch.setattr(attach, "read_claims", None)  # is not asked
    assert list(with_claims([absent], [failure])) == [failure]
