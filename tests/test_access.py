"""Access: keyboard alone suffices, controls show their name and value, contrast AA, colour is never alone.

Without a browser: the house's colours, its drawing functions, the pictures and sliders of all chapters.
In JupyterLab, in Chromium: a notebook with a control of every kind. `-m slow`: axe-core on running chapters.
"""

import ast
import base64
import io
import json
import re
import shutil
from itertools import product, zip_longest
from pathlib import Path
from xml.etree import ElementTree

import lab
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image
from test_browser import chrome, server  # noqa: F401

from course_lib.show import beliefs, boards, clouds, diagrams, estimates, heat, plane, style, swing, trees
from course_lib.show.adapting import Sheet
from tools import extras

CHAPTERS = sorted((lab.REPOSITORY / "chapters").glob("*.ipynb"))
TEXT, GRAPHIC = 4.5, 3.0  # the least contrast of words, and of lines and marks (WCAG 2.1, 1.4.3 and 1.4.11)
DARK = "#111111"  # the page of JupyterLab's dark theme
SVG = "{http://www.w3.org/2000/svg}"


def over_chapters(test):
    return pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)(test)


# Contrast


@pytest.mark.parametrize("colour", sorted({*style.CYCLE, style.MUTED, style.INK, style.WALL}))
def test_lines_and_marks_stand_out_from_the_paper(colour):
    assert style.contrast(colour, style.PAPER) >= GRAPHIC
    assert style.contrast(style.legible(colour), style.PAPER) >= TEXT


def test_walls_stand_out_from_floors_and_ends_from_both():
    for end in (style.WALL, *boards.ENDS.values()):
        assert style.contrast(end, style.FLOOR) >= GRAPHIC


def test_what_is_drawn_on_the_page_itself_is_seen_on_light_and_dark():
    """The frame of what is in focus, the edges of squares to click, the dots of a game."""
    for colour in (style.VALUE, style.ACTION, style.MUTED):
        assert min(style.contrast(colour, page) for page in (style.PAPER, DARK)) >= GRAPHIC


def words_on(picture: ElementTree.Element) -> list[tuple[str, str, str]]:
    """(words, their colour, the colour under them) of each text; what is turned stands on paper."""
    shapes, found = [], []

    def walk(element, x, y, ink):
        ink, tag = element.get("color", ink), element.tag.removeprefix(SVG)
        at = {k: float(element.get(k, 0)) for k in ("x", "y", "width", "height", "cx", "cy", "r")}
        if move := re.match(r"translate\((\S+) (\S+?)\)", element.get("transform", "")):
            x, y = x + float(move[1]), y + float(move[2])
        if tag == "svg":
            left, top, *_ = map(float, element.get("viewBox").split())
            x, y = x + at["x"] - left, y + at["y"] - top
        box = (at["x"], at["y"], at["width"], at["height"])
        if tag == "circle":
            box = (at["cx"] - at["r"], at["cy"] - at["r"], 2 * at["r"], 2 * at["r"])
        if tag in ("rect", "circle") and element.get("fill") != "none":
            shapes.append((x + box[0], y + box[1], *box[2:], element.get("fill")))
        if tag == "text" and (element.text or "").strip():
            across, down = x + at["x"], y + at["y"] - 4
            under = [f for left, t, w, h, f in shapes if 0 <= across - left <= w and 0 <= down - t <= h]
            fill = element.get("fill")
            found.append((element.text, ink if fill == "currentColor" else fill, under[-1]))
        for child in element:
            walk(child, x, y, ink)

    walk(picture, 0.0, 0.0, style.INK)
    return found


def faint(picture: ElementTree.Element) -> list[tuple]:
    return [text for text in words_on(picture) if style.contrast(*map(hexadecimal, text[1:])) < TEXT]


def hexadecimal(colour: str) -> str:
    return {"white": "#ffffff", "black": "#000000"}.get(colour, colour)


