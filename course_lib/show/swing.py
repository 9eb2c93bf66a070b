"""A pendulum, where it is and where a plan expects its tip to go, as SVG text (chapters 17 and 18)."""

from collections.abc import Sequence
from math import cos, nan, sin

from course_lib.show.curves import curve
from course_lib.show.paper import beside, heading, svg, text
from course_lib.show.style import ACTION, INK, MUTED, STATE

SIDE, ROD = 250, 82
CENTRE = (SIDE / 2, 30 + (SIDE - 30) / 2)


def pendulum(angle: float, planned: Sequence[float], title: str = "", alt: str = "") -> str:
    """The pendulum at `angle` (0 is upright, in radians), and the angles that a plan expects, as a trail.

    The trail of the tip moves outwards with time, so that swinging to and fro can be told apart.
    """
    tips = [_tip(a, ROD + 1.8 * k) for k, a in enumerate(planned)]
    trail = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in tips) or "M0 0"
    (x, y), (px, py) = _tip(angle, ROD), CENTRE
    body = [heading(title, 10, SIDE - 20)] if title else []
    body += [
        f"<circle cx='{px}' cy='{py}' r='{ROD}' fill='none' stroke='{MUTED}' stroke-opacity='.35'/>",
        f"<path d='{trail}' stroke='{ACTION}' stroke-width='6' stroke-linecap='round' fill='none'/>",
        f"<path d='M{px} {py}L{x:.1f} {y:.1f}' stroke='{INK}' stroke-width='6' stroke-linecap='round'/>",
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='11' fill='{STATE}' stroke='{INK}'/>",
        text(px, SIDE + 22, "● now   · the plan", 12),
    ]
    words = alt or f"{title}: the pendulum leans {angle:.2f} rad from upright."
    return svg("".join(body), SIDE, SIDE + 34, words)


def _tip(angle: float, length: float) -> tuple[float, float]:
    return CENTRE[0] + length * sin(angle), CENTRE[1] - length * cos(angle)


def film(heights: Sequence[float], expected: Sequence[float], t: int, title: str, shown: int = 121) -> str:
    """Step t of a swing-up: the pendulum with its plan, beside the heights of the tip, of reality and plan.

    heights   of the tip at all steps of the run, cos of the angle
    expected  the angles that the plan of step t expects, from now on
    """
    reality, plan = [nan] * shown, [nan] * shown
    reality[: t + 1] = heights[: t + 1]
    plan[t : t + len(expected)] = [cos(a) for a in expected]
    look = {
        "xlabel": "step",
        "ylabel": "height of the tip",
        "limits": (-1.1, 1.1),
        "width": 470,
        "height": 285,
    }
    lines = curve({"reality": reality, "plan": plan[:shown]}, title=title, alt=title, **look)
    return beside(pendulum(expected[0], expected[1:], alt=title), lines, alt=f"{title}.")
