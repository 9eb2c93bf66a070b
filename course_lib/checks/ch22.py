"""Checkers for chapter 22, all methods side by side."""

from itertools import combinations

import numpy as np

from course_lib.checks.answer import Wrong, blame, checker, close, expect, numbers, unchanged

FAULTS = ("leak", "budget", "best draw", "wrong axis")


@checker
def faults(answers) -> str:
    sentence = f"your answers are {answers!r}: give four of the words {', '.join(FAULTS)}, in order."
    expect(isinstance(answers, tuple | list) and len(answers) == 4, sentence)
    given = [str(word).strip().lower() for word in answers]
    expect(all(word in FAULTS for word in given), sentence)
    why = {
        "budget": "1: an update is no unit: count the steps, before and after the inner step.",
        "leak": "2: the step size was chosen where it is reported.",
        "wrong axis": "3: 1,000 lives of one training run say nothing about the next training run.",
        "best draw": "4: the largest of ten is large partly by luck.",
    }
    for got, (right, words) in zip(given, why.items(), strict=True):
        expect(got == right, words)
    return "right. Each of the four has been published, and none shows in the final figure."


@checker
def optimality_gap(method) -> str:
    rng = np.random.default_rng(0)
    cases = [(rng.normal(0.8, 0.3, (3, 10)), 1.0), (rng.uniform(-0.5, 0.4, 12), 0.5), (np.ones((2, 4)), 0.7)]
    for x, target in cases:
        got = unchanged(lambda x: method(x, target), x)
        want = np.maximum(target - x, 0).mean()
        mistakes = {
            "scores above the target must not make up for others: cut at 0 score by score, before the mean.": max(
                target - x.mean(), 0
            ),
            "scores above the target must count as 0, not below it.": (target - x).mean(),
            "it is target minus score: what is missing.": np.maximum(x - target, 0).mean(),
            "this is the share of scores below the target, not how far below they are.": (x < target).mean(),
            "the mean is over all scores, those without a gap too.": (target - x)[x < target].mean()
            if (x < target).any()
            else None,
        }
        for words, mistake in mistakes.items():
            blame(got, mistake, words, want)
        close(got, want, "not this: the mean of what is missing to the target, and 0 where nothing is.")
    return "right: it asks how much is missing, and does not let a triumph pay for a failure."


@checker
def best_of(method) -> str:
    rng = np.random.default_rng(1)
    for n, k in ((4, 2), (6, 3), (5, 1), (5, 5), (8, 4)):
        x = rng.normal(size=n)
        got = unchanged(lambda x: method(x, k), x)
        want = np.mean([max(some) for some in combinations(x, k)])
        with_return = np.sort(x) @ (np.arange(1, n + 1) ** k - np.arange(n) ** k) / n**k
        mistakes = {
            "this draws with replacement: no seed is run twice.": with_return,
            "this is the best of all, not of k.": x.max(),
            "this is the mean of k: take their best.": x.mean(),
            "this is the worst of k.": np.mean([min(some) for some in combinations(x, k)]),
        }
        for words, mistake in mistakes.items():
            blame(got, mistake, words, want)
        close(got, want, "not this: average the largest score over all ways to choose k of the draws.", 1e-8)
    return "right: with k = 10 of 10 it is the maximum, and no longer an estimate of anything."


@checker
def standard_error(method) -> str:
    for seed, D, T in ((0, 10, 40), (1, 5, 8), (2, 20, 3)):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(D, 1)) + 0.5 * rng.normal(size=(D, T))
        got = unchanged(method, x)
        own = x.mean(axis=1)
        want = own.std(ddof=1) / np.sqrt(D)
        mistakes = {
            "this treats the lives of one draw as independent: they share its luck. First one number a draw.": x.std(
                ddof=1
            )
            / np.sqrt(x.size),
            "this treats the lives of one draw as independent, and divides by n.": x.std() / np.sqrt(x.size),
            "this is the luck of tasks: the mean must be over tasks, the deviation over draws.": x.mean(
                0
            ).std(ddof=1)
            / np.sqrt(T),
            "few draws: divide by D − 1 inside the standard deviation (ddof=1).": own.std() / np.sqrt(D),
            "this is the deviation of draws; the mean of D of them has less: divide by √D.": own.std(ddof=1),
            "divide by √D, not by D.": own.std(ddof=1) / D,
        }
        for words, mistake in mistakes.items():
            blame(got, mistake, words, want)
        close(got, want, "not this: one mean a draw, their standard deviation, divided by √draws.", 1e-8)
    return "right: the draw is what was repeated, so the draw is the unit."


@checker
def repaired_search(method) -> str:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        validation = rng.uniform(0.3, 0.6, (5, 1)) + rng.uniform(0.01, 0.4, (5, 1)) * rng.normal(size=(5, 10))
        test = rng.normal(0.5, 0.1, (5, 10))
        got = unchanged(lambda v, t: method(v, t), validation, test)
        number, promise, report = numbers(got, 3)
        right = int(validation.mean(axis=1).argmax())
        if number != right:
            best = int(validation.max(axis=1).argmax())
            expect(number != best, "it takes the recipe with the luckiest draw still.")
            expect(number != int(test.mean(axis=1).argmax()), "the test scores choose: that is leakage.")
            raise Wrong("take the recipe whose draws are best on the average, on validation tasks.")
        expect(abs(promise - validation[right].max()) > 1e-9, "the promise is the luckiest draw's still.")
        expect(abs(promise - validation[right].mean()) < 1e-9, "the promise is its mean validation score.")
        expect(
            abs(report - validation[right].mean()) > 1e-9, "you report the validation score: it chose itself."
        )
        expect(
            abs(report - test[right].max()) > 1e-9, "report the mean over the draws, not the best of them."
        )
        expect(abs(report - test[right].mean()) < 1e-9, "report the chosen recipe's mean test score.")
    return "right: the mean chooses, on validation tasks; the mean reports, on test tasks."
