"""Grade a problem set: `python3 course.py grade ps1 [--to COURSE] [--again]`.

Autogrades every folder submitted/STUDENT/ps1, each in a process of its own; writes feedback and grades.csv.
Submissions that were graded and have not changed since are left alone, unless you say --again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools import fence
from tools.build import Refused
from tools.extras import Missing, need
from tools.release import COURSE, find_programs

SECONDS, MEGABYTES = 600, 8000  # for one submission from start to end; a net below the settings' own limits


def nbgrader(course: Path, *words: str, seconds: float | None = None) -> str:
    """Run nbgrader in a process of its own; "" or the reason why it failed. The log keeps what it said."""
    find_programs()
    command = fence.command({"megabytes": MEGABYTES}, sys.executable, "-m", "nbgrader", *words)
    with open(course / "grade.log", "a", encoding="utf-8") as log:
        print("==", *words, file=log, flush=True)
        try:
            code = subprocess.run(command, cwd=course, stdout=log, stderr=log, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds} seconds"
    return f"nbgrader failed with code {code}; see the end of {log.name}" if code else ""


def students(course: Path, name: str) -> list[str]:
    return sorted(path.parent.name for path in (course / "submitted").glob(f"*/{name}/") if path.is_dir())


def grade(course: Path, name: str, again: bool = False) -> dict[str, str]:
    """Autograde all, then feedback and CSV; returns who could not be graded, and why."""
    failed = {}
    for student in students(course, name):
        options = ["--force"] if again else []
        reason = nbgrader(course, "autograde", name, f"--student={student}", *options, seconds=SECONDS)
        print(f"{student}: {reason or 'graded'}", flush=True)
        failed |= {student: reason} if reason else {}
    nbgrader(course, "generate_feedback", name, "--force")
    reason = nbgrader(course, "export", f"--CsvExportPlugin.to={course / 'grades.csv'}")
    if reason:
        raise Refused(reason)
    return failed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="grade", description=__doc__.split("\n")[0])
    parser.add_argument("name", metavar="ps1", help="the problem set")
    parser.add_argument(
        "--to", dest="course", type=Path, default=COURSE, help=f"the course folder ({COURSE})"
    )
    parser.add_argument("--again", action="store_true", help="grade also what was graded and has not changed")
    args = parser.parse_args(argv)
    try:
        course = checked(args.course.expanduser().resolve(), args.name)
        need("teach")
        failed = grade(course, args.name, args.again)
    except (Missing, Refused) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"feedback in {course / 'feedback'}, grades in {course / 'grades.csv'}")
    print("\n".join(f"LOOK AT {student}: {reason}" for student, reason in failed.items()))
    return int(bool(failed))


def checked(course: Path, name: str) -> Path:
    if not (course / "source" / name).is_dir():
        raise Refused(f"{course} has no source/{name}: first python3 course.py release {name} --to {course}")
    if not students(course, name):
        raise Refused(
            f"{course}/submitted holds no folder STUDENT/{name}: collect first (instructor/PROBLEM_SETS.md)"
        )
    return course


if __name__ == "__main__":
    sys.exit(main())
