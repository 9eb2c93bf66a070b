"""Figures and sliders: arrays in, pictures out. This room imports no other."""

from course_lib.show import boards, diagrams, style
from course_lib.show.figures import show
from course_lib.show.heat import heat
from course_lib.show.widgets import live, picture, scrub

__all__ = ["boards", "diagrams", "heat", "live", "picture", "scrub", "show", "style"]
