"""The second run of a chapter's cells (conftest.py, second_run.py) can fail, and no chapter goes without."""

import contextlib
import subprocess
import sys
from pathlib import Path

import ipywidgets
import nbformat.v4 as nb
import pytest
from second_run import CHAPTERS, check

from course_lib.show import live

ROOT = Path(__file__).parent.parent


def notebook(path: Path, source: str, said: str) -> str:
    cell = nb.new_code_cell(source, outputs=[nb.new_output("stream", name="stdout", text=said)])
    path.write_text(nb.writes(nb.new_notebook(cells=[cell])))
    return str(path)


def test_a_cell_that_says_something_else_the_second_time_is_refused(tmp_path):
    count = notebook(tmp_path / "count.ipynb", "n.append(1)\nprint(len(n))", "1\n")
    check(count, {"n": []}, [0.1])
    with pytest.raises(AssertionError, match="cell 0 says something else"):
        check(count, {"n": [1]}, [0.1])
    check(count, {"n": [1]}, [5.0])  # it took long: it is not run again


def test_a_cell_that_needs_what_the_chapter_has_overwritten_is_refused(tmp_path):
    square = notebook(tmp_path / "square.ipynb", "print(x**2)", "9\n")
    check(square, {"x": 3}, [0.1])
    with pytest.raises(AssertionError, match="cell 0 says something else"):
        check(square, {"x": 4}, [0.1])


def drawn(k):
    return f"<svg width='9' height='9' role='img' aria-label='{8 // (4 - k)} of 8'></svg>"


@pytest.mark.parametrize("last", [3, 4])
def test_a_control_that_ends_in_an_error_is_refused(tmp_path, last):
    ipywidgets.Widget.close_all()  # those of other tests
    box = live(drawn, k=(1, last, 1))
    outcome = contextlib.nullcontext() if last == 3 else pytest.raises(AssertionError, match="k = 4")
    with outcome:
        check(notebook(tmp_path / "nothing.ipynb", "pass", ""), {}, [0.1])
    box.close()


def test_every_chapter_is_run_a_second_time():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "chapters", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {line.split("::")[0] for line in done.stdout.splitlines() if line.endswith("::second run")}
    assert found == {f"chapters/{path.name}" for path in CHAPTERS}
    some = [*command[:-3], "-k", "Cell and 3", "chapters/01_agents_and_environments.ipynb"]
    assert "second run" not in subprocess.run(some, cwd=ROOT, capture_output=True, text=True).stdout
