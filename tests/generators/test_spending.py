"""The ledger counts first, survives a crash, and adds money as money."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import InputError, SpendingCapError
from morelli.generators.spending import Ledger, money


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file = tmp_path / "l.jsonl"
    first = Ledger(file)
    first.reserve("a", Decimal("0.1"))
    back = first.reserve("b", Decimal("0.25"))
    first.reserve("a", Decimal("0.2"))
    first.release(back)
    again = Ledger(file, Decimal("0.35"))
    assert (again.total(), again.total("a"), again.total("b")) == (Decimal("0.3"), Decimal("0.3"), 0)
    with pytest.raises(SpendingCapError):
        again.reserve("c", Decimal("0.06"))
    again.reserve("c", Decimal("0.05"))
    assert Ledger(file).total() == Decimal("0.35")


def test_a_generator_s_own_cap() -> None:
    ledger = Ledger()
    ledger.reserve("a", Decimal(1), cap=Decimal(2))
    ledger.reserve("b", Decimal(1), cap=Decimal(1))
    ledger.reserve("a", Decimal(1), cap=Decimal(2))
    with pytest.raises(SpendingCapError, match="cap of 2") as caught:
        ledger.reserve("a", Decimal(1), cap=Decimal(2))
    assert caught.value.argument == "a"


def test_free_images_leave_no_entry(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l", Decimal(0))
    assert ledger.reserve("a", Decimal(0)) is None
    ledger.release(None)
    assert not (tmp_path / "l").exists()


def test_a_line_that_a_crash_cut_off_was_never_sent(tmp_path: Path) -> None:
    file = tmp_path / "l"
    Ledger(file).reserve("a", Decimal(1))
    Ledger(file).reserve("a", Decimal(1))
    file.write_bytes(file.read_bytes()[:-5])
    again = Ledger(file)
    assert again.total() == 1
    again.reserve("a", Decimal(3))
    assert Ledger(file).total() == 4


@pytest.mark.parametrize("line", ["x", "[]", "{}", '{"release": 7}', '{"entry": 0, "generator": "a", "price": "-1"}'])
def test_a_ledger_that_was_tampered_with_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(line + "\n")
    with pytest.raises(InputError, match="line 1 is no entry"):
        Ledger(tmp_path / "l")


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("my notes")
    with pytest.raises(InputError, match="line 1 is no entry"):
        Ledger(tmp_path / "l")
    assert (tmp_path / "l").read_text() == "my notes"


@pytest.mark.parametrize("left", ['{"en', '{"entry": 1, "gen', '{"release": 0'])
def test_a_line_that_was_cut_off_is_taken_away(left: str, tmp_path: Path) -> None:
    Ledger(tmp_path / "l").reserve("a", money(2, ""))
    before = (tmp_path / "l").read_text()
    (tmp_path / "l").write_text(before + left)
    assert Ledger(tmp_path / "l").total() == 2
    assert (tmp_path / "l").read_text() == before


@pytest.mark.parametrize("amount", ["nan", "inf", -1, "-0.01", "ten", None])
def test_amounts(amount: object) -> None:
    with pytest.raises(InputError):
        money(amount, "--cap")  # type: ignore[arg-type]


@given(st.integers(1, 40), st.integers(1, 999), st.integers(0, 5000))
def test_no_more_than_the_cap_and_no_less_than_fits(asked: int, cents: int, cap: int) -> None:
    ledger, sent = Ledger(cap=money(cap / 100, "")), 0
    for _ in range(asked):
        try:
            ledger.reserve("a", money(cents / 100, ""))
        except SpendingCapError:
            break
        sent += 1
    assert sent == min(asked, cap // cents)
