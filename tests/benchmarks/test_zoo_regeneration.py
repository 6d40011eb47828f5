"""The regeneration experiment on painters: every table is measured once, from the right images, and printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.zoo import regeneration_report
from benchmarks.zoo.bench import Bench
from benchmarks.zoo.cells import Cells
from benchmarks.zoo.cost import measure as measure_cost
from benchmarks.zoo.images import BACKGROUND, QUERIES
from benchmarks.zoo.invert import invert
from benchmarks.zoo.likeness import Texts, read_background, same_and_cross, shared_words, similarities
from benchmarks.zoo.plan import ATTACKS, Plan, all_queries, subset
from benchmarks.zoo.variants import Lineup
from PIL import Image

from morelli.errors import InputError, PromptError
from morelli.images.degrade import parse
from morelli.images.load import load_image
from morelli.inversion.base import Inverted
from morelli.inversion.given import GivenInverter
from morelli.regeneration.by_attributor import ByAttributor
from morelli.regeneration.catalogue import load_similarity
from morelli.regeneration.pairwise import Ssim

from ..regeneration.painters import Grain, Painter, paint

PLAN = Plan(
    prompts=3,
    queries=2,
    subset=8,
    gamma=3,
    background=4,
    background_images=2,
    cost_gammas=(2,),
    cost_models=(2, 9),
    cost_queries=1,
    inverters=("blip", "pez"),
)
PROMPTS = [f"prompt {i}" for i in range(3)]
TRAINING = [f"training {i}" for i in range(4)]


class Choosy(Painter):
    """Cannot read one prompt."""

    def generate(self, prompt: str, count: int, seed: int) -> Any:
        if prompt == "unreadable":
            raise PromptError("does not know a word.", argument=self.id)
        return super().generate(prompt, count, seed)


class Guess:
    """Finds the first prompt's words, or what no model reads, or nothing."""

    id, revision = "guess", ""

    def __init__(self) -> None:
        self.asked = 0

    def invert(self, pixels: Any, *, progress: Any = None) -> Inverted:
        self.asked += 1
        if self.asked == 1:
            raise InputError("found no words for this picture.", argument=self.id)
        return Inverted("unreadable" if self.asked == 2 else "prompt 0", "guess", others=("prompt 1", "unreadable"))


def texts(pixels: Any, prompt: str, true: str) -> Mapping[str, float]:
    return {"picture_found": 0.2, "picture_true": 0.4, "found_true": 0.6}


def cost(models: Any, queries: Any, gamma: int) -> Mapping[str, Any]:
    seconds = {"invert": 1.0, "generate": 2.0, "embed": 3.0, "score": 4.0}
    return {"gamma": gamma, "models": len(models), "queries": len(queries), "seconds": seconds, "mib": 123.4}


def bench(out: Path, plan: Plan = PLAN) -> Bench:
    models = [Choosy(f"model-{i}") for i in range(3)]
    lineup = Lineup(models, {each.model: each.model for each in models}, ("dit",))
    return Bench(plan, lineup, PROMPTS, TRAINING, Cells(out / "regeneration.jsonl", {}), out)


def measured(out: Path, guess: Callable[[], Guess] = Guess) -> Bench:
    found, encoder = bench(out), Grain()
    found.make()
    background = read_background(found.lineup.generators, TRAINING, PLAN.background_images, encoder, out)
    found.prepare(background, encoder, similarities(encoder, encoder, background, out))
    found.main()
    found.gammas(range(1, PLAN.gamma + 1))
    found.attacks()
    found.inversions({"blip": guess, "pez": guess}, texts)
    found.by_inverter(PLAN.inverters)
    found.costs(cost)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return measured(tmp_path_factory.mktemp("whole"))


def count(found: Bench, table: str) -> int:
    return sum(len(cell["truth"]) for cell in found.cells.of(table))


def test_every_query_is_measured(whole: Bench) -> None:
    assert count(whole, "main") == 3 * 3 * 2
    assert count(whole, "gamma") == 3 * 8
    assert count(whole, "attack") == len(ATTACKS) * 8
    assert count(whole, "by-inverter") == 2 * 8
    assert list(whole.cells.cells["main/p0"]["rank"]) == [
        *("clip-cosine", "ssim", "hybrid", "plda", "fused", "fused+background"),
    ]
    # One candidate a model tells nothing of scatter.
    assert list(whole.cells.of("gamma")[0]["rank"]) == ["clip-cosine", "ssim", "hybrid", "fused+background"]
    assert [cell["models"] for cell in whole.cells.of("cost")] == [2]


def test_the_full_gamma_agrees_with_the_main_table(whole: Bench) -> None:
    for cell in whole.cells.of("gamma"):
        if cell["gamma"] != PLAN.gamma:
            continue
        everyone = [query for query in whole.queries if query.prompt == cell["prompt"]]
        rows = [everyone.index(query) for query in whole.subset if query.prompt == cell["prompt"]]
        main = whole.cells.cells[f"main/p{cell['prompt']}"]["rank"]
        assert cell["rank"] == {name: [main[name][row] for row in rows] for name in main}


