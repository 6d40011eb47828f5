"""``morelli doctor``: says what there is, and how to get what there is not."""

from __future__ import annotations

import builtins
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from morelli.cli import diagnosis, main
from morelli.cli.diagnosis import cpu_flags, diagnose, folder_size
from morelli.cli.doctor import lines

X86 = "processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\n\nprocessor\t: 1\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n"


def test_cpu_flags_of_both_kinds() -> None:
    assert cpu_flags(X86) == {"fpu", "avx2", "avx512_bf16", "amx_tile"}
    assert cpu_flags(ARM) == {"fp", "asimd", "bf16", "i8mm"}
    assert cpu_flags("Hardware : x\n") == frozenset()


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return diagnose()


def test_json_is_one_object_on_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, report: dict[str, Any]
) -> None:
    monkeypatch.setattr(diagnosis, "diagnose", lambda: report)
    assert main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1
    said = json.loads(out)
    assert said["schema"] == "morelli.doctor/1"
    assert said["python"]["version"] == ".".join(map(str, sys.version_info[:3]))


def test_text_names_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, report: dict[str, Any]
) -> None:
    monkeypatch.setattr(diagnosis, "diagnose", lambda: report)
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for name in ("morelli", "Python", "torch", "pylance", "transformers", "efficientnet-lite0", "cache"):
        assert any(line.startswith(name + " ") for line in out.splitlines())


def test_versions_are_those_that_are_imported(report: dict[str, Any]) -> None:
    import numpy
    import torch

    assert report["torch"]["version"].split("+")[0] == torch.__version__.split("+")[0]
    assert report["packages"]["numpy"] == {"version": numpy.__version__, "fix": None}


def test_the_embedded_encoders_are_ready(report: dict[str, Any]) -> None:
    ready = {entry["id"]: entry["ready"] for entry in report["encoders"]}
    assert ready["efficientnet-lite0"]
    assert ready["efficientnet-lite2"]


def test_a_broken_encoder_is_reported_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from morelli.encoders import catalogue
    from morelli.errors import WeightsError

    def load(name: str) -> None:
        raise WeightsError("is not the file.", fix="Install it anew.") if name == "one" else RuntimeError("odd")

    monkeypatch.setattr(catalogue, "encoder_names", lambda: ("one", "two"))
    monkeypatch.setattr(catalogue, "load_encoder", load)
    said = dict(lines(diagnose()))
    assert said["one"] == "NOT READY: is not the file. Install it anew."
    assert said["two"] == "NOT READY: RuntimeError: odd"


def test_what_is_not_installed_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        if name == "transformers":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(diagnosis, "version", absent)
    assert diagnosis._packages()["transformers"] == {"version": None, "fix": 'pip install "morelli[transformers]"'}
    assert diagnosis._packages()["numpy"]["version"] == "1"


def test_a_torch_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def failing(name: str, *rest: Any, **more: Any) -> Any:
        if name == "torch":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", failing)
    report = diagnose()
    assert "libgomp.so.1" in report["torch"]["problem"]
    assert report["encoders"] == []
    assert "libgomp.so.1" in dict(lines(report))["torch"]


def test_folder_size_counts_files_and_not_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 1000)
    (tmp_path / "two").write_bytes(b"x" * 24)
    assert folder_size(tmp_path) == 1024
    (tmp_path / "link").symlink_to(tmp_path / "a" / "one")
    assert folder_size(tmp_path) < 2000
    assert folder_size(tmp_path / "absent") == 0
