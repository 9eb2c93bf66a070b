"""Checkers for chapter 10, function approximation and DQN."""

from numbers import Real

import numpy as np

from course_lib.checks.answer import checker, close, expect, unchanged


@checker
def runaway(gamma) -> str:
    expect(isinstance(gamma, Real), f"your answer is {gamma!r}: give one number.")
    expect(gamma != 1, "already below 1: write δ with γ in it, as a multiple of w.")
    close(gamma, 0.5, "write δ = γ · 2w − w as a multiple of w: where does it change its sign?", 1e-6)
    return "right: above ½ the target outruns the guess."


@checker
def two_ways(answers) -> str:
    expect(
        len(answers) == 2 and all(isinstance(x, Real) for x in answers),
        f"your answers are {answers!r}: give two numbers.",
    )
    double, plain = map(float, answers)
    expect((double, plain) != (1.0, 1.0), "a truncated step counts on s′; only a termination cancels it.")
    expect((double, plain) != (4.0, 1.5), "these are the right numbers in the wrong order.")
    expect(
        double != 3.5,
        "double: you let the network judge as well; the old copy says what the action is worth.",
    )
    expect(double != 2.0, "double: γ is missing.")
    expect(
        double != 3.0,
        "double: the network names the action, and the old copy judges; you took it the other way.",
    )
    close(double, 1.5, "double: the network's best action is number 1; what does the old copy say about it?")
    expect(plain != 7.0, "plain: γ is missing.")
    expect(plain != 3.5, "plain: both parts belong to the old copy, not to the network.")
    close(plain, 4.0, "plain: r + γ times the largest number of the old copy.")
    return "1.5 and 4: the old copy alone believes in its own luck."


@checker
def least_squares_td(fit) -> str:
    rng = np.random.default_rng(101)
    for n, F, gamma in ((30, 2, 0.9), (60, 4, 0.5), (25, 1, 1.0), (200, 3, 0.99)):
        X, X2, r = rng.normal(size=(n, F)), rng.normal(size=(n, F)), rng.normal(size=n)
        X2[rng.random(n) < 0.3] = 0
        got = unchanged(lambda x, y, z, g=gamma: fit(x, y, z, g), X, r, X2)
        A, b = X.T @ (X - gamma * X2), X.T @ r
        right = np.linalg.solve(A, b)
        if np.shape(got) == right.shape:
            no_gamma = np.linalg.solve(X.T @ (X - X2), b)
            expect(
                gamma == 1 or not np.allclose(got, no_gamma), "the discount is missing in A: x(s) − γ x(s′)."
            )
            expect(
                not np.allclose(got, np.linalg.lstsq(X, r, rcond=None)[0]),
                "you fit the rewards alone: the next guess belongs into A.",
            )
            expect(
                F == 1 or not np.allclose(got, np.linalg.lstsq(X - gamma * X2, r, rcond=None)[0]),
                "that is the least squared TD error (the true gradient's rest), not A w = b with x(s) on the left.",
            )
            expect(
                np.allclose(A, A.T) or not np.allclose(got, np.linalg.solve(A.T, b)),
                "A is transposed: x(s) stands on the left.",
            )
            expect(not np.allclose(got, -right), "a sign is wrong.")
        close(got, right, "solve A w = b, A the sum of x(s) (x(s) − γ x(s′))ᵀ and b the sum of x(s) r.", 1e-6)
    return "right: the model is never written down, and yet it is there."


@checker
def soft_copy(mix) -> str:
    rng = np.random.default_rng(102)
    for shapes, tau in (
        (((2, 3), (3,)), 0.1),
        (((4,),), 1.0),
        (((2,), (1, 2), (3, 1)), 0.0),
        (((5,),), 0.75),
    ):
        old = {f"W{k}": rng.normal(size=shape) for k, shape in enumerate(shapes)}
        new = {name: rng.normal(size=p.shape) for name, p in old.items()}
        kept = {name: (old[name].copy(), new[name].copy()) for name in old}
        got = mix(old, new, tau)
        expect(isinstance(got, dict), f"give a dictionary; yours is {type(got).__name__}.")
        expect(set(got) == set(old), f"the names must be {sorted(old)}; yours are {sorted(map(str, got))}.")
        for name, (p, q) in kept.items():
            expect(
                np.array_equal(old[name], p) and np.array_equal(new[name], q),
                "your function changes an array that it was given: make new ones (no +=).",
            )
            if tau not in (0.0, 0.5, 1.0):
                expect(
                    np.shape(got[name]) != p.shape or not np.allclose(got[name], q + tau * (p - q)),
                    "old and new have changed places: a small τ must stay near the old copy.",
                )
            close(got[name], p + tau * (q - p), "each array is old + τ (new − old).", 1e-9)
    return "right: a target that drifts instead of jumping."


@checker
def remember(write) -> str:
    rng = np.random.default_rng(103)
    for size, n, first in ((5, 2, 0), (5, 2, 3), (5, 3, 4), (5, 5, 7), (8, 3, 21), (4, 1, 4), (6, 4, 100)):
        memory, records = rng.normal(size=(size, 2)), rng.normal(size=(n, 2))
        got = unchanged(lambda m, x, k=first: write(m, x, k), memory, records)
        want = memory.copy()
        for k in range(n):
            want[(first + k) % size] = records[k]
        expect(
            np.shape(got) != want.shape or not np.array_equal(got, memory),
            "nothing has been written into the memory.",
        )
        close(
            got,
            want,
            f"with room for {size}, record {first} belongs in row {first % size}: count round the ring.",
        )
    return "right: the oldest make room, and nobody has to move."


@checker
def repaired_loss(loss) -> str:
    rng = np.random.default_rng(104)
    Q = np.array([[1.0, 9.0], [9.0, 2.0], [3.0, 9.0]])
    first = loss(Q, np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0]))
    expect(
        np.ndim(first) != 0 or not np.isclose(float(first), 4 / 3),
        "still 1.33: `target − chosen` is a square of B × B numbers; print its shape.",
    )
    for B, A in ((3, 2), (7, 4), (1, 3), (40, 2)):
        Q, a, target = rng.normal(size=(B, A)), rng.integers(A, size=B), rng.normal(size=B)
        want = np.mean([(target[i] - Q[i, a[i]]) ** 2 for i in range(B)])
        got = unchanged(loss, Q, a, target)
        expect(np.ndim(got) == 0, f"give one number; yours has shape {np.shape(got)}.")
        expect(
            B == 1 or not np.isclose(float(got), want * B),
            "that is the sum; the loss is the mean over the batch.",
        )
        expect(
            not np.isclose(float(got), np.mean([target[i] - Q[i, a[i]] for i in range(B)])),
            "the square is missing.",
        )
        close(got, want, "the mean, over the batch, of (target[i] − Q[i, a[i]])².", 1e-9)
    return "right: rows beside rows."
