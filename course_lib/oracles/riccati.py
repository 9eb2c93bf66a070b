"""The exact answer of linear-quadratic control: best feedback, its cost, and the cost of any other feedback.

The world is x′ = A x + B u + noise; a step costs xᵀQx + uᵀRu, and the end costs xᵀFx. Then the least cost
that is still to come is a quadratic form, xᵀPx (plus a constant, the price of the noise), and the best action
is linear, u = −K x. Source: Bertsekas 2017, Dynamic Programming and Optimal Control I, §3.1.
"""

from collections.abc import Iterator

import numpy as np


def riccati(A, B, Q, R, final=None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (P, K) with 1, 2, 3, … steps to go, without end: the best cost is xᵀPx, the best action −Kx.

    A [S, S], B [S, U]; Q [S, S] and R [U, U] symmetric; Q and `final` [S, S] (by default Q) without a
    negative direction, R positive. This is value iteration: one look ahead at a quadratic function is a
    quadratic function again.
    """
    A, B, Q, R = (np.atleast_2d(np.asarray(x, dtype=float)) for x in (A, B, Q, R))
    P = Q if final is None else np.atleast_2d(np.asarray(final, dtype=float))
    _check(A, B, Q, R, P)
    while True:
        K = np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)  # where the cost's derivative in u is 0
        P = Q + A.T @ P @ (A - B @ K)
        P = (P + P.T) / 2
        yield P, K


def finite(A, B, Q, R, horizon: int, final=None) -> tuple[np.ndarray, np.ndarray]:
    """P [H + 1, S, S] and K [H, U, S], in the order of time: at step t u is −K[t]x, the cost xᵀP[t]x."""
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}: give a whole number from 1.")
    steps = riccati(A, B, Q, R, final)
    pairs = [next(steps) for _ in range(horizon)][::-1]
    last = np.atleast_2d(np.asarray(Q if final is None else final, dtype=float))
    return np.stack([*(P for P, _ in pairs), last]), np.stack([K for _, K in pairs])


def lqr(A, B, Q, R, tol: float = 1e-12, most: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    """P [S, S] and K [U, S] for ever, to a relative change below tol; ValueError if there is no limit."""
    before = None
    for k, (P, K) in enumerate(riccati(A, B, Q, R)):
        if before is not None and np.abs(P - before).max() <= tol * (1 + np.abs(P).max()):
            return P, K
        if k >= most or not np.isfinite(P).all() or np.abs(P).max() > 1e14:
            break
        before = P
    raise ValueError("the cost has no limit: can the actions reach every direction that grows?")


def cost(A, B, Q, R, K, noise=None) -> tuple[np.ndarray, float]:
    """(P, price) of the feedback u = −Kx for ever: xᵀPx from a start x, and what the noise costs a step.

    `noise` is the covariance of the noise [S, S], by default 0. ValueError if the feedback is not stable.
    """
    A, B, Q, R, K = (np.atleast_2d(np.asarray(x, dtype=float)) for x in (A, B, Q, R, K))
    loop, S = A - B @ K, len(A)
    radius = np.abs(np.linalg.eigvals(loop)).max()
    if radius >= 1:
        raise ValueError(f"A − BK has an eigenvalue of size {radius:.3f}: the state grows without end.")
    step = Q + K.T @ R @ K
    P = np.linalg.solve(np.eye(S * S) - np.kron(loop.T, loop.T), step.reshape(-1)).reshape(S, S)
    return P, 0.0 if noise is None else float(np.trace(P @ np.atleast_2d(noise)))


def _check(A, B, Q, R, final) -> None:
    S, U = B.shape
    for name, x, shape in (("A", A, (S, S)), ("Q", Q, (S, S)), ("R", R, (U, U)), ("final", final, (S, S))):
        if x.shape != shape:
            raise ValueError(f"{name} has shape {x.shape}: for B of shape {B.shape} it must be {shape}.")
    for name, x in (("Q", Q), ("R", R), ("final", final)):
        if not np.allclose(x, x.T):
            raise ValueError(f"{name} is not symmetric: use ({name} + {name}ᵀ) / 2.")
        least = np.linalg.eigvalsh(x).min()
        if least < -1e-9 or (name == "R" and least <= 0):
            raise ValueError(f"{name} has an eigenvalue {least:.3g}: then doing harm would pay.")
