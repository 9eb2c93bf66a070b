"""The sliders in a real JupyterLab, in a real Chromium: run, unrun, trusted or not, by keyboard, and dragged.

What Python drew is recorded in the kernel itself, by a cell put in front of a copy of the notebook, and held
against the page. The default run opens a small notebook made here and chapter 03; `-m slow` opens every chapter.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import lab
import nbformat
import pytest
from nbformat.sign import NotebookNotary

from course_lib.show import boards, style
from course_lib.show.widgets import scrub_html

pytestmark = pytest.mark.browser

CHAPTERS = sorted((lab.REPOSITORY / "chapters").glob("[0-9]*.ipynb"))
THIRD = [path for path in CHAPTERS if path.name.startswith("03")]
SMALL = (
    """
import matplotlib.pyplot as plt
import numpy as np
from course_lib.agents.planning import greedy, solve, value_iteration
from course_lib.show import boards, live, scrub, style
from course_lib.worlds.grids import gridworld

MAP = "S..G\\n.#.P\\n...."
gammas = (0.5, 0.9, 0.99)
worlds = [gridworld(MAP, slip=0.1, gamma=gamma) for gamma in gammas]
sweeps = np.array([list(value_iteration(world))[:12] for world in worlds])
""",
    """
def draw_sweep(V, k, gamma):
    board = boards.grid(MAP, V, greedy(worlds[gammas.index(gamma)], V), title=f"sweep {k}, γ = {gamma}")
    error = np.abs(sweeps[gammas.index(gamma)] - V).max(axis=1)
    return boards.beside(board, boards.curve({"distance": error}, xlabel="sweep", mark=k, limits=(0, 1)))

start = {"sweep k": 4, "gamma": 0.9}
scrub(sweeps.swapaxes(0, 1), axes={"sweep k": range(12), "gamma": gammas}, draw=draw_sweep, start=start)
""",
    """
def draw_slip(slip, gamma):
    V, pi = solve(gridworld(MAP, slip=slip, gamma=gamma))
    return boards.grid(MAP, V, pi, title=f"slip {slip:.1f}, γ = {gamma}")

live(draw_slip, slip=(0.0, 0.5, 0.1), gamma=[0.9, 0.5])
""",
    """
style.use()
figure, ax = plt.subplots(figsize=(4, 2))
bars = ax.bar(range(11), np.zeros(11))
ax.set_ylim(0, 1)

def draw_values(gamma):
    V, _ = solve(gridworld(MAP, gamma=gamma))
    for bar, v in zip(bars, V):
        bar.set_height(v)
    return figure, f"With γ = {gamma} the start is worth {V[0]:.2f}."

live(draw_values, gamma=(0.5, 0.9, 0.1))
""",
)
RECORDER = """
import hashlib, json
from course_lib.show import widgets

def record(kind, what):
    with open(NAME, "a") as file:
        file.write(json.dumps([kind, what]) + "\\n")

def scrub_html(frames, axes, draw, start=None, original=widgets.scrub_html):
    pictures = []
    draw_and_keep = lambda *values: pictures.append(draw(*values)) or pictures[-1]
    html = original(frames, axes, draw_and_keep, start)
    record("scrub", pictures)
    return html

def put(self, result, original=widgets.Live.put):
    original(self, result)
    svg = isinstance(result, str)
    drawn = result if svg else hashlib.sha256(self._screen.value).hexdigest()
    record("live", {"values": [str(c.value) for c in self.children[:-2]], "drawn": drawn, "svg": svg})

widgets.scrub_html, widgets.Live.put = scrub_html, put
"""


@dataclass
class Opened:
    """A notebook that is open and has run: its page, the errors there, and what Python drew."""

    page: object
    lab: lab.Lab
    path: Path
    errors: list[str]

    def drawn(self, kind: str) -> list:
        lines = self.path.with_suffix(".jsonl").read_text().splitlines()
        return [what for k, what in map(json.loads, lines) if k == kind]
