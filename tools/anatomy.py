"""Hygiene rules on what a chapter says, and where: its opening, headings, sections, exercises, budgets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from tools.cells import Cell, Section, headings
from tools.page import Page, calls, code_in, lines_of, prose, text_in, tokens, unfolded, words

OPENING = ["Why this chapter", "You will be able to", "Warm-up", "Setup"]
CLOSING = ["Same as the library?", "When it breaks", "Exercises", "Summary", "Sources and next"]
RUNS_LINE = re.compile(r".*Runs in ~\d+ s")
TIME_LINE = re.compile(r"Time ~\d+ min · Needs (nothing|\d\d[a-z]?(, \d\d[a-z]?)*) · Runs in ~\d+ s")
FORBIDDEN = re.compile(r"\b(simply|just|obviously)\b", re.IGNORECASE)

WHY_WORDS, SETUP_LINES, CODE_LINES, CELL_MEDIAN, CELL_MAX = 120, 10, 250, 8, 25
CODE_WIDTH = 100
GOALS, TOPICS, EXERCISES, CELLS, WORDS = (3, 5), (3, 5), (4, 6), (40, 70), (2000, 3500)
REFERENCE_CELLS, REFERENCE_WORDS = 140, 10_000  # pages to look things up in, which nobody reads in one go


def outside(count: float, bounds: tuple[int, int]) -> bool:
    return not bounds[0] <= count <= bounds[1]


# The opening


def title(page: Page) -> Iterator[str]:
    titles = [h.title for cell in page.cells for h in headings(cell) if h.level == 1]
    number = page.path.stem.split("_")[0]
    ending = ": solutions" if page.is_solution else ""
    if len(titles) != 1 or not headings(page.cells[0]) or headings(page.cells[0])[0].level != 1:
        yield f"has {len(titles)} headings with one `#`: give it one, and let the first cell begin with it"
    elif page.is_numbered and not re.fullmatch(rf"{number} · \S.*{ending}", titles[0]):
        yield f"is titled `{titles[0]}`: call it `{number} · Title{ending}`"
    elif not page.is_numbered and re.match(r"\d", titles[0]):
        yield f"is titled `{titles[0]}`: the glossary and the checked claims carry no number"


def opening(page: Page) -> tuple[str, str]:
    """The first two paragraphs, without emphasis and links: the question, and the line below it."""
    blocks = tokens(page.cells[0].source) if page.cells else []
    paragraphs = [b.content for a, b in pairwise(blocks) if a.type == "paragraph_open"]
    question, line = [re.sub(r"\]\([^)]*\)|[*_\[]", "", text) for text in [*paragraphs, "", ""][:2]]
    return question.strip(), line


def question(page: Page) -> Iterator[str]:
    if not opening(page)[0].endswith("?"):
        yield "opens without its question: after the title write a paragraph that ends in `?`"


def time_line(page: Page) -> Iterator[str]:
    if not TIME_LINE.fullmatch(opening(page)[1]):
        yield "lacks, below its question, `Time ~45 min · Needs 01, 03 · Runs in ~20 s` (or `Needs nothing`)"


def runs_line(page: Page) -> Iterator[str]:
    """Nobody reads a glossary from top to bottom, so it says only how long it runs."""
    if not RUNS_LINE.fullmatch(opening(page)[1]):
        yield "lacks, below its question, a line that ends in `Runs in ~5 s`"


def way_back(page: Page) -> Iterator[str]:
    if f"](../{page.path.name})" not in page.cells[0].source:
        yield f"does not link back: the first cell must hold `[...](../{page.path.name})`"


# The headings, and what stands under each


def heading_order(page: Page) -> Iterator[str]:
    titles, required = [section.title for section in page.sections], OPENING + CLOSING
    missing = [f"`## {name}`" for name in required if name not in titles]
    if missing:
        yield f"lacks {', '.join(missing)}: every chapter has the same headings"
    elif [name for name in titles if name in required] != required:
        yield f"has its headings out of order: they are {', '.join(required)}, each once"
    else:
        for section in page.sections[1:]:
            if section.title not in required and section not in topics(page):
                yield f"has `## {section.title}` out of place: topics stand between Setup and `{CLOSING[0]}`"


def topics(page: Page) -> list[Section]:
    """The sections between Setup and the comparison with the library."""
    titles = [section.title for section in page.sections]
    if OPENING[-1] not in titles or CLOSING[0] not in titles:
        return []
    return page.sections[titles.index(OPENING[-1]) + 1 : titles.index(CLOSING[0])]


def why(page: Page) -> Iterator[str]:
    count = words(text_in(page.section("Why this chapter") or []).removeprefix("## Why this chapter"))
    if count > WHY_WORDS:
        yield f"takes {count} words in `## Why this chapter`: keep to {WHY_WORDS}"


def goals(page: Page) -> Iterator[str]:
    cells = page.section("You will be able to")
    count = sum(token.type == "list_item_open" and token.level == 1 for token in tokens(text_in(cells or [])))
    if cells is not None and outside(count, GOALS):
        yield f"has {count} items under `## You will be able to`: list three to five, each with `-`"


def warm_up(page: Page) -> Iterator[str]:
    cells = page.section("Warm-up")
    count = text_in(cells or []).count("<details")
    if cells is not None and count != 2:
        yield f"has {count} folded answers in `## Warm-up`: ask two questions, each answer in <details>"


def setup(page: Page) -> Iterator[str]:
    cells = page.section("Setup")
    sizes = [lines_of(source) for source in code_in(cells or [])]
    if cells is not None and (len(sizes) != 1 or sizes[0] > SETUP_LINES):
        yield f"has code cells of {sizes} lines in `## Setup`: use one of at most {SETUP_LINES}"


def topic_count(page: Page) -> Iterator[str]:
    count = len(topics(page))
    if set(OPENING + CLOSING) <= {section.title for section in page.sections} and outside(count, TOPICS):
        yield f"has {count} topic sections between Setup and `{CLOSING[0]}`: write three to five"


def predictions(page: Page) -> Iterator[str]:
    for section in topics(page):
        for phrase in ("**Predict.**", "**What happened.**"):
            if phrase not in text_in(section.cells):
                yield f"lacks {phrase} in `## {section.title}`: let the reader commit, run, and compare"


def slider_questions(page: Page) -> Iterator[str]:
    for section in page.sections:
        for cell, following in pairwise([*section.cells, Cell("code", "")]):
            if cell.kind == "code" and has_slider(cell.source) and not has_numbered_list(following):
                yield f"has a slider in `## {section.title}` without questions: follow it by a numbered list"


def has_slider(source: str) -> bool:
    return any(name.split(".")[-1] in ("scrub", "live") for name in calls(source))


def has_numbered_list(cell: Cell) -> bool:
    return cell.kind == "markdown" and any(t.type == "ordered_list_open" for t in tokens(cell.source))


# Exercises


def exercises(page: Page) -> Iterator[str]:
    cells = page.section("Exercises")
    if cells is None:
        return
    parts = by_exercise(cells)
    if outside(len(parts), EXERCISES):
        yield f"has {len(parts)} exercises: set four to six, each under `### ★ …`"
    for name, sources in parts:
        if not re.match("★{1,3} ", name):
            yield f"has the exercise `{name}` without its difficulty: begin the heading with ★, ★★ or ★★★"
        if not any(re.search(r"\bcheck\.\w+\(", source) for source in sources):
            yield f"has the exercise `{name}` without a checker: let one of its code cells call `check.…(…)`"


def by_exercise(cells: list[Cell]) -> list[tuple[str, list[str]]]:
    """(heading, code cells) of each `### ` part."""
    parts: list[tuple[str, list[str]]] = []
    for cell in cells:
        parts += [(h.title, []) for h in headings(cell) if h.level == 3]
        if cell.kind == "code" and parts:
            parts[-1][1].append(cell.source)
    return parts


# Budgets and words


def cell_budget(page: Page) -> Iterator[str]:
    if outside(len(page.cells), CELLS):
        yield f"has {len(page.cells)} cells: a chapter has {CELLS[0]} to {CELLS[1]}; split a long one"


def word_budget(page: Page) -> Iterator[str]:
    """Every markdown cell counts, the exercises too, but no folded answer; see `words` for what a word is."""
    count = sum(words(unfolded(source)) for _, source in page.markdown)
    if outside(count, WORDS):
        yield f"has {count} words: a chapter has {WORDS[0]} to {WORDS[1]}; split a long one"


def code_budget(page: Page) -> Iterator[str]:
    """Lines that hold something, outside the Exercises section."""
    taught = [cell for section in page.sections if section.title != "Exercises" for cell in section.cells]
    count = sum(lines_of(source) for source in code_in(taught))
    if count > CODE_LINES:
        yield f"has {count} code lines outside the exercises: keep to {CODE_LINES}, plumbing in the library"


def cell_median(page: Page) -> Iterator[str]:
    middle = median([lines_of(source) for _, source in page.code] or [0])
    if middle > CELL_MEDIAN:
        yield f"has code cells of {middle:g} lines (median): cut them until half have at most {CELL_MEDIAN}"


def upper_budgets(page: Page) -> Iterator[str]:
    """What binds the pages that may be short, and those to look things up in."""
    cells, most = (CELLS[1], WORDS[1]) if page.is_numbered else (REFERENCE_CELLS, REFERENCE_WORDS)
    if len(page.cells) > cells:
        yield f"has {len(page.cells)} cells: keep to {cells}"
    count = sum(words(unfolded(source)) for _, source in page.markdown)
    if count > most:
        yield f"has {count} words: keep to {most}"


def line_width(page: Page) -> Iterator[str]:
    for name, source in page.code:
        width = max(map(len, source.split("\n")))
        if width > CODE_WIDTH:
            yield f"{name} has a line of {width} characters: break it at {CODE_WIDTH}, nobody likes to scroll"


def longest_cell(page: Page) -> Iterator[str]:
    for name, source in page.code:
        count = len(source.split("\n"))
        if count > CELL_MAX:
            yield f"{name} has {count} lines of code: cut it to {CELL_MAX}"


def tone(page: Page) -> Iterator[str]:
    for name, source in page.markdown:
        for word in FORBIDDEN.findall(prose(source)):
            yield f"{name} says `{word}`: leave the word out, it helps nobody who is stuck"
