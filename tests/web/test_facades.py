"""What facades share, what of it is kept, and which methods may be asked for."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from morelli import verify
from morelli.cli.app import main
from morelli.errors import InputError, UnknownNameError
from morelli.gallery.view import GalleryView
from morelli.images.load import Picture, load_image
from morelli.protect import PerturbSettings
from morelli.types import Item
from morelli.web.facades import Facades, parse_methods
from morelli.web.galleries import Galleries
from morelli.web.settings import MIB
from morelli.web.shared import SharedView, weight

from ..test_identify import gallery_of
from .conftest import Start, files, is_error

FOREVER = 1e9


@pytest.fixture
def galleries(tmp_path: Path, items: tuple[Item, ...], queries: list[Item]) -> Iterator[Galleries]:
    """One gallery, which says what its models derive from."""
    known = [replace(item, base=f"base-{item.family}") for item in items if item not in queries]
    gallery_of(tmp_path / "small", known)
    found = Galleries({"small": str(tmp_path / "small")})
    yield found
    found.close()


@pytest.fixture
def picture(queries: list[Item]) -> Picture:
    return load_image(queries[0].path)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Encoders whose embeddings are read from a gallery, each time that they are."""
    seen: list[str] = []
    plain = GalleryView.embeddings

    def embeddings(self: GalleryView, encoder_id: str, *rest: Any, **options: Any) -> Any:
        if not isinstance(self, SharedView):  # which asks its base, once
            raise AssertionError("a facade reads a copy of its own")
        seen.append(encoder_id)
        return plain(self, encoder_id, *rest, **options)

    monkeypatch.setattr(GalleryView, "embeddings", embeddings)
    return seen


def ask(facades: Facades, picture: Picture, method: str, **options: Any) -> Any:
    with facades.identifier(None, None, method, FOREVER, stability=False, **options) as identifier:
        assert len(list(identifier.identify([picture]))) == 1
        return identifier


def test_all_facades_of_a_version_share_its_embeddings(
    galleries: Galleries, learnt: Path, picture: Picture, reads: list[str]
) -> None:
    facades = Facades(galleries, cache=learnt)
    asked = [ask(facades, picture, method) for method in ("euclid", "cosine", "lda", "fused")]
    verdict = facades.verify([picture, picture], None, None, FOREVER, 0.5)
    (made,) = facades.protect(
        picture, None, None, FOREVER, defence="canonical", settings=PerturbSettings(), method="lda"
    )
    assert verdict.decision == "same"
    assert made.image == picture.name  # pyright: ignore[reportAttributeAccessIssue]
    assert reads == ["texture"]  # one copy of them in memory, however many ask
    assert all(each._held is asked[0]._held for each in asked)
    kept = {key[1]: kept.facade for key, kept in facades._shelf._kept.items()}
    assert kept["protect"]._judge.data is asked[0]._held.data


