"""Readers run cells again, and move every control: after Run All each cell still gives what it gave.

`check` runs in the kernel in which nbval has replayed a chapter: conftest.py in the root sends it there.
"""

import ast
import contextlib
import io
import linecache
from pathlib import Path

import ipywidgets
import nbformat

from course_lib.show.widgets import Live

LONG = 1.0  # seconds: cells that take longer are not run a second time, to keep the tests short
CHAPTERS = sorted((Path(__file__).parent.parent / "chapters").glob("*.ipynb"))


def code_cells(notebook: str | Path) -> list:
    return [c for c in nbformat.read(notebook, 4).cells if c.cell_type == "code"]


def cells(notebook: Path) -> list[str]:
    return [c.source for c in code_cells(notebook)]


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


def printed(cell) -> str:
    streams = (o for o in cell.outputs if o.output_type == "stream")
    return "".join(o.text for o in streams if o.name == "stdout")


def moves(control) -> list:
    """Some values of a control, its ends among them."""
    if hasattr(control, "options"):
        return [value for _, value in control.options]
    if hasattr(control, "min"):
        return [control.max, (control.min + control.max) / 2, control.min]
    return [control.value + "\n", "walls only?", control.value]


def check(notebook: str, names: dict, seconds: list[float]) -> None:
    """AssertionError if a cell says something else when it runs again alone, or a control ends in an error.

    names are those that the chapter has left, seconds how long each of its code cells took.
    """
    boxes = [w for w in ipywidgets.widgets.widget._instances.values() if isinstance(w, Live)]
    for number, (cell, took) in enumerate(zip(code_cells(notebook), seconds, strict=True)):
        if took > LONG:
            continue
        again, _ = run(cell.source, dict(names))
        assert again == printed(cell), f"cell {number} says something else when it is run again:\n{again}"
    for box in boxes:
        for control in [c for c in box.children if getattr(c, "description", "")]:
            for value in moves(control):
                control.value = value
                words = box.children[-1].value
                typed = isinstance(value, str)  # where you may type nonsense, an error is the right answer
                assert typed or "Error" not in words, f"{control.description} = {value}: {words}"
