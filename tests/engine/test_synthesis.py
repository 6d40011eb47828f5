"""Synthetic models trained by workers: the same stores as trained here, and a lost group stops no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from morelli.engine.base import Engine
from morelli.errors import EngineError
from morelli.synthesis.architectures import select
from morelli.synthesis.run import Plan, synthesize
from morelli.synthesis.store import Store

from ..synthesis.samples import photos, quick
from .fakes import PickledEngine

NAMES = "000000,000001"


def weights(folder: Path) -> dict[str, bytes]:
    """Every shard's bytes."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.safetensors"))}


def make(folder: Path, engine: Engine | None) -> dict[str, object]:
    return synthesize(Plan(select(NAMES), 2, together=1, device="cpu"), photos(), folder, quick(), engine=engine)


def test_as_trained_here(tmp_path: Path) -> None:
    here, there = make(tmp_path / "here", None), make(tmp_path / "there", PickledEngine())
    assert {k: v for k, v in here.items() if k != "seconds"} == {k: v for k, v in there.items() if k != "seconds"}
    assert weights(tmp_path / "here") == weights(tmp_path / "there")
    assert len(weights(tmp_path / "there")) > 0
    again = PickledEngine()
    assert make(tmp_path / "there", again)["made"] == 0
    assert again.items == []


def test_a_lost_group_is_told_after_the_others_were_trained(tmp_path: Path) -> None:
    engine = PickledEngine(loses=lambda keys: (keys[0].architecture_id, keys[0].seed) == ("000001", 0))
    with pytest.raises(EngineError, match=r"1 models could not be trained; 3 others .* 000001, seed 0"):
        make(tmp_path / "s", engine)
    assert len(Store(tmp_path / "s").records) == 3
    assert make(tmp_path / "s", PickledEngine())["made"] == 1


@pytest.mark.slow
def test_on_ray_as_trained_here(ray_engine: Engine, tmp_path: Path) -> None:
    make(tmp_path / "here", None)
    make(tmp_path / "there", ray_engine)
    assert weights(tmp_path / "here") == weights(tmp_path / "there")
