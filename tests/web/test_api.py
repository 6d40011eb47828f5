"""What the API answers: the facades' verdicts, under the names of the command line's options."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from morelli.identify import Identifier
from morelli.report.plain import plain
from morelli.types import Item
from morelli.verify import Verifier

from ..test_identify import Texture
from .conftest import Start, files, is_error, lines


def noise(side: int = 64, seed: int = 0, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def as_served(told: dict[str, Any], name: str) -> dict[str, Any]:
    """A facade's answer as a server gives it: names in the place of paths."""
    told = plain(told)
    if "image" in told:
        told["image"] = name
    told["method"]["gallery"] = "small"
    return told


# -- identify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "prompt"),
    [
        ({}, None),
        ({"stability": False, "epsilon": 0.3, "method": "cosine"}, None),
        ({"stability": False, "method": "lda"}, "007"),
    ],
)
def test_identify_is_the_facade(
    client: TestClient, gallery: Path, learnt: Path, queries: list[Item], options: dict[str, Any], prompt: str | None
) -> None:
    path = queries[1].path
    form = {name: str(value).lower() for name, value in options.items()} | ({"prompt": prompt} if prompt else {})
    answer = client.post("/v1/identify", files=files(path), data=form)
    facade = Identifier(gallery, encoder=Texture(), cache=learnt, keep=False, **options)
    (wanted,) = facade.identify([path], prompt=prompt)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == as_served(wanted.to_json(), path.name)


