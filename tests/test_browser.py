"""The sliders in a real JupyterLab, in a real Chromium: run, unrun, trusted or not, by keyboard, and dragged.

What Python drew is recorded in the kernel itself, by a cell put in front of a copy of the notebook, and held
against the page. The default run opens a small notebook made here and chapter 03; `-m slow` opens the others.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
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

CHAPTERS = sorted((lab.REPOSITORY / "chapters").glob("*.ipynb"))
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
    alt = widgets.alt_of(result) if svg else result[1]
    values = [float(c.value) for c in self.children[:-2] if c.has_trait("readout")]
    record("live", {"values": values, "drawn": drawn, "svg": svg, "alt": alt})

widgets.scrub_html, widgets.Live.put = scrub_html, put
"""

SOURCE = "i => jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.getSource()"
EDIT = "([i, s]) => jupyterapp.shell.currentWidget.content.widgets[i].model.sharedModel.setSource(s)"


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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not lab.chromium():
        message = "there is no Chromium: install it, for example by `playwright install chromium`"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    with lab.jupyter_lab(tmp_path_factory.mktemp("lab")) as server:
        for folder in ("data", "text"):  # results of long runs; the glossary's search reads its own text
            shutil.copytree(lab.REPOSITORY / "chapters" / folder, server.folder / folder)
        yield server


@pytest.fixture(scope="module")
def chrome(server):
    with lab.browser() as chrome:
        yield chrome


@pytest.fixture
def page(chrome):
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(path=Path(__file__).with_name("sliders.js"))
    yield page
    page.close()


@pytest.fixture(scope="module")
def small(server, chrome):
    """The small notebook after Run All, with all of JupyterLab around it."""
    with opened(server, chrome, "small.ipynb", mode="lab") as notebook:
        yield notebook


@pytest.fixture(scope="module")
def third(server, chrome):
    """Chapter 03 after Run All."""
    with opened(server, chrome, THIRD[0]) as notebook:
        yield notebook


@pytest.fixture(params=["small", "third"] if THIRD else ["small"])
def ran(request):
    return request.getfixturevalue(request.param)


@contextmanager
def opened(server: lab.Lab, chrome, source: Path | str, mode: str = "doc"):
    """A copy of a chapter, or the small notebook under the name that is given, open and run."""
    path = server.folder / Path(source).name
    recorder = f"NAME = {str(path.with_suffix('.jsonl'))!r}{RECORDER}"
    if isinstance(source, Path):
        notebook = nbformat.read(source, 4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(recorder))
        nbformat.write(notebook, path)
    else:
        lab.write_notebook(path, recorder, *SMALL)
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(path=Path(__file__).with_name("sliders.js"))
    errors = lab.complaints(page)
    lab.open_notebook(page, server, path.name, mode)
    lab.run_all(page)
    yield Opened(page, server, path, errors)
    page.close()


def figures(page) -> list:
    """The scrub figures of the notebook, one after the other, each in sight and alive."""
    for number in lab.cells_with(page, "data-scrub="):
        yield lab.show_cell(page, number).wait_for_selector("figure[data-alive]")


def boxes(page) -> list:
    """The boxes of live sliders."""
    for number in lab.cells_with(page, "widget-view+json"):
        cell = lab.show_cell(page, number)
        if cell.wait_for_selector(".widget-vbox", timeout=5000):
            yield cell.query_selector(".widget-vbox")


def elements(picture: str) -> list:
    """What `sliders.read` gives, of Python's picture."""
    found = ElementTree.fromstring(picture).iter()
    return [[e.tag.rpartition("}")[2], e.attrib, "" if len(e) else e.text or ""] for e in found]


def shown(figure) -> list:
    """What the figure shows; the parser keeps the namespace apart."""
    found = figure.query_selector("svg").evaluate("svg => sliders.read(svg)")
    return [
        [tag, {k: v for k, v in attributes.items() if k != "xmlns"}, text] for tag, attributes, text in found
    ]


def position(figure) -> int:
    """The number of the frame at which the sliders stand, by what they tell a screen reader."""
    data = json.loads(figure.query_selector("script").text_content())
    frame, stride = 0, 1
    for axis, slider in zip(data["axes"], figure.query_selector_all("input"), strict=True):
        frame += stride * axis["values"].index(slider.get_attribute("aria-valuetext"))
        stride *= len(axis["values"])
    return frame


