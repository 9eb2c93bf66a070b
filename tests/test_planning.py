"""The planners, against enumeration of all policies, against theory, and against each other."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_worlds import best_by_enumeration, by_row, dense, fixed, random_policy, worlds

from course_lib.agents import planning
from course_lib.agents.planning import (
    bounds,
    error_bound,
    evaluate,
    greedy,
    in_place_value_iteration,
    last,
    modified_policy_iteration,
    policy_evaluation,
    policy_iteration,
    prioritized_sweeping,
    solve,
    value_iteration,
)
from course_lib.worlds import classics
from course_lib.worlds.grids import HOUSE, LEFT, RIGHT, gridworld
from course_lib.worlds.mdp import MDP, random_mdp

TOL = 1e-8
PLANNERS = {
    "value iteration": lambda mdp, tol: last(value_iteration(mdp, tol)),
    "in place": lambda mdp, tol: last(in_place_value_iteration(mdp, tol)),
    "prioritised": lambda mdp, tol: last(prioritized_sweeping(mdp, tol))[1],
    "policy iteration": lambda mdp, tol: last(policy_iteration(mdp))[1],
    "modified": lambda mdp, tol: last(modified_policy_iteration(mdp, tol)),
    "solve": lambda mdp, tol: solve(mdp, tol)[0],
}


def grid(n, **settings):
    return gridworld("\n".join(["." * n] * (n - 1) + ["." * (n - 1) + "G"]), **settings)


# What the theory says


@fixed
@given(worlds(), st.integers(0, 10**6))
def test_both_bellman_operators_contract_by_gamma(mdp, seed):
    rng = np.random.default_rng(seed)
    U, V = rng.normal(size=(2, mdp.S))
    P_pi, r_pi = mdp.under(random_policy(mdp, seed))
    expectation = lambda V: r_pi + mdp.gamma * (P_pi @ V)  # noqa: E731
    optimality = lambda V: mdp.backup(V).max(axis=1)  # noqa: E731
    for T in (expectation, optimality):
        assert np.abs(T(U) - T(V)).max() <= mdp.gamma * np.abs(U - V).max() + 1e-12
        np.testing.assert_allclose(T(V + 1) - T(V), mdp.gamma, atol=1e-12)  # and by no less, for constants


@fixed
@given(worlds(), st.integers(0, 10**6))
def test_the_value_of_a_policy_is_the_fixed_point_of_its_equation(mdp, seed):
    pi = random_policy(mdp, seed)
    V = evaluate(mdp, pi)
    np.testing.assert_allclose(V, (pi * mdp.backup(V)).sum(axis=1), atol=1e-9)
    np.testing.assert_allclose(last(policy_evaluation(mdp, pi, TOL)), V, atol=1.01 * TOL)
    assert (V[mdp.terminal] == 0).all()


@fixed
@given(worlds(max_states=4))
def test_every_planner_finds_the_best_of_all_policies(mdp):
    V_star = best_by_enumeration(mdp)
    for name, plan in PLANNERS.items():
        np.testing.assert_allclose(plan(mdp, TOL), V_star, atol=1.01 * TOL, err_msg=name)


@settings(fixed, max_examples=15)
@given(worlds(gammas=(0.9, 0.99, 0.999), max_states=25, max_actions=4))
def test_the_planners_agree_however_many_ties_and_absorbing_states_there_are(mdp):
    _, V_star = last(policy_iteration(mdp))
    for name in ("value iteration", "modified", "solve"):
        np.testing.assert_allclose(PLANNERS[name](mdp, 1e-6), V_star, atol=1.01e-6, err_msg=name)
    if mdp.gamma < 0.999:
        for name in ("in place", "prioritised"):
            np.testing.assert_allclose(PLANNERS[name](mdp, 1e-3), V_star, atol=1.01e-3, err_msg=name)


@fixed
@given(worlds(max_states=12))
def test_the_policies_that_the_planners_return_are_worth_the_optimum(mdp):
    pi, V_star = last(policy_iteration(mdp))
    for best in (pi, solve(mdp)[1], greedy(mdp, V_star)):
        np.testing.assert_allclose(evaluate(mdp, best), V_star, atol=1e-7)


@fixed
@given(worlds(max_states=15, max_actions=4), st.integers(0, 10**6))
def test_improvement_never_lowers_any_states_value(mdp, seed):
    policies = list(policy_iteration(mdp, random_policy(mdp, seed)))
    for (_, V), (_, V_next) in pairwise(policies):
        assert (V_next >= V - 1e-9).all() and (V_next > V + 1e-12).any()
    assert len(policies) < 15


@fixed
@given(worlds(gammas=(0.5, 0.9, 0.99)))
def test_the_error_bound_and_the_interval_hold_the_optimum_at_every_iterate(mdp):
    _, V_star = last(policy_iteration(mdp))
    iterates = list(value_iteration(mdp, 1e-4))
    for V, V_next in pairwise(iterates):
        change = np.abs(V_next - V).max()
        assert np.abs(V_next - V_star).max() <= error_bound(mdp.gamma, change) + 1e-9
        lower, upper = bounds(mdp, V)
        assert (lower <= V_star + 1e-9).all() and (V_star <= upper + 1e-9).all()
        assert (upper - lower).max() <= 2 * error_bound(mdp.gamma, change) + 1e-9


def test_the_error_bound_and_the_interval_are_tight_where_nothing_but_a_reward_repeats():
    mdp = MDP(np.ones((1, 1, 1)), [[1.0]], 0.9)  # V_k = 10·(1 − .9^k)
    V_0, V_1, *_ = value_iteration(mdp)
    assert error_bound(0.9, (V_1 - V_0)[0]) == pytest.approx(10 - V_1[0])
    np.testing.assert_allclose(bounds(mdp, V_0), [[10], [10]])


def test_an_end_is_worth_nothing_whatever_was_guessed_for_it():
    mdp = gridworld("..G", gamma=0.9)
    lower, upper = bounds(mdp, np.full(mdp.S, 5.0))
    np.testing.assert_array_equal([lower[mdp.terminal], upper[mdp.terminal]], [[0], [0]])


def test_the_interval_shrinks_long_before_the_bound_where_all_states_mix():
    mdp = random_mdp(50, 3, 10, rng=np.random.default_rng(0), gamma=0.99)
    V_20 = list(value_iteration(mdp, 1e-2))[20]
    lower, upper = bounds(mdp, V_20)
    change = np.abs(mdp.backup(V_20).max(axis=1) - V_20).max()
    assert (upper - lower).max() < 1e-3 < 10 < error_bound(0.99, change)


# What an iterate is


@pytest.mark.parametrize("sparse", [False, True])
def test_the_kth_iterate_is_the_kth_sweep_from_zero(sparse):
    mdp = random_mdp(7, 3, 3, rng=np.random.default_rng(3), sparse=sparse)
    P, pi = dense(mdp), random_policy(mdp, 1)
    swept = list(value_iteration(mdp, 1e-3))
    evaluated = list(policy_evaluation(mdp, pi, 1e-3))
    in_place = list(in_place_value_iteration(mdp, 1e-3))
    V, V_pi, V_in = np.zeros(7), np.zeros(7), np.zeros(7)
    for k in range(12):
        np.testing.assert_allclose(swept[k], V, atol=1e-12)
        np.testing.assert_allclose(evaluated[k], V_pi, atol=1e-12)
        np.testing.assert_allclose(in_place[k], V_in, atol=1e-12)
        V = np.max([mdp.R[:, a] + 0.95 * P[:, a] @ V for a in range(3)], axis=0)
        V_pi = np.sum([pi[:, a] * (mdp.R[:, a] + 0.95 * P[:, a] @ V_pi) for a in range(3)], axis=0)
        for s in range(7):
            V_in[s] = max(mdp.R[s, a] + 0.95 * P[s, a] @ V_in for a in range(3))


@pytest.mark.parametrize(
    "planner", ["value_iteration", "in_place_value_iteration", "modified_policy_iteration"]
)
def test_iterates_are_kept_as_they_were_and_begin_at_zero(planner):
    mdp = gridworld(HOUSE, slip=0.2, gamma=0.9)
    iterates = list(getattr(planning, planner)(mdp))
    np.testing.assert_array_equal(iterates[0], 0)
    assert len({V.tobytes() for V in iterates}) >= len(iterates) - 1 > 2


def test_value_iteration_stops_at_the_first_sweep_whose_bound_is_within_tol():
    mdp = gridworld(HOUSE, slip=0.2, gamma=0.9)
    iterates = list(value_iteration(mdp, 1e-5))
    errors = [error_bound(0.9, np.abs(V - U).max()) for U, V in pairwise(iterates)]
    assert errors[-1] <= 1e-5 < min(errors[:-1])


@pytest.mark.parametrize("planner", [value_iteration, in_place_value_iteration, modified_policy_iteration])
@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_a_tolerance_finer_than_floats_ends_where_rounding_does(planner, gamma):
    swap = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])  # rounding errors change places for ever
    mdp = MDP(swap, [[1.0], [-1.0]], gamma)
    V_star = np.linalg.solve(np.eye(2) - gamma * swap[:, 0], mdp.R[:, 0])
    V = last(islice(planner(mdp, 1e-300), 100_000))
    np.testing.assert_allclose(V, V_star, atol=1e-13 / (1 - gamma))
    assert sum(1 for _ in islice(planner(mdp, 1e-300), 100_000)) < 100_000
    V = last(islice(prioritized_sweeping(mdp, 1e-300), 100_000))[1]
    np.testing.assert_allclose(V, V_star, atol=1e-13 / (1 - gamma) ** 2)


def test_the_last_iterate_of_modified_policy_iteration_is_the_middle_of_its_interval():
    mdp = MDP(np.eye(2)[:, None], [[0.0], [1.0]], 0.9)  # worth 0 and 10, nothing mixes: the interval is slow
    V = last(modified_policy_iteration(mdp, 0.1, sweeps=0))
    np.testing.assert_allclose(V, [0, 10], atol=0.1)
    np.testing.assert_allclose(V[0], 10 - V[1], atol=1e-12)
    assert V[0] > 0.08


def test_in_place_sweeps_carry_news_all_the_way_along_their_order():
    mdp = gridworld("G" + "." * 30, gamma=0.9)  # swept from the goal outwards
    V_1, V_2 = list(in_place_value_iteration(mdp))[1:3]
    np.testing.assert_allclose(V_1[1:], 0.9 ** np.arange(30), rtol=1e-12)
    np.testing.assert_array_equal(V_1, V_2)
    assert np.count_nonzero(list(value_iteration(mdp))[1]) == 1


def test_prioritised_sweeping_backs_up_the_state_with_the_largest_error():
    mdp = gridworld(HOUSE, slip=0.2, gamma=0.9)
    pairs = list(prioritized_sweeping(mdp, 1e-4))
    assert pairs[0][0] is None and not pairs[0][1].any()
    for (_, V), (s, V_next) in pairwise(pairs):
        backed_up = mdp.backup(V).max(axis=1)
        error = np.abs(backed_up - V)
        assert error[s] == pytest.approx(error.max(), rel=1e-9)
        np.testing.assert_allclose(V_next, np.where(np.arange(mdp.S) == s, backed_up, V), atol=1e-12)


def test_prioritised_sweeping_needs_fewer_backups_than_sweeps():
    mdp = grid(12, gamma=0.9)
    backups = sum(1 for _ in prioritized_sweeping(mdp)) - 1
    assert backups < 0.2 * mdp.S * (sum(1 for _ in value_iteration(mdp)) - 1)


# Ties


@pytest.mark.parametrize("slip", [0.0, 0.1, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("gamma", [0.9, 0.999, 1.0])
def test_policy_iteration_ends_on_slippery_grids(slip, gamma):
    mdp = grid(12, slip=slip, gamma=gamma)
    policies = []
    for pair in policy_iteration(mdp):
        policies.append(pair)
        assert len(policies) < 30
    np.testing.assert_allclose(mdp.backup(policies[-1][1]).max(axis=1), policies[-1][1], atol=1e-9)


def test_greedy_shares_among_all_best_actions_and_no_others():
    mdp = gridworld("...\n...\n..G", gamma=0.9)
    V, pi = solve(mdp)
    np.testing.assert_array_equal(pi[0], [0, 0.5, 0.5, 0])  # right and down are equally near the goal
    np.testing.assert_array_equal(greedy(mdp, V)[2], [0, 0, 1, 0])
    np.testing.assert_array_equal(greedy(mdp, V, tol=10)[0], [0.25] * 4)
    assert (greedy(mdp, V, tol=0).sum(axis=1) == 1).all()
    np.testing.assert_array_equal(greedy(mdp, V + 1e-10 * np.arange(9))[0], [0, 0.5, 0.5, 0])


@pytest.mark.parametrize("scale", [1e-10, 1, 1e10])
def test_the_unit_of_the_rewards_changes_nothing_but_the_unit_of_the_values(scale):
    unit = random_mdp(10, 3, 3, rng=np.random.default_rng(0))
    mdp = MDP(unit.P, scale * unit.R, unit.gamma)
    V_unit, pi_unit = solve(unit)
    V, pi = solve(mdp, scale * 1e-8)
    np.testing.assert_allclose(V, scale * V_unit, rtol=1e-6)
    np.testing.assert_array_equal(pi, pi_unit)
    np.testing.assert_allclose(last(policy_iteration(mdp))[1], scale * V_unit, rtol=1e-6)


# γ = 1


@pytest.mark.parametrize("method", [value_iteration, in_place_value_iteration])
def test_a_loop_that_pays_for_ever_is_looked_for_after_a_thousand_sweeps(method):
    P = np.zeros((2, 2, 2))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 1] = 1  # stay and be paid, or go and end
    iterates = method(MDP(P, [[1.0, 0.0], [0.0, 0.0]], 1.0, terminal=[False, True]))
    first = list(islice(iterates, 1001))  # before and after each of a thousand sweeps
    assert first[-1][0] == 1000
    with pytest.raises(ValueError, match="for ever"):
        next(iterates)


def test_without_discount_a_value_is_the_expected_sum_of_rewards():
    P = np.array([[[0.75, 0.25]], [[0.0, 1.0]]])
    mdp = MDP(P, [[-1.0], [0.0]], 1.0, terminal=[False, True])
    pi = np.ones((2, 1))
    assert evaluate(mdp, pi)[0] == pytest.approx(-4)  # four steps on average
    assert last(policy_evaluation(mdp, pi, 1e-10))[0] == pytest.approx(-4, abs=1e-8)
    assert last(value_iteration(mdp, 1e-10))[0] == pytest.approx(-4, abs=1e-8)


@pytest.mark.parametrize(
    "world", [classics.example_4_1, classics.windy, classics.cliff, classics.short_corridor]
)
def test_without_discount_the_planners_agree_too(world):
    mdp = world()
    V, pi = solve(mdp)
    for planner in (value_iteration, in_place_value_iteration):
        np.testing.assert_allclose(last(planner(mdp, 1e-10)), V, atol=1e-8)
    np.testing.assert_allclose(evaluate(mdp, pi), V, atol=1e-9)


def test_policy_iteration_without_discount_leaves_no_free_loop():
    P = np.zeros((2, 2, 2))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 1] = 1  # wait for nothing, or end for −5
    mdp = MDP(P, [[0.0, -5.0], [0, 0]], 1.0, terminal=[False, True])
    V, pi = solve(mdp)
    np.testing.assert_allclose(V, [-5, 0])  # the best of the policies that end
    np.testing.assert_allclose(evaluate(mdp, pi), [-5, 0])
    assert last(value_iteration(mdp))[0] == 0  # and the best of all: wait for ever


# Speed


def test_solve_needs_few_rounds_where_news_has_far_to_go():
    mdp = grid(60, slip=0.2, gamma=0.99)
    assert sum(1 for _ in modified_policy_iteration(mdp)) < 20
    assert sum(1 for _ in value_iteration(mdp)) > 120


def test_a_world_of_ten_thousand_states_is_solved_in_a_tenth_of_the_sweeps():
    mdp = random_mdp(10_000, 4, 4, rng=np.random.default_rng(0), gamma=0.99, sparse=True)
    iterates = list(modified_policy_iteration(mdp, 1e-6))
    assert len(iterates) < 15
    np.testing.assert_allclose(mdp.backup(iterates[-1]).max(axis=1), iterates[-1], atol=1e-7)


def test_last_is_the_last_and_holds_no_others():
    assert last(iter(range(10**5))) == 10**5 - 1


def test_values_lead_to_the_goal_and_not_from_it():
    mdp = gridworld("S...G", gamma=0.9)
    V, pi = solve(mdp)
    np.testing.assert_allclose(V, [0.9**3, 0.9**2, 0.9, 1, 0], atol=1e-8)
    assert (pi[:4, RIGHT] == 1).all() and (pi[:4, LEFT] == 0).all()


def test_sparse_policy_evaluation_equals_dense():
    mdp = random_mdp(30, 3, 4, rng=np.random.default_rng(2))
    twin = MDP(by_row(mdp.P), mdp.R, mdp.gamma)
    pi = random_policy(mdp, 5)
    np.testing.assert_allclose(evaluate(twin, pi), evaluate(mdp, pi), atol=1e-11)
