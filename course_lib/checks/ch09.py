"""Checkers for chapter 09, inverse reinforcement learning."""

from numbers import Real

import numpy as np

from course_lib.agents import inverse, planning
from course_lib.checks.answer import Wrong, blame, checker, close, expect, unchanged
from course_lib.worlds.mdp import MDP, random_mdp


def _worlds() -> list[MDP]:
    rng = np.random.default_rng(91)
    sizes = ((4, 2, 0.9), (7, 3, 0.5), (6, 5, 0.95))
    return [random_mdp(S, A, 3, gamma=gamma, rng=rng) for S, A, gamma in sizes]


@checker
def wage_of_variety(eta) -> str:
    expect(isinstance(eta, Real), f"your answer is {eta!r}: give one number.")
    known = {
        0.05 / np.log(4): "you left out the step cost: roaming has to earn it too.",
        0.03 / np.log(4): "the step cost is a cost: roaming has to earn it on top of the 0.05.",
        1 / np.log(4): "that is one step's wage; roaming is paid at every step, discounted.",
        1.02 / np.log(4): "that is one step's wage; roaming is paid at every step, discounted.",
        0.07: "you took the entropy of a fair draw among four for 1: it is ln 4.",
        0.07 / np.log2(4): "the entropy here uses the natural logarithm.",
    }
    for mistake, sentence in known.items():
        expect(abs(eta - mistake) > 1e-4, sentence)
    close(eta, 0.07 / np.log(4), "a pay of x at each step is worth x/(1 − γ): for which η is that 1?", 5e-4)
    return "right, about 0.05. Far from the goal, where 1 is discounted, roaming wins earlier."


@checker
def find_potential(method) -> str:
    rng = np.random.default_rng(92)
    for world in _worlds():
        phi = 3 * rng.normal(size=world.S)
        R2 = inverse.potential_shaping(world, phi).R
        got = unchanged(lambda P, R1, R2: method(P, R1, R2, world.gamma), world.P, world.R, R2)
        expect(got is not None, "you return None for a reward that is shaped: is it γ·P·φ − φ[s]?")
        blame(
            got, -phi, "you found −φ: shaping adds γ times the potential there, and takes away the one here."
        )
        close(got, phi, "φ is off: for any one action a, (γ P_a − I) φ = R2[:, a] − R1[:, a].", 1e-5)
        for a in range(world.A):
            spoilt = R2.copy()
            spoilt[rng.integers(world.S), a] += 0.5
            sentence = f"one number of R2, for action {a}, was changed, and no potential fits: return None."
            expect(method(world.P, world.R, spoilt, world.gamma) is None, sentence)
    return "right. A reward is fixed only up to one number a state."


@checker
def soft_evaluate(method) -> str:
    rng = np.random.default_rng(93)
    for world in _worlds():
        for eta in (0.1, 1.0):
            pi = rng.dirichlet(np.ones(world.A), size=world.S)
            got = unchanged(lambda P, R, pi: method(P, R, world.gamma, eta, pi), world.P, world.R, pi)
            entropy = -(pi * np.log(pi)).sum(axis=1, keepdims=True)
            want, plain, minus, now = (
                planning.evaluate(MDP(world.P, world.R + bonus, world.gamma), pi)
                for bonus in (eta * entropy, 0.0, -eta * entropy, entropy)
            )
            blame(got, plain, "that is the value without entropy.")
            blame(got, minus, "the entropy is counted with the wrong sign: ln π is negative.")
            blame(
                got, plain + eta * entropy[:, 0], "the entropy is paid at every step, not only at the first."
            )
            if eta != 1:
                blame(got, now, "you left out η.")
            sentence = (
                "the values are off: solve (I − γ P_π) V = r_π + η·H, with the entropy H of each row of π."
            )
            close(got, want, sentence)
    return "right: entropy is one more pay, and the equation stays linear."


@checker
def margins(method) -> str:
    rng = np.random.default_rng(94)
    for world in _worlds():
        best = planning.solve(world)[1].argmax(axis=1)
        for act in (best, rng.integers(world.A, size=world.S)):
            got = unchanged(lambda P, R, act: method(P, R, world.gamma, act), world.P, world.R, act)
            pi = np.eye(world.A)[act]
            want = inverse.margins(world, pi, world.R)
            Q = world.backup(planning.evaluate(world, pi))
            taken = Q[np.arange(world.S), act]
            Q_star = world.backup(planning.solve(world)[0])
            others = np.where(pi > 0, -np.inf, Q_star).max(axis=1)
            star = Q_star[np.arange(world.S), act] - others
            blame(
                got, taken - Q.max(axis=1), "you compare with the best action of all: leave the expert's out."
            )
            blame(got, -want, "the sign is turned: a margin is positive where the expert is better.")
            worst = np.where(pi > 0, np.inf, Q).min(axis=1)
            if world.A > 2:
                blame(
                    got, taken - worst, "you compare with the worst other action: the best one is the rival."
                )
            if np.abs(star - want).max() > 1e-6:
                blame(got, star, "you used V*: the expert is judged under its own values.")
            close(
                got, want, "the margins are off: is V the expert's own value, and Q one look ahead from it?"
            )
    return "right. Nowhere negative: the expert is optimal for this reward."


@checker
def repaired_forward(method) -> str:
    rng = np.random.default_rng(95)
    for world in _worlds():
        pi = rng.dirichlet(np.ones(world.A), size=world.S)
        start = rng.dirichlet(np.ones(world.S))
        for steps in (1, 7):
            got = unchanged(lambda P, pi, start: method(P, pi, start, steps), world.P, pi, start)
            want = _pushed(world, pi, start, steps)
            expect(got is not None, "your function returns nothing: does it end with a return?")
            expect(np.shape(got) == want.shape, f"mu has shape {np.shape(got)}: give [steps + 1, S].")
            sums = np.asarray(got, dtype=float).sum(axis=1)
            if not np.allclose(sums, 1):
                t = int(np.flatnonzero(~np.isclose(sums, 1))[0])
                raise Wrong(
                    f"after {t} steps the probabilities sum to {sums[t]:.2f}: what happens to a cell that two states lead to?"
                )
            close(got, want, "the sums are right, the places are not: mu[t + 1] comes from mu[t] by P and π.")
    return "right: nothing is lost, and every row sums to 1."


def _pushed(world: MDP, pi: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    mu, P_pi = [start], world.under(pi)[0]
    for _ in range(steps):
        mu.append(mu[-1] @ P_pi)
    return np.array(mu)
