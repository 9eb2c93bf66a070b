"""Pictures and sliders without a browser: what they say and refuse, and that every frame is the right one."""

import base64
import io
import json
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from course_lib.agents.planning import greedy, value_iteration
from course_lib.show import approximations, boards, figures, style, widgets
from course_lib.show.paper import EM, alt_of
from course_lib.worlds.grids import STEPS, gridworld

MAP = """
S..G
.#.P
...."""
WORLD = gridworld(MAP, slip=0.1, gamma=0.9)
SWEEPS = list(value_iteration(WORLD))[:9]
FREE = WORLD.S


def draw_sweep(V, k, gamma=0.9):
    board = boards.grid(MAP, V, greedy(WORLD, V), title=f"sweep {k}", marks=[k % FREE], notes={1: "A & <B>"})
    errors = np.abs(np.array(SWEEPS) - SWEEPS[-1]).max(axis=1) * gamma
    return boards.beside(board, boards.curve({"error": errors}, xlabel="sweep k", mark=k, limits=(0, 1)))


def elements(picture: str) -> list[tuple]:
    """All there is in a picture: tag, attributes and text of every element in document order."""
    return [(e.tag, e.attrib, e.text or "") for e in ElementTree.fromstring(picture).iter()]


def texts(picture: str) -> list[str]:
    return [text for tag, _, text in elements(picture) if tag.endswith("text")]


# Numbers, colours, arrows


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (-0.001, 2, "0.00"),
        (-0.0, 0, "0"),
        (-4e-10, 9, "0.000000000"),
        (0.23499, 2, "0.23"),  # rounded twice, by way of 0.235, it would be 0.24
        (0.125 - 1e-13, 2, "0.12"),
        (0.125 + 1e-13, 2, "0.12"),  # a tie with noise is a tie
        (0.1251, 2, "0.13"),
        (-13.96, 1, "-14.0"),
        (np.float32(2), 2, "2.00"),
    ],
)
def test_numbers_are_rounded_once_and_never_minus_zero(value, digits, expected):
    assert boards.number(value, digits) == expected


def test_arrows_point_where_the_actions_lead():
    assert [[down, right] for right, down in boards.ARROWS] == STEPS.tolist()
    for action, (down, right) in enumerate(STEPS):
        shaft = re.match(r"M(\S+) (\S+)L(\S+) (\S+?)M", boards.arrows([action], 8))
        x0, y0, x1, y1 = map(float, shaft.groups())
        assert (np.sign(x1 - x0), np.sign(y1 - y0)) == (right, down)
    assert boards.arrows([], 8) == ""
    assert "-0 " not in boards.arrows(range(4), 8)


def test_shades_are_white_at_zero_and_stop_at_the_limits():
    assert style.shade(0, -1, 1) == "#ffffff"
    assert style.shade(1, -1, 1) == style.shade(7, -1, 1) == style.VALUE.lower()
    assert style.shade(-1, -1, 1) == style.shade(-7, -1, 1) == style.ACTION.lower()
    assert style.shade(-14, -22, 0) == style.shade(-14, 0, -22) != "#ffffff"
    assert style.shade(1e-12, -22, 0) == style.shade(0.0, 0, 0) == "#ffffff"
    assert style.shade(0, 0.5, 1) == style.shade(0.5, 0.5, 1)
    blues = [int(style.shade(v, -1, 1)[1:3], 16) for v in np.linspace(0, 1, 50)]
    assert blues == sorted(blues, reverse=True)


def test_contrast_is_that_of_the_guidelines():
    assert style.contrast("#000000", "#ffffff") == style.contrast("#ffffff", "#000000") == pytest.approx(21)
    assert style.contrast("#767676", "#ffffff") == pytest.approx(
        4.54, abs=0.01
    )  # the guidelines' own example