def test_a_pair_of_references_is_learnt_for_by_one_request_at_a_time(
    galleries: Galleries, learnt: Path, items: tuple[Item, ...], queries: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a copy of the embeddings without the two: as many copies as requests would be too many."""
    facades = Facades(galleries, cache=learnt)
    facades.verify([load_image(each.path) for each in queries[:2]], None, None, FOREVER, 0.5)
    alone: list[bool] = []
    plain = verify.learn_pair_judge

    def learn(data: Any) -> Any:
        (kept,) = facades._shelf._kept.values()
        alone.append(kept.apart.locked() and not kept.lock.locked())  # others need not wait
        return plain(data)

    monkeypatch.setattr(verify, "learn_pair_judge", learn)
    pair = [load_image(each.path) for each in items[:2]]
    for _ in range(2):
        assert any("was left out" in note for note in facades.verify(pair, None, None, FOREVER, 0.5).notes)
    assert alone == [True]


def test_a_level_is_shared_too(galleries: Galleries, learnt: Path, picture: Picture, reads: list[str]) -> None:
    facades = Facades(galleries, cache=learnt)
    first, second = (ask(facades, picture, method, level="base") for method in ("cosine", "euclid"))
    models = ask(facades, picture, "cosine")
    assert reads == ["texture"]
    assert set(first._held.data.models) == {"base-a", "base-b"}
    assert second._held is first._held
    assert models._held is not first._held
    assert models._held.data.vectors is first._held.data.vectors


def test_a_new_version_is_not_the_old_one_s(galleries: Galleries, learnt: Path, picture: Picture) -> None:
    view = galleries.current().view
    one, other = SharedView.of(view), SharedView.of(view)
    assert one.embeddings("texture")[1] is one.embeddings("texture")[1]
    assert one.embeddings("texture")[1] is not other.embeddings("texture")[1]
    assert one.embeddings("texture", copies=False)[1].degraded is None  # what is asked in another form is read
    some = [one.references()[0].content]
    assert len(one.embeddings("texture", some)[1]) == 1


def test_what_is_shared_is_made_anew_once_nobody_has_it(galleries: Galleries) -> None:
    class Thing:
        pass

    view = SharedView.of(galleries.current().view)
    first = view.share("key", Thing)
    assert view.share("key", Thing) is first
    gone = weakref.ref(first)
    del first
    assert gone() is None
    assert isinstance(view.share("key", Thing), Thing)


# -- how much is kept -------------------------------------------------------------------------------------------------


def methods_kept(facades: Facades) -> list[Any]:
    return [key[3] for key in facades._shelf._kept]


def test_facades_are_kept_within_bytes(galleries: Galleries, learnt: Path, picture: Picture) -> None:
    """Each of so small a gallery counts for the least, one MiB, and the embeddings for a little more."""
    facades = Facades(galleries, held=3 * MIB, cache=learnt)
    for method in ("euclid", "cosine", "euclid", "lda"):
        ask(facades, picture, method)
    assert methods_kept(facades) == ["euclid", "lda"]
    large = Facades(galleries, held=40 * MIB, cache=learnt)
    for method in ("euclid", "cosine", "lda"):
        ask(large, picture, method)
    assert methods_kept(large) == ["euclid", "cosine", "lda"]


def test_the_one_that_is_asked_is_kept_in_any_case(galleries: Galleries, learnt: Path, picture: Picture) -> None:
    facades = Facades(galleries, held=1, cache=learnt)
    for method in ("euclid", "cosine"):
        assert ask(facades, picture, method).method == method
    assert methods_kept(facades) == ["cosine"]


def test_what_is_put_away_is_freed_at_once(galleries: Galleries, learnt: Path, picture: Picture) -> None:
    """Gigabytes must not wait for the garbage collector: nothing that is kept refers to itself."""
    facades = Facades(galleries, cache=learnt)
    ask(facades, picture, "euclid")
    (kept,) = facades._shelf._kept.values()
    view, data = weakref.ref(kept.view), weakref.ref(kept.view.embeddings("texture")[1])
    assert view() is not None
    assert data() is not None
    del kept
    facades._shelf._kept.clear()
    assert view() is None
    assert data() is None


def test_sizes(galleries: Galleries) -> None:
    view = SharedView.of(galleries.current().view)
    count = len(view)
    assert view.size() == 0
    assert view.expected("texture") == count * (3 + 3 + 6) * 4
    assert view.size(["texture"]) == view.expected("texture") + count * 512
    data = view.embeddings("texture")[1]
    assert view.expected("texture") == weight(data)
    assert weight(data) >= sum(values.nbytes for values in data.vectors.values())
    assert view.size() == weight(data) + count * 512


# -- methods ----------------------------------------------------------------------------------------------------------


def test_methods_are_parsed() -> None:
    assert parse_methods(None)[0] == "fused"
    assert set(parse_methods(None)) >= {"fused", "lda", "plda", "euclid", "cosine"}
    assert parse_methods(" lda, fused,lda ") == ("lda", "fused")
    with pytest.raises(InputError, match="names no method"):
        parse_methods(" , ")
    with pytest.raises(UnknownNameError, match="fused"):
        parse_methods("fusd")


def test_only_methods_that_are_offered(start: Start, queries: list[Item]) -> None:
    client = start(methods=("cosine", "euclid"))
    sent, cheap = files(queries[0].path), {"stability": "false"}
    told = client.post("/v1/identify", files=sent, data=cheap).json()
    assert told["method"]["name"] == "cosine"  # the first is the usual one
    assert client.post("/v1/identify", files=sent, data={**cheap, "method": "euclid"}).status_code == 200
    for route, form in (
        ("identify", cheap),
        ("check", {"model": "model-00"}),
        ("protect", {"defence": "canonical"}),
    ):
        told = is_error(client.post(f"/v1/{route}", files=sent, data={**form, "method": "lda"}), 422)
        assert told["argument"] == "method"
        assert "not offered" in told["message"]
        assert "cosine, euclid" in told["fix"]
    is_error(client.post("/v1/identify", files=sent, data={"method": "none such"}), 422)


def test_methods_of_the_command(gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--gallery", str(gallery), "--methods", "fusd"]) == 1
    assert "fused" in capsys.readouterr().err
