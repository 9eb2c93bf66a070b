"""How long a slider takes from the key press to the right picture: ours beside what a plain notebook does.

    python benchmarks/slider_latency.py [presses]

One notebook on a 10×10 grid world, opened in JupyterLab in headless Chromium, shows the same picture (values,
arrows, convergence curve) in four ways. For each it measures, by real key presses a quarter of a second
apart, the time to the first animation frame that shows the picture of the new value, and the kernel's CPU
time. The presses fall evenly over the 17 ms between two frames, so that the wait for the next frame has its
fair share. Then the slider moves once in every frame (60 Hz), and the values whose picture was ever shown are
counted. Which picture belongs to which value is learned in a slow pass before. It prints one Markdown table.
The targets hold on a quiet machine; the ratios, all from one run, on any.
"""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / folder) for folder in ("tests", "")]
import lab

SETUP = '''
import warnings
from itertools import islice
import matplotlib.pyplot as plt, numpy as np
from ipywidgets import interact
from course_lib.agents.planning import greedy, value_iteration
from course_lib.show import boards, live, scrub, style
from course_lib.worlds.grids import gridworld

MAP = """.........G
.........P
..###.....
..........
.......##.
.....#....
.....#....
.....#....
..........
S........."""
world = gridworld(MAP, slip=0.2, step_reward=-0.02, gamma=0.95)
sweeps = list(islice(value_iteration(world, 1e-300), 62))
change = [np.abs(b - a).max() for a, b in zip(sweeps, sweeps[1:])]
where = tuple(np.array(world.labels).T)

def solved(k):
    """V after k sweeps, computed anew: what a slider over a parameter has to do."""
    return next(islice(value_iteration(world, 1e-300), k, None))

def draw(V, k):
    board = boards.grid(MAP, V, greedy(world, V), title=f"V after k = {k} sweeps")
    title = f"change {change[k]:.1e}"
    look = {"xlabel": "sweep k", "log": True, "limits": (1e-8, 10), "height": 500}
    curve = boards.curve({"change": change}, title=title, mark=k, **look)
    return boards.beside(board, curve)

def as_image(V):
    image = np.full((10, 10), np.nan)
    image[where] = V
    return image

def arrows(V):
    a = greedy(world, V).argmax(axis=1)
    return np.array([0, 1, 0, -1])[a], np.array([1, 0, -1, 0])[a]

def paint():
    """A matplotlib figure of the same picture, and a function that changes it."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    image = left.imshow(as_image(sweeps[0]), cmap="RdBu", vmin=-1, vmax=1)
    quiver = left.quiver(where[1], where[0], *arrows(sweeps[0]), pivot="mid")
    left.set_axis_off()
    right.semilogy(change)
    right.minorticks_off()  # eight of them for every power of ten: a third of the drawing
    dot, = right.plot([0], change[:1], "o")
    right.set_xlabel("sweep k")
    titles = left.set_title("V"), right.set_title("change")
    def repaint(k):
        V = solved(k)
        image.set_data(as_image(V))
        quiver.set_UVC(*arrows(V))
        dot.set_data([k], [change[k]])
        titles[0].set_text(f"V after k = {k} sweeps")
        titles[1].set_text(f"change {change[k]:.1e}")
        return figure, f"After {k} sweeps the last change was {change[k]:.1e}."
    return repaint
'''
DESIGNS = {
    "`scrub`": "scrub(sweeps[:61], {'sweep k': range(61)}, draw)",
    "`live`, SVG": "live(lambda k: draw(solved(k), k), k=(0, 60, 1))",
    "`live`, matplotlib": "style.use()\nlive(paint(), k=(0, 60, 1))",
    "`interact` + inline matplotlib": (
        "plt.rcdefaults()\n%matplotlib inline\n"
        "@interact(k=(0, 60, 1))\ndef show(k=0):\n    paint()(k)\n    plt.show()"
    ),
}
FRAME = 1000 / 60  # ms
SLIDER = "input[type=range], .noUi-handle"
WATCH = Path(__file__).with_suffix(".js").read_text()


def measure(page, kernel, number: int, presses: int) -> dict:
    """Latencies in ms, kernel CPU ms for each press, and the share of values shown while dragging."""
    cell = lab.show_cell(page, number)
    cell.wait_for_selector(SLIDER)
    cell.evaluate("cell => { window.w = watch(cell); w.slider.focus(); }")
    pictures = learn(page, presses)
    home(page)
    before, times = cpu_ms(kernel), []
    for i, expected in enumerate(pictures[1:]):
        page.wait_for_timeout(250)
        page.evaluate("expected => { window.shown = w.until(expected, 3000) }", expected)
        page.evaluate("w.phase", FRAME * i / presses)
        page.keyboard.press("ArrowRight")
        times.append(page.evaluate("window.shown"))
    kernel_ms = (cpu_ms(kernel) - before) / len(times)
    home(page)
    seen = set(page.evaluate("steps => w.drag(steps, 1000)", len(pictures) - 1))
    return {"times": times, "kernel": kernel_ms, "shown": len(seen & set(pictures[1:])) / len(times)}


def learn(page, presses: int) -> list[str]:
    """The name of the picture of each value, from the first on, each given time to settle."""
    pictures = [home(page)]
    for _ in range(presses):
        page.keyboard.press("ArrowRight")
        pictures.append(page.evaluate("old => w.settled(old, 300)", pictures[-1]))
    assert len(set(pictures)) == presses + 1, f"two values have one picture, or it came late: {pictures}"
    return pictures


def home(page) -> str:
    page.keyboard.press("Home")
    page.wait_for_timeout(500)
    return page.evaluate("w.settled('', 800)")


def cpu_ms(process) -> float:
    times = process.cpu_times()
    return 1000 * (times.user + times.system)


def table(results: dict[str, dict]) -> str:
    base = median(results[list(results)[-1]]["times"])
    rows = [
        "| design | median ms | p95 ms | values shown at 60 Hz | kernel CPU ms | times faster |",
        "|---|---|---|---|---|---|",
    ]
    for name, r in results.items():
        middle, p95 = median(r["times"]), quantiles(r["times"], n=20)[-1]
        cells = f"{middle:.0f} | {p95:.0f} | {r['shown']:.0%} | {r['kernel']:.1f} | {base / middle:.1f}"
        rows.append(f"| {name} | {cells} |")
    return "\n".join(rows)


def main(presses: int = 60) -> None:
    results = {}
    with tempfile.TemporaryDirectory() as home_folder, lab.jupyter_lab(Path(home_folder)) as server:
        lab.write_notebook(server.folder / "sliders.ipynb", SETUP, *DESIGNS.values())
        with lab.browser() as chrome:
            page = chrome.new_page(viewport={"width": 1280, "height": 900})
            lab.open_notebook(page, server, "sliders.ipynb")
            lab.run_all(page)
            assert not lab.failures(page), lab.failures(page)
            page.add_script_tag(content=WATCH)
            for number, name in enumerate(DESIGNS, start=1):
                results[name] = measure(page, server.kernel(), number, presses)
    print(table(results))
    load = f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"\n{presses} key presses each; {load}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
