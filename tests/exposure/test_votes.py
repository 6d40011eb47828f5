"""The vote simulation: analytic cases, the measured confusion matrix at work, the watch, input files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from morelli.errors import DatasetError, InputError, UnknownNameError
from morelli.exposure.campaign import bradley_terry_campaign, elo_campaign, honest_elo
from morelli.exposure.confusion import from_counts, read_confusion
from morelli.exposure.detector import Watch, detect
from morelli.exposure.simulation import VoteSettings, simulate_votes, typical, typical_row
from morelli.exposure.voters import Attacker, attack_votes, honest_wins, win_probabilities
from morelli.report.exposure_figures import votes
from morelli.report.votes import VOTES, WATCHED, vote_rows


def rates(n: int, right: float) -> np.ndarray:
    table = np.full((n, n), (1 - right) / (n - 1))
    np.fill_diagonal(table, right)
    return table


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_preferences_are_elos_with_noise():
    p = win_probabilities([400.0, 0.0, 0.0], noise=0.2)
    assert p[0, 1] == pytest.approx(0.8 * 10 / 11 + 0.1)
    assert p + p.T == pytest.approx(np.ones((3, 3)))


def test_honest_votes_follow_the_preferences():
    p = win_probabilities([200.0, 0.0, -100.0], noise=0.1)
    wins = honest_wins(p, 30_000, 5, rng())
    assert wins.sum(axis=(1, 2)).tolist() == [30_000] * 5
    total = wins.sum(axis=0)
    assert total / np.maximum(total + total.T, 1) == pytest.approx(p * (1 - np.eye(3)), abs=0.01)


@pytest.mark.parametrize(("direction", "target"), [("up", 1), ("down", 0)])
def test_two_models_and_a_perfect_attacker_need_the_deficit_and_one(direction, target):
    # 1 has lost 60 : 40; with 20 more votes they are equal and share a place; the 21st puts it ahead.
    wins = np.array([[[0, 60], [40, 0]], [[0, 75], [25, 0]]])
    attacker = Attacker(target, direction)
    votes = attack_votes(np.eye(2), attacker, win_probabilities([0.0, 0.0]))
    found = bradley_terry_campaign(wins, votes, attacker, 500, rng())
    assert found.votes.tolist() == [21.0, 51.0]
    assert found.battles.tolist() == [21.0, 51.0]
    assert found.rank.tolist() == [target + 1] * 2


def test_with_mistakes_the_deficit_is_worked_off_at_the_mean_rate():
    # Of two models 0.8 are recognised. Aimed right 0.64, aimed wrong 0.04 a battle: the lead falls by 0.6 a battle.
    wins = np.tile(np.array([[0, 600], [300, 0]]), (200, 1, 1))
    attacker = Attacker(1)
    votes = attack_votes(rates(2, 0.8), attacker, win_probabilities([0.0, 0.0]))
    assert (votes.aimed, votes.on_target) == (pytest.approx(0.68), pytest.approx(0.64))
    found = bradley_terry_campaign(wins, votes, attacker, 3000, rng())
    assert found.battles.mean() == pytest.approx(301 / 0.6, rel=0.02)
    assert found.votes.mean() == pytest.approx(0.68 * 301 / 0.6, rel=0.02)


def test_elo_first_passage_of_two_equal_steps():
    # 8 points behind, K = 8, two models: the first vote moves each by about 4, the second puts the target ahead.
    attacker = Attacker(1)
    votes = attack_votes(np.eye(2), attacker, win_probabilities([0.0, 0.0]))
    found = elo_campaign(np.array([[4.0, -4.0]]), votes, attacker, 50, rng(), k=8.0)
    assert found.votes.tolist() == [1.0]  # 8·E = 4.09 from one and to the other: 8.18 > 8
    found = elo_campaign(np.array([[8.5, -8.5]]), votes, attacker, 50, rng(), k=8.0)
    assert found.votes.tolist() == [3.0]
    assert found.summary()["votes"] == 3.0


def test_elo_settles_where_the_preferences_are():
    truth = np.array([100.0, 0.0, -100.0])
    points = honest_elo(win_probabilities(truth), 6000, 40, rng(), k=4.0)
    assert points.mean(axis=0) == pytest.approx(truth, abs=12)
    assert points.sum(axis=1) == pytest.approx(np.zeros(40), abs=1e-6)


def test_votes_of_the_attacker_are_those_of_the_matrix():
    # Simulate images: each is attributed by its row; count the aimed votes.
    table = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.0, 0.1, 0.9]])
    votes = attack_votes(table, Attacker(0, "down"), win_probabilities([0.0, 0.0, 0.0]))
    draw, counts, n = rng(5), np.zeros((3, 3)), 60_000
    for _ in range(n):
        i, j = draw.permutation(3)[:2]
        a, b = draw.random() < table[i, 0], draw.random() < table[j, 0]
        if a and not b:
            counts[j, i] += 1
        if b and not a:
            counts[i, j] += 1
    assert votes.outcome == pytest.approx(counts / n, abs=0.006)
    covered = attack_votes(table, Attacker(0, "down", cover=True), win_probabilities([0.0, 0.0, 0.0]))
    assert covered.cast == pytest.approx(1.0)
    assert covered.aimed == pytest.approx(votes.cast)


def test_a_better_attacker_and_no_defence_need_fewer_battles():
    labels = [f"m{i}" for i in range(6)]
    settings = VoteSettings(votes=2000, simulations=60, most=8000)
    good, weak = (from_counts(labels, labels, rates(6, right)) for right in (0.95, 0.45))
    found = simulate_votes(good, settings, targets=["m2"], defended={"defended": weak})
    first, second = found["rows"]
    assert (first["defence"], second["defence"]) == ("none", "defended")
    assert first["battles"] * 2 < second["battles"]
    assert first["rank"] == second["rank"]  # the same honest votes
    assert first["votes_range"][0] <= first["votes"] <= first["votes_range"][1]
    assert found["defended_accuracy"] == {"defended": pytest.approx(0.45)}
    assert found == simulate_votes(good, settings, targets=["m2"], defended={"defended": weak})
    assert found != simulate_votes(good, VoteSettings(votes=2000, simulations=60, most=8000, seed=1), targets=["m2"],
                                   defended={"defended": weak})  # fmt: skip


def test_few_images_leave_wide_intervals_and_the_error_of_the_median_is_another_thing():
    labels = [f"m{i}" for i in range(5)]
    table = np.full((5, 5), 0.1) + 0.5 * np.eye(5)

    def row(confusion, simulations=400):
        settings = VoteSettings(votes=2000, simulations=simulations, most=8000)
        (found,) = simulate_votes(confusion, settings, targets=["m2"])["rows"]
        return found

    few, many = (from_counts(labels, labels, np.rint(images * table)) for images in (20, 5_000))
    rows = [row(each) for each in (few, many)]
    wide, narrow = (np.log(each["battles_high"] / each["battles_low"]) for each in rows)
    assert wide > 4 * narrow
    for each in rows:
        assert each["battles_low"] < each["battles"] < each["battles_high"]
        assert each["battles_error"][0] <= each["battles"] <= each["battles_error"][1]
        assert each["battles_range"][0] < each["battles_error"][0]
    # More simulations say more of the median and nothing of the images.
    more = row(many, 3200)
    assert np.diff(more["battles_error"]) < np.diff(rows[1]["battles_error"])
    # Rates say nothing of how many images there were.
    assert "battles_low" not in row(from_counts(labels, labels, table))


@pytest.mark.slow
def test_the_interval_holds_what_other_images_would_have_given():
    labels = [f"m{i}" for i in range(4)]
    table = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    settings = VoteSettings(votes=2000, simulations=100, most=8000)

    def row(confusion):
        (found,) = simulate_votes(confusion, settings, targets=["m1"])["rows"]
        return found

    truth = row(from_counts(labels, labels, table))["battles"]
    draw, inside = rng(3), []
    for _ in range(30):
        found = row(from_counts(labels, labels, [draw.multinomial(30, each) for each in table]))
        inside.append(found["battles_low"] <= truth <= found["battles_high"])
    assert 0.85 <= np.mean(inside) <= 1.0


def test_drawn_matrices_scatter_as_counts_do():
    found = from_counts(["a", "b"], ["a", "b", "none"], [[7, 2, 1], [0, 5, 15]])
    assert found.images is not None and found.images.tolist() == [10, 20]
    drawn = found.drawn(4000, rng())
    assert drawn.shape == (4000, 2, 3)
    assert drawn.sum(axis=2) == pytest.approx(np.ones((4000, 2)))
    # Counts and a third of an image in each column.
    assert drawn.mean(axis=0) == pytest.approx((np.array([[7, 2, 1], [0, 5, 15]]) + 1 / 3) / [[11], [21]], abs=0.01)
    p = (7 + 1 / 3) / 11
    assert drawn[:, 0, 0].std() == pytest.approx(np.sqrt(p * (1 - p) / 12), rel=0.05)
    assert 0 < np.median(drawn[:, 1, 0]) < 0.02  # seen in no image, and not excluded
    assert found.reordered(["b", "a"]).images.tolist() == [20, 10]
    assert from_counts(["a", "b"], ["a", "b"], [[0.7, 0.3], [0, 1]]).images is None
    assert from_counts(["a", "b"], ["a", "b"], [[70, 30], [0, 100]]).images is None  # percentages
    assert from_counts(["a", "b"], ["a", "b", "c"], [[33, 33, 33], [67, 17, 17]]).images is None  # rounded ones
    known = from_counts(["a", "b"], ["a", "b"], [[69.5, 30.5], [0, 100]], images=[100, 100])
    assert known.images is not None and known.images.tolist() == [100, 100]
    with pytest.raises(DatasetError, match="number of images"):
        from_counts(["a", "b"], ["a", "b"], [[7, 3], [0, 1]], images=[10, 0])
    with pytest.raises(DatasetError, match="says 20 images of 'b', and its row sums to 1"):
        from_counts(["a", "b"], ["a", "b"], [[7, 3], [0, 1]], images=[10, 20])


def test_guessing_moves_nothing():
    labels = [f"m{i}" for i in range(5)]
    blind = from_counts(labels, labels, np.full((5, 5), 1.0))
    found = simulate_votes(blind, VoteSettings(votes=5000, simulations=40, most=500, gap=60), targets=["m3"])
    (row,) = found["rows"]
    assert row["moved"] < 0.1
    assert row["votes"] is None
    assert row["precision"] == pytest.approx(0.2)  # one image of five is the target's


def test_the_typical_target_is_the_median_of_those_that_can_move():
    rows = [{"votes": v, "moved": m} for v, m in ((10.0, 1.0), (None, 0.1), (30.0, 1.0), (None, None), (20.0, 1.0))]
    assert typical(rows, "votes") == 20.0
    assert typical_row(rows, "votes") is rows[4]
    assert typical_row([], "votes") is None
    assert typical(rows[:2], "votes") == 10.0
    assert typical(rows[1:3], "votes") == 30.0
    assert typical([rows[1], rows[1], rows[0]], "votes") is None
    assert typical([], "votes") is None


def two_steps(**settings):
    labels = ["a", "b", "c"]
    table = from_counts(labels, labels, 18 * np.eye(3) + 2)
    return simulate_votes(
        table, VoteSettings(simulations=60, most=2000, **settings), targets=["a", "c"],
        ratings={"a": 6.0, "b": 0.0, "c": -30.0},
    )  # fmt: skip


def test_a_target_that_most_simulations_cannot_move_is_named():
    found = two_steps()
    best, last = found["rows"]
    assert 0 < best["possible"] < 0.5 < last["possible"]
    assert 1 < best["rank"] < 2
    (note,) = found["notes"]
    assert f"for a ({100 * best['possible']:.3g} %)" in note
    assert " c (" not in note
    shown = vote_rows(found)[0]
    assert (shown["possible"], shown["rank_text"]) == (best["possible"], f"{best['rank']:.1f}")
    assert {"possible", "rank_text"} <= {column.key for column in VOTES}
    below = two_steps(direction="down")
    assert [row["possible"] < 0.5 for row in below["rows"]] == [False, True]
    assert "for c (" in below["notes"][0]


@pytest.mark.parametrize("direction", ["up", "down"])
def test_of_two_models_each_has_a_place_to_move_to(direction):
    table = from_counts(["a", "b"], ["a", "b"], 18 * np.eye(2) + 2)
    found = simulate_votes(table, VoteSettings(simulations=20, most=2000, direction=direction))
    assert [row["possible"] for row in found["rows"]] == [1.0, 1.0]
    assert [row["rank"] for row in found["rows"]] == [2.0 if direction == "up" else 1.0] * 2
    assert all(row["moved"] == 1.0 and row["votes"] > 0 for row in found["rows"])
    assert found["notes"] == []


def test_the_best_cannot_rise():
    labels = ["a", "b"]
    found = simulate_votes(
        from_counts(labels, labels, np.eye(2)), VoteSettings(votes=4000, simulations=20, most=50),
        targets=["a"], ratings={"a": 300.0, "b": 0.0},
    )  # fmt: skip
    (row,) = found["rows"]
    assert (row["possible"], row["moved"], row["votes"]) == (0.0, None, None)


def test_the_watch_keeps_its_false_alarms_and_catches_what_differs():
    p = win_probabilities(np.linspace(300, -300, 5))
    against = attack_votes(np.eye(5), Attacker(0, "down"), p)
    found = detect(p, against, Watch(accounts=6000, false_alarm=0.05, attack_seconds=20.0), rng())
    for name in ("agreement", "timing", "both"):
        assert found[name]["false_alarm"] == pytest.approx(0.05, abs=0.01)
    assert found["agreement"]["caught"] > 0.95  # always against the best
    assert found["timing"]["caught"] == pytest.approx(0.05, abs=0.015)  # as quick as anyone
    slow = detect(p, against, Watch(accounts=6000, attack_seconds=200.0), rng())
    assert slow["timing"]["caught"] > 0.9
    quiet = attack_votes(np.zeros((5, 5)), Attacker(0), p)  # never says the target's name
    assert detect(p, quiet, Watch(accounts=500), rng())["both"]["caught"] is None


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_false_alarms_are_those_that_were_asked_for(rate):
    # Agreement takes 31 values: below the threshold alone there may be half of what was asked.
    p = win_probabilities(-15.0 * np.arange(7), noise=0.1)
    attack = attack_votes(rates(7, 0.9), Attacker(3), p)
    found = [detect(p, attack, Watch(accounts=1000, false_alarm=rate), rng(seed)) for seed in range(40)]
    for name in ("agreement", "timing", "both"):
        assert np.mean([each[name]["false_alarm"] for each in found]) == pytest.approx(rate, rel=0.1)
    assert found[3] == detect(p, attack, Watch(accounts=1000, false_alarm=rate), rng(3))


def test_what_agreement_catches_is_the_power_of_a_randomised_test():
    p = win_probabilities(-15.0 * np.arange(7), noise=0.1)
    attack = attack_votes(rates(7, 0.9), Attacker(3), p)
    first, second = np.triu_indices(7, 1)
    honest = p[first, second].mean()  # of the votes for the one that most prefer
    against = attack.outcome[first, second].sum() / attack.outcome.sum()
    for rate in (0.01, 0.05):
        at = stats.binom.ppf(rate, 30, honest)
        below, there = stats.binom.cdf(at - 1, 30, honest), stats.binom.pmf(at, 30, honest)
        chance = (rate - below) / there
        power = stats.binom.cdf(at - 1, 30, against) + chance * stats.binom.pmf(at, 30, against)
        found = detect(p, attack, Watch(accounts=40_000, false_alarm=rate), rng())
        assert found["agreement"]["caught"] == pytest.approx(power, rel=0.1)


def test_the_watch_shows_the_false_alarms_that_came_out():
    found = two_steps()
    watched = found["rows"][0]["detector"]
    parts = vote_rows(found)[0]["false_text"].split(" / ")
    assert parts == [f"{100 * watched[name]['false_alarm']:.2f}" for name in ("agreement", "timing", "both")]
    assert "false_text" in {column.key for column in VOTES}


def test_agreement_of_a_pair_that_is_split_counts_half():
    p = win_probabilities([0.0, 0.0])
    found = detect(p, attack_votes(np.eye(2), Attacker(0), p), Watch(accounts=1000), rng())
    # There is no majority to vote against: all accounts are at the threshold, and are flagged alike.
    assert found["agreement"]["caught"] == found["agreement"]["false_alarm"] == pytest.approx(0.01)


def test_an_interval_that_there_is_not_is_not_shown():
    row = {"target": "a", "defence": "none", "moved": 0.6, "most": 50, "votes": 123.0, "battles": 200.0,
           "votes_low": None, "votes_high": None, "battles_low": 150.0, "battles_high": None,
           "votes_range": (100, None),
           "detector": {name: {"caught": None, "false_alarm": 0.01} for name in WATCHED}}  # fmt: skip
    (shown,) = vote_rows({"rows": [row]})
    assert (shown["votes_text"], shown["battles_text"]) == ("123", "200 (150–∞)")
    figure = votes([row, row | {"target": "b", "votes_low": 90.0}])
    lines = figure.axes[0].get_lines()
    assert sorted(line.get_marker() for line in lines) == [">", "None", "o"]  # one bar, its arrow, the points


def test_confusion_files(tmp_path):
    (tmp_path / "c.csv").write_text("truth,b,a,none\na,1,8,1\nb,6,2,2\n", encoding="utf-8")
    found = read_confusion(tmp_path / "c.csv")
    assert found.models == ("a", "b")
    assert found.rates.tolist() == [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]]
    assert found.accuracy == pytest.approx(0.7)
    result = {"schema": "morelli.exposure/1", "confusion": {"labels": ["a", "b"], "matrix": [[3, 1], [0, 4]]}}
    (tmp_path / "c.json").write_text(json.dumps(result), encoding="utf-8")
    assert read_confusion(tmp_path / "c.json").rates.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert read_confusion(tmp_path / "c.json").images.tolist() == [4, 4]
    result["confusion"] |= {"matrix": [[1.5, 0.5], [0.25, 0.75]], "images": [2, 1]}
    (tmp_path / "c.json").write_text(json.dumps(result), encoding="utf-8")
    assert read_confusion(tmp_path / "c.json").images.tolist() == [2, 1]
    (tmp_path / "i.csv").write_text("images,b,a\na,25,75\nb,99.5,0.5\n", encoding="utf-8")
    assert read_confusion(tmp_path / "i.csv").images.tolist() == [100, 100]
    (tmp_path / "p.csv").write_text(",b,a\na,25,75\nb,99,1\n", encoding="utf-8")
    assert read_confusion(tmp_path / "p.csv").images is None
    (tmp_path / "line.csv").write_text(',"b\u2028c",a\na,25,5\n"b\u2028c",9,1\n', encoding="utf-8")
    assert read_confusion(tmp_path / "line.csv").models == ("a", "b\u2028c")
    swapped = found.reordered(["b", "a"])
    assert swapped.rates.tolist() == [[0.6, 0.2, 0.2], [0.1, 0.8, 0.1]]


def of_images(images: str) -> str:
    """An exposure's JSON of four images a model that says this of their number."""
    table = f'{{"labels": ["a", "b"], "matrix": [[3, 1], [0, 4]], "images": {images}}}'
    return f'{{"schema": "morelli.exposure/1", "confusion": {table}}}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", ",a,b\na,1,2\n"),
        ("c.csv", ",a,b\na,1,2\nb,3\n"),
        ("c.csv", ",a,b\na,1,x\nb,3,4\n"),
        ("c.csv", ",a,b\na,1,-2\nb,3,4\n"),
        ("c.csv", ",a,b\na,0,0\nb,3,4\n"),
        ("c.csv", ",a,a\na,1,0\na,3,4\n"),
        ("c.csv", ",a,b\na,1,nan\nb,3,4\n"),
        ("c.csv", ",a,c\na,1,2\nb,3,4\n"),
        ("c.csv", "images,a,b\na,0.1,0.2\nb,3,4\n"),
        ("c.csv", "images,a,b\na,1,x\nb,3,4\n"),
        ("c.json", "{"),
        ("c.json", "[]"),
        ("c.json", '{"schema": "morelli.verdict/1"}'),
        ("c.json", '{"schema": "morelli.exposure/1"}'),
        ("c.json", '{"schema": "morelli.exposure/1", "confusion": {"labels": ["a", "b"], "matrix": null}}'),
        ("c.json", '{"schema": "morelli.exposure/1", "confusion": {"labels": ["a", "b"], "matrix": [[1, 2], [3]]}}'),
        ("c.json", of_images("[[1, 2], [3]]")),
        ("c.json", of_images("[[4, 4], [4, 4]]")),
        ("c.json", of_images("[4]")),
        ("c.json", of_images("4")),
        ("c.json", of_images("[4, 0]")),
        ("c.json", of_images("[4, -4]")),
        ("c.json", of_images("[4, 4.0]")),
        ("c.json", of_images('[4, "4"]')),
        ("c.json", of_images("[4, {}]")),
        ("c.json", of_images("[240, 240]")),
        ("c.json", of_images("[4, 5]")),
        ("c.json", of_images("[4, 9223372036854775808]")),
        ("c.json", of_images("[4, 4]").replace("3, 1", f"3, {10**400}")),
    ],
)
def test_bad_files_are_named(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        read_confusion(tmp_path / name)
    assert name in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError):
        read_confusion(tmp_path / "absent.csv")


