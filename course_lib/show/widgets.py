"""The sliders of the course: `scrub` replays iterates in the browser, `live` asks Python for each picture."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import product
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure

from course_lib.show.access import accessible
from course_lib.show.controls import control, label, place
from course_lib.show.figures import png
from course_lib.show.paper import alt_of, size_of
from course_lib.show.replay import encode

SCRIPT = (Path(__file__).parent / "scrub.js").read_text(encoding="utf-8")
LARGEST = 2_000_000  # characters of a figure: Jupyter drops output faster than about 1 MB a second
CAPTION = "max-width:60em;margin:4px 0 0;font-size:90%;line-height:1.4;opacity:.8"  # the page's own colour


def scrub(
    frames, axes: Mapping[str, Sequence], draw: Callable[..., str], start: Mapping[str, object] | None = None
) -> None:
    """One slider an axis, over pictures that are all sent at once: no kernel is at work while you drag.

    frames   an array whose leading axes are those of `axes`: frames[i, j] is what belongs to the i-th value
             of the first axis and the j-th of the second; nested lists of anything serve as well
    axes     {"sweep k": range(60), "gamma": [0.5, 0.9]}: the sliders, their names and values
    draw     draw(frames[i, j], value_i, value_j) -> SVG text. Every frame must have the same elements in the
             same order (the functions of `boards` see to that); what differs between frames is sent
    start    where the sliders stand at first, by value: {"gamma": 0.9}; the first value by default

    Shown is a still until the script brings it to life, so a notebook that was not run shows a picture too.
    """
    html, alt = scrub_html(frames, axes, draw, start)
    display({"text/html": html, "text/plain": alt}, raw=True)


def scrub_html(frames, axes: Mapping[str, Sequence], draw: Callable[..., str], start=None) -> tuple[str, str]:
    """What `scrub` displays: the HTML of the figure, and its sentence."""
    names, values = list(axes), [list(v) for v in axes.values()]
    _check_frames(frames, names, values)
    at = _positions(names, values, start or {})
    order = [i[::-1] for i in product(*(range(len(v)) for v in reversed(values)))]  # the first runs fastest
    pictures = [draw(_pick(frames, i), *(v[j] for v, j in zip(values, i, strict=True))) for i in order]
    still = pictures[order.index(at)]
    sliders = [{"name": n, "values": [label(x) for x in v]} for n, v in zip(names, values, strict=True)]
    data = {"axes": sliders, "start": at, **encode(pictures)}
    payload = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    key = hashlib.sha256((payload + still).encode()).hexdigest()[:12]
    scripts = (
        f'<script type="application/json">{payload}</script><script>{SCRIPT.replace("@ID@", key)}</script>'
    )
    html = _figure(still, f' data-scrub="{key}"', scripts)
    if len(html) > LARGEST:
        raise ValueError(
            f"the figure takes {len(html) / 1e6:.1f} MB for {len(order)} frames, and Jupyter would drop it: "
            f"give fewer values to an axis, so that it stays under {LARGEST / 1e6:g} MB."
        )
    return html, alt_of(still)


def picture(svg_text: str) -> None:
    """Display one SVG picture with its sentence under it; also where nothing is run and no script may run."""
    display({"text/html": _figure(svg_text), "text/plain": alt_of(svg_text)}, raw=True)


def live(draw: Callable[..., object], start: Mapping[str, object] | None = None, **sliders) -> "Live":
    """Sliders that call `draw(**values)` in Python at every move, and show what it returns.

    draw      returns SVG text, or (figure, sentence) with a matplotlib figure that it redraws: make the
              figure once, outside draw, and change its lines. Its layout stays as it was drawn first
    start     where controls stand at first, by value: {"gamma": 0.9}; by default the first value of a choice,
              or the lowest number
    sliders   name=(low, high, step) for numbers, name=[...] for a choice among values, name="..." for a text
              to edit. Or any ipywidgets control with a `value`

    Returns the box of controls, in the order given: leave it as the last line of a cell to see it. A test
    moves one by `box.children[0].value = 0.3`. An error in draw is shown in place of the picture.
    """
    if not sliders:
        raise ValueError("live needs at least one slider: live(draw, gamma=(0.5, 0.95, 0.05)).")
    room = f"{1 + 0.6 * max(map(len, sliders)):.1f}em"
    controls = {name: control(name, spec, room) for name, spec in sliders.items()}
    place(controls, start or {})

    def drawn():
        return _checked(draw(**{name: c.value for name, c in controls.items()}))

    box = Live(list(controls.values()), drawn())

    def redraw(_change) -> None:
        try:
            box.put(drawn())
        except Exception as error:  # one raised in a callback would vanish in the log
            box.complain(error)

    for c in controls.values():
        c.observe(redraw, "value")
    return box


class Live(ipywidgets.VBox):
    """Controls over a picture and its sentence.

    It also carries its first picture, for readers who open the notebook without running it.
    """

    def __init__(self, controls: list[ipywidgets.Widget], first: str | tuple[Figure, str]):
        if isinstance(first, str):
            self._screen = ipywidgets.HTML()
            self._still = {"text/html": _figure(first), "text/plain": alt_of(first)}, {}
        else:
            self._screen = ipywidgets.Image(
                format="png", layout={"align_self": "flex-start", "max_width": "calc(100% - 4px)"}
            )
            image = base64.b64encode(png(first[0])).decode()
            self._still = {"image/png": image, "text/plain": first[1]}, {"image/png": {"alt": first[1]}}
            first[0].set_layout_engine("none")  # a layout takes longer than all the rest
        self._words = ipywidgets.HTML()
        self.put(first)
        super().__init__([*controls, self._screen, self._words])
        accessible(self)

    def put(self, result: str | tuple[Figure, str]) -> None:
        """Show SVG text, or a figure with its sentence."""
        if isinstance(result, str):
            self._screen.value, alt = _scrolled(result), alt_of(result)
        else:
            self._screen.value, alt = png(result[0]), result[1]
        self._words.value = f'<div style="{CAPTION}">{escape(alt)}</div>'
        self._screen.layout.display = None

    def complain(self, error: Exception) -> None:
        """Show what went wrong, instead of a picture that no longer fits the sliders."""
        self._screen.layout.display = "none"
        self._words.value = f"<b>{type(error).__name__}:</b> {escape(str(error))}"

    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        data, metadata = self._still
        return {"application/vnd.jupyter.widget-view+json": view, **data}, metadata


def _checked(result) -> str | tuple[Figure, str]:
    """What draw returned, if it is a picture; a figure is taken from pyplot, so that it shows here only."""
    if isinstance(result, str):
        return result
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Figure):
        plt.close(result[0])
        return result
    raise TypeError(f"draw returned {type(result).__name__}: return SVG text, or (figure, sentence).")


def _figure(svg_text: str, attributes: str = "", scripts: str = "") -> str:
    """A picture with its sentence under it."""
    alt = escape(alt_of(svg_text))
    data = base64.b64encode(svg_text.encode()).decode()
    image = f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}" style="{_fit(svg_text)}">'
    caption = f'<figcaption style="{CAPTION}">{alt}</figcaption>'
    return (
        f'<figure{attributes} style="margin:0"><div style="overflow-x:auto">{image}</div>'
        f"{caption}{scripts}</figure>"
    )


def _scrolled(svg_text: str) -> str:
    """The picture for a page: on a narrow one it shrinks, then it scrolls."""
    styled = svg_text.replace("<svg ", f"<svg style='{_fit(svg_text)}' ", 1)
    return f'<div style="overflow-x:auto">{styled}</div>'


def _fit(svg_text: str) -> str:
    return f"max-width:100%;min-width:{0.7 * size_of(svg_text)[0]:.0f}px;height:auto"


def _check_frames(frames, names: list[str], values: list[list]) -> None:
    if not names or any(len(v) == 0 for v in values):
        raise ValueError(
            "axes must name at least one slider, each with at least one value: {'sweep k': range(60)}."
        )
    shape = _lengths(frames, len(names))
    if shape != tuple(len(v) for v in values):
        wanted = ", ".join(f"{len(v)} for {n!r}" for n, v in zip(names, values, strict=True))
        raise ValueError(
            f"frames has leading axes {shape}, but the sliders have {wanted} values: they must agree."
        )


def _lengths(frames, depth: int) -> tuple[int, ...]:
    """The lengths of the first axes of an array, or of nested lists; shorter where they are uneven or end."""
    if depth == 0 or not hasattr(frames, "__len__"):
        return ()
    inner = {_lengths(frame, depth - 1) for frame in frames}
    return (len(frames), *(inner.pop() if len(inner) == 1 else ()))


def _pick(frames, index: tuple[int, ...]):
    for i in index:
        frames = frames[i]
    return frames


def _positions(names: list[str], values: list[list], start: Mapping[str, object]) -> tuple[int, ...]:
    """Where the sliders stand at first; a value is found by how it is written, so 0.1 + 0.2 finds 0.3."""
    labels = {name: [label(x) for x in v] for name, v in zip(names, values, strict=True)}
    for name, value in start.items():
        if label(value) not in labels.get(name, []):
            raise ValueError(
                f"start names {name!r} = {value!r}, which is no value of a slider: the sliders are {names}."
            )
    return tuple(labels[n].index(label(start[n])) if n in start else 0 for n in names)