def test_every_text_can_be_read_on_its_background():
    shades = {style.shade(v, -1, 1) for v in np.linspace(-1, 1, 201)}
    for background in {*shades, *style.CYCLE, style.FLOOR, style.PAPER, style.WALL, style.MUTED}:
        assert style.contrast(style.ink_on(background), background) >= 4.5, background
    for colour in (*style.CYCLE, style.MUTED):
        assert style.contrast(style.legible(colour), style.PAPER) >= 4.5, colour
    assert style.legible(style.VALUE) == style.VALUE.lower()  # dark enough as it is


# Boards and curves

NAN = np.full(FREE, np.nan)
PICTURES = {
    "grid": boards.grid(MAP),
    "grid with notes": boards.grid(MAP, notes={1: "<&'\""}, title="it's <b>", marks=[0]),
    "policy": boards.grid(MAP, pi=np.full((FREE, 4), 0.25)),
    "values": boards.grid(MAP, SWEEPS[3], title="V"),
    "no values yet": boards.grid("." * 40, np.full(40, np.nan)),
    "large": boards.grid("\n".join(["." * 10] * 10), np.arange(100.0), limits=(0, 100)),
    "both": boards.grid(MAP, SWEEPS[3], greedy(WORLD, SWEEPS[3])),
    "curve": boards.curve({"a": [1, 2, 3]}, xlabel="k", limits=(0, 3)),
    "constant": boards.curve({"a": [1]}, xlabel="k", limits=(0, 3), mark=0, level=2, level_name="best"),
    "log": boards.curve({"a": [1, 0, np.nan]}, xlabel="k", limits=(1e-3, 1), log=True, ylabel="y", mark=2),
    "beside": draw_sweep(SWEEPS[2], 2),
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_xml_with_a_sentence_that_holds_numbers(name):
    root = ElementTree.fromstring(PICTURES[name])
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == boards.alt_of(PICTURES[name])
    assert re.search(r"\d", root.attrib["aria-label"])
    assert "nan" not in PICTURES[name] and "inf" not in PICTURES[name]
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}"


def test_a_small_board_says_every_value_and_a_large_one_their_range():
    sentence = boards.alt_of(boards.grid("S.#\n.GP", np.array([0.1, -0.004, 2, 0, 9]), title="V"))
    assert sentence == "V: a grid of 2 rows and 3 columns; values row by row: 0.10 0.00 wall; 2.00 goal 9.00."
    values = np.r_[np.nan, np.arange(39.0)]
    assert boards.alt_of(boards.grid("S" + "." * 39, values)).endswith(
        "values from 0.00 to 38.00, open at S."
    )


def test_a_board_shows_each_value_and_note_in_its_cell():
    picture = boards.grid("S.#\n.GP", [0.5, np.nan, -1, 1e-17, 7], notes={2: "B", 3: "goal"}, digits=1)
    assert [t for t in texts(picture) if t] == ["0.5", "S", "-1.0", "B", "goal", "7.0", "P"]
    fills = [a["fill"] for tag, a, _ in elements(picture) if tag.endswith("rect")][1:]
    plain = [style.shade(0.5, -1, 1), style.FLOOR, style.WALL, style.shade(-1, -1, 1)]
    assert fills == [*plain, style.REWARD, style.ACTION]


def test_every_tied_action_has_its_arrow_and_ends_have_none():
    pi = np.array([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [1, 0, 0, 0]])
    paths = [a["d"] for tag, a, _ in elements(boards.grid("..G", pi=pi)) if tag.endswith("path")]
    assert [path.count("M") for path in paths] == [4, 2, 0]