def test_several_images_give_lines_in_order(client: TestClient, queries: list[Item]) -> None:
    sent = files(queries[2].path, ("broken.png", b"no image"), queries[0].path)
    answer = client.post("/v1/identify", files=sent, data={"stability": "false"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    first, second, third = lines(answer.text)
    assert [first["image"], third["image"]] == [queries[2].path.name, queries[0].path.name]
    assert [first["schema"], second["schema"]] == ["morelli.verdict/1", "morelli.error/1"]
    assert second["image"] == "broken.png"
    alone = client.post("/v1/identify", files=files(queries[0].path), data={"stability": "false"}).json()
    assert third == alone


def test_claims_stand_beside_the_verdict(client: TestClient, queries: list[Item]) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler, Seed: 1, Model: anything")
    data = noise(pnginfo=info)
    with_, without = (
        client.post("/v1/identify", files=files(("x.png", data)), data={"stability": "false", **more}).json()
        for more in ({}, {"claims": "false"})
    )
    assert 'model "anything"' in with_["claims"][0]["statement"]
    assert without["claims"] == []
    assert (with_["claims_read"], without["claims_read"]) == (True, False)
    assert {**with_, "claims": [], "claims_read": False} == without


def test_prompts(client: TestClient, queries: list[Item]) -> None:
    told = is_error(client.post("/v1/identify", files=files(queries[0].path), data={"prompt": "unheard of"}), 422)
    assert told["image"] is None
    answer = client.post(
        "/v1/identify",
        files=files(queries[0].path),
        data={"prompt": "unheard of", "prompt-free": "true", "stability": "false"},
    )
    assert any("Compared without the prompt" in note for note in answer.json()["notes"])


# -- check and verify -------------------------------------------------------------------------------------------------


def test_check_is_the_facade(client: TestClient, gallery: Path, learnt: Path, queries: list[Item]) -> None:
    form = {"model": "model-01", "alpha": "0.8", "case": "2", "prompt": "007"}
    answer = client.post("/v1/check", files=files(queries[1].path), data=form)
    facade = Identifier(gallery, encoder=Texture(), cache=learnt, keep=False)
    (wanted,) = facade.check([queries[1].path], "model-01", alpha=0.8, case="2", prompt="007")
    assert answer.json() == as_served(wanted.to_json(), queries[1].path.name)


def test_verify_is_the_facade(client: TestClient, gallery: Path, learnt: Path, queries: list[Item]) -> None:
    wanted = Verifier(gallery, encoder=Texture(), cache=learnt, prior=0.2, keep=False).verify(
        queries[0].path, queries[1].path
    )
    for _ in range(2):  # the second one is answered by what the first one learnt
        answer = client.post("/v1/verify", files=files(queries[0].path, queries[1].path), data={"prior": "0.2"})
        told = as_served(wanted.to_json(), "")
        told["images"] = [{**one, "image": Path(one["image"]).name} for one in told["images"]]
        assert answer.json() == told
    assert client.post("/v1/verify", files=files(queries[0].path, queries[1].path)).json()["prior"] == 0.5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_verify_takes_two(client: TestClient, queries: list[Item], count: int) -> None:
    sent = files(*[queries[0].path] * count) or None
    answer = client.post("/v1/verify", files=sent, data={"prior": "0.5"}) if sent else None
    if answer is None:
        boundary = '--b\r\nContent-Disposition: form-data; name="prior"\r\n\r\n0.5\r\n--b--\r\n'
        headers = {"content-type": "multipart/form-data; boundary=b"}
        answer = client.post("/v1/verify", content=boundary, headers=headers)
    told = is_error(answer, 422)
    assert told["argument"] == "image"
    assert told["message"].startswith(f"2 images are needed, and {count} came")


def test_verify_names_the_image_that_cannot_be_read(client: TestClient, queries: list[Item]) -> None:
    told = is_error(client.post("/v1/verify", files=files(queries[0].path, ("b.png", b"no image"))), 422)
    assert told["image"] == "b.png"


def test_no_embedding_of_a_caller_is_kept(client: TestClient, learnt: Path, queries: list[Item]) -> None:
    client.post("/v1/identify", files=files(queries[0].path))
    client.post("/v1/verify", files=files(queries[0].path, queries[1].path))
    assert not (learnt / "embeddings").exists()
    assert list((learnt / "statistics").glob("*.npz"))


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "form", "argument"),
    [
        ("identify", {"epsilon": "1.5"}, "epsilon"),
        ("identify", {"epsilon": "nan"}, "epsilon"),
        ("identify", {"epsilon": "much"}, "epsilon"),
        ("identify", {"level": "tribe"}, "level"),
        ("identify", {"stability": "perhaps"}, "stability"),
        ("identify", {"prompt_free": "true"}, "prompt_free"),  # the option is called prompt-free
        ("identify", {"trust": "/etc/passwd"}, "trust"),
        ("identify", {"generators": "zoo"}, "generators"),
        ("identify", {"method": "magic"}, "attributor"),
        ("identify", {"gallery": "other"}, "gallery"),
        ("identify", {"gallery": "../small.morelli"}, "gallery"),
        ("identify", {"encoder": "hf:openai/clip-vit-base-patch32"}, "encoder"),
        ("identify", {"encoder": "/etc"}, "encoder"),
        ("identify", {"encoder": "efficientnet-lite0"}, "encoder"),  # known, and not this gallery's
        ("check", {}, "model"),
        ("check", {"model": "nobody"}, "model"),
        ("check", {"model": "model-00", "alpha": "0"}, "alpha"),
        ("check", {"model": "model-00", "case": "3"}, "case"),
    ],
)
def test_wrong_options(
    client: TestClient, queries: list[Item], route: str, form: dict[str, str], argument: str
) -> None:
    told = is_error(client.post(f"/v1/{route}", files=files(queries[0].path), data=form), 422)
    assert told["argument"] == argument
    assert told["image"] is None


def test_an_option_twice_or_as_a_file(client: TestClient, queries: list[Item]) -> None:
    twice = {"epsilon": ["0.1", "0.2"]}
    assert is_error(client.post("/v1/identify", files=files(queries[0].path), data=twice), 422)["argument"] == "epsilon"
    sent = [*files(queries[0].path), ("prompt", ("p.txt", b"a cat"))]
    assert is_error(client.post("/v1/identify", files=sent), 422)["argument"] == "prompt"


