"""Progress bars: one a stage on a terminal's stderr, gone afterwards; not a character anywhere else."""

from __future__ import annotations

import io
import re
import sys

import pytest

from morelli.cli.progress import progress, staged_progress

# What a terminal is sent to erase a line, and to hide or show the cursor.
ERASE, HIDE, SHOW = "\x1b[2K", "\x1b[?25l", "\x1b[?25h"

Frame = list[tuple[str, str]]


class Terminal(io.StringIO):
    """Keeps all that it is sent."""

    def isatty(self) -> bool:
        return True

    def frames(self) -> list[Frame]:
        """Stage and "done/total" of each bar, for each time that the bars were drawn."""
        drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part) for part in self.getvalue().split(ERASE)]
        found = (re.findall(r"(\w+) +[━╸╺]+ +(\d+/[\d?]+)", part) for part in drawn)
        return [frame for frame in found if frame]

    def restored(self) -> bool:
        """Whether the bars are erased, and the cursor is shown as often as it was hidden."""
        sent = self.getvalue()
        return sent.endswith(ERASE) and sent.count(HIDE) == sent.count(SHOW) > 0


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for a bar, and no word from the environment on what a terminal is."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch, wide: None):
    """Makes stderr a terminal; called in the test itself, for pytest changes stderr between the two."""

    def opened() -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    return opened


def test_off_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with staged_progress() as report:
        for stage in ("embedding", "euclid"):
            for done in range(3):
                report(stage, done, 2)
    with progress("reading") as count:
        count(1, 1)
    assert capsys.readouterr() == ("", "")


def test_off_a_terminal_rich_is_not_loaded(monkeypatch: pytest.MonkeyPatch, open_terminal) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)  # an import of it fails
    with staged_progress() as report:
        report("embedding", 1, 2)
    open_terminal()
    with pytest.raises(ImportError), staged_progress():
        pass


def test_a_terminal_shows_the_last_count_on_stderr(open_terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = open_terminal()
    with staged_progress() as report:
        for done in range(5):
            report("embedding", done, 4)
    assert terminal.frames()[-1] == [("embedding", "4/4")]
    assert capsys.readouterr().out == ""


def test_no_bar_before_the_first_report(open_terminal) -> None:
    terminal = open_terminal()
    with staged_progress():
        pass
    assert terminal.frames() == []


@pytest.mark.parametrize(
    ("told", "last"),
    [
        ([("embedding", 3, 3)], [("embedding", "3/3")]),
        ([("embedding", 3, 3), ("euclid", 1, 5)], [("embedding", "3/3"), ("euclid", "1/5")]),
        ([("embedding", 3, 3), ("euclid", 1, 5), ("euclid", 5, 5)], [("embedding", "3/3"), ("euclid", "5/5")]),
        ([("euclid", 1, 5), ("embedding", 1, 3), ("euclid", 2, 5)], [("euclid", "2/5"), ("embedding", "1/3")]),
        ([("reading", 2, 2), ("reading", 2, 7)], [("reading", "2/7")]),
    ],
    ids=["one", "a second", "the second advances", "by turns", "the total grows"],
)
def test_stages_advance_each_by_itself(open_terminal, told: list[tuple[str, int, int]], last: Frame) -> None:
    """What is drawn on the way hangs on the clock; what is drawn last does not."""
    terminal = open_terminal()
    with staged_progress() as report:
        for each in told:
            report(*each)
    assert terminal.frames()[-1] == last


def test_the_bars_are_gone_afterwards(open_terminal) -> None:
    terminal = open_terminal()
    with progress("embedding") as report:
        report(2, 4)
        assert not terminal.restored()
    assert terminal.frames()[-1] == [("embedding", "2/4")]
    assert terminal.restored()


def test_what_goes_wrong_inside_comes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError, match="inside"), staged_progress() as report:
        report("embedding", 1, 2)
        raise ZeroDivisionError("inside")
    assert capsys.readouterr() == ("", "")


def test_what_goes_wrong_inside_leaves_the_terminal_as_it_was(open_terminal) -> None:
    terminal = open_terminal()
    with pytest.raises(ZeroDivisionError, match="inside"), staged_progress() as report:
        report("embedding", 1, 2)
        raise ZeroDivisionError("inside")
    assert terminal.frames()[-1] == [("embedding", "1/2")]
    assert terminal.restored()
    again = open_terminal()
    with staged_progress() as report:
        report("euclid", 1, 1)
    assert again.frames()[-1] == [("euclid", "1/1")]