def by_keyboard(page, figure, pictures: list[str]) -> None:
    """Move each slider with keys alone: every picture and every word of the controls is right."""
    for slider in figure.query_selector_all("input"):
        slider.focus()
        frames = [position(figure)]
        for key in ("Home", "ArrowRight", "ArrowRight", "End", "ArrowLeft"):
            page.keyboard.press(key)
            frames.append(position(figure))
            assert shown(figure) == elements(pictures[frames[-1]])
            value = slider.get_attribute("aria-valuetext")
            label = slider.evaluate("slider => slider.closest('label').innerText").split("\n")
            assert label == [slider.get_attribute("aria-label"), value]
        assert len(set(frames[1:])) >= min(3, int(slider.get_attribute("max")) + 1), "the keys move nothing"


def test_run_all_leaves_no_error(ran):
    screenshots(ran)
    assert lab.failures(ran.page) == []
    assert ran.errors == []


def test_scrub_by_keyboard_shows_what_python_drew(ran):
    drawn = ran.drawn("scrub")
    for figure, pictures in zip(figures(ran.page), drawn, strict=True):
        assert shown(figure) == elements(pictures[position(figure)])
        by_keyboard(ran.page, figure, pictures)
    assert drawn


def test_scrub_shows_every_frame_as_python_drew_it(ran):
    for figure, pictures in zip(figures(ran.page), ran.drawn("scrub"), strict=True):
        assert figure.evaluate("(figure, pictures) => sliders.wrongFrames(figure, pictures)", pictures) == []


def test_dragging_shows_every_value_and_leaves_the_kernel_alone(ran):
    kernel = ran.lab.kernel()
    for figure, pictures in zip(figures(ran.page), ran.drawn("scrub"), strict=True):
        figure.query_selector("input").focus()
        ran.page.evaluate("sliders.listen()")
        before = sum(kernel.cpu_times()[:2])
        result = figure.evaluate("figure => sliders.drag(figure)")
        ran.page.wait_for_timeout(100)
        assert ran.page.evaluate("window.messages") == []
        assert sum(kernel.cpu_times()[:2]) - before < 0.05
        values = json.loads(figure.query_selector("script").text_content())["axes"][0]["values"]
        first = position(figure) - (len(values) - 1)
        labels = [boards.alt_of(picture) for picture in pictures[first : first + len(values)]]
        assert result["shown"] == [list(pair) for pair in zip(values, labels, strict=True)]


def test_live_by_keyboard_shows_what_python_drew(ran):
    count = 0
    for box in boxes(ran.page):
        for handle in box.query_selector_all(".noUi-handle"):
            handle.focus()
            for key in ("ArrowRight", "ArrowRight"):
                before = len(ran.drawn("live"))
                ran.page.keyboard.press(key)
                wait_for_update(ran, before)
                check_live(box, ran.drawn("live")[-1])
                count += 1
    assert count


def wait_for_update(ran: Opened, before: int) -> None:
    for _ in range(100):
        if len(ran.drawn("live")) > before:
            break
        ran.page.wait_for_timeout(50)
    ran.page.wait_for_function(f"() => {lab.IDLE}")
    ran.page.wait_for_timeout(150)  # the page has drawn it


def check_live(box, drawn: dict) -> None:
    """The picture in the page is the one that Python drew last, for the values that the sliders show."""
    readouts = [readout.inner_text() for readout in box.query_selector_all(".widget-readout")]
    assert [float(x) for x in readouts] == pytest.approx(drawn["values"])
    if drawn["svg"]:
        assert shown(box) == elements(drawn["drawn"])
    else:
        assert box.query_selector("img").evaluate("image => sliders.digest(image)") == drawn["drawn"]
    assert box.query_selector(".widget-html:last-child").inner_text() == drawn["alt"]


