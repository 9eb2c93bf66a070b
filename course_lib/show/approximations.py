"""What learners with functions instead of tables look like, as SVG text: one frame of a slider each.

The numbers first, then where the sliders stand.
"""

from collections.abc import Sequence

import numpy as np

from course_lib.show.boards import curve
from course_lib.show.heat import heat

WIDE = 560


def fit(frame: Sequence[np.ndarray], step: int, alpha: float) -> str:
    """A function's outputs [X] at inputs from −3 to 3, after some descent steps, beside the right ones."""
    outputs, truth = map(np.asarray, frame)
    title = f"{step} steps, α = {alpha}: loss {((outputs - truth) ** 2).mean():.3f}"
    lines = {"network": outputs, "sine": truth}
    ticks = _every(1.5, np.linspace(-3, 3, len(outputs)))
    return curve(lines, title=title, xlabel="input x", limits=(-1.5, 1.5), width=WIDE, ticks=ticks)


def shared(guess: np.ndarray, truth: np.ndarray, title: str) -> str:
    """Values [S] of states that share features, beside the true ones; the first and last state are ends."""
    inside = np.r_[False, np.ones(len(truth) - 2, bool), False]
    lines = {name: np.where(inside, V, np.nan) for name, V in (("TD", guess), ("truth", truth))}
    alt = f"{title}: state 1 is worth {guess[1]:.2f} by TD and truly {truth[1]:.2f}, the last {guess[-2]:.2f}"
    return curve(
        lines, title=title, xlabel="state", limits=(0, 1), width=WIDE, alt=f"{alt} and {truth[-2]:.2f}."
    )


def to_go(frame: Sequence[np.ndarray], episode: int) -> str:
    """Steps to go [velocities, positions] as a learner reckons them, with the velocities and positions."""
    costs, velocities, positions = frame
    alt = f"After episode {episode} the largest number of steps to go is {costs.max():.0f}."
    names = [f"{v:.2f}" for v in velocities], [f"{p:.1f}" for p in positions]
    look = dict(limits=(-140, 140), names=names, cell=30, xlabel="position", ylabel="velocity")
    return heat(costs, title=f"steps to go, after episode {episode}", alt=alt, **look)


def largest(sizes: np.ndarray, method: str, gamma: float) -> str:
    """The largest weight of a learner at every tenth step, on a logarithmic axis."""
    title = f"{method}, γ = {gamma}: largest weight {sizes[-1]:.3g}"
    ticks = _every(100, 10 * np.arange(len(sizes)))
    look = dict(log=True, limits=(0.1, 1e3), xlabel="update", width=WIDE, ticks=ticks)
    return curve({method: sizes}, title=title, **look)


def learning(frame: np.ndarray, period: int, memory: int) -> str:
    """A learning curve with its band, a point every 2,000 steps: the means and the half widths, [2, time]."""
    mean, half = frame
    title = f"period {period}, memory {memory}: at the end {mean[-1]:.0f} ± {half[-1]:.0f}"
    lines = {"mean": mean, "lower end": mean - half, "upper end": mean + half}
    ticks = _every(10, 2 * np.arange(1, len(mean) + 1))
    look = dict(limits=(0, 220), xlabel="thousand steps", ylabel="return", width=WIDE, ticks=ticks)
    return curve(lines, title=title, **look)


def _every(unit: float, values: np.ndarray) -> list[str]:
    """Names of values along a horizontal axis: of the first one, and of the multiples of a unit."""
    whole = np.isclose(values / unit, np.round(values / unit))
    return [f"{x:g}" if ok or k == 0 else "" for k, (x, ok) in enumerate(zip(values, whole, strict=True))]
