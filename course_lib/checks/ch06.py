"""Checkers for chapter 06, temporal differences."""

from itertools import pairwise

import numpy as np

from course_lib.checks.answer import blame, checker, close, expect, numbers, unchanged


def _is(got: float, want: float) -> bool:
    return abs(got - want) < 1e-6


@checker
def two_episodes(answers) -> str:
    v3, v4, v5 = numbers(answers, 3)
    expect(
        not _is(v3, 0.595),
        "that is Monte Carlo, which moves every state towards the return. In TD(0) state 3 looks at state 4.",
    )
    expect(
        not _is(v5, 0.55),
        "state 5 ends on the right twice: after the first episode it is 0.55, what after the second?",
    )
    expect(
        not _is(v5, 0.6),
        "the second error of state 5 is smaller than the first: it is 1 minus 0.55, and no longer 1 minus 0.5.",
    )
    expect(_is(v5, 0.595), f"state 5 is not {v5:g}: its target is 1 both times, and α is 0.1.")
    expect(
        not _is(v4, 0.5),
        "in the second episode state 4 finds something new at state 5: a guess of 0.55.",
    )
    expect(
        not _is(v4, 0.5095),
        "state 4 is left before state 5 learns for the second time: it still finds 0.55.",
    )
    expect(_is(v4, 0.505), f"state 4 is not {v4:g}: which guess does it find at state 5, each time?")
    expect(_is(v3, 0.5), f"state 3 is not {v3:g}: which guess does it find at state 4, each time?")
    return "right. News walks back one state an episode."


@checker
def you_are_the_predictor(answers) -> str:
    td, mc = numbers(answers, 2)
    expect(not (_is(td, 0.5) and _is(mc, 0.75)), "the numbers are right and the names are not: swap them.")
    expect(_is(mc, 0.5), "Monte Carlo takes the mean of the returns that came after A: which two were there?")
    expect(
        not _is(td, 0.5),
        "that is the mean of the returns from A. TD uses what all visits of B tell about B.",
    )
    expect(
        not _is(td, 0.8),
        "B was visited four times, once after A: count the return of that visit too.",
    )
    expect(
        not _is(td, 5 / 6),
        "B was visited four times, once after A: count the return of that visit too.",
    )
    expect(
        not _is(td, 0.25),
        "when A ends at once, it pays 1: add the mean reward of A, which is ½.",
    )
    expect(
        _is(td, 0.75),
        "in the counted model A goes to B half of the time, and ends with reward 1 otherwise. What is B worth?",
    )
    return "right: TD sees that B is worth ½ however you came there, Monte Carlo sees two returns."


def _episodes(seed: int, S: int = 6, count: int = 4) -> list[list[tuple[int, float, int]]]:
    """Random episodes over the states 0 to S − 2 that end in S − 1; some states are visited repeatedly."""
    rng, episodes = np.random.default_rng(seed), []
    for _ in range(count):
        path = [*rng.integers(S - 1, size=rng.integers(3, 9)).tolist(), S - 1]
        episodes.append([(s, float(rng.normal()), s2) for s, s2 in pairwise(path)])
    return episodes


def _guess(seed: int, S: int = 6) -> np.ndarray:
    V = np.random.default_rng(seed).normal(size=S)
    V[-1] = 0.0
    return V


def _falling(episodes, V, power, gamma, shift=0, everywhere=False, fresh=False) -> np.ndarray:
    V, visits = V.copy(), np.zeros(len(V))
    for steps in episodes:
        if fresh:
            visits = np.zeros(len(V))
        for s, r, s2 in steps:
            visits[slice(None) if everywhere else s] += 1
            V[s] += (visits[s] + shift) ** -power * (r + gamma * V[s2] - V[s])
    return V


@checker
def falling_td0(method) -> str:
    for seed, power, gamma in ((0, 1.0, 1.0), (1, 0.7, 0.9), (2, 0.5, 0.5), (3, 0.6, 1.0)):
        episodes, V = _episodes(seed), _guess(seed + 10)
        got = unchanged(lambda V: method(episodes, V, power, gamma), V)
        for mistake, sentence in (
            (V, "V is what it was: move V[s]."),
            (_falling(episodes, V, power, 1.0) if gamma < 1 else None, "γ is missing before V[s2]."),
            (
                _falling(episodes, V, power, gamma, shift=1),
                "the first visit must use the step size 1: count it before you use the count, once.",
            ),
            (
                _falling(episodes, V, power, gamma, everywhere=True),
                "each state counts its own visits: V[s] may not use the number of all steps.",
            ),
            (
                _falling(episodes, V, power, gamma, fresh=True),
                "the counts begin anew in each episode: they must go on over all of them.",
            ),
        ):
            blame(got, mistake, sentence)
        close(
            got,
            _falling(episodes, V, power, gamma),
            "the values are off: is it visits[s] ** -power times (r + gamma · V[s2] − V[s])?",
        )
    return "right. With power 1 and γ = 0 this is the plain average of chapter 04."


