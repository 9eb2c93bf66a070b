"""Checkers for chapter 17, model-based control."""

import numpy as np

from course_lib.checks.answer import blame, checker, close, expect, unchanged
from course_lib.oracles.riccati import lqr


@checker
def surviving_gains(answer) -> str:
    expect(
        isinstance(answer, tuple | list | np.ndarray) and len(answer) == 2,
        "give two numbers, the lowest and the highest gain.",
    )
    low, high = (float(x) for x in answer)
    K = float(lqr(1.05, 1.0, 1.0, 0.5)[1][0, 0])
    expect(abs(low - high) > 1e-9, "the two gains are the same: there is room between them.")
    expect(low < high, "give the lower one first.")
    expect(
        abs(low) > 1e-6,
        "at g = 0 nothing holds the growth of 5 %: the loop is 1.05, and that is not below 1.",
    )
    expect(abs(high - 1.05 / K) > 1e-3, "there the loop is 0, the best of all: it may go on to −1.")
    for got, want, where in ((low, 0.05 / K, "+1, the lower end"), (high, 2.05 / K, "−1, the upper end")):
        expect(
            abs(got - want) < 2e-3,
            f"solve 1.05 − gK = {where}: with your {got:.3f} the loop is {1.05 - got * K:.3f}.",
        )
    return "right: from a fifteenth to two and a half times what was believed. The wrong sign is outside."


@checker
def mppi_weights(method) -> str:
    for seed, (n, temperature, shift) in enumerate(
        ((5, 2.0, 0.0), (40, 0.3, 3.0), (7, 5.0, -50.0), (3, 0.05, 1.0))
    ):
        values = shift + 2 * np.random.default_rng(seed).normal(size=n)
        got, want = unchanged(lambda v, t=temperature: method(v, t), values), _softmax(values / temperature)
        raw = np.exp((values - values.max()) / temperature)
        for mistake, sentence in (
            (_softmax(values * temperature), "you multiply by the temperature: divide by it."),
            (_softmax(-values / temperature), "the worst plan counts most: mind the sign."),
            (_softmax(values), "the temperature does nothing: divide the values by it."),
            (raw, "the weights do not sum to 1: divide by their sum."),
        ):
            blame(got, mistake, sentence, want)
        close(got, want, "the weights are off: are they e^(V/τ), divided by their sum?")
    far_apart = np.array([-3_000.0, 0.0, -8_000.0])
    for values in (np.array([-10_000.0, -10_001.0, -10_003.0]), np.array([9_000.0, 9_001.0]), far_apart):
        with np.errstate(all="ignore"):
            got = np.asarray(method(values.copy(), 0.5), dtype=float)
        expect(
            bool(np.isfinite(got).all()),
            "values like −10,000 or 9,000 break it: subtract the largest value first, the weights stay the same.",
        )
        close(got, _softmax(values / 0.5), "large values come out wrong: subtract the largest one first.")
    return "right: only differences of values count."


@checker
def chance_and_ignorance(method) -> str:
    for seed, members in enumerate((2, 3, 5, 20)):
        rng = np.random.default_rng(seed)
        mean, logvar = 3 * rng.normal(size=members) + 1, rng.normal(size=members)
        got = unchanged(method, mean, logvar)
        expect(
            isinstance(got, tuple | list | np.ndarray) and len(got) == 2,
            "return two numbers: chance, ignorance.",
        )
        chance, ignorance = np.exp(logvar).mean(), mean.var()
        for k, wrong, sentence in (
            (0, logvar.mean(), "chance is a variance: take the exponential of the log variances."),
            (
                0,
                np.exp(logvar.mean()),
                "first the exponential, then the mean: the other way round is smaller.",
            ),
            (0, np.exp(logvar / 2).mean(), "chance is a mean of variances; yours is one of deviations."),
            (0, np.exp(logvar).sum(), "the members are drawn at random: take the mean, not the sum."),
            (1, mean.std(), "ignorance is a variance of means; yours is the deviation."),
            (1, mean.var(ddof=1), "these members are all there are: divide by B, not by B − 1."),
            (1, np.exp(logvar).var(), "ignorance is about the means, not about the variances."),
        ):
            expect(not np.allclose(got[k], wrong) or np.allclose(wrong, (chance, ignorance)[k]), sentence)
        close(got[0], chance, "chance is off: it is the mean of the members' variances.")
        close(got[1], ignorance, "ignorance is off: it is the variance of the members' means.")
    return "right. More data shrink the second; nothing shrinks the first."


