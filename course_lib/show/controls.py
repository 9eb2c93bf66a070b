"""The controls of `live`, from short descriptions."""

from collections.abc import Iterable, Mapping
from numbers import Integral, Real

import ipywidgets
import numpy as np
from traitlets import TraitError


def control(name: str, spec, room: str = "8em") -> ipywidgets.Widget:
    """The control for (low, high, step), for a list of values, or the one given; `room` is for its name."""
    if isinstance(spec, ipywidgets.Widget) and spec.has_trait("value"):
        return spec
    look = {
        "description": name.replace("_", " "),
        "tooltip": name.replace("_", " "),  # without one, ipywidgets writes "null" there
        "style": {"description_width": room},
        "layout": {"width": "32em", "max_width": "calc(100% - 4px)"},  # 2 px of margin on each side
    }
    if isinstance(spec, str):
        return ipywidgets.Textarea(spec, rows=spec.count("\n") + 2, **look)
    if isinstance(spec, tuple):
        return _number_slider(name, spec, look)
    if not isinstance(spec, Iterable) or isinstance(spec, bytes | Mapping):
        raise ValueError(f"the slider {name} has {spec!r}: give (low, high, step), or a list of values.")
    options = [(label(x), x) for x in spec]
    if not options:
        raise ValueError(f"the slider {name} has no values to choose from.")
    return ipywidgets.SelectionSlider(options=options, **look)


def _number_slider(name: str, spec: tuple, look: dict) -> ipywidgets.Widget:
    fits = len(spec) == 3 and all(isinstance(x, Real) for x in spec)
    if not fits or not (spec[0] < spec[1] and 0 < spec[2] <= spec[1] - spec[0]):
        raise ValueError(
            f"the slider {name} has {spec}: give (low, high, step) with low < high and a step that fits "
            "between them, or a list of values."
        )
    low, high, step = spec
    if all(isinstance(x, Integral) for x in spec):
        return ipywidgets.IntSlider(value=low, min=low, max=high, step=step, **look)
    digits = max(len(f"{x:.9f}".rstrip("0").partition(".")[2]) for x in (low, step))
    return ipywidgets.FloatSlider(
        value=low, min=low, max=high, step=step, readout_format=f".{digits}f", **look
    )


def place(controls: Mapping[str, ipywidgets.Widget], start: Mapping[str, object]) -> None:
    """Set controls to the values of `start`; ValueError where one is not there or cannot take its value."""
    for name, value in start.items():
        if name not in controls:
            raise ValueError(f"start names {name!r}, which is no slider: the sliders are {list(controls)}.")
        try:
            controls[name].value = value
        except TraitError:
            pass  # it kept its old value, which the next line finds out
        if controls[name].value != value:  # a slider clips what is out of its range
            raise ValueError(f"start puts {name} at {value!r}, which is no value of that slider.")


def label(value) -> str:
    """How a slider writes a value."""
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
