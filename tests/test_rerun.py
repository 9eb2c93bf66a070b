"""Readers run cells again, and move every control: after Run All each cell still gives what it gave."""

import ast
import contextlib
import io
import linecache
import time
from pathlib import Path

import matplotlib
import nbformat
import pytest

from course_lib.show.widgets import Live

LONG = 1.0  # seconds: cells that take longer are not run a second time, to keep the tests short
CHAPTERS = sorted((Path(__file__).parent.parent / "chapters").glob("*.ipynb"))


def cells(notebook: Path) -> list[str]:
    return [c.source for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"]


def run(source: str, names: dict) -> tuple[str, object]:
    """What a cell prints, and the value of its last line."""
    name = f"<cell {hash(source)}>"
    linecache.cache[name] = len(source), None, source.splitlines(keepends=True), name  # for inspect.getsource
    tree, value = ast.parse(source), None
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    return out.getvalue(), value


@pytest.fixture(params=CHAPTERS, ids=lambda p: p.stem)
def chapter(request, monkeypatch):
    monkeypatch.chdir(request.param.parent)
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "agg")
    matplotlib.use("agg")
    names = {"__name__": "__main__"}
    sources = cells(request.param)
    first, seconds = [], []
    for source in sources:
        began = time.perf_counter()
        first.append(run(source, names))
        seconds.append(time.perf_counter() - began)
    return sources, names, first, seconds


def moves(control) -> list:
    """Some values of a control, its ends among them."""
    if hasattr(control, "options"):
        return [value for _, value in control.options]
    if hasattr(control, "min"):
        return [control.max, (control.min + control.max) / 2, control.min]
    return [control.value + "\n", "walls only?", control.value]


def test_every_cell_runs_again_alone_and_every_control_moves(chapter):
    sources, names, first, seconds = chapter
    for number, (source, (said, _)) in enumerate(zip(sources, first, strict=True)):
        if seconds[number] > LONG:
            continue
        again, _ = run(source, dict(names))
        assert again == said, f"code cell {number} says something else when it is run again:\n{source}"
    for box in (value for _, value in first if isinstance(value, Live)):
        for control in [c for c in box.children if getattr(c, "description", "")]:
            for value in moves(control):
                control.value = value
                words = box.children[-1].value
                assert isinstance(value, str) or "Error" not in words, (
                    f"{control.description} = {value}: {words}"
                )