@pytest.mark.parametrize("value", np.linspace(-1, 1, 97))
def test_a_number_can_be_read_on_every_colour_of_the_map(value):
    """heat, grid and tree at every step of the colour map."""
    table = heat(np.full((1, 1), value), limits=(-1, 1), alt="1", digits=1, cell=30)
    board = boards.grid("SG", [value, value], np.full((2, 4), 0.25), notes={0: "A"}, title="t")
    found = trees.tree([(), (0,)], {(): (9, 0.0), (0,): (8, value)}, title="t", rows=["X", "O"])
    for picture in (table, board, found):
        root = ElementTree.fromstring(picture)
        assert len(words_on(root)) >= 2 and faint(root) == []


def test_faint_words_are_found():
    words = boards.text(50, 20, "pale", fill="#9ca3af") + boards.text(50, 20, "dark")
    picture = boards.beside(boards.svg("", 200, 40, "0"), boards.svg(words, 99, 40, "0"))
    assert faint(ElementTree.fromstring(picture)) == [("pale", "#9ca3af", style.PAPER)]
    dark = (
        f"<rect width='30' height='30' fill='{style.WALL}'/><text x='9' y='20' fill='currentColor'>5</text>"
    )
    dark = f"<g transform='translate(40 9)' color='#000000'>{dark}</g>"
    assert len(faint(ElementTree.fromstring(boards.svg(dark, 99, 40, "0")))) == 1


# What the chapters store


def outputs(path: Path):
    """(the source of the cell, its outputs) of all code cells."""
    return [(c.source, c.outputs) for c in nbformat.read(path, 4).cells if c.cell_type == "code"]


def stills(path: Path) -> list[tuple[str, ElementTree.Element]]:
    """(the HTML of the figure, its SVG) of every slider and picture of a chapter, of `live` the first one."""
    html = [o["data"].get("text/html", "") for _, found in outputs(path) for o in found if "data" in o]
    pairs = [(h, re.findall(r"data:image/svg\+xml;base64,([^\"]+)", h)) for h in html]
    return [(h, ElementTree.fromstring(base64.b64decode(svg[0]))) for h, svg in pairs if svg]


@over_chapters
def test_all_words_of_stored_pictures_can_be_read(path):
    assert [text for _, svg in stills(path) for text in faint(svg)] == []


def test_the_legend_of_a_cloud_can_be_read():
    picture = clouds.cloud(np.zeros((3, 2)), (1, 1), limits=(-3, 3), title="t")
    assert faint(ElementTree.fromstring(picture)) == []


@over_chapters
def test_lines_of_one_plot_differ_by_their_dashes_and_each_has_its_name(path):
    for _, svg in stills(path):
        for plot in svg.iter(f"{SVG}svg"):
            lines = [p for p in plot if p.tag == f"{SVG}path" and p.get("stroke-width") == "2.2"]
            dashes = [line.get("stroke-dasharray") for line in lines]
            assert len(set(dashes)) == len(dashes), dashes
        names = [t for t in svg.iter(f"{SVG}text") if "paint-order" in t.attrib]
        lines = [p for p in svg.iter(f"{SVG}path") if p.get("stroke-width") == "2.2"]
        assert len(names) >= len(lines) - 1, "a level may go without a name, for the title says it"


@over_chapters
def test_every_figure_has_its_sentence_under_it(path):
    """Not only as an alternative text, which few would see: also in words under the picture."""
    for svg_html, svg in stills(path):
        caption = re.search(r"<figcaption[^>]*>(.*?)</figcaption>", svg_html, re.DOTALL)
        assert caption and f'alt="{caption[1]}"' in svg_html and re.search(r"\d", svg.get("aria-label"))
    for _, found in outputs(path):
        for shown, after in zip_longest(found, found[1:]):
            data = shown.get("data", {})
            if "image/png" not in data or VIEW in data:  # `live` shows the sentence itself, tested below
                continue
            alt = shown["metadata"]["image/png"]["alt"]
            assert after and re.match(r"\*.*\d.*\*$", after["data"]["text/markdown"], re.DOTALL)
            assert after["data"]["text/plain"] == alt


