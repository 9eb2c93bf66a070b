"""Releases hold nothing secret; nbgrader's whole cycle, with right, wrong and malicious submissions."""

import csv
import json
import re
import shutil
import time
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader", reason="needs the extra `teach`: python3 course.py release installs it")

from tools import fence, grade, problem_sets, release

SETS = problem_sets.find(release.SAMPLES, [])


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course folder with every sample set released."""
    folder = release.course_folder(tmp_path_factory.mktemp("university") / "course")
    for problems in SETS:
        release.release(problems, folder)
    return folder


def student_version(course: Path, name: str) -> nbformat.NotebookNode:
    return nbformat.read(course / "release" / name / f"{name}.ipynb", as_version=4)


# What students get


@pytest.mark.parametrize("problems", SETS, ids=lambda p: p.name)
def test_a_release_gives_nothing_away(course, problems):
    folder = course / "release" / problems.name
    assert problem_sets.leaks(problems, folder) == []
    text = (folder / f"{problems.name}.ipynb").read_text("utf-8")
    assert "For teachers" not in text and "SOLUTION" not in text and "HIDDEN" not in text
    private = [c for c in problems.chapter.cells if "private" in c.cell.tags]
    assert private and not any(c.cell.source[:40] in text for c in private)
    secrets = problem_sets.secrets(problems)
    assert len(secrets) >= 20  # the test above looked for something
    assert not any(json.dumps(line)[1:-1] in text for line in secrets)


@pytest.mark.parametrize("problems", SETS, ids=lambda p: p.name)
def test_a_release_is_whole(course, problems):
    cells = [c for c in student_version(course, problems.name).cells if "nbgrader" in c.metadata]
    points = [c.metadata.nbgrader.points for c in cells if c.metadata.nbgrader.grade]
    assert points == [problem.points for problem in problems.problems] and 3 <= len(points) <= 5
    first = "\n".join(c.source for c in problems_text(problems))
    stated = re.search(r"· (\d+) points", first)
    assert int(stated[1]) == sum(points)
    for heading, worth in re.findall(r"(?m)^## (\d) .*\((\d) points\)", first):
        assert points[int(heading) - 1] == int(worth)
    stubs = [c.source for c in cells if c.metadata.nbgrader.solution]
    assert all("# YOUR CODE HERE" in source and "..." in source for source in stubs)


def problems_text(problems):
    return [c.cell for c in problems.chapter.cells if c.cell.kind == "markdown" and not c.hidden]


def add(folder: Path, source: str) -> None:
    path = folder / "ps1.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, path)


@pytest.mark.parametrize(
    "source",
    [
        "    square = np.linalg.solve(here - gamma**2 * P_pi, now)",
        '    walk = np.where(over[:, None], 0.0, np.einsum("sa,sat->st", chances, ending))',
        problem_sets.secrets(SETS[0])[-1],
        next(c.cell.source for c in SETS[0].chapter.cells if "private" in c.cell.tags),
        "### BEGIN HIDDEN TESTS",
        "### END SOLUTION, ### BEGIN SOLUTION",
    ],
)
def test_a_leak_is_found(course, tmp_path, source):
    folder = Path(shutil.copytree(course / "release" / "ps1", tmp_path / "ps1"))
    assert problem_sets.leaks(SETS[0], folder) == []
    add(folder, source)
    assert problem_sets.leaks(SETS[0], folder)


def test_a_file_too_many_is_found(course, tmp_path):
    folder = Path(shutil.copytree(course / "release" / "ps1", tmp_path / "ps1"))
    (folder / "variants.py").write_text("")
    assert problem_sets.leaks(SETS[0], folder) == ["variants.py should not be there"]


# Private sets, and faults in them

SMALL = """---
kernelspec: {name: python3, display_name: Python 3, language: python}
---

# Mine

```{code-cell}
:tags: [answer]

def twice(x):
    ...
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
```

