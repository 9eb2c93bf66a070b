"""Sphinx settings of the web edition. `python3 course.py site` lays out the pages and runs Sphinx on them."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tools.webpage import page  # noqa: E402

# Where readers find the repository: give yours by `python3 course.py site --repository https://…`
REPOSITORY = os.environ.get("COURSE_REPOSITORY", "https://github.com/OWNER/REPOSITORY")
BRANCH = os.environ.get("COURSE_BRANCH", "main")

project = "From Bellman to meta-RL"
author = "the course authors"
copyright = "the course authors. Text and figures CC BY 4.0, code MIT"
language = "en"

# Pages: the notebooks with their stored outputs; nothing is executed
extensions = ["myst_nb", "sphinx.ext.githubpages"]  # the second, lest GitHub Pages drop _static
exclude_patterns = ["static"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no widget is alive here, and the script would come from the network
nb_merge_streams = True
nb_code_prompt_show = "Show the code that draws this"
nb_code_prompt_hide = "Hide the code that draws this"
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
myst_heading_slug_func = "tools.webpage.slug"

# Mathematics: a MathJax that lies beside the pages; SVG, for it needs no fonts
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}}  # the menu loads more from the network

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = [str(HERE / "static"), os.environ.get("COURSE_STATIC", str(HERE / "static"))]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_favicon = "static/icon.svg"
html_show_sourcelink = False
html_use_index = False
html_context = {"default_mode": "auto"}  # dark where the reader's system is
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": BRANCH,
    "use_repository_button": True,
    "launch_buttons": {
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
        "notebook_interface": "jupyterlab",
    },
    "navbar_persistent": [],  # the sidebar has the search field already
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def made_ready(app, docname: str, source: list[str]) -> None:
    """The download button gives the notebook itself; the page is made of this version."""
    if os.fspath(app.env.doc2path(docname)).endswith(".ipynb"):
        source[0] = page(source[0], docname, app.env.found_docs, f"{REPOSITORY}/blob/{BRANCH}")


def setup(app) -> dict:
    app.connect("source-read", made_ready)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
