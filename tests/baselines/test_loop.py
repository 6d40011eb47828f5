"""The training loop: the same steps again, interrupted or not; what diverges is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morelli.baselines.loop import Learner, adam, balanced_rows, cooled, descend, epoch_rows, open_journal, train
from morelli.errors import DivergedError, InputError


def learner(stop_at: int | None = None, made: list[int] | None = None) -> Learner:
    """A noisy regression with momentum; ``stop_at`` pulls the plug before that step."""
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)

    def step(number, rng):
        if number == stop_at:
            raise KeyboardInterrupt
        if made is not None:
            made.append(number)
        x = torch.from_numpy(rng.normal(size=(8, 4)).astype(np.float32)) + 0.1 * torch.randn(8, 4)
        loss = (network(x)[:, 0] - x.sum(1)).square().mean()
        descend(optimiser, loss, number)
        return {"loss": float(loss.detach())}

    return Learner({"network": network}, {"optimiser": optimiser}, step)


def weights(made: Learner):
    return made.modules["network"].weight.detach().numpy().copy()


def test_a_training_is_a_function_of_its_seed():
    one, two, other = learner(), learner(), learner()
    curve = train(one, 60, 3)
    train(two, 60, 3)
    train(other, 60, 4)
    assert np.array_equal(weights(one), weights(two))
    assert not np.array_equal(weights(one), weights(other))
    assert curve.steps[-1] == 60
    assert curve.losses[-1]["loss"] < curve.losses[0]["loss"] / 2


def test_an_interrupted_training_goes_on_as_if_nothing_had_happened(tmp_path):
    whole = learner()
    curve = train(whole, 60, 3)
    with pytest.raises(KeyboardInterrupt):
        train(learner(stop_at=41), 60, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0)
    made: list[int] = []
    again = learner(made=made)
    resumed = train(again, 60, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0)
    assert made[0] == 41
    assert np.array_equal(weights(again), weights(whole))
    assert resumed == curve


@pytest.mark.parametrize("stop_at", [None, 3, 8])
def test_a_rate_falls_to_zero_over_the_last_steps_interrupted_or_not(stop_at, tmp_path):
    rates: dict[int, float] = {}

    def cooling(stop):
        made = learner(stop_at=stop)
        inner = made.step

        def step(number, rng):
            rates[number] = made.optimisers["optimiser"].param_groups[0]["lr"]
            return inner(number, rng)

        return Learner(made.modules, made.optimisers, step, cooldown=0.4)

    if stop_at is not None:
        with pytest.raises(KeyboardInterrupt):
            train(cooling(stop_at), 10, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0)
    train(cooling(None), 10, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0)
    # Six steps at 0.05, then four quarters of it: 4/4, 3/4, 2/4, 1/4.
    wanted = [0.05] * 7 + [0.0375, 0.025, 0.0125]
    assert [rates[number] for number in range(10)] == pytest.approx(wanted)
    assert cooled(10, 10, 0.4) == 0


def test_a_long_training_is_kept_within_a_stretch_of_its_curve(tmp_path):
    # Of 500 steps a point of the curve is ten.
    whole = learner()
    curve = train(whole, 500, 3)
    with pytest.raises(KeyboardInterrupt):
        train(learner(stop_at=17), 500, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0)
    made: list[int] = []
    again = learner(made=made)
    assert train(again, 500, 3, open_journal(tmp_path, {"a": 1}), save_every=0.0) == curve
    assert made[0] == 17
    assert np.array_equal(weights(again), weights(whole))


def test_a_finished_training_is_read_and_not_repeated(tmp_path):
    first = learner()
    train(first, 20, 3, open_journal(tmp_path, {"a": 1}))
    made: list[int] = []
    again = learner(made=made)
    train(again, 20, 3, open_journal(tmp_path, {"a": 1}))
    assert made == []
    assert np.array_equal(weights(again), weights(first))
    train(learner(made=made), 20, 3, open_journal(tmp_path, {"a": 2}))
    assert len(made) == 20


def test_a_checkpoint_put_in_another_s_place_is_refused(tmp_path):
    train(learner(), 5, 3, open_journal(tmp_path, {"a": 1}))
    mine, other = open_journal(tmp_path, {"a": 1}), open_journal(tmp_path, {"a": 2})
    (mine.folder / "checkpoint.pt").replace(other.folder / "checkpoint.pt")
    with pytest.raises(InputError, match="another training"):
        train(learner(), 5, 3, other)


def test_divergence_is_said_and_the_weights_stay():
    network = torch.nn.Linear(1, 1)
    before = network.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    with pytest.raises(DivergedError, match="step 5"):
        descend(optimiser, network(torch.ones(1, 1)).sum() * float("nan"), 4)
    assert torch.equal(network.weight, before)


def test_an_epoch_shows_every_row_once():
    rows = np.concatenate([epoch_rows(7, 3, number, 0) for number in range(7)])
    for epoch in rows.reshape(3, 7):
        assert sorted(epoch.tolist()) == list(range(7))
    assert rows[:7].tolist() != rows[7:14].tolist()


def test_batches_hold_every_class_equally_often():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    rows = balanced_rows(labels, 2, np.random.default_rng(0))
    assert labels[rows].tolist() == [0, 0, 1, 1, 2, 2]
    assert len(set(rows[:4].tolist())) == 4


def test_adam_is_the_published_rule() -> None:
    # Kingma & Ba 2015, algorithm 1, in float64 with the decay in the gradient.
    rng = np.random.default_rng(0)
    w = rng.normal(size=(3, 5))
    weight = torch.nn.Parameter(torch.from_numpy(w.astype(np.float32)))
    optimiser = adam([weight], 0.01, betas=(0.5, 0.9), decay=0.1)
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, 21):
        slope = rng.normal(size=w.shape)
        weight.grad = torch.from_numpy(slope.astype(np.float32))
        optimiser.step()
        g = slope + 0.1 * w
        m, v = 0.5 * m + 0.5 * g, 0.9 * v + 0.1 * g**2
        w -= 0.01 * (m / (1 - 0.5**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
    assert np.allclose(weight.detach().numpy(), w, atol=1e-5)
