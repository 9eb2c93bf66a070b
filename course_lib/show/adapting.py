"""A curve, what a network makes of it before and after adapting, and the points that it adapted to."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course_lib.show.style import ACTION, INK, MUTED, VALUE

WORST = 999.0  # what is shown for an error beyond it, or without a number


class Sheet:
    """One figure that `put` fills again and again, for a slider."""

    def __init__(self, limits: tuple[float, float] = (-6, 6)):
        self.figure, self.ax = plt.subplots(figsize=(7.2, 3.4))
        looks = {"the curve": (INK, "-"), "start": (MUTED, ":"), "adapted": (VALUE, "--")}
        self._lines = [self.ax.plot([], [], style, color=c, label=n)[0] for n, (c, style) in looks.items()]
        self._points = self.ax.plot([], [], "x", color=ACTION, ms=8, mew=2, label="points")[0]
        self.ax.set(xlabel="x", ylabel="y", ylim=limits)
        self.ax.legend(loc="upper center", ncols=4)

    def put(self, x, truth, before, after, x_seen, y_seen, title: str) -> tuple[Figure, str]:
        """The figure and its sentence. x, truth, before and after are [n, 1] or [n]; so are the points."""
        x, truth, before, after = (np.asarray(v, float).ravel() for v in (x, truth, before, after))
        with np.errstate(all="ignore"):
            error = np.nan_to_num(((after - truth) ** 2).mean(), nan=WORST, posinf=WORST)
            lines = (truth, before, np.clip(after, -1e3, 1e3))
        for line, y in zip(self._lines, lines, strict=True):
            line.set_data(x, y)
        self._points.set_data(np.ravel(x_seen), np.ravel(y_seen))
        self.ax.set_xlim(x[0], x[-1])
        says = f"error {error:.2f}" if error < WORST else f"error above {WORST:g}"
        self.ax.set_title(f"{title}: {says}")
        return self.figure, f"{title}: mean squared {says}, from {len(np.ravel(x_seen))} points."
