"""Are the tests able to fail? Break the library in many small ways, and count what the tests notice.

    python3 course.py mutants planning             200 mutants of one room; prints the score and the survivors
    python3 course.py mutants planning --sample 50

mutmut makes the mutants: one operator, number, name or argument changed in each. A sample with a fixed seed
is run against the tests of the room, in a copy of the repository. Messages of errors are left alone: their
exact words are no behaviour. What no test noticed is printed with its line: write the test, or know why there
is none.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools.extras import ROOT, Missing, need

SEED = 0


class Room(NamedTuple):
    modules: tuple[str, ...]  # in course_lib
    tests: tuple[str, ...]  # in tests/, without test_ and .py


ROOMS = {
    "worlds": Room(
        ("worlds/mdp.py", "worlds/grids.py", "worlds/classics.py", "worlds/bandits.py"),
        ("mdp", "grids", "classics", "bandits", "bad_input", "envs"),
    ),
    "planning": Room(("agents/planning.py",), ("planning", "bad_input")),
    "tabular": Room(("agents/tabular.py",), ("tabular",)),
    "oracles": Room(
        ("oracles/bandits.py", "oracles/hidden_goal.py", "oracles/minimax.py"),
        ("bandits", "bandit_play", "hidden_goal", "game", "search"),
    ),
    "maml": Room(("meta/maml.py",), ("maml",)),
    "meta_gradient": Room(("meta/meta_gradient.py",), ("meta_gradient",)),
}
SETTINGS = """[mutmut]
source_paths=course_lib
only_mutate={modules}
also_copy=
    benchmarks
    course_lib
    tools
    chapters
pytest_add_cli_args=
    -q
    -p
    no:cacheprovider
pytest_add_cli_args_test_selection={tests}
do_not_mutate_patterns=
    raise \\w+\\(
    raise \\w+Error
use_git_change_detection=false
track_dependencies=false
"""


def copy_of(room: Room, folder: Path) -> None:
    """The files that the tests need, with mutmut's settings."""
    for name in ("course_lib", "tests", "tools", "benchmarks", "chapters"):
        skip = shutil.ignore_patterns("__pycache__", ".peers", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("pyproject.toml", "constraints.txt", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    modules = "".join(f"\n    course_lib/{module}" for module in room.modules)
    tests = "".join(f"\n    tests/test_{test}.py" for test in room.tests)
    (folder / "setup.cfg").write_text(SETTINGS.format(modules=modules, tests=tests), encoding="utf-8")


def mutmut(folder: Path, *arguments: str, quiet: bool = True) -> str:
    """What a command of mutmut prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    env = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=quiet, text=True)
    return (done.stdout or "") + (done.stderr or "")


def names_of(folder: Path, room: Room) -> list[str]:
    """All mutants of the room, as mutmut names them; it makes them when it is asked to run one."""
    found = []
    for module in room.modules:
        text = (folder / "mutants" / "course_lib" / module).read_text(encoding="utf-8")
        prefix = "course_lib." + module.removesuffix(".py").replace("/", ".")
        defined = set(re.findall(r"def (\w+__mutmut_\d+)\b", text))
        found += [f"{prefix}.{name}" for name in defined]
    return sorted(found)


def states(folder: Path, names: list[str]) -> dict[str, str]:
    """What became of each mutant: killed, survived, timeout, no tests …"""
    lines = (
        line.strip().rpartition(": ") for line in mutmut(folder, "results", "--all", "true").splitlines()
    )
    return {name: state for name, _, state in lines if name in set(names)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="course.py mutants", description=__doc__.splitlines()[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=200, help="how many mutants")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    options = parser.parse_args()
    try:
        need("trust")
    except Missing as missing:
        sys.exit(str(missing))
    room = ROOMS[options.room]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_of(room, folder)
        print("making the mutants, and finding which test reaches which function ...", flush=True)
        first = mutmut(folder, "run", "--max-children", "1", "no such mutant")
        if not (folder / "mutants" / "course_lib" / room.modules[0]).exists():
            sys.exit(first[-3000:])
        names = names_of(folder, room)
        sample = sorted(random.Random(SEED).sample(names, min(options.sample, len(names))))
        mutmut(folder, "run", "--max-children", str(options.jobs), *sample, quiet=False)
        report(options.room, folder, sample, len(names))


def report(room: str, folder: Path, sample: list[str], of: int) -> None:
    found = states(folder, sample)
    killed = [name for name in sample if found.get(name) in ("killed", "timeout", "segfault", "suspicious")]
    for name in sorted(set(sample) - set(killed)):
        diff = [line for line in mutmut(folder, "show", name).splitlines() if re.match(r"[-+](?![-+])", line)]
        print(f"\n{name}: {found.get(name, 'not run')}\n" + "\n".join(diff))
    share = len(killed) / len(sample)
    print(f"\n{room}: {len(killed)} of {len(sample)} mutants noticed ({share:.0%}), of {of} in all")


if __name__ == "__main__":
    main()
