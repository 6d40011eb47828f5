"""Waiting and the meaning of statuses, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from morelli.generators.transport import transport_trouble
from morelli.generators.trouble import Backoff, from_status, retry_after


def test_backoff_doubles_spreads_and_ends() -> None:
    backoff = Backoff(first=1, longest=10)
    assert [backoff.seconds(n, None, 1.0) for n in (1, 2, 3, 4, 5, 99)] == [1, 2, 4, 8, 10, 10]
    assert [backoff.seconds(n, None, 0.0) for n in (1, 2)] == [0.5, 1]
    assert backoff.seconds(1, 7.0, 0.0) == 7
    assert 7 < backoff.seconds(9, 7.0, 0.5) < 8


def test_retry_after_in_both_forms() -> None:
    assert retry_after("3") == 3
    assert retry_after("1.5") == 1.5
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after(soon) or 0) <= 30
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after(value) for value in (None, "", "soon", "inf", "nan")] == [None] * 5
    assert retry_after("-4") == 0


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "", "x", "key"),
        (403, "", "x", "key"),
        (403, "", "content policy", "refused"),
        (402, "", "x", "quota"),
        (408, "", "x", "busy"),
        (429, "insufficient_quota", "x", "quota"),
        (500, "", "safety checker crashed", "broken"),
        (503, "", "x", "broken"),
        (400, "model_not_found", "x", "model"),
        (404, "", "x", "model"),
        (418, "", "x", "request"),
    ],
)
def test_statuses(status: int, code: str, message: str, kind: str) -> None:
    assert from_status(status, code, message, {}).kind == kind


def test_errors_of_the_network() -> None:
    class Wrapped(Exception):
        pass

    def wrap(cause: BaseException) -> BaseException:
        error = Wrapped("outside")
        error.__cause__ = cause
        return error

    assert transport_trouble(wrap(ConnectionRefusedError("no"))).kind == "unreachable"
    assert transport_trouble(wrap(TimeoutError("late"))).kind == "timeout"
    assert transport_trouble(ConnectionResetError("gone")).kind == "cut"
    with pytest.raises(ZeroDivisionError):
        transport_trouble(ZeroDivisionError())
