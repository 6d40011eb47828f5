"""Decoding in processes that can be ended: the same pictures, and no more time or memory than is allowed."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from morelli.errors import ImageError, ImageTooLargeError, InputError, MorelliError, UnreadableImageError
from morelli.images.claims.read import read_claims
from morelli.images.load import Limits, load_image
from morelli.testing.hostile import write_hostile
from morelli.testing.mutations import scan_bomb
from morelli.web import decoder as one
from morelli.web import decoders as module
from morelli.web.decoders import Decoders
from morelli.web.problems import RefusedError
from morelli.web.settings import MIB, Settings


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    made = Decoders(Settings(decoders=1, max_bytes=2 * MIB, max_pixels=1_000_000))
    yield made
    made.close()


def noise(kind: str = "PNG", side: int = 64, **options: object) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_same_pictures_and_the_same_errors(decoders: Decoders, tmp_path: Path) -> None:
    limits = Limits(max_bytes=2 * MIB, max_pixels=1_000_000)
    for path in write_hostile(tmp_path).values():
        data = path.read_bytes()
        try:
            wanted = load_image(data, name=path.name, limits=limits)
        except ImageError as error:
            with pytest.raises(type(error)) as caught:
                decoders.read(data, path.name, claims=True, wait=30)
            assert str(caught.value) == str(error)
            continue
        found = decoders.read(data, path.name, claims=False, wait=30).picture
        assert np.array_equal(found.pixels, wanted.pixels)
        assert not found.pixels.flags.writeable
        for name in ("name", "sha256", "content", "format"):
            assert getattr(found, name) == getattr(wanted, name)


def test_claims_are_those_of_the_file(decoders: Decoders) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Model: anything")
    data = noise(pnginfo=info)
    found = decoders.read(data, "x.png", claims=True, wait=30)
    wanted = read_claims(data)
    assert found.claims == tuple(wanted.claims)
    assert found.notes == tuple(wanted.notes)
    assert 'model "anything"' in found.claims[0].statement
    assert found.picture.sha256 == hashlib.sha256(data).hexdigest()
    assert decoders.read(data, "x.png", claims=False, wait=30).claims == ()


def test_a_file_that_takes_too_long_is_ended() -> None:
    lost: list[int] = []
    made = Decoders(Settings(decoders=1, decode_seconds=1.5), on_loss=lambda: lost.append(1))
    before = {decoder._process.pid for decoder in made._all}
    begin = time.monotonic()
    with pytest.raises(ImageTooLargeError, match=r"more than 1\.5 seconds"):
        made.read(scan_bomb(3000, 3000), "bomb.jpg", claims=False, wait=30)
    assert time.monotonic() - begin < 15
    assert lost == [1]
    # The next one is decoded, by another process, and the first one is gone.
    assert made.read(noise(), "x.png", claims=False, wait=30).picture.pixels.shape == (64, 64, 3)
    assert before.isdisjoint(decoder._process.pid for decoder in made._all)
    assert not any(alive(pid) for pid in before)
    made.close()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")
def test_a_file_that_takes_too_much_memory() -> None:
    """One of 36 million pixels, 108 MB, under a limit of 64 MiB; one that fits is decoded by the same process."""
    made = Decoders(Settings(decoders=1, decode_memory=64 * MIB, max_pixels=100_000_000, decode_seconds=20))
    flat = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(flat, "PNG")
    with pytest.raises(ImageTooLargeError, match="memory"):
        made.read(flat.getvalue(), "x.png", claims=False, wait=30)
    assert made.read(noise(), "x.png", claims=False, wait=30).picture.pixels.shape == (64, 64, 3)
    made.close()


@pytest.mark.slow
def test_the_usual_memory_is_enough_for_the_usual_limit() -> None:
    settings = Settings(decoders=1, decode_seconds=60)
    made = Decoders(settings)
    side = int(settings.max_pixels**0.5)
    for mode, kind in (("RGBA", "PNG"), ("CMYK", "JPEG")):
        file = io.BytesIO()
        Image.new(mode, (side, side)).save(file, kind)
        assert made.read(file.getvalue(), "x", claims=False, wait=30).picture.pixels.shape == (side, side, 3)
    made.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_was_killed_is_replaced(decoders: Decoders) -> None:
    (held,) = decoders._all
    os.kill(held._process.pid, signal.SIGKILL)
    held._process.wait()
    assert decoders.read(noise(), "x.png", claims=False, wait=30).picture.pixels.shape == (64, 64, 3)
    assert held not in decoders._all


def test_a_process_that_crashes_amid_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The worker of this test ends itself where it should decode."""
    (tmp_path / "worker.py").write_text(
        "import sys\nsys.stdin.buffer.readline()\nprint('{\"ready\": true}', flush=True)\nsys.stdin.buffer.readline()\n"
    )
    monkeypatch.setattr(one, "WORKER", (str(tmp_path / "worker.py"),))
    made = Decoders(Settings(decoders=1))
    with pytest.raises(UnreadableImageError, match="crashed"):
        made.read(noise(), "x.png", claims=False, wait=30)
    made.close()