def test_marks_outline_their_state_only():
    strokes = [
        a.get("stroke") for tag, a, _ in elements(boards.grid("#.G", marks=[1])) if tag.endswith("rect")
    ]
    assert strokes.index(style.ACCENT) == 3 and strokes.count(style.ACCENT) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boards.grid(MAP, np.zeros(FREE + 1)), "V has 12 entries, but the map has 11 free cells"),
        (lambda: boards.grid(MAP, pi=np.zeros((FREE - 1, 4))), "pi has 10 entries"),
        (lambda: boards.grid("..\n..."), r"rows of the map have \[2, 3\] cells"),
        (lambda: boards.grid(" "), "rows of the map"),
        (lambda: boards.curve({}, xlabel="k", limits=(0, 1)), "at least one line"),
        (lambda: boards.curve({"a": []}, xlabel="k", limits=(0, 1)), "at least one value"),
        (lambda: boards.curve({"a": [1]}, xlabel="k", limits=(1, 1)), "low < high"),
        (lambda: boards.curve({"a": [1]}, xlabel="k", limits=(0, 1), log=True), "both above 0"),
        (lambda: boards.beside("<svg/>"), "no width and height"),
        (lambda: boards.alt_of("<svg/>"), "no sentence"),
    ],
)
def test_wrong_pictures_say_what_to_mend(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def points(picture: str, line: int = 0) -> np.ndarray:
    """The points of a line of a curve, in the picture."""
    paths = [
        a["d"] for tag, a, _ in elements(picture) if tag.endswith("path") and a.get("stroke-width") == "2.2"
    ]
    return np.array([pair.split(" ") for pair in re.split("[ML]", paths[line])[1:]], float)


def dot(picture: str) -> dict:
    return next(a for tag, a, _ in elements(picture) if tag.endswith("circle"))


def test_a_curve_is_to_scale_and_its_dot_on_the_line():
    y = [0.0, 4.0, 1.0, 2.0]
    for mark in range(4):
        picture = boards.curve({"a": y, "b": [3, 3, 3, 3]}, xlabel="k", limits=(0, 4), mark=mark)
        line = points(picture)
        assert line[mark].tolist() == [float(dot(picture)["cx"]), float(dot(picture)["cy"])]
    assert np.allclose(np.diff(line[:, 0]), np.diff(line[:, 0])[0], atol=0.11)
    assert np.allclose(line[0, 1] - line[:, 1], np.array(y) * (line[0, 1] - line[1, 1]) / 4, atol=0.11)


def test_a_log_axis_gives_equal_room_to_equal_ratios():
    picture = boards.curve({"a": [1, 0.1, 0.01, 0]}, xlabel="k", limits=(1e-4, 1), log=True, mark=3)
    y = points(picture)[:, 1]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.11)
    bottom = y[0] + 4 * (y[1] - y[0])
    assert float(dot(picture)["cy"]) == pytest.approx(bottom, abs=0.5) and y[3] > bottom  # 0 is far below
    assert {"10⁰", "10⁻¹", "10⁻²", "10⁻³", "10⁻⁴"} <= set(texts(picture))


def test_what_leaves_the_limits_leaves_the_picture():
    picture = boards.curve({"a": [0.5, 9, -9, 0.5]}, xlabel="k", limits=(0, 1), mark=1)
    window = next(a for tag, a, _ in elements(picture)[1:] if tag.endswith("svg"))
    top, height = float(window["y"]), float(window["height"])
    assert points(picture)[1, 1] < top and points(picture)[2, 1] > top + height
    assert top < float(dot(picture)["cy"]) < top + 10


def test_a_missing_value_leaves_a_gap_and_hides_the_dot():
    picture = boards.curve({"a": [1, 1, np.nan, 1, 1]}, xlabel="k", limits=(0, 2), mark=2)
    path = next(a["d"] for tag, a, _ in elements(picture) if a.get("stroke-width") == "2.2")
    assert path.count("M") == 2 and path.count("L") == 2
    assert dot(picture)["r"] == "0"


def test_a_level_is_drawn_and_named():
    picture = boards.curve({"a": [0, 1]}, xlabel="k", limits=(0, 2), level=1.0, level_name="best")
    level = points(picture, 1)
    assert level[0, 1] == level[1, 1] == points(picture)[1, 1] and "best" in texts(picture)