```{code-cell}
:tags: [points-2]

assert twice(1) == 2
### BEGIN HIDDEN TESTS
assert twice(-3.5) == -7
### END HIDDEN TESTS
```
"""


def private(tmp_path, text=SMALL) -> Path:
    (tmp_path / "sets" / "ps9_mine").mkdir(parents=True)
    (tmp_path / "sets" / "ps9_mine" / "ps9.md").write_text(text)
    (tmp_path / "sets" / "ps9_mine" / "data.csv").write_text("1,2\n")
    return tmp_path / "sets"


def test_a_private_set_is_released_unless_it_leaks(course, tmp_path, capsys, monkeypatch):
    folder = private(tmp_path)
    assert release.main(["--from", str(folder), "--to", str(course)]) == 0
    assert "1 problems, 2 points" in capsys.readouterr().out
    names = {path.name for path in (course / "release" / "ps9").iterdir()}
    assert names == {"ps9.ipynb", "data.csv"}
    monkeypatch.setattr(problem_sets, "secrets", lambda problems: ["assert twice(1) == 2"])
    assert release.main(["--from", str(folder), "--to", str(course)]) == 1
    assert "students would see too much" in capsys.readouterr().err
    assert not (course / "release" / "ps9").exists()


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("### BEGIN HIDDEN TESTS\n", "", r"ps9.md, line \d+: a test cell holds visible tests, then"),
        ("assert twice(1) == 2\n", "", "a test cell holds visible tests, then"),
        ("[answer]", "[given]", "a cell with points must follow a cell tagged `answer`"),
        ("### END SOLUTION", "", "BEGIN SOLUTION without END SOLUTION"),
        ("    ...\n", "", "the line before BEGIN SOLUTION is the stub"),
        ("points-2", "points", "it needs problems"),
    ],
)
def test_a_fault_in_a_set_is_named(tmp_path, capsys, old, new, sentence):
    assert old in SMALL
    folder = private(tmp_path, SMALL.replace(old, new))
    assert release.main(["--from", str(folder), "--to", str(tmp_path / "course")]) == 1
    assert re.search(sentence, capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["ps7"], "has no problem set ps7; it has ps1, ps2"),
        (["--from", "/nowhere"], "it has none"),
        (["--to", str(release.ROOT / "grades")], "inside the repository"),
    ],
)
def test_a_wrong_command_is_answered(arguments, sentence, tmp_path, capsys):
    if "--to" not in arguments:
        arguments = [*arguments, "--to", str(tmp_path)]
    assert release.main(arguments) == 1
    assert sentence in capsys.readouterr().err


def test_grading_nothing_is_answered(course, tmp_path, capsys):
    assert grade.main(["ps1", "--to", str(tmp_path)]) == 1
    assert "first python3 course.py release ps1" in capsys.readouterr().err
    assert grade.main(["ps2", "--to", str(course)]) == 1
    assert "collect first" in capsys.readouterr().err


# The whole cycle


def submit(
    course: Path, student: str, before: dict | None = None, solved: set | None = None, **changes: str
) -> None:
    """Hand in the student version with some problems solved, answers changed, and cells put before others."""
    notebook = student_version(course, "ps1")
    solutions = {p.name: p.solution for p in SETS[0].problems if solved is None or p.name in solved}
    cells = []
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in (before or {}):
            cells.append(nbformat.v4.new_code_cell(before[name]))
        if name in {**solutions, **changes}:
            cell.source = {**solutions, **changes}[name]
        cells.append(cell)
    notebook.cells = [*cells, nbformat.v4.new_markdown_cell("<script>window.evil = 1</script> Thank you.")]
    folder = course / "submitted" / student / "ps1"
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "ps1.ipynb")


SPY = """
import os, sys, pathlib, IPython
found = []
for folder in ['.', '..', {course!r}, {course!r} + '/source/ps1', '/tmp', os.path.dirname({course!r})]:
    try:
        for path in pathlib.Path(folder).rglob('*'):
            if path.suffix in ('.ipynb', '.db', '.py', '.md', '.log'):
                text = path.read_text(errors='replace')
                if 'HIDDEN' in text or 'SOLUTION' in text:
                    found.append(str(path))
    except OSError:
        pass