@pytest.mark.parametrize(
    "answer",
    [
        '{"picture": {"height": 1000000, "width": 1000000, "sha256": "", "content": "", "format": "PNG"}}',
        '{"picture": {"height": -1, "width": -1, "sha256": "", "content": "", "format": "PNG"}}',
        '{"picture": {"height": "1", "width": 1}}',
        '{"picture": null}',
        '{"error": []}',
        "[]",
        "3",
        "no JSON",
        "[" * 100_000,
    ],
    ids=["huge", "negative", "text", "null", "error", "list", "number", "no JSON", "deep"],
)
def test_a_worker_that_a_hostile_file_has_taken_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str
) -> None:
    """Whatever it answers: no memory for what nobody may send, and the next file goes to another process."""
    (tmp_path / "answer").write_text(answer)
    (tmp_path / "worker.py").write_text(
        "import sys, pathlib\nsys.stdin.buffer.readline()\nprint('{\"ready\": true}', flush=True)\n"
        "sys.stdin.buffer.readline()\n"
        f"print(pathlib.Path({str(tmp_path / 'answer')!r}).read_text(), flush=True)\nsys.stdin.buffer.read()\n"
    )
    monkeypatch.setattr(one, "WORKER", (str(tmp_path / "worker.py"),))
    made = Decoders(Settings(decoders=1))
    (held,) = made._all
    with pytest.raises(UnreadableImageError, match="crashed"):
        made.read(noise(), "x.png", claims=False, wait=30)
    assert not held.alive
    assert held not in made._all
    made.close()


def test_processes_that_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one, "WORKER", ("-c", "raise SystemExit(3)"))
    with pytest.raises(MorelliError, match="do not start"):
        Decoders(Settings(decoders=2))


def test_claims_that_take_too_long_cost_the_claims_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(
        "import time\nfrom morelli.web import decode_worker as w\nw.claim = lambda *_: time.sleep(60)\nw.main()\n"
    )
    monkeypatch.setattr(one, "WORKER", (str(tmp_path / "worker.py"),))
    made = Decoders(Settings(decoders=1, decode_seconds=1.0))
    found = made.read(noise(), "x.png", claims=True, wait=30)
    assert found.picture.pixels.shape == (64, 64, 3)
    assert found.notes == (
        "Claims not read: the reader crashed, or decoding and claims took more than 1 seconds together.",
    )
    made.close()


