"""The folder of what visitors sent: private, bounded, and with no way out of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from morelli.errors import InputError
from morelli.web.page.uploads import KEPT, Uploads


@pytest.fixture
def uploads() -> Iterator[Uploads]:
    made = Uploads(100)
    yield made
    made.close()


def test_links_out_of_the_folder_are_refused(uploads: Uploads, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (uploads.folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError):
        uploads.check({"path": str(uploads.folder / "link")})
    with pytest.raises(InputError):
        uploads.read(str(uploads.folder / "link"))
    with pytest.raises(InputError):
        uploads.check({"path": str(uploads.folder)})


def test_the_oldest_go_when_there_is_no_room(uploads: Uploads) -> None:
    import os

    for number, name in enumerate(("old", "young")):
        path = uploads.folder / name / "f.png"
        path.parent.mkdir()
        path.write_bytes(b"x" * 60)
        os.utime(path, (1000.0 + number, 1000.0 + number))
    uploads._clock = lambda: 1002.0
    uploads.sweep()
    assert [p.parent.name for p in uploads.folder.rglob("*.png")] == ["young"]
    uploads.sweep(coming=30)
    assert [p.parent.name for p in uploads.folder.rglob("*.png")] == ["young"]
    uploads._clock = lambda: 1002.0 + KEPT
    uploads.sweep()
    assert not list(uploads.folder.rglob("*.png"))


def test_the_folder_is_private_and_goes_with_the_server(uploads: Uploads) -> None:
    assert uploads.folder.stat().st_mode & 0o777 == 0o700
    uploads.close()
    assert not uploads.folder.exists()


def test_names_are_one_printable_line(uploads: Uploads) -> None:
    path = uploads.folder / "a\nb.png"
    path.write_bytes(b"12")
    upload = uploads.read(str(path))
    assert (upload.name, upload.size, upload.data()) == ("a\N{REPLACEMENT CHARACTER}b.png", 2, b"12")
    upload.file.file.close()