def test_an_image_as_text(client: TestClient) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    body = '--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nhttp://example.org/x.png\r\n--b--\r\n'
    told = is_error(client.post("/v1/identify", content=body, headers=headers), 422)
    assert told["argument"] == "image"


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "", 415),
        (b"image=x", "application/x-www-form-urlencoded", 415),
        (b"nothing", "multipart/form-data", 422),
        (b"nothing", "multipart/form-data; boundary=b", 422),
        (b"--b\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b\r\nContent-Disposition: nonsense\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
        # Heads of parts that never end would otherwise be joined and searched again with every packet.
        (b"--b\r\nX: " + b"x" * 100_000, "multipart/form-data; boundary=b", 422),
        (b"--b\r\n" + b"x" * 100_000, "multipart/form-data; boundary=b", 422),
        (b"--b\r\n" + b"X: y\r\n" * 100_000, "multipart/form-data; boundary=b", 422),
        (b"--\xff\r\n", "multipart/form-data; boundary=\xff; charset=\xfe".encode("latin-1"), 422),
    ],
)
def test_bodies_that_are_no_form(client: TestClient, content: bytes, kind: str | bytes, status: int) -> None:
    headers = {"content-type": kind} if kind else {}
    is_error(client.post("/v1/identify", content=content, headers=headers), status)


def test_paths_and_methods(client: TestClient) -> None:
    is_error(client.get("/nowhere"), 404)
    is_error(client.get("/v1/identify/"), 404)
    is_error(client.get("/docs"), 404)
    told = client.put("/v1/identify")
    is_error(told, 405)
    assert told.headers["allow"] == "POST"
    is_error(client.post("/healthz"), 405)
    is_error(client.request("BREW", "/v1/check"), 405)


def test_limits_of_size_and_number(start: Start, queries: list[Item]) -> None:
    client = start(max_bytes=20_000, max_pixels=80 * 80, max_images=2, max_request=60_000)
    ask = {"data": {"stability": "false"}}
    assert client.post("/v1/identify", files=files(("a.png", noise(64))), **ask).status_code == 200
    assert is_error(client.post("/v1/identify", files=files(("a.png", noise(84))), **ask), 413)["image"] == "a.png"
    flat = io.BytesIO()
    Image.new("RGB", (81, 81)).save(flat, "PNG")
    assert "pixels" in is_error(client.post("/v1/identify", files=files(("a", flat.getvalue())), **ask), 413)["message"]
    is_error(client.post("/v1/identify", files=files(*[("a.png", noise(32))] * 3), **ask), 422)
    told = is_error(client.post("/v1/identify", files=files(*[("a.png", noise(100))] * 2), **ask), 413)
    assert "60000 bytes" in told["message"]


def test_a_body_without_length_is_cut_off(start: Start) -> None:
    """Chunked: nobody says how much will come, and no more than the limit is taken."""
    client = start(max_request=60_000)
    taken = 0

    def endless():
        nonlocal taken
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for _ in range(1000):
            taken += 10_000
            yield bytes(10_000)

    answer = client.post("/v1/identify", content=endless(), headers={"content-type": "multipart/form-data; boundary=b"})
    is_error(answer, 413)


def test_names_are_shown_as_one_printable_line(client: TestClient) -> None:
    part = '--b\r\nContent-Disposition: form-data; name="image"; filename="{}"\r\n\r\nno image\r\n'
    body = part.format("a\x1b[2J\u202e" + "x" * 500) + part.format("") + "--b--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=b"}
    first, second = lines(client.post("/v1/identify", content=body.encode(), headers=headers).text)
    assert first["image"].startswith("a\ufffd[2J\ufffdxxx")
    assert first["image"].isprintable()
    assert len(first["image"]) == 200
    assert second["image"] == "image-2"


