"""Text → notebooks, executed: `python -m tools.build [NN ...]`, or `--check` to compare without executing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import nbformat

from tools import execute, hygiene
from tools.cells import Cell, cells_of, to_notebook
from tools.chapter import Chapter, TextError, chapter_view, load, solutions_view

ROOT = Path(__file__).resolve().parent.parent
CHAPTER_SECONDS, SOLUTION_SECONDS = 60, 8


class Options(NamedTuple):
    draft: bool = False  # build although hygiene finds the text unfinished
    strict_time: bool = False  # refuse a notebook that is over its time
    timeout: float = 300  # seconds a cell may take


class Refused(RuntimeError):
    """Why a notebook was not written."""


def texts(root: Path, names: list[str]) -> list[Path]:
    """The text files that the names (03, 03_dynamic_programming, glossary) stand for; all for no name."""
    every = sorted((root / "chapters/text").glob("*.md"))
    unknown = [name for name in names if not any(matches(path, name) for path in every)]
    if unknown:
        raise Refused(f"no text in chapters/text for {', '.join(unknown)}")
    return [path for path in every if not names or any(matches(path, name) for name in names)]


def matches(path: Path, name: str) -> bool:
    return path.stem == name or path.stem.startswith(f"{name}_")


def views(root: Path, chapter: Chapter) -> dict[Path, list[Cell]]:
    """Each notebook's path and the cells it must hold; no solutions for a chapter without exercises."""
    folder, file = root / "chapters", f"{chapter.name}.ipynb"
    both = {folder / file: chapter_view(chapter), folder / "solutions" / file: solutions_view(chapter)}
    return {path: cells for path, cells in both.items() if cells}


# Building


def build(root: Path, path: Path, options: Options) -> Iterator[str]:
    """Write the notebooks of one text; yields a line for each. Nothing is written that did not run."""
    front_matter = hygiene.text_problems(path.read_text(encoding="utf-8"))
    for target, cells in views(root, load(path)).items():
        notebook, name = to_notebook(cells), shown(target, root)
        faults = front_matter + hygiene.problems(notebook, target, executed=False)
        if faults and not options.draft:
            raise Refused("\n".join([f"{name}: not built (--draft builds an unfinished one)", *faults]))
        yield run_and_write(notebook, target, name, options)


def run_and_write(notebook: nbformat.NotebookNode, target: Path, name: str, options: Options) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        seconds = execute.run(notebook, target.parent, options.timeout)
    except execute.ExecutionError as error:
        raise Refused(f"{name}: not written. {error}") from None
    late = lateness(target, seconds)
    if late and options.strict_time:
        raise Refused(f"{name}: not written. {late}")
    content = execute.to_bytes(notebook)
    write_whole(target, content)
    line = f"{name}  {seconds:.1f} s  {len(notebook.cells)} cells  {len(content) / 1e6:.2f} MB"
    return f"{line}  WARNING: {late}" if late else line


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: on a full disk the old one stays, and no half one takes its place."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise Refused(f"{path.name} could not be written ({error.strerror}); it is as it was") from None


def lateness(target: Path, seconds: float) -> str:
    limit = SOLUTION_SECONDS if target.parent.name == "solutions" else CHAPTER_SECONDS
    return f"It took {seconds:.1f} s; the budget is {limit} s on a quiet machine" if seconds > limit else ""


def shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


# Checking


def check(root: Path, names: list[str] | None = None) -> list[str]:
    """Where text and notebooks disagree on cells, their kinds, sources and tags. Executes nothing."""
    found, expected = [], set()
    for path in texts(root, names or []):
        for target, cells in views(root, load(path)).items():
            expected.add(target)
            found += [f"{shown(target, root)}: {line}" for line in differences(target, cells)]
    stored = [*(root / "chapters").glob("*.ipynb"), *(root / "chapters/solutions").glob("*.ipynb")]
    orphans = [] if names else sorted(set(stored) - expected)
    return found + [
        f"{shown(path, root)}: no text stands behind it; remove it or write one" for path in orphans
    ]


def differences(target: Path, cells: list[Cell]) -> list[str]:
    if not target.exists():
        return ["does not exist; build it"]
    notebook = nbformat.read(target, as_version=4)
    found = [*compare(cells, cells_of(notebook))]
    if not found and [node.id for node in notebook.cells] != [node.id for node in to_notebook(cells).cells]:
        return ["its cell ids are not the build's, so it was edited and never run again; build it"]
    return found


def compare(text: list[Cell], notebook: list[Cell]) -> Iterator[str]:
    for what, a, b, c, d in SequenceMatcher(None, text, notebook, autojunk=False).get_opcodes():
        pairs = min(b - a, d - c) if what == "replace" else 0
        for i in range(pairs):
            yield f"cell-{c + i:03d} differs from the text in its {difference(text[a + i], notebook[c + i])}"
        if what != "equal":
            yield from (f"cell-{i:03d} is not in the text" for i in range(c + pairs, d))
            yield from (f"the text's cell-{i:03d} is missing" for i in range(a + pairs, b))


def difference(one: Cell, other: Cell) -> str:
    return ", ".join(field for field, a, b in zip(Cell._fields, one, other, strict=True) if a != b)


# The command


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NN", help="chapters, such as 03; none means all")
    parser.add_argument(
        "--check", action="store_true", help="only say which notebooks differ from their text"
    )
    parser.add_argument("--draft", action="store_true", help="build although the text is unfinished")
    parser.add_argument("--strict-time", action="store_true", help="refuse a notebook that is over its time")
    parser.add_argument("--timeout", type=float, default=300, help="seconds a cell may take (300)")
    args = parser.parse_args(argv)
    try:
        return check_all(root, args.names) if args.check else build_all(root, args)
    except (Refused, TextError) as error:
        print(error, file=sys.stderr)
        return 1


def check_all(root: Path, names: list[str]) -> int:
    found = check(root, names)
    print("\n".join(found) or "text and notebooks agree")
    return int(bool(found))


def build_all(root: Path, args: argparse.Namespace) -> int:
    failed, options = 0, Options(args.draft, args.strict_time, args.timeout)
    for path in texts(root, args.names):
        try:
            for line in build(root, path, options):
                print(line, flush=True)
        except (Refused, TextError) as error:
            failed = 1
            print(error, file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
