"""Checkers for chapter 20, flexible regularization."""

import numpy as np

from course_lib.checks.answer import blame, checker, close, expect, numbers, unchanged


@checker
def three_losses(answers) -> str:
    summed, half, squared = numbers(answers, 3)
    is_ = lambda got, want: abs(got - want) < 1e-6  # noqa: E731
    expect(not is_(summed, 1 / 16), "upside down: much noise needs a stiff spring, σ²/τ².")
    expect(not is_(summed, 4), "(i): square both: σ²/τ², not σ/τ.")
    expect(not is_(summed, 128), "(i): the summed loss has its n terms already: σ²/τ², without n.")
    expect(is_(summed, 16), "(i): the summed loss wants σ²/τ².")
    expect(not is_(half, 16), "(ii): the loss is divided by n, and the spring must be too.")
    expect(is_(half, 2), "(ii): a mean over n = 8 points is an eighth of the sum; so is its spring.")
    expect(not is_(squared, 1), "(iii): without the ½ the loss is twice as large, so its spring is too.")
    expect(is_(squared, 4), "(iii): twice the loss of (ii) wants twice its spring.")
    return "right: ask which loss a coefficient belongs to, before you copy it."


@checker
def spring_of_stopping(method) -> str:
    for seed, alpha, K in ((0, 0.1, 1), (1, 0.05, 7), (2, 0.2, 3), (3, 0.01, 40)):
        h = np.random.default_rng(seed).uniform(0.2, 4, 5)
        got = unchanged(lambda h: method(h, alpha, K), h)
        left = (1 - alpha * h) ** K
        want = h * left / (1 - left)
        mistakes = {
            "upside down: you solved for the share that was gone, not for the one that is left.": h
            * (1 - left)
            / left,
            "this is the small-step rule, 1/(αK): the exact answer depends on h.": np.full(
                5, 1 / (alpha * K)
            ),
            "h is missing: the share left by a spring is λ/(h + λ).": left / (1 - left),
            "K steps leave (1 − αh)^K, not 1 − Kαh.": h * (1 - K * alpha * h) / (K * alpha * h),
            "this is for one step; there are K.": (1 - alpha * h) / alpha,
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        close(got, want, "set λ/(h + λ), what the spring leaves, equal to (1 − αh)^K, and solve for λ.", 1e-8)
    return "right: with small steps it is about 1/(αK) for every valley. Few small steps are a stiff spring."


def _tasks(seed: int, M: int, n: int, D: int, tau: float, sigma: float):
    rng = np.random.default_rng(seed)
    F, theta = rng.normal(size=(M, n, D)) * np.arange(1, D + 1), rng.normal(size=D)
    w = theta + tau * rng.normal(size=(M, D))
    return F, (F @ w[:, :, None])[:, :, 0] + sigma * rng.normal(size=(M, n)), theta


@checker
def estimated_coefficient(method) -> str:
    for seed, M, n, D, tau, sigma in (
        (0, 60, 9, 3, 0.5, 1.0),
        (1, 80, 6, 2, 1.0, 0.4),
        (2, 50, 12, 5, 2.0, 1.5),
    ):
        F, Y, theta = _tasks(seed, M, n, D, tau, sigma)
        got = unchanged(method, F, Y, theta)
        inverse = np.linalg.inv(F.swapaxes(1, 2) @ F)
        w = (inverse @ F.swapaxes(1, 2) @ Y[:, :, None])[:, :, 0]
        squares = ((Y - (F @ w[:, :, None])[:, :, 0]) ** 2).sum()
        var, spread = squares / (M * (n - D)), ((w - theta) ** 2).mean()
        per = np.trace(inverse, axis1=1, axis2=2).mean()
        want = var / (spread - var * per / D)
        biased = squares / (M * n)
        mistakes = {
            "the fits' spread holds noise of its own: take it off, or τ² comes out too large.": var / spread,
            "D weights were fitted in each task: divide the squares by M(n − D), not by M n.": biased
            / (spread - biased * per / D),
            "upside down: it is σ² over τ².": 1 / want,
            "the mean diagonal entry is the trace divided by D.": var / (spread - var * per),
            "this is τ² alone.": spread - var * per / D,
            "this is σ² alone.": var,
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        close(
            got, want, "not this: σ² from the residuals, τ² = mean of (ŵ − θ)² less σ² · mean diagonal.", 1e-6
        )
    return "right: noise over spread, both measured on other tasks. No candidate was tried."


@checker
def weighted_implicit(method) -> str:
    for seed, D, reg in ((0, 3, 0.5), (1, 4, 3.0), (2, 2, 20.0)):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(D, D))
        H, w, u = A @ A.T, rng.uniform(0.2, 3, D), rng.normal(size=D)
        got = unchanged(lambda H, w, u: method(H, w, reg, u), H, w, u)
        W = np.diag(w)
        want = reg * w * np.linalg.solve(H + reg * W, u)
        mistakes = {
            "this is dφ/dθ times u; the chain rule wants its transpose: solve first, then weigh.": np.linalg.solve(
                H + reg * W, reg * w * u
            ),
            "the weights stand in the equation, but are missing in front: multiply by λ w.": reg
            * np.linalg.solve(H + reg * W, u),
            "this is the equal spring: put w in front and inside.": reg
            * np.linalg.solve(H + reg * np.eye(D), u),
            "this is the first-order answer: φ moves with θ, but less than one to one.": u,
            "λ is missing in front.": w * np.linalg.solve(H + reg * W, u),
        }
        for sentence, mistake in mistakes.items():
            blame(got, mistake, sentence, want)
        close(got, want, "differentiate ∇L(φ) + λ w (φ − θ) = 0 by θ; then the transpose, times u.", 1e-8)
    return "right. With w = 1 it is iMAML's."


def _ridge(x, y, reg: float) -> np.ndarray:
    """Fits that are tied to 0, one a task."""
    if np.isinf(reg):
        return np.zeros((len(x), x.shape[2]))
    A = x.swapaxes(1, 2) @ x + (reg + 1e-9) * np.eye(x.shape[2])
    return np.linalg.solve(A, x.swapaxes(1, 2) @ y[:, :, None])[:, :, 0]


def _choice(x, y, regs: list[float], adapt: slice, judge: slice) -> float:
    """What comes out if some points are adapted to, and some judge."""
    errors = []
    for reg in regs:
        w = _ridge(x[:, adapt], y[:, adapt], reg)
        errors.append(((y[:, judge] - (x[:, judge] @ w[:, :, None])[:, :, 0]) ** 2).mean())
    return regs[int(np.argmin(errors))]


@checker
def repaired_choice(method) -> str:
    regs = [0.0, 0.5, 2.0, 8.0, np.inf]
    for seed, tau, n in ((0, 0.0, 12), (1, 1.0, 12), (2, 0.5, 16), (3, 3.0, 40)):
        rng = np.random.default_rng(seed)
        x, w = rng.normal(size=(300, n, 4)), tau * rng.normal(size=(300, 4))
        y = (x @ w[:, :, None])[:, :, 0] + rng.normal(size=(300, n))
        first, second, every = slice(0, n // 2), slice(n // 2, n), slice(0, n)
        right = _choice(x, y, regs, first, second)
        got = unchanged(lambda x, y: method(_ridge, x, y, regs), x, y)
        expect(got is not None, "your function returns nothing: does it end with a return?")
        expect(
            isinstance(got, int | float | np.number),
            f"your answer is {got!r}: return the coefficient itself, one of regs.",
        )
        if got != right:
            same, leak = _choice(x, y, regs, first, first), _choice(x, y, regs, every, second)
            expect(got != same, "it judges by the points that were fitted still: there, no spring wins.")
            expect(got != leak, "the fit has seen the points that judge it: adapt to the first half only.")
        expect(got == right, f"{got} comes out where the second half prefers {right}.")
    return "right: adapt to the first half, judge by the second."
