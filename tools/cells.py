"""Cells, whichever file they come from: their headings, their sections, and the notebook made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import nbformat
from markdown_it import MarkdownIt

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Cell(NamedTuple):
    """What two notebooks must have in common to be the same."""

    kind: str  # "markdown" or "code"
    source: str
    tags: tuple[str, ...] = ()


class Heading(NamedTuple):
    level: int
    title: str
    line: int  # counted from 0


class Section(NamedTuple):
    title: str  # "" for what stands before the first `## ` heading
    cells: list[Cell]


# Headings and sections


def headings(cell: Cell) -> list[Heading]:
    if cell.kind != "markdown":
        return []
    tokens = MarkdownIt("commonmark").parse(cell.source)
    pairs = pairwise(tokens)
    return [Heading(int(a.tag[1]), b.content, a.map[0]) for a, b in pairs if a.type == "heading_open"]


def sections(cells: list[Cell]) -> list[Section]:
    """The cells under each `## ` heading; a markdown cell that holds such a heading is cut in front of it."""
    found = [Section("", [])]
    for cell in cells:
        for title, piece in cut_at_sections(cell):
            if title is not None:
                found.append(Section(title, []))
            if piece.source:
                found[-1].cells.append(piece)
    return found


def cut_at_sections(cell: Cell) -> Iterator[tuple[str | None, Cell]]:
    marks = [h for h in headings(cell) if h.level == 2]
    lines = cell.source.split("\n")
    titles, bounds = [None, *(h.title for h in marks)], [0, *(h.line for h in marks), len(lines)]
    for title, (a, b) in zip(titles, pairwise(bounds), strict=True):
        yield title, cell._replace(source="\n".join(lines[a:b]).strip("\n"))


# To and from notebooks


def to_notebook(cells: list[Cell]) -> nbformat.NotebookNode:
    """Without outputs; the ids are the cells' places: cell-000, cell-001, …"""
    make = {"markdown": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    nodes = [make[cell.kind](cell.source, id=f"cell-{i:03d}") for i, cell in enumerate(cells)]
    for node, cell in zip(nodes, cells, strict=True):
        node.metadata = nbformat.from_dict({"tags": list(cell.tags)} if cell.tags else {})
    return nbformat.v4.new_notebook(cells=nodes, metadata=nbformat.from_dict(METADATA))


def cells_of(notebook: nbformat.NotebookNode) -> list[Cell]:
    return [cell_of(node) for node in notebook.cells]


def cell_of(node: nbformat.NotebookNode) -> Cell:
    return Cell(node.cell_type, tidy(node.source), tuple(node.metadata.get("tags", ())))


def tidy(source: str) -> str:
    """Newlines around a source are no part of it: the text cannot hold them. Windows ends lines by \\r\\n."""
    return source.replace("\r\n", "\n").strip("\n").rstrip()