def test_without_an_attack_regeneration_is_as_before(whole: Bench) -> None:
    for prompt in {query.prompt for query in whole.subset}:
        plain, known = (whole.cells.cells[f"{name}/p{prompt}"] for name in ("attack/none", f"gamma/g{PLAN.gamma}"))
        assert plain["rank"]["regeneration fused"] == known["rank"]["fused"]
        assert plain["truth"] == known["truth"]


def test_painters_are_told_apart_by_grain(whole: Bench) -> None:
    found = [rank for cell in whole.cells.of("main") for rank in cell["rank"]["clip-cosine"]]
    assert np.mean([rank == 1 for rank in found]) > 0.6  # by chance 0.33


def test_queries_are_fresh_and_attacked(whole: Bench) -> None:
    query = whole.subset[0]
    pixels = paint(query.model, PROMPTS[query.prompt], QUERIES + query.number)
    np.testing.assert_array_equal(whole.picture(query).pixels, pixels)
    np.testing.assert_array_equal(whole._attacked(query, "jpeg:75").pixels, parse("jpeg:75")(pixels))
    assert not np.array_equal(
        whole._attacked(whole.subset[0], "noise:6").pixels.astype(int) - pixels,
        whole._attacked(whole.subset[1], "noise:6").pixels.astype(int) - whole.picture(whole.subset[1]).pixels,
    )
    assert {reference.seed for reference in whole.background.references} == {BACKGROUND, BACKGROUND + 1}
    assert {reference.prompt for reference in whole.background.references} == set(TRAINING)
    for text in filter(None, ATTACKS.values()):
        parse(text)


def test_a_prompt_that_nobody_reads_is_a_miss(whole: Bench) -> None:
    found = [cell["rank"]["ssim"][0] for cell in whole.cells.of("by-inverter")]
    assert found[:2] == [None, None]
    assert None not in found[2:8]
    assert whole.cells.of("inverted")[0]["found"] == []


def test_several_prompts_share_the_images(whole: Bench) -> None:
    cell = whole.cells.of("inverted")[2]
    assert cell["found"] == ["prompt 0", "prompt 1", "unreadable"]
    # The last of them is read by no model: the two others share the images.
    candidates = whole.candidates(cell["found"], PLAN.gamma)
    pixels = [load_image(image.path).pixels for image in candidates.images if image.model == "model-1"]
    painted = [paint("model-1", prompt, seed) for prompt, seed in (("prompt 0", 0), ("prompt 0", 1), ("prompt 1", 0))]
    np.testing.assert_array_equal(pixels, painted)


def test_tables_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    found, encoder = bench(tmp_path), Grain()
    found.make(every=False)
    background = read_background(found.lineup.generators, TRAINING, PLAN.background_images, encoder, tmp_path)
    found.prepare(background, encoder, similarities(encoder, encoder, background, tmp_path))
    found.gammas([PLAN.gamma])
    found.inversions({"blip": Guess, "pez": Guess}, texts)
    found.by_inverter(PLAN.inverters)
    text = regeneration_report.write(found.cells, PLAN, found.lineup, tmp_path)
    assert [line.split(":")[0] for line in text.splitlines() if line.startswith("## ")] == [
        "## Inverted prompts",
        "## Inverted and true prompts",
    ]
    # Queries outside the subset were never asked for.
    asked = sum(seed >= QUERIES and seed < BACKGROUND for each in found.lineup.generators for _, seed in each.made)
    assert asked == PLAN.subset


def test_the_plugin_learns_from_one_image_a_prompt_and_model(whole: Bench) -> None:
    fit = whole.cells.cells["plugin/fit"]
    assert fit["queries"] == len(TRAINING) * 3
    assert all(each["weight"] >= 0 for each in fit["fusion"].values())


def test_it_goes_on_and_makes_nothing_twice(whole: Bench, tmp_path: Path) -> None:
    out = whole.out
    lines = whole.cells.path.read_text().splitlines(keepends=True)
    gone = [line for line in lines if '"attack/blur/p0"' in line or '"gamma/g2/p1"' in line]
    assert len(gone) == 2
    before = dict(whole.cells.cells)
    whole.cells.path.write_text("".join(line for line in lines if line not in gone))

    def unasked() -> Guess:
        raise AssertionError("everything was inverted before")

    again = measured(out, unasked)
    assert again.cells.cells == before
    assert not any(each.made for each in again.lineup.generators if isinstance(each, Painter))