CROWDED = {
    "two near lines": {"change": np.geomspace(1, 1e-8, 61), "its bound": np.geomspace(9, 2e-7, 61)},
    "crossing": {"up": np.linspace(0.1, 9, 30), "down": np.linspace(9, 0.1, 30), "flat": np.full(30, 4.0)},
    "same start": {f"rule {i}": 9 / (1 + i * np.arange(40)) for i in range(1, 5)},
    "short ones": {"a": [1.0, 2.0], "b": np.linspace(8, 3, 20), "a long name": np.linspace(0.1, 8, 20)},
}


@pytest.mark.parametrize("name", CROWDED)
def test_names_of_lines_cover_no_line_and_no_other_name(name):
    series, log = CROWDED[name], name == "two near lines"
    picture = boards.curve(series, xlabel="k", limits=(1e-8, 10) if log else (0, 10), log=log)
    names = [(a, t) for _, a, t in elements(picture) if "paint-order" in a]
    assert [t for _, t in names] == list(series)
    boxes = [(float(a["x"]), float(a["y"]) - 4, EM * 11 * len(t) / 2, 5.5) for a, t in names]
    fine = np.linspace(0, 1, 2000)
    for i in range(len(series)):
        line = points(picture, i)
        along = np.linspace(0, 1, len(line))
        x, y = np.interp(fine, along, line[:, 0]), np.interp(fine, along, line[:, 1])
        assert not any((abs(x - cx) < w).__and__(abs(y - cy) < h).any() for cx, cy, w, h in boxes)
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(abs(a[0] - b[0]) < a[2] + b[2] and abs(a[1] - b[1]) < a[3] + b[3] for a, b in pairs)


@pytest.mark.parametrize("title", ["short", "a title of middling length, k = 14", "words " * 40])
def test_titles_stay_in_the_picture(title):
    for picture in (
        boards.grid("..", title=title),
        boards.curve({"a": [1]}, xlabel="", limits=(0, 2), title=title),
    ):
        _, look, words = next(e for e in elements(picture) if e[1].get("font-weight") == "bold")
        room = float(ElementTree.fromstring(picture).attrib["width"]) - float(look["x"])
        assert EM * float(look["font-size"]) * len(words) <= room
        assert words == title or (len(title) > 50 and words.endswith("…"))
        assert title in boards.alt_of(picture)


def test_beside_puts_pictures_in_a_row_with_one_sentence():
    a, b = boards.svg("<g/>", 100, 50, "one 1"), boards.svg("<path d=''/>", 30, 80, "two 2")
    row = ElementTree.fromstring(boards.beside(a, b))
    assert (row.attrib["width"], row.attrib["height"], row.attrib["aria-label"]) == (
        "130",
        "80",
        "one 1 two 2",
    )
    assert [(c.attrib["x"], c.attrib.get("aria-label")) for c in row[1:]] == [("0", None), ("100", None)]
    assert boards.alt_of(boards.beside(a, b, alt="it's 3")) == "it's 3"
    assert len(ElementTree.fromstring(boards.beside(boards.beside(a, b), a))[1:]) == 2


# scrub: sent once, replayed by a script

GAMMAS = (0.5, 0.9, 0.99)
FRAMES = np.array([[g * V for g in GAMMAS] for V in SWEEPS])
AXES = {"sweep k": range(len(SWEEPS)), "gamma": GAMMAS}


def parts(html: str) -> tuple[str, dict]:
    """The still and the data of a figure."""
    still = base64.b64decode(re.search(r'src="data:image/svg\+xml;base64,([^"]*)"', html)[1]).decode()
    return still, json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])


