"""The worlds of the book, held against its printed answers and against rules written out once more here."""

import numpy as np
import pytest

from course_lib.agents.planning import evaluate, last, policy_iteration, solve, value_iteration
from course_lib.worlds import classics
from course_lib.worlds.grids import DOWN, LEFT, RIGHT, UP


def uniform(mdp):
    return np.full((mdp.S, mdp.A), 1 / mdp.A)


def walk(mdp, steps):
    """The labels met from the start by these actions, in a world where every step is certain."""
    s = int(mdp.start.argmax())
    met = [mdp.labels[s]]
    for a in steps:
        s = int(mdp.P[s, a].argmax())
        met.append(mdp.labels[s])
    return met


def test_example_3_5_has_the_books_values():
    mdp = classics.example_3_5()
    V = evaluate(mdp, uniform(mdp)).reshape(5, 5)
    book = [
        [3.3, 8.8, 4.4, 5.3, 1.5],
        [1.5, 3.0, 2.3, 1.9, 0.5],
        [0.1, 0.7, 0.7, 0.4, -0.4],
        [-1.0, -0.4, -0.4, -0.6, -1.2],
        [-1.9, -1.3, -1.2, -1.4, -2.0],
    ]
    np.testing.assert_allclose(V, book, atol=0.0501)
    np.testing.assert_allclose(V[0], [3.31, 8.79, 4.43, 5.32, 1.49], atol=0.00501)


def test_example_3_8_has_the_books_optimal_values():
    V = solve(classics.example_3_5())[0].reshape(5, 5)
    book = [
        [22.0, 24.4, 22.0, 19.4, 17.5],
        [19.8, 22.0, 19.8, 17.8, 16.0],
        [17.8, 19.8, 17.8, 16.0, 14.4],
        [16.0, 17.8, 16.0, 14.4, 13.0],
        [14.4, 16.0, 14.4, 13.0, 11.7],
    ]
    np.testing.assert_allclose(V, book, atol=0.0501)
    np.testing.assert_allclose(V[0], [21.98, 24.42, 21.98, 19.42, 17.48], atol=0.00501)


def test_example_4_1_has_the_books_values():
    mdp = classics.example_4_1()
    book = [[0, -14, -20, -22], [-14, -18, -20, -20], [-20, -20, -18, -14], [-22, -20, -14, 0]]
    np.testing.assert_allclose(evaluate(mdp, uniform(mdp)).reshape(4, 4), book, atol=1e-9)
    steps = [[-min(r + c, 6 - r - c) for c in range(4)] for r in range(4)]
    np.testing.assert_allclose(solve(mdp)[0].reshape(4, 4), steps, atol=1e-12)


@pytest.fixture(scope="module")
def car_policies():
    mdp = classics.car_rental()
    never_move = np.tile(np.eye(11)[5], (mdp.S, 1))
    return mdp, list(policy_iteration(mdp, never_move))


def test_jack_improves_four_times_and_then_moves_minus_4_to_5_cars(car_policies):
    _, policies = car_policies
    moves = policies[-1][0].argmax(axis=1).reshape(21, 21) - 5
    assert len(policies) - 1 == 4
    assert (moves.min(), moves.max()) == (-4, 5)
    assert moves[20, 0] == 5 and moves[0, 20] == -4 and moves[0, 0] == 0  # the corners of Fig. 4.2
    np.testing.assert_array_equal((policies[1][0].argmax(axis=1) - 5).reshape(21, 21)[20, :3], [5, 5, 5])


def test_jacks_best_policy_never_asks_for_cars_that_are_not_there(car_policies):
    mdp, policies = car_policies
    for (i, j), a in zip(mdp.labels, policies[-1][0].argmax(axis=1), strict=True):
        assert -j <= a - 5 <= i


def test_jacks_values_are_those_of_the_book(car_policies):
    V = car_policies[1][-1][1].reshape(21, 21)
    assert 410 < V.min() < 430 and 600 < V.max() < 640  # the axis of Fig. 4.2 is marked 420 to 612
    np.testing.assert_allclose(last(value_iteration(car_policies[0], 1e-7)).reshape(21, 21), V, atol=1e-6)


@pytest.mark.stochastic
def test_one_day_at_jacks_agrees_with_simulation():
    """The mean reward to 5.9 standard errors (4e-9), all 441 shares to .002 (Bernstein: below 1e-15)."""
    mdp = classics.car_rental()
    rng, n = np.random.default_rng(0), 600_000
    s = mdp.labels.index((3, 18))
    morning = np.array([3 + 4, 18 - 4])  # action 1 moves 4 cars from location 2 to 1
    rented = np.minimum(morning, rng.poisson([3, 4], (n, 2)))
    evening = np.minimum(morning - rented + rng.poisson([3, 2], (n, 2)), 20)
    assert mdp.R[s, 1] == pytest.approx(10 * rented.sum(axis=1).mean() - 8, abs=0.2)
    counts = np.zeros((21, 21))
    np.add.at(counts, tuple(evening.T), 1 / n)
    np.testing.assert_allclose(mdp.P[s, 1].reshape(21, 21), counts, atol=0.002)


