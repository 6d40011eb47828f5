"""A process killed, starved or raced during `add` leaves the version before or the version after. Real processes."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from morelli.errors import StorageError
from morelli.gallery.store import Gallery

from .samples import OTHER, STAMP, add, assert_holds, gallery_of, numbers_in
from .worker import BATCH, WIDE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.gallery.worker", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def killed_after(process: subprocess.Popen[str], seconds: float) -> int:
    """Kill a worker; the last number that it printed, 0 where it printed none."""
    time.sleep(seconds)
    process.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, err
    lines = [line for line in out.splitlines(keepends=True) if line.endswith("\n")]
    return int(lines[-1]) if lines else 0


# Spread evenly, with a seeded jitter: a run that fails can be repeated.
DELAYS = [0.06 * j + random.Random(j).uniform(0, 0.06) for j in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("delay", DELAYS)
def test_killed_while_appending(tmp_path, delay):
    Gallery.create(tmp_path / "g")
    reported = killed_after(start("append_for_ever", tmp_path / "g"), delay)
    gallery = Gallery.open(tmp_path / "g")
    assert len(gallery) in (reported, reported + BATCH)
    assert gallery.check().ok
    assert numbers_in(gallery) == list(range(len(gallery)))
    assert add(gallery, range(len(gallery) + 5), WIDE).added == 5
    assert_holds(gallery, range(len(gallery)), WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("delay", DELAYS)
def test_killed_while_rewriting(tmp_path, delay):
    gallery_of(tmp_path / "g", range(BATCH))
    reported = killed_after(start("rewrite_for_ever", tmp_path / "g"), delay)
    gallery = Gallery.open(tmp_path / "g")
    assert len(gallery.stamps()) in (max(reported, 1), reported + 1, reported + 2)
    assert gallery.check().ok
    for stamp in gallery.stamps():
        assert_holds(gallery, range(BATCH), stamp)


@pytest.mark.parametrize(
    ("point", "before", "after"),
    [
        ("before the data", 5, False),
        ("amid the data", 5, False),
        ("before the commit", 5, False),
        ("before the commit", 0, False),
        ("after the commit", 5, True),
    ],
)
def test_killed_at_a_point(tmp_path, point, before, after):
    """``before`` rows, then an add of 50 that dies: everything or nothing of it is there, and it can be repeated."""
    gallery_of(tmp_path / "g", range(before))
    version = Gallery.open(tmp_path / "g").version
    process = start("fault", tmp_path / "g", point, 50)
    out, err = process.communicate(timeout=60)
    assert process.returncode == -9, err
    assert out == ""
    gallery = Gallery.open(tmp_path / "g")
    assert gallery.version == version + after
    assert len(gallery) == (50 if after else before)
    assert gallery.check().ok
    assert add(gallery, range(50)).added == 50 - len(range(50 if after else before))
    assert_holds(gallery, range(50))


def test_processes_that_add_at_the_same_time_lose_nothing_and_double_nothing(tmp_path):
    # Most pictures are given by two or three of them; none of them finds a gallery.
    ranges = [(0, 80), (0, 80), (20, 100)]
    workers = [start("share", tmp_path / "g", first, last, 10) for first, last in ranges]
    go(*workers)
    added = [int(finish(worker).split()[0]) for worker in workers]
    gallery = Gallery.open(tmp_path / "g")
    assert sum(added) == 100
    assert_holds(gallery, range(100))
    assert gallery.check().ok


@pytest.mark.parametrize("mine", [STAMP, OTHER])
@pytest.mark.parametrize("theirs", [STAMP, OTHER])
def test_an_add_that_is_overtaken_starts_again(tmp_path, monkeypatch, mine, theirs):
    """Between our read and our commit another gallery object adds some of the same pictures."""
    from morelli.gallery import merge

    gallery = gallery_of(tmp_path / "g", range(3))
    plan = merge.plan
    overtakes = [lambda: add(Gallery.open(tmp_path / "g"), range(2, 6), theirs)]

    def overtaken(*args):
        outcome = plan(*args)
        if overtakes:
            overtakes.pop()()
        return outcome

    monkeypatch.setattr(merge, "plan", overtaken)
    report = add(gallery, range(4, 8), mine)
    assert (report.added, report.updated, report.unchanged) == ((2, 0, 2) if mine is theirs else (2, 2, 0))
    assert numbers_in(gallery) == list(range(8))
    for stamp in (STAMP, OTHER):
        parts = [(STAMP, range(3)), (theirs, range(2, 6)), (mine, range(4, 8))]
        expected = {i for one, numbers in parts if one is stamp for i in numbers}
        if expected:
            assert_holds(gallery, expected, stamp)
    assert gallery.check().ok


def test_an_append_and_a_rewrite_at_the_same_time_lose_nothing(tmp_path):
    gallery = gallery_of(tmp_path / "g", range(10))
    worker = start("share", tmp_path / "g", 10, 130, 10)
    go(worker)
    for stop in range(0, 130, 13):
        add(gallery, range(stop, stop + 13), OTHER)
    added, updated = map(int, finish(worker).split())
    gallery = Gallery.open(tmp_path / "g")
    assert added + updated == 120
    assert_holds(gallery, range(130), STAMP)
    assert_holds(gallery, range(130), OTHER)
    assert gallery.check().ok


@pytest.mark.parametrize("limit", [300, 20_000])
@pytest.mark.parametrize("encoder", [STAMP, WIDE])
def test_disk_full_is_named_and_the_gallery_is_as_it_was(tmp_path, limit, encoder):
    """20,000 bytes stop the data, 300 the manifest too; under ``WIDE`` rows are appended, otherwise rewritten."""
    gallery = gallery_of(tmp_path / "g", range(30), encoder)
    said = finish(start("starve", tmp_path / "g", limit))
    assert said.startswith("StorageError") and "Free some space" in said
    again = Gallery.open(tmp_path / "g")
    assert again.version == gallery.version
    assert_holds(again, range(30), encoder)
    assert again.check().ok
    assert add(again, [77], encoder).added == 1


def test_a_disk_that_fills_at_the_commit(tmp_path, monkeypatch):
    import lance

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    gallery = gallery_of(tmp_path / "g", range(3))
    monkeypatch.setattr(lance.LanceDataset, "commit", full)
    with pytest.raises(StorageError, match=r"No space left.*Free some space"):
        add(gallery, [7])
    assert_holds(gallery, range(3))
    assert_holds(Gallery.open(tmp_path / "g"), range(3))


@pytest.mark.parametrize("action", ["add", "remove", "create"])
def test_a_read_only_folder_is_named_and_can_be_read(action):
    # Not below tmp_path, which no other user may enter.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g"
        gallery_of(path, range(3))
        parts = [Path(folder), path, *path.rglob("*")]
        for part in parts:
            part.chmod(0o555 if part.is_dir() else 0o444)
        try:
            said = finish(start("unprivileged", path, action))
            if action == "add":
                assert finish(start("unprivileged", path, "read")) == "3\nno error"
        finally:
            for part in parts:
                part.chmod(0o755 if part.is_dir() else 0o644)
        assert said.startswith("StorageError") and "permissions" in said
        assert_holds(Gallery.open(path), range(3))


def test_a_folder_that_may_not_be_entered_is_named():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g"
        gallery_of(path, range(3))
        Path(folder).chmod(0o755)
        path.chmod(0o700 if os.geteuid() == 0 else stat.S_IRUSR)
        process = start("unprivileged", path, "read") if os.geteuid() == 0 else None
        if process is None:
            with pytest.raises(StorageError, match="permissions"):
                Gallery.open(path)
            path.chmod(0o700)
        else:
            said = finish(process)
            assert said.startswith("StorageError") and "permissions" in said


def test_giving_up_is_named(tmp_path, monkeypatch):
    from morelli.gallery import store, table

    gallery = gallery_of(tmp_path / "g", [1])

    def overtaken(*_: object) -> None:
        raise table.ConcurrentWriteError("version 9")

    monkeypatch.setattr(table, "append", overtaken)
    monkeypatch.setattr(store, "ATTEMPTS", 2)
    with pytest.raises(StorageError, match="other processes kept writing"):
        add(gallery, [2])
    assert_holds(gallery, [1])
