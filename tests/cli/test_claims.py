"""``morelli claims`` through the command line, and claims in ``morelli identify``'s printed verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from morelli.cli import main
from morelli.cli.claims import claim_lines
from morelli.types import Claim

from ..images.claims import files
from ..test_light_import import loaded_by


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(files.png(files.text("parameters", files.INFOTEXT)))
    (tmp_path / "b.png").write_bytes(files.png())
    return tmp_path


def test_for_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", str(folder)]) == 0
    out = capsys.readouterr().out
    assert f"{folder / 'a.png'}: 1 claim, 0 signed\nclaims      parameters of Stable Diffusion web UI" in out
    assert 'model "dreamshaper_8"; hash abc123def0' in out
    assert "[anyone could have written this]" in out
    assert f"{folder / 'b.png'}: says nothing of itself" in out


def test_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "c.png").write_bytes(b"no picture")
    assert main(["claims", str(folder / "a.png"), str(folder / "c.png"), "--json"]) == 1
    captured = capsys.readouterr()
    first, second = (json.loads(line) for line in captured.out.splitlines())
    assert set(first) == {"image", "sha256", "schema", "version", "claims", "notes"}
    assert first["schema"] == "morelli.claims/1"
    assert [set(claim) for claim in first["claims"]] == [{"source", "statement", "signed"}]
    assert second["schema"] == "morelli.error/1"
    assert "not an image" in captured.err


def test_signed_and_not_in_words() -> None:
    lines = list(claim_lines([Claim("a", "b", signed=True), Claim("c", "d", signed=False)]))
    assert lines == [("claims", "a: b [signed]"), ("", "c: d [anyone could have written this]")]


def test_a_root_file_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", str(folder / "a.png"), "--trust", str(folder / "a.png")]) == 1
    assert "--trust" in capsys.readouterr().err


def test_signed_below_a_named_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ..images.claims import signing

    me = signing.identity("Test Works")
    (tmp_path / "root.pem").write_bytes(me.root)
    (tmp_path / "s.png").write_bytes(signing.sign(files.png(), "image/png", me))
    assert main(["claims", str(tmp_path / "s.png"), "--trust", str(tmp_path / "root.pem")]) == 0
    out = capsys.readouterr().out
    assert "3 claims, 3 signed" in out
    assert 'Content Credentials, signer "Test Works": signed by "Test Works"' in out
    assert "[signed]" in out
    assert main(["claims", str(tmp_path / "s.png")]) == 0
    out = capsys.readouterr().out
    assert "3 claims, 0 signed" in out
    assert "[signed]" not in out


def test_the_command_needs_no_torch(folder: Path) -> None:
    code = f"from morelli.cli import main\nassert main(['claims', {str(folder)!r}]) == 0"
    assert loaded_by(code) == []
