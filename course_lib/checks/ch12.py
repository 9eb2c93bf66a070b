"""Checkers for chapter 12, what is meta-RL."""

import numpy as np

from course_lib.checks.answer import Wrong, checker, choice, close, expect, unchanged


@checker
def borders(answer) -> str:
    expect(
        isinstance(answer, tuple | list | np.ndarray) and len(answer) == 2,
        "give two numbers: what random pulls earn, and what the player earns who is told the best coin.",
    )
    low, high = answer
    for x in (low, high):
        expect(isinstance(x, int | float | np.number), f"your answer holds {x!r}: give two numbers.")
    for mistake, sentence in (
        (12.5, "12.5 would be one coin in four: a random pull pays ½ on average, whichever coin it is."),
        (0.5, "½ is what one random pull pays: there are 50 of them."),
    ):
        expect(abs(low - mistake) > 1e-6, sentence)
    for mistake, sentence in (
        (0.8, "4/5 is the mean of the best coin: there are 50 pulls."),
        (37.5, "¾ is the best of three: for K coins it is K/(K + 1)."),
        (50.0, "the best coin is not sure to pay: its mean is the largest of four uniform numbers."),
    ):
        expect(abs(high - mistake) > 1e-6, sentence)
    close(low, 25.0, "the first number: a random coin has mean ½, and there are 50 pulls.")
    close(high, 40.0, "the second number: the largest of K uniform means is K/(K + 1) on average.")
    return "right: 25 and 40. Between these two lies everything that can be learned."


@checker
def which_is_meta(answer) -> str:
    return choice(
        answer,
        "b",
        {
            "a": "it does the same in every maze, whatever it was paid there: it does not learn inside a task.",
            "c": "rewards come from the task: whoever hands them out is a teacher, not a policy.",
            "d": "that cuts one task into parts. It may well be useful, but nothing comes from other tasks.",
        },
        "right: it maps the history to an action, and learns without changing a weight.",
    )


@checker
def task_belief(update) -> str:
    rng = np.random.default_rng(121)
    for N, S, A, length in ((2, 2, 1, 1), (3, 4, 2, 5), (4, 3, 3, 12), (2, 3, 2, 0), (5, 2, 2, 3)):
        P, prior = rng.dirichlet(np.ones(S), size=(N, S, A)), rng.dirichlet(np.ones(N))
        s, history = 0, []
        for _ in range(length):
            a = int(rng.integers(A))
            s2 = int(rng.choice(S, p=P[0, s, a]))
            history.append((s, a, s2))
            s = s2
        got = unchanged(lambda P, prior: update(P, prior, history), P, prior)
        want = _task_belief(P, prior, history)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        if np.shape(got) == (N,) and length:
            got = np.asarray(got, float)
            flat = _task_belief(P, np.ones(N), history)
            if np.allclose(got, flat) and not np.allclose(flat, want):
                raise Wrong("that forgets the prior: begin with it.")
            last = _task_belief(P, prior, history[-1:])
            if length > 1 and np.allclose(got, last):
                raise Wrong("only the last step counts in it: multiply what each step says.")
            if abs(got.sum() - 1) > 1e-6:
                raise Wrong(f"your belief sums to {got.sum():.3g}: divide it by its sum.")
        close(
            got,
            want,
            "the belief is off: the prior, times P[task, s, a, s2] of every step, divided by the sum.",
        )
    impossible = np.array([[[[1.0, 0.0]], [[0.0, 1.0]]], [[[0.5, 0.5]], [[0.5, 0.5]]]])
    got = update(impossible, np.array([0.9, 0.1]), [(0, 0, 0), (0, 0, 1), (1, 0, 1)])
    close(got, [0.0, 1.0], "a task that cannot do what was seen must have probability 0.")
    return "right. This is all that PEARL and VariBAD will have to learn to approximate."


