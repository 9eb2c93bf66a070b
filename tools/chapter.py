"""A chapter's text (MyST Markdown) and the two notebooks that are views of it: chapter and solutions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import nbformat
from jupytext.myst import MystMetadataParsingError, myst_to_notebook

from tools.cells import Cell, cell_of, headings, sections, tidy

MARKER = re.compile(r"\s*#+\s*(BEGIN|END)\s+SOLUTION\s*$", re.IGNORECASE)
RELATIVE_LINK = re.compile(r"\]\((?P<file>[\w./%-]+(?:\.[A-Za-z]\w*|/))?(?P<anchor>#[^)\s]+)?\)")


class TextError(ValueError):
    """A fault in a chapter's text; the message says where."""


@dataclass(frozen=True)
class TextCell:
    """One cell as the file holds it, solutions and all."""

    cell: Cell
    body: str  # its lines in the file, with fences and `+++`, without the newlines around them
    line: int  # the file's line on which the source starts, counted from 1

    @property
    def hidden(self) -> bool:
        return "solution" in self.cell.tags


@dataclass(frozen=True)
class Chapter:
    name: str  # "03_dynamic_programming"
    head: str  # the front matter
    cells: list[TextCell]
    gaps: dict[
        tuple[int, int], str
    ]  # the newlines between neighbouring cells; -1 is the head, len(cells) the end

    @property
    def shown(self) -> list[int]:
        """Where in the text the chapter notebook's cells stand."""
        return [i for i, cell in enumerate(self.cells) if not cell.hidden]


# Reading the text


def load(path: Path) -> Chapter:
    return read(path.read_text(encoding="utf-8"), path.stem)


def read(text: str, name: str) -> Chapter:
    """Cut the text into cells exactly where jupytext does, keeping every byte."""
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except (MystMetadataParsingError, nbformat.ValidationError) as error:
        raise TextError(f"{name}.md: {error}") from None
    lines = text.split("\n")
    nodes, source_map = notebook.cells, notebook.metadata.source_map
    starts = [first_line(lines, node, start) for node, start in zip(nodes, source_map, strict=True)]
    bounds = [0, *starts, len(lines)]
    pieces = ["\n".join([*lines[a:b], ""]) for a, b in pairwise(bounds)]
    cells = [text_cell(*parts) for parts in zip(nodes, pieces[1:], starts, strict=True)]
    check_markers(cells, name)
    return Chapter(name, pieces[0].strip("\n"), cells, gaps_between(pieces))


def first_line(lines: list[str], node: nbformat.NotebookNode, start: int) -> int:
    """jupytext's map points behind a code cell's fence and behind a markdown cell's `+++`; take those in."""
    return start - 1 if node.cell_type != "markdown" or lines[start - 1].startswith("+++") else start


def text_cell(node: nbformat.NotebookNode, piece: str, start: int) -> TextCell:
    source = tidy(node.source)
    before_source = piece[: piece.rfind(source)]
    return TextCell(cell_of(node), piece.strip("\n"), start + 1 + before_source.count("\n"))


def gaps_between(pieces: list[str]) -> dict[tuple[int, int], str]:
    """The newlines that end one piece and begin the next."""
    tails = ["\n" * (len(p) - len(p.rstrip("\n"))) for p in pieces]
    leads = ["\n" * (len(p) - len(p.lstrip("\n"))) for p in [*pieces[1:], ""]]
    tails[-1] = tails[-1][:-1]  # `pieces` ends every line, the file's last one too
    return {(i - 1, i): tail + lead for i, (tail, lead) in enumerate(zip(tails, leads, strict=True))}


def check_markers(cells: list[TextCell], name: str) -> None:
    shown = -1
    for cell in cells:
        shown += not cell.hidden
        if cell.cell.kind not in ("markdown", "code"):
            raise TextError(f"{name}.md, line {cell.line}: a {cell.cell.kind} cell; use markdown or code")
        try:
            line_roles(cell.cell)
        except MarkerError as error:
            line, message = error.args
            raise TextError(f"{name}.md, cell-{shown:03d}, line {cell.line + line}: {message}") from None


# Stub and solution


class MarkerError(ValueError):
    """(line within the cell, message)"""


def line_roles(cell: Cell) -> list[tuple[str, str]]:
    """(role, line) for each line: `shown` in both views, `stub` in the chapter, `hidden` in the solutions."""
    found: list[tuple[str, str]] = []
    inside, last = False, 0
    for number, line in enumerate(cell.source.split("\n")):
        mark = MARKER.match(line) if cell.kind == "code" else None
        if mark and (mark[1].upper() == "BEGIN") == inside:
            raise MarkerError(
                number, "BEGIN SOLUTION inside a solution" if inside else "END without BEGIN SOLUTION"
            )
        if mark and not inside:
            found[-1:] = [("stub", stub_line(found, number))]
        if mark:
            inside, last = not inside, number
        found.append(("marker" if mark else "hidden" if inside else "shown", line))
    if inside:
        raise MarkerError(last, "BEGIN SOLUTION without END SOLUTION")
    return found


def stub_line(found: list[tuple[str, str]], number: int) -> str:
    role, line = found[-1] if found else ("", "")
    if role != "shown" or "..." not in line:
        raise MarkerError(number, "the line before BEGIN SOLUTION is the stub and must contain `...`")
    return line


def with_roles(cell: Cell, *wanted: str) -> Cell:
    return cell._replace(source="\n".join(line for role, line in line_roles(cell) if role in wanted))


# The two views


def chapter_view(chapter: Chapter) -> list[Cell]:
    return [with_roles(chapter.cells[i].cell, "shown", "stub") for i in chapter.shown]


def solutions_view(chapter: Chapter) -> list[Cell]:
    """The setup cells and the exercises solved; empty for a chapter without exercises."""
    solved = [with_roles(cell.cell, "shown", "hidden") for cell in chapter.cells]
    parts = sections(solved)
    exercises = [cell for part in parts if part.title == "Exercises" for cell in part.cells]
    if not exercises:
        return []
    others = [cell for part in parts if part.title != "Exercises" for cell in part.cells]
    setup = [cell for cell in others if cell.kind == "code" and "setup" in cell.tags]
    return [solutions_title(chapter), *setup, *(relinked(cell, chapter.name) for cell in exercises)]


def solutions_title(chapter: Chapter) -> Cell:
    titles = (h.title for cell in chapter.cells for h in headings(cell.cell) if h.level == 1)
    title = next(titles, chapter.name)
    return Cell(
        "markdown", f"# {title}: solutions\n\nBack to the chapter: [{title}](../{chapter.name}.ipynb)"
    )


def relinked(cell: Cell, name: str) -> Cell:
    """The solutions lie one folder deeper, and the chapter's headings are not among theirs."""

    def deeper(link: re.Match) -> str:
        file = link["file"] or (f"{name}.ipynb" if link["anchor"] else None)
        return f"](../{file}{link['anchor'] or ''})" if file else link[0]

    return cell._replace(source=RELATIVE_LINK.sub(deeper, cell.source)) if cell.kind == "markdown" else cell
