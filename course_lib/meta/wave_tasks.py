"""Noisy curves that are sums of six waves, with weights that scatter around a common middle (chapter 20).

y = w · f(x) + noise, x uniform in [−π, π], w ~ N(MIDDLE, τ²), noise ~ N(0, σ²). The features are uncorrelated
and have a mean square of 1, so |w − w'|² is the mean squared distance of two curves.
"""

import numpy as np

MIDDLE = np.array([1.5, 0.0, 0.5, 0.5, 0.0, 0.0])


def waves(x: np.ndarray) -> np.ndarray:
    """√2 sin kx and √2 cos kx for k = 1, 2, 3: features [..., 6] of x [...]."""
    angle = np.asarray(x)[..., None] * np.arange(1, 4)
    return np.sqrt(2) * np.concatenate([np.sin(angle), np.cos(angle)], axis=-1)


def curve(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The heights at x [M, n] of curves with weights w [M, 6], [M, n]."""
    return (waves(x) @ w[:, :, None])[:, :, 0]


def draw_curves(
    M: int, tau: float | np.ndarray, sigma: float, rng: np.random.Generator, n: int = 20
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """M tasks: their weights [M, 6], and n points each, x and y [M, n]. tau may be [6]."""
    w, x = MIDDLE + tau * rng.normal(size=(M, 6)), rng.uniform(-np.pi, np.pi, (M, n))
    return w, x, curve(x, w) + sigma * rng.normal(size=(M, n))