@over_chapters
def test_every_slider_has_a_name_and_a_value_at_each_place(path):
    for html, _ in stills(path):
        if "data-scrub" not in html:
            continue
        axes = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])["axes"]
        assert axes
        for axis in axes:
            assert axis["name"].strip() and all(value.strip() for value in axis["values"])
            assert len(set(axis["values"])) == len(axis["values"]) >= 1, axis


VIEW = "application/vnd.jupyter.widget-view+json"
KINDS = {"live", "versus", "bandit_game"}  # of the notebook below; what else were shown would be untested


@over_chapters
def test_every_control_is_of_a_kind_that_is_tested_below(path):
    """No chapter brings a control of its own: those of `live` come from numbers, lists and texts."""
    for source, found in outputs(path):
        assert "import ipywidgets" not in source and "from ipywidgets" not in source
        if not any(VIEW in o.get("data", {}) for o in found):
            continue
        call = ast.parse(source).body[-1].value
        name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
        assert name in KINDS, source
        for keyword in call.keywords if name == "live" else ():
            assert "Select" not in ast.unparse(keyword.value) and "widgets" not in ast.unparse(keyword.value)


# Colour is never alone


def marks(line) -> tuple:
    return str(line._dash_pattern), line.get_marker(), line.get_linewidth()  # get_linestyle() calls many "--"


def test_lines_of_the_house_differ_by_dashes_too():
    assert len(style.CYCLE) == len(set(style.DASHES)) == len(set(style.SVG_DASHES))
    picture = boards.curve({f"line {k}": [k, k + 1] for k in range(6)}, xlabel="k", limits=(0, 7), level=6.5)
    lines = [e for e in ElementTree.fromstring(picture).iter() if e.get("stroke-width") == "2.2"]
    assert len({line.get("stroke-dasharray") for line in lines}) == len(lines) == 7


def test_lines_of_matplotlib_differ_by_dash_marker_or_width_too():
    with plt.rc_context():
        style.use()
        _, (cycle, several, errors) = plt.subplots(1, 3)
        cycle.plot(np.zeros((2, 6)))
        estimates.closing_in(np.ones((1, 3)), 0.5, several, 1.0)  # a run, both ends of the funnel, the truth
        several.lines[1].remove()  # the other end
        estimates.error_falls(np.ones(3), 1.0, errors)
        for ax, count in ((cycle, 6), (several, 3), (errors, 2), (Sheet().ax, 4)):
            assert len({marks(line) for line in ax.lines}) == len(ax.lines) == count
        plt.close("all")


@pytest.mark.parametrize("kind", ["G", "P"])
def test_ends_carry_their_letter_whatever_else_they_carry(kind):
    V, pi = np.array([0.2, 0.7]), np.full((2, 4), 0.25)
    for values, arrows, marked in product((None, V, 0 * V), (None, pi), ((), (1,))):
        picture = boards.grid(f".{kind}", values, arrows, marks=marked)
        assert kind in [text for text, _, _ in words_on(ElementTree.fromstring(picture))]


def test_a_mark_is_a_thicker_edge_and_a_way_a_thicker_line():
    board = boards.grid("..", marks=[1])
    edges = [e.get("stroke-width") for e in ElementTree.fromstring(board).iter(f"{SVG}rect")][1:]
    assert float(edges[1]) >= 3 * float(edges[0])
    nodes = [(), (0,), (1,)]
    picture = ElementTree.fromstring(trees.tree(nodes, {n: (1, 0.0) for n in nodes}, (1,), title="t"))
    ways = [float(e.get("stroke-width")) for e in picture.iter(f"{SVG}path")]
    assert ways[1] >= 3 * ways[0]


