"""Clouds of estimates around what they estimate, as SVG text (chapters 11 and 15)."""

import numpy as np

from course_lib.show.paper import heading, number, svg, text
from course_lib.show.style import ACTION, INK, MUTED, RULE, VALUE, legible

SIDE, LEFT, TOP = 300, 46, 36


def cloud(
    points: np.ndarray,
    target: tuple[float, float],
    *,
    limits: tuple[float, float],
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    mean: tuple[float, float] | None = None,
    names: tuple[str, str] = ("exact", "expected"),
    alt: str | None = None,
) -> str:
    """Estimates, points [n, 2], as dots in a square plane with the same limits on both axes.

    A cross marks the `target`, a diamond what they are on average (`mean`, exact, or that of the points);
    points outside the limits leave the picture. `names` are those of the cross and of the diamond.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points has shape {points.shape}: give at least one pair, shape [n, 2].")
    if not limits[0] < limits[1]:
        raise ValueError(f"limits are {limits}: give (low, high) with low < high.")
    mean = points.mean(axis=0) if mean is None else np.asarray(mean, float)
    inside = ((points >= limits[0]) & (points <= limits[1])).all(axis=1)
    dots = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in _place(points[inside], limits))
    (tx, ty), (mx, my) = _place(np.array([target, mean]), limits)
    body = [heading(title, 10, LEFT + SIDE)] if title else []
    body += _frame(limits, xlabel, ylabel)
    body += [
        f"<path d='{dots or 'M0 0'}' fill='none' stroke='{VALUE}' stroke-opacity='.45' stroke-width='5' "
        "stroke-linecap='round'/>",
        f"<path d='M{tx:.1f} {ty - 11:.1f}v22m-11 -11h22' stroke='{INK}' stroke-width='2.5'/>",
        f"<path d='M{mx:.1f} {my - 7:.1f}l7 7l-7 7l-7 -7z' fill='{ACTION}'/>",
        text(LEFT + 8, TOP + 18, f"+ {names[0]}", 12, "start"),
        text(LEFT + 8, TOP + 35, f"◆ {names[1]}", 12, "start", legible(ACTION)),
    ]
    words = f"{title}: {len(points)} estimates, on average at ({number(mean[0])}, {number(mean[1])}), "
    words += f"the target at ({number(target[0])}, {number(target[1])})."
    return svg("".join(body), LEFT + SIDE + 16, TOP + SIDE + 44, alt or words)


def around(points: np.ndarray, target: tuple[float, float], mean: np.ndarray, words: str) -> str:
    """Estimates of a gradient [n, 2] around the exact one, in units of its length, along and across it."""
    miss = np.sqrt(((points - target) ** 2).sum(axis=1).mean())
    look = dict(limits=(-3, 5), xlabel="along the exact gradient", ylabel="across")
    return cloud(points, target, mean=mean, title=f"{words}: off by {miss:.2f}", **look)


def _place(points: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    share = (points - limits[0]) / (limits[1] - limits[0])
    return np.column_stack([LEFT + SIDE * share[:, 0], TOP + SIDE * (1 - share[:, 1])])


def _frame(limits: tuple[float, float], xlabel: str, ylabel: str) -> list[str]:
    (zx, zy) = _place(np.zeros((1, 2)), limits)[0]
    parts = [f"<rect x='{LEFT}' y='{TOP}' width='{SIDE}' height='{SIDE}' fill='none' stroke='{RULE}'/>"]
    parts.append(f"<path d='M{LEFT} {zy:.1f}H{LEFT + SIDE}M{zx:.1f} {TOP}V{TOP + SIDE}' stroke='{RULE}'/>")
    every = 1 if limits[1] - limits[0] <= 16 else 2  # more numbers would run into each other
    for tick in range(int(np.ceil(limits[0])), int(np.floor(limits[1])) + 1, every):
        x, y = _place(np.array([[tick, tick]]), limits)[0]
        parts.append(text(round(x, 1), TOP + SIDE + 16, f"{tick}", 11, fill=MUTED))
        parts.append(text(LEFT - 6, round(y + 4, 1), f"{tick}", 11, "end", MUTED))
    parts.append(text(LEFT + SIDE / 2, TOP + SIDE + 34, xlabel, 12, fill=MUTED))
    turned = f"<g transform='translate(14 {TOP + SIDE / 2:g}) rotate(-90)'>"
    return [*parts, turned + text(0, 0, ylabel, 12, fill=MUTED) + "</g>"]
