"""The web edition, built from the stored outputs, without executing anything: `python -m tools.site`."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from tools.cells import Cell, headings
from tools.extras import Missing, need

ROOT = Path(__file__).resolve().parent.parent
BUILT = Path("_build/site")
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"
# The first chapter of each part; the names are those of README.md
PARTS = {
    0: "Part I · One world, in tables",
    10: "Part II · Functions instead of tables",
    12: "Part III · Learning to learn",
}
REFERENCE = "To look things up"


# What the index says


def part_of(path: Path) -> str:
    """Where a notebook belongs, by the number that its name begins with."""
    number = re.match(r"\d+", path.stem)
    return PARTS[max(n for n in PARTS if n <= int(number[0]))] if number else REFERENCE


def chapters(root: Path) -> dict[str, list[Path]]:
    """The notebooks of each part, in the order of their names (11, 11b, 12), those without a number last."""
    found: dict[str, list[Path]] = {}
    for path in sorted(root.glob("chapters/*.ipynb"), key=order):
        found.setdefault(part_of(path), []).append(path)
    return found


def order(path: Path) -> tuple[bool, str]:
    return not path.stem[0].isdigit(), path.stem


def opening(path: Path) -> tuple[str, str]:
    """A notebook's title and the paragraph after it, the question that it answers."""
    cell = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    source = "".join(cell["source"])
    title = next((h.title for h in headings(Cell("markdown", source)) if h.level == 1), path.stem)
    rest = [block.strip() for block in source.split("\n\n")[1:]]
    return title, rest[0] if rest and rest[0].endswith(("?*", "?")) else ""


def contents(root: Path, folder: str = "") -> Iterator[str]:
    """Each part: a list of its chapters to read, and the entry in the sidebar."""
    for part, paths in chapters(root).items():
        yield f"### {part}\n"
        for path in paths:
            title, question = opening(path)
            yield f"- **[{title}](chapters/{path.name})** {question.replace(chr(10), ' ')}"
        yield toctree([f"chapters/{path.stem}" for path in paths], caption=part)


def toctree(pages: list[str], caption: str = "", hidden: bool = True) -> str:
    options = [f":caption: {caption}"] * bool(caption) + [":hidden:"] * hidden
    return "\n".join(["", "```{toctree}", *options, "", *pages, "```", ""])


# Laying out the pages


def lay_out(root: Path, source: Path, repository: str, solutions: bool) -> None:
    """The folder that Sphinx reads: the notebooks as they are, and the index pages."""
    notebooks = [path for paths in chapters(root).values() for path in paths]
    solved = sorted(root.glob("chapters/solutions/*.ipynb")) if solutions else []
    wanted = {source / path.relative_to(root): path.read_bytes() for path in [*notebooks, *solved]}
    more = {"index.md": index(root, repository, bool(solved))}
    if solved:
        more["chapters/solutions/index.md"] = solutions_index(solved)
    wanted |= {source / name: text.encode() for name, text in more.items()}
    for old in set(source.rglob("*.*")) - set(wanted) - {source / "static"}:
        if old.is_file() and "static" not in old.relative_to(source).parts:
            old.unlink()
    for path, content in wanted.items():
        if not path.exists() or path.read_bytes() != content:  # what did not change is not built again
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    copy_mathjax(source / "static")


def index(root: Path, repository: str, solutions: bool) -> str:
    text = (root / "site/index.md").read_text(encoding="utf-8")
    entry = toctree(["chapters/solutions/index"], caption="Solutions") if solutions else ""
    filled = {"repository": repository, "chapters": "\n".join(contents(root)), "solutions": entry}
    return re.sub(r"\{\{(\w+)\}\}", lambda gap: filled[gap[1]], text)


def solutions_index(solved: list[Path]) -> str:
    """Solutions have pages of their own, which the search leaves out: nobody meets one by accident."""
    words = "The exercises of each chapter, solved. Try for ten minutes first; the search does not look here."
    return f"# Solutions\n\n{words}\n" + toctree([path.stem for path in solved], hidden=False)


def copy_mathjax(static: Path) -> None:
    """One file holds all that the pages need of MathJax."""
    package = distribution("sphinx-mathjax-offline")
    script = package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")
    (static / "mathjax").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(str(script), static / "mathjax/tex-svg.js")


# Building


def build(root: Path, out: Path, repository: str = PLACEHOLDER, solutions: bool = True) -> Path:
    """Build the site in `out`; returns its first page. Raises Missing or CalledProcessError."""
    need("site")
    source, pages = out / "source", out / "html"
    lay_out(root, source, repository, solutions)
    settings = {"COURSE_REPOSITORY": repository, "COURSE_STATIC": str(source / "static")}
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going"]
    command += ["-c", str(root / "site"), "-d", str(out / "doctrees"), str(source), str(pages)]
    subprocess.run(command, check=True, cwd=root, env=os.environ | settings)
    return pages / "index.html"


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py site", description=__doc__.split(":")[0])
    parser.add_argument("--repository", default=PLACEHOLDER, help="the address of your copy, for the buttons")
    parser.add_argument("--no-solutions", action="store_true", help="leave the solutions out")
    args = parser.parse_args(argv)
    start = time.perf_counter()
    try:
        first = build(root, root / BUILT, args.repository.rstrip("/"), not args.no_solutions)
    except Missing as error:
        sys.exit(f"course.py site: {error}")
    except subprocess.CalledProcessError:
        sys.exit("course.py site: Sphinx names above what is wrong. Mend it, then type the command again.")
    print(f"{first.relative_to(root)}  {time.perf_counter() - start:.0f} s")
    if args.repository == PLACEHOLDER:
        print("The launch buttons lead to OWNER/REPOSITORY: name yours by --repository https://github.com/…")
    return 0


if __name__ == "__main__":
    sys.exit(main())