@pytest.mark.parametrize("value", [-0.7, 0.7])
def test_signs_are_written_and_not_only_blue_or_vermilion(value):
    sign = "-" if value < 0 else "0"
    for picture in (
        heat(np.full((1, 1), value), limits=(-1, 1), alt="1", digits=1),
        boards.grid(".", [value]),
        trees.tree([(), (0,)], {(): (2, 0.0), (0,): (1, value)}),
    ):
        texts = [text for text, *_ in words_on(ElementTree.fromstring(picture))]
        assert any(text.startswith(f"{sign}") and "7" in text for text in texts)


def test_states_actions_and_rewards_have_shapes_of_their_own():
    kinds = {"s": "state", "a": "action", "r": "reward", "p": "plain"}
    nodes = {name: (60.0 * i + 50, 50.0, kind) for i, (name, kind) in enumerate(kinds.items())}
    picture = ElementTree.fromstring(diagrams.graph(nodes, [], size=(300, 99), alt="4"))
    shapes = [(e.tag, e.get("width")) for e in picture.iter() if e.get("stroke-width") == "3.5"]
    assert len(set(shapes)) == 4


def test_points_of_different_meaning_have_different_shapes():
    two = np.array([[[0.0, 0.0], [0.5, 0.5]]])
    for picture, names in (
        (clouds.cloud(two[0], (1, 1), limits=(-3, 3)), "+◆"),
        (plane.paths(two, (0.5, 0.0)), "○●+"),
        (swing.pendulum(0.3, [0.2, 0.1]), "●·"),
    ):
        legend = "".join(text for text, *_ in words_on(ElementTree.fromstring(picture)))
        assert all(sign in legend for sign in names)
    agent = ElementTree.fromstring(beliefs.in_plane(np.ones((2, 2)), two[0], (0.5, 0), "t", 1.0))
    assert len(list(agent.iter(f"{SVG}circle"))) == 1  # the goal is a cross


def test_the_eight_methods_of_chapter_22_differ_without_colour():
    source = next((lab.REPOSITORY / "chapters" / "text").glob("22*.md")).read_text(encoding="utf-8")
    dashes = ast.literal_eval(re.search(r"zip\(COLOURS, (\(.*?\))\)", source)[1])
    assert len(dashes) == 8
    assert len(set(dashes)) == len(dashes)


# In JupyterLab: one control of every kind

EVERY_KIND = (
    """
import matplotlib.pyplot as plt
import numpy as np
from course_lib.show import boards, game, live, scrub, show, style, versus
from course_lib.worlds import games

def draw_line(y, k):
    return boards.curve({"up": y, "down": y[::-1]}, xlabel="x", mark=k, limits=(0, 9), title=f"sweep {k}")

scrub(np.arange(20.0).reshape(4, 5), axes={"sweep k": range(4)}, draw=draw_line)
""",
    """
def draw_map(sweeps, slip, rule, text_map):
    return boards.grid(text_map, title=f"{sweeps} sweeps, slip {slip:.1f}, {rule}")

live(draw_map, sweeps=(1, 5, 1), slip=(0.0, 1.0, 0.1), rule=["greedy", "random"], text_map="S.\\n.G")
""",
    """
figure, ax = plt.subplots(figsize=(4, 2))
(line,) = ax.plot([0, 1], [0, 1])

def draw_slope(gamma):
    line.set_data([0, 1], [0, gamma])
    return figure, f"The slope is {gamma}."

live(draw_slope, gamma=[0.9, 0.5])
""",
    "game.bandit_game(np.full((6, 2), 0.5), pulls=3, rivals={'UCB1': np.full(6, 1.5)})",
    """
def answer(state):
    return state.actions()[0], f"It played {state.actions()[0]}."

versus.versus(games.TicTacToe(), answer)
""",
    "versus.versus(games.ConnectFour(), answer, game='Connect Four')",
    """
style.use()
still, ax = plt.subplots()
ax.plot([1, 2])
show(still, "From 1 to 2.")
""",
)
ANSWERS = "1. Where?\n\n<details><summary>Answers</summary>\n\nHere: $x^2$.\n</details>"
# What axe-core does not look at, and why: MathJax, not the course, draws formulas; JupyterLab gives no PNG an
# alternative text, so `show` writes the sentence under it, which `sentences` checks instead.
EXCLUDED = [["mjx-container"], [".jp-RenderedImage img"]]
OURS = [[".jp-OutputArea-output"], [".jp-MarkdownOutput"]]
THEME = "jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {}'}})"