def test_bad_questions():
    table = from_counts(["a", "b"], ["a", "b"], np.eye(2))
    for settings in (
        VoteSettings(votes=0), VoteSettings(simulations=10**6, most=10**6), VoteSettings(gap=-1.0),
        VoteSettings(votes=10**9 + 1),
        VoteSettings(noise=2.0), VoteSettings(watch=Watch(false_alarm=1.0)), VoteSettings(watch=Watch(votes=0)),
    ):  # fmt: skip
        with pytest.raises(InputError):
            simulate_votes(table, settings)
    for settings in (VoteSettings(system="glicko"), VoteSettings(direction="sideways")):
        with pytest.raises(UnknownNameError):
            simulate_votes(table, settings)
    with pytest.raises(UnknownNameError):
        simulate_votes(table, targets=["c"])
    with pytest.raises(InputError, match="no rating for 'b'"):
        simulate_votes(table, ratings={"a": 1.0})
    with pytest.raises(UnknownNameError, match="'a '"):
        simulate_votes(table, ratings={"a": 1.0, "b": 2.0, "a ": 3.0})
    with pytest.raises(DatasetError):
        simulate_votes(table, defended={"d": from_counts(["a", "c"], ["a", "c"], np.eye(2))})
    with pytest.raises(InputError, match="none"):
        simulate_votes(table, defended={"none": table})
    with pytest.raises(InputError, match="seed"):
        simulate_votes(table, VoteSettings(seed=-1))


def test_a_thousand_simulations_take_seconds():
    import time

    labels = [f"m{i}" for i in range(22)]
    start = time.process_time()
    simulate_votes(
        from_counts(labels, labels, rates(22, 0.9)), VoteSettings(simulations=1000, most=2000), targets=["m4"]
    )
    assert time.process_time() - start < 20
