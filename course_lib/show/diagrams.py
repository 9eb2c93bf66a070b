"""Small diagrams of circles, boxes and arrows as SVG text, like the pictures of `boards`."""

from collections.abc import Mapping, Sequence
from math import hypot

from course_lib.show.boards import svg, text
from course_lib.show.style import ACTION, INK, MUTED, PAPER, REWARD, STATE

COLOURS = {"state": STATE, "action": ACTION, "reward": REWARD, "plain": "#E5E7EB"}
RADIUS = 28


def graph(
    nodes: Mapping[str, tuple[float, float, str]],
    edges: Sequence[tuple[str, str, str]],
    *,
    size: tuple[float, float],
    alt: str,
) -> str:
    """Nodes and the arrows between them.

    nodes {name: (x, y, kind)}: the kind is state (circle), action (square), reward (diamond) or plain (box).
    edges (from, to, label): one from a node to itself is a loop above it; two between the same nodes bend.
    """
    for a, b, _ in edges:
        if a not in nodes or b not in nodes:
            raise ValueError(
                f"the edge {a!r} → {b!r} names a node that is not there: the nodes are {list(nodes)}."
            )
    both = {(a, b) for a, b, _ in edges}
    lines = [_edge(nodes[a], nodes[b], label, bend=40 if (b, a) in both else 0) for a, b, label in edges]
    head = (
        "<defs><marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7' markerHeight='7' "
        "orient='auto'>"
        f"<path d='M0 0L10 5L0 10z' fill='{MUTED}'/></marker></defs>"
    )
    return svg(
        head + "".join(lines) + "".join(_node(name, *where) for name, where in nodes.items()), *size, alt
    )


def _node(name: str, x: float, y: float, kind: str) -> str:
    r, side, tip = RADIUS, 2 * RADIUS - 4, RADIUS + 4
    look = f"fill='{PAPER}' stroke='{COLOURS[kind]}' stroke-width='3.5'"
    diamond = f"M{x:g} {y - tip:g}L{x + tip:g} {y:g}L{x:g} {y + tip:g}L{x - tip:g} {y:g}z"
    square = f"x='{x - r + 2:g}' y='{y - r + 2:g}' width='{side}' height='{side}'"
    shape = {
        "state": f"<circle cx='{x:g}' cy='{y:g}' r='{r}' {look}/>",
        "action": f"<rect {square} rx='4' {look}/>",
        "reward": f"<path d='{diamond}' {look}/>",
        "plain": f"<rect x='{x - 2 * r:g}' y='{y - r:g}' width='{4 * r}' height='{2 * r}' rx='8' {look}/>",
    }[kind]
    return shape + text(x, y + 5, name, 13)


def _edge(start: tuple, end: tuple, label: str, bend: float) -> str:
    (x0, y0, _), (x1, y1, _) = start, end
    line = f"fill='none' stroke='{MUTED}' stroke-width='1.6' marker-end='url(#head)'"
    if start == end:
        bow = f"C{x0 - 40:g} {y0 - 75:g} {x0 + 40:g} {y0 - 75:g} {x0 + 13:g} {y0 - RADIUS - 3:g}"
        path = f"M{x0 - 12:g} {y0 - RADIUS:g}{bow}"
        return f"<path d='{path}' {line}/>" + text(x0, y0 - 70, label, 12, fill=INK)
    length = hypot(x1 - x0, y1 - y0)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    mx, my = (x0 + x1) / 2 - bend * uy, (y0 + y1) / 2 + bend * ux  # the bend is to the right of the way
    r = RADIUS + 5
    path = f"M{x0 + r * ux:.1f} {y0 + r * uy:.1f}Q{mx:.1f} {my:.1f} {x1 - r * ux:.1f} {y1 - r * uy:.1f}"
    shift = 10 if bend >= 0 and uy == 0 and bend else 0
    return f"<path d='{path}' {line}/>" + text(
        mx - 0.3 * bend * -uy, my - 0.5 * bend * ux - 6 + 2 * shift, label, 12, fill=INK
    )
