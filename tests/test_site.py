"""The web edition: how a notebook becomes a page, and (slow) the built site in a real browser."""

import functools
import json
import re
import subprocess
import time
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import lab
import nbformat
import pytest

from tools import extras, pdf, site, webpage
from tools.notebooks import Unknown, notebook

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"index", "chapters/03_dp", "chapters/06_td", "chapters/solutions/03_dp", "chapters/solutions/index"}
FILES = "https://example.org/files"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}


# A notebook becomes a page


@pytest.mark.parametrize(
    "docname, link, target",
    [
        ("chapters/03_dp", "06_td.ipynb", "06_td.ipynb"),
        ("chapters/03_dp", "06_td.ipynb#TD(0):-learn,-then-act", "06_td.ipynb#td0-learn-then-act"),
        ("chapters/03_dp", "#Side-by-side", "#side-by-side"),
        ("chapters/03_dp", "solutions/", "solutions/index.md"),
        ("chapters/solutions/03_dp", "../03_dp.ipynb", "../03_dp.ipynb"),
        ("chapters/03_dp", "07_later.ipynb#Top", f"{FILES}/chapters/07_later.ipynb#Top"),
        ("chapters/03_dp", "../course_lib/show/boards.py", f"{FILES}/course_lib/show/boards.py"),
        ("chapters/03_dp", "https://gymnasium.farama.org", "https://gymnasium.farama.org"),
    ],
)
def test_links_lead_to_a_page_or_to_the_repository(docname, link, target):
    assert webpage.relinked(f"[a]({link}), b", docname, PAGES, FILES) == f"[a]({target}), b"


@pytest.mark.parametrize(
    "heading", ["TD(λ): all n at once", "Evaluate: what is this policy worth?", "★ Look"]
)
def test_the_anchors_of_jupyterlab_and_github_are_one(heading):
    github = re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
    assert webpage.slug(heading) == webpage.slug(heading.replace(" ", "-")) == github


def output(**data):
    return {"output_type": "display_data", "data": data, "metadata": {"image/png": {"alt": 'V < 3 & "so"'}}}


def test_a_png_keeps_its_words():
    html = webpage.shown(output(**{"image/png": "abcd\n", "text/plain": "V"}))["data"]["text/html"]
    assert (
        'alt="V &lt; 3 &amp; &quot;so&quot;"' in html and "base64,abcd" in html and "figcaption" not in html
    )


def test_a_live_control_is_a_still_that_says_so():
    view = {webpage.WIDGET: {"model_id": "widget-000"}}
    svg = webpage.shown(output(**view, **{"text/html": "<figure>S</figure>", "text/plain": "S"}))["data"]
    png = webpage.shown(output(**view, **{"image/png": "abcd", "text/plain": "V"}))["data"]
    for data in (svg, png):
        assert webpage.STILL in data["text/html"] and webpage.WIDGET not in data
    assert svg["text/html"].startswith("<figure>S</figure>") and "<figcaption>V &lt; 3" in png["text/html"]


def test_a_printed_output_is_left_alone():
    printed = {"output_type": "stream", "name": "stdout", "text": "3\n"}
    assert webpage.shown(printed) is printed


def test_a_page_folds_drawing_code_and_keeps_solutions_from_the_search():
    cells = [nbformat.v4.new_code_cell("# drawing\nx = 1"), nbformat.v4.new_code_cell("y = 2")]
    text = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    chapter, solved = (
        json.loads(webpage.page(text, name, PAGES, FILES))
        for name in ("chapters/03_dp", "chapters/solutions/03_dp")
    )
    assert [cell["metadata"].get("tags") for cell in chapter["cells"]] == [["hide-input"], None]
    assert "nosearch" not in chapter["metadata"] and solved["metadata"]["nosearch"] is True


# The index


