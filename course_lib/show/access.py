"""What ipywidgets leaves out for readers who hear a page, or use it by keyboard: names, a frame in focus."""

from html import escape
from pathlib import Path

import ipywidgets

from course_lib.show.style import VALUE

SCRIPT = (Path(__file__).parent / "access.js").read_text(encoding="utf-8")
RULES = (  # a colour that is seen on light and on dark pages; a taken square is no faded one
    f".course-controls :focus-visible{{outline:2px solid {VALUE} !important;outline-offset:2px}}"
    ".course-controls .widget-gridbox button:disabled{opacity:1}"
)


def accessible(box: ipywidgets.Box) -> None:
    """Name the controls of a box, now and whenever they change; the last child holds its words.

    A widget has no place for a script but this: that of a style sheet which the page has loaded. Where a page
    forbids it, controls work as before. Nothing of it is stored in a notebook.
    """
    unseen = ipywidgets.HTML(f'<style onload="{escape(SCRIPT)}">{RULES}</style>', layout={"display": "none"})
    box.add_class("course-controls")
    box.children = [*box.children[:-2], unseen, *box.children[-2:]]
