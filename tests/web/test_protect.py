"""``POST /v1/protect``: the facade's answer with the image inside, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from morelli.encoders.catalogue import load_encoder
from morelli.enrol import enrol
from morelli.errors import MorelliError
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset
from morelli.images.load import load_image
from morelli.protect import PerturbSettings, Protected, Protector
from morelli.report.plain import plain
from morelli.types import Item
from morelli.web import schemas
from morelli.web.desk import Desk
from morelli.web.problems import RefusedError, status_of
from morelli.web.routes import protect as protect_route

from ..defence.toys import STAMP, GrainEncoder, GrainSurrogate
from ..test_identify import Texture
from .conftest import Start, files, is_error, lines


def test_it_is_the_facade_with_the_image_inside(
    client: TestClient, gallery: Path, learnt: Path, queries: list[Item]
) -> None:
    path = queries[1].path
    form = {"defence": "canonical", "model": "model-01"}
    answer = client.post("/v1/protect", files=files(path), data=form)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    schemas.ProtectBody.model_validate(told)
    (made,) = Protector(gallery, defence="canonical", encoder=Texture(), cache=learnt).protect([path], model="model-01")
    assert isinstance(made, Protected)
    head, _, body = told["output"].partition(",")
    data = base64.b64decode(body)
    assert head == "data:image/png;base64"
    assert hashlib.sha256(data).hexdigest() == told["output_sha256"]
    np.testing.assert_array_equal(load_image(data).pixels, made.after)
    wanted = plain(made.to_json()) | {"image": path.name, "output": told["output"]}
    wanted["output_sha256"] = told["output_sha256"]
    wanted["method"]["gallery"] = "small"
    assert told == wanted


def test_one_bad_image_leaves_the_others(client: TestClient, queries: list[Item]) -> None:
    sent = files(("broken.png", b"no image"), queries[0].path)
    first, second = lines(client.post("/v1/protect", files=sent, data={"defence": "canonical"}).text)
    assert [first["schema"], second["schema"]] == ["morelli.error/1", "morelli.protect/1"]


@pytest.mark.parametrize(
    ("form", "argument"),
    [
        ({"defence": "magic"}, "defence"),
        ({"epsilon": "0.5"}, "epsilon"),
        ({"epsilon": "33"}, "epsilon"),
        ({"steps": "0"}, "steps"),
        ({"steps": "201"}, "steps"),
        ({"defence": "canonical", "model": "nobody"}, "model"),
        ({"defence": "canonical", "epsilon": "4"}, "epsilon"),
        ({"defence": "canonical", "seed": "4"}, "seed"),
        ({"surrogate": "/etc/passwd"}, "surrogate"),
        ({"out": "/tmp/x"}, "out"),  # noqa: S108 - it is refused
    ],
)
def test_what_cannot_be_asked(client: TestClient, queries: list[Item], form: dict[str, str], argument: str) -> None:
    told = is_error(client.post("/v1/protect", files=files(queries[0].path), data=form), 422)
    assert told["argument"] == argument


def test_an_encoder_without_gradients_is_told(client: TestClient, queries: list[Item]) -> None:
    is_error(client.post("/v1/protect", files=files(queries[0].path)), 422)


def test_no_embedding_of_a_caller_s_image_is_kept(start: Start, queries: list[Item], learnt: Path) -> None:
    def kept() -> set[str]:
        return {str(path) for path in learnt.rglob("*") if path.is_file() and "statistics" not in path.parts}

    client, before = start(), kept()
    assert client.post("/v1/protect", files=files(queries[2].path), data={"defence": "canonical"}).status_code == 200
    assert kept() == before


# -- networks that all requests share ---------------------------------------------------------------------------------

GRADIENTS = {"defence": "pgd", "steps": "2", "model": "model-01", "encoder": "grain"}


@pytest.fixture(scope="module")
def two_encoders(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...], queries: list[Item]) -> Path:
    """A gallery under an encoder with gradients and one without."""
    where = tmp_path_factory.mktemp("two-encoders") / "two.morelli"
    known = Dataset(where, tuple(item for item in items if item not in queries))
    gallery = Gallery.create(where)
    for encoder in (GrainEncoder(), Texture()):
        enrol(gallery, known, encoder, copies=0)
    return where


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the encoders that are loaded, each time that one is."""
    seen: list[str] = []

    def load(name: str) -> Any:
        seen.append(name)
        toys = {"grain": STAMP, "third": replace(STAMP, encoder="third")}
        return GrainEncoder(toys[name]) if name in toys else load_encoder(name)

    for module in ("morelli.web.galleries", "morelli.protect"):
        monkeypatch.setattr(f"{module}.load_encoder", load)
    yield seen