@pytest.fixture
def course(tmp_path):
    """A course of five small notebooks."""
    for name in ("11b_late", "11_early", "03_dp", "12_meta", "glossary", "solutions/03_dp"):
        path = tmp_path / f"chapters/{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        cell = nbformat.v4.new_markdown_cell(f"# {name} title\n\n*Is it\nso?*\n\nTime ~5 min")
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.md").write_text("{{repository}}\n{{chapters}}\n{{solutions}}", encoding="utf-8")
    return tmp_path


def test_chapters_stand_in_the_order_of_their_numbers(course):
    found = {part: [path.stem for path in paths] for part, paths in site.chapters(course).items()}
    assert list(found.values()) == [["03_dp"], ["11_early", "11b_late"], ["12_meta"], ["glossary"]]
    assert list(found) == [*site.PARTS.values(), site.REFERENCE]


def test_the_index_gives_each_chapter_its_question(course):
    text = site.index(course, "https://example.org/mine", solutions=True)
    assert "- **[11_early title](chapters/11_early.ipynb)** *Is it so?*" in text
    assert text.startswith("https://example.org/mine\n") and "chapters/solutions/index" in text
    assert "solutions" not in site.index(course, "", solutions=False)


def test_the_parts_are_those_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\*\*(Part .*?)\*\*", readme) == list(site.PARTS.values())


def test_laying_out_twice_touches_nothing_and_forgets_what_is_gone(course, monkeypatch):
    monkeypatch.setattr(site, "copy_mathjax", lambda static: None)
    source = course / "_build"
    site.lay_out(course, source, "", solutions=True)
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*.*")}
    assert source / "chapters/solutions/03_dp.ipynb" in before and source / "index.md" in before
    (course / "chapters/12_meta.ipynb").unlink()
    site.lay_out(course, source, "", solutions=False)
    after = {path: path.stat().st_mtime_ns for path in source.rglob("*.*")}
    gone = {path.relative_to(source).as_posix() for path in before.keys() - after.keys()}
    assert gone == {"chapters/12_meta.ipynb", "chapters/solutions/03_dp.ipynb", "chapters/solutions/index.md"}
    assert {path for path in after if after[path] != before[path]} == {source / "index.md"}


# Names and packages


def test_a_short_name_finds_its_notebook_and_a_wrong_one_the_list(course):
    assert notebook(course, "11").stem == "11_early" and notebook(course, "glossary").stem == "glossary"
    with pytest.raises(Unknown, match=r"no chapter '3'\. There are: 03, 11, 11b, 12, glossary\."):
        notebook(course, "3")


def test_missing_packages_are_named(tmp_path, monkeypatch):
    text = '[project.optional-dependencies]\nsite = ["pytest", "no-such-package-of-ours"]\n'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    assert extras.missing("site", tmp_path) == ["no-such-package-of-ours"]
    monkeypatch.setattr(extras.subprocess, "run", lambda command: subprocess.CompletedProcess(command, 1))
    with pytest.raises(extras.Missing, match=r"no-such-package-of-ours: not installed\. Check the network"):
        extras.need("site", tmp_path)


@pytest.mark.parametrize("tool", [pdf])
def test_an_unknown_chapter_is_one_sentence(tool, course, capsys):
    with pytest.raises(SystemExit, match=r"course.py pdf: there is no chapter '99'"):
        tool.main(["99"], root=course)


# The built site

