"""Checkers for chapter 16, task inference."""

import numpy as np

from course_lib.checks.answer import Wrong, checker, choice, close, expect, unchanged


@checker
def who_is_who(letter) -> str:
    return choice(
        letter,
        "c",
        {
            "a": "an agent that guesses goes somewhere because the goal may be there, never to find out.",
            "b": "a held guess is a goal to go to: once there it stays, and looks at nothing else.",
            "d": "who knows the goal goes straight to it, in the first episode too.",
        },
        "right: a walk that passes as many candidates as it can serves no single guess.",
    )


def _problems():
    rng = np.random.default_rng(161)
    for K in (2, 3, 7):
        for _ in range(3):
            yield rng.dirichlet(np.ones(K)), -5 * rng.random(K), rng.dirichlet(np.ones(K))


@checker
def gap(function) -> str:
    for prior, log_like, q in _problems():
        got = unchanged(function, prior, log_like, q)
        joint = np.log(prior) + log_like
        evidence = np.log(np.exp(joint).sum())
        bound = (q * (joint - np.log(q))).sum()
        posterior = np.exp(joint - evidence)
        if np.shape(got) == ():
            for wrong, sentence in (
                (bound - evidence, "the sign: evidence minus bound, which is never negative."),
                (bound, "that is the bound alone: how far is it below the evidence?"),
                (evidence, "that is the evidence alone: subtract the bound."),
                (
                    (posterior * np.log(posterior / q)).sum(),
                    "the divergence the other way round: average over q, not over the posterior.",
                ),
                (
                    evidence - (q * log_like).sum(),
                    "the bound lacks the divergence of q from the prior.",
                ),
            ):
                if abs(float(got or 0) - wrong) < 1e-9 and got is not None:
                    raise Wrong(sentence)
        close(got, evidence - bound, "the gap is log Σ p(z) p(x|z) minus Σ q (log p(z) p(x|z) − log q).")
    sure = function(np.array([0.5, 0.5]), np.log([0.9, 0.1]), np.array([0.9, 0.1]))
    close(sure, 0.0, "at the posterior itself the gap is 0.", 1e-9)
    return "right: and it is the divergence of q from the posterior, so it is 0 there and nowhere else."


@checker
def posterior(function) -> str:
    rng = np.random.default_rng(162)
    for T, K in ((1, 2), (4, 3), (9, 5), (400, 4)):
        log_prior = np.log(rng.dirichlet(np.ones(K)))
        said = -8 * rng.random((T, K)) - (5 * np.arange(K) + 5 if T > 100 else 0)
        got = unchanged(function, log_prior, said)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        got = np.asarray(got, float)
        expect(
            bool(np.isfinite(got).all()),
            "after 400 steps e to the sum is 0, or infinite: subtract the largest first.",
        )
        x = log_prior + said.sum(axis=0)
        want = np.exp(x - x.max())
        want /= want.sum()
        no_prior = np.exp(said.sum(axis=0) - said.sum(axis=0).max())
        for wrong, sentence in (
            (no_prior / no_prior.sum(), "the prior is missing: it counts like one more message."),
            (np.exp(log_prior + said[-1]) / np.exp(log_prior + said[-1]).sum(), "add up *all* messages."),
            (x, "these are log-odds: turn them into probabilities that sum to 1."),
        ):
            if wrong.shape == got.shape and not np.allclose(wrong, want):
                expect(not np.allclose(got, wrong), sentence)
        close(got, want, "the belief is proportional to e to the (log prior + sum of all messages).")
        close(function(log_prior, said[::-1].copy()), want, "the order of the messages must not matter.")
    return "right. A sum is a memory that never gets longer, and it forgets the order, as it may."


@checker
def chance_of_meeting(function) -> str:
    rng = np.random.default_rng(163)
    for K, n in ((3, 2), (5, 4), (21, 21)):
        belief, paths = rng.dirichlet(np.ones(n)), []
        goals = rng.permutation(30)[:n]
        for _ in range(K):
            paths.append([int(c) for c in rng.integers(0, 30, size=rng.integers(1, 8))])
        for path in paths:
            got = function(np.array(belief), [int(g) for g in goals], list(path))
            want = sum(b for b, g in zip(belief, goals, strict=True) if g in path)
            double = sum(belief[list(goals).index(c)] for c in path if c in goals)
            if abs(double - want) > 1e-9 and np.shape(got) == ():
                expect(
                    got is None or abs(float(got) - double) > 1e-9,
                    "a cell that is passed twice teaches nothing the second time: count it once.",
                )
            close(got, want, "the chance is the belief in all goals that lie on the path.")
    return "right. It is the sum that exploring makes large; a guess only asks for its own term."


@checker
def repaired_update(function) -> str:
    rng = np.random.default_rng(164)
    for n in (3, 8, 21):
        goals = np.sort(rng.permutation(25)[:n])
        b = np.ones(n) / n
        truth = int(goals[-1])
        order = rng.permutation(goals[:-1])
        for cell in [*map(int, order[: n - 2]), int(order[0]), truth, 24 if 24 not in goals else truth]:
            reward = 1.0 if cell == truth else -0.1
            got = unchanged(lambda b, c=cell, r=reward, g=goals: function(b, g, c, r), b)
            expect(got is not None, "your function returns nothing: does it end with a return?")
            hit = goals == cell
            want = b * (hit if reward > 0 else ~hit)
            want = want / want.sum()
            got = np.asarray(got, float)
            expect(
                got.shape == b.shape, f"the shape is {got.shape}; one number a goal, {b.shape}, is asked for."
            )
            expect(
                not ((b == 0) & (got > 1e-12)).any(),
                "a goal that was ruled out has come back: what is 0 must stay 0.",
            )
            expect(abs(got.sum() - 1) < 1e-9, "the belief must sum to 1: divide by the sum.")
            close(
                got,
                want,
                "multiply by the likelihood of what was seen, 0 or 1 here, and divide by the sum.",
                1e-9,
            )
            b = want
    return "right: likelihood times belief, and nothing else."