def replayed(html: str) -> dict[tuple, list]:
    """Every frame, by its positions, as scrub.js makes it: attributes and texts set on the still."""
    still, data = parts(html)
    shape, now, frames = elements(still), [None] * len(data["slots"]), {}
    sizes = [len(axis["values"]) for axis in data["axes"]]
    for number, changes in enumerate(data["frames"]):
        for slot, string in zip(changes[::2], changes[1::2], strict=True):
            now[slot] = data["strings"][string]
        made = [[tag, dict(attributes), text] for tag, attributes, text in shape]
        for (element, attribute), words in zip(data["slots"], now, strict=True):
            if attribute:
                made[element][1][attribute] = words
            else:
                made[element][2] = words
        frames[np.unravel_index(number, sizes, order="F")] = [tuple(e) for e in made]
    return frames


def test_the_replay_of_every_frame_is_what_python_draws():
    html, alt = widgets.scrub_html(FRAMES, AXES, draw_sweep, {"gamma": 0.9, "sweep k": 3})
    frames = replayed(html)
    assert len(frames) == FRAMES.shape[0] * FRAMES.shape[1]
    for (i, j), frame in frames.items():
        assert frame == elements(draw_sweep(FRAMES[i, j], i, GAMMAS[j])), (i, j)
    still, data = parts(html)
    assert still == draw_sweep(FRAMES[3, 1], 3, 0.9) and data["start"] == [3, 1]
    assert alt == boards.alt_of(still)
    assert data["axes"][1] == {"name": "gamma", "values": ["0.5", "0.9", "0.99"]}


def test_one_axis_one_value_and_nested_lists_of_anything_are_replayed():
    frames = [{"x": 1}, {"x": 20}]
    draw = lambda f, name: boards.svg(f"<text>{f['x']}</text>", 9, 9, f"{name} 1")  # noqa: E731
    assert len(replayed(widgets.scrub_html(frames, {"a": ["one", "two"]}, draw)[0])) == 2
    html, _ = widgets.scrub_html(
        [[frames[0]], [frames[1]]], {"a": "xy", "b": [0]}, lambda f, a, b: draw(f, a)
    )
    assert [e[2][2] for e in replayed(html).values()] == ["1", "20"]
    assert len(replayed(widgets.scrub_html(frames[:1], {"a": [7]}, draw)[0])) == 1


def test_the_html_is_the_same_every_time_and_holds_the_sentence():
    html, alt = widgets.scrub_html(FRAMES, AXES, draw_sweep)
    assert html == widgets.scrub_html(FRAMES.copy(), dict(AXES), draw_sweep)[0]
    root = re.sub(r"<script.*</script>", "", html.replace('img alt="', 'img  alt="'))
    assert root.count(alt.replace("'", "&#x27;").replace("&", "&amp;") if "&" in alt else alt) == 2
    assert html != widgets.scrub_html(FRAMES + 1, AXES, draw_sweep)[0]


def test_scripts_cannot_be_broken_out_of():
    draw = lambda f, k: boards.svg(f"<text>&lt;/script&gt;&lt;!-- {k}</text>", 9, 9, f"</script> {k}")  # noqa: E731
    html, _ = widgets.scrub_html([0, 1], {"</script><b>": [0, 1]}, draw)
    assert html.count("</script>") == 2 and "<b>" not in html and "<!--" not in html
    assert "@ID@" not in html and len(replayed(html)) == 2


@pytest.mark.parametrize(
    ("frames", "axes", "start", "words"),
    [
        (FRAMES, {}, None, "at least one slider"),
        (FRAMES, {"k": []}, None, "at least one value"),
        (FRAMES, {"k": range(4)}, None, r"leading axes \(9,\), but the sliders have 4 for 'k'"),
        (FRAMES.swapaxes(0, 1), AXES, None, r"leading axes \(3, 9\), but .* 9 for 'sweep k', 3 for 'gamma'"),
        ([[1, 2, 3], [1, 2]], {"k": [0, 1], "j": [0, 1, 2]}, None, "must agree"),
        (iter(SWEEPS), {"k": range(9)}, None, "must agree"),
        (FRAMES, AXES, {"gamma": 0.8}, "'gamma' = 0.8, which is no value"),
        (FRAMES, AXES, {"alpha": 0.5}, "the sliders are"),
    ],
)
def test_scrub_says_what_does_not_fit(frames, axes, start, words):
    with pytest.raises(ValueError, match=words):
        widgets.scrub_html(frames, axes, draw_sweep, start)


