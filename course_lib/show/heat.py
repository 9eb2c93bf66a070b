"""A table of numbers as a coloured board: SVG text, like the pictures of `boards`."""

import numpy as np

from course_lib.show.boards import number, svg, text
from course_lib.show.style import MUTED, ink_on, shade


def heat(
    table: np.ndarray,
    *,
    limits: tuple[float, float],
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    digits: int = 0,
    cell: int = 20,
    alt: str,
) -> str:
    """table [rows, columns], row 0 at the bottom, each number on its colour (blue above 0, vermilion below)."""
    rows, columns = table.shape
    left, top = 46, 34
    body = [text(left + columns * cell / 2, 22, title, 13, weight="bold")]
    for r in range(rows):
        for c in range(columns):
            x, y = left + c * cell, top + (rows - 1 - r) * cell
            fill = shade(table[r, c], *limits)
            body.append(
                f"<rect x='{x}' y='{y}' width='{cell - 1}' height='{cell - 1}' rx='2' fill='{fill}'/>"
            )
            words = number(table[r, c], digits)
            body.append(text(x + cell / 2 - 0.5, y + cell / 2 + 4, words, cell * 0.5, fill=ink_on(fill)))
    for c in range(0, columns, 5):
        body.append(text(left + (c + 0.5) * cell, top + rows * cell + 14, str(c), 11, fill=MUTED))
    for r in range(0, rows, 5):
        body.append(text(left - 6, top + (rows - 0.5 - r) * cell + 4, str(r), 11, "end", MUTED))
    body.append(text(left + columns * cell / 2, top + rows * cell + 32, xlabel, 12, fill=MUTED))
    middle = top + rows * cell / 2
    body.append(
        f"<g transform='rotate(-90 14 {middle:g})'>{text(14, middle + 4, ylabel, 12, fill=MUTED)}</g>"
    )
    return svg("".join(body), left + columns * cell + 10, top + rows * cell + 42, alt)
