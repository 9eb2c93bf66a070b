"""Worlds, values, policies and curves as SVG text: pure functions that tests can read and sliders can replay.

Every picture carries its own sentence (`aria-label`), with the rounded numbers in it. Pictures of the same
kind and size have the same elements in the same order, so a slider only has to change what differs.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape
from itertools import count
from math import isfinite

import numpy as np

from course_lib.show.curves import curve
from course_lib.show.paper import EM, alt_of, below, beside, heading, number, svg, text
from course_lib.show.style import ACCENT, ACTION, FLOOR, REWARD, WALL, ink_on, shade

__all__ = ["ARROWS", "alt_of", "arrows", "below", "beside", "curve", "grid", "number", "svg", "text"]

CELL, GAP, EDGE = 50, 3, 6
SIDE = CELL - GAP
NARROWEST = 260  # the width of a board with a title, at least
IN_FULL = 30  # cells; the sentence of a larger board does not list every value
# (right, down) of the actions up, right, down, left: the screen's y points down
ARROWS = ((0, -1), (1, 0), (0, 1), (-1, 0))
ENDS = {"G": REWARD, "P": ACTION}  # goal and pit
NAMES = {"G": "goal", "P": "pit"}


def arrows(actions: Sequence[int], size: float) -> str:
    """The path data of one arrow for each action (0–3 up, right, down, left) around (0, 0)."""
    return _arrows(tuple(map(int, actions)), size)


@lru_cache
def _arrows(actions: tuple[int, ...], size: float) -> str:
    back = (
        0.0 if len(actions) > 1 else -size
    )  # a single arrow goes right through, several start at the centre
    wing = (0.32 if len(actions) > 1 else 0.45) * size
    path = []
    for dx, dy in (ARROWS[a] for a in actions):
        x, y = dx * size, dy * size
        one, other = (
            (x - wing * (dx + dy), y - wing * (dx + dy)),
            (x - wing * (dx - dy), y + wing * (dx - dy)),
        )
        path.append(_polyline((dx * back, dy * back), (x, y)) + _polyline(one, (x, y), other))
    return "".join(path)


def _polyline(*points: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x + 0.0:g} {y + 0.0:g}" for x, y in points)


def grid(
    text_map: str,
    V: np.ndarray | None = None,
    pi: np.ndarray | None = None,
    *,
    limits: tuple[float, float] = (-1.0, 1.0),
    title: str = "",
    digits: int = 2,
    marks: Sequence[int] = (),
    notes: Mapping[int, str] | None = None,
    alt: str | None = None,
) -> str:
    """A grid world: its walls, goals and pits, and if given values V [S] and arrows of a policy pi [S, 4].

    Every action with a positive probability gets an arrow, so ties show. `limits` fix the colours across
    frames, `marks` outline some states, `notes` name some ({state: "A"}). States are the free cells in
    reading order; a value that is NaN is left open, and so is an end that is worth 0.
    """
    rows, top = _rows(text_map, V, pi), 34 if title else EDGE
    width = max(2 * EDGE + len(rows[0]) * CELL - GAP, NARROWEST if title else 0)
    height = top + len(rows) * CELL - GAP + EDGE
    states = count()
    pi = None if pi is None else np.asarray(pi).tolist()
    body = [heading(title, EDGE, width - 2 * EDGE)] if title else []
    for r, c, kind in ((r, c, kind) for r, row in enumerate(rows) for c, kind in enumerate(row)):
        at = f"transform='translate({EDGE + c * CELL} {top + r * CELL})'"
        if kind == "#":
            body.append(f"<rect {at} width='{SIDE}' height='{SIDE}' rx='5' fill='{WALL}'/>")
            continue
        s = next(states)
        value = None if V is None or not isfinite(V[s]) or _worthless(kind, V[s]) else float(V[s])
        acts = () if pi is None or kind in ENDS else tuple(a for a, p in enumerate(pi[s]) if p > 1e-12)
        note = (notes or {}).get(s, "" if kind == "." or kind.islower() else kind)
        fill = ENDS.get(kind) or (FLOOR if value is None else shade(value, *limits))
        words = "" if value is None else number(value, digits)
        body.append(f"<g {at} color='{ink_on(fill)}'>{_cell(fill, words, note, acts, s in marks)}</g>")
    return svg("".join(body), width, height, alt or _sentence(rows, V, title, digits))


def _rows(text_map: str, V, pi) -> list[str]:
    """The rows of the map; ValueError where they are uneven or do not fit V or pi."""
    rows = [line.strip() for line in text_map.strip().splitlines()]
    if not rows or len(set(map(len, rows))) != 1:
        raise ValueError(
            f"the rows of the map have {[len(row) for row in rows]} cells: make all equally long."
        )
    free = sum(cell != "#" for row in rows for cell in row)
    for name, x in (("V", V), ("pi", pi)):
        if x is not None and len(x) != free:
            raise ValueError(f"{name} has {len(x)} entries, but the map has {free} free cells.")
    return rows


@lru_cache(10_000)
def _cell(fill: str, value: str, note: str, acts: tuple[int, ...], marked: bool) -> str:
    """The inside of a free cell: its value (or else its note) in large, under the arrows if there are any."""
    mid, words = SIDE / 2, value or ("" if acts else note)
    y, size = (SIDE - 6, 12) if acts else (mid + 5, 13) if value else (mid + 6, 17)
    size = min(size, (SIDE - 3) / (EM * max(len(words), 1)))
    edge = f"stroke='{ACCENT}' stroke-width='3'" if marked else "stroke='#d1d5db' stroke-width='1'"
    return (
        f"<rect width='{SIDE}' height='{SIDE}' rx='5' fill='{fill}' {edge}/>"
        f"<path d='{arrows(acts, 9 if len(acts) < 2 else 11)}' "
        f"transform='translate({mid:g} {mid - 6 * bool(words):g})' fill='none' stroke='currentColor' "
        "stroke-width='1.8' stroke-linecap='round' stroke-linejoin='round'/>"
        f"<text x='{mid:g}' y='{y:g}' font-size='{size:.3g}' text-anchor='middle' fill='currentColor'>"
        f"{escape(words)}</text>"
        f"<text x='4' y='12' font-size='10' fill='currentColor'>{escape(note * (words != note))}</text>"
    )


def _worthless(cell: str, value: float) -> bool:
    """Whether this is an end with the value of an end, 0 but for rounding."""
    return cell in ENDS and abs(value) < 1e-9


def _word(cell: str, value: float, digits: int) -> str:
    if _worthless(cell, value):
        return NAMES[cell]
    return number(value, digits) if isfinite(value) else "open"


def _sentence(rows: list[str], V: np.ndarray | None, title: str, digits: int) -> str:
    """What the board shows, in words: every value of a small one, the range of a large one."""
    size = f"{title + ': ' if title else ''}a grid of {len(rows)} rows and {len(rows[0])} columns"
    free = [cell for row in rows for cell in row if cell != "#"]
    if V is None:
        return f"{size}, {len(free)} free cells."
    said = [_word(cell, value, digits) for cell, value in zip(free, V, strict=True)]
    if len(rows) * len(rows[0]) <= IN_FULL:
        words = iter(said)
        lines = (" ".join("wall" if cell == "#" else next(words) for cell in row) for row in rows)
        return f"{size}; values row by row: {'; '.join(lines)}."
    known = [v for cell, v in zip(free, V, strict=True) if isfinite(v) and not _worthless(cell, v)]
    if not known:
        return f"{size}, no values yet."
    start = f", {said[free.index('S')]} at S" if "S" in free else ""
    return f"{size}; values from {number(min(known), digits)} to {number(max(known), digits)}{start}."