def test_opened_untrusted_and_unrun_every_slider_is_a_still(ran, page):
    notebook = saved(ran)
    notebook.cells.append(nbformat.v4.new_markdown_cell("Nobody has signed this."))
    name = f"untrusted-{ran.path.name}"
    nbformat.write(notebook, ran.lab.folder / name)
    lab.open_notebook(page, ran.lab, name)
    cells = [*lab.cells_with(page, "data-scrub="), *lab.cells_with(page, "widget-view+json")]
    for cell in [lab.show_cell(page, number) for number in cells]:
        image = cell.wait_for_selector(".jp-OutputArea-output img")
        page.wait_for_function("image => image.naturalWidth > 100", arg=image)
        if "svg" in image.get_attribute("src"):  # JupyterLab gives a PNG no alternative text
            assert re.search(r"\d", image.get_attribute("alt"))
        assert not cell.query_selector("input[type=range], .noUi-handle, [data-alive]")
    assert cells


def test_opened_trusted_and_unrun_scrub_works_without_a_kernel(ran, page):
    notebook = saved(ran)
    notebook.cells.append(nbformat.v4.new_markdown_cell("This is signed, and has not run here."))
    NotebookNotary(data_dir=str(ran.lab.data)).sign(notebook)
    name = f"trusted-{ran.path.name}"
    nbformat.write(notebook, ran.lab.folder / name)
    lab.open_notebook(page, ran.lab, name)
    lab.stop_kernel(page)
    for figure, pictures in zip(figures(page), ran.drawn("scrub"), strict=True):
        by_keyboard(page, figure, pictures)


def saved(ran: Opened) -> nbformat.NotebookNode:
    """The notebook as JupyterLab saves it after the run, without the cell that records."""
    lab.save(ran.page)
    notebook = nbformat.read(ran.path, 4)
    del notebook.cells[0]
    return notebook


def test_play_runs_to_the_end_and_can_be_paused_by_keyboard(small):
    page = small.page
    figure = next(figures(page))
    slider, button = figure.query_selector("input"), figure.query_selector("button")
    slider.evaluate("slider => { slider.value = 0; slider.dispatchEvent(new Event('input')); }")
    button.focus()
    assert button.get_attribute("aria-label") == f"play {slider.get_attribute('aria-label')}"
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    page.keyboard.press("Space")
    at = int(slider.input_value())
    assert 1 <= at <= 5
    page.wait_for_timeout(300)
    assert int(slider.input_value()) == at and button.inner_text() == "▶ play"
    assert shown(figure) == elements(small.drawn("scrub")[0][position(figure)])
    page.keyboard.press("Enter")
    page.wait_for_function("slider => slider.value === slider.max", arg=slider)
    page.wait_for_timeout(300)
    assert button.inner_text() == "▶ play"


def test_all_words_can_be_read_in_the_light_and_in_the_dark_theme(small):
    page = small.page
    try:
        for theme in ("Dark", "Light"):
            page.evaluate(
                f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})"
            )
            page.wait_for_function(f"() => document.body.dataset.jpThemeName === 'JupyterLab {theme}'")
            page.wait_for_timeout(300)
            figure = next(figures(page))
            for words in figure.query_selector_all("label span, button, figcaption"):
                ink, paper = words.evaluate("element => sliders.colours(element)")
                assert style.contrast(ink, paper) >= 4.5, (theme, words.inner_text())
    finally:
        page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")


def test_a_second_view_of_an_output_works_by_itself(small):
    page, (pictures,) = small.page, small.drawn("scrub")
    first = next(figures(page))
    page.evaluate("jupyterapp.commands.execute('notebook:create-output-view')")
    page.wait_for_function("() => document.querySelectorAll('figure[data-alive]').length === 2")
    second = page.query_selector_all("figure[data-alive]")[1]
    by_keyboard(page, first, pictures)
    before = shown(first)
    by_keyboard(page, second, pictures)
    page.keyboard.press("Home")
    assert shown(second) != before == shown(first)
    page.evaluate("jupyterapp.shell.currentWidget.close()")


def test_restart_and_run_all_again_works(small):
    lab.run_all(small.page, restart=True)
    by_keyboard(small.page, next(figures(small.page)), small.drawn("scrub")[-1])
    assert len(small.drawn("scrub")) == 2
    assert lab.failures(small.page) == small.errors == []


