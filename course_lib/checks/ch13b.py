"""Checkers for chapter 13b, inside a metapolicy."""

import numpy as np

from course_lib.checks.answer import checker, close, expect, unchanged


@checker
def rows_above(answer) -> str:
    expect(
        isinstance(answer, int | float | np.number) and not isinstance(answer, bool),
        f"your answer is {answer!r}: give one number.",
    )
    for mistake, sentence in (
        (0, "the *mean* over all bandits cannot be above the optimum; the mean of 1,000 lives can."),
        (1, "each row is off by its own luck: how often is an error positive?"),
        (9, "its error is as often negative as positive."),
        (9 * 0.08, "the size of the error does not matter, only its sign."),
        (9 * 0.16, "16 % is the chance of being more than one standard error too high."),
        (9 * 0.05, "5 % is the chance of being far off; *any* positive error lies above the optimum."),
    ):
        expect(abs(answer - mistake) > 1e-6, sentence)
    expect(answer in (4, 4.5, 5), "an error is positive with probability ½, and there are nine rows.")
    return "right: 4.5 on average. A nearly optimal method should report too much in many rows."


@checker
def posterior_means(means) -> str:
    rng = np.random.default_rng(131)
    for T, K in ((1, 2), (5, 2), (12, 3), (30, 5)):
        arms, rewards = rng.integers(K, size=T), rng.integers(2, size=T).astype(float)
        got = unchanged(lambda a, r, K=K: means(a, r, K), arms, rewards)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        got = np.asarray(got, dtype=float)
        expect(got.shape == (T + 1, K), f"the shape is {got.shape}; [T + 1, K] = {(T + 1, K)} is asked for.")
        pulled = np.eye(K)[arms]
        n, w = pulled.cumsum(axis=0), (pulled * rewards[:, None]).cumsum(axis=0)
        want = np.vstack([np.full(K, 0.5), (1 + w) / (2 + n)])
        expect(bool(np.allclose(got[0], 0.5)), "before the first pull every mean is ½: the prior is uniform.")
        with np.errstate(all="ignore"):
            plain = np.where(n > 0, w / np.maximum(n, 1), 0.5)
        if not np.allclose(plain, want[1:]):
            expect(
                not np.allclose(got[1:], plain),
                "these are averages: the uniform prior counts like one win and one loss.",
            )
        if T > 1:
            expect(
                not np.allclose(got[1:], want[:-1]),
                "you are one pull late: row t + 1 knows what pull t brought.",
            )
        close(got, want, "after wins w of n pulls an arm's mean is (1 + w)/(2 + n); other arms do not move.")
    return "right. This is all that a player of coins needs of the past, besides the time left."


@checker
def r_squared(share) -> str:
    rng = np.random.default_rng(134)
    for shape, noise in (((4, 5, 2), 0.3), ((20, 7, 3), 1.0), ((3, 50, 1), 0.05), ((6, 6, 2), 3.0)):
        belief = rng.random(shape) + np.arange(shape[-1])  # each arm has a mean of its own
        decoded = belief + noise * rng.normal(size=shape) + 0.2
        got = unchanged(share, belief, decoded)
        rest = ((belief - decoded) ** 2).sum()
        want = 1 - rest / ((belief - belief.mean(axis=(0, 1))) ** 2).sum()
        for mistake, sentence in (
            (1 - want, "that is the share that is *not* explained."),
            (
                1 - rest / ((belief - belief.mean()) ** 2).sum(),
                "take the mean of each arm on its own, over times and lives: axes 0 and 1.",
            ),
            (
                1 - rest / ((decoded - decoded.mean(axis=(0, 1))) ** 2).sum(),
                "the variance to be explained is that of the belief, not of the decoding.",
            ),
            (1 - rest / (belief**2).sum(), "subtract the mean belief below the line."),
        ):
            if got is not None and np.ndim(got) == 0 and abs(mistake - want) > 1e-6:
                expect(abs(float(got) - mistake) > 1e-9, sentence)
        close(got, want, "R² = 1 − (sum of squared errors)/(sum of squared distances from the mean).")
    belief = rng.random((5, 4, 2))
    close(share(belief, belief), 1.0, "a perfect decoding explains everything: 1.")
    return "right. Below 0 means: worse than always saying the mean."


