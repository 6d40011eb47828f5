from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morelli.encoders.cache import EmbeddingCache, default_folder
from morelli.types import EncoderStamp

STAMP = EncoderStamp("toy", "r1", "p1", {"a": 3, "b": 2})
ENTRY = {"a": np.array([1, 2, 3], np.float32), "b": np.array([-0.5, 1e-30], np.float32)}


def content(i: int) -> str:
    return f"{i:064x}"


def same(x: dict[str, np.ndarray], y: dict[str, np.ndarray]) -> bool:
    return list(x) == list(y) and all(np.array_equal(x[k], y[k]) and x[k].dtype == y[k].dtype for k in x)


def raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("0123456789abcdef", min_size=64, max_size=64),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=5, max_size=5),
        max_size=8,
    )
)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, values: dict[str, list[float]]) -> None:
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache"))
    entries = {k: {"a": np.array(v[:3], np.float32), "b": np.array(v[3:], np.float32)} for k, v in values.items()}
    cache.put(STAMP, entries)
    found = cache.get(STAMP, [*entries, "absent"])
    assert found.keys() == entries.keys()
    assert all(same(found[k], entries[k]) for k in entries)


def test_more_keys_than_one_statement_takes(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(i): {"a": np.full(3, i, np.float32), "b": np.zeros(2, np.float32)} for i in range(1700)})
    found = EmbeddingCache(tmp_path).get(STAMP, [content(i) for i in range(2000)])
    assert len(found) == 1700
    assert found[content(1234)]["a"].tolist() == [1234, 1234, 1234]


@pytest.mark.parametrize(
    "other",
    [
        EncoderStamp("toy2", "r1", "p1", STAMP.dims),
        EncoderStamp("toy", "r2", "p1", STAMP.dims),
        EncoderStamp("toy", "r1", "p2", STAMP.dims),
        EncoderStamp("toy", "r1", "p1", {"b": 2, "a": 3}),
        EncoderStamp("toyr", "1", "p1", STAMP.dims),
    ],
)
def test_every_part_of_the_stamp_is_part_of_the_key(tmp_path: Path, other: EncoderStamp) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(1): ENTRY})
    assert cache.get(other, [content(1)]) == {}
    assert same(cache.get(STAMP, [content(1)])[content(1)], ENTRY)


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert EmbeddingCache(tmp_path / "c").get(STAMP, [content(1)]) == {}
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[:-1],
        lambda blob: blob[:9] + bytes([blob[9] ^ 1]) + blob[10:],
        lambda blob: bytes([blob[0] ^ 1]) + blob[1:],
        lambda blob: b"",
        lambda blob: "text",
    ],
)
def test_a_damaged_entry_is_a_miss_and_can_be_written_again(tmp_path: Path, damage: object) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(1): ENTRY, content(2): ENTRY})
    with raw(cache.path(STAMP)) as connection:
        (blob,) = connection.execute("SELECT vectors FROM embeddings WHERE content = ?", [content(1)]).fetchone()
        broken = damage(blob)  # type: ignore[operator]
        connection.execute("UPDATE embeddings SET vectors = ? WHERE content = ?", [broken, content(1)])
    connection.close()
    assert list(cache.get(STAMP, [content(1), content(2)])) == [content(2)]
    cache.put(STAMP, {content(1): ENTRY})
    assert same(cache.get(STAMP, [content(1)])[content(1)], ENTRY)


def test_an_entry_moved_to_another_key_is_a_miss(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(1): ENTRY})
    with raw(cache.path(STAMP)) as connection:
        connection.execute("UPDATE embeddings SET content = ?", [content(2)])
    connection.close()
    assert cache.get(STAMP, [content(2)]) == {}


def test_a_damaged_file_is_started_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = EmbeddingCache(tmp_path).path(STAMP)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database" * 100)
    cache = EmbeddingCache(tmp_path)
    assert cache.get(STAMP, [content(1)]) == {}
    assert "damaged" in caplog.text
    cache.put(STAMP, {content(1): ENTRY})
    assert cache.enabled
    assert same(EmbeddingCache(tmp_path).get(STAMP, [content(1)])[content(1)], ENTRY)


def test_a_folder_that_cannot_be_made_switches_off_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = EmbeddingCache(tmp_path / "file" / "cache")
    for i in range(3):
        cache.put(STAMP, {content(i): ENTRY})
        assert cache.get(STAMP, [content(i)]) == {}
    assert not cache.enabled
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "\n" not in caplog.records[0].getMessage()


def test_a_full_disk_switches_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(0): ENTRY})
    connection = cache._open[str(cache.path(STAMP))]
    connection.execute("PRAGMA max_page_count = 4")  # SQLite then says "database or disk is full"
    for start in range(0, 4000, 1000):
        cache.put(STAMP, {content(start + i): ENTRY for i in range(1000)})
    assert not cache.enabled
    assert len(caplog.records) == 1
    assert "full" in caplog.text
    # What was there before is there still.
    assert same(EmbeddingCache(tmp_path).get(STAMP, [content(0)])[content(0)], ENTRY)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_switches_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o500)
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(0): ENTRY})
    tmp_path.chmod(0o700)
    assert not cache.enabled
    assert len(caplog.records) == 1


def _write(folder: Path, start: int) -> None:
    cache = EmbeddingCache(folder)
    for i in range(start, start + 40):
        cache.put(STAMP, {content(i): {"a": np.full(3, i, np.float32), "b": np.zeros(2, np.float32)}})
        assert cache.enabled


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    workers = [context.Process(target=_write, args=(tmp_path, 30 * k)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    found = EmbeddingCache(tmp_path).get(STAMP, [content(i) for i in range(130)])
    assert len(found) == 130
    assert all(found[content(i)]["a"][0] == i for i in range(130))


def test_close_is_not_the_end(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.put(STAMP, {content(1): ENTRY})
    cache.close()
    assert same(cache.get(STAMP, [content(1)])[content(1)], ENTRY)


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine"
    assert EmbeddingCache().folder == tmp_path / "mine"
    monkeypatch.delenv("MORELLI_CACHE")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/u"))
    for platform, variable, fallback in (
        ("linux", "XDG_CACHE_HOME", "/home/u/.cache/morelli"),
        ("win32", "LOCALAPPDATA", "/home/u/AppData/Local/morelli"),
        ("darwin", "", "/home/u/Library/Caches/morelli"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        if variable:
            monkeypatch.setenv(variable, str(tmp_path))
            assert default_folder() == tmp_path / "morelli"
            monkeypatch.delenv(variable)
        assert default_folder() == Path(fallback)
