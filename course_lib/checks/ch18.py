"""Checkers for chapter 18, model-based meta-RL."""

import numpy as np

from course_lib.checks.answer import blame, checker, close, equals, expect, numbers, unchanged


@checker
def lengths_of_the_step(answers) -> str:
    one, many = numbers(answers, 2)
    is_ = lambda got, want: abs(got - want) < 1e-3  # noqa: E731
    kappa = 4 + 1 + 0.6**2 / 0.3**2
    for got, k, which in ((one, 1, "first"), (many, 27, "second")):
        expect(not is_(got, k / (k + 4 + 1 + 0.6 / 0.3)), f"{which}: square both, σ²/τ².")
        expect(not is_(got, k / (k + 4 + 1 + 0.3**2 / 0.6**2)), f"{which}: upside down, it is σ² over τ².")
        expect(not is_(got, k / (k + 4 + 0.6**2 / 0.3**2)), f"{which}: κ is d + 1 + σ²/τ²; the 1 is missing.")
        expect(not is_(got, k / (k + 0.6**2 / 0.3**2)), f"{which}: d + 1 is missing from κ.")
        expect(not is_(got, kappa), f"{which}: this is κ; the step is k/(k + κ) times as long.")
        expect(
            not is_(got, kappa / (k + kappa)), f"{which}: this is the share that stays; you want the other."
        )
        expect(
            is_(got, k / (k + kappa)), f"{which}: compute κ = d + 1 + σ²/τ², then k/(k + κ), with k = {k}."
        )
    return "right: one step is hardly believed, 27 are believed to three quarters."


def _task(seed: int, k: int, d: int):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(k, d)), rng.normal(size=d)
    return x, x @ rng.normal(size=d) + 0.3 * rng.normal(size=k), w


@checker
def one_step(method) -> str:
    for seed, k, d, kappa in ((0, 5, 2, 3.0), (1, 1, 3, 0.5), (2, 20, 4, 8.0)):
        x, y, w = _task(seed, k, d)
        got = unchanged(lambda w, x, y, c=kappa: method(w, x, y, c), w, x, y)
        pull, trust = x.T @ (y - x @ w) / k, k / (k + kappa)
        want = w + trust * pull
        for mistake, sentence in (
            (w - trust * pull, "you walk uphill: the error grows. Descend."),
            (w + pull, "the step has its full length: κ does nothing."),
            (w + trust * k * pull, "you take the sum over the k steps: take their mean."),
            (w + 2 * trust * pull, "the loss has a ½ in front, so the gradient has no 2."),
            (trust * pull, "you return the step: add it to w."),
            (w + kappa / (k + kappa) * pull, "k/(k + κ), not κ/(k + κ): more data, a longer step."),
            (w + trust * x.T @ y / k, "the error is y − Xw, not y: start from what w already explains."),
            (np.linalg.lstsq(x, y, rcond=None)[0], "this is the best fit to the k steps: you overfit them."),
        ):
            blame(got, mistake, sentence, want)
        close(got, want, "w is off: descend the gradient of ½ · mean (Xw − y)², k/(k + κ) of the way.", 1e-8)
    return "right: this is what the bent model does in its last layer."


@checker
def reached_for_good(method) -> str:
    cases = (
        ([100, 200, 300, 400], [-9.0, -2, -1, -1], -3.0, 200.0),
        ([100, 200, 300, 400], [-2.0, -9, -1, -2], -3.0, 300.0),
        ([100, 200, 300, 400], [-1.0, -1, -1, -9], -3.0, np.inf),
        ([50, 90, 300], [-9.0, -8, -7], -3.0, np.inf),
        ([50, 90, 300], [-3.0, -2, -1], -3.0, 50.0),
        ([10, 20, 40, 80, 160], [-9.0, -1, -9, -9, -3], -3.0, 160.0),
    )
    for real, returns, goal, want in cases:
        got = unchanged(lambda x, y, g=goal: method(x, y, g), np.array(real), np.array(returns))
        expect(got is not None, "your function returns nothing: does it end with a return?")
        good = np.array(returns) >= goal
        if good.any():
            first = real[int(good.argmax())]
            expect(
                not (equals(got, first) and first != want),
                "this is the first time: later it falls below the goal again. You want the last time it rises.",
            )
        if np.isinf(want):
            expect(
                equals(np.isinf(got), True),
                "a run that is below the goal at the end has not got there for good: return np.inf.",
            )
        index = int(np.flatnonzero(np.array(real) == want)[0]) if np.isfinite(want) else 0
        expect(
            not (equals(got, index) and index != want), "return the real steps, not the number of the look."
        )
        expect(
            equals(got, want),
            f"with looks after {real} steps, returns {returns} and the goal {goal}, it is {want}, not {got}.",
        )
    return "right, and stricter than the chapter: a lucky look does not count."


