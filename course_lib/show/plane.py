"""Paths of points in the plane towards a goal, as SVG text (chapter 15)."""

import numpy as np

from course_lib.show.paper import heading, number, svg, text
from course_lib.show.style import INK, MUTED, REWARD, RULE, VALUE

SIDE, LEFT, TOP = 300, 20, 36


def paths(
    points: np.ndarray,
    goal: tuple[float, float],
    *,
    limits: tuple[float, float] = (-1.0, 1.0),
    title: str = "",
    alt: str | None = None,
) -> str:
    """Paths, points [n, T, 2], from the start (a ring) to their last places (dots), and the goal (a cross).

    Both axes have the same limits; what leaves them is held at the edge. ValueError for other shapes.
    """
    points = np.asarray(points, float)
    if points.ndim != 3 or points.shape[-1] != 2 or not points.size:
        raise ValueError(f"points has shape {points.shape}: give paths of points in the plane, [n, T, 2].")
    if not limits[0] < limits[1]:
        raise ValueError(f"limits are {limits}: give (low, high) with low < high.")
    body = [heading(title, 10, LEFT + SIDE)] if title else []
    body.append(f"<rect x='{LEFT}' y='{TOP}' width='{SIDE}' height='{SIDE}' fill='none' stroke='{RULE}'/>")
    (zx, zy), (gx, gy) = _place(np.array([(0, 0), goal]), limits)
    body.append(f"<path d='M{LEFT} {zy:.0f}H{LEFT + SIDE}M{zx:.0f} {TOP}V{TOP + SIDE}' stroke='{RULE}'/>")
    for path in points:
        line = "L".join(f"{x:.0f} {y:.0f}" for x, y in _place(path, limits))
        body.append(
            f"<path d='M{line}' fill='none' stroke='{VALUE}' stroke-opacity='.6' stroke-width='1.5'/>"
        )
    for x, y in _place(points[:, -1], limits):
        body.append(f"<circle cx='{x:.0f}' cy='{y:.0f}' r='4' fill='{VALUE}'/>")
    for x, y in _place(points[:1, 0], limits):
        body.append(
            f"<circle cx='{x:.0f}' cy='{y:.0f}' r='6' fill='none' stroke='{MUTED}' stroke-width='2'/>"
        )
    body.append(f"<path d='M{gx:.0f} {gy - 11:.0f}v22m-11 -11h22' stroke='{REWARD}' stroke-width='3.5'/>")
    body.append(text(LEFT + 8, TOP + SIDE - 8, "○ start  ● end  + goal", 12, "start", INK))
    far = np.linalg.norm(points[:, -1] - goal, axis=-1).mean()
    words = f"{title}: {len(points)} paths end on average {number(far)} from the goal at "
    words += f"({number(goal[0])}, {number(goal[1])})."
    return svg("".join(body), LEFT + SIDE + 16, TOP + SIDE + 14, alt or words)


def _place(points: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    share = (np.clip(points, *limits) - limits[0]) / (limits[1] - limits[0])
    return np.column_stack([LEFT + SIDE * share[:, 0], TOP + SIDE * (1 - share[:, 1])])


def axes(target: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two columns: along `target`, and across it in the plane of both, in units of target's length.

    target and other have the same shape, of n numbers; x.reshape(-1, n) @ axes(…) are places in that plane.
    """
    length = np.linalg.norm(target)
    along = target.ravel() / length
    across = other.ravel() - (other.ravel() @ along) * along
    return np.column_stack([along, across / np.linalg.norm(across)]) / length