@pytest.fixture(scope="module")
def every_kind(server, chrome):  # noqa: F811
    """The notebook with a control of every kind, after Run All."""
    path = server.folder / "every_kind.ipynb"
    lab.write_notebook(path, *EVERY_KIND)
    page = nbformat.read(path, 4)
    page.cells.append(nbformat.v4.new_markdown_cell(ANSWERS))
    nbformat.write(page, path)
    yield from running(server, chrome, path.name)


def running(server, chrome, name: str):  # noqa: F811
    """The page of a notebook that has run, all of its cells drawn, in sight or not."""
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(path=Path(__file__).with_name("sliders.js"))
    lab.open_notebook(page, server, name)
    page.evaluate(
        """() => { const notebook = jupyterapp.shell.currentWidget.content;
                   notebook.notebookConfig = { ...notebook.notebookConfig, windowingMode: "none" }; }"""
    )
    lab.run_all(page)
    assert lab.failures(page) == []
    page.wait_for_function("() => !document.querySelector('figure[data-scrub]:not([data-alive])')")
    yield page
    page.close()


def serious(page) -> list[str]:
    """What axe-core finds in outputs and texts that is serious or critical.

    It passes over what it takes for unseen: all that is scrolled away, and JupyterLab as a whole, whose body
    is 0 high. So the window becomes as high as the notebook. What it is not sure of is measured here.
    """
    page.evaluate("document.body.style.height = '100vh'")
    height = page.evaluate("document.querySelector('.jp-WindowedPanel-inner').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": height + 400})
    page.wait_for_function(UNFOLDED)
    page.wait_for_timeout(500)
    context = {"include": OURS, "exclude": EXCLUDED}
    response = axe().run(page, context, {"resultTypes": ["violations", "incomplete", "passes"]}).response
    found = {kind: {rule["id"]: rule for rule in response[kind]} for kind in response if kind in KEPT}
    assert len(found["passes"]["color-contrast"]["nodes"]) > 40
    faults = [v for v in found["violations"].values() if v["impact"] in ("serious", "critical")]
    said = [f"{fault['id']}: {node['html'][:200]}" for fault in faults for node in fault["nodes"]]
    for node in found["incomplete"].get("color-contrast", {"nodes": []})["nodes"]:
        element = page.query_selector(node["target"][0])
        if node["html"].startswith("<text"):  # in a picture, measured above
            continue
        if style.contrast(*element.evaluate("element => sliders.colours(element)")) < TEXT:
            said.append(f"contrast: {node['html'][:200]}")
    return said


UNFOLDED = """() => {
    const outer = document.querySelector(".jp-WindowedPanel-outer");
    outer.scrollTop = 0;
    const inside = outer.getBoundingClientRect();
    const { widgets } = jupyterapp.shell.currentWidget.content;
    const cells = widgets.map(({ node }) => node.getBoundingClientRect());
    return cells.every((cell) => cell.height && cell.top >= inside.top && cell.bottom <= inside.bottom);
}"""
KEPT = ("violations", "incomplete", "passes")


def axe():
    if extras.missing("site"):
        pytest.skip(f"needs {', '.join(extras.missing('site'))}: python3 course.py site installs them")
    from axe_playwright_python.sync_playwright import Axe

    return Axe()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_every_kind_of_control_passes_axe(every_kind, theme):
    try:
        every_kind.evaluate(THEME.format(theme))
        every_kind.wait_for_function(f"() => document.body.dataset.jpThemeName === 'JupyterLab {theme}'")
        every_kind.wait_for_timeout(300)
        assert serious(every_kind) == []
    finally:
        every_kind.evaluate(THEME.format("Light"))
        every_kind.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("number", ["03", "04", "08", "12"])