def test_a_start_is_found_although_sums_of_decimals_are_inexact():
    draw = lambda f, x: boards.svg(f"<text>{f}</text>", 9, 9, f"{x}")  # noqa: E731
    _, data = parts(widgets.scrub_html([1, 2, 3], {"x": [0.1, 0.2, 0.1 + 0.2]}, draw, {"x": 0.3})[0])
    assert data["start"] == [2]


@pytest.mark.parametrize(
    "other",
    ["<g/><g/>", "<path/>", "<g id='a'/>", "<g><g/></g>", "<g/>tail", "<g>a<a/></g>", "<g>b<a/></g>"],
)
def test_frames_of_another_structure_are_refused(other):
    bodies = ["<g>a<a/></g>" if "<a/>" in other and "b" in other else "<g/>", other]
    with pytest.raises(ValueError, match="draw makes other elements for frame 1"):
        widgets.scrub_html(bodies, {"k": [0, 1]}, lambda body, k: boards.svg(body, 9, 9, "1"))


def test_the_same_elements_in_another_nesting_are_refused():
    bodies = ["<g/><g/>", "<g><g/></g>"]
    with pytest.raises(ValueError, match=r"2 inside.* 3 inside"):
        widgets.scrub_html(bodies, {"k": [0, 1]}, lambda body, k: boards.svg(body, 9, 9, "1"))


def test_a_figure_too_large_for_jupyter_is_refused_and_a_usual_one_is_small():
    big = lambda f, k: boards.svg(f"<text>{f * 300_000}</text>", 9, 9, "1")  # noqa: E731
    with pytest.raises(ValueError, match=r"MB for 10 frames"):
        widgets.scrub_html(list("abcdefghij"), {"k": range(10)}, big)
    assert len(widgets.scrub_html(FRAMES, AXES, draw_sweep)[0]) < 60_000


def test_scrub_and_picture_display_html_with_a_still_and_the_sentence(monkeypatch):
    shown = []
    monkeypatch.setattr(widgets, "display", lambda data, raw: shown.append(data))
    widgets.scrub(FRAMES, AXES, draw_sweep)
    widgets.picture(PICTURES["values"])
    for data, svg in zip(shown, (draw_sweep(FRAMES[0, 0], 0, 0.5), PICTURES["values"]), strict=True):
        assert data["text/plain"] == boards.alt_of(svg)
        assert data["text/html"].startswith("<figure") and "<img alt=" in data["text/html"]
    assert "<script" in shown[0]["text/html"] and "<script" not in shown[1]["text/html"]


# live: each picture asked from Python


def svg_of(box) -> str:
    return re.search(r"<svg.*</svg>", box.children[-2].value)[0].replace(" style=", " data-style=", 1)


def caption(box) -> str:
    return re.sub("<.*?>", "", box.children[-1].value)


def test_moving_any_control_redraws_svg():
    seen = []

    def draw(slip, gamma, k):
        seen.append((slip, gamma, k))
        return boards.svg(f"<text>{slip} {gamma} {k}</text>", 20, 20, f"slip {slip}, gamma {gamma}, k {k}")

    box = widgets.live(draw, slip=(0.0, 0.5, 0.25), gamma=[0.9, 0.5], k=(3, 9, 2))
    slip, gamma, k = box.children[:3]
    assert texts(svg_of(box)) == ["0.0 0.9 3"]
    slip.value = 0.25
    assert (texts(svg_of(box)), caption(box)) == (["0.25 0.9 3"], "slip 0.25, gamma 0.9, k 3")
    gamma.value = 0.5
    k.value = 7
    assert (texts(svg_of(box)), caption(box)) == (["0.25 0.5 7"], "slip 0.25, gamma 0.5, k 7")
    assert seen == [(0.0, 0.9, 3), (0.25, 0.9, 3), (0.25, 0.5, 3), (0.25, 0.5, 7)]
    assert [c.description for c in box.children[:3]] == ["slip", "gamma", "k"]
    assert slip.readout_format == ".2f"