@checker
def search_reward(earned) -> str:
    rng = np.random.default_rng(135)
    for H in (1, 2, 6, 15):
        for _ in range(6):
            path = rng.integers(0, 8, size=H)
            for goal in (*path[:3], path[-1], 99):
                got = unchanged(lambda p, goal=goal: earned(p, goal), path)
                met = np.flatnonzero(path == goal)
                on = H - met[0] if len(met) else 0
                want = on - 0.1 * (H - on)
                if got is not None and np.ndim(got) == 0:
                    visits = len(met) - 0.1 * (H - len(met))
                    if abs(visits - want) > 1e-6:
                        expect(
                            abs(float(got) - visits) > 1e-6,
                            "once on the goal one stays there: every later step is paid 1.",
                        )
                    if on:
                        late = (on - 1) - 0.1 * (H - on + 1)
                        expect(
                            abs(float(got) - late) > 1e-6,
                            "the step that arrives on the goal is paid 1 already.",
                        )
                        expect(
                            abs(float(got) - on) > 1e-6 or on == H,
                            "the steps before the goal cost 0.1 each.",
                        )
                    if not on:
                        expect(float(got) < 0, "a path that misses the goal pays 0.1 for every step.")
                close(got, want, "−0.1 a step until the path meets the goal, then 1 a step to the end.")
    return "right. Averaged over the goals, this is what a search path is worth."


@checker
def honest_share(share) -> str:
    rng = np.random.default_rng(136)
    for T, M, H, K, noise in (
        (6, 20, 3, 2, 0.1),
        (10, 8, 5, 1, 1.0),
        (15, 20, 60, 2, 0.5),
        (4, 30, 2, 3, 2.0),
    ):
        memory = rng.normal(size=(T, M, H))
        belief = memory @ rng.normal(size=(H, K)) + noise * rng.normal(size=(T, M, K)) + np.arange(K) + 2
        belief[:, M // 2 :] += 0.3  # the halves differ a little
        got, want = unchanged(share, memory, belief), _share(memory, belief, slice(M // 2), slice(M // 2, M))
        if got is not None and np.ndim(got) == 0:
            both = slice(None)
            first, last = slice(M // 2), slice(M // 2, M)
            for fit, test, sentence in (
                (both, both, "you fit and judge on the same lives: that is his mistake."),
                (both, last, "the fit has seen the lives that it is judged on."),
                (first, first, "you judge on the lives of the fit."),
                (first, both, "half of the lives that it is judged on were seen by the fit."),
                (last, first, "the halves are exchanged: fit on the first, judge on the second."),
            ):
                expect(abs(float(got) - _share(memory, belief, fit, test)) > 1e-9, sentence)
            if abs(_share(memory, belief, first, last, constant=False) - want) > 1e-6:
                expect(
                    abs(float(got) - _share(memory, belief, first, last, constant=False)) > 1e-9,
                    "the constant is missing: a column of ones beside the memory.",
                )
        close(
            got,
            want,
            "the share is off: W and c from lives 0 to M // 2 − 1, then R² on the others (their own mean).",
        )
    return "right. Now noise explains nothing."


def _share(memory, belief, fit: slice, test: slice, constant: bool = True) -> float:
    def rows(x):
        flat = x.reshape(-1, x.shape[-1])
        return np.column_stack([flat, np.full(len(flat), float(constant))])

    W = np.linalg.lstsq(rows(memory[:, fit]), rows(belief[:, fit])[:, :-1], rcond=None)[0]
    target = rows(belief[:, test])[:, :-1]
    missed = target - rows(memory[:, test]) @ W
    return float(1 - (missed**2).sum() / ((target - target.mean(axis=0)) ** 2).sum())
