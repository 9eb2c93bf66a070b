"""What a learner of values looks like, as SVG text: guesses, errors, bias against variance.

Each function draws one frame of a slider: the numbers first, then where the sliders stand.
"""

from collections.abc import Sequence

import numpy as np

from course_lib.show import boards

SMALLEST = 5  # the smallest step size of `by_n` and `by_lambda` is 2^−5


def life(frame: Sequence[np.ndarray], t: int, alpha: float) -> str:
    """The guesses [S] after t steps beside the true values [S]; the first and last state are ends."""
    guess, truth = frame
    title = f"after {t} steps, α = {alpha}: RMS error {_rms(guess, truth):.2f}"
    return _states(title, {"guess": guess[:-1], "truth": truth[:-1]})


def td_and_mc(errors: Sequence[np.ndarray], alpha: float) -> str:
    """Two learning curves: the errors of TD(0) and of Monte Carlo after 1, 2, … episodes."""
    lines = {"TD(0)": errors[0], "Monte Carlo": errors[1]}
    title = f"α = {alpha}: TD {errors[0][-1]:.2f}, Monte Carlo {errors[1][-1]:.2f} after {len(errors[0])}"
    lines = {name: np.append(np.nan, y) for name, y in lines.items()}  # from episode 1
    look = dict(xlabel="episodes", ylabel="RMS error", limits=(0, 0.4), width=560)
    return boards.curve(lines, title=title, **look)


def batch(V: Sequence[np.ndarray], episodes: int, number: int) -> str:
    """Batch TD, batch Monte Carlo and the truth, [3, S], from so many episodes of data set `number`."""
    td, mc, truth = V
    title = f"{episodes} episodes: RMS error TD {_rms(td, truth):.2f}, Monte Carlo {_rms(mc, truth):.2f}"
    return _states(title, {"batch TD": td[:-1], "batch Monte Carlo": mc[:-1], "truth": truth[:-1]})


def trade(parts: np.ndarray, m: int, c: float) -> str:
    """bias² + variance/m of targets that wait n = 1, 2, … steps; parts [n, 2] holds bias and variance."""
    bias2, scatter = parts[:, 0] ** 2, parts[:, 1] / m
    lines = {"squared error": bias2 + scatter, "bias²": bias2, "variance / m": scatter}
    best = int((bias2 + scatter).argmin()) + 1
    lines = {name: np.append(np.nan, y) for name, y in lines.items()}  # from n = 1
    look = dict(xlabel="n", mark=best, limits=(1e-4, 1), log=True, width=560)
    return boards.curve(lines, title=f"m = {m}, c = {c}: best n = {best}", **look)


def by_n(errors: np.ndarray, n: int) -> str:
    """The errors of n-step TD for the step sizes 1/32, 1/16, … 1; the dot is the least of them."""
    return _step_sizes(f"n = {n}", errors)


def by_lambda(errors: np.ndarray, lam: float) -> str:
    """The same for TD(λ)."""
    return _step_sizes(f"λ = {lam}", errors)


def traces(frame: tuple[np.ndarray, np.ndarray, int], t: int, lam: float) -> str:
    """The traces [S] and guesses [S] after t steps; the dot is the trace of the state the agent is in."""
    trace, guess, here = frame
    title = f"step {t}, λ = {lam}: the agent is in state {here}"
    return _states(title, {"trace": trace, "guess": guess}, limits=(0, 4), mark=here)


def bias(by_state: np.ndarray, alpha: float) -> str:
    """The bias of each state [S] that a constant step size leaves."""
    title = f"α = {alpha}: state {len(by_state) - 2} is off by {by_state[-2]:+.4f}"
    return _states(
        title, {"exact bias": by_state[:-1], "none": np.zeros(len(by_state) - 1)}, limits=(-0.09, 0.09)
    )


def _states(title: str, lines: dict, limits=(0, 1), mark=None) -> str:
    return boards.curve(lines, xlabel="state", title=title, limits=limits, mark=mark, width=520)


def _step_sizes(name: str, errors: np.ndarray) -> str:
    best, doubled = int(np.argmin(errors)), [_fraction(k) for k in range(len(errors))]
    look = dict(xlabel="step size α", ylabel="RMS error", limits=(0.2, 0.6), ticks=doubled)
    look |= dict(mark=best, level=0.265, level_name="n = 4 at its best", width=560)
    return boards.curve({name: errors}, title=f"{name}: {errors[best]:.2f} at α = {doubled[best]}", **look)


def _fraction(k: int) -> str:
    """The step size that is the smallest, doubled k times."""
    return f"1/{2 ** (SMALLEST - k)}" if k < SMALLEST else f"{2 ** (k - SMALLEST)}"


def _rms(V: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(((V - truth)[1:-1] ** 2).mean()))
