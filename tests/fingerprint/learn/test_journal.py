"""A journal whose files are damaged says which, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from morelli.errors import InputError, WeightsError
from morelli.fingerprint.learn.journal import Journal

WORDS = {"settings": {"lr": 0.5}}


@pytest.mark.parametrize("line", ['{"loss": 1.0}', "5", '{"step": "x"}', '{"step"', "[]", '{"step": null}'])
def test_a_line_of_the_log_that_is_none(tmp_path: Path, line: str) -> None:
    journal = Journal(tmp_path, WORDS)
    journal.log({"step": 1, "loss": 2.0})
    journal.save({"step": 3})
    log = tmp_path / "log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + line.encode() + b"\n")
    with pytest.raises(InputError, match=r"log.jsonl: line 2 is no line of a training's log.*Remove that line"):
        journal.load("cpu")
    log.write_bytes(whole + line.encode())  # without its end: cut by a crash, and taken out
    state = journal.load("cpu")
    assert state is not None and state["step"] == 3 and log.read_bytes() == whole


@pytest.mark.parametrize("state", [{"words": WORDS}, {"step": 3}, {"step": "x", "words": WORDS}, [1], {"words": 5}])
def test_a_checkpoint_that_lacks_something(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="is no checkpoint"):
        Journal(tmp_path, WORDS).load("cpu")
