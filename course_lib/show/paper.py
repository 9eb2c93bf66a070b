"""Sheets of SVG: the picture with its sentence, lines of text, numbers for people, pictures side by side."""

import re
from html import escape, unescape
from itertools import accumulate

from course_lib.show.style import INK, PAPER

FONT = "font-family='DejaVu Sans, Verdana, sans-serif'"
EM = 0.62  # the width of a character over the size of its font, at most, on average over a line


def svg(body: str, width: float, height: float, alt: str) -> str:
    """A complete SVG picture on white paper, with its sentence."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:g} {height:g}' width='{width:g}' "
        f"height='{height:g}' role='img' aria-label='{escape(alt)}' {FONT}>"
        f"<rect width='{width:g}' height='{height:g}' rx='6' fill='{PAPER}'/>{body}</svg>"
    )


def alt_of(picture: str) -> str:
    """The sentence of an SVG picture."""
    found = re.search(r"aria-label=(['\"])(.*?)\1", picture, re.DOTALL)
    if not found:
        raise ValueError("the picture has no sentence: make it with boards.svg(body, width, height, alt).")
    return unescape(found[2])


def size_of(picture: str) -> tuple[float, float]:
    """The width and height of an SVG picture."""
    found = re.search(r"<svg [^>]*width='([\d.]+)' height='([\d.]+)'", picture)
    if not found:
        raise ValueError(
            "the picture has no width and height: make it with boards.svg(body, width, height, alt)."
        )
    return float(found[1]), float(found[2])


def beside(*pictures: str, alt: str | None = None) -> str:
    """Several pictures in one row, with one sentence: their own, joined, unless `alt` is given."""
    sizes = [size_of(picture) for picture in pictures]
    lefts = [0.0, *accumulate(width for width, _ in sizes)]
    bare = [re.sub(r" role='img' aria-label='[^']*'", "", picture, count=1) for picture in pictures]
    parts = [p.replace("<svg ", f"<svg x='{x:g}' ", 1) for p, x in zip(bare, lefts, strict=False)]
    sentence = " ".join(map(alt_of, pictures)) if alt is None else alt
    return svg("".join(parts), lefts[-1], max(height for _, height in sizes), sentence)


def below(*pictures: str) -> str:
    """Several pictures in one column, with one sentence: their own, joined."""
    sizes = [size_of(picture) for picture in pictures]
    tops = [0.0, *accumulate(height for _, height in sizes)]
    bare = [re.sub(r" role='img' aria-label='[^']*'", "", picture, count=1) for picture in pictures]
    parts = [p.replace("<svg ", f"<svg y='{y:g}' ", 1) for p, y in zip(bare, tops, strict=False)]
    return svg("".join(parts), max(width for width, _ in sizes), tops[-1], " ".join(map(alt_of, pictures)))


def number(value: float, digits: int = 2) -> str:
    """A number rounded once, for people: never '-0.00'.

    Noise below 1e-9, which differs between machines, is taken away first, so that ties round alike on all.
    """
    return f"{round(round(float(value), 9), digits) + 0.0:.{digits}f}"


def text(
    x: float,
    y: float,
    words: str,
    size: float = 12,
    anchor: str = "middle",
    fill: str = INK,
    weight: str = "normal",
    halo: bool = False,
) -> str:
    """One line of text; (x, y) is its baseline. A `halo` of paper keeps it readable across lines."""
    around = (
        f" stroke='{PAPER}' stroke-width='4' stroke-linejoin='round' paint-order='stroke'" if halo else ""
    )
    return (
        f"<text x='{x:g}' y='{y:g}' font-size='{size:g}' text-anchor='{anchor}' font-weight='{weight}' "
        f"fill='{fill}'{around}>{escape(words)}</text>"
    )


def heading(words: str, x: float, room: float) -> str:
    """The title of a picture, made smaller, and at last cut, to fit in `room`.

    It starts at the left, and so stands still while the numbers in it change.
    """
    size = min(14, max(9, int(room / (EM * max(len(words), 1)))))
    most = int(room / (EM * size))
    return text(x, 22, words if len(words) <= most else words[: most - 1] + "…", size, "start", weight="bold")
