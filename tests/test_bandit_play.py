"""Players on given bandits and given luck, so that they can be compared in pairs."""

import numpy as np
import pytest
from scipy import stats

from course_lib.oracles.bandits import (
    bayes_optimal_play,
    bayes_optimal_q,
    bayes_optimal_value,
    greedy_choice,
    known_best_value,
    play_on_tape,
    thompson_choice,
)


def world(runs, arms, steps, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((runs, arms)), rng.random((runs, steps))


@pytest.mark.stochastic
@pytest.mark.parametrize("arms, steps", [(2, 20), (5, 10), (3, 7)])
def test_it_earns_the_bayes_optimal_value(arms, steps):
    """20,000 bandits; the value is the mean of the p pulled; 6 standard errors are 2e-9."""
    p, tape = world(20_000, arms, steps)
    pulled, rewards = bayes_optimal_play(p, tape)
    earned = np.take_along_axis(p, pulled, axis=1).sum(axis=1)
    best = bayes_optimal_value(arms, steps)
    assert abs(earned.mean() - best) < 6 * earned.std() / np.sqrt(len(p))
    assert abs((rewards.sum(axis=1) - earned).mean()) < 6 * np.sqrt(steps / 4 / len(p))


def test_every_pull_is_optimal_and_the_luck_is_the_tapes():
    p, tape = world(12, 2, 8, seed=3)
    pulled, rewards = bayes_optimal_play(p, tape, prior=(2.0, 1.0))
    for n in range(12):
        wins, losses = np.zeros(2, int), np.zeros(2, int)
        for t in range(8):
            Q = bayes_optimal_q(wins, losses, 8 - t, prior=(2.0, 1.0))
            k = pulled[n, t]
            assert Q[k] >= Q.max() - 1e-9
            assert rewards[n, t] == (tape[n, t] < p[n, k])
            wins[k] += rewards[n, t] == 1
            losses[k] += rewards[n, t] == 0


@pytest.mark.stochastic
def test_drawing_players():
    """Two shares, to 5.6 and 6 standard errors: 2e-8."""
    p, tape = world(40_000, 2, 3)
    pulled, rewards = play_on_tape(thompson_choice(3), p, tape, np.random.default_rng(1))
    assert abs(pulled[:, 0].mean() - 0.5) < stats.norm.isf(1e-8) / 400
    won = (pulled[:, 0] == 0) & (rewards[:, 0] == 1)  # after one win: P(Beta(2, 1) draw > uniform) = 2/3
    assert abs((pulled[won, 1] == 0).mean() - 2 / 3) < 6 * np.sqrt(2 / 9 / won.sum())
    again, _ = play_on_tape(greedy_choice(), p, tape)
    assert (again[:, 0] == 0).all()


@pytest.mark.stochastic
def test_two_hundred_thousand_bandits_take_seconds():
    p, tape = world(200_000, 2, 20)  # 6 standard errors: 2e-9
    pulled, _ = bayes_optimal_play(p, tape)
    earned = np.take_along_axis(p, pulled, axis=1).sum(axis=1)
    assert abs(earned.mean() - bayes_optimal_value(2, 20)) < 6 * earned.std() / np.sqrt(len(p))


@pytest.mark.parametrize(
    "p, tape", [(np.ones((3, 2)), np.ones((2, 5))), (np.full((3, 2), 2), np.ones((3, 5)))]
)
def test_what_is_wrong_is_refused(p, tape):
    with pytest.raises(ValueError, match=r"probabilities \[N, K\] and a tape \[N, T\]"):
        play_on_tape(greedy_choice(), p, tape)


@pytest.mark.stochastic
@pytest.mark.parametrize("prior", [(1.0, 1.0), (0.5, 3.0), (8.0, 2.0)])
def test_who_is_told_the_best_arm(prior):
    """400,000 draws, at most ½ apart from their mean: 6 standard errors."""
    drawn = np.random.default_rng(0).beta(*prior, size=(400_000, 3)).max(axis=1)
    assert abs(known_best_value(3, 7, prior) / 7 - drawn.mean()) < 6 * drawn.std() / np.sqrt(400_000)
    assert known_best_value(1, 4, prior) == pytest.approx(4 * prior[0] / sum(prior))
    assert known_best_value(2, 10, prior) > bayes_optimal_value(2, 10, prior)


def test_told_the_best_of_k_uniform_arms_is_k_over_k_plus_1():
    for K in (1, 2, 5, 30):
        assert known_best_value(K, 50) == pytest.approx(50 * K / (K + 1), abs=1e-9)
