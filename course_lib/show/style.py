"""The house style: one set of colours (Okabe & Ito 2008, safe for colour-blind readers) in every chapter."""

from functools import cache

import matplotlib as mpl
from cycler import cycler

# Their sky blue and orange are darkened, until a line in them has a contrast of 3 with paper.
STATE, ACTION, REWARD, VALUE = "#4B9DCB", "#D55E00", "#009E73", "#0072B2"
POLICY, ACCENT, MUTED, INK = "#CC79A7", "#C68900", "#6B7280", "#1F2937"
WALL, PAPER, FLOOR, RULE = "#525B69", "#FFFFFF", "#F3F4F6", "#E5E7EB"
CYCLE = (VALUE, ACTION, REWARD, POLICY, ACCENT, STATE)
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))  # line style too, never colour alone
SVG_DASHES = ("none", "7 4", "9 3 2 3", "2 3", "9 3 2 3 2 3", "2 2")  # the same, for pictures drawn as SVG
READABLE = 4.5  # the least contrast of text with its background (WCAG 2.1, level AA)


def use() -> None:
    """Set matplotlib to the house style; call it once, in a chapter's Setup."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7.2, 3.2),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "figure.facecolor": PAPER,
            "axes.prop_cycle": cycler(color=CYCLE) + cycler(linestyle=DASHES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": MUTED,
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titley": 1.0,  # to search for a free place takes a third of the time of every draw
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": RULE,
            "legend.frameon": False,
            "font.size": 10,
        }
    )


@cache
def mix(colour: str, share: float, into: str = "#ffffff") -> str:
    """`share` of a colour in white, as '#rrggbb': mix(VALUE, 0) is white, mix(VALUE, 1) is the colour."""
    pairs = zip(_channels(colour), _channels(into), strict=True)
    return "#" + "".join(f"{round(b + share * (a - b)):02x}" for a, b in pairs)


def shade(value: float, low: float, high: float, steps: int = 24) -> str:
    """A diverging colour: white at 0, blue towards `high`, vermilion towards `low`, in few steps.

    A value beyond the limits has the colour of the limit.
    """
    low, high = sorted((low, high))
    value = min(max(value, low), high)
    end, colour = (high, VALUE) if value >= 0 else (low, ACTION)
    return mix(colour, round(value / end * steps) / steps if end else 0.0)


@cache
def contrast(colour: str, background: str) -> float:
    """The contrast of two colours '#rrggbb', from 1 (none) to 21 (WCAG 2.1)."""
    dark, light = sorted(map(_luminance, (colour, background)))
    return (light + 0.05) / (dark + 0.05)


@cache
def ink_on(background: str) -> str:
    """The ink for text on a background '#rrggbb': house ink, white or black, the first that can be read."""
    return next((ink for ink in (INK, PAPER) if contrast(ink, background) >= READABLE), "#000000")


@cache
def legible(colour: str) -> str:
    """The colour, darkened just so far that text in it can be read on white paper."""
    return next(c for k in range(21) if contrast(c := mix(colour, 1 - k / 20, "#000000"), PAPER) >= READABLE)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (x / 255 for x in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