slow = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, and the seconds that it took."""
    if extras.missing("site"):
        pytest.skip(f"needs {', '.join(extras.missing('site'))}: python3 course.py site installs them")
    start = time.perf_counter()
    first = site.build(ROOT, tmp_path_factory.mktemp("site"))
    return first.parent, time.perf_counter() - start


@pytest.fixture(scope="module")
def served(built):
    """The address of the built site, on this machine only."""
    handler = functools.partial(Quiet, directory=str(built[0]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def chrome():
    if not lab.chromium():
        pytest.skip("needs Chromium")
    with lab.browser() as chrome:
        yield chrome


def names(folder: Path) -> list[str]:
    every = (path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    return sorted(name for name in every if not name.startswith("_static"))


class Links(HTMLParser):
    """The ids of a page and what it links to; a `script` or `link` from another host counts as loaded."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.loaded, self.silent = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids.add(attrs.get("id"))
        if tag == "a" and attrs.get("href"):
            self.links.append(attrs["href"])
        self.loaded += [attrs[k] for k in ("src", "href") if tag in ("script", "link", "img") and k in attrs]
        if tag == "img" and "src" in attrs and "alt" not in attrs:
            self.silent.append(attrs["src"][:60])


@pytest.mark.slow
def test_the_site_is_built_in_two_minutes_with_every_notebook(built):
    folder, seconds = built
    assert seconds < 120
    wanted = {
        path.relative_to(ROOT).with_suffix(".html").as_posix() for path in ROOT.glob("chapters/*.ipynb")
    }
    assert wanted <= set(names(folder))
    for name in wanted:  # the download button gives the very notebook
        source = Path(name).with_suffix(".ipynb")
        assert (folder / "_sources" / source).read_bytes() == (ROOT / source).read_bytes()


@pytest.mark.slow
def test_every_internal_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(built):
    folder, _ = built
    pages = {name: Links((folder / name).read_text(encoding="utf-8")) for name in names(folder)}
    broken = []
    for name, page in pages.items():
        broken += [f"{name} loads {url}" for url in page.loaded if re.match(r"(https?:)?//", url)]
        broken += [f"{name} has a picture without words: {src}" for src in page.silent]
        for link in page.links:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (folder / name).parent / unquote(url.path) if url.path else folder / name
            other = pages.get(target.resolve().relative_to(folder.resolve()).as_posix())
            if not target.exists() or (url.fragment and other and unquote(url.fragment) not in other.ids):
                broken.append(f"{name} links to {link}")
    assert broken == []


def watched(context, address: str) -> tuple:
    """A new page, and the list of what goes wrong on it."""
    page, wrong = context.new_page(), []
    page.on("requestfailed", lambda request: wrong.append(f"failed {request.url}"))
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:", "blob:")) else wrong.append(f"asks {r.url}"),
    )
    return page, wrong