def test_a_window_that_changes_its_size_keeps_figures_and_sliders_within_it(small):
    page, (pictures, *_) = small.page, small.drawn("scrub")[-1:]
    try:
        for width in (1600, 700, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(500)
            for element in (*figures(page), *boxes(page)):
                assert element.evaluate("sliders.sticksOut") == []
            by_keyboard(page, next(figures(page)), pictures)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})
    assert small.errors == []


def test_the_same_notebook_in_two_tabs_has_one_kernel_and_overwrites_nothing_unasked(server, chrome):
    path = server.folder / "twice.ipynb"
    lab.write_notebook(path, "a = 1", "print(a)")
    one, other = chrome.new_page(), chrome.new_page()
    for page in (one, other):
        lab.open_notebook(page, server, path.name)
    lab.run_all(one)
    other.evaluate(EDIT, [0, "b = 2"])
    lab.run_all(other)
    assert lab.failures(other) == [] and lab.cells_with(other, "1\\n") == [1], "a is known in both"
    one.evaluate(EDIT, [0, "a = 3"])
    one.wait_for_timeout(1000)
    lab.save(one)
    one.wait_for_timeout(1000)
    other.evaluate("void jupyterapp.commands.execute('docmanager:save')")
    dialog = other.wait_for_selector(".jp-Dialog")
    assert "changed on disk" in dialog.inner_text()
    assert {b.inner_text() for b in dialog.query_selector_all("button")} >= {"Cancel", "Revert", "Overwrite"}
    assert nbformat.read(path, 4).cells[0].source == "a = 3", "the first tab's work is on the disk"
    dialog.query_selector("button:has-text('Cancel')").click()
    assert other.evaluate(SOURCE, 0) == "b = 2", "the second tab's work is in its window"
    for page in (one, other):
        page.close()


@pytest.mark.parametrize("width", [1000, 390])
def test_a_static_page_works_without_any_server(page, tmp_path, width):
    """Two different figures and the first once more, from a file, on a screen and on a telephone."""
    drawn, html = [], []
    for values in ([1, 2, 3], [4, 5]):
        frames = [boards.svg(f"<text y='20'>{v} &lt; γ</text>", 900, 40, f"It's {v}.") for v in values]
        drawn.append(frames)
        axes = {"value v": values, "only": ["one"]}
        html.append(scrub_html([[f] for f in frames], axes, lambda svg, v, only: svg)[0])
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{html[0]}<hr>{html[1]}<hr>{html[0]}")
    page.set_viewport_size({"width": width, "height": 800})
    errors = lab.complaints(page)
    page.goto(file.as_uri())
    alive = page.query_selector_all("figure[data-alive]")
    for figure, pictures in zip(alive, (drawn[0], drawn[1], drawn[0]), strict=True):
        by_keyboard(page, figure, pictures)
        assert figure.evaluate("(figure, pictures) => sliders.wrongFrames(figure, pictures)", pictures) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "chapter", [path for path in CHAPTERS if path not in THIRD], ids=lambda path: path.stem
)
def test_a_chapter_runs_without_an_error(server, chrome, chapter):
    with opened(server, chrome, chapter) as notebook:
        screenshots(notebook)
        assert lab.failures(notebook.page) == []
        assert notebook.errors == []


@pytest.mark.slow
def test_the_slider_benchmark_prints_its_table(server):
    command = [sys.executable, "benchmarks/slider_latency.py", "3"]
    run = subprocess.run(command, cwd=lab.REPOSITORY, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    scrub, svg, figure, interact = (row.split("|") for row in run.stdout.splitlines()[2:6])
    assert float(scrub[2]) < float(svg[2]) < float(figure[2]) < float(interact[2])  # median ms
    assert (scrub[4].strip(), float(scrub[5])) == ("100%", 0)


def screenshots(notebook: Opened) -> None:
    """Pictures of every cell with a figure, in the folder that COURSE_SCREENSHOTS names, if it does."""
    if folder := os.environ.get("COURSE_SCREENSHOTS"):
        for number in lab.cells_with(notebook.page, "<svg") + lab.cells_with(notebook.page, "image/"):
            lab.show_cell(notebook.page, number)
            notebook.page.wait_for_timeout(300)
            notebook.page.screenshot(path=Path(folder) / f"{notebook.path.stem}-{number:03}.png")
