"""Limits, addresses, rates and tokens: what is allowed and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morelli.errors import InputError
from morelli.web.addresses import is_loopback, names_loopback, refuse_open_door
from morelli.web.rates import Rates
from morelli.web.settings import Settings
from morelli.web.tokens import VARIABLE, Caller, read_tokens

LONG = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_bytes", 0),
        ("queue", -1),
        ("seconds", 0.0),
        ("seconds", float("nan")),
        ("grace", float("inf")),
        ("rate", -1),
        ("share", 0.0),
        ("share", 1.5),
    ],
)
def test_settings_refuse(name: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        Settings(**{name: value})
    assert caught.value.argument == f"--{name.replace('_', '-')}"


def test_settings_that_may_be_nothing() -> None:
    assert Settings(queue=0, rate=0, wait_ms=0).queue == 0


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - it is refused
        ("::", False),
        ("", False),
        ("10.1.2.3", False),
        ("no such host.invalid", False),
    ],
)
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local
    if local:
        refuse_open_door(host, has_tokens=False)
    else:
        with pytest.raises(InputError) as caught:
            refuse_open_door(host, has_tokens=False)
        assert caught.value.argument == "--host"
    refuse_open_door(host, has_tokens=True)


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
        ("10.0.0.1", False),
    ],
)
def test_host_headers(header: str, local: bool) -> None:
    assert names_loopback(header) is local


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    clock = Clock()
    rates = Rates(6, clock)
    assert [rates.take("a") for _ in range(6)] == [0] * 6
    assert rates.take("a") == 10  # one request every ten seconds
    assert rates.take("b") == 0  # another caller's bucket
    clock.now += 9.5
    assert rates.take("a") == 1
    clock.now += 0.5
    assert rates.take("a") == 0
    assert rates.take("a") == 10
    clock.now += 3600
    assert [rates.take("a") for _ in range(7)] == [0] * 6 + [10]


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_no_minute_gets_more_than_two_buckets(pauses: list[float], limit: int) -> None:
    """At once a bucket, and over the minute another one: no more in any 60 seconds."""
    clock = Clock()
    rates, allowed = Rates(limit, clock), []
    for pause in pauses:
        clock.now += pause
        if rates.take("a") == 0:
            allowed.append(clock.now)
    for begin in allowed:
        assert sum(begin <= each < begin + 60 for each in allowed) <= 2 * limit


def test_no_limit() -> None:
    rates = Rates(0)
    assert [rates.take("a") for _ in range(1000)] == [0] * 1000


def test_callers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morelli.web.rates.REMEMBERED", 3)
    rates = Rates(1, Clock())
    for name in "abcd":
        rates.take(name)
    assert len(rates._buckets) == 3
    assert rates.take("d") > 0
    assert rates.take("a") == 0


# -- tokens -----------------------------------------------------------------------------------------------------------


def token_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_tokens_of_file_and_environment(tmp_path: Path) -> None:
    file = token_file(tmp_path, f"# ours\n\nalice read {LONG}\n")
    tokens = read_tokens(file, {VARIABLE: f"bob write {OTHER}"})
    assert tokens.find(LONG) == Caller("alice", "read")
    assert tokens.find(OTHER) == Caller("bob", "write")
    assert tokens.find(LONG + "0") is None
    assert tokens.find("") is None
    assert not read_tokens(None, {})


def test_roles() -> None:
    assert Caller("a", "read").may("read")
    assert not Caller("a", "read").may("write")
    assert Caller("a", "write").may("read")


def test_a_token_is_never_shown(tmp_path: Path) -> None:
    tokens = read_tokens(token_file(tmp_path, f"alice read {LONG}"), {})
    assert LONG not in repr(tokens)
    with pytest.raises(InputError) as caught:
        read_tokens(token_file(tmp_path, f"alice admin {LONG}"), {})
    assert LONG not in str(caught.value)
    assert "line 1" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "alice read short",
        f"alice admin {LONG}",
        f"alice {LONG}",
        f"a/b read {LONG}",
        f"alice read {LONG}\nalice write {OTHER}",
        f"alice read {LONG}\nbob write {LONG}",
        "# nothing",
        "",
    ],
)
def test_bad_tokens(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        read_tokens(token_file(tmp_path, text), {})


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    with pytest.raises(InputError, match="chmod 600"):
        read_tokens(token_file(tmp_path, f"alice read {LONG}", mode), {})


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_tokens(tmp_path / "none", {})
    assert caught.value.argument == "--tokens"
