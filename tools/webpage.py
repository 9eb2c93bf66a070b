"""A notebook as the web edition shows it: pictures with their words, links that lead somewhere, no kernel."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Set
from html import escape
from urllib.parse import unquote

WIDGET = "application/vnd.jupyter.widget-view+json"
# The target of a link in Markdown, without a scheme; a heading such as TD(0) brings its own parentheses
LINK = re.compile(r"(?<=\]\()(?P<path>[^()#\s:]+)?(?P<anchor>#(?:[^()\s]|\([^()\s]*\))+)?(?=\))")
STILL = "This control asks Python for every picture. Here it stands still; run the notebook to move it."


def page(text: str, docname: str, pages: Set[str], files: str) -> str:
    """The JSON of a notebook, made ready for the site.

    docname   its page, such as chapters/03_dynamic_programming
    pages     every page of the site: a link to one of them stays inside
    files     where the repository's files can be read; all other relative links lead there
    """
    notebook = json.loads(text)
    if "/solutions/" in docname:
        notebook["metadata"]["nosearch"] = True  # nobody who looks for a word should meet a solution
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relinked("".join(cell["source"]), docname, pages, files)
        elif cell["cell_type"] == "code":
            fold_drawing(cell)
            cell["outputs"] = [shown(output) for output in cell["outputs"]]
    return json.dumps(notebook)


def fold_drawing(cell: dict) -> None:
    """Readers are told to skip the code that makes pictures; on a page it can be folded away."""
    if "".join(cell["source"]).startswith("# drawing"):
        cell["metadata"].setdefault("tags", []).append("hide-input")


# Outputs


def shown(output: dict) -> dict:
    """An output that needs no kernel, its picture with the alt text that Sphinx would drop."""
    data = {kind: value for kind, value in output.get("data", {}).items() if kind != WIDGET}
    alive = WIDGET in output.get("data", {})
    if "image/png" in data:
        alt = output["metadata"].get("image/png", {}).get("alt", "")
        data["text/html"] = figure("".join(data.pop("image/png")), alt, caption=alive)
    if alive and "text/html" in data:
        data["text/html"] = f'{"".join(data["text/html"])}<p class="still">{STILL}</p>'
    return {**output, "data": data} if "data" in output else output


def figure(png: str, alt: str, caption: bool) -> str:
    """A picture; `show` has its sentence displayed by itself, `live` writes it in the widget only."""
    words = f"<figcaption>{escape(alt)}</figcaption>" if caption else ""
    image = f'<img alt="{escape(alt)}" src="data:image/png;base64,{png.strip()}">'
    return f'<figure class="png"><div>{image}</div>{words}</figure>'


# Links


def relinked(source: str, docname: str, pages: Set[str], files: str) -> str:
    """Links in Markdown: to a page with its heading as Sphinx writes it, or else to the repository."""

    def target(link: re.Match) -> str:
        anchor = "#" + slug(unquote(link["anchor"][1:])) if link["anchor"] else ""
        if link["path"] is None:
            return anchor
        place = posixpath.normpath(posixpath.join(posixpath.dirname(docname), unquote(link["path"])))
        inside = place.removesuffix(".ipynb")
        if inside in pages:
            return posixpath.relpath(f"/{inside}", f"/{posixpath.dirname(docname)}") + ".ipynb" + anchor
        if f"{place}/index" in pages:
            return posixpath.relpath(f"/{place}/index", f"/{posixpath.dirname(docname)}") + ".md"
        return f"{files}/{place}{link['anchor'] or ''}"

    return LINK.sub(target, source)


def slug(title: str) -> str:
    """A heading's anchor as GitHub writes it; the one that JupyterLab writes becomes the same."""
    return re.sub(r"[^\w-]", "", title.strip().lower().replace(" ", "-"))