@checker
def fading_regression(method) -> str:
    for seed, (T, F, D, fade, reg) in enumerate(
        ((6, 2, 1, 0.5, 0.1), (30, 4, 3, 0.9, 1.0), (8, 3, 2, 1.0, 0.01))
    ):
        rng = np.random.default_rng(seed)
        phi, e = rng.normal(size=(T, F)), rng.normal(size=(T, D))
        got = unchanged(lambda p, q, f=fade, r=reg: method(p, q, f, r), phi, e)
        age = np.arange(T)[::-1]
        want = _ridge(phi, e, fade**age, reg)
        for weight, sentence in (
            (fade ** age[::-1], "the first step counts most: the last has age 0."),
            (fade ** (age + 1), "the last step has age 0, so its weight is 1."),
            (np.ones(T), "nothing fades: weight every step by fade to its age."),
            (fade ** (2 * age), "the weight is in twice: once is right."),
        ):
            blame(got, _ridge(phi, e, weight, reg), sentence, want)
        blame(got, _ridge(phi, e, fade**age, 0.0), "reg is missing: add reg times the identity.", want)
        blame(got, want.T, "this is W transposed: features come first, [F, D].", want)
        close(got, want, "W is off: is it (Σ w φφᵀ + reg·I)⁻¹ Σ w φeᵀ, with w = fade to the age?")
    return "right: this is how the pendulum noticed its new weight."


@checker
def repaired_cem(method) -> str:
    for seed, (value, horizon, limit, best) in enumerate(
        ((_corner, 2, 1.0, -40 / 3), (_valley, 4, 0.5, None), (_corner, 2, 2.0, None), (_hill, 3, 1.0, 0.0))
    ):
        asked = []

        def noting(plans, value=value, asked=asked):
            asked.append(np.abs(plans).max())
            return value(plans)

        got = np.asarray(method(noting, horizon, limit, np.random.default_rng(seed), rounds=12))
        expect(got.shape == (horizon,), f"return one plan of {horizon} actions, not shape {got.shape}.")
        expect(len(asked) > 0, "your function never asks for the value of a plan.")
        expect(
            max(asked) <= limit + 1e-9,
            "you still ask what plans are worth that no motor can carry out: clip before `value` is asked.",
        )
        if best is not None:
            expect(
                float(value(got[None])[0]) > best - 0.3,
                "the plan is far from the best one: are the elites the plans of the highest value?",
            )
        for rounds, plans, elites in ((3, 50, 5), (2, 30, 10)):
            got = method(value, horizon, limit, np.random.default_rng(9), rounds, plans, elites)
            want = _cem(value, horizon, limit, np.random.default_rng(9), rounds, plans, elites)
            close(
                got,
                want,
                "it stays inside now, but more has changed: draw, clip, judge, keep the best, then mean and spread.",
            )
    return "right: what is judged is what will be done."


def _cem(value, horizon, limit, rng, rounds, plans, elites) -> np.ndarray:
    mean, spread, best, promise = np.zeros(horizon), np.full(horizon, limit), None, -np.inf
    for _ in range(rounds):
        tries = (mean + spread * rng.normal(size=(plans, horizon))).clip(-limit, limit)
        worth = value(tries)
        if worth.max() > promise:
            best, promise = tries[worth.argmax()], worth.max()
        top = tries[worth.argsort()[-elites:]]
        mean, spread = top.mean(axis=0), top.std(axis=0)
    return best


def _corner(plans) -> np.ndarray:
    a, b = plans.T
    return -((a + b - 4) ** 2) - 5 * (a - b - 2) ** 2


def _valley(plans) -> np.ndarray:
    return -((plans.cumsum(axis=1) - 1) ** 2).sum(axis=1)


def _hill(plans) -> np.ndarray:
    return -((plans - np.array([0.3, -0.6, 0.1])) ** 2).sum(axis=1)


def _softmax(x) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def _ridge(phi, e, weight, reg) -> np.ndarray:
    gram = phi.T @ (weight[:, None] * phi) + reg * np.eye(phi.shape[1])
    return np.linalg.solve(gram, phi.T @ (weight[:, None] * e))