@checker
def start_for_an_ensemble(method) -> str:
    for seed, B, alpha in ((0, 2, 0.1), (1, 5, 0.3), (2, 9, 0.02)):
        rng = np.random.default_rng(seed)
        h, c, K = rng.uniform(0.5, 3, B), rng.normal(size=B), rng.normal()
        q = rng.uniform(0.1, 0.5, B)  # costs ½ h (K − c)² + q (K − c)⁴ / 4

        def slope(k, h=h, c=c, q=q):
            return h * (k - c) + q * (k - c) ** 3

        def bend(k, h=h, c=c, q=q):
            return h + 3 * q * (k - c) ** 2

        got = method(K, slope, bend, alpha)
        after = K - alpha * slope(K)
        want = (slope(after) * (1 - alpha * bend(K))).mean()
        for mistake, sentence in (
            (slope(after).mean(), "first-order: how the adapted K moves with K is missing, 1 − α C″(K)."),
            (slope(K).mean(), "this is the slope before the step: ask for it where the step leads."),
            ((slope(K) * (1 - alpha * bend(K))).mean(), "ask for C′ at K − α C′(K), not at K."),
            ((slope(after) * (1 - alpha * bend(after))).mean(), "C″ is taken at K, where the step starts."),
            ((slope(after) * (1 + alpha * bend(K))).mean(), "the step goes downhill: 1 − α C″, not 1 +."),
            (slope(K - alpha * slope(K).mean()).mean(), "each member takes its own step, not the mean one."),
            ((slope(after) * (1 - alpha * bend(K))).sum(), "take the mean over the members, not the sum."),
            (slope(after) * (1 - alpha * bend(K)), "one number: the mean over the members."),
            ((slope(K + alpha * slope(K)) * (1 - alpha * bend(K))).mean(), "the step goes downhill."),
        ):
            blame(got, mistake, sentence, want)
        close(got, want, "it is the mean of C′(K − α C′(K)) times 1 − α C″(K): the chain rule.", 1e-8)
    return "right: chapter 14's second-order term, with members of an ensemble for tasks."


@checker
def repaired_test(method) -> str:
    for seed, (M, T, k, at, ahead) in enumerate(
        ((3, 30, 4, 10, 5), (2, 20, 1, 6, 3), (4, 40, 16, 20, 8), (2, 12, 6, 6, 6))
    ):
        rng = np.random.default_rng(seed)
        data, asked = rng.normal(size=(M, T)), []

        def adapt(recent, asked=asked):
            asked.append(np.array(recent))
            return recent.mean(axis=1)

        def predict(model, steps):
            return np.broadcast_to(model[:, None], (len(model), steps))

        got = unchanged(lambda d: method(adapt, predict, d, k, at, ahead), data)
        expect(len(asked) > 0, "your function never adapts: call adapt with the k steps before `at`.")
        recent = asked[-1]
        want = ((predict(data[:, at - k : at].mean(axis=1), ahead) - data[:, at : at + ahead]) ** 2).mean()
        expect(recent.shape != (M, k + ahead), "adapt still sees the steps that it is judged by.")
        expect(recent.shape == (M, k), f"adapt gets {recent.shape[-1]} steps: give it {k}.")
        overlap = np.isin(recent, data[:, at : at + ahead]).any()
        expect(
            not overlap, "the steps before `at` end at index at − 1: yours still hold one to be predicted."
        )
        expect(
            np.array_equal(recent, data[:, at - k : at]),
            "adapt must see the k steps right before `at`, the most recent ones.",
        )
        if at + ahead < T:
            later = ((predict(recent.mean(axis=1), ahead) - data[:, at + 1 : at + 1 + ahead]) ** 2).mean()
            blame(got, later, "you judge one step late: the first step to predict is `at`.", want)
        close(
            got,
            want,
            "the test is off: the mean square of prediction minus data, steps `at` and after.",
            1e-9,
        )
    return "right. An error below the best possible one is no success: it is a leak."
