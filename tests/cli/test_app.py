"""The program around the commands: exit status, streams, errors in one line, interruption, a reader that goes away."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from morelli import __version__
from morelli.cli import app, main
from morelli.cli.output import emit_json, plain, refusal
from morelli.cli.progress import progress
from morelli.errors import StorageError, UnknownNameError

# A command that ends in whatever way its argument says. It stands in for the real ones.
PROBE = '''
import errno
import typer
from morelli.errors import GalleryError, TruncatedImageError

def register(app):
    @app.command()
    def probe(end: str, as_json: bool = typer.Option(False, "--json")):
        """Ends as it is told."""
        if end == "well":
            print("data")
        elif end == "image":
            raise TruncatedImageError("the file ends\\nearly.", argument="a.png", fix="Fetch it again.")
        elif end == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "g.morelli")
        elif end == "lance":
            raise OSError("LanceError(IO): Generic: No space left on device (os error 28), rust/x.rs:1")
        elif end == "bug":
            raise ZeroDivisionError("a bug")
        elif end == "other":
            raise OSError(errno.ENOTCONN, "odd")
        elif end == "interrupt":
            raise KeyboardInterrupt
        elif end == "one":
            raise typer.Exit(1)
        elif end == "much":
            for i in range(200_000):
                print(i)
'''
TABLE = {"probe": "probe_command"}


@pytest.fixture(autouse=True)
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "probe_command.py").write_text(PROBE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "probe_command", raising=False)
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)


def test_version_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"morelli {__version__}\n"


def test_help_lists_every_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, command in app.build().commands.items():
        assert name in out
        assert command.get_short_help_str()


def test_every_command_of_the_table_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in app.COMMANDS:
        assert main([name, "--help"]) == 0
        assert name in capsys.readouterr().out


def test_a_command_loads_its_own_module_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "well"], {**TABLE, "broken": "no_such_module_at_all"}) == 0
    assert capsys.readouterr().out == "data\n"


def test_an_input_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "image"], TABLE) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: a.png: the file ends early. Fetch it again.\n"


def test_an_input_error_with_json_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "image", "--json"], TABLE) == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: a.png")
    assert json.loads(out) == {
        "schema": "morelli.error/1",
        "image": None,
        "argument": "a.png",
        "message": "the file ends\nearly.",
        "fix": "Fetch it again.",
    }


@pytest.mark.parametrize("end", ["full", "lance"])
def test_a_full_disk_is_named(end: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", end], TABLE) == 1
    err = capsys.readouterr().err
    assert "the disk is full. Free some space" in err
    assert len(err.splitlines()) == 1
    assert ("g.morelli" in err) == (end == "full")


@pytest.mark.parametrize(("arguments", "environment"), [(["--traceback"], ""), ([], "1")])
def test_a_traceback_when_asked_for(
    arguments: list[str], environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MORELLI_TRACEBACK", environment)
    for order in ([*arguments, "probe", "image"], ["probe", "image", *arguments]):
        assert main(order, TABLE) == 1
        err = capsys.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert "TruncatedImageError" in err
        assert err.splitlines()[-1].startswith("error: a.png")


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        main(["probe", "bug"], TABLE)
    with pytest.raises(OSError, match="odd"):
        main(["probe", "other"], TABLE)


def test_interruption_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "interrupt"], TABLE) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_command_may_choose_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "one"], TABLE) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", [["prob"], ["probe"], ["probe", "well", "--jsom"], ["--nonsense"]])
def test_wrong_usage_is_2_and_talks_on_stderr(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(wrong, TABLE) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err
    if wrong == ["prob"]:
        assert "Did you mean 'probe'?" in err


def _start(arguments: list[str], tmp_path: Path) -> subprocess.Popen[bytes]:
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from morelli.cli import main\n"
    code += f"sys.exit(main({arguments!r}, {TABLE!r}))"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_reader_that_goes_away_is_met_in_silence(tmp_path: Path) -> None:
    running = _start(["probe", "much"], tmp_path)
    assert running.stdout is not None
    assert running.stderr is not None
    assert running.stdout.readline() == b"0\n"
    running.stdout.close()
    assert running.wait(30) == 141
    assert running.stderr.read() == b""
    running.stderr.close()


def test_the_status_reaches_the_shell(tmp_path: Path) -> None:
    for end, status in (("well", 0), ("image", 1), ("interrupt", 130)):
        running = _start(["probe", end], tmp_path)
        running.communicate(timeout=30)
        assert running.returncode == status


def test_plain_turns_numpy_paths_and_nan_into_json(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "f": np.float32(0.5),
        "nan": float("nan"),
        "array": np.array([1.0, np.inf]),
        "path": Path("a") / "b",
        "names": ("x", np.str_("y")),
        3: np.bool_(True),
        "odd": "caf\udce9 ↑",
    }
    assert plain(value)["array"] == [1.0, None]
    emit_json(value)
    line = capsys.readouterr().out
    assert line.isascii()
    assert json.loads(line) == {
        "f": 0.5,
        "nan": None,
        "array": [1.0, None],
        "path": "a/b",
        "names": ["x", "y"],
        "3": True,
        "odd": "caf\udce9 ↑",
    }
    with pytest.raises(TypeError, match="no form in JSON"):
        emit_json({"f": object()})


def test_refusal_knows_the_disk_and_nothing_else() -> None:
    for number, words in ((errno.ENOSPC, "full"), (errno.EROFS, "read-only"), (errno.EACCES, "denied")):
        error = refusal(OSError(number, "x", "out/file"))
        assert isinstance(error, StorageError)
        assert words in error.message
        assert error.argument == "out/file"
    assert refusal(OSError(errno.ENOTCONN, "odd")) is None
    assert refusal(OSError("no number at all")) is None


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("embedding") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_draws_on_stderr_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("embedding") as report:
        report(2, 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert "embedding" in err
    assert "2/4" in err


def test_key_error_subclasses_print_plainly(capsys: pytest.CaptureFixture[str]) -> None:
    from morelli.cli.output import say_error

    say_error(UnknownNameError("method", "fusedd", ["fused"]))
    assert capsys.readouterr().err == "error: method: no method is called 'fusedd'. Did you mean 'fused'?\n"
