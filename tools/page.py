"""One notebook as the hygiene rules look at it: its cells, sections, prose and code."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.cells import Cell, Section, cells_of, sections

REFERENCE = ("glossary", "claims_checked")
NOT_PROSE = [  # pattern, and what is read in its place
    (r"(?s)^(```+|~~~+).*?^\1", ""),
    (r"(?s)\$\$.*?\$\$", ""),
    (r"`[^`\n]+`|\$[^$\n]+\$", "x"),
    (r"\]\([^)\s]*\)", "]"),
    (r"(?s)<!--.*?-->|</?[a-zA-Z][^>]*>", " "),
]


@dataclass(frozen=True)
class Page:
    notebook: nbformat.NotebookNode
    path: Path  # where it lies or will lie

    @property
    def is_solution(self) -> bool:
        return self.path.parent.name == "solutions"

    @property
    def is_numbered(self) -> bool:
        """The chapters, 00 among them; the glossary and the checked claims are not read in order."""
        return self.path.stem not in REFERENCE

    @property
    def is_lesson(self) -> bool:
        """Bound to the anatomy."""
        return self.is_numbered and not self.path.stem.startswith("00") and not self.is_solution

    @cached_property
    def cells(self) -> list[Cell]:
        return cells_of(self.notebook)

    @cached_property
    def markdown(self) -> list[tuple[str, str]]:
        return [(label(i), cell.source) for i, cell in enumerate(self.cells) if cell.kind == "markdown"]

    @cached_property
    def code(self) -> list[tuple[str, str]]:
        return [(label(i), cell.source) for i, cell in enumerate(self.cells) if cell.kind == "code"]

    @cached_property
    def outputs(self) -> list[tuple[str, nbformat.NotebookNode]]:
        return [(label(i), o) for i, node in enumerate(self.notebook.cells) for o in node.get("outputs", [])]

    @cached_property
    def sections(self) -> list[Section]:
        return sections(self.cells)

    def section(self, title: str) -> list[Cell] | None:
        return next((section.cells for section in self.sections if section.title == title), None)


def label(number: int) -> str:
    return f"cell-{number:03d}"


def code_in(cells: list[Cell]) -> list[str]:
    return [cell.source for cell in cells if cell.kind == "code"]


def text_in(cells: list[Cell]) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.kind == "markdown")


def tokens(source: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(source)


def prose(source: str) -> str:
    """Markdown without code blocks, displayed maths, HTML tags, link targets; inline code and maths are x."""
    for pattern, instead in NOT_PROSE:
        source = re.sub(pattern, instead, source, flags=re.MULTILINE)
    return source


def unfolded(source: str) -> str:
    """Markdown without what stands folded in <details>."""
    return re.sub(r"<details>.*?</details>", "", source, flags=re.DOTALL)


def words(source: str) -> int:
    """Words of prose: an inline formula or piece of code counts as one, a displayed one as none."""
    return len(re.findall(r"\w+(?:[-'’.,]\w+)*", prose(source)))


def lines_of(source: str) -> int:
    """Lines that hold something."""
    return sum(bool(line.strip()) for line in source.split("\n"))


def parse(source: str) -> ast.Module:
    """The cell's Python, with IPython's own syntax (%magic, !shell, top-level await) understood."""
    plain = TransformerManager().transform_cell(source)
    return compile(plain, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def nodes(source: str) -> list[ast.AST]:
    """Every node of the cell's Python; none for a cell that cannot be parsed, which is a fault of its own."""
    try:
        return list(ast.walk(parse(source)))
    except SyntaxError:
        return []


def calls(source: str) -> list[str]:
    """The dotted names that the cell calls."""
    return [ast.unparse(node.func) for node in nodes(source) if isinstance(node, ast.Call)]