def settled(page, url: str) -> None:
    page.goto(url)
    page.evaluate("async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("size, scheme", [(PHONE, "dark"), (DESK, "light")], ids=["phone", "desk"])
def test_every_page_loads_clean_and_fits_the_screen(built, served, chrome, size, scheme):
    context = chrome.new_context(viewport=size, color_scheme=scheme)
    found = []
    for name in names(built[0]):
        page, wrong = watched(context, served)
        settled(page, f"{served}/{name}")
        found += [f"{name}: {line}" for line in wrong]
        if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
            found.append(f"{name} is wider than the screen")
        if page.evaluate("document.querySelectorAll('mjx-merror, [data-mjx-error]').length"):
            found.append(f"{name} has a formula that MathJax cannot read")
        stills = page.evaluate("document.querySelectorAll('figure[data-scrub]:not([data-alive])').length")
        found += [f"{name}: {stills} sliders are not alive"] * bool(stills)
        page.close()
    context.close()
    assert found == []


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("size, scheme", [(PHONE, "dark"), (DESK, "light")], ids=["phone", "desk"])
def test_every_page_passes_axe(built, served, chrome, size, scheme):
    """One page of solutions stands for all: they hold what chapters hold."""
    from axe_playwright_python.sync_playwright import Axe

    context, found = chrome.new_context(viewport=size, color_scheme=scheme), []
    for name in names(built[0]):
        if "solutions/" in name and "/03" not in name:
            continue
        page = context.new_page()
        settled(page, f"{served}/{name}")
        shown = Axe().run(
            page, context={"exclude": [["mjx-container svg"]]}, options={"resultTypes": ["violations"]}
        )
        for fault in shown.response["violations"]:
            found.append(f"{name}: {fault['id']}: {fault['nodes'][0]['html'][:200]}")
        page.close()
    context.close()
    assert found == []


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_slider_moved_by_keyboard_changes_picture_numbers_and_sentence(built, served, chrome, size):
    context, moved = chrome.new_context(viewport=size), 0
    for name in names(built[0]):
        page = context.new_page()
        settled(page, f"{served}/{name}")
        for figure in page.query_selector_all("figure[data-alive]"):
            slider = figure.query_selector("input")
            box = slider.bounding_box()
            assert box["width"] >= 80 and box["x"] + box["width"] <= size["width"], name
            slider.focus()
            page.keyboard.press("Home")
            before = state(figure)
            page.keyboard.press("End")
            after = state(figure)
            assert all(a != b for a, b in zip(before, after, strict=True)), (name, before, after)
            moved += 1
        page.close()
    context.close()
    assert moved >= 40


def state(figure) -> tuple:
    """What a slider says, what it shows beside it, the numbers in the picture's sentence, and the picture."""
    slider = figure.query_selector("input")
    words = figure.query_selector("figcaption").inner_text()
    shown = slider.evaluate("slider => slider.closest('label').innerText")
    return slider.get_attribute("aria-valuetext"), shown, words, figure.query_selector("svg").inner_html()


@pytest.mark.slow
@pytest.mark.browser
def test_controls_that_need_python_show_a_picture_and_say_so(built, served, chrome):
    page = chrome.new_page(viewport=DESK)
    settled(page, f"{served}/chapters/03_dynamic_programming.html")
    stills = page.query_selector_all(".cell_output .still")
    assert len(stills) == 3
    for still in stills:
        assert still.inner_text() == webpage.STILL
        image = still.evaluate_handle("still => still.parentElement.querySelector('img')").as_element()
        assert image.evaluate("image => image.naturalWidth") > 100 and image.get_attribute("alt")
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_search_finds_chapters_and_no_solutions(built, served, chrome):
    page = chrome.new_page(viewport=DESK)
    page.goto(f"{served}/search.html?q=contraction")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(500)
    found = [link.get_attribute("href") for link in page.query_selector_all("#search-results li a")]
    assert any("02_mdps" in link for link in found)
    assert not any("solutions/" in link for link in found)
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_launch_buttons_lead_to_the_repository(built):
    text = (built[0] / "chapters/03_dynamic_programming.html").read_text(encoding="utf-8")
    place = "OWNER/REPOSITORY"
    assert (
        f"https://mybinder.org/v2/gh/{place}/main?urlpath=lab/tree/chapters/03_dynamic_programming.ipynb"
        in text
    )
    assert f"colab.research.google.com/github/{place}/blob/main/chapters/03_dynamic_programming.ipynb" in text


@pytest.mark.slow
@pytest.mark.browser
def test_a_chapter_prints_whole_with_its_answers(built, chrome, tmp_path):
    page = chrome.new_page(color_scheme="dark")
    settled(page, (built[0] / "chapters/03_dynamic_programming.html").as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.querySelectorAll('details:not(.hide):not([open])').length") == 0
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.querySelectorAll('.bd-article details[open]').length") == 0
    page.set_viewport_size({"width": 700, "height": 1000})
    page.emulate_media(media="print")
    wide = (
        "[...document.querySelectorAll('mjx-container[display]')].filter(m => m.scrollWidth > m.clientWidth)"
    )
    assert page.evaluate(f"{wide}.length") == 0, "paper does not scroll"
    page.close()
    pdf.print_page(chrome, built[0] / "chapters/03_dynamic_programming.html", tmp_path / "03.pdf")
    content = (tmp_path / "03.pdf").read_bytes()
    assert content.startswith(b"%PDF") and len(content) > 300_000
    assert 12 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 40