def test_requests_share_the_networks(start: Start, two_encoders: Path, queries: list[Item], loaded: list[str]) -> None:
    client = start(galleries=[str(two_encoders)])
    before = list(loaded)
    assert before == ["grain"]  # the usual one of its gallery, at the start
    seeded = {**GRADIENTS, "seed": "0"}
    ask = lambda: client.post("/v1/protect", files=files(queries[1].path), data=seeded)  # noqa: E731
    with ThreadPoolExecutor(3) as pool:
        answers = [each.result() for each in [pool.submit(ask) for _ in range(3)]]
    answers.append(client.post("/v1/protect", files=files(queries[1].path), data={**GRADIENTS, "seed": "5"}))
    assert [each.status_code for each in answers] == [200] * 4, answers[0].text
    assert sorted(loaded) == ["grain", "texture"]  # each once, however many asked
    told = [each.json() for each in answers]
    assert told[0] == told[1] == told[2]
    assert told[0]["output_sha256"] != told[3]["output_sha256"]
    assert [each["defence"]["seed"] for each in told] == [0, 0, 0, 5]
    secrets = {
        client.post("/v1/protect", files=files(queries[1].path), data=GRADIENTS).json()["defence"]["seed"]
        for _ in range(2)
    }
    assert len(secrets) == 2  # where none is named each request has its own
    assert told[0]["defence"]["surrogates"] == [{"encoder": "grain", "revision": "1"}]
    assert any("No gradient flows through texture" in note for note in told[0]["notes"])


def test_shared_networks_give_what_own_ones_give(
    start: Start, two_encoders: Path, queries: list[Item], learnt: Path, loaded: list[str]
) -> None:
    client = start(galleries=[str(two_encoders)])
    settings = PerturbSettings(steps=2)
    own = Protector(two_encoders, defence="pgd", settings=settings, encoder="grain", cache=learnt, keep=False)
    for query in queries[:2]:
        # Canonical in between: the next defence must not inherit anything of the one before.
        plainly = {name: text for name, text in GRADIENTS.items() if name not in ("epsilon", "steps", "seed")}
        for form in ({**plainly, "defence": "canonical"}, {**GRADIENTS, "seed": "0"}):
            answer = client.post("/v1/protect", files=files(query.path), data=form)
            assert answer.status_code == 200, answer.text
        (made,) = own.protect([query.path], model="model-01")
        assert isinstance(made, Protected)
        told = answer.json()
        np.testing.assert_array_equal(load_image(base64.b64decode(told["output"].partition(",")[2])).pixels, made.after)
        assert told["after"] == plain(made.to_json())["after"]
        assert told["notes"] == made.report["notes"]


def test_networks_of_no_gallery_any_more_are_put_away(
    two_encoders: Path, gallery: Path, tmp_path: Path, queries: list[Item], loaded: list[str], start: Start
) -> None:
    """As many are kept as the galleries have encoders, and no more."""
    place = tmp_path / "own.morelli"
    shutil.copytree(two_encoders, place)
    desks: list[Desk] = []
    client = start(galleries=[str(place)], change=desks.append)
    assert client.post("/v1/protect", files=files(queries[0].path), data=GRADIENTS).status_code == 200
    kept = desks[0].galleries._encoders
    old = kept["grain"]
    assert set(kept) == {"grain", "texture"}
    shutil.rmtree(place)
    shutil.copytree(gallery, place)  # under texture alone
    enrol(Gallery.open(place), Dataset(place, tuple(queries)), GrainEncoder(replace(STAMP, encoder="third")), copies=0)
    loaded.clear()
    answer = client.post("/v1/identify", files=files(queries[0].path), data={"encoder": "third", "stability": "false"})
    assert answer.status_code in (200, 409), answer.text
    assert loaded == ["third"]
    assert set(kept) == {"texture", "third"}
    with pytest.raises(RefusedError, match="put away"):
        old.encode([])