def test_a_gallery_that_does_not_allow_the_question(start: Start, tmp_path: Path, items: tuple[Item, ...]) -> None:
    from morelli.gallery.store import Gallery

    from ..test_identify import gallery_of

    gallery_of(tmp_path / "one", [item for item in items if item.model == "model-00"])
    Gallery.create(tmp_path / "empty")
    client = start(galleries=[str(tmp_path / "one"), f"nothing={tmp_path / 'empty'}"])
    sent = files(items[0].path)
    assert "one model only" in is_error(client.post("/v1/identify", files=sent), 409)["message"]
    told = client.post("/v1/identify", files=sent, data={"gallery": "nothing"})
    assert "no reference" in is_error(told, 409)["message"]
    assert str(tmp_path) not in told.text
    assert client.post("/v1/check", files=sent, data={"model": "model-00"}).status_code == 200


def test_our_own_mistake_is_told_without_its_text(
    start: Start, queries: list[Item], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desks: list[Any] = []
    client = start(change=desks.append)

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(desks[0].facades, "identifier", broken)
    answer = client.post("/v1/identify", files=files(queries[0].path))
    is_error(answer, 500)
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


def test_a_full_disk_is_told_without_its_path(
    start: Start, queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    desks: list[Any] = []
    client = start(change=desks.append)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/secret/place")

    monkeypatch.setattr(desks[0].facades, "identifier", full)
    answer = client.post("/v1/identify", files=files(queries[0].path))
    assert "disk is full" in is_error(answer, 503)["message"]
    assert "secret" not in answer.text


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_health_and_metrics(start: Start, queries: list[Item]) -> None:
    client = start()
    assert client.get("/healthz").json()["status"] == "ok"
    client.post("/v1/identify", files=files(queries[0].path, ("b.png", b"no image")))
    client.get("/nowhere/at/all")
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert 'morelli_requests_total{route="POST /v1/identify",status="200"} 1.0' in told.text
    assert 'morelli_requests_total{route="GET other",status="404"} 1.0' in told.text
    assert 'morelli_images_total{outcome="answered"} 1.0' in told.text
    assert 'morelli_images_total{outcome="UnreadableImageError"} 1.0' in told.text
    assert "morelli_requests_inside 0.0" in told.text
    assert "morelli_batch_images_sum 6.0" in told.text
    assert "healthz" not in told.text


def test_the_audit_log(start: Start, queries: list[Item], tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    client = start(audit=log)
    path = queries[0].path
    client.post("/v1/identify", files=files(path, ("b.png", b"no image")), data={"prompt": "007"})
    client.post("/v1/verify", files=files(path, queries[1].path))
    client.post("/v1/identify", content=b"", headers={"content-type": "text/plain"})
    client.get("/v1/galleries")
    entries = lines(log.read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert [e["route"] for e in entries] == ["POST /v1/identify"] * 2 + ["POST /v1/verify", "POST /v1/identify"]
    assert [e["status"] for e in entries] == [200, 422, 200, 415]
    assert entries[0]["sha256"] == [digest]
    assert entries[1]["sha256"] == [hashlib.sha256(b"no image").hexdigest()]
    assert entries[1]["decision"] is None
    assert entries[2]["sha256"] == [digest, hashlib.sha256(queries[1].path.read_bytes()).hexdigest()]
    assert entries[3]["sha256"] == []
    assert entries[0]["decision"] in ("none", "unsure", "model-00", "model-01", "model-02")
    for entry in entries:
        assert set(entry) == {"time", "token", "route", "status", "sha256", "decision", "milliseconds"}
        assert entry["milliseconds"] > 0
        assert entry["token"] is None
    assert "007" not in json.dumps([{**e, "sha256": [], "time": "", "milliseconds": 0} for e in entries])
    assert log.stat().st_mode & 0o777 == 0o600


def test_no_answer_without_its_record(start: Start, queries: list[Item], tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    answer = start(audit=Path("/dev/full")).post("/v1/identify", files=files(queries[0].path))
    told = is_error(answer, 503)
    assert told["argument"] == "audit log"
    assert "model-0" not in answer.text
