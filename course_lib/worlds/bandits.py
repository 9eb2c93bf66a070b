"""Bandits as plain arrays: a world is the row of its arms' means, many worlds at once are means [runs, arms].

A pull is a function `pull(means, arm, rng) -> reward [runs]`: `bernoulli` pays 1 with the arm's probability
and 0 otherwise, `gaussian` pays the arm's mean plus standard normal noise. Source: Sutton & Barto 2018, ch.
2.
"""

from numbers import Integral

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm


def bernoulli(means: np.ndarray, arm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pull arm [runs] of each bandit: 1.0 with probability means[run, arm], otherwise 0.0; rewards [runs]."""
    return (rng.random(len(means)) < means[np.arange(len(means)), arm]).astype(float)


def gaussian(means: np.ndarray, arm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pull arm [runs] of each bandit: its mean plus standard normal noise; rewards [runs]."""
    return means[np.arange(len(means)), arm] + rng.standard_normal(len(means))


def uniform_bandits(runs: int, arms: int, rng: np.random.Generator) -> np.ndarray:
    """Means [runs, arms] of Bernoulli bandits, each drawn uniformly from 0 to 1 (a Beta(1, 1) prior)."""
    return _generator(rng).random(_shape(runs, arms))


def ten_armed(runs: int, rng: np.random.Generator, arms: int = 10) -> np.ndarray:
    """Means [runs, arms] of the ten-armed testbed: standard normal, to be pulled by `gaussian` (S&B §2.3)."""
    return _generator(rng).standard_normal(_shape(runs, arms))


def ten_armed_ceiling(arms: int = 10) -> float:
    """What knowing the best arm is worth on the testbed: the expected largest of `arms` standard normals.

    E[max] = ∫ x · arms · φ(x) · Φ(x)^(arms − 1) dx, by numerical integration: 1.5388 for ten arms.
    """
    _shape(1, arms)
    return quad(lambda x: x * arms * norm.pdf(x) * norm.cdf(x) ** (arms - 1), -12, 12, epsabs=1e-12)[0]


def check_means(means: np.ndarray) -> np.ndarray:
    """The means as a float array [runs, arms]; ValueError if they are not one finite number an arm."""
    means = np.array(means, dtype=float)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(f"means has shape {means.shape}: give [runs, arms], for one bandit means[None, :].")
    if not np.isfinite(means).all():
        run, arm = np.argwhere(~np.isfinite(means))[0]
        raise ValueError(f"means[{run}, {arm}] is {means[run, arm]}: every mean must be a finite number.")
    return means


def check_probabilities(means: np.ndarray) -> np.ndarray:
    """`check_means` for Bernoulli arms: ValueError for a mean that is no probability."""
    means = check_means(means)
    bad = np.argwhere((means < 0) | (means > 1))
    if len(bad):
        run, arm = bad[0]
        raise ValueError(
            f"means[{run}, {arm}] is {means[run, arm]:.6g}: a Bernoulli mean is a probability, from 0 to 1."
        )
    return means


def _shape(runs: int, arms: int) -> tuple[int, int]:
    for name, size in (("runs", runs), ("arms", arms)):
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise ValueError(f"{name} is {size!r}: it must be a whole number from 1.")
    return int(runs), int(arms)


def _generator(rng: np.random.Generator) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng is {rng!r}: give a NumPy generator, such as np.random.default_rng(0).")
    return rng