def wave():
    figure, ax = plt.subplots(figsize=(3, 2))
    (line,) = ax.plot(np.arange(20), np.zeros(20))
    ax.set_ylim(-1, 1)

    def draw(f):
        line.set_ydata(np.sin(f * np.arange(20)))
        return figure, f"A wave of frequency {f}."

    return draw


def test_moving_a_control_redraws_a_matplotlib_figure():
    with plt.rc_context():
        style.use()
        box, other = widgets.live(wave(), f=(1, 5, 1)), wave()
        figure, _ = other(1)
        for f in (1, 4, 2):
            box.children[0].value = f
            other(f)
            assert box.children[-2].value == figures.png(figure), f  # the very pixels of a figure made anew
            assert caption(box) == f"A wave of frequency {f}."
        plt.close(figure)
    assert not plt.get_fignums()  # else the notebook would show the figure once more


def test_a_live_box_carries_its_first_picture_for_those_who_do_not_run_it():
    box = widgets.live(lambda k: PICTURES["values"], k=(0, 2, 1))
    data, _ = box._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == box.model_id
    assert boards.alt_of(PICTURES["values"]) == data["text/plain"]
    assert parts_still(data["text/html"]) == PICTURES["values"]
    data, metadata = widgets.live(wave(), f=(1, 5, 1))._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == metadata["image/png"]["alt"] == "A wave of frequency 1."


def parts_still(html: str) -> str:
    return base64.b64decode(re.search(r'base64,([^"]*)"', html)[1]).decode()


def test_an_error_in_draw_is_shown_instead_of_the_picture_until_it_is_gone():
    box = widgets.live(lambda k: boards.svg(f"<text>{1 / (k - 2):g}</text>", 9, 9, f"{k}"), k=(1, 3, 1))
    box.children[0].value = 2
    assert caption(box) == "ZeroDivisionError: division by zero"
    assert box.children[-2].layout.display == "none"
    box.children[0].value = 3
    assert (caption(box), box.children[-2].layout.display) == ("3", None)


def test_any_control_with_a_value_serves():
    import ipywidgets

    editor = ipywidgets.Textarea("S.G")
    box = widgets.live(lambda text: boards.grid(text), text=editor)
    editor.value = "S..G"
    assert "4 columns" in caption(box) and box.children[0] is editor
    editor.value = "S.\nG"
    assert caption(box).startswith("ValueError: the rows of the map have [2, 1] cells")


def test_a_text_is_a_field_to_type_in():
    box = widgets.live(boards.grid, text_map="S.G")
    box.children[0].value = "S..G"
    assert "4 columns" in caption(box) and box.children[0].description == "text map"


@pytest.mark.parametrize(
    "spec",
    [
        (1, 2),
        (2, 1, 1),
        (0, 1, 0),
        (0, 1, -0.1),
        (0.5, 0.9, 0.99),
        ("a", "b", "c"),
        [],
        range(0),
        b"abc",
        5,
        None,
        {},
    ],
)
def test_wrong_sliders_are_refused(spec):
    with pytest.raises(ValueError, match="the slider gamma has"):
        widgets.live(lambda gamma: PICTURES["grid"], gamma=spec)


def test_controls_start_where_they_are_told_to():
    def draw(gamma, k):
        return boards.svg("<g/>", 9, 9, f"{gamma} {k}")

    spec = {"gamma": [0.5, 0.9], "k": (0, 5, 1)}
    assert caption(widgets.live(draw, start={"k": 3, "gamma": 0.9}, **spec)) == "0.9 3"
    for start, words in (({"j": 1}, "no slider"), ({"k": 9}, "no value"), ({"gamma": 0.7}, "no value")):
        with pytest.raises(ValueError, match=words):
            widgets.live(draw, start=start, **spec)


