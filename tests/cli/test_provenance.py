"""What JSON results say of how they came about."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morelli.cli import main
from morelli.cli.provenance import provenance
from morelli.evaluation.data import EvaluationSet
from morelli.testing.datasets import write_dataset
from tests.evaluation.samples import TextureEncoder, bare


def test_the_hash_is_of_pixels_and_labels_in_any_order() -> None:
    labels = bare(["a", "a", "b"], ["p", "q", "p"])
    data = EvaluationSet(labels, np.array(["01", "02", "03"]), {}, (), np.array([None] * 3))
    first = provenance(data)
    assert provenance(data.take(np.array([2, 0, 1])))["images_sha256"] == first["images_sha256"]
    for changed in (
        replace(data, contents=np.array(["01", "02", "04"])),
        replace(data, embeddings=replace(labels, models=np.array(["a", "b", "b"]))),
        replace(data, embeddings=replace(labels, prompts=np.array(["p", "q", "q"]))),
        data.take(np.array([0, 1])),
    ):
        assert provenance(changed)["images_sha256"] != first["images_sha256"]
    assert first["versions"]["numpy"] == np.__version__
    assert set(provenance(None)) == {"versions"}


def test_evaluations_and_audits_tell_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("morelli.encoders.catalogue.load_encoder", lambda *_, **__: TextureEncoder())
    folder = write_dataset(tmp_path / "d", models=4, prompts=8, seeds=3, size=48)
    assert main(["evaluate", str(folder), "--method", "euclid", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert main(["exposure", str(folder), "--method", "euclid", "--no-sweeps", "--json"]) == 0
    audited = json.loads(capsys.readouterr().out)
    assert evaluated["images_sha256"] == audited["images_sha256"]
    assert evaluated["versions"] == audited["versions"]
    assert "python" in evaluated["versions"]
    report = tmp_path / "report.html"
    given = tmp_path / "evaluation.json"
    given.write_text(json.dumps(evaluated), encoding="utf-8")
    assert main(["report", str(given), "--out", str(report)]) == 0
    page = report.read_text(encoding="utf-8")
    assert evaluated["images_sha256"] in page
    assert f"numpy {np.__version__}" in page
