"""A chapter as slides, one HTML file that needs no network: `python -m tools.slides NN`.

The slides are cut where every chapter has its joints: headings, **The idea.**, **Predict.**, figures …
A question and what answers it never share a slide. Set-up and the comparison with the library are left out,
and exercises are named only. Nothing is executed; sliders over iterates move.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from importlib.metadata import distribution
from math import ceil
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tools.extras import ROOT, Missing, need
from tools.notebooks import Unknown, notebook
from tools.webpage import shown

BUILT = Path("_build/slides")
SKIPPED = ("Setup", "Same as the library?")
NAMED_ONLY = "Exercises"
REVEAL = "sphinx_revealjs/_static/revealjs/dist"
MATHJAX = "sphinx-mathjax-offline/static/mathjax/tex-svg.js"
ROOM, LINE = 13, 70  # the lines of a slide, and the characters of a line
ROWS = 9  # of a table
CODE = 0.65  # the height of a line of code, in lines
SHORT = 4  # lines of words that a figure leaves room for
CROWDED = 1.2  # an output stays with its code, a last line with its text; so full a slide is shown smaller
PREDICT = "Predict"
LOCAL = re.compile(r'<a href="(?!https?:)[^"]*">(.*?)</a>', re.DOTALL)
LEADS = (PREDICT, "The idea", "In English", "In symbols", "What happened", "Drag")


class Block(NamedTuple):
    """What is never cut. Kinds: title, heading, lead, predict, text, code, output, figure, list, answer."""

    kind: str
    html: str
    lines: float


@dataclass
class Slide:
    title: str
    blocks: list[Block] = field(default_factory=list)

    @property
    def lines(self) -> float:
        return sum(block.lines for block in self.blocks)

    def takes(self, block: Block) -> bool:
        """Whether the block belongs on this slide."""
        if not self.blocks or block.kind == "answer":
            return True
        kinds = [b.kind for b in self.blocks]
        if block.kind == "lead" and set(kinds) <= {"lead", "text"}:
            return self.lines + block.lines <= 2 * SHORT
        if block.kind in ("heading", "lead", "predict"):
            return False
        if "predict" in kinds and block.kind in ("code", "output", "figure"):
            return False  # the answer waits for the next slide
        if "figure" in kinds:
            return block.kind == "list"  # its questions
        if block.kind == "figure":
            return self.lines <= SHORT
        last = block.kind == "output" or (block.kind == "text" and block.lines < SHORT)
        room = ROOM * CROWDED if last and kinds[-1] in ("code", "text") else ROOM
        return self.lines + block.lines <= room

    def gives(self, block: Block) -> list[Block]:
        """What goes along with a block without room here: a short lead at the end, such as "In English"."""
        starts = block.kind in ("heading", "lead", "predict")
        *others, last = self.blocks
        return [self.blocks.pop()] if others and not starts and last.kind == "lead" and last.lines < 2 else []


# Cutting


def cut(cells: list[dict]) -> list[Slide]:
    """The slides of a chapter's cells."""
    slides = [Slide("")]
    for block in chosen(blocks(cells)):
        last = slides[-1]
        if not last.takes(block):
            slides.append(Slide(last.title, last.gives(block)))
        if block.kind == "heading":
            slides[-1].title = block.html
        else:
            slides[-1].blocks.append(block)
    return [slide for slide in slides if slide.blocks]


def chosen(found: Iterator[tuple[int, Block]]) -> Iterator[Block]:
    """The blocks without those of the skipped sections; exercises are named only."""
    section, names = "", []
    for level, block in found:
        if level == 2:
            yield from exercise_list(names)
            section, names = block.html, []
        if section == NAMED_ONLY and level == 3:
            names.append(block.html)
        if (level == 2 and section not in SKIPPED) or section not in (*SKIPPED, NAMED_ONLY):
            yield block
    yield from exercise_list(names)


def exercise_list(names: list[str]) -> Iterator[Block]:
    if names:
        items = "".join(f"<li>{name}</li>" for name in names)
        yield Block("list", f'<ul class="exercises">{items}</ul>', len(names))


def blocks(cells: list[dict]) -> Iterator[tuple[int, Block]]:
    """(heading level or 0, block) of every cell."""
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from words(source)
        else:
            if not source.startswith("# drawing"):
                yield 0, Block("code", code(source), 1 + CODE * source.count("\n"))
            for output in cell["outputs"]:
                yield from ((0, block) for block in pictures(output))


def words(source: str) -> Iterator[tuple[int, Block]]:
    """The blocks of a markdown cell; what stands in <details> is one."""
    md = markdown()
    env: dict = {}
    group: list = []
    for token in md.parse(source, env):
        group.append(token)
        inside = "".join(t.content for t in group if t.type == "html_block")
        if token.level == 0 and token.nesting <= 0 and inside.count("<details") == inside.count("</details"):
            html = md.renderer.render(group, md.options, env)
            yield from parts(html) if group[0].type == "table_open" else [block_of(group, html)]
            group = []


