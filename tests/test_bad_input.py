"""What is wrong is refused with a ValueError that names the place and the mend."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from random_worlds import by_row

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
from course_lib.worlds.grids import gridworld
from course_lib.worlds.mdp import MDP, from_gymnasium, random_mdp

S, A = 4, 3


def world(gamma=0.9, sparse=False, **changed):
    """4 states, 3 actions, everything leads to state 0; `changed` are arguments, or edits {index: value}."""
    P, R = np.zeros((S, A, S)), np.zeros((S, A))
    P[:, :, 0] = 1
    for at, value in changed.pop("P_at", {}).items():
        P[at] = value
    for at, value in changed.pop("R_at", {}).items():
        R[at] = value
    return MDP(by_row(P) if sparse else P, changed.pop("R", R), changed.pop("discount", gamma), **changed)


def loop(reward=1.0, gamma=1.0):
    """State 0 may stay for a reward (action 0) or end (action 1)."""
    P = np.zeros((2, 2, 2))
    P[0, 0, 0] = P[0, 1, 1] = P[1, :, 1] = 1
    return MDP(P, [[reward, 0.0], [0, 0]], gamma, terminal=[False, True])


CORRIDOR = classics.short_corridor()
LEFT_ONLY = np.tile([1.0, 0.0], (4, 1))
FINE = world()
UNIFORM = np.full((S, A), 1 / A)
NAN, INF = float("nan"), float("inf")

# the world itself; P's bad entries are named exactly, in both forms
ROWS = {
    "sums to less": ({(2, 1, 0): 0.7}, ["s=2, a=1", "sums to 0.7", "divide the row by its sum"]),
    "sums to more": ({(3, 2, 1): 0.5}, ["s=3, a=2", "sums to 1.5", "divide the row by its sum"]),
    "empty": ({(1, 2, 0): 0.0}, ["s=1, a=2", "sums to 0,", "must lead to itself"]),
    "off by a little": ({(0, 1, 0): 1 - 1e-6}, ["s=0, a=1", "sums to 0.999999"]),
    "negative": ({(2, 1, 0): 1.25, (2, 1, 3): -0.25}, ["s=2, a=1, s'=3", "-0.25", "from 0 to 1"]),
    "nan": ({(3, 0, 2): NAN}, ["s=3, a=0, s'=2", "nan", "from 0 to 1"]),
    "inf": ({(1, 1, 3): INF}, ["s=1, a=1, s'=3", "inf", "from 0 to 1"]),
    "the first of two": ({(3, 0, 1): NAN, (1, 2, 3): -0.5}, ["-0.5|nan"]),
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("case", ROWS)
def test_rows_that_are_no_probabilities(case, sparse):
    edits, words = ROWS[case]
    with pytest.raises(ValueError) as error:
        world(P_at=edits, sparse=sparse)
    assert_says(error, words)


def assert_says(error, words):
    message = str(error.value)
    for word in words:
        assert any(choice in message for choice in word.split("|")), f"{word!r} is not in: {message}"


BAD = {
    "P of wrong shape": (
        lambda: MDP(np.zeros((S, S, A)), np.zeros((S, A)), 0.9),
        ["(4, 4, 3)", "[S, A, S] = (4, 3, 4)"],
    ),
    "P flat": (lambda: MDP(np.zeros((12, 4)), np.zeros((S, A)), 0.9), ["(12, 4)", "[S, A, S] = (4, 3, 4)"]),
    "P of words": (lambda: MDP([["a"]], np.zeros((1, 1)), 0.9), ["P must be an array of real numbers"]),
    "P complex": (
        lambda: MDP(np.ones((1, 1, 1)) + 0j, np.zeros((1, 1)), 0.9),
        ["P must be an array of real numbers"],
    ),
    "sparse P by state": (
        lambda: MDP(by_row(np.ones((2, 3, 2))).T, np.zeros((2, 3)), 0.9),
        ["(2, 6)", "[A·S, S] = (6, 2)", "row a·S + s"],
    ),
    "sparse P complex": (
        lambda: MDP(by_row(np.ones((1, 1, 1))) * (1 + 0j), [[0.0]], 0.9),
        ["real probabilities"],
    ),
    "R of wrong axes": (lambda: MDP(np.ones((1, 1, 1)), [1.0], 0.9), ["R has 1 axes", "[S, A]"]),
    "R ragged": (
        lambda: MDP(np.ones((1, 1, 1)), [[1.0], [1.0, 2.0]], 0.9),
        ["R must be an array of real numbers"],
    ),
    "R complex": (lambda: MDP(np.ones((1, 1, 1)), [[1j]], 0.9), ["R must be an array of real numbers"]),
    "R empty": (lambda: MDP(np.ones((0, 2, 0)), np.ones((0, 2)), 0.9), ["at least one state and one action"]),
    "R nan": (lambda: world(R_at={(2, 1): NAN}), ["R[2, 1] is nan", "finite"]),
    "R inf": (lambda: world(R_at={(0, 2): -INF}), ["R[0, 2] is -inf", "finite"]),
    "gamma above 1": (lambda: world(discount=1.01), ["gamma is 1.01", "from 0 to 1"]),
    "gamma below 0": (lambda: world(discount=-0.1), ["gamma is -0.1", "from 0 to 1"]),
    "gamma True": (lambda: world(discount=True), ["gamma is True", "from 0 to 1"]),
    "gamma nan": (lambda: world(discount=NAN), ["gamma is nan", "from 0 to 1"]),
    "gamma a word": (lambda: world(discount="0.9"), ["gamma is '0.9'", "from 0 to 1"]),
    "gamma a list": (lambda: world(discount=[0.9]), ["gamma is [0.9]", "from 0 to 1"]),
    "gamma 1 without an end": (
        lambda: world(gamma=1.0),
        ["gamma is 1", "state 0", "use gamma < 1", "and 1 more"],
    ),
    "gamma 1 with a cell cut off": (
        lambda: gridworld("S.G\n###\n..#", gamma=1.0),
        ["gamma is 1", "state 3 (2, 0), state 4 (2, 1)", "no terminal state can be reached"],
    ),
    "terminal moves on": (
        lambda: world(terminal=[False, False, True, False]),
        ["state 2 is terminal", "to itself"],
    ),
    "terminal mostly stays": (
        lambda: MDP([[[1 - 1e-10, 1e-10]], [[1, 0]]], [[0], [0]], 0.9, terminal=[True, False]),
        ["state 0 is terminal", "to itself"],
    ),
    "terminal pays": (
        lambda: world(R_at={(0, 1): 1.0}, terminal=[True, False, False, False]),
        ["state 0 is terminal", "R[0] be 0"],
    ),
    "terminal of numbers": (lambda: world(terminal=[1, 0, 0, 0]), ["type int64", "True or False"]),
    "terminal too short": (lambda: world(terminal=[True]), ["shape (1,)", "shape (4,)"]),
    "start of wrong sum": (lambda: world(start=[0.5, 0, 0, 0]), ["sum 0.5", "sum to 1"]),
    "start negative": (lambda: world(start=[1.5, -0.5, 0, 0]), ["smallest -0.5", "4 probabilities"]),
    "start too short": (lambda: world(start=[1.0]), ["1 entries", "4 probabilities"]),
    "start nan": (lambda: world(start=[NAN, 0, 0, 1]), ["start[0] is nan"]),
    "too few labels": (lambda: world(labels=["a", "b"]), ["2 labels for 4 states"]),
    # what is asked of a world
    "V of wrong length": (lambda: FINE.backup(np.zeros(5)), ["V has shape (5,)", "shape (4,)"]),
    "V a column": (lambda: FINE.backup(np.zeros((4, 1))), ["V has shape (4, 1)", "shape (4,)"]),
    "no such state": (lambda: FINE.backup_state(np.zeros(4), 4), ["state 4", "0 to 3"]),
    "negative state": (lambda: FINE.backup_state(np.zeros(4), -1), ["state -1", "0 to 3"]),
    "no such action": (lambda: FINE.follow([0, 1, 5, 0]), ["act[2] is 5", "0 to 2"]),
    "negative action": (lambda: FINE.follow([0, 1, 0, -1]), ["act[3] is -1", "0 to 2"]),
    "actions that are floats": (lambda: FINE.follow(np.zeros(4)), ["float64", "one whole number a state"]),
    "too few actions": (lambda: FINE.follow([0, 1]), ["shape (2,)", "one whole number a state"]),
    "policy of wrong shape": (lambda: evaluate(FINE, UNIFORM.T), ["(3, 4)", "[S, A] = (4, 3)"]),
    "policy of actions": (lambda: evaluate(FINE, [0, 1, 2, 0]), ["the policy has 1 axes", "[S, A]"]),
    "policy of wrong sum": (
        lambda: evaluate(FINE, UNIFORM * [[1], [1], [2], [1]]),
        ["state 2", "sum 2", "sum to 1"],
    ),
    "policy negative": (
        lambda: list(policy_evaluation(FINE, [[2, -1, 0]] * 4)),
        ["state 0", "[ 2. -1.  0.]"],
    ),
    "policy nan": (lambda: list(policy_iteration(FINE, UNIFORM * NAN)), ["the policy[0, 0] is nan"]),
    # γ = 1
    "policy that never ends": (
        lambda: evaluate(CORRIDOR, LEFT_ONLY),
        ["gamma is 1", "state 0", "may never end"],
    ),
    "evaluating it by sweeps": (
        lambda: list(policy_evaluation(CORRIDOR, LEFT_ONLY)),
        ["may never end", "gamma < 1"],
    ),
    "improving it": (
        lambda: list(policy_iteration(CORRIDOR, LEFT_ONLY)),
        ["may never end", "another policy"],
    ),
    "reward loop, value iteration": (
        lambda: last(value_iteration(loop())),
        ["state 0", "collects reward for ever"],
    ),
    "reward loop, in place": (
        lambda: last(in_place_value_iteration(loop(0.1))),
        ["collects reward for ever"],
    ),
    "reward loop, policy iteration": (lambda: last(policy_iteration(loop())), ["state 0", "use gamma < 1"]),
    "reward loop, solve": (lambda: solve(loop(1e-3)), ["state 0", "collects reward for ever"]),
    "prioritised at gamma 1": (
        lambda: last(prioritized_sweeping(CORRIDOR)),
        ["gamma is 1", "value_iteration"],
    ),
    "modified at gamma 1": (
        lambda: last(modified_policy_iteration(CORRIDOR)),
        ["gamma is 1", "policy_iteration"],
    ),
    "bound at gamma 1": (lambda: error_bound(1.0, 0.1), ["gamma is 1.0", "gamma < 1"]),
    "interval at gamma 1": (lambda: bounds(CORRIDOR, np.zeros(4)), ["gamma is 1.0", "gamma < 1"]),
    # the planners' settings
    "tol 0": (lambda: last(value_iteration(FINE, 0.0)), ["tol is 0.0", "positive"]),
    "tol negative": (lambda: last(in_place_value_iteration(FINE, -1)), ["tol is -1", "positive"]),
    "tol nan": (lambda: last(modified_policy_iteration(FINE, NAN)), ["tol is nan", "positive"]),
    "tol a word": (lambda: solve(FINE, "1e-8"), ["tol is '1e-8'", "positive"]),
    "tol 0, evaluation": (lambda: last(policy_evaluation(FINE, UNIFORM, 0)), ["tol is 0", "positive"]),
    "tol 0, prioritised": (lambda: last(prioritized_sweeping(FINE, 0)), ["tol is 0", "positive"]),
    "tol 0, solve at gamma 1": (lambda: solve(CORRIDOR, 0), ["tol is 0", "positive"]),
    "tol negative, greedy": (lambda: greedy(FINE, np.zeros(4), -1e-9), ["tol is -1e-09", "from 0"]),
    "half a sweep": (
        lambda: last(modified_policy_iteration(FINE, sweeps=2.5)),
        ["sweeps is 2.5", "whole number"],
    ),
    "greedy for nan": (lambda: greedy(FINE, [0, NAN, 0, 0]), ["V[1] is nan", "finite"]),
    "greedy for too few": (lambda: greedy(FINE, [0.0, 0.0]), ["V has 2 entries", "4 in all"]),
    "interval around nan": (lambda: bounds(FINE, [0, 0, 0, NAN]), ["V[3] is nan"]),
    # maps
    "map with a stray character": (
        lambda: gridworld("S..\n.?G"),
        ["'?'", "row 1, column 1", "lower-case letter"],
    ),
    "map with a capital": (lambda: gridworld("S.X"), ["'X'", "row 0, column 2"]),
    "map that is ragged": (
        lambda: gridworld("S..\n..\n..G"),
        ["row 1 of the map has 2 cells", "equally long"],
    ),
    "map that is empty": (lambda: gridworld(" \n "), ["the map is", "at least one free cell"]),
    "map that is no text": (lambda: gridworld(["S.G"]), ["the map is ['S.G']", "give a text"]),
    "map of walls": (lambda: gridworld("##\n##"), ["walls only"]),
    "map of ends": (lambda: gridworld("GP"), ["no cell to walk on"]),
    "goal walled off at gamma 1": (
        lambda: gridworld("S.#G", gamma=1),
        ["state 0 (0, 0)", "can be reached", "gamma < 1"],
    ),
    "letter that is not paid": (lambda: gridworld("Sa.bG", rewards={"a": 1}), ["'b' pays", "add {'b': …}"]),
    "reward for no letter": (lambda: gridworld("S.G", rewards={"a": 1}), ["rewards names 'a'", "lower-case"]),
    "reward for a wall": (lambda: gridworld("S#G", rewards={"#": 1}), ["rewards names '#'", "only G, P"]),
    "reward nan": (lambda: gridworld("S.G", rewards={"G": NAN}), ["rewards['G'] is nan", "finite"]),
    "slip above 1": (lambda: gridworld("S.G", slip=1.5), ["slip is 1.5", "from 0 to 1"]),
    "slip nan": (lambda: gridworld("S.G", slip=NAN), ["slip is nan", "from 0 to 1"]),
    "step reward inf": (lambda: gridworld("S.G", step_reward=-INF), ["step_reward is -inf", "finite"]),
    # random and classic worlds
    "branching 0": (
        lambda: random_mdp(5, 2, 0, rng=np.random.default_rng()),
        ["branching is 0", "whole number from 1"],
    ),
    "branching above S": (
        lambda: random_mdp(5, 2, 6, rng=np.random.default_rng()),
        ["branching is 6", "at most 5"],
    ),
    "branching 1.5": (lambda: random_mdp(5, 2, 1.5, rng=np.random.default_rng()), ["branching is 1.5"]),
    "no states": (lambda: random_mdp(0, 2, 1, rng=np.random.default_rng()), ["S is 0"]),
    "a seed for a generator": (lambda: random_mdp(5, 2, 2, rng=0), ["rng is 0", "np.random.default_rng(0)"]),
    "chance of heads above 1": (lambda: classics.gambler(1.4), ["p_heads is 1.4", "from 0 to 1"]),
    "walk of no states": (lambda: classics.random_walk(0), ["n is 0", "at least 1"]),
    "walk of half a state": (lambda: classics.random_walk(2.5), ["n is 2.5", "whole number"]),
    # Gymnasium
    "environment without a table": (
        lambda: from_gymnasium(gymnasium.make("CartPole-v1")),
        ["CartPole", "no transition table", "FrozenLake-v1"],
    ),
    "name of an environment": (
        lambda: from_gymnasium("FrozenLake-v1"),
        ["no transition table", "gymnasium.make"],
    ),
    "table with a state that ends and does not": (
        lambda: from_gymnasium(
            table({0: {0: [(1.0, 1, 0.0, True)], 1: [(1.0, 1, 0.0, False)]}, 1: {0: [], 1: []}})
        ),
        ["state 1", "both as an end and in passing", "split it"],
    ),
    "table with chances that miss": (
        lambda: from_gymnasium(table({0: {0: [(0.5, 0, 0.0, False)]}})),
        ["s=0, a=0", "sums to 0.5"],
    ),
}


def table(P):
    env = SimpleNamespace(P=P)
    env.unwrapped = env
    return env


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name_and_with_a_mend(case):
    wrong, words = BAD[case]
    with pytest.raises(ValueError) as error:
        wrong()
    assert_says(error, words)


def test_what_is_right_is_accepted():
    world(start=[0, 0, 0.5, 0.5], labels="abcd", terminal=None, discount=np.float64(0.5))
    world(discount=0), world(discount=np.int64(0))
    assert solve(loop(0.0))[0][0] == 0 and solve(loop(-1.0))[0][0] == 0
    assert solve(loop(1.0, gamma=0.9))[0][0] == pytest.approx(10)
    np.testing.assert_allclose(
        planning.evaluate(CORRIDOR, LEFT_ONLY[:, ::-1] * 0.5 + 0.25), [-14, -12, -8, 0], atol=9
    )


def test_values_that_swing_for_ever_are_found_out(monkeypatch):
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[1, 0, 0] = P[:2, 1, 2] = P[2, :, 2] = 1  # 0 and 1 swap for +1 and −1, or end for −10
    mdp = MDP(P, [[1, -10], [-1, -10], [0, 0]], 1.0, terminal=[False, False, True])
    np.testing.assert_allclose(solve(mdp)[0], [-9, -10, 0])
    swept = value_iteration(mdp)
    assert [next(swept)[0] for _ in range(6)] == [0, 1, 0, 1, 0, 1]
    with pytest.raises(ValueError, match="have not settled"):
        planning._check_settles(mdp, 1_000_000)
