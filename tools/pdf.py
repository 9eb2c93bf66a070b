"""Chapters on paper, printed from the web edition by Chromium: `python -m tools.pdf NN`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from tools import site
from tools.extras import ROOT, Missing, need
from tools.notebooks import Unknown, notebook

BUILT = Path("_build/pdf")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
SWITCHES = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []  # root has no other way
FOOT = '<div style="font-size:8px;width:100%;text-align:center"><span class="pageNumber"></span></div>'
LAYOUT = {
    "format": "A4",
    "scale": 0.85,
    "print_background": True,
    "margin": {"top": "16mm", "bottom": "18mm", "left": "14mm", "right": "14mm"},
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": FOOT,
    "outline": True,  # bookmarks, from the headings
    "tagged": True,  # for screen readers
}


def chromium() -> str | None:
    """Where a browser of the system is, or None: then Playwright takes its own, if it has one."""
    return next(filter(None, map(which, BROWSERS)), None)


@contextmanager
def browser() -> Iterator:
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        try:
            chrome = playwright.chromium.launch(executable_path=chromium(), args=SWITCHES)
        except Error:
            raise Missing("no Chromium or Chrome was found. Install one of them.") from None
        yield chrome
        chrome.close()


def print_page(chrome, page: Path, target: Path) -> None:
    """One page of the site as a PDF, when its mathematics is set and its answers are unfolded."""
    view = chrome.new_page(color_scheme="light")
    view.goto(page.resolve().as_uri())
    view.evaluate("window.MathJax?.startup?.promise")
    view.emulate_media(media="print")
    target.parent.mkdir(parents=True, exist_ok=True)
    view.pdf(path=target, **LAYOUT)
    view.close()


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="course.py pdf", description=__doc__.split(":")[0])
    parser.add_argument("names", nargs="+", metavar="NN", help="chapters, such as 03")
    args = parser.parse_args(argv)
    try:
        paths = [notebook(root, name) for name in args.names]
        need("site")
        pages = site.build(root, root / site.BUILT).parent
        with browser() as chrome:
            for path in paths:
                target = root / BUILT / f"{path.stem}.pdf"
                print_page(chrome, pages / "chapters" / f"{path.stem}.html", target)
                print(f"{target.relative_to(root).as_posix()}  {target.stat().st_size / 1e6:.1f} MB")
    except (Missing, Unknown) as error:
        sys.exit(f"course.py pdf: {error}")
    except subprocess.CalledProcessError:
        sys.exit("course.py pdf: Sphinx names above what is wrong. Mend it, then type the command again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