def parts(table: str) -> Iterator[tuple[int, Block]]:
    """A table, as many rows at a time as a slide holds, each part with the headings."""
    head, *rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    for i in range(0, len(rows), ROWS):
        body = rows[i : i + ROWS]
        html = f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
        yield 0, Block("text", html, ROOM * (1 + len(body)) / (1 + ROWS))


def block_of(group: list, html: str) -> tuple[int, Block]:
    text = " ".join(t.content for t in group if t.type in ("inline", "math_block"))
    first = group[0]
    if first.type == "heading_open":
        level, inner = int(first.tag[1]), re.sub(r"^<h\d>|</h\d>\s*$", "", html.strip())
        return level, Block("title" if level == 1 else "heading", html if level == 1 else inner, 2)
    if "<details" in html:
        return 0, Block("answer", html, 1)
    if first.type in ("bullet_list_open", "ordered_list_open"):
        items = [t.content for t in group if t.type == "inline"]
        return 0, Block("list", html, sum(ceil(len(item) / LINE) + 0.3 for item in items))
    if first.type == "math_block":
        return 0, Block("text", html, 3)
    lead = re.match(r"\*\*([\w ]+?)\.?\*\*", text)
    kind = "text" if not lead or lead[1] not in LEADS else "predict" if lead[1] == PREDICT else "lead"
    return 0, Block(kind, html, ceil(len(text) / LINE) + 0.6)


def pictures(output: dict) -> Iterator[Block]:
    """What an output shows without a kernel."""
    data = shown(output).get("data", {})
    if "text" in output:
        text = "".join(output["text"])
        yield Block("output", f"<pre class='output'>{escape(text)}</pre>", 1 + CODE * text.count("\n"))
    elif "text/html" in data:
        html = "".join(data["text/html"])
        yield Block("figure" if "<figure" in html else "output", html, ROOM - 4)
    elif "text/markdown" in data:
        yield Block("answer", markdown().render("".join(data["text/markdown"])), 1)
    elif "text/plain" in data:
        text = "".join(data["text/plain"])
        yield Block("output", f"<pre class='output'>{escape(text)}</pre>", 1 + CODE * text.count("\n"))


def markdown() -> MarkdownIt:
    def maths(content: str, options: dict) -> str:
        left, right = (r"\[", r"\]") if options["display_mode"] else (r"\(", r"\)")
        return left + escape(content) + right

    return MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=maths, double_inline=True)


def code(source: str) -> str:
    return highlight(source, PythonLexer(), HtmlFormatter(cssclass="code"))


# Writing


def html(title: str, slides: list[Slide]) -> str:
    """The whole file: reveal.js and MathJax stand in it."""
    own = (ROOT / "site/slides.css").read_text(encoding="utf-8")
    styles = [package("sphinx-revealjs", f"{REVEAL}/{name}.css") for name in ("reset", "reveal")]
    styles += [HtmlFormatter(style="a11y-light").get_style_defs(".code"), own]
    scripts = [
        (ROOT / "site/slides.js").read_text(encoding="utf-8"),
        package("sphinx-revealjs", f"{REVEAL}/reveal.js"),
        package("sphinx-mathjax-offline", MATHJAX),
    ]
    sheets = "".join(f"<style>{style}</style>" for style in styles)
    inline = [script.replace("</script", "<\\/script") for script in scripts]
    code = "".join(f"<script>{script}</script>" for script in inline)
    body = LOCAL.sub(r"\1", "\n".join(map(section, slides)))  # the other chapters do not lie beside this file
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>{sheets}</head>\n"
        f'<body><main class="reveal"><div class="slides">\n{body}\n</div></main>{code}</body></html>\n'
    )


def package(name: str, path: str) -> str:
    """The text of a file that an installed package brings."""
    return Path(str(distribution(name).locate_file(path))).read_text(encoding="utf-8")


def section(slide: Slide) -> str:
    kinds = [block.kind for block in slide.blocks]
    title = f"<h2>{slide.title}</h2>" if slide.title else ""
    inner = "".join(block.html for block in slide.blocks)
    if "figure" in kinds and "list" in kinds[kinds.index("figure") :]:
        at = kinds.index("figure")
        above, left, right = (
            "".join(b.html for b in part)
            for part in (slide.blocks[:at], slide.blocks[at : at + 1], slide.blocks[at + 1 :])
        )
        inner = f'{above}<div class="beside"><div>{left}</div><div>{right}</div></div>'
    return f"<section>{title}{inner}</section>"


def write(path: Path, out: Path) -> tuple[Path, int]:
    """Write the slides of one notebook; returns the file and their number."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    slides = cut(cells)
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{path.stem}.html"
    target.write_text(html(path.stem.replace("_", " "), slides), encoding="utf-8", newline="\n")
    return target, len(slides)


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py slides", description=__doc__.split(":")[0])
    parser.add_argument("names", nargs="+", metavar="NN", help="chapters, such as 03")
    args = parser.parse_args(argv)
    try:
        paths = [notebook(root, name) for name in args.names]
        need("site")
        for path in paths:
            target, count = write(path, root / BUILT)
            size = target.stat().st_size / 1e6
            print(f"{target.relative_to(root).as_posix()}  {count} slides  {size:.1f} MB")
    except (Missing, Unknown) as error:
        sys.exit(f"course.py slides: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