def test_a_location_sends_at_most_the_cars_it_has_and_is_paid_for_no_others():
    mdp = classics.car_rental()
    s = mdp.labels.index((2, 7))
    np.testing.assert_array_equal(mdp.P[s, 10], mdp.P[s, 7])  # asked for 5, sends 2
    assert mdp.R[s, 10] == pytest.approx(mdp.R[s, 7] - 2 * 3)  # and pays for the 3 that are not there


def gamblers_stakes(mdp, V):
    """The best positive possible stakes of each capital 1–99."""
    Q = mdp.backup(V)
    return {
        s: {a for a in range(1, min(s, 100 - s) + 1) if Q[s, a] > Q[s].max() - 1e-9} for s in range(1, 100)
    }


def test_the_gamblers_value_and_sets_of_best_stakes():
    mdp = classics.gambler()
    V, _ = solve(mdp)
    np.testing.assert_allclose(V[[25, 50, 75]], [0.16, 0.4, 0.64], atol=1e-12)
    stakes = gamblers_stakes(mdp, V)
    assert sum(len(best) > 1 for best in stakes.values()) == 72
    assert stakes[50] == {50} and stakes[25] == {25} and stakes[75] == {25}
    assert all(min(s, 100 - s) in best for s, best in stakes.items())  # bold play is always among the best
    np.testing.assert_allclose(last(value_iteration(mdp, 1e-12)), V, atol=1e-9)


def test_a_gambler_cannot_stake_more_than_he_has_or_needs():
    mdp = classics.gambler(0.3)
    np.testing.assert_array_equal(mdp.P[10, 50], mdp.P[10, 10])
    np.testing.assert_array_equal(mdp.P[90, 50], mdp.P[90, 10])
    assert mdp.P[90, 10, 100] == 0.3 and mdp.P[90, 10, 80] == 0.7 and mdp.R[90, 10] == 0.3
    assert mdp.P[90, 0, 90] == 1 and mdp.R[90, 0] == 0


def test_a_favoured_gambler_plays_timidly():
    mdp = classics.gambler(0.55)
    V, _ = solve(mdp)
    odds = 0.45 / 0.55  # the ruin problem with stakes of 1
    np.testing.assert_allclose(V[1:100], (1 - odds ** np.arange(1, 100)) / (1 - odds**100), atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 5, 19])
def test_the_walk_is_worth_the_distance_from_its_left_end(n):
    mdp = classics.random_walk(n)
    V = evaluate(mdp, uniform(mdp))
    np.testing.assert_allclose(V[1:-1], np.arange(1, n + 1) / (n + 1), atol=1e-12)
    assert V[0] == V[-1] == 0 and mdp.start @ np.arange(n + 2) == pytest.approx((n + 1) / 2)


def test_the_19_state_walk_of_example_7_1_pays_minus_1_on_the_left():
    mdp = classics.random_walk(19, left_reward=-1)
    V = evaluate(mdp, uniform(mdp))
    np.testing.assert_allclose(V[1:-1], np.arange(-9, 10) / 10, atol=1e-12)


def test_the_wind_makes_the_way_15_steps_long():
    mdp = classics.windy()
    V, _ = solve(mdp)
    assert mdp.labels[mdp.start.argmax()] == (3, 0) and mdp.start.max() == 1
    assert V @ mdp.start == pytest.approx(-15, abs=1e-12)
    # the book's way: 9 times right, 4 times down, twice left
    steps = [RIGHT] * 9 + [DOWN] * 4 + [LEFT] * 2
    assert walk(mdp, steps)[-1] == (3, 7)
    assert walk(mdp, [RIGHT] * 7 + [UP])[-2:] == [(0, 7), (0, 7)]


def test_the_cliff_is_passed_in_13_steps_and_a_fall_leads_back():
    mdp = classics.cliff()
    V, pi = solve(mdp)
    assert V @ mdp.start == pytest.approx(-13, abs=1e-12)
    at = {label: s for s, label in enumerate(mdp.labels)}
    assert mdp.R[at[2, 5], DOWN] == -100 and mdp.P[at[2, 5], DOWN, at[3, 0]] == 1
    assert mdp.R[at[3, 0], RIGHT] == -100 and mdp.P[at[3, 0], RIGHT, at[3, 0]] == 1
    assert not mdp.terminal[at[3, 0]] and mdp.terminal[at[3, 11]] and mdp.terminal.sum() == 1
    assert walk(mdp, [UP] + [RIGHT] * 11 + [DOWN])[-1] == (3, 11)
    assert pi[at[2, 5]].argmax() == RIGHT and pi[at[2, 5], RIGHT] == 1
    assert walk(mdp, [LEFT])[-1] == (3, 0)


def test_the_corridor_is_best_walked_with_chance_2_minus_root_2():
    mdp = classics.short_corridor()
    J = lambda p: evaluate(mdp, np.tile([1 - p, p], (4, 1))) @ mdp.start  # noqa: E731
    best = 2 - np.sqrt(2)
    assert J(best) == pytest.approx(-6 - 4 * np.sqrt(2), abs=1e-10)
    assert all(J(p) < J(best) for p in (0.05, 0.3, best - 0.01, best + 0.01, 0.95))
    assert J(0.05) == pytest.approx(-82.1, abs=0.1) and J(0.95) == pytest.approx(-44.2, abs=0.1)
