"""A table of numbers as a coloured board: SVG text, like the pictures of `boards`."""

from collections.abc import Sequence

import numpy as np

from course_lib.show.paper import heading, number, svg, text
from course_lib.show.style import MUTED, ink_on, shade

LETTER = 0.62  # how wide a letter is, as a share of its size


def heat(
    table: np.ndarray,
    *,
    limits: tuple[float, float],
    alt: str,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    names: tuple[Sequence[str], Sequence[str]] | None = None,
    digits: int = 0,
    cell: int = 20,
) -> str:
    """table [rows, columns], row 0 at the bottom, each number on its colour (blue above 0, vermilion below).

    `names` are those of the rows and of the columns; by default every fifth number. `limits` fix the colours.
    """
    rows, columns = table.shape
    row_names, column_names = names or (_every_fifth(rows), _every_fifth(columns))
    left, top = 40 + max(7 * len(name) for name in row_names), 34
    width, height = columns * cell, rows * cell
    sheet = max(left + width, 300) + 12
    body = [heading(title, 14, sheet - 28)]
    for r, c in np.ndindex(table.shape):
        body.append(_square(table[r, c], left + c * cell, top + (rows - 1 - r) * cell, cell, limits, digits))
    body += [
        text(left + (c + 0.5) * cell, top + height + 15, n, 11, fill=MUTED)
        for c, n in enumerate(column_names)
    ]
    body += [
        text(left - 6, top + height - (r + 0.5) * cell + 4, n, 11, "end", MUTED)
        for r, n in enumerate(row_names)
    ]
    body.append(text(left + width / 2, top + height + 34, xlabel, 12, fill=MUTED))
    turned = f"rotate(-90 14 {top + height / 2:g})"
    body.append(f"<g transform='{turned}'>{text(14, top + height / 2 + 4, ylabel, 12, fill=MUTED)}</g>")
    return svg("".join(body), sheet, top + height + 44, alt)


def _square(value: float, x: float, y: float, cell: int, limits, digits: int) -> str:
    fill, words = shade(value, *limits), number(value, digits)
    size = min(0.5 * cell, 0.8 * cell / (LETTER * len(words)), 16)
    box = f"<rect x='{x:g}' y='{y:g}' width='{cell - 1}' height='{cell - 1}' rx='2' fill='{fill}'/>"
    return box + text(x + cell / 2 - 0.5, y + cell / 2 + 0.36 * size, words, size, fill=ink_on(fill))


def _every_fifth(n: int) -> list[str]:
    return [str(i) if i % 5 == 0 else "" for i in range(n)]
