"""Pictures of chapter 05: estimates that close in on an exact value, and tables of blackjack hands."""

import numpy as np
from matplotlib.axes import Axes

from course_lib.show.heat import heat
from course_lib.show.style import ACTION, INK, STATE

SUMS, DEALERS = [str(n) for n in range(12, 22)], ["A", *(str(n) for n in range(2, 11))]


def hands(table: np.ndarray, title: str, limits: tuple[float, float] = (-1, 1), digits: int = 1) -> str:
    """table [10, 10]: the player's sums 12–21 by the dealer's card, ace to 10. ValueError for others."""
    if np.shape(table) != (10, 10) or np.isnan(table).any():
        raise ValueError(f"table has shape {np.shape(table)}: give 10 sums by 10 dealer's cards, no NaN.")
    alt = f"{title}: from {table.min():.1f} to {table.max():.1f} over sums 12 to 21 and all dealer's cards."
    look = dict(limits=limits, digits=digits, cell=28, names=(SUMS, DEALERS), title=title, alt=alt)
    return heat(table, xlabel="dealer's card", ylabel="your sum", **look)


def closing_in(means: np.ndarray, exact: float, ax: Axes, sigma: float | None = None) -> Axes:
    """Running means [runs, n] over n = 1, 2, …, the exact value as a line; with sigma, the 95 % funnel."""
    _check("means", means, 2, 1.0 if sigma is None else sigma)
    n = np.arange(1, means.shape[1] + 1)
    ax.plot(n, means.T, "-", color=STATE, lw=0.8)
    if sigma is not None:
        for side in (-1.96, 1.96):
            ax.plot(n, exact + side * sigma / np.sqrt(n), "--", color=ACTION)
    ax.axhline(exact, color=INK, lw=1.5)
    ax.set(xscale="log", xlabel="episodes n", ylabel="estimate")
    return ax


def error_falls(rms: np.ndarray, sigma: float, ax: Axes) -> Axes:
    """RMS errors [n] after 1, 2, … episodes beside σ/√n, both axes logarithmic."""
    _check("rms", rms, 1, sigma)
    n = np.arange(1, len(rms) + 1)
    ax.loglog(n, rms, label="measured")
    ax.loglog(n, sigma / np.sqrt(n), label="σ/√n")
    ax.set(xlabel="episodes n", ylabel="RMS error")
    ax.legend()
    return ax


def _check(name: str, x: np.ndarray, axes: int, sigma: float) -> None:
    if np.ndim(x) != axes or not np.size(x):
        raise ValueError(f"{name} has shape {np.shape(x)}: give an array of {axes} axes that is not empty.")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}: the standard deviation of one return is above 0.")
