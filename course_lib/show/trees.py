"""A search tree as SVG: every node that may ever be in it has its place, so a slider can let it grow."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.show.boards import grid
from course_lib.show.paper import heading, number, svg, text
from course_lib.show.style import ACCENT, INK, MUTED, ink_on, shade

ROW, TOP, SIDE, RADIUS = 62, 58, 12, 14


def tree(
    nodes: Sequence[tuple],
    found: Mapping[tuple, tuple[int, float]],
    walked: tuple = (),
    *,
    title: str = "",
    rows: Sequence[str] = (),
    gap: float = 34,
) -> str:
    """Circles with the number of visits in them, coloured by their value from −1 to 1.

    nodes    each node as the tuple of the moves that lead there, a parent before its children; () is the root
    found    {node: (how often visited, its value)}; a node without an entry is not drawn, but keeps its place
    walked   the node at which the last simulation ended: the way there is outlined
    rows     the words beside each depth, such as who is to move
    gap      the room of a leaf, in pixels
    """
    below = {node: [] for node in nodes}
    for node in nodes:
        if node:
            below[node[:-1]].append(node)
    x = _places(below, SIDE + 8.5 * max(map(len, rows), default=0), gap)
    width = max(x.values()) + gap / 2 + SIDE
    depth = max(map(len, nodes))
    body = [heading(title, SIDE, width - 2 * SIDE)]
    body += [text(SIDE, _y(k) + 4, words, 11, "start", MUTED) for k, words in enumerate(rows)]
    body += [_edge(node, x, node in found, _on(node, walked)) for node in nodes if node]
    body += [_circle(node, x, found.get(node), _on(node, walked)) for node in nodes]
    first = {n[-1]: found[n] for n in below[()] if n in found}
    root = [f"move {a}: {count} visits, value {number(value)}" for a, (count, value) in first.items()]
    alt = f"{title}: {len(found)} nodes; {'; '.join(root) or 'no move was tried'}."
    return svg("".join(body), width, _y(depth) + RADIUS + SIDE, alt)


def _places(below: Mapping[tuple, list], left: float, gap: float) -> dict[tuple, float]:
    """Leaves side by side, and every other node over the middle of its children."""
    x, leaves = {}, 0
    for node in below:  # parents come before their children, siblings in order
        if not below[node]:
            x[node] = left + (leaves + 0.5) * gap
            leaves += 1
    for node in sorted(below, key=len, reverse=True):
        if below[node]:
            x[node] = sum(x[kid] for kid in below[node]) / len(below[node])
    return x


def _y(depth: int) -> float:
    return TOP + depth * ROW


def _on(node: tuple, walked: tuple) -> bool:
    return walked[: len(node)] == node


def _edge(node: tuple, x: Mapping, there: bool, walked: bool) -> str:
    x0, x1, y0, y1 = x[node[:-1]], x[node], _y(len(node) - 1) + RADIUS, _y(len(node)) - RADIUS
    colour, wide = (ACCENT, 3) if walked else (MUTED, 1)
    words = text(x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0) + 4, str(node[-1]), 11, halo=True)
    line = f"<path d='M{x0:.1f} {y0:g}L{x1:.1f} {y1:g}' stroke='{colour}' stroke-width='{wide}'/>"
    return f"<g opacity='{int(there)}'>{line}{words}</g>"


def _circle(node: tuple, x: Mapping, entry: tuple[int, float] | None, walked: bool) -> str:
    count, value = entry or (None, 0.0)
    fill = shade(value, -1, 1)
    edge, wide = (ACCENT, 3.5) if walked else (INK, 1)
    words = "" if count is None else str(count)
    return (
        f"<g opacity='{int(count is not None)}'>"
        f"<circle cx='{x[node]:.1f}' cy='{_y(len(node)):g}' r='{RADIUS}' "
        f"fill='{fill}' stroke='{edge}' stroke-width='{wide}'/>"
        f"{text(round(x[node], 1), _y(len(node)) + 4, words, 11, fill=ink_on(fill))}</g>"
    )


def lines_of_play(state, moves: tuple = ()):
    """Yields every line of moves from a state to the end, and all its beginnings: the nodes of `tree`."""
    yield moves
    for a in state.actions():
        yield from lines_of_play(state.play(a), (*moves, a))


def snapshot(node, moves: tuple = ()) -> dict[tuple, tuple[int, float]]:
    """{line of moves: (N, Q)} of a node with `.N`, `.Q` and `.children` {move: node}, and of all below it."""
    found = {moves: (node.N, node.Q)}
    for a, child in node.children.items():
        found |= snapshot(child, (*moves, a))
    return found


def squares(
    board: np.ndarray,
    numbers: Mapping[int, float],
    counts: Mapping[int, int] | None = None,
    *,
    marks: Sequence[int] = (),
    title: str = "",
) -> str:
    """A board of nine squares: stones +1 (X), −1 (O) and 0 [3, 3], a number and a count on free squares."""
    V = [numbers.get(a, float("nan")) for a in range(9)]
    notes = {a: "X" if stone > 0 else "O" for a, stone in enumerate(np.ravel(board)) if stone}
    notes |= {a: str(n) for a, n in (counts or {}).items()}
    return grid("...\n" * 3, V, marks=marks, notes=notes, title=title)


def line_to(node) -> tuple:
    """The moves from the root to a node with `.parent` and `.action`."""
    return () if node.parent is None else (*line_to(node.parent), node.action)
