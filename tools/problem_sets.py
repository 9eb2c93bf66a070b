"""Problem sets: a text (MyST) → nbgrader's source notebook, and the proof that a release is clean.

A problem is a code cell tagged `answer`, with its solution between markers, and behind it a code cell tagged
`points-N`, whose hidden tests stand between markers. Cells tagged `private` are for teachers. All other
code is given to students, and locked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from tools.cells import Cell, to_notebook
from tools.chapter import Chapter, TextError, line_roles, load
from tools.judge import answer_names

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
POINTS = re.compile(r"points-(\d+)")
LEFT_AT_HOME = (
    ".md",
    ".py",
)  # the text, and the variants of its solutions; anything else is data for students
TELLING = 12  # a line of at least so many characters gives something away


@dataclass(frozen=True)
class Problem:
    """What one problem's cells hold; `names` are what the student defines, and whether each is a function."""

    names: dict[str, bool]
    solution: str  # the answer cell with its solution
    tests: str  # visible and hidden
    points: int

    @property
    def name(self) -> str:
        return next(iter(self.names))


@dataclass(frozen=True)
class ProblemSet:
    name: str  # "ps1": nbgrader's name of the assignment, and its notebook's
    folder: Path
    chapter: Chapter
    given: list[str]  # code that students see and the tests use
    problems: list[Problem]


def find(folder: Path, names: list[str]) -> list[ProblemSet]:
    """The sets ps1_…, ps2_… in a folder, all for no name."""
    every = {
        path.name.split("_")[0]: path
        for path in sorted(folder.glob("*_*/"))
        if (path / texts_name(path)).exists()
    }
    unknown = sorted(set(names) - set(every))
    if unknown or not every:
        have = ", ".join(every) or "none (a set is a folder such as ps1_bellman with the file ps1.md)"
        raise TextError(f"{folder} has no problem set {', '.join(unknown)}; it has {have}")
    return [read(every[name]) for name in names or every]


def texts_name(path: Path) -> str:
    return path.name.split("_")[0] + ".md"


def read(folder: Path) -> ProblemSet:
    """Read and check one set; raises TextError, which names file, line and mend."""
    chapter = load(folder / texts_name(folder))
    cells = [text for text in chapter.cells if text.cell.kind == "code" and "private" not in text.cell.tags]
    given, problems, open_answer = [], [], None
    for text in cells:
        where, tags = f"{chapter.name}.md, line {text.line}", text.cell.tags
        points = [int(match[1]) for match in map(POINTS.fullmatch, tags) if match]
        if "answer" in tags:
            open_answer = check_answer(text.cell, where)
        elif points:
            problems.append(check_tests(text.cell, open_answer, points[0], where))
            open_answer = None
        else:
            given.append(text.cell.source)
    names = [name for problem in problems for name in problem.names]
    if not problems or len(names) != len(set(names)):
        raise TextError(f"{chapter.name}.md: it needs problems, and no two of them may define the same name")
    return ProblemSet(chapter.name, folder, chapter, given, problems)


def check_answer(cell: Cell, where: str) -> Cell:
    hidden = [line for role, line in line_roles(cell) if role == "hidden"]
    if not hidden or not answer_names(cell.source):
        raise TextError(
            f"{where}: an answer cell needs a function or a value, and BEGIN SOLUTION … END SOLUTION"
        )
    return cell


def check_tests(cell: Cell, answer: Cell | None, points: int, where: str) -> Problem:
    if answer is None:
        raise TextError(f"{where}: a cell with points must follow a cell tagged `answer`")
    before, begin, rest = cell.source.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not (before.strip() and begin and inside.strip() and end) or after.strip():
        raise TextError(
            f"{where}: a test cell holds visible tests, then `{BEGIN}`, hidden ones, `{END}`, and no more"
        )
    stub = "\n".join(line for role, line in line_roles(answer) if role in ("shown", "stub"))
    return Problem(answer_names(stub), answer.source, cell.source, points)


# The source notebook


def source_notebook(problems: ProblemSet) -> nbformat.NotebookNode:
    """nbgrader's source version: with solutions and hidden tests, without what is private."""
    cells = [text.cell for text in problems.chapter.cells if "private" not in text.cell.tags]
    notebook = to_notebook([cell._replace(tags=()) for cell in cells])
    ids = iter(problems.problems)
    problem = None
    for number, (node, cell) in enumerate(zip(notebook.cells, cells, strict=True)):
        if "answer" in cell.tags:
            problem = next(ids)
            node.metadata["nbgrader"] = metadata(problem.name, solution=True)
        elif any(map(POINTS.fullmatch, cell.tags)):
            node.metadata["nbgrader"] = metadata(f"{problem.name}-tests", points=problem.points)
        elif cell.kind == "code":
            node.metadata["nbgrader"] = metadata(f"given-{number:03d}")
    return notebook


def metadata(name: str, *, solution: bool = False, points: int | None = None) -> dict:
    form = {"grade_id": name, "grade": points is not None, "solution": solution, "locked": not solution}
    form |= {"points": points} if points is not None else {}
    return nbformat.from_dict({**form, "task": False, "schema_version": 3, "cell_type": "code"})


def to_text(notebook: nbformat.NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"


def data_files(problems: ProblemSet) -> list[Path]:
    files = [path for path in sorted(problems.folder.iterdir()) if path.is_file()]
    return [path for path in files if path.suffix not in LEFT_AT_HOME and not path.name.startswith(".")]


# What must stay at home


def leaks(problems: ProblemSet, folder: Path) -> list[str]:
    """What a released folder gives away: files, solutions, hidden tests, private words, markers, outputs."""
    allowed = {f"{problems.name}.ipynb", *(path.name for path in data_files(problems))}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [f"{path.name} should not be there" for path in files if path.name not in allowed]
    for path in files:
        text = path.read_bytes().decode("utf-8", "replace")
        if path.suffix == ".ipynb":
            notebook = nbformat.reads(text, as_version=4)
            found += [f"{path.name} holds an output" for cell in notebook.cells if cell.get("outputs")]
            text += "\n".join(cell.source for cell in notebook.cells)
        found += [f"{path.name} shows {line!r}" for line in secrets(problems) if line in text]
        found += [
            f"{path.name} holds a marker" for word in ("BEGIN SOLUTION", "HIDDEN TESTS") if word in text
        ]
    return found


def secrets(problems: ProblemSet) -> list[str]:
    """The telling lines of solutions, hidden tests and private cells that stand nowhere else."""
    hidden, shown = [], []
    for text in problems.chapter.cells:
        for role, line in roles(text.cell):
            (hidden if role == "hidden" else shown).append(line.strip())
    public = "\n".join(shown)
    return sorted({line for line in hidden if len(line) >= TELLING and line not in public})


def roles(cell: Cell) -> list[tuple[str, str]]:
    """Each line with `hidden` or another role; hidden tests and private cells count as hidden."""
    if "private" in cell.tags:
        return [("hidden", line) for line in cell.source.split("\n")]
    if any(map(POINTS.fullmatch, cell.tags)):
        before, _, inside = cell.source.partition(BEGIN)
        inside = inside.partition(END)[0]
        return [("shown", x) for x in before.split("\n")] + [("hidden", x) for x in inside.split("\n")]
    return line_roles(cell)
