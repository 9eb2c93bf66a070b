"""Lines over 0, 1, 2, … as SVG text, each with its name beside it where no line passes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from course_lib.show.names import places
from course_lib.show.paper import EM, heading, svg, text
from course_lib.show.style import ACCENT, ACTION, CYCLE, MUTED, PAPER, RULE, SVG_DASHES, legible

SIZE = 11  # of the names and ticks
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class _Plot:
    """Where values go: x from 0 to n − 1, y within limits, on a log scale or not, in a box of the picture."""

    n: int
    limits: tuple[float, float]
    log: bool
    left: float
    right: float
    top: float
    bottom: float

    def x(self, k) -> np.ndarray:
        return self.left + (self.right - self.left) * np.asarray(k, float) / max(self.n - 1, 1)

    def y(self, values) -> np.ndarray:
        """Heights in the picture; what is further out than the box is high counts as just there."""
        scale = (lambda v: np.log10(np.maximum(v, 1e-300))) if self.log else (lambda v: v)
        low, high = map(scale, self.limits)
        share = (scale(np.asarray(values, float)) - low) / (high - low)
        return self.bottom - (self.bottom - self.top) * np.clip(share, -1, 2)

    def points(self, values: Sequence[float]) -> np.ndarray:
        return np.column_stack([self.x(np.arange(len(values))), self.y(values)])


def curve(
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    title: str = "",
    mark: float | None = None,
    level: float | None = None,
    log: bool = False,
    limits: tuple[float, float],
    width: float = 400,
    height: float = 330,
    alt: str = "",
    ylabel: str = "",
    level_name: str = "",
    ticks: Sequence[str] = (),
) -> str:
    """Lines over 0, 1, 2, …, each with its name beside it.

    `mark` is a moving dot on the first line, `level` a dashed line across. `limits` is the fixed range of the
    vertical axis; with `log`, powers of ten. Values outside it leave the picture, and NaN leaves a gap.
    `ticks` names 0, 1, 2, … on the horizontal axis, where they stand for something else.
    """
    _check(series, limits, log)
    n = max(len(y) for y in series.values())
    plot = _Plot(n, limits, log, 68 if ylabel else 52, width - 14, 34, height - 42)
    drawn = [
        _Line(name, CYCLE[i % len(CYCLE)], SVG_DASHES[i % len(SVG_DASHES)], plot.points(y))
        for i, (name, y) in enumerate(series.items())
    ]
    if level is not None:
        drawn.append(
            _Line(level_name, ACCENT, "6 4", np.column_stack([plot.x([0, n - 1]), plot.y([level, level])]))
        )
    body = [heading(title, 10, width - 20)] if title else []
    body += _axes(plot, xlabel, ylabel, ticks)
    body += [_clipped(plot, "".join(map(_path, drawn)))]
    body += _names(plot, drawn)
    if mark is not None:
        body.append(_dot(plot, np.asarray(next(iter(series.values())), float), mark))
    return svg("".join(body), width, height, alt or _sentence(series, xlabel, title, mark, ticks))


@dataclass(frozen=True)
class _Line:
    name: str
    colour: str
    dash: str
    points: np.ndarray  # [P, 2], in the picture


def _check(series, limits, log) -> None:
    if not series or not all(len(y) for y in series.values()):
        raise ValueError(
            "series must name at least one line, each with at least one value: {'error': [0.5, 0.25]}."
        )
    if not limits[0] < limits[1] or (log and limits[0] <= 0):
        raise ValueError(f"limits are {limits}: give (low, high) with low < high, and with log both above 0.")


def _axes(plot: _Plot, xlabel: str, ylabel: str, ticks: Sequence[str] = ()) -> list[str]:
    middle = (plot.left + plot.right) / 2
    parts = [text(middle, plot.bottom + 36, xlabel, 12, fill=MUTED)]
    for tick in _powers(*plot.limits) if plot.log else _ticks(*plot.limits):
        y = float(plot.y(tick))
        name = "10" + f"{round(np.log10(tick))}".translate(SUPERSCRIPT) if plot.log else f"{tick:g}"
        parts.append(f"<path d='M{plot.left:g} {y:.1f}H{plot.right:g}' stroke='{RULE}'/>")
        parts.append(text(plot.left - 7, round(y + 4, 1), name, SIZE, "end", MUTED))
    for tick, name in enumerate(ticks) if ticks else ((k, f"{k:g}") for k in _ticks(0, plot.n - 1, least=1)):
        parts.append(text(round(float(plot.x(tick)), 1), plot.bottom + 18, name, SIZE, fill=MUTED))
    if ylabel:
        turned = f"<g transform='translate(16 {(plot.top + plot.bottom) / 2:g}) rotate(-90)'>"
        parts.append(turned + text(0, 0, ylabel, 12, fill=MUTED) + "</g>")
    return parts


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """Round numbers from low to high, about six."""
    raw = max((high - low) / 6, least, 1e-12)
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    return [
        float(f"{k * step:.10g}") for k in range(int(np.ceil(low / step - 1e-9)), int(high / step + 1e-9) + 1)
    ]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten from low to high, at most seven."""
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    return [10.0**e for e in range(first, last + 1, max(1, -(-(last - first) // 6)))]


def _path(line: _Line) -> str:
    """The line as SVG, with a gap where a value is missing."""
    known = np.isfinite(line.points[:, 1])
    starts = known & ~np.concatenate([[False], known[:-1]])
    steps = (
        f"{'M' if new else 'L'}{x:.1f} {y:.1f}"
        for (x, y), ok, new in zip(line.points, known, starts, strict=True)
        if ok
    )
    look = f"fill='none' stroke='{line.colour}' stroke-width='2.2' stroke-dasharray='{line.dash}'"
    return f"<path d='{''.join(steps)}' {look}/>"


def _clipped(plot: _Plot, body: str) -> str:
    """What leaves the box of the plot (and a little around it, for thick lines) is not seen."""
    x, y = f"{plot.left - 3:g}", f"{plot.top - 3:g}"
    width, height = f"{plot.right - plot.left + 6:g}", f"{plot.bottom - plot.top + 6:g}"
    box = f"x='{x}' y='{y}' width='{width}' height='{height}' viewBox='{x} {y} {width} {height}'"
    return f"<svg {box}>{body}</svg>"


def _names(plot: _Plot, lines: list[_Line]) -> list[str]:
    """The name of every line, beside it."""
    sizes = [(EM * SIZE * len(line.name), SIZE) for line in lines]
    centres = places([line.points for line in lines], sizes, (plot.left, plot.top, plot.right, plot.bottom))
    return [
        text(round(x), round(y) + 4, line.name, SIZE, fill=legible(line.colour), halo=True)
        for line, (x, y) in zip(lines, centres, strict=True)
        if line.name
    ]


def _dot(plot: _Plot, y: np.ndarray, mark: float) -> str:
    k = _nearest(mark, len(y))
    known = np.isfinite(y[k])
    height = float(plot.y(np.clip(y[k], *plot.limits))) if known else plot.bottom
    return (
        f"<circle cx='{plot.x(k):.1f}' cy='{height:.1f}' r='{6 if known else 0}' fill='{ACTION}' "
        f"stroke='{PAPER}' stroke-width='1.5'/>"
    )


def _sentence(series, xlabel: str, title: str, mark: float | None, ticks: Sequence[str] = ()) -> str:
    """Where every line starts, how far it goes and where it ends, in words, and where the dot is."""
    ends = ", ".join(f"{name} {_course(np.asarray(y, float))}" for name, y in series.items())
    first, n = next(iter(series.values())), max(map(len, series.values()))
    named = list(ticks) or [f"{k}" for k in range(n)]
    at = "" if mark is None else ticks[_nearest(mark, len(ticks))] if ticks else f"{mark:g}"
    dot = "" if mark is None else f"; {_said(first[_nearest(mark, len(first))])} at {at}"
    return f"{title + ': ' if title else ''}{ends} ({xlabel} {named[0]} to {named[-1]}){dot}."


def _course(y: np.ndarray) -> str:
    """From where to where a line goes; what lies between is said if it lies outside, by a tenth of all."""
    known, ends = y[np.isfinite(y)], [end for end in (y[0], y[-1]) if np.isfinite(end)]
    low, high = (known.min(), known.max()) if ends else (0.0, 0.0)
    between = f" up to {_said(high)}" if ends and high - max(ends) > 0.1 * (high - low) else ""
    between += f" down to {_said(low)}" if ends and min(ends) - low > 0.1 * (high - low) else ""
    return f"from {_said(y[0])}{between} to {_said(y[-1])}"


def _said(value: float) -> str:
    return f"{round(float(value), 12) + 0.0:.3g}" if np.isfinite(value) else "nothing"


def _nearest(mark: float, n: int) -> int:
    return min(max(int(mark), 0), n - 1)
