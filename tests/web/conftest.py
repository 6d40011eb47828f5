"""A small gallery of made-up pictures, a cheap encoder, and an application to ask."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from starlette.testclient import TestClient

from morelli.encoders import catalogue
from morelli.images.dataset import read_dataset
from morelli.testing.datasets import write_dataset
from morelli.types import Item
from morelli.web import desk as desk_module
from morelli.web.app import ROUTES, build_app
from morelli.web.decoders import Decoders, Read
from morelli.web.desk import Desk, open_desk
from morelli.web.settings import Settings
from morelli.web.tokens import Tokens

from ..test_identify import STAMP, Texture, gallery_of

HOME = "http://127.0.0.1"


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    folder = tmp_path_factory.mktemp("web-pictures")
    return read_dataset(write_dataset(folder, models=3, prompts=8, seeds=3, size=64, families=["a", "a", "b"])).items


@pytest.fixture(scope="session")
def queries(items: tuple[Item, ...]) -> list[Item]:
    """The last seed of prompt 007, one image a model; no gallery has them."""
    return [item for item in items if item.prompt_id == "007" and item.seed == 2]


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...], queries: list[Item]) -> Path:
    where = tmp_path_factory.mktemp("web-galleries") / "small.morelli"
    gallery_of(where, [item for item in items if item not in queries])
    return where


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what is learnt from galleries, shared by all servers of the session."""
    return tmp_path_factory.mktemp("web-cache")


@pytest.fixture(scope="package", autouse=True)
def toys() -> Iterator[None]:
    catalogue.REGISTRY.add("texture", lambda: Texture(STAMP))
    yield
    del catalogue.REGISTRY._loaded["texture"]


class Lent:
    """The decoding processes of all applications of a package's tests that want the usual ones: starting some takes
    longer than most of these tests."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders

    def read(self, data: bytes, name: str, *, claims: bool, wait: float) -> Read:
        return self._decoders.read(data, name, claims=claims, wait=wait)

    def close(self) -> None:
        """They are closed after the last test."""


@pytest.fixture(scope="package", autouse=True)
def lent() -> Iterator[None]:
    usual = Settings(decoders=1)
    decoders = Decoders(usual)
    asked = [name for name in Settings.__dataclass_fields__ if name.startswith(("decode", "max_"))]

    def lend(settings: Settings, trust: Path | None, on_loss: Callable[[], None]) -> Any:
        if trust is None and all(getattr(settings, name) == getattr(usual, name) for name in asked):
            return Lent(decoders)
        return Decoders(settings, trust, on_loss)

    with patch.object(desk_module, "Decoders", lend):
        yield
    decoders.close()


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    """Wait for what must come true; how long that takes is the machine's matter."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


Start = Callable[..., TestClient]


@contextmanager
def starting(gallery: Path, learnt: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(
            *,
            galleries: Sequence[str] | None = None,
            tokens: Tokens = Tokens(),
            audit: Path | None = None,
            routes: Sequence[str] = ROUTES,
            change: Callable[[Desk], Any] = lambda desk: None,
            methods: Sequence[str] | None = None,
            **settings: Any,
        ) -> TestClient:
            chosen = Settings(**{"decoders": 1, "rate": 0, **settings})
            given = galleries or [str(gallery)]
            desk = open_desk(given, chosen, tokens=tokens, audit=audit, cache=learnt, methods=methods)
            change(desk)
            return stack.enter_context(TestClient(build_app(desk, routes), HOME, raise_server_exceptions=False))

        yield started


@pytest.fixture
def start(gallery: Path, learnt: Path) -> Iterator[Start]:
    """Start an application in this process: settings by name, galleries, tokens and the like; gives a client."""
    with starting(gallery, learnt) as started:
        yield started


@pytest.fixture(scope="package")
def client(gallery: Path, learnt: Path, toys: None, lent: None) -> Iterator[TestClient]:
    """Asks an application with the usual settings, which tests share."""
    with starting(gallery, learnt) as started:
        yield started()


def files(*paths: Path | tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """The form's images, from paths or names with bytes."""
    pairs = [(path.name, path.read_bytes()) if isinstance(path, Path) else path for path in paths]
    return [("image", pair) for pair in pairs]


def lines(text: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def is_error(answer: Any, status: int) -> dict[str, Any]:
    """The error object of an answer, which must be whole and have that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert set(told) == {"schema", "image", "argument", "message", "fix"}
    assert told["schema"] == "morelli.error/1"
    assert told["message"]
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1
    return told
