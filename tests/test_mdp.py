"""The model: what it stores, and that its dense and sparse forms are one world."""

from dataclasses import FrozenInstanceError, replace

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_worlds import by_row, dense, fixed, random_policy, worlds

from course_lib.agents.planning import solve
from course_lib.worlds.mdp import MDP, ends, from_gymnasium, random_mdp

P2 = np.array([[[0.0, 1.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]])
R2 = np.array([[1.0, 2.0], [3.0, 4.0]])


def test_a_world_knows_its_sizes_and_copies_what_it_is_given():
    P, R = P2.copy(), R2.copy()
    mdp = MDP(P, R, 0.9)
    P[:], R[:] = 7, 7
    assert (mdp.S, mdp.A, mdp.gamma, mdp.sparse) == (2, 2, 0.9, False)
    np.testing.assert_array_equal(mdp.P, P2)
    np.testing.assert_array_equal(mdp.R, R2)


@pytest.mark.parametrize("name", ["P", "R", "start", "terminal"])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_world_cannot_be_changed_in_place(name, sparse):
    mdp = MDP(by_row(P2) if sparse else P2, R2, 0.9)
    array = getattr(mdp, name)
    with pytest.raises(ValueError, match="read-only"):
        (array.data if sparse and name == "P" else array)[0] = 1
    with pytest.raises(FrozenInstanceError):
        setattr(mdp, name, None)


def test_replace_makes_a_changed_world_and_checks_it():
    mdp = MDP(P2, R2, 0.9)
    assert replace(mdp, gamma=0.5).backup(np.ones(2))[0, 0] == 1.5
    with pytest.raises(ValueError, match="gamma"):
        replace(mdp, gamma=2)


def test_episodes_start_anywhere_but_in_terminal_states_by_default():
    P = np.stack([np.eye(3)] * 2, axis=1)
    mdp = MDP(P, np.zeros((3, 2)), 0.9, terminal=[False, True, False])
    np.testing.assert_array_equal(mdp.start, [0.5, 0, 0.5])
    np.testing.assert_array_equal(MDP(P, np.zeros((3, 2)), 0.9).terminal, [False] * 3)


def test_backup_is_the_reward_plus_the_discounted_expectation():
    expected = [[1 + 0.9 * 20, 2 + 0.9 * 15], [3 + 0.9 * 10, 4 + 0.9 * 20]]
    for P in (P2, by_row(P2)):
        np.testing.assert_allclose(MDP(P, R2, 0.9).backup(np.array([10.0, 20.0])), expected, rtol=1e-15)


@fixed
@given(worlds(sparse=True), st.integers(0, 10**6))
def test_dense_and_sparse_worlds_answer_alike(sparse, seed):
    full = MDP(dense(sparse), sparse.R, sparse.gamma, terminal=sparse.terminal)
    V = np.random.default_rng(seed).standard_normal(full.S)
    pi, act = random_policy(full, seed), np.random.default_rng(seed).integers(full.A + 1, size=full.S)
    same = lambda x, y: np.testing.assert_allclose(x, y, atol=1e-14)  # noqa: E731
    by_hand = full.R + full.gamma * np.array(
        [[full.P[s, a] @ V for a in range(full.A)] for s in range(full.S)]
    )
    for mdp in (full, sparse):
        same(mdp.backup(V), by_hand)
        for s in range(full.S):
            same(mdp.backup_state(V, s), by_hand[s])
    for chain in ("under", "follow"):
        (P, r), (P_sparse, r_sparse) = (
            getattr(mdp, chain)(pi if chain == "under" else act) for mdp in (full, sparse)
        )
        same(P_sparse.toarray(), P)
        same(r_sparse, r)
    np.testing.assert_array_equal(ends(full, pi), ends(sparse, pi))


@fixed
@given(worlds(), st.integers(0, 10**6))
def test_following_an_action_is_the_policy_that_always_takes_it(mdp, seed):
    act = np.random.default_rng(seed).integers(mdp.A + 1, size=mdp.S)  # A: all equally
    pi = np.vstack([np.eye(mdp.A), np.full(mdp.A, 1 / mdp.A)])[act]
    for followed, averaged in zip(mdp.follow(act), mdp.under(pi), strict=True):
        np.testing.assert_allclose(np.zeros(1) + followed, np.zeros(1) + averaged, atol=1e-15)


def test_a_stored_zero_is_no_way_to_the_end():
    P = by_row(np.array([[[1.0, 0.5]], [[0.0, 1.0]]]))
    P.data[1] = 0.0  # still stored
    with pytest.raises(ValueError, match="no terminal state can be reached"):
        MDP(P, np.zeros((2, 1)), 1.0, terminal=[False, True])


def test_a_stored_zero_is_no_way_out_of_the_end():
    P = by_row(np.array([[[0.0, 1.0]], [[0.5, 1.0]]]))
    P.data[1] = 0.0  # still stored
    mdp = MDP(P, np.zeros((2, 1)), 1.0, terminal=[False, True])
    assert mdp.P.nnz == 2


def test_ends_tells_apart_certain_possible_and_impossible_ends():
    # 0 ends for certain, 1 may fall into the trap 2, 3 is the end; from all but the trap some action ends it
    P = np.zeros((4, 2, 4))
    P[0, :, 3] = P[3, :, 3] = P[2, 0, 2] = P[2, 1, 3] = 1
    P[1, :, 2] = P[1, :, 3] = 0.5
    mdp = MDP(P, np.zeros((4, 2)), 1.0, terminal=[False, False, False, True])
    stay, leave = np.eye(2)[[0, 0, 0, 0]], np.eye(2)[[1, 1, 1, 1]]
    np.testing.assert_array_equal(ends(mdp, stay), [True, False, False, True])
    np.testing.assert_array_equal(ends(mdp, leave), [True] * 4)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_random_world_branches_as_asked(sparse):
    mdp = random_mdp(12, 3, 5, rng=np.random.default_rng(1), sparse=sparse)
    np.testing.assert_array_equal((dense(mdp) > 0).sum(axis=2), 5)
    again = random_mdp(12, 3, 5, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(dense(mdp), again.P)
    np.testing.assert_array_equal(mdp.R, again.R)


@pytest.mark.stochastic
@pytest.mark.parametrize("branching", [1, 50, 150, 300])
def test_random_worlds_of_any_branching_are_made_quickly_and_reach_all_states(branching):
    """Half of the 600·branching next states lie in the first half: 5.5 standard errors, 4e-8 at each size."""
    mdp = random_mdp(300, 2, branching, rng=np.random.default_rng(0), sparse=True)
    np.testing.assert_array_equal(np.diff(mdp.P.indptr), branching)
    hits = np.bincount(mdp.P.indices, minlength=300)  # without repetition in a row they spread even less
    assert abs(hits[:150].sum() / hits.sum() - 0.5) < 5.5 * 0.5 / np.sqrt(600 * branching)


def from_table(table, gamma, sweeps=3_000):
    """Value iteration straight on a Gymnasium table, for comparison."""
    V = [0.0] * len(table)
    for _ in range(sweeps):
        V = [
            max(
                sum(p * (r + (0 if done else gamma * V[s2])) for p, s2, r, done in way)
                for way in ways.values()
            )
            for ways in table.values()
        ]
    return np.array(V)


def met(table, starts):
    """The states that an episode can come to."""
    found, new = set(), set(starts.tolist())
    while new:
        found |= new
        steps = [step for s in new for way in table[s].values() for step in way]
        new = {int(s2) for p, s2, _, done in steps if p > 0 and not done} - found
    return found


@pytest.mark.parametrize("name", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_the_model_of_a_gymnasium_world_has_the_values_of_its_table(name):
    env = gymnasium.make(name)
    mdp = from_gymnasium(env, gamma=0.9)
    V, _ = solve(mdp, 1e-10)
    table = env.unwrapped.P
    in_play = np.isin(np.arange(mdp.S), list(met(table, np.flatnonzero(mdp.start))))
    in_play &= ~mdp.terminal
    np.testing.assert_allclose(V[in_play], from_table(table, 0.9, sweeps=300)[in_play], atol=1e-7)
    assert in_play.sum() == {"FrozenLake-v1": 11, "CliffWalking-v1": 37, "Taxi-v4": 400}[name]
    np.testing.assert_array_equal(mdp.start, env.unwrapped.initial_state_distrib)


def test_frozen_lake_is_crossed_with_chance_14_in_17():
    mdp = from_gymnasium(gymnasium.make("FrozenLake-v1"), gamma=1.0)
    assert solve(mdp)[0] @ mdp.start == pytest.approx(14 / 17, abs=1e-9)
    assert mdp.terminal.sum() == 5  # four holes and the goal


def test_gymnasiums_cliff_is_worth_minus_13():
    mdp = from_gymnasium(gymnasium.make("CliffWalking-v1"), gamma=1.0)
    assert solve(mdp)[0] @ mdp.start == pytest.approx(-13, abs=1e-9)


def test_a_perfect_taxi_earns_7_93():
    mdp = from_gymnasium(gymnasium.make("Taxi-v4"), gamma=1.0)
    assert solve(mdp)[0] @ mdp.start == pytest.approx(7.93, abs=0.005)
