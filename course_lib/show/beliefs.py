"""What an agent believes about where the goal is: on a grid, and in the plane, as SVG text (chapter 16)."""

from collections.abc import Sequence

import numpy as np

from course_lib.show import boards
from course_lib.show.paper import heading, number, svg
from course_lib.show.style import INK, MUTED, REWARD, RULE, VALUE, shade

SIDE, LEFT, TOP = 260, 12, 36


def on_grid(
    belief: np.ndarray, goals: Sequence[int], cell: int, title: str, end: int = -1, side: int = 5
) -> str:
    """A square grid with the belief in each goal, in percent; the outlined cell is where the agent stands.

    `end`, if it is a cell, is drawn as G: the goal, or a guess at it.
    """
    V = np.full(side**2, np.nan)
    V[list(goals)] = 100 * np.asarray(belief)
    letters = ["." if k != end else "G" for k in range(side**2)]
    if end >= 0:
        V[end] = np.nan
    rows = ["".join(letters[side * r : side * (r + 1)]) for r in range(side)]
    return boards.grid("\n".join(rows), V, limits=(-15, 15), digits=0, marks=[cell], title=title)


def in_plane(
    belief: np.ndarray,
    path: np.ndarray,
    goal: Sequence[float],
    title: str,
    most: float,
    limits: tuple[float, float] = (-0.7, 0.7),
    covers: float = 0.5,
) -> str:
    """The belief [n, n] over the square ±covers, the path [T, 2] walked until now, and the goal (a cross).

    belief[i, j] is that of the i-th part of the first coordinate and the j-th of the second, both from below;
    `most` fixes its darkest colour. What leaves the limits is held at the edge.
    """
    belief, path = np.asarray(belief, float), np.asarray(path, float)
    if belief.ndim != 2 or belief.shape[0] != belief.shape[1] or path.ndim != 2 or path.shape[1] != 2:
        raise ValueError(f"belief {belief.shape} and path {path.shape}: give [n, n] and [T, 2].")
    n, scale = len(belief), SIDE / (limits[1] - limits[0])
    size, body = 2 * covers / n * scale, [heading(title, 10, SIDE)]
    for i, j in np.ndindex(n, n):
        x, y = _place((2 * covers * i / n - covers, 2 * covers * (j + 1) / n - covers), limits)
        fill = shade(belief[i, j], -most, most)
        body.append(f"<rect x='{x:.1f}' y='{y:.1f}' width='{size:.1f}' height='{size:.1f}' fill='{fill}'/>")
    x, y = _place((-covers, covers), limits)
    body.append(
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{n * size:.1f}' height='{n * size:.1f}' fill='none' "
        f"stroke='{MUTED}'/><rect x='{LEFT}' y='{TOP}' width='{SIDE}' height='{SIDE}' fill='none' "
        f"stroke='{RULE}'/>"
    )
    line = "L".join(f"{x:.0f} {y:.0f}" for x, y in (_place(p, limits) for p in path))
    (x, y), (gx, gy) = _place(path[-1], limits), _place(goal, limits)
    body.append(f"<path d='M{line}' fill='none' stroke='{INK}' stroke-width='1.5'/>")
    body.append(f"<circle cx='{x:.0f}' cy='{y:.0f}' r='5' fill='{VALUE}' stroke='white'/>")
    body.append(f"<path d='M{gx:.0f} {gy - 9:.0f}v18m-9 -9h18' stroke='{REWARD}' stroke-width='3'/>")
    words = f"{title}: the agent at ({number(path[-1, 0], 1)}, {number(path[-1, 1], 1)}), the goal at "
    words += f"({number(goal[0], 1)}, {number(goal[1], 1)}), the largest belief {number(belief.max())}."
    return svg("".join(body), SIDE + 2 * LEFT, TOP + SIDE + 12, words)


def squares(belief: np.ndarray, places: np.ndarray, n: int = 10, covers: float = 0.5) -> np.ndarray:
    """The belief [K] in places [K, 2] of the square ±covers, added up in n × n smaller squares: [n, n]."""
    at = ((np.asarray(places) + covers) / (2 * covers) * n).astype(int).clip(0, n - 1)
    board = np.zeros((n, n))
    np.add.at(board, tuple(at.T), belief)
    return board


def _place(point: Sequence[float], limits: tuple[float, float]) -> tuple[float, float]:
    x, y = (np.clip(point, *limits) - limits[0]) / (limits[1] - limits[0])
    return LEFT + SIDE * x, TOP + SIDE * (1 - y)
