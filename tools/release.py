"""Problem sets for students: `python3 course.py release [ps1 …] [--from FOLDER] [--to COURSE]`.

Makes a course folder for nbgrader, or adds to one: `source/ps1` with solutions, `release/ps1` for students.
Without `--from` it takes the sample sets in instructor/problem_sets, whose solutions are public.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from tools import problem_sets
from tools.build import ROOT, Refused
from tools.chapter import TextError
from tools.extras import Missing, need
from tools.problem_sets import ProblemSet

SAMPLES = ROOT / "instructor" / "problem_sets"
COURSE = Path.home() / "rl-course"
CONFIG = '''\
"""nbgrader's settings for this course. Yours to edit: `course.py release` does not write them again."""

import sys

sys.path.insert(0, {root!r})  # where the course lies: its tools run the students' code in a fence
from nbgrader.preprocessors import (
    AssignLatePenalties, CheckCellMetadata, ClearHiddenTests, GetGrades, IgnorePattern, LimitOutput,
    SaveAutoGrades,
)
from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbconvert.preprocessors.sanitize import SanitizeHTML
from tools.apart import ExecuteApart

c = get_config()
c.CourseDirectory.course_id = "rl"
c.CourseDirectory.root = {course!r}
c.CourseDirectory.db_url = "sqlite:///" + {database!r}

c.ClearSolutions.code_stub = {{"python": "# YOUR CODE HERE"}}
c.OverwriteCells.add_missing_cells = True  # who deletes a test cell does not delete the test

c.Autograde.autograde_preprocessors = [
    ExecuteApart, IgnorePattern, LimitOutput, SaveAutoGrades, AssignLatePenalties, CheckCellMetadata,
    SanitizeHTML,  # a student's Markdown runs no script in the browser of who grades
]
c.SanitizeHTML.enabled = True
c.ExecuteApart.timeout = 30  # seconds for one cell, and for one call by a test
c.ExecuteApart.seconds = 300  # for a whole submission
c.ExecuteApart.characters = 100_000  # of output, for one cell
c.ExecuteApart.megabytes = 6000  # addresses, of which PyTorch takes many

# Students' pages show no hidden tests.
c.GenerateFeedback.preprocessors = [GetGrades, ClearHiddenTests, CSSHTMLHeaderPreprocessor]
'''


def course_folder(course: Path, root: Path = ROOT) -> Path:
    """Make the folder and its settings; settings that are there stay."""
    course = course.expanduser().resolve()
    if course == root or root in course.parents:
        raise Refused(
            f"{course} lies inside the repository, where grades could be published: choose a folder outside"
        )
    course.mkdir(parents=True, exist_ok=True)
    settings = course / "nbgrader_config.py"
    if not settings.exists():
        text = CONFIG.format(root=str(root), course=str(course), database=str(course / "gradebook.db"))
        settings.write_text(text, encoding="utf-8")
    return course


def api(course: Path):
    """nbgrader, with the settings of a course folder."""
    find_programs()
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", str(course)).load_config()
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def find_programs() -> None:
    """nbgrader calls alembic by its bare name, which stands beside this Python."""
    here = str(Path(sys.executable).parent)
    if here not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ.get("PATH", "")


def release(problems: ProblemSet, course: Path) -> Path:
    """Write source and student version of a set; one that gives anything away is taken back (Refused)."""
    source, out = course / "source" / problems.name, course / "release" / problems.name
    source.mkdir(parents=True, exist_ok=True)
    notebook = problem_sets.source_notebook(problems)
    (source / f"{problems.name}.ipynb").write_text(problem_sets.to_text(notebook), encoding="utf-8")
    for path in problem_sets.data_files(problems):
        shutil.copy(path, source)
    result = api(course).generate_assignment(problems.name, force=True, create=True)
    if not result["success"]:
        raise Refused(f"{problems.name}: nbgrader refuses it:\n{result.get('log', '')[-2000:]}")
    found = problem_sets.leaks(problems, out)
    if found:
        shutil.rmtree(out)
        raise Refused(
            "\n".join([f"{problems.name}: not released, because students would see too much:", *found])
        )
    return out


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="release", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="ps1", help="problem sets; none means all")
    parser.add_argument(
        "--from", dest="folder", type=Path, default=SAMPLES, help="your own sets, outside the repository"
    )
    parser.add_argument(
        "--to", dest="course", type=Path, default=COURSE, help=f"the course folder ({COURSE})"
    )
    args = parser.parse_args(argv)
    try:
        sets = problem_sets.find(args.folder.expanduser(), args.names)
        course = course_folder(args.course)
        need("teach")
        for problems in sets:
            points = sum(problem.points for problem in problems.problems)
            print(
                f"{release(problems, course)}  {len(problems.problems)} problems, {points} points", flush=True
            )
    except (Missing, Refused, TextError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.folder == SAMPLES:
        print("The solutions of the shipped sets are public. To make your own: instructor/PROBLEM_SETS.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
