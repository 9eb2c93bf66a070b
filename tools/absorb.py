"""Notebook → text: bring an edit made in Jupyter back into the source, `python -m tools.absorb NN`.

The text is spliced cell by cell, so a cell that was not edited keeps every byte. Nothing is written unless
the new text gives exactly the notebook's cells, and still holds every solution.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import nbformat
from jupytext.myst import notebook_to_myst

from tools.build import ROOT, Refused, compare, texts, write_whole
from tools.cells import Cell, cell_of, cells_of, to_notebook
from tools.chapter import Chapter, TextError, chapter_view, line_roles, read


def absorb(text: str, notebook: nbformat.NotebookNode, name: str) -> str:
    """The text with the notebook's edit in it; raises Refused, saying why, when it cannot hold it exactly."""
    chapter = read(text, name)
    nodes = [node for node in notebook.cells if cell_of(node).source]
    origins = align(chapter, nodes)
    refuse_lost_solutions(chapter, origins)
    new_text = splice(chapter, order(chapter, nodes, origins))
    verify(chapter, read(new_text, name), [cell_of(node) for node in nodes])
    return new_text


def align(chapter: Chapter, nodes: list[nbformat.NotebookNode]) -> list[int | None]:
    """For each notebook cell its place in the text, by the id that the build gave it; None for a new cell."""
    places = {f"cell-{i:03d}": place for i, place in enumerate(chapter.shown)}
    return [places.pop(node.id, None) for node in nodes]


def refuse_lost_solutions(chapter: Chapter, origins: list[int | None]) -> None:
    for number, place in enumerate(chapter.shown):
        cell, rest = chapter.cells[place], chapter.cells[place + 1 :]
        holds = any(role == "hidden" for role, _ in line_roles(cell.cell)) or (rest and rest[0].hidden)
        if holds and place not in origins:
            raise Refused(
                f"cell-{number:03d} is gone, but the text keeps a solution with it: delete both in the text"
            )


# Ordering and splicing


def order(chapter: Chapter, nodes: list, origins: list[int | None]) -> list[tuple[int | None, Cell, str]]:
    """(place in the old text, cell, body) of every new cell, solutions after the cell they followed."""
    found = with_followers(chapter, -1)
    for node, place in zip(nodes, origins, strict=True):
        if place is None:
            found.append((None, cell_of(node), body_of(cell_of(node), chapter)))
        else:
            found.append((place, cell_of(node), edited(chapter, place, cell_of(node))))
            found += with_followers(chapter, place)
    return found


def with_followers(chapter: Chapter, place: int) -> list[tuple[int | None, Cell, str]]:
    """The solution cells that stand directly after a place of the text."""
    found = []
    for i in range(place + 1, len(chapter.cells)):
        if not chapter.cells[i].hidden:
            break
        found.append((i, chapter.cells[i].cell, chapter.cells[i].body))
    return found


def splice(chapter: Chapter, cells: list[tuple[int | None, Cell, str]]) -> str:
    """Old neighbours keep the newlines between them; new ones get a blank line."""
    text, before, kind = chapter.head, -1, ""
    for place, cell, body in cells:
        gap = chapter.gaps.get((before, place), "\n\n" if text else "")
        split = "+++\n\n" if kind == cell.kind == "markdown" and not body.startswith("+++") else ""
        text += gap + split + body
        before, kind = place, cell.kind
    return text + chapter.gaps.get((before, len(chapter.cells)), "\n")


def body_of(cell: Cell, chapter: Chapter) -> str:
    """A new cell as jupytext writes it."""
    notebook = to_notebook([cell])
    notebook.metadata = {}
    return notebook_to_myst(notebook, default_lexer=lexer(chapter)).strip("\n")


def lexer(chapter: Chapter) -> str | None:
    """What the text writes behind {code-cell}."""
    fences = (cell.body.split("\n")[0] for cell in chapter.cells if cell.cell.kind == "code")
    return next(fences, "").partition("{code-cell}")[2].strip() or None


# One cell


def edited(chapter: Chapter, place: int, new: Cell) -> str:
    old = chapter.cells[place]
    source = merged(old.cell, new.source)
    if source == old.cell.source and (new.kind, new.tags) == (old.cell.kind, old.cell.tags):
        return old.body
    if (new.kind, new.tags) != (old.cell.kind, old.cell.tags) or not old.cell.source:
        return body_of(new._replace(source=source), chapter)
    at = old.body.rfind(old.cell.source)
    return old.body[:at] + source + old.body[at + len(old.cell.source) :]


def merged(old: Cell, visible: str) -> str:
    """The edited visible part with the old solution blocks, each after its stub line."""
    roles, lines = line_roles(old), visible.split("\n")
    if all(role == "shown" for role, _ in roles):
        return visible
    stubs = match_stubs([line for role, line in roles if role in ("shown", "stub")], lines)
    blocks: dict[int, list[str]] = {}
    position = -1
    for role, line in roles:
        position += role in ("shown", "stub")
        if role in ("marker", "hidden"):
            blocks.setdefault(stubs[position], []).append(line)
    return "\n".join("\n".join([line, *blocks.get(i, [])]) for i, line in enumerate(lines))


def match_stubs(old: list[str], new: list[str]) -> dict[int, int]:
    """Old line → new line, for the lines with `...`: the first to the first, and so on."""
    before = [i for i, line in enumerate(old) if "..." in line]
    after = [i for i, line in enumerate(new) if "..." in line]
    pairs = dict(zip(before, after, strict=False))
    moved = any(old[i] != new[j] and new[j] in (old[k] for k in before) for i, j in pairs.items())
    shifted = any(indent(old[i]) != indent(new[j]) for i, j in pairs.items())
    if len(before) != len(after) or moved or shifted:
        raise Refused(
            f"the stub lines (`...`) changed in number, order or indentation; edit the text:\n{new_cell(new)}"
        )
    return pairs


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def new_cell(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in lines)


# Verifying


def verify(old: Chapter, new: Chapter, wanted: list[Cell]) -> None:
    faults = [*compare(chapter_view(new), wanted)]
    if solutions_of(old) != solutions_of(new):
        faults.append("a solution would be lost")
    if faults:
        raise Refused("\n".join(["the text cannot hold this edit exactly; edit the text instead:", *faults]))


def solutions_of(chapter: Chapter) -> Counter:
    hidden = [cell.cell.source for cell in chapter.cells if cell.hidden]
    lines = [line for cell in chapter.cells for role, line in line_roles(cell.cell) if role == "hidden"]
    return Counter(hidden + lines)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="absorb", description=__doc__.split("\n")[0])
    parser.add_argument("name", metavar="NN", help="the chapter, such as 03")
    args = parser.parse_args(argv)
    try:
        print(absorb_file(root, args.name))
    except (Refused, TextError, FileNotFoundError) as error:
        print(f"nothing written: {error}", file=sys.stderr)
        return 1
    return 0


def absorb_file(root: Path, name: str) -> str:
    (path,) = texts(root, [name])
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.read(root / "chapters" / f"{path.stem}.ipynb", as_version=4)
    new_text = absorb(text, notebook, path.stem)
    changes = [*compare(chapter_view(read(text, path.stem)), cells_of(notebook))]
    if new_text == text:
        return f"{path.name}: nothing to absorb"
    write_whole(path, new_text.encode())
    return "\n".join([f"{path.name}: absorbed. Now build {path.stem}", *changes])


if __name__ == "__main__":
    sys.exit(main())
