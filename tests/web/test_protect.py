"""``POST /v1/protect``: the facade's answer with the image inside, and what is refused."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from morelli.images.load import load_image
from morelli.protect import Protected, Protector
from morelli.report.plain import plain
from morelli.types import Item
from morelli.web import schemas

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