def test_a_running_chapter_passes_axe(server, chrome, number):  # noqa: F811
    path = next(path for path in CHAPTERS if path.name.startswith(number))
    shutil.copy(path, server.folder / f"access-{path.name}")
    for page in running(server, chrome, f"access-{path.name}"):
        assert serious(page) == []
        assert sentences(page) == []


def sentences(page) -> list[str]:
    """The pictures without an alternative text that have no sentence with a number right under them."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".jp-RenderedImage")].filter((image) => {
            const below = image.closest(".jp-OutputArea-child").nextElementSibling;
            return !/\\d/.test(below?.querySelector(".jp-RenderedMarkdown em")?.textContent ?? "");
        }).map((image) => image.closest(".jp-OutputArea").textContent.slice(0, 80))"""
    )


# By keyboard

ACTIVE = "document.activeElement"
STOPS = [  # where Tab leads, in order: role, name for a screen reader, what is seen of name and value
    ("slider", "sweep k", "sweep k\n0"),
    ("button", "play sweep k", "▶ play"),
    ("slider", "sweeps", "sweeps\n1"),
    ("textbox", "sweeps", "sweeps\n1"),
    ("slider", "slip", "slip\n0.0"),
    ("textbox", "slip", "slip\n0.0"),
    ("slider", "rule", "rule\ngreedy"),
    ("textbox", "rule", "rule\ngreedy"),
    ("textbox", "text map", "text map\nS.\n.G"),
    ("slider", "gamma", "gamma\n0.9"),
    ("textbox", "gamma", "gamma\n0.9"),
    *[("button", name, name) for name in ("Pull arm A", "Pull arm B", "New game")],
    *[("button", name, name) for name in ("New game, I begin", "New game, it begins")],
    *[("button", f"square {k}: free", str(k)) for k in range(9)],
    *[("button", name, name) for name in ("New game, I begin", "New game, it begins")],
    *[
        ("button", f"column {k % 7}, row {k // 7 + 1} from the top: free", str(k) if k < 7 else "")
        for k in range(42)
    ],
    ("DisclosureTriangle", "Answers", "Answers"),
]
SEEN = """element => {
    const row = element.closest("label, .widget-inline-hbox, button, summary");
    return [...row.innerText.split("\\n"), ...(element.value && !element.min ? [element.value] : [])]
        .map((words) => words.trim()).filter((words) => words && words !== "\\u200b").join("\\n");
}"""


@pytest.fixture
def page(every_kind):
    every_kind.bring_to_front()
    return every_kind


def begin(page) -> None:
    """Where a reader is who pressed Escape in the first cell."""
    lab.show_cell(page, 0)
    page.evaluate("jupyterapp.commands.execute('notebook:enter-command-mode')")
    page.wait_for_timeout(300)


def told(page) -> tuple[str, str]:
    """The role and the name that Chromium gives a screen reader for what is in focus."""
    session = page.context.new_cdp_session(page)
    handle = session.send("Runtime.evaluate", {"expression": ACTIVE})["result"]["objectId"]
    tree = session.send("Accessibility.getPartialAXTree", {"objectId": handle, "fetchRelatives": False})
    session.detach()
    node = tree["nodes"][0]
    return node["role"]["value"], node["name"]["value"]


def stands_out(page) -> float:
    """The contrast of the frame that focus draws, with what was there before: of its 40 clearest pixels."""
    element = page.evaluate_handle(ACTIVE).as_element()
    box = element.bounding_box()
    clip = {"x": box["x"] - 6, "y": box["y"] - 6, "width": box["width"] + 12, "height": box["height"] + 12}
    pixels = []
    for action in ("blur", "focus"):
        element.evaluate(f"element => element.{action}({{preventScroll: true, focusVisible: true}})")
        page.wait_for_timeout(250)  # an edge fades in
        image = Image.open(io.BytesIO(page.screenshot(clip=clip, caret="hide"))).convert("RGB")
        linear = np.asarray(image) / 255
        linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
        pixels.append((linear @ [0.2126, 0.7152, 0.0722]).ravel() + 0.05)
    before, after = pixels
    return float(np.sort(np.maximum(before / after, after / before))[-40])


