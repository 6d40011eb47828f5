"""Variants as a leaderboard: the dataset holds every image once, goes on where it stopped, and can be audited."""

from __future__ import annotations

import copy
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from benchmarks.zoo import exposure
from benchmarks.zoo.batches import InBatches
from benchmarks.zoo.variants import Lineup, line_up

from morelli.audit import AuditSettings, audit
from morelli.exposure.simulation import VoteSettings
from morelli.generators.base import Generator
from morelli.generators.produce import produce
from morelli.generators.store import ImageStore
from morelli.generators.zoo.generator import ZooGenerator
from morelli.generators.zoo.world import prompts as world_prompts
from morelli.images.dataset import read_dataset

from ..evaluation.samples import TextureEncoder
from ..regeneration.painters import Painter, painters

PROMPTS = world_prompts("test", 6, 0)


def lineup() -> Lineup:
    made = painters(3)
    return Lineup(made, {each.model: "even" if int(each.model[-1]) % 2 == 0 else "odd" for each in made})


def test_every_variant_has_every_image_and_an_audit_reads_them(tmp_path: Path) -> None:
    asked = list(exposure.orders(lineup(), PROMPTS, 4))
    assert exposure.make_some(asked, tmp_path, time.monotonic() + 60)
    assert exposure.write_dataset(asked, lineup(), tmp_path) == 6 * 3 * 4
    read = read_dataset(tmp_path)
    assert read.notes == ()
    assert set(Counter((item.model, item.prompt_id) for item in read.items).values()) == {4}
    assert {item.prompt for item in read.items} == set(PROMPTS)
    for item in read.items:
        related = any(f" {word} " in item.prompt for word in ("left of", "right of", "above", "below"))
        assert item.category == ("two groups" if related else "one group")
        assert item.family == item.base == lineup().bases[item.model]
    found = audit(read, [TextureEncoder()], AuditSettings("euclid", k=3, votes=VoteSettings(simulations=3, most=50)))
    assert (found.result["n_models"], found.result["n_prompts"], found.result["k"]) == (3, 6, 3)
    assert {row["k"] for row in found.result["curves"]["k"]} == {1, 2, 3}


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = lineup()
    some = [order for order in exposure.orders(first, PROMPTS, 2) if order.prompt in PROMPTS[:2]]
    assert exposure.make_some(some, tmp_path, time.monotonic() + 60)
    second = lineup()
    asked = list(exposure.orders(second, PROMPTS, 2))
    assert not exposure.make_some(asked, tmp_path, time.monotonic() - 1)
    assert exposure.make_some(asked, tmp_path, time.monotonic() + 60)
    made = sum(len(each.made) for each in second.generators if isinstance(each, Painter))
    assert made == 4 * 3 * 2  # the four prompts that the first run did not come to


def test_images_at_once_are_those_of_one_after_another_but_for_rounding(tmp_path: Path) -> None:
    single = line_up().generators[0]
    assert isinstance(single, ZooGenerator)
    several = copy.deepcopy(InBatches(single, 3))  # as a process of its own gets it
    assert isinstance(several, Generator)
    assert (several.id, several.model, several.revision) == (single.id, single.model, single.revision)
    alone = single.generate(PROMPTS[0], 2, 5)
    with ImageStore(tmp_path) as store:
        together = [each.image for each in produce(several, PROMPTS[0], 4, 5, store=store)]
        assert all(not each.fresh for each in produce(single, PROMPTS[0], 4, 5, store=store))
    assert [each.seed for each in together] == [5, 6, 7, 8]
    for one, other in zip(alone, together, strict=False):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 2


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("two red striped circles left of one blue star on sand at dusk", "two groups"),
        ("three yellow circles on tiles at dusk", "one group"),
    ],
)
def test_categories(prompt: str, said: str) -> None:
    assert exposure.category(prompt) == said


def test_missing_weights_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exposure.main(["--out", str(tmp_path / "o"), "--weights", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")