def test_queries_are_compared_each_alone(whole: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an attributor gets together it takes for forms of one query, the first of which decides how to compare."""
    together: list[int] = []
    compare = ByAttributor.compare

    def counted(self: Any, queries: Any, candidates: Any, watch: Any) -> Any:
        together.append(len(queries))
        return compare(self, queries, candidates, watch)

    monkeypatch.setattr(ByAttributor, "compare", counted)
    pictures = [whole.picture(query) for query in whole.queries[:3]]
    name = next(name for name, measure in whole.measures.items() if isinstance(measure, ByAttributor))
    scores = whole.likeness(name, pictures, whole.candidates(PROMPTS[0], 2))
    assert together == [1, 1, 1]
    assert scores.shape == (3, 3)


def test_processes_invert_as_one_does(tmp_path: Path) -> None:
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(paint("model-0", "prompt 0", i)).save(paths[-1])
    one, two = (list(invert(partial(GivenInverter, "a cat"), paths, processes)) for processes in (1, 2))
    assert [each.prompts for each in one] == [each.prompts for each in two] == [("a cat",)] * 3
    assert all(each.seconds >= 0 for each in two)


def test_the_report(whole: Bench, tmp_path: Path) -> None:
    text = regeneration_report.write(whole.cells, PLAN, whole.lineup, tmp_path)
    assert "n = 18 (3 held-out prompts)" in text
    assert "Not there, for want of weights: dit." in text
    assert "| 2 | 2 | 1 | 1.00 | 2.00 | 3.00 | 4.00 | 10.00 | 123 |" in text
    assert "| blip | 8 | 2 |" in text
    row = next(line for line in text.splitlines() if line.startswith("| blip | 7 |"))
    assert [cell.split()[0] for cell in row.split("|")[3:6]] == ["0.400", "0.200", "0.600"]
    ranks = [rank for cell in whole.cells.of("main") for rank in cell["rank"]["ssim"]]
    row = next(line for line in text.splitlines() if line.startswith("| ssim |"))
    assert row.split("|")[2].split()[0] == f"{100 * np.mean(np.array(ranks) == 1):.1f}"
    assert (tmp_path / "regeneration.png").stat().st_size > 1000


def test_the_subset_is_the_seed_s() -> None:
    models = ["a", "b", "c"]
    assert len(all_queries(Plan(), models)) == 48 * 3 * 5
    chosen = subset(Plan(), models)
    assert len(set(chosen)) == 128
    assert chosen == subset(Plan(), models) != subset(replace(Plan(), seed=1), models)
    assert chosen == sorted(chosen, key=lambda query: query.prompt)


def test_same_and_cross_by_hand() -> None:
    values = np.array([[0.9, 0.7, 0.8, 0.2], [0.1, 0.3, 0.5, 0.6]])
    found = same_and_cross(values, np.array(["a", "a", "b", "b"]), ["a", "b"])
    np.testing.assert_allclose(found["same"], [0.8, 0.55])
    np.testing.assert_allclose(found["cross"], [0.5, 0.2])
    np.testing.assert_allclose(found["auroc"], [0.75, 1.0])


def test_shared_words() -> None:
    assert shared_words("two red Circles, on sand", "two blue squares on sand") == pytest.approx(3 / 5)
    assert shared_words("a", "b") == 0.0


def test_cost_counts_what_is_made(tmp_path: Path) -> None:
    models = [Painter(f"model-{i}") for i in range(2)]
    (tmp_path / "q").mkdir()
    pictures = []
    for seed in (500, 501):
        from PIL import Image

        path = tmp_path / "q" / f"{seed}.png"
        Image.fromarray(paint("model-0", "prompt", seed)).save(path)
        pictures.append(load_image(path))
    prompts = ["prompt", "another"]
    found = measure_cost(models, Ssim(), GivenInverter("unused"), pictures, prompts, 3, tmp_path / "fresh")
    assert (found["gamma"], found["models"], found["queries"]) == (3, 2, 2)
    assert models[1].made == [(prompt, seed) for prompt in prompts for seed in range(3)]
    assert set(found["seconds"]) == {"invert", "generate", "embed", "score"}
    assert found["seconds"]["generate"] > 0
    assert 20 < found["mib"] < 100_000


def test_texts_by_a_toy_clip(tmp_path: Path) -> None:
    """Against transformers' own similarity of texts and image."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from training.zoo.text import END, IDS, LENGTH, START, VOCABULARY, save_tokenizer

    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    ids = {"bos_token_id": IDS[START], "eos_token_id": IDS[END], "pad_token_id": 0}
    text = {**tower, **ids, "vocab_size": len(VOCABULARY), "max_position_embeddings": LENGTH}
    vision = {**tower, "image_size": 64, "patch_size": 32}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    transformers.CLIPImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    prompts = ["two red circles on sand", "one blue square"]
    found = Texts(tmp_path)(pixels, *prompts)
    rows = [[IDS[START], *(IDS[word] for word in prompt.split()), IDS[END]] for prompt in prompts]
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        outs = [model(input_ids=torch.tensor([row]), pixel_values=image) for row in rows]
    assert found["picture_found"] == pytest.approx(float(outs[0].image_embeds @ outs[0].text_embeds.T), abs=1e-5)
    assert found["picture_true"] == pytest.approx(float(outs[1].image_embeds @ outs[1].text_embeds.T), abs=1e-5)
    assert found["found_true"] == pytest.approx(float(outs[0].text_embeds @ outs[1].text_embeds.T), abs=1e-5)
    same = Texts(tmp_path)(pixels, prompts[0], prompts[0])
    assert same["found_true"] == pytest.approx(1.0, abs=1e-5)


def test_time_is_measured_where_the_similarity_can_compare() -> None:
    """`fused` without a gallery needs two images a model; with one the last table would end the whole run."""
    assert min(Plan().cost_gammas) >= load_similarity("fused").least
