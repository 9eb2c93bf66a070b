"""Checkers for chapter 01, agents and environments."""

import numpy as np

from course_lib.checks.answer import Wrong, checker, close, equals, expect, unchanged


@checker
def steps_to_half(answer) -> str:
    expect(answer != 68, "0.99⁶⁸ is still a little more than a half.")
    expect(float(answer).is_integer(), "k is a whole number: the first one below a half.")
    expect(
        answer != 50,
        "the effective horizon is 100, but half of it is not where a reward counts half: solve 0.99ᵏ < 1/2.",
    )
    close(answer, 69, f"0.99 to the power {answer} is not the first below a half.")
    return "69 steps."


@checker
def all_returns(method) -> str:
    rng = np.random.default_rng(11)
    for gamma in (0.9, 0.5, 1.0, 0.0):
        rewards = rng.normal(size=8)
        want = np.array([sum(gamma ** (k - t) * rewards[k] for k in range(t, 8)) for t in range(8)])
        got = unchanged(lambda r: method(r, gamma), rewards)
        if gamma == 0.9:
            wrong_weights = np.array([sum(gamma**k * rewards[k] for k in range(t, 8)) for t in range(8)])
            expect(
                not equals(got, wrong_weights),
                "every G_t starts with an undiscounted reward: its weights begin with γ⁰ at time t, not at time 0.",
            )
            expect(
                not equals(got, gamma * want),
                "every return is γ times too small: the reward of the step itself is not discounted.",
            )
            expect(
                not equals(got, want[::-1]),
                "these are the returns in the wrong order: G[0] belongs to the first step.",
            )
            expect(not equals(got, np.cumsum(rewards[::-1])[::-1]), "γ is missing.")
        close(got, want, f"at γ = {gamma} the returns are off: G[t] = rewards[t] + γ·G[t + 1].")
    try:
        empty = method([], 0.9)
    except IndexError:
        raise Wrong("it stops on an empty list: no rewards, no returns.") from None
    close(empty, [], "no rewards, no returns: an empty list should give an empty array.")
    return "right."


@checker
def draw(method) -> str:
    pi = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    for s, u, a in (
        (0, 0.1, 0),
        (0, 0.2001, 1),
        (0, 0.69, 1),
        (0, 0.71, 2),
        (0, 0.999, 2),
        (1, 0.999, 0),
        (2, 0.0, 2),
        (2, 0.5, 2),
        (0, 0.2, 1),
    ):
        got = unchanged(lambda pi: method(pi, s, u), pi)
        expect(got is not None, f"draw gives nothing for u = {u}: does every way through it end in a return?")
        expect(np.ndim(got) == 0, f"draw gives {got!r}: it should be one action, a whole number.")
        expect(
            pi[s, int(got) if 0 <= int(got) < 3 else 0] > 0 or got == a,
            f"you drew action {got} in state {s}, which has probability 0 (u = {u}).",
        )
        expect(got == a, f"with probabilities {pi[s].tolist()} and u = {u} the action is {a}, not {got}.")
    return "right: each action gets its share of the interval from 0 to 1."


@checker
def interval(method) -> str:
    G = np.random.default_rng(12).normal(3.0, 2.0, size=50)
    low, high = unchanged(method, G)
    half = 1.96 * G.std(ddof=1) / np.sqrt(50)
    expect(low < high, "the lower end comes first.")
    expect(
        abs((high - low) / 2 - 1.96 * G.std(ddof=1)) > 1e-3,
        "this is where single returns lie. The mean of n is known √n times better.",
    )
    expect(abs((low + high) / 2 - G.mean()) < 1e-9, "the interval is not centred at the mean.")
    close(
        [low, high],
        [G.mean() - half, G.mean() + half],
        "the width is off: 1.96 · standard deviation / √n on each side.",
        tol=0.02 * half,
    )
    return "right. (With ddof=1 the standard deviation is unbiased in its square; for 50 returns the difference is one per cent.)"


@checker
def repaired_log(method) -> str:
    P = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])  # action 0 swaps the states, 1 stays
    R, pi = np.array([[5.0, 1.0], [-3.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])  # swap in 0, stay in 1
    log = unchanged(lambda P, R, pi: method(P, R, pi, 4, np.random.default_rng(0)), P, R, pi)
    late = not equals(log, np.array([-3.0, 2.0, 2.0, 2.0]))
    expect(late, "it still looks up the reward after the state has moved on.")
    sentence = "where swapping pays 5 in state 0, staying pays 2 in state 1, and the policy does just that, the log is off."
    close(log, [5.0, 2.0, 2.0, 2.0], sentence)
    close(
        method(P, R, pi, 2, np.random.default_rng(0), s=1), [2.0, 2.0], "starting in state 1 the log is off."
    )
    return "right: pay first, then move."