@pytest.mark.browser
def test_tab_leads_to_every_control_and_shows_where_it_is(page):
    begin(page)
    kinds = set()
    for role, name, seen in STOPS:
        for _ in range(3):  # a cell that is active has a toolbar of JupyterLab's
            page.keyboard.press("Tab")
            element = page.evaluate_handle(ACTIVE).as_element()
            if element.evaluate("element => !!element.closest('.jp-OutputArea-output, .jp-MarkdownOutput')"):
                break
        assert (*told(page), element.evaluate(SEEN)) == (role, name, seen)
        if (role, bool(seen)) not in kinds:
            kinds.add((role, bool(seen)))
            assert stands_out(page) >= GRAPHIC, (role, name)


def words(page, cell: int) -> str:
    """What stands in the output of a cell."""
    page.wait_for_timeout(400)
    page.wait_for_function(f"() => {lab.IDLE}")
    output = "i => jupyterapp.shell.currentWidget.content.widgets[i].node.querySelector('.jp-OutputArea')"
    text = page.evaluate(f"i => ({output})(i).innerText", cell)
    return text + page.evaluate(
        f"i => [...({output})(i).querySelectorAll('text')].map(t => t.textContent)+''", cell
    )


KEYS = [  # cell, selector, which of them, keys, what they bring
    (1, ".noUi-handle", 0, ["ArrowRight"], "2 sweeps"),
    (1, ".noUi-handle", 1, ["ArrowUp"], "slip 0.1"),
    (1, ".noUi-handle", 2, ["End"], "random"),
    (1, ".widget-readout", 1, ["ControlOrMeta+a", "0", ".", "7", "Enter"], "slip 0.7"),
    (1, "textarea", 0, ["ControlOrMeta+End", "Enter", "P", "."], "3 rows"),
    (2, ".noUi-handle", 0, ["ArrowRight"], "The slope is 0.5."),
    (3, "button", 0, ["Enter"], "pulls left: 2"),
    (3, "button", 1, ["Space"], "pulls left: 1"),
    (3, "button", 2, ["Enter"], "pulls left: 3"),
    (4, "button", 6, ["Enter"], "It played 0."),
    (4, "button", 7, ["Space"], "It played 1."),
    (4, "button", 1, ["Enter"], "You are O"),
    (5, "button", 5, ["Space"], "It played 0."),
    (5, "button", 0, ["Enter"], "You are X, it is your turn."),
]


@pytest.mark.browser
def test_keys_alone_move_every_kind_of_control(page):
    for cell, selector, which, keys, brings in KEYS:
        before = words(page, cell)
        element = lab.show_cell(page, cell).query_selector_all(f".jp-OutputArea {selector}")[which]
        element.focus()
        for key in keys:
            page.keyboard.press(key)
        after = words(page, cell)
        assert brings in after and after != before, (cell, keys, after)
        if selector == ".noUi-handle":
            row = element.evaluate("e => e.closest('.widget-slider').innerText").split("\n")
            assert [element.get_attribute(f"aria-{a}") for a in ("label", "valuetext")] == row
    page.query_selector(".jp-MarkdownOutput summary").focus()
    page.keyboard.press("Enter")
    assert "Here:" in page.query_selector(".jp-MarkdownOutput").inner_text()


@pytest.mark.browser
def test_what_a_picture_shows_and_what_a_move_changes_is_told(page):
    image = lab.show_cell(page, 2).query_selector(".widget-image")
    assert (
        image.get_attribute("alt")
        == lab.show_cell(page, 2).query_selector(".widget-html:last-child").inner_text()
    )
    for cell in (1, 2, 3, 4, 5):
        last = lab.show_cell(page, cell).query_selector(".course-controls > .widget-html:last-child")
        assert last.get_attribute("aria-live") == "polite" and last.inner_text().strip()
