"""``morelli exposure`` and ``morelli simulate-votes`` through the command line, and the report that one writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from morelli._version import __version__
from morelli.cli import main
from morelli.encoders import catalogue
from morelli.engine import catalogue as engines
from morelli.report.exposure import print_exposure
from morelli.report.exposure_figures import FIGURE_NAMES, campaigns
from morelli.report.exposure_page import exposure_page
from morelli.testing.datasets import write_dataset

from ..engine.fakes import PickledEngine
from ..evaluation.samples import TextureEncoder, relabel

BASE = ("--encoder", "texture", "--method", "cosine", "--simulations", 5)
_VOID = {"meta", "br", "img", "link", "input"}


@pytest.fixture(autouse=True)
def texture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MORELLI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MORELLI_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    catalogue.REGISTRY.add("texture", TextureEncoder)
    yield
    del catalogue.REGISTRY._loaded["texture"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d", models=3, prompts=4, seeds=3, size=32)


@pytest.fixture
def morelli(capsys: pytest.CaptureFixture[str]):
    """Run a command: exit status, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run


class Reader(HTMLParser):
    """Collects what a well-made page must be free of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.faults: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[name] for name in ("href", "src", "xlink:href") if name in values]
        if tag in ("script", "iframe", "link", "b") or any(name.startswith("on") for name in values):
            self.faults.append(tag)
        if tag == "svg" and not values.get("aria-label"):
            self.faults.append("svg without words")
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"/{tag}")

    def handle_data(self, data):
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_reader_sees_faults():
    bad = read("<p id='a'><script src='http://x'></script><i></p><svg></svg><p id='a'>")
    assert bad.faults == ["script", "/p", "svg without words"]
    assert (bad.ids, bad.links) == (["a", "a"], ["http://x"])


def test_tables(morelli, pictures):
    status, out, err = morelli("exposure", pictures, *BASE, "--k", 2, "--no-sweeps")
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0] == f"{pictures}: 3 models, 4 prompts, k = 2, attack cosine, encoder texture, τ = 0.5"
    filtered = "top-1 on held-out images without the most exposing prompts"
    for title in ("encoders", "models", "prompts", filtered, "one-vs-many", "votes that move one place"):
        assert title in lines
    assert "expected accuracy  held out" not in out  # that takes the sweeps
    assert lines[-1].startswith("one battle: 6 images, $0.15")
    votes = next(line for line in lines if line.startswith("target"))
    for heading in ("place, mean", "could move %", "of these moved %", "false alarms of the three %"):
        assert heading in votes


def words(result: dict) -> str:
    """What the page of a result says."""
    return " ".join("".join(read(exposure_page(result)).text).split())


def test_expected_accuracy_says_how_many_references_it_is_measured_with(morelli, pictures, capsys):
    status, out, err = morelli("exposure", pictures, *BASE, "--k", 2, "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["k_expected"] == 1
    said = "measured with 1 reference a model where the attack's accuracy is with 2"
    assert said in words(found)
    print_exposure(found)
    assert "prompts (expected: with 1 reference a model, not 2)" in capsys.readouterr().out.splitlines()
    del found["k_expected"], found["votes"]["notes"]  # of an earlier version
    assert said not in words(found)
    print_exposure(found)
    assert "prompts" in capsys.readouterr().out.splitlines()


def test_the_page_says_of_which_embeddings_it_is(morelli, pictures):
    status, out, err = morelli("exposure", pictures, *BASE, "--no-sweeps", "--raw", "--json")
    assert status == 0, err
    found = json.loads(out)
    raw, unit = (words(found | {"unit": unit}) for unit in (found["unit"], True))
    assert "side by side; D(i) of embeddings as they come, variances and pairs of embeddings at unit length" in raw
    assert "side by side; embeddings at unit length" in unit


def test_layers_of_an_encoder_keep_their_commas(morelli, pictures, monkeypatch):
    asked = []

    def load(spec: str) -> TextureEncoder:
        asked.append(spec)
        return TextureEncoder()

    monkeypatch.setattr(catalogue, "load_encoder", load)
    layered = "hf:facebook/dinov2-small@block4/mean,pooled"
    status, _, err = morelli("exposure", pictures, "--encoder", f"texture, {layered},texture", *BASE[2:], "--no-sweeps")
    assert status == 0, err
    assert asked == ["texture", layered]
    status, _, err = morelli("exposure", pictures, "--encoder", ",")
    assert status == 1
    assert "names no encoder" in err


def test_json(morelli, pictures):
    status, out, err = morelli("exposure", pictures, *BASE, "--tau", 0.7, "--json", "--seed", 3, "--price", 1)
    assert (status, err) == (0, "")
    (line,) = out.splitlines()
    found = json.loads(line)
    assert (found["schema"], found["tau"], found["seed"], found["method"]) == ("morelli.exposure/1", 0.7, 3, "cosine")
    assert (found["cost"]["per_battle"], found["version"]) == (6.0, __version__)
    again = json.loads(morelli("exposure", pictures, *BASE, "--tau", 0.7, "--json", "--seed", 3, "--price", 1)[1])
    assert again | {"seconds": 0} == found | {"seconds": 0}


def test_prices_by_model(morelli, pictures, tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("model,price\nmodel-00,1\nmodel-01,0.5\nmodel-02,0.25\n")
    asked = ("exposure", pictures, *BASE, "--k", 2, "--no-sweeps", "--price", prices)
    status, out, err = morelli(*asked, "--json")
    assert status == 0, err
    cost = json.loads(out)["cost"]
    assert cost["per_battle"] == 2 * (1 + 0.5 + 0.25)
    assert cost["price"] == {"model-00": 1, "model-01": 0.5, "model-02": 0.25}
    for text, said in (
        ("model-00,1\nmodel-01,1\n", "has no price for 'model-02'"),
        ("model-00,1\nmodel-01,1\nmodel-02,1\nmodel-3,1\n", "'model-3'"),
        ("model-00,1\nmodel-01,-1\nmodel-02,1\n", "line 3"),
    ):
        prices.write_text(f"model,price\n{text}")
        status, out, err = morelli(*asked)
        assert (status, out) == (1, "")
        assert said in err
    status, _, err = morelli("exposure", pictures, *BASE, "--price", "cheap")
    assert status == 1
    assert "neither a number nor a file" in err


@pytest.mark.parametrize("aim", [400.0, None])
def test_the_figure_of_cost_shows_what_a_campaign_costs(aim):
    cost = {"images_per_battle": 30, "per_battle": 0.5, "campaign_battles": aim, "leaderboard_prompts": 20}
    (axes,) = campaigns(cost).axes
    own, shared, *mark = axes.lines
    assert own.get_xdata()[-1] == axes.get_xlim()[1] == (600 if aim else 1000)
    assert own.get_ydata()[40] == pytest.approx(0.5 * own.get_xdata()[40])
    assert shared.get_ydata()[-1] == pytest.approx(0.5 * 20, rel=1e-6)  # every prompt was paid for once
    assert [line.get_xdata()[0] for line in mark] == ([400] if aim else [])


def test_an_engine_gives_the_same(morelli, pictures, monkeypatch):
    engine = PickledEngine()
    status, out, err = morelli("exposure", pictures, *BASE, "--no-sweeps", "--json")
    assert status == 0, err
    here = json.loads(out)
    monkeypatch.setenv("MORELLI_CACHE", str(pictures.parent / "another"))
    monkeypatch.setitem(engines.REGISTRY._loaded, "elsewhere", lambda address: engine)
    status, out, err = morelli("exposure", pictures, *BASE, "--no-sweeps", "--json", "--engine", "elsewhere")
    assert status == 0, err
    there = json.loads(out)
    assert sum(len(part) for part in engine.items) == 36  # every picture was embedded by it
    assert here | {"seconds": 0} == there | {"seconds": 0}


def test_an_engine_that_cannot_be_is_named(morelli, pictures):
    status, _, err = morelli("exposure", pictures, *BASE, "--engine", "rai")
    assert status == 1 and "'ray'" in err
    status, _, err = morelli("exposure", pictures, *BASE, "--ray-address", "head:6379")
    assert status == 1 and "--engine ray" in err


def test_report(morelli, pictures, tmp_path):
    def rename(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | {"model": row["model"].replace("model-00", "<b>&x"), "prompt": "$a_b$ <i>"} for row in rows]

    relabel(pictures, rename)
    out = tmp_path / "new" / "audit"
    status, _, err = morelli("exposure", pictures, *BASE, "--out", out)
    assert status == 0, err
    page = (out / "report.html").read_text(encoding="utf-8")
    found = read(page)
    assert (found.faults, found.open) == ([], [])
    assert len(set(found.ids)) == len(found.ids)
    # Self-contained: anchors of its own, and pictures inside.
    assert all(link.startswith(("#", "data:image/webp;base64,")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert sum(link.startswith("data:") for link in found.links) == 18  # two prompts, three models, three images
    words = "".join(found.text)
    assert "<b>&x" in words
    assert "$a_b$ <i>" in words
    assert "#010101" not in page
    assert "prefers-color-scheme:dark" in page
    assert json.loads((out / "exposure.json").read_text())["schema"] == "morelli.exposure/1"
    figures = sorted(path.name for path in (out / "figures").iterdir())
    assert {"ranking.svg", "k.svg", "pool.svg", "bands.svg", "distances.svg", "tau.svg", "cost.svg"} <= set(figures)
    assert "battles viewed" in page[page.index('id="cost"') :]
    for name in figures:
        text = (out / "figures" / name).read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)  # noqa: S314 - our own file
        assert root.tag.endswith("svg")
        assert "var(--" not in text


def test_nothing_is_replaced_unless_asked(morelli, pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "exposure.json").write_text("mine")
    status, text, err = morelli("exposure", pictures, *BASE, "--out", out)
    assert (status, text) == (1, "")
    assert "exists already" in err
    assert "--overwrite" in err
    assert (out / "exposure.json").read_text() == "mine"
    assert morelli("exposure", pictures, *BASE, "--no-sweeps", "--out", out, "--overwrite")[0] == 0
    assert (out / "exposure.json").read_text() != "mine"
    (out / "figures" / "categories.svg").write_text("<svg/>")  # of an earlier run
    (out / "figures" / "mine.svg").write_text("<svg/>")
    assert morelli("exposure", pictures, *BASE, "--no-sweeps", "--out", out, "--overwrite")[0] == 0
    assert not (out / "figures" / "categories.svg").exists()
    assert (out / "figures" / "mine.svg").exists()
    assert {path.stem for path in (out / "figures").iterdir()} <= {*FIGURE_NAMES, "mine"}
    status, _, err = morelli("exposure", pictures, *BASE, "--out", out / "exposure.json", "--overwrite")
    assert status == 1
    assert "is no folder" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tau", "1"), "tau"),
        (("--method", "euclidd"), "Did you mean"),
        (("--encoder", "textur"), "Did you mean"),
        (("--price", "-1"), "price"),
    ],
)
def test_bad_arguments_are_one_line(morelli, pictures, arguments, said):
    status, out, err = morelli("exposure", pictures, *BASE, *arguments)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert said in err


def test_bad_datasets_are_one_line(morelli, tmp_path):
    for name, shape in (
        ("one-model", {"models": 1}),
        ("one-image", {"seeds": 1}),
        ("no-prompts", {"layout": "folders"}),
    ):
        folder = write_dataset(tmp_path / name, **({"models": 3, "prompts": 2, "seeds": 2, "size": 32} | shape))
        status, out, err = morelli("exposure", folder, *BASE)
        assert (status, out) == (1, ""), name
        assert len(err.splitlines()) == 1
        assert err.startswith("error: ")


def test_simulate_votes_reads_what_exposure_wrote(morelli, pictures, tmp_path):
    text = morelli("exposure", pictures, *BASE, "--no-sweeps", "--json")[1]
    (tmp_path / "exposure.json").write_text(text)
    few = ("--simulations", 10, "--most", 400, "--votes", 500)
    status, out, err = morelli("simulate-votes", tmp_path / "exposure.json", *few)
    assert status == 0, err
    title, heading, *rows = out.splitlines()
    assert title.startswith("bradley-terry, 500 honest votes (10 % at random), places 15 Elo points apart, voting up")
    assert heading.split()[:2] == ["target", "defence"]
    assert [row.split()[0] for row in rows] == ["model-00", "model-01", "model-02"]
    weak = tmp_path / "weak.csv"
    weak.write_text(",model-00,model-01,model-02\nmodel-00,1,1,1\nmodel-01,1,1,1\nmodel-02,1,1,1\n")
    (tmp_path / "ratings.csv").write_text("model,rating\nmodel-00,1000\nmodel-01,1020\nmodel-02,990\n")
    asked = ("--target", "model-02", "--system", "elo", "--json", "--direction", "down", "--cover")
    status, out, err = morelli(
        "simulate-votes", tmp_path / "exposure.json", *few, *asked,
        "--defended", f"jpeg={weak}", "--defended", f"blur={weak}", "--ratings", tmp_path / "ratings.csv",
    )  # fmt: skip
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["schema"] == "morelli.votes/1"
    assert [(row["target"], row["defence"]) for row in found["rows"]] == [
        ("model-02", "none"),
        ("model-02", "jpeg"),
        ("model-02", "blur"),
    ]
    assert found["settings"]["ratings"]["model-01"] == 1020
    assert found["defended_accuracy"] == {"jpeg": pytest.approx(1 / 3), "blur": pytest.approx(1 / 3)}
    # A model that is a candidate and was never asked about has an empty row, which exposure leaves out itself.
    measured = json.loads((tmp_path / "exposure.json").read_text())
    measured["confusion"]["matrix"][1] = [0, 0, 0]
    (tmp_path / "two.json").write_text(json.dumps(measured))
    status, out, err = morelli("simulate-votes", tmp_path / "two.json", *few)
    assert (status, [row.split()[0] for row in out.splitlines()[2:]]) == (0, ["model-00", "model-02"]), err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "c"), "no model is called 'c'"),
        (("--system", "glicko"), "Known: bradley-terry, elo."),
        (("--direction", "left"), "direction"),
        (("--noise", "2"), "--noise"),
        (("--ratings", "absent.csv"), "absent.csv"),
        (("--ratings", "twice.csv"), "line 4: 'a' has a second row"),
        (("--ratings", "unknown.csv"), "is called 'b2'"),
        (("--ratings", "few.csv"), "has no rating for 'b'"),
        (("--defended", "absent.json"), "absent.json"),
        (("--defended", "none=c.csv"), "no defence may be called none"),
    ],
)
def test_bad_simulations_are_one_line(morelli, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.csv").write_text(",a,b\na,9,1\nb,2,8\n")
    for name, rows in (("twice", "a,1\nb,2\na,3\n"), ("unknown", "a,1\nb,2\nb2,3\n"), ("few", "a,1\n")):
        (tmp_path / f"{name}.csv").write_text(f"model,rating\n{rows}")
    status, out, err = morelli("simulate-votes", tmp_path / "c.csv", *arguments)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert said in err


def test_a_target_that_could_seldom_move_is_said(morelli, tmp_path):
    (tmp_path / "c.csv").write_text("images,a,b,c\na,20,2,2\nb,2,20,2\nc,2,2,20\n")
    (tmp_path / "ratings.csv").write_text("model,rating\na,6\nb,0\nc,-30\n")
    few = ("--simulations", 60, "--most", 2000, "--target", "a", "--ratings", tmp_path / "ratings.csv")
    status, out, err = morelli("simulate-votes", tmp_path / "c.csv", *few)
    assert status == 0
    assert "could move %" in out.splitlines()[1]
    assert err.startswith("note: Fewer than half of the simulations had a place to move to for a (")
    status, out, err = morelli("simulate-votes", tmp_path / "c.csv", *few, "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["notes"][0].startswith("Fewer than half")
    status, _, err = morelli("simulate-votes", tmp_path / "c.csv", *few[:-4], "--target", "c", *few[-2:])
    assert (status, err) == (0, "")
