"""The file of the audit log: it can be moved away while the server runs, and what comes then is in a new one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from morelli.errors import StorageError
from morelli.web.audit_log import AuditLog, Entry

ROOT = Path(__file__).resolve().parents[2]


def entry(route: str) -> Entry:
    return Entry("alice", route, 200, ("ab" * 32,), "model-01", 12.34)


def routes(path: Path) -> list[str]:
    return [json.loads(line)["route"] for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def test_a_file_that_was_moved_is_made_anew(path: Path) -> None:
    log = AuditLog(path)
    log.write([entry("a")])
    moved = path.rename(path.with_suffix(".1"))
    log.write([entry("b")])
    log.write([entry("c")])
    assert (routes(moved), routes(path)) == (["a"], ["b", "c"])
    assert path.stat().st_mode & 0o777 == 0o600
    log.close()


def test_a_file_that_another_has_put_in_its_place_is_written_to(path: Path) -> None:
    log = AuditLog(path)
    log.write([entry("a")])
    path.rename(path.with_suffix(".1"))
    path.touch(0o600)
    log.write([entry("b")])
    assert routes(path) == ["b"]
    path.unlink()
    log.write([entry("c")])
    assert routes(path) == ["c"]
    log.close()


def test_a_file_that_was_cut_off_goes_on(path: Path) -> None:
    """As logrotate's copytruncate leaves it."""
    log = AuditLog(path)
    log.write([entry("a")])
    path.write_bytes(b"")
    log.write([entry("b")])
    assert routes(path) == ["b"]
    log.close()


def test_files_do_not_stay_open(path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        pytest.skip("needs /proc")
    log = AuditLog(path)
    before = len(list(folder.iterdir()))
    for number in range(5):
        path.rename(path.with_suffix(f".{number}"))
        log.write([entry("a")])
    assert len(list(folder.iterdir())) == before
    log.close()


def test_a_folder_that_is_gone_is_told_and_its_return_is_seen(path: Path) -> None:
    folder = path.parent / "logs"
    folder.mkdir()
    log = AuditLog(folder / "audit.jsonl")
    shutil.rmtree(folder)
    with pytest.raises(StorageError, match="cannot be written"):
        log.write([entry("a")])
    folder.mkdir()
    log.write([entry("b")])
    assert routes(folder / "audit.jsonl") == ["b"]
    log.close()
    log.write([entry("c")])  # dropped
    assert routes(folder / "audit.jsonl") == ["b"]


def test_what_a_device_refuses_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    log = AuditLog(Path("/dev/full"))
    with pytest.raises(StorageError):
        log.write([entry("a")])
    log.close()


def test_logrotate_finds_the_file_of_the_unit() -> None:
    text = (ROOT / "deploy" / "morelli.logrotate").read_text()
    unit = (ROOT / "deploy" / "morelli.service").read_text()
    (audit,) = re.findall(r"--audit %L/(\S+)", unit)
    assert re.search(rf"^/var/log/{re.escape(audit)} \{{", text, re.MULTILINE)
    user = re.findall(r"^(?:User|Group)=(\w+)", unit, re.MULTILINE)
    assert f"su {user[0]} {user[1]}" in text
    # SIGHUP ends the server, and a file that logrotate makes would be made for others.
    assert "postrotate" not in text
    assert "nocreate" in text


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="ROTATION IS NOT TESTED: logrotate is not on the PATH.")
def test_logrotate_takes_the_file_away(path: Path) -> None:
    log = AuditLog(path)
    log.write([entry("a")])
    text = (ROOT / "deploy" / "morelli.logrotate").read_text()
    own = re.sub(r"^\s*su .*\n", "", text.replace("/var/log/morelli/audit.jsonl", str(path)), flags=re.MULTILINE)
    settings = path.with_name("settings")
    settings.write_text(own)
    settings.chmod(0o600)
    for round_ in ("b", "c"):
        command = ["logrotate", "--force", "--state", str(path.with_name("state")), str(settings)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        log.write([entry(round_)])
    assert routes(path) == ["c"]
    assert routes(path.with_name("audit.jsonl.1")) == ["b"]
    assert path.with_name("audit.jsonl.2.gz").exists()
    log.close()
