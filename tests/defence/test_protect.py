"""The facade: what its report says, whom it judges against, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from morelli.defence.canonical import RECIPE, canonical
from morelli.defence.lpips import Lpips
from morelli.defence.quality import ms_ssim, psnr
from morelli.encoders.catalogue import load_encoder
from morelli.encoders.embed import embed
from morelli.enrol import enrol
from morelli.errors import (
    EmptyGalleryError,
    GalleryMismatchError,
    ImageTooSmallError,
    InputError,
    MissingGalleryError,
    MissingImageError,
    MorelliError,
    NotDifferentiableError,
    NotEnoughReferencesError,
    UnknownNameError,
    WeightsError,
)
from morelli.gallery.store import Gallery
from morelli.images.dataset import Dataset, read_dataset
from morelli.images.load import from_array, load_image
from morelli.protect import DEFENCES, PerturbSettings, Protected, Protector
from morelli.testing.datasets import write_dataset
from morelli.types import EncoderStamp, Item

from .lpips_weights import write_weights
from .toys import STAMP, BlindEncoder, GrainEncoder

QUICK = PerturbSettings(epsilon=4, steps=6)
OTHER = EncoderStamp("grain-two", "1", "plain", STAMP.dims)
BLIND = EncoderStamp("blind", "1", "plain", STAMP.dims)
JOINED = EncoderStamp("residual-spectrum+grain", "1", "plain", STAMP.dims)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=5, seeds=3, size=40)).items


@pytest.fixture(scope="module")
def query(items: tuple[Item, ...]) -> Item:
    return next(item for item in items if (item.model, item.prompt_id, item.seed) == ("model-01", "002", 2))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, items: tuple[Item, ...], query: Item) -> Path:
    return gallery_of(tmp_path_factory.mktemp("g") / "g", [item for item in items if item != query], GrainEncoder())


def gallery_of(path: Path, items: list[Item], *encoders: Any) -> Path:
    gallery = Gallery.create(path)
    for encoder in encoders:
        enrol(gallery, Dataset(path, tuple(items)), encoder, copies=0)
    return path


@pytest.fixture
def make(gallery: Path, tmp_path: Path):
    def made(of: Any = gallery, **options: Any) -> Protector:
        quick = {"encoder": GrainEncoder(), "surrogates": [GrainEncoder()], "settings": QUICK, "method": "euclid"}
        return Protector(of, **quick | {"cache": tmp_path / "cache"} | options)

    return made


def one(answers: Any) -> Protected:
    (answer,) = list(answers)
    if isinstance(answer, MorelliError):
        raise answer
    return answer


@pytest.mark.parametrize(("defence", "epsilon", "said"), [("pgd", 2.7, 2), ("pgd", 2.0, None), ("eot", 2.7, None)])
def test_a_share_of_a_level_that_is_not_used_is_told(
    make, query: Item, defence: str, epsilon: float, said: int | None
) -> None:
    """`eot` dithers its limits, and so uses it."""
    done = one(
        make(defence=defence, settings=PerturbSettings(epsilon, steps=2)).protect([query.path], model="model-01")
    )
    told = [note for note in done.report["notes"] if "whole levels" in note]
    assert told == ([] if said is None else [f"Samples are whole levels: of ε = 2.7 no more than {said} is used."])
    change = np.abs(done.after.astype(int) - load_image(query.path).pixels)
    assert change.max() <= int(epsilon) + (defence == "eot")


def test_lpips_where_its_weights_are(make, query: Item, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, top = write_weights(tmp_path)
    monkeypatch.setattr("morelli.defence.lpips._of_package", lambda: top)
    found = one(make(defence="canonical", lpips=network).protect([query.path]))
    assert found.report["quality"]["lpips"] == pytest.approx(Lpips(network, top)(found.before, found.after))
    assert one(make(defence="canonical").protect([query.path])).report["quality"]["lpips"] is None
    with pytest.raises(WeightsError, match="absent"):
        make(defence="canonical", lpips=tmp_path / "absent.pth").protect([query.path])


def test_a_picture_too_small_for_lpips_is_protected(make, query: Item, tmp_path: Path, monkeypatch) -> None:
    network, top = write_weights(tmp_path)
    monkeypatch.setattr("morelli.defence.lpips._of_package", lambda: top)
    small = from_array(load_image(query.path).pixels[:30, :], "small")
    found = one(make(lpips=network).protect([small], model="model-01"))
    assert found.report["quality"]["lpips"] is None
    assert "It has no LPIPS: 40 × 30 pixels: LPIPS needs 31 each way." in found.report["notes"]
    assert found.report["quality"]["psnr"] > 20


@pytest.mark.parametrize("defence", DEFENCES)
def test_the_report_is_of_the_images(make, query: Item, defence: str) -> None:
    found = one(make(defence=defence).protect([query.path], model="model-01", prompt="002"))
    report = found.to_json()
    assert (report["schema"], report["image"], report["output"]) == ("morelli.protect/1", str(query.path), None)
    np.testing.assert_array_equal(found.before, load_image(query.path).pixels)
    assert found.after.shape == found.before.shape
    change = np.abs(found.after.astype(int) - found.before)
    assert report["quality"]["largest_change"] == change.max()
    assert report["quality"]["changed"] == pytest.approx((change > 0).mean())
    assert report["quality"]["psnr"] == pytest.approx(psnr(found.before, found.after))
    assert report["quality"]["ms_ssim"] == pytest.approx(ms_ssim(found.before, found.after))
    assert report["model"] == {"name": "model-01", "from": "told"}
    assert report["before"]["rank"] == 1
    assert report["defence"]["name"] == defence
    if defence == "canonical":
        assert report["defence"]["recipe"] == RECIPE
        assert "noise" not in report
        np.testing.assert_array_equal(found.after, canonical(found.before))
    else:
        assert 1 <= change.max() <= 4
        assert report["defence"]["surrogates"] == [{"encoder": "grain", "revision": "1"}]
        assert set(report["noise"]) == {"decision", "first", "probability", "rank"}
        assert report["method"]["unseen_encoder"] is False


def test_ranks_are_those_of_the_attributor(make, query: Item, items: tuple[Item, ...]) -> None:
    """Nearest centroids of the prompt at unit length, worked out here."""
    found = one(make().protect([query.path], model="model-01", prompt="002"))
    refs = [item for item in items if item.prompt_id == "002" and item != query]

    def points(sources: Any) -> np.ndarray:
        parts = list(embed(GrainEncoder(), sources).vectors.values())
        x = np.concatenate([p / np.linalg.norm(p, axis=1, keepdims=True) for p in parts], axis=1)
        return x / np.sqrt(len(parts))

    x = points([item.path for item in refs])
    models = np.array([item.model for item in refs])
    z = points([from_array(found.after)])[0]
    away = {name: float(np.linalg.norm(x[models == name].mean(axis=0) - z)) for name in np.unique(models).tolist()}
    order = sorted(away, key=away.__getitem__)
    assert found.report["after"]["first"] == order[0]
    assert found.report["after"]["rank"] == order.index("model-01") + 1


def test_a_reference_is_left_out_and_known(make, items: tuple[Item, ...]) -> None:
    own = next(item for item in items if (item.model, item.prompt_id, item.seed) == ("model-02", "001", 0))
    found = one(make().protect([own.path], prompt="001"))
    assert found.report["model"] == {"name": "model-02", "from": "gallery"}
    assert any("is a reference" in note for note in found.report["notes"])
    wrong = one(make(defence="canonical").protect([own.path], prompt="001", model="model-00"))
    assert wrong.report["model"] == {"name": "model-00", "from": "told"}
    assert any("as model-02's, and model-00 was told" in note for note in wrong.report["notes"])


def test_a_model_that_nobody_told(make, query: Item) -> None:
    found = one(make().protect([query.path]))
    assert found.report["model"]["from"] == "attributed"
    assert found.report["before"]["rank"] is None
    assert any("was not told" in note for note in found.report["notes"])


def test_an_unseen_encoder_says_so(make, items: tuple[Item, ...], query: Item, tmp_path: Path) -> None:
    rest = [item for item in items if item != query]
    both = gallery_of(tmp_path / "both", rest, GrainEncoder(), GrainEncoder(OTHER))
    found = one(make(both, encoder=GrainEncoder(OTHER)).protect([query.path], model="model-01"))
    assert found.report["method"]["unseen_encoder"] is True
    assert found.report["method"]["encoder"] == "grain-two"


def test_who_judges_by_default(make, items: tuple[Item, ...], query: Item, tmp_path: Path, monkeypatch) -> None:
    """One that the defence does not know, where the gallery has one."""
    monkeypatch.setattr("morelli.protect.DEFAULT_ENCODER", "grain")
    kinds = {"grain": GrainEncoder(), "grain-two": GrainEncoder(OTHER), "blind": BlindEncoder(BLIND)}
    kinds["grain+blind"] = BlindEncoder(EncoderStamp("grain+blind", "1", "plain", STAMP.dims))
    rest = [item for item in items if item != query]

    def judged(names: list[str], **options: Any) -> tuple[str, bool, bool]:
        path = tmp_path / "-".join(names)
        of = path if path.exists() else gallery_of(path, rest, *(kinds[name] for name in names))
        asked = {"encoder": None, "surrogates": None, "load": kinds.__getitem__} | options
        report = one(make(of, **asked).protect([query.path], model="model-01")).report
        used = report["method"]
        return used["encoder"], used["unseen_encoder"], any("Judged with" in note for note in report["notes"])

    assert judged(["grain"]) == ("grain", False, True)
    assert judged(["grain", "grain-two"]) == ("grain", False, True)  # both are surrogates
    assert judged(["grain", "grain-two"], surrogates=["grain"]) == ("grain-two", True, False)
    assert judged(["grain", "grain-two"], surrogates=["grain"], encoder="grain") == ("grain", False, True)
    assert judged(["grain", "grain-two"], defence="canonical") == ("grain", True, False)
    assert judged(["grain", "blind"]) == ("blind", True, False)
    assert judged(["grain", "grain+blind"]) == ("grain", False, True)  # a surrogate is a part of the other


def test_a_judge_that_begins_as_a_surrogate_does_is_not_unseen(
    make, items: tuple[Item, ...], query: Item, tmp_path: Path
) -> None:
    """By name nothing is in common: ``fingerprint`` holds the spectrum that ``residual-spectrum`` is."""
    rest = [item for item in items if item != query and item.prompt_id in ("002", "003")]
    kinds = {name: load_encoder(name) for name in ("residual-spectrum", "fingerprint")}
    kinds |= {"grain": GrainEncoder(), "residual-spectrum+grain": BlindEncoder(JOINED)}
    two = gallery_of(tmp_path / "two", rest, kinds["residual-spectrum"], kinds["fingerprint"])
    asked: dict[str, Any] = {"encoder": None, "surrogates": ["residual-spectrum"], "load": kinds.__getitem__}
    asked["settings"] = PerturbSettings(steps=1)

    def judged(of: Path, **options: Any) -> tuple[str, bool, list[str]]:
        report = one(make(of, **asked | options).protect([query.path], model="model-01")).report
        used = report["method"]
        return used["encoder"], used["unseen_encoder"], [n for n in report["notes"] if n.startswith("Judged with")]

    name, unseen, (note,) = judged(two)
    assert (name, unseen) == ("fingerprint", False)
    assert "shares its front end with the surrogate residual-spectrum" in note
    assert judged(two, encoder="residual-spectrum")[:2] == ("residual-spectrum", False)
    # Where the gallery has one that looks at something else, that one judges.
    three = gallery_of(tmp_path / "three", rest, *kinds.values())
    assert judged(three) == ("grain", True, [])
    # Rather one that begins alike than one that is a surrogate, or is joined of it.
    assert judged(three, surrogates=["residual-spectrum", "grain"])[0] == "fingerprint"


def test_one_bad_image_does_not_stop_the_others(make, query: Item, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "small.png")
    answers = list(make().protect([tmp_path / "absent.png", tmp_path / "small.png", query.path], model="model-01"))
    assert [type(each) for each in answers] == [MissingImageError, ImageTooSmallError, Protected]


def test_the_same_seed_gives_the_same_pixels(make, query: Item) -> None:
    first, second = (one(make().protect([query.path], model="model-01")).after for _ in range(2))
    np.testing.assert_array_equal(first, second)


def refuses(kind: type[MorelliError], said: str, protector: Protector, sources: list[Path], **asked: Any) -> None:
    # Before any answer is asked for, and so before any image is read.
    with pytest.raises(kind, match=said):
        protector.protect(sources, **asked)


def test_refused_before_the_work(make, tmp_path: Path) -> None:
    nowhere = [tmp_path / "never read.png"]
    refuses(UnknownNameError, "Did you mean 'pgd'", make(defence="pdg"), nowhere)
    refuses(UnknownNameError, "model-1", make(), nowhere, model="model-1")
    refuses(UnknownNameError, "prompt", make(), nowhere, prompt="a prompt that is not there")
    refuses(UnknownNameError, "attributor", make(method="euclit"), nowhere)
    refuses(InputError, "names no encoder", make(surrogates=[]), nowhere)
    refuses(NotDifferentiableError, "no gradient flows", make(surrogates=[BlindEncoder()]), nowhere)
    refuses(GalleryMismatchError, "grain-two", make(surrogates=[GrainEncoder(OTHER)]), nowhere)
    refuses(MissingGalleryError, "no gallery", make(tmp_path / "no gallery"), nowhere)
    refuses(UnknownNameError, "sharpen", make(defence="canonical", recipe="sharpen:1"), nowhere)
    for epsilon in (0, -1, 0.2, 100):
        refuses(InputError, "epsilon", make(settings=PerturbSettings(epsilon=epsilon)), nowhere)


def test_galleries_that_do_not_allow_it(make, items: tuple[Item, ...], tmp_path: Path) -> None:
    alone = gallery_of(tmp_path / "alone", [item for item in items if item.model == "model-00"], GrainEncoder())
    refuses(NotEnoughReferencesError, "one model only", make(alone), [])
    Gallery.create(tmp_path / "empty")
    refuses(EmptyGalleryError, "no reference", make(tmp_path / "empty"), [])
