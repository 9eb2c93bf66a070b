"""Hygiene rules on code, links and stored outputs: what nbval can replay, and what every reader can see."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

from tools.cells import Heading, cells_of, headings
from tools.page import Page, nodes, parse, tokens

MEGABYTE = 1_000_000
MACHINE_PATH = re.compile(r"/home/|/root/|/Users/|/tmp/ipykernel|[A-Za-z]:\\+Users")
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{8,}")
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
UNREPLAYABLE = re.compile(
    r"@interact\b|\binteract\(|\binteractive_output\(|\bdisplay_id\b|\bwith [\w.]*Output\("
)
DIRECTIVE = re.compile(r"^[-*+>\d.\s]*(```+|:::+)\s*\{", re.MULTILINE)
IMAGES = ("image/png", "image/svg+xml", "image/jpeg")


# Code


def valid_python(page: Page) -> Iterator[str]:
    for name, source in page.code:
        try:
            parse(source)
        except SyntaxError as error:
            yield f"{name} is not valid Python (line {error.lineno}: {error.msg})"
        if not source:
            yield f"{name} is an empty code cell: remove it"


def last_semicolon(page: Page) -> Iterator[str]:
    for name, source in page.code:
        if source.endswith(";"):
            yield f"{name} ends in `;`, which nbval cannot replay: remove it, and end a plot with plt.show()"


def replayable(page: Page) -> Iterator[str]:
    for name, source in page.code:
        for found in UNREPLAYABLE.findall(source):
            yield f"{name} uses `{found}`, which nbval cannot replay: use scrub or live"


def globals_and_seeds(page: Page) -> Iterator[str]:
    for name, source in page.code:
        for node in nodes(source):
            if isinstance(node, ast.Global):
                yield f"{name} says `global`: pass the value and return the new one"
            if isinstance(node, ast.Attribute) and is_legacy_random(node):
                yield f"{name} uses `{ast.unparse(node)}`: draw from rng = np.random.default_rng(seed)"


def is_legacy_random(node: ast.Attribute) -> bool:
    module = ast.unparse(node.value) in ("np.random", "numpy.random")
    return module and (node.attr == "RandomState" or (node.attr[0].islower() and node.attr != "default_rng"))


def cells_inside_markdown(page: Page) -> Iterator[str]:
    for name, source in page.markdown:
        if DIRECTIVE.search(source):
            yield f"{name} holds a MyST directive, text to Jupyter: start a code cell at the margin"


# Links


def links(page: Page) -> Iterator[str]:
    for name, source in page.markdown:
        for target in targets(source):
            url = urlsplit(target)
            if not url.scheme and not url.netloc:
                yield from broken(page, name, unquote(url.path), unquote(url.fragment))


def targets(source: str) -> Iterator[str]:
    for token in tokens(source):
        for child in token.children or []:
            if child.type in ("link_open", "image"):
                yield str(child.attrs.get("href", child.attrs.get("src")))


def broken(page: Page, name: str, path: str, fragment: str) -> Iterator[str]:
    file = page.path.parent / path
    if path and not file.exists():
        yield f"{name} links to {path}, which is not there: mend the path"
    elif fragment and (not path or file.suffix == ".ipynb"):
        found = headings_of(page.notebook) if not path else stored_headings(file, file.stat().st_mtime_ns)
        if fragment.lower() not in {anchor for heading in found for anchor in anchors(heading)}:
            yield f"{name} links to #{fragment}, not there: write the heading with hyphens for blanks"


@cache
def stored_headings(file: Path, changed: int) -> list[Heading]:
    return headings_of(nbformat.read(file, as_version=4))


def headings_of(notebook: nbformat.NotebookNode) -> list[Heading]:
    return [heading for cell in cells_of(notebook) for heading in headings(cell)]


def anchors(heading: Heading) -> tuple[str, str]:
    """As JupyterLab writes it, and as GitHub and Sphinx do; letter case aside."""
    title = re.sub(r"[`*]", "", heading.title).lower().replace(" ", "-")
    return title, re.sub(r"[^\w-]", "", title)


# Stored outputs


def one_run(page: Page) -> Iterator[str]:
    counts = [node.get("execution_count") for node in page.notebook.cells if node.cell_type == "code"]
    if counts != list(range(1, len(counts) + 1)):
        yield "was not executed in one run from top to bottom: build it"


def some_outputs(page: Page) -> Iterator[str]:
    if page.code and not page.outputs:
        yield "has no outputs, so nbval would pass it unseen: build it"


def clean_outputs(page: Page) -> Iterator[str]:
    for name, output in page.outputs:
        if output.output_type == "error":
            yield f"{name} stored an error, {output.ename}: mend the cell and build again"
        if output.get("name") == "stderr":
            yield f"{name} wrote to stderr: mend what it warns of (and use tqdm.auto for progress bars)"


def machine_paths(page: Page) -> Iterator[str]:
    own = [str(folder) + "/" for folder in (page.path.resolve().parent.parent, Path(sys.prefix))]
    for name, text in [*output_texts(page), *page.code]:
        found = MACHINE_PATH.search(text)
        if found or any(folder in text for folder in own):
            yield f"{name} shows a path of one machine: print a relative path or none"


def addresses(page: Page) -> Iterator[str]:
    for name, text in output_texts(page):
        if ADDRESS.search(text):
            yield f"{name} shows an object's address, which changes with every run: print what it holds"


def output_texts(page: Page) -> Iterator[tuple[str, str]]:
    for name, output in page.outputs:
        data = output.get("data", {})
        parts = [output.get("text", ""), *(str(value) for kind, value in data.items() if kind not in IMAGES)]
        yield name, BASE64.sub("", "\n".join([*parts, *output.get("traceback", [])]))


def alternative_texts(page: Page) -> Iterator[str]:
    """Every picture has words with a number in them: as its alt text, and as text/plain for nbval."""
    for name, output in page.outputs:
        texts = picture_texts(output)
        if any(not has_number(text) for text in texts):
            yield f"{name} shows a picture without a number in its alt text: show it through course_lib.show"
        if texts and not has_number(output.data.get("text/plain", "")):
            yield f"{name} shows a picture whose text/plain holds no number: put the alt text there too"


def has_number(text: str) -> bool:
    return bool(re.search(r"\d", text)) and not re.fullmatch(r"<[^<>]*>", text.strip())


def picture_texts(output: nbformat.NotebookNode) -> list[str]:
    """The alt text of each picture in an output, "" where it has none."""
    data, metadata = output.get("data", {}), output.get("metadata", {})
    images = [str(metadata.get(kind, {}).get("alt", "")) for kind in IMAGES if kind in data]
    finder = ImageFinder()
    finder.feed(data.get("text/html", ""))
    return images + finder.texts


class ImageFinder(HTMLParser):
    """Collects the alt text of each <img>; what a <script> holds is no HTML to it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.texts.append(dict(attrs).get("alt") or "")


def size(page: Page) -> Iterator[str]:
    count = len(nbformat.writes(page.notebook).encode())
    if count > MEGABYTE:
        yield f"takes {count / MEGABYTE:.1f} MB: keep to 1; smaller figures, fewer frames"