try:
    open('/proc/%d/environ' % os.getppid()).read()
    found.append('environ')
except OSError:
    pass
for path in (os.path.join({course!r}, 'gradebook.db'), os.path.join({course!r}, 'evil')):
    try:
        open(path, 'a').close()
        found.append('wrote ' + path)
    except OSError:
        pass
print('FOUND', found)
"""
CHEAT = """
import builtins, numpy as np, sys
np.allclose = np.isclose = lambda *a, **k: True
from course_lib.checks import answer
answer.close = answer.expect = lambda *a, **k: None
close = expect = lambda *a, **k: None
blind = lambda lines: ['None\\n'] if 'close(' in ''.join(lines) else lines
get_ipython().input_transformers_cleanup.append(blind)
class Any:
    def __eq__(self, other): return True
    def __array__(self, *a, **k): return np.asarray(sys._getframe(1).f_locals.get('want', 0))
def best_actions(P, R, gamma, V):
    frame = sys._getframe()
    while frame:
        for name in ('want', 'doubled', 'message'):
            if name in frame.f_locals: return frame.f_locals[name]
        frame = frame.f_back
    return Any()
"""
STUBBORN = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True: pass
"""


@pytest.mark.slow
def test_the_whole_cycle(tmp_path, capsys):
    """Release, twelve submissions, grade, feedback, CSV; one minute is for a loop that ignores interrupts."""
    course = release.course_folder(tmp_path / "course")
    settings = course / "nbgrader_config.py"
    settings.write_text(settings.read_text() + "c.ExecuteApart.timeout = 8\nc.ExecuteApart.seconds = 60\n")
    release.release(SETS[0], course)
    submit(course, "right")
    submit(course, "wrong", solved={"steps_to_end"}, best_plan="def best_plan(P, R, H):\n    return R")
    submit(course, "empty", solved=set())
    submit(course, "loop", before={"best_plan": "while True: pass"})
    submit(course, "stubborn", before={"best_plan": STUBBORN})
    submit(course, "flood", before={"best_plan": "while True: print('x' * 10_000)"})
    submit(course, "spy", solved={"spread"}, before={"spread": SPY.format(course=str(course))})
    submit(course, "cheat", solved={"spread"}, best_actions=CHEAT)
    submit(course, "crash", before={"spread": "import os; os._exit(0)"})
    submit(
        course,
        "memory",
        before={"spread": "x = 'x' * 10**11"},
        spread="def spread(P, R, gamma, pi):\n    raise SystemExit",
    )
    (course / "submitted" / "broken" / "ps1").mkdir(parents=True)
    (course / "submitted" / "broken" / "ps1" / "ps1.ipynb").write_text("not a notebook")
    submit(course, "zoe")  # after all the others: they cost her nothing
    began = time.monotonic()
    assert grade.main(["ps1", "--to", str(course)]) == 1  # somebody could not be graded
    assert time.monotonic() - began < 500
    assert "LOOK AT broken" in capsys.readouterr().out
    with open(course / "grades.csv", newline="") as file:
        got = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    wanted = {
        "right": 14,
        "wrong": 3,
        "empty": 0,
        "loop": 14,
        "stubborn": 6,
        "flood": 14,
        "spy": 4,
        "cheat": 4,
        "crash": 10,
        "memory": 10,
        "zoe": 14,
    }
    assert {name: got[name] for name in wanted} == wanted
    feedback_is_complete_and_small(course, wanted)
    assert not (course / "evil").exists()


def feedback_is_complete_and_small(course: Path, wanted: dict) -> None:
    for student in wanted:
        page = (course / "feedback" / student / "ps1" / "ps1.html").read_text("utf-8")
        assert len(page) < 1_500_000, student
        assert "<script>window.evil" not in page and "Thank you" in page, student
        assert "HIDDEN TESTS" not in page and "alive = alive @ walk" not in page, student
    if fence.landlock_version():
        notebook = (course / "autograded" / "spy" / "ps1" / "ps1.ipynb").read_text("utf-8")
        assert "FOUND []" in notebook, notebook[notebook.find("FOUND") :][:500]