# -- how long it may take ---------------------------------------------------------------------------------------------


class SlowSurrogate(GrainSurrogate):
    """Takes its time for each step."""

    def __call__(self, pixels: Any) -> Any:
        time.sleep(0.1)
        return super().__call__(pixels)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, loaded: list[str]) -> None:
    monkeypatch.setattr(GrainEncoder, "surrogate", lambda self: SlowSurrogate(self.stamp))


def test_it_has_a_time_of_its_own(start: Start, two_encoders: Path, queries: list[Item], slow: None) -> None:
    client = start(galleries=[str(two_encoders)], seconds=1.5, protect_seconds=100)
    begin = time.monotonic()
    answer = client.post("/v1/protect", files=files(queries[1].path), data={**GRADIENTS, "steps": "20"})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - begin > 1.5


def test_what_cannot_be_done_in_time_is_told_what_can(
    start: Start, two_encoders: Path, queries: list[Item], slow: None
) -> None:
    """200 steps of a tenth of a second, and eight seconds."""
    client = start(galleries=[str(two_encoders)], protect_seconds=8)
    client.post("/v1/protect", files=files(queries[0].path), data={**GRADIENTS, "steps": "1"})  # networks are loaded
    begin = time.monotonic()
    told = is_error(client.post("/v1/protect", files=files(queries[1].path), data={**GRADIENTS, "steps": "200"}), 422)
    assert time.monotonic() - begin < 6  # after a few steps, and not when its time is up
    assert told["argument"] == "steps"
    assert told["image"] == queries[1].path.name
    (most,) = re.findall(r"Ask for (\d+) steps at most; or for defence=canonical", told["fix"])
    assert 5 <= int(most) <= 64
    assert "a request has 8" in told["message"]
    seconds = int(re.findall(r"200 steps take about (\d+) seconds", told["message"])[0])
    assert seconds >= 20


def test_of_several_images_those_that_fit_are_done(
    start: Start, two_encoders: Path, queries: list[Item], slow: None
) -> None:
    client = start(galleries=[str(two_encoders)], protect_seconds=12)
    client.post("/v1/protect", files=files(queries[0].path), data={**GRADIENTS, "steps": "1"})
    sent = files(*[item.path for item in queries], ("more.png", queries[0].path.read_bytes()))
    answer = client.post("/v1/protect", files=sent, data={**GRADIENTS, "steps": "40"})
    told = lines(answer.text)
    assert len(told) == 4
    assert told[0]["schema"] == "morelli.protect/1"
    assert told[3]["schema"] == "morelli.error/1"
    early = [each for each in told if each["schema"] == "morelli.error/1" and each["argument"] == "steps"]
    assert early
    assert early[0]["fix"].startswith(("Ask for fewer images at a time", "Ask for 3"))


@pytest.mark.parametrize(
    ("pace", "several", "left", "said"),
    [
        (0.1, False, 80.0, None),
        (1.0, False, 80.0, None),
        (2.0, False, 80.0, "32 steps"),
        (70.0, False, 80.0, "^Ask for defence=canonical"),
        (2.0, True, 80.0, "32 steps at most, and one image at a time"),
        (1.0, True, 10.0, "fewer images"),
        (1.0, False, 10.0, "Ask again"),
    ],
)
def test_estimates(monkeypatch: pytest.MonkeyPatch, pace: float, several: bool, left: float, said: str | None) -> None:
    """Fifty steps, eighty seconds."""
    now = [1000.0]
    monkeypatch.setattr(protect_route, "time", SimpleNamespace(monotonic=lambda: now[0]))
    seat: Any = SimpleNamespace(until=1000.0 + left, abandoned=threading.Event())
    watched = protect_route._Watch(seat, 80.0, several)

    def steps() -> None:
        watched("learning", 0, 1)
        for number in range(1, 7):
            watched("a.png", number, 50)
            now[0] += pace

    if said is None:
        steps()
        return
    with pytest.raises(MorelliError) as caught:
        steps()
    assert re.search(said, caught.value.fix or "")
    assert status_of(caught.value) == (503 if said == "Ask again" else 422)
    seat.abandoned.set()
    with pytest.raises(RefusedError):
        watched("a.png", 1, 50)
