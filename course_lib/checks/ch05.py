"""Checkers for chapter 05, Monte Carlo."""

from numbers import Real

import numpy as np

from course_lib.checks.answer import Wrong, blame, checker, close, expect


def _episodes(n: int, gamma_seed: int = 0) -> list[tuple[list, list, list]]:
    """Random episodes in three states with two actions, which visit states and pairs several times."""
    rng, out = np.random.default_rng(50 + gamma_seed), []
    for length in rng.integers(1, 9, size=n):
        out.append(
            (
                rng.integers(3, size=length).tolist(),
                rng.integers(2, size=length).tolist(),
                rng.normal(size=length).round(2).tolist(),
            )
        )
    return out


def _returns(rewards: list[float], gamma: float) -> list[float]:
    out, G = [], 0.0
    for r in reversed(rewards):
        G = r + gamma * G
        out.append(G)
    return out[::-1]


@checker
def two_episodes(answers) -> str:
    expect(
        all(isinstance(answer, Real) for answer in answers),
        f"your answers are {answers!r}: give two numbers.",
    )
    first, every = answers
    expect(
        abs(first - 2.5) < 0.005,
        f"first-visit is not {first:g}: each episode counts once, with its whole length.",
    )
    expect(abs(every - 2.5) > 0.005, "every-visit also counts the returns that start later in an episode.")
    expect(
        abs(every - 1.75) > 0.005,
        "1.75 is the mean of the two episodes' means: every visit has one vote, so the long episode has four.",
    )
    expect(
        abs(every - 2.2) < 0.005,
        f"every-visit is not {every:g}: the returns are 1 from the short episode and 4, 3, 2, 1 from the long one.",
    )
    return "right: 2.5 and 2.2. Every-visit is pulled down by the short returns near the end."


@checker
def first_returns_of_pairs(method) -> str:
    for gamma in (1.0, 0.9, 0.5):
        for states, actions, rewards in _episodes(30):
            given = list(states), list(actions), list(rewards)
            got = method(states, actions, rewards, gamma)
            expect(
                (states, actions, rewards) == given,
                "your function changes a list that it was given: work on a copy.",
            )
            expect(isinstance(got, dict), "give a dictionary {(s, a): return}.")
            G, pairs = _returns(rewards, gamma), list(zip(states, actions, strict=True))
            want, last = {}, {}
            for pair, g in zip(pairs, G, strict=True):
                want.setdefault(pair, g)
                last[pair] = g
            expect(
                set(got) == set(want),
                "the keys are not the pairs (s, a) of the episode: use returns[states[t], actions[t]].",
            )
            if want != last and all(abs(got[p] - last[p]) < 1e-9 for p in last):
                raise Wrong("these are the returns after the last visit of each pair; ask for the first.")
            keys = list(want)
            close(
                [got[p] for p in keys],
                [want[p] for p in keys],
                f"at γ = {gamma} the returns are off: is it G ← reward + γ G, from the end?",
            )
    return "right. Walking back, the first visit has the last word."


@checker
def per_decision(method) -> str:
    rng = np.random.default_rng(55)
    for gamma in (1.0, 0.9, 0.5):
        for states, actions, rewards in _episodes(20, 1):
            pi, b = rng.dirichlet([2, 2], size=(2, 3))
            got = method(states, actions, rewards, pi.copy(), b.copy(), gamma)
            ratio = pi[states, actions] / b[states, actions]
            rho, discount = np.cumprod(ratio), gamma ** np.arange(len(rewards))
            whole = rho[-1] * (discount * rewards).sum()
            before = (np.append(1.0, rho[:-1]) * discount * rewards).sum()
            want = (rho * discount * rewards).sum()
            if len(rewards) > 1:
                blame(got, whole, "every reward has the ratio of the whole game: stop at its own action.")
                blame(
                    got,
                    before,
                    "the ratio comes one step late: the action at time t already counts for its reward.",
                )
                blame(got, (ratio * discount * rewards).sum(), "multiply the ratios of all actions so far.")
                blame(got, (rho * rewards).sum() if gamma < 1 else np.nan, "the discount γ^t is missing.")
            close(got, want, "the sum is off: is it Σ γ^t ρ R, with ρ the product of π/b up to t?")
    return "right: no reward pays for the luck that comes after it."


@checker
def ordinary_variance(method) -> str:
    for x in (0.3, 0.5, 0.8, 0.9):
        got = method(x)
        expect(
            isinstance(got, Real) and got == np.inf,
            f"at x = {x} the series of the second moment diverges: its ratio is 0.9/x, not below 1.",
        )
    for x in (0.91, 0.95, 0.99, 1.0):
        got = method(x)
        blame(got, 0.1 / (x - 0.9), "that is the second moment: take the square of the mean, 1, away.")
        close(
            got, 0.1 / (x - 0.9) - 1, f"at x = {x} it is off: sum x^k 0.9^(k−1) 0.1 · x^(−2k) over k.", 1e-9
        )
    return "right. Above 0.9 it is finite, and at x = 1 it is 0."


@checker
def repaired_prediction(method) -> str:
    for gamma in (1.0, 0.9, 0.5):
        episodes = [(states, rewards) for states, _, rewards in _episodes(40, 2)]
        copies = [(list(states), list(rewards)) for states, rewards in episodes]
        got = method(episodes, gamma)
        expect(episodes == copies, "your function changes the episodes that it was given.")
        expect(isinstance(got, dict), "give a dictionary {state: estimate}.")
        first, every, last = _means(episodes, gamma)
        expect(set(got) == set(first), "the keys are not the states that the episodes visit.")
        values = [got[s] for s in first]
        blame(values, list(last.values()), "this still counts the last visit of each episode.")
        blame(values, list(every.values()), "this counts every visit: count the first one only.")
        close(values, list(first.values()), f"at γ = {gamma} the means of the first returns are off.")
    return "right: walking back, what you meet first comes last."


def _means(episodes, gamma: float) -> tuple[dict, dict, dict]:
    """The means of the first, every and last returns of each state, three dictionaries with the same keys."""
    kinds = {}, {}, {}
    for states, rewards in episodes:
        shown = {}
        for s, g in zip(states, _returns(rewards, gamma), strict=True):
            shown.setdefault(s, []).append(g)
        for s, returns in shown.items():
            for kind, part in zip(kinds, (returns[:1], returns, returns[-1:]), strict=True):
                kind.setdefault(s, []).extend(part)
    return tuple({s: float(np.mean(x)) for s, x in kind.items()} for kind in kinds)
