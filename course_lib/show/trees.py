"""A search tree as SVG: every node that may ever be in it has its place, so a slider can let it grow."""

from collections.abc import Mapping, Sequence

import numpy as np

from course_lib.show.boards import grid
from course_lib.show.paper import heading, number, svg, text
from course_lib.show.style import ACCENT, INK, MUTED, ink_on, shade

ROW, TOP, SIDE, HALF = 70, 60, 12, 17  # HALF of a node's side


def tree(
    nodes: Sequence[tuple],
    found: Mapping[tuple, tuple[int, float]],
    walked: tuple = (),
    *,
    title: str = "",
    rows: Sequence[str] = (),
    gap: float = 38,
) -> str:
    """Boxes that hold the number of visits over the value, which also colours them from −1 to 1.

    nodes    each node as the tuple of the moves that lead there, a parent before its children; () is the root
    found    {node: (how often visited, its value)}; a node without an entry keeps its place, undrawn.
             The root's value is not shown: nobody moved there
    walked   the node at which the last simulation ended: the way there is outlined
    rows     the words beside each depth, such as who is to move
    gap      the room of a leaf, in pixels

    ValueError for a node whose parent does not stand before it, or one that was found and has no place.
    """
    _check(nodes, found)
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
    body += [_box(node, x, found.get(node), _on(node, walked)) for node in nodes]
    first = {n[-1]: found[n] for n in below[()] if n in found}
    root = [f"move {a}: {count} visits, value {number(value)}" for a, (count, value) in first.items()]
    alt = f"{title}: {len(found)} nodes; {'; '.join(root) or 'no move was tried'}."
    return svg("".join(body), width, _y(depth) + HALF + SIDE, alt)


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
    x0, x1, y0, y1 = x[node[:-1]], x[node], _y(len(node) - 1) + HALF, _y(len(node)) - HALF
    colour, wide = (ACCENT, 3) if walked else (MUTED, 1)
    words = text(x0 + 0.72 * (x1 - x0), y0 + 0.72 * (y1 - y0) + 4, str(node[-1]), 11, halo=True)
    line = f"<path d='M{x0:.1f} {y0:g}L{x1:.1f} {y1:g}' stroke='{colour}' stroke-width='{wide}'/>"
    return f"<g opacity='{int(there)}'>{line}{words}</g>"


def _box(node: tuple, x: Mapping, entry: tuple[int, float] | None, walked: bool) -> str:
    count, value = entry or (None, 0.0)
    fill = shade(value, -1, 1)
    edge, wide = (ACCENT, 3.5) if walked else (INK, 1)
    mid, y, ink = round(x[node], 1), _y(len(node)), ink_on(fill)
    visits = "" if count is None else str(count)
    worth = number(value) if node and count is not None else ""
    return (
        f"<g opacity='{int(count is not None)}'>"
        f"<rect x='{mid - HALF:g}' y='{y - HALF:g}' width='{2 * HALF}' height='{2 * HALF}' rx='8' "
        f"fill='{fill}' stroke='{edge}' stroke-width='{wide}'/>"
        f"{text(mid, y - 1 if node else y + 5, visits, 13, fill=ink, weight='bold')}"
        f"{text(mid, y + 12, worth, 10, fill=ink)}</g>"
    )


def _check(nodes: Sequence[tuple], found: Mapping[tuple, tuple[int, float]]) -> None:
    seen = set()
    for node in nodes:
        if node and node[:-1] not in seen:
            raise ValueError(f"the node {node} stands before its parent {node[:-1]}: give parents first.")
        seen.add(node)
    for node in [*found, ()]:
        if node not in seen:
            raise ValueError(f"the node {node} has no place: it must be one of `nodes`.")


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
    """A board of nine squares: stones +1 (X), −1 (O) and 0 [3, 3], a number and a count on free squares.

    ValueError for another board, or a number or count on a square that is taken.
    """
    if np.shape(board) != (3, 3):
        raise ValueError(f"the board has shape {np.shape(board)}: give the stones of nine squares, [3, 3].")
    taken = sorted(a for a in {*numbers, *(counts or {})} if not (0 <= a < 9) or np.ravel(board)[a])
    if taken:
        raise ValueError(f"square {taken[0]} is not free: numbers and counts go on free squares, 0 to 8.")
    V = [numbers.get(a, float("nan")) for a in range(9)]
    notes = {a: "X" if stone > 0 else "O" for a, stone in enumerate(np.ravel(board)) if stone}
    notes |= {a: str(n) for a, n in (counts or {}).items()}
    return grid("...\n" * 3, V, marks=marks, notes=notes, title=title)


def line_to(node) -> tuple:
    """The moves from the root to a node with `.parent` and `.action`."""
    return () if node.parent is None else (*line_to(node.parent), node.action)
