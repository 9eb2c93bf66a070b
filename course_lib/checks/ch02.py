"""Checkers for chapter 02, MDPs and Bellman equations."""

import numpy as np

from course_lib.agents.planning import evaluate, solve
from course_lib.checks.answer import Wrong, checker, close, equals, expect, unchanged
from course_lib.worlds.classics import random_walk
from course_lib.worlds.mdp import MDP, random_mdp


def _problems() -> list[tuple[MDP, np.ndarray]]:
    """Random worlds, each with a random policy."""
    rng = np.random.default_rng(21)
    sizes = ((4, 2, 0.9), (7, 3, 0.9), (6, 6, 0.5))
    worlds = [random_mdp(S, A, 3, gamma=gamma, rng=rng) for S, A, gamma in sizes]
    return [(world, rng.dirichlet(np.ones(world.A), size=world.S)) for world in worlds]


@checker
def growth(answer) -> str:
    close(float(answer) != 2, True, "2 is the gain of one step: how many steps gain, and how do they count?")
    close(float(answer) != 18, True, "18 leaves out the present of now: the sum starts with γ⁰ = 1.")
    close(answer, 20.0, f"it is not {answer}: sum 2 + 2γ + 2γ² + ….")
    return "20, in every state and for every policy: 2 / (1 − γ)."


@checker
def q_and_v(pair) -> str:
    q_from_v, v_from_q = pair
    for world, pi in _problems():
        V = evaluate(world, pi)
        Q = unchanged(lambda P, R, V: q_from_v(P, R, world.gamma, V), world.P, world.R, V)
        expect(not equals(Q, world.R + world.P @ V), "in Q the next value is not discounted: where is γ?")
        close(Q, world.backup(V), "Q is off: it is R(s,a) plus γ times the value expected at the next state.")
        V_back = unchanged(v_from_q, pi, world.backup(V))
        expect(
            not equals(V_back, world.backup(V).max(axis=1)),
            "V is the best action's value here; V_π averages over π's actions.",
        )
        expect(
            not equals(V_back, world.backup(V).mean(axis=1)),
            "V weighs all actions equally: weigh them by π(a|s).",
        )
        close(V_back, V, "V is off: it is the average of Q over the actions, weighted by π.")
    return "right, both ways: V → Q → V."


@checker
def evaluate_ending(method) -> str:
    walk = random_walk(7)
    even = np.full((walk.S, walk.A), 1 / walk.A)
    P_pi, r_pi = walk.under(even)
    V = unchanged(lambda P, r, end: method(P, r, 1.0, end.astype(bool)), P_pi, r_pi, walk.terminal)
    sentence = "on a random walk with 7 states between two ends, at γ = 1, the values are not 1/8, 2/8, …: "
    close(
        V,
        evaluate(walk, even),
        sentence + "the matrix needs the rows *and* the columns of the states that go on.",
    )
    chain = np.array([[0.5, 0.5, 0.0], [0.0, 0.2, 0.8], [0.0, 0.0, 1.0]])
    got = method(chain, np.array([1.0, 2.0, 0.0]), 0.9, np.array([False, False, True]))
    second = 2 / (1 - 0.18)
    first = (1 + 0.45 * second) / 0.55
    expect(
        not equals(np.asarray(got), np.array([4.5, 2.5, 0.0])),
        "γ is missing: your answer is the one for γ = 1.",
    )
    close(got, [first, second, 0.0], "at γ = 0.9 the values are off: is γ in front of the matrix?")
    return "right. This is what the library's evaluate does."


@checker
def discounted_visits(method) -> str:
    for world, pi in _problems():
        P_pi, _ = world.under(pi)
        start = np.random.default_rng(3).dirichlet(np.ones(world.S))
        eta = unchanged(lambda P, d: method(P, world.gamma, d), P_pi, start)
        right = np.linalg.solve((np.eye(world.S) - world.gamma * P_pi).T, start)
        mirrored = np.linalg.solve(np.eye(world.S) - world.gamma * P_pi, start)
        expect(
            not equals(eta, mirrored),
            "start multiplies from the wrong side: dᵀM is (Mᵀ d)ᵀ, so transpose the matrix.",
        )
        expect(
            not equals(eta, right * (1 - world.gamma)),
            "these are shares that sum to 1: leave out the factor 1 − γ.",
        )
        close(eta, right, "the visits are off: they must sum to 1/(1 − γ), and eta @ r_pi must be start @ V.")
    return "right: the visits sum to 1/(1 − γ), and eta @ r_pi is the value at the start."


@checker
def repaired_best(method) -> str:
    rng = np.random.default_rng(23)
    for gamma, sign in ((0.8, 1), (0.5, 1), (0.8, -1)):
        world = random_mdp(4, 2, 2, gamma=gamma, rng=rng)
        R, start = sign * np.abs(world.R), rng.dirichlet(np.ones(4))
        value = unchanged(lambda P, R, d: method(P, R, gamma, d), world.P, R, start)
        right = start @ solve(MDP(world.P, R, gamma))[0]
        expect(np.ndim(value) == 0, f"the answer is one number, not {value!r}.")
        if value > right + 1e-6:
            raise Wrong(
                f"you find {value:.3f}, and nobody can get more than {right:.3f}: which rewards does a policy collect?"
            )
        close(
            value, right, f"you find {value:.3f}, but {right:.3f} is possible: have you tried every policy?"
        )
    return "right. Sixteen policies here; chapter 03 is for worlds where you cannot try them all."