def slow_worker(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> None:
    """A worker with some of its parts replaced."""
    head = "import time\nfrom morelli.web import decode_worker as w\nload = w.load_image\n"
    slow = "w.load_image = lambda *a, **k: (time.sleep(SECONDS), load(*a, **k))[1]\n"
    (folder / "worker.py").write_text(f"{head}{slow}{lines}\nw.main()\n")
    monkeypatch.setattr(one, "WORKER", (str(folder / "worker.py"),))


def test_decoding_and_claims_share_one_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each alone takes less than its time, and both together more."""
    slow_worker(tmp_path, monkeypatch, "SECONDS = 2.0\nw.claim = lambda *_: time.sleep(2.5)")
    made = Decoders(Settings(decoders=1, decode_seconds=3.0))
    begin = time.monotonic()
    found = made.read(noise(), "x.png", claims=True, wait=30)
    assert 2.9 < time.monotonic() - begin < 4.0
    assert found.picture.pixels.shape == (64, 64, 3)
    assert "Claims not read" in found.notes[0]
    made.close()


@pytest.mark.parametrize("seconds", [0.0, 2.0, 3.4])
def test_slow_credentials_cost_no_other_claims(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float) -> None:
    """Their reader gets what decoding has left, and the process that decodes outlives it."""
    pytest.importorskip("c2pa", reason="Content Credentials are not installed: pip install 'morelli[claims]'")
    lost: list[int] = []
    slow_worker(
        tmp_path,
        monkeypatch,
        f"SECONDS = {seconds}\nfrom morelli.images.claims import credentials\n"
        'credentials.WORKER = ("-c", "import time; time.sleep(60)")',
    )
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Model: anything")
    info.add_text("looks like credentials", "jumb c2pa")
    made = Decoders(Settings(decoders=1, decode_seconds=4.0), on_loss=lambda: lost.append(1))
    begin = time.monotonic()
    found = made.read(noise(pnginfo=info), "x.png", claims=True, wait=30)
    assert time.monotonic() - begin < 5.0
    assert 'model "anything"' in found.claims[0].statement
    assert [note for note in found.notes if note.startswith("Content Credentials not read: ")]
    assert lost == []
    made.close()


def test_what_a_worker_prints_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(
        "import os\nfrom morelli.web import decode_worker as w\nload = w.load_image\n"
        "w.load_image = lambda *a, **k: (os.write(1, b'{\"error\": {}}\\n'), load(*a, **k))[1]\nw.main()\n"
    )
    monkeypatch.setattr(one, "WORKER", (str(tmp_path / "worker.py"),))
    made = Decoders(Settings(decoders=1))
    assert made.read(noise(), "x.png", claims=False, wait=30).picture.pixels.shape == (64, 64, 3)
    made.close()


def test_processes_are_replaced_before_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIFE", 2)
    made = Decoders(Settings(decoders=1))
    pids = []
    for _ in range(4):
        pids.append(next(iter(made._all))._process.pid)
        made.read(noise(), "x.png", claims=False, wait=30)
    assert pids[0] == pids[1] != pids[2] == pids[3]
    made.close()
    assert not any(alive(pid) for pid in pids)


def test_nobody_waits_for_ever(decoders: Decoders) -> None:
    held = decoders._free.get()
    try:
        with pytest.raises(RefusedError) as caught:
            decoders.read(noise(), "x.png", claims=False, wait=0.05)
    finally:
        decoders._free.put(held)
    assert caught.value.status == 503


def test_no_secret_reaches_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    monkeypatch.setenv("MORELLI_TOKENS", "alice read 0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a key to the gallery")
    monkeypatch.setenv("HF_TOKEN", "a key to the hub")
    made = Decoders(Settings(decoders=1))
    (held,) = made._all
    environment = Path(f"/proc/{held._process.pid}/environ").read_bytes()
    made.close()
    assert b"PATH=" in environment
    for name in (b"MORELLI_TOKENS", b"AWS_", b"HF_TOKEN", b"a key"):
        assert name not in environment


def test_trust_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("nothing")
    with pytest.raises(InputError) as caught:
        Decoders(Settings(decoders=1), tmp_path / "roots.pem")
    assert caught.value.argument == "--trust"