@pytest.mark.parametrize("result", [None, 3, b"", (1, 2), [PICTURES["grid"]]])
def test_a_draw_that_returns_no_picture_is_refused(result):
    with pytest.raises(TypeError, match="return SVG text, or"):
        widgets.live(lambda k: result, k=(0, 1, 1))


def test_live_without_sliders_is_refused():
    with pytest.raises(ValueError, match="at least one slider"):
        widgets.live(lambda: PICTURES["grid"])


# show: a figure with its sentence


@pytest.fixture
def displayed(monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "display", lambda data, raw, metadata=None: shown.append((data, metadata)))
    return shown


def test_a_figure_shows_its_sentence_as_alternative_text_and_under_it(displayed):
    with plt.rc_context():
        style.use()
        figure, ax = plt.subplots()
        ax.plot(np.cumsum(np.random.default_rng(0).normal(size=(300, 3)), axis=0))
        alt = "V(s_1) * 2 is 0.5 [at k = 3], V_2 $ is <1."
        figures.show(figure, alt)
    (image, metadata), (under, _) = displayed
    assert image["text/plain"] == metadata["image/png"]["alt"] == under["text/plain"] == alt
    assert under["text/markdown"] == r"*V(s\_1) \* 2 is 0.5 \[at k = 3\], V\_2 \$ is \<1.*"
    assert 5_000 < len(base64.b64decode(image["image/png"])) < 100_000
    assert not plt.get_fignums()


def test_the_png_of_a_figure_is_the_same_every_time(displayed):
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        figures.show(figure, "1")
    assert displayed[0] == displayed[2]


def test_the_fast_png_has_the_pixels_of_the_usual_one():
    figure, ax = plt.subplots()
    ax.plot([1, 2, 0])
    usual = io.BytesIO()
    figure.savefig(usual)
    fast, slow = (np.asarray(Image.open(io.BytesIO(b))) for b in (figures.png(figure), usual.getvalue()))
    assert (fast == slow[..., :3]).all() and (slow[..., 3] == 255).all()
    plt.close(figure)


@pytest.mark.parametrize("alt", ["", "The error falls."])
def test_a_sentence_without_a_number_is_refused(alt):
    figure = plt.figure()
    with pytest.raises(ValueError, match="holds no number"):
        figures.show(figure, alt)
    plt.close(figure)


def test_learning_curves_name_steps_and_not_the_numbers_of_points():
    grown = approximations.largest(np.geomspace(10, 1e7, 61), "all three", 0.99)
    assert "(update 0 to 600)" in alt_of(grown) and ">600<" in grown
    learned = approximations.learning(np.array([np.linspace(20, 200, 20), np.full(20, 9.0)]), 1, 250)
    assert "(thousand steps 2 to 40)" in alt_of(learned)
    inputs = np.linspace(-3, 3, 41)
    fitted = approximations.fit((np.tanh(inputs), np.sin(inputs)), 30, 0.01)
    assert "(input x -3 to 3)" in alt_of(fitted) and ">1.5<" in fitted


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([0, 2, 4], "from 0 to 4"),
        ([0, 9, 0], "from 0 up to 9 to 0"),
        ([5, 1, 4], "from 5 down to 1 to 4"),
        ([1, 5, -5, 0], "from 1 up to 5 down to -5 to 0"),
        ([0, 4.1, 4], "from 0 to 4"),  # a tenth of all is not worth words
        ([np.nan, 8, 2], "from nothing up to 8 to 2"),
        ([np.nan, np.nan], "from nothing to nothing"),
    ],
)
def test_the_sentence_of_a_curve_tells_its_extremes(y, words):
    picture = boards.curve({"f": np.array(y, float)}, xlabel="x", limits=(-9, 9))
    assert f"f {words} (x 0 to {len(y) - 1})" in picture