def _lambda_returns(rewards, values, gamma, lam) -> np.ndarray:
    """By the definition: all n-step returns, weighted."""
    T, out = len(rewards), np.zeros(len(rewards))
    for t in range(T):
        for n in range(1, T - t + 1):
            weight = lam ** (n - 1) * (1.0 if n == T - t else 1 - lam)
            seen = sum(gamma**k * rewards[t + k] for k in range(n))
            out[t] += weight * (seen + gamma**n * values[t + n])
    return out


def _backwards(rewards, values, gamma, lam, swapped=False, here=False, outside=False) -> np.ndarray:
    G, out = values[-1], np.zeros(len(rewards))
    for t in reversed(range(len(rewards))):
        stop, go = (lam, 1 - lam) if swapped else (1 - lam, lam)
        guess = stop * values[t if here else t + 1]
        G = rewards[t] + (guess + gamma * go * G if outside else gamma * (guess + go * G))
        out[t] = G
    return out


def _blame_lambda(got, rewards, values, gamma, lam) -> None:
    model = rewards, values, gamma, lam
    mistakes = {
        "out is still 0: keep each G in out[t].": np.zeros(len(rewards)),
        "the two weights are swapped: 1 − λ stops, λ goes on.": _backwards(*model, swapped=True),
        "you look up the guess at time t: after one step you are in S_{t+1}, so it is values[t + 1].": _backwards(
            *model, here=True
        ),
        "γ is missing: both the guess and the rest come one step later.": _backwards(
            rewards, values, 1.0, lam
        ),
        "γ is missing before the guess: it too comes a step later.": _backwards(*model, outside=True),
        "these are the whole returns: with weight 1 − λ you stop at the guess values[t + 1].": _backwards(
            rewards, values, gamma, 1.0
        ),
    }
    for sentence, mistake in mistakes.items():
        blame(got, mistake, sentence)


@checker
def lambda_returns(method) -> str:
    for seed, T, gamma, lam in (
        (0, 6, 0.9, 0.7),
        (1, 1, 0.5, 0.3),
        (2, 9, 1.0, 0.95),
        (3, 5, 0.8, 0.0),
        (4, 7, 0.7, 1.0),
    ):
        rng = np.random.default_rng(seed)
        rewards, values = rng.normal(size=T), rng.normal(size=T + 1)
        if seed % 2 == 0:
            values[-1] = 0.0  # the episode ended; otherwise a time limit cut it
        got = unchanged(lambda r, v: method(r, v, gamma, lam), rewards, values)
        model = rewards, values, gamma, lam
        if seed == 0:
            _blame_lambda(got, *model)
        close(
            got,
            _lambda_returns(*model),
            f"at γ = {gamma}, λ = {lam} the returns are off: "
            "is it reward + γ · [(1 − λ) · next guess + λ · next λ-return]?",
        )
    return "right: all n at once, in one pass."


def _td_lambda(episodes, V, alpha, lam, gamma, *, reset=True, online=True, replacing=False) -> np.ndarray:
    V, e = V.copy(), np.zeros(len(V))
    for steps in episodes:
        guess = V if online else V.copy()
        if reset:
            e = np.zeros(len(V))
        for s, r, s2 in steps:
            e *= gamma * lam
            e[s] = 1 if replacing else e[s] + 1
            V += alpha * (r + gamma * guess[s2] - guess[s]) * e
    return V


@checker
def repaired_td_lambda(method) -> str:
    for seed, alpha, lam, gamma in (
        (0, 0.1, 0.9, 1.0),
        (1, 0.3, 0.5, 0.9),
        (2, 0.2, 1.0, 0.8),
        (3, 0.5, 0.0, 0.9),
    ):
        episodes, V = _episodes(seed, count=3), _guess(seed + 20)
        got = unchanged(lambda V: method(episodes, V, alpha, lam, gamma), V)
        model = episodes, V, alpha, lam, gamma
        if lam > 0:
            blame(
                got,
                _td_lambda(*model, reset=False),
                "it is the colleague's function still: which array lives on when an episode ends?",
            )
            blame(
                got,
                _td_lambda(*model, replacing=True),
                "a visited trace grows by 1: you set it to 1, which is another method (replacing traces).",
            )
            blame(
                got,
                _td_lambda(episodes, V, alpha, 0.0, gamma),
                "this is TD(0): the traces must live through the steps of an episode, and end with it.",
            )
            if gamma < 1:
                blame(
                    got,
                    _td_lambda(episodes, V, alpha, lam / gamma, gamma),
                    "traces fade by γλ at each step: γ is missing.",
                )
        close(
            got, _td_lambda(*model), "the values are off: change one line only, and leave the others alone."
        )
    return "right: each episode begins with all traces at 0."
