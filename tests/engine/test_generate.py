"""Images made by workers, ahead of their turn: the same files, the same rows, the same failures as made here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.cli import main
from morelli.engine.base import Engine
from morelli.errors import EngineError, WorkerLostError
from morelli.generators.produce import Outcome, run
from morelli.generators.prompts import Prompt
from morelli.generators.store import ImageStore
from morelli.testing.datasets import write_dataset

from .fakes import PickledEngine
from .work import ToyGenerator

PROMPTS = [Prompt("a", "p1"), Prompt("bad one", "p2"), Prompt("b", "p3"), Prompt("a", "p4"), Prompt("c", "p5")]


def made(
    folder: Path, engine: Engine | None, generator: ToyGenerator, prompts: list[Prompt] = PROMPTS, count: int = 3
) -> Outcome:
    with ImageStore(folder) as store:
        return run([generator], prompts, count, store, engine=engine)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def told(outcome: Outcome) -> tuple[object, ...]:
    failed = [(model, prompt, type(error), str(error)) for model, prompt, error in outcome.failed]
    return outcome.made, outcome.there, outcome.cost, failed


@given(batch=st.integers(1, 4), first=st.integers(0, 3), count=st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_as_made_here_whatever_was_there(
    batch: int, first: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    outcomes = []
    for folder, engine in ((here, None), (there, PickledEngine())):
        if first:
            made(folder, None, ToyGenerator(batch), [PROMPTS[2], PROMPTS[4]], first)
        outcomes.append(told(made(folder, engine, ToyGenerator(batch), count=count)))
    assert outcomes[0] == outcomes[1]
    assert contents(here) == contents(there)


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    good = [each for each in PROMPTS if "bad" not in each.text]
    made(tmp_path, PickledEngine(), ToyGenerator(), good)
    engine, generator = PickledEngine(), ToyGenerator()
    outcome = made(tmp_path, engine, generator, good)
    assert (outcome.made.total(), outcome.there["toy"]) == (0, 12)
    assert engine.items == []
    assert generator.asked == []


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    made(tmp_path, PickledEngine(), ToyGenerator(batch=1))
    whole = contents(tmp_path)
    victim = next(tmp_path.rglob("*.png"))
    victim.write_bytes(b"torn")
    outcome = made(tmp_path, PickledEngine(), ToyGenerator(batch=1))
    assert outcome.made["toy"] == 1
    assert contents(tmp_path) == whole


def test_a_lost_worker_costs_its_prompt_and_no_other(tmp_path: Path) -> None:
    outcome = made(tmp_path, PickledEngine(loses=lambda job: job.prompt == "b"), ToyGenerator())
    assert [(prompt, type(error)) for _, prompt, error in outcome.failed][-1] == ("b", WorkerLostError)
    assert outcome.made["toy"] == 3 + 2 + 0 + 3  # of the bad prompt the first run of two
    assert outcome.there["toy"] == 3  # "a" is asked for twice
    assert "c" in (tmp_path / "metadata.csv").read_text()


def test_a_foreign_error_at_a_worker_is_told_and_stops_no_other(tmp_path: Path) -> None:
    outcome = made(tmp_path, PickledEngine(), ToyGenerator(), [Prompt("mad"), Prompt("c")], 1)
    assert [prompt for _, prompt, _ in outcome.failed] == ["mad"]
    assert "ZeroDivisionError" in str(outcome.failed[0][2])
    assert outcome.made["toy"] == 1


def test_a_cluster_that_is_gone_ends_the_run(tmp_path: Path) -> None:
    class Gone(PickledEngine):
        def map(self, *args, **kwargs):  # type: ignore[override]
            raise EngineError("the cluster is gone.")
            yield

    with pytest.raises(EngineError, match="gone"):
        made(tmp_path, Gone(), ToyGenerator())


def test_hosted_generators_are_asked_by_this_process_alone(tmp_path: Path) -> None:
    engine, generator = PickledEngine(), ToyGenerator(hosted=True)
    made(tmp_path, engine, generator, [Prompt("a")], 2)
    assert engine.items == []
    assert generator.asked == [("a", 1, 0), ("a", 1, 1)]


@pytest.mark.slow
def test_on_ray_as_made_here(ray_engine: Engine, tmp_path: Path) -> None:
    here = made(tmp_path / "here", None, ToyGenerator())
    there = made(tmp_path / "there", ray_engine, ToyGenerator())
    assert told(here) == told(there)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_an_address_without_ray_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_dataset(tmp_path / "d", models=1, prompts=1, seeds=1, size=32)
    given = ["generate", "made-up scene 0", "--generator", f"folder:{source}", "--out", str(tmp_path / "o")]
    assert main([*given, "--ray-address", "h:1"]) == 1
    assert "--ray-address: only a Ray cluster has one." in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_s_option(ray_engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_dataset(tmp_path / "d", models=1, prompts=2, seeds=2, size=32)
    for engine in ("local", "ray"):
        given = ["generate", "made-up scene 0", "--generator", f"folder:{source}", "--count", "2"]
        assert main([*given, "--out", str(tmp_path / engine), "--engine", engine]) == 0
        assert "2 made" in capsys.readouterr().out
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
