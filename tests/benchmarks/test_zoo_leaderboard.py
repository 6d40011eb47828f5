"""The leaderboard experiment on painters: what is measured, that it goes on, and that tables say what cells hold."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from benchmarks.zoo import images as experiment_images
from benchmarks.zoo import report
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.leaderboard import Board, Plan, run
from benchmarks.zoo.variants import Lineup

from morelli.errors import InputError

from ..regeneration.painters import Grain, Painter, painters

PLAN = Plan(queries=12, prompts=4, ks=(1, 3), pools=(2, 4), draws=2, folds=2, background=3, methods=("euclid", "fused"))
PROMPTS = [f"prompt {i}" for i in range(4)]


def lineup(models: list[Painter] | None = None) -> Lineup:
    made = painters(4) if models is None else models
    return Lineup(made, {each.model: "even" if int(each.model[-1]) % 2 == 0 else "odd" for each in made}, ("gone",))


def test_it_runs_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = lineup()
    cells = run(PLAN, first, PROMPTS, Grain(), tmp_path)
    # All four candidates and two pools of two, at two k, for four prompts.
    assert len(cells.cells) == (1 + 2) * 2 * 4
    counted = [sum(len(c["truth"]) for c in cells.of("pool") if c["pool"] == 4 and c["k"] == k) for k in (1, 3)]
    assert counted == [12, 12]
    lines = cells.path.read_text().splitlines(keepends=True)
    cells.path.write_text("".join(lines[:-3]) + lines[-3][:20])  # killed in the middle of a line
    second = lineup()
    again = run(PLAN, second, PROMPTS, Grain(), tmp_path)
    assert again.cells == cells.cells
    assert not any(each.made for each in second.generators if isinstance(each, Painter))


def test_painters_are_told_apart(tmp_path: Path) -> None:
    cells = run(PLAN, lineup(), PROMPTS, Grain(), tmp_path)
    found, prompts = report.pooled([c for c in cells.of("pool") if c["k"] == 3 and c["pool"] == 4], "fused")
    assert len(found) == 12
    assert sorted(set(prompts)) == [0, 1, 2, 3]
    assert np.mean([rank == 1 for rank in found]) > 0.6  # by chance 0.25


def test_other_settings_want_another_folder(tmp_path: Path) -> None:
    run(PLAN, lineup(), PROMPTS, Grain(), tmp_path)
    with pytest.raises(InputError, match="other settings \\(prompts\\)"):
        run(PLAN, lineup(), [*PROMPTS[:3], "another"], Grain(), tmp_path)


def test_a_query_is_no_reference_and_background_is_of_other_folds(tmp_path: Path) -> None:
    board = Board(PLAN, lineup(), PROMPTS, Grain(), tmp_path)
    experiment_images.make(board.orders(), tmp_path / "images")
    board.embed()
    seen: list[set[str]] = []

    class Spy:
        uses_background = True

        def fit(self, background):
            seen.append(set(background.prompts.tolist()))
            assert len(background) == 2 * 4 * 3  # prompts of the other fold, models, seeds 0–2
            return self

    import benchmarks.zoo.leaderboard as module

    original = module.load_attributor
    module.load_attributor = lambda name: Spy()  # type: ignore[assignment,return-value]
    try:
        board._attributor(0, "spy")
        board._attributor(3, "spy")
    finally:
        module.load_attributor = original
    assert seen == [{"1", "3"}, {"0", "2"}]
    references = {(m, p, s) for m, p, s in board.row if s < experiment_images.QUERIES}
    assert len(references) == 4 * 4 * 3
    assert len(board.row) - len(references) == PLAN.queries


def test_the_table_says_what_the_cells_hold(tmp_path: Path) -> None:
    plan = Plan(queries=4, ks=(3,), methods=("euclid",))
    cells = Cells(tmp_path / "x.jsonl", {})
    rank = {"euclid": [1, 2]}
    for prompt, ranks in enumerate(([1, 2], [1, 4])):
        cell = {"prompt": prompt, "k": 3, "pool": 4, "draw": 0, "truth": ["model-0"] * 2}
        cells.add(f"pool/4.0/k3/p{prompt}", {**cell, "rank": {"euclid": ranks}, "base_rank": rank})
    text = report.write_leaderboard(cells, asdict(plan), lineup(), tmp_path)
    row = next(line for line in text.splitlines() if line.startswith("| euclid | 4 |"))
    tops = [cell.split()[0] for cell in row.split("|")[3:7]]
    assert tops == ["50.0", "75.0", "75.0", "50.0"]
    assert "4 queries of 2 held-out prompts, seed 0" in text
    assert "Not there, for want of weights: gone." in text
    assert (tmp_path / "leaderboard.png").stat().st_size > 1000
    assert (tmp_path / "leaderboard.md").read_text() == text