@checker
def adaptive_value(value) -> str:
    rng = np.random.default_rng(122)
    cases = [_two_doors()]
    for N, S, A, n in ((2, 2, 2, 1), (2, 2, 2, 3), (3, 3, 2, 3), (2, 3, 3, 2)):
        P = rng.dirichlet(np.ones(S) * 0.5, size=(N, S, A))
        cases.append((P, rng.normal(size=(S, A)), rng.dirichlet(np.ones(N)), int(rng.integers(S)), n))
    for P, R, b, s, n in cases:
        got = unchanged(lambda P, R, b: value(P, R, b, s, n), P, R, b)
        want = _adaptive(P, R, b, s, n)
        told = sum(x * _adaptive(P[i : i + 1], R, np.ones(1), s, n) for i, x in enumerate(b))
        mean = _adaptive(np.tensordot(b, P, 1)[None], R, np.ones(1), s, n)
        if np.ndim(got) == 0 and got is not None:
            if abs(want - told) > 1e-6:
                expect(
                    abs(float(got) - told) > 1e-6,
                    "that is worth it to somebody who is told the task: average first, then take the maximum.",
                )
            if abs(want - mean) > 1e-6:
                expect(
                    abs(float(got) - mean) > 1e-6,
                    "the belief stays as it was: after s2 was seen, it is b · P[:, s, a, s2], divided by its sum.",
                )
            expect(
                abs(float(got) - R[s].max()) > 1e-6 or abs(want - R[s].max()) < 1e-6,
                "only the reward of the first step is in it: add the worth of what comes after.",
            )
        close(
            got,
            want,
            f"with {len(P)} tasks and n = {n} it is {want:.4f}: for each action, sum over s2 of its chance under "
            "the belief times the value at s2 with the new belief.",
        )
    return "right. This function explores as much as it pays, and nobody can do better."


@checker
def repaired_interval(interval) -> str:
    rng = np.random.default_rng(123)
    for M, E in ((20, 30), (5, 4), (50, 2), (8, 1), (3, 100)):
        scores = 3 + rng.normal(size=(M, 1)) + rng.normal(size=(M, E))
        got = unchanged(interval, scores)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        expect(np.shape(got) == (2,), "return two numbers: the lower and the upper end.")
        low, high = (float(x) for x in got)
        expect(low < high, "the first number must be the lower end.")
        by_task = scores.mean(axis=1)
        close((low + high) / 2, scores.mean(), "the middle must be the mean of all scores: that was right.")
        half, fair = (high - low) / 2, by_task.std(ddof=1) / np.sqrt(M)
        if E > 1:
            expect(
                abs(half / (1.96 * scores.std(ddof=1) / np.sqrt(M * E)) - 1) > 1e-3,
                "episodes still count as if each were a task of its own: average within each task first.",
            )
            expect(
                abs(half / (1.96 * scores.mean(axis=0).std(ddof=1) / np.sqrt(E)) - 1) > 1e-3,
                "you averaged over the tasks: average over the episodes of each task, axis 1.",
            )
            expect(
                abs(half / (1.96 * scores.std(ddof=1) / np.sqrt(M)) - 1) > 1e-3,
                "the M is right, but the spread is that of single episodes: average within each task first.",
            )
        expect(
            min(abs(half / fair - c) for c in _factors(M)) < 2e-3,
            f"with {M} tasks of {E} episodes the half-width is {half:.3f}; {1.96 * fair:.3f} is right: the "
            "spread of the tasks' means, divided by the root of the number of tasks.",
        )
    return "right: tasks are what is drawn, so tasks are what is counted."


def _factors(M: int) -> list[float]:
    """1.96 or Student's t, with ddof 1 or 0: all are in use."""
    from scipy.stats import norm, t

    smaller = np.sqrt((M - 1) / M)
    quantiles = [1.96, 2.0, float(norm.ppf(0.975)), float(t.ppf(0.975, M - 1))]
    return [*quantiles, *(q * smaller for q in quantiles)]


def _task_belief(P, prior, history) -> np.ndarray:
    log = np.log(prior)
    for s, a, s2 in history:
        log = log + np.log(np.maximum(P[:, s, a, s2], 1e-300))
    weights = np.exp(log - log.max())
    return weights / weights.sum()


def _adaptive(P, R, b, s, n) -> float:
    """Backward over all histories: the weights are joint probabilities, never divided."""
    if n == 0:
        return 0.0

    def best(weights, s, n):  # Σ over tasks of weight × what is earned
        if n == 0:
            return 0.0
        return max(
            weights.sum() * R[s, a] + sum(best(weights * P[:, s, a, s2], s2, n - 1) for s2 in range(len(R)))
            for a in range(R.shape[1])
        )

    return float(best(np.asarray(b, float), s, n))


def _two_doors():
    """State 0: two doors, one of which leads to the prize (state 1) in each task; the other to nothing (2)."""
    P = np.zeros((2, 3, 2, 3))
    for task in range(2):
        P[task, 0, task, 1] = P[task, 0, 1 - task, 2] = 1
        P[task, 1:, :, 0] = 1
    R = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    return P, R, np.array([0.6, 0.4]), 0, 6
