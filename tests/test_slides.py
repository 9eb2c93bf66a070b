"""Slides: where a chapter is cut, and (slow) the decks in a real browser, without a network."""

import json
from pathlib import Path

import lab
import nbformat
import pytest

from tools import extras, slides

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
SMALL = [
    "# 00 · Small\n\n*Is it so?*\n\nTime ~5 min",
    "## Why this chapter\n\nBecause $x < 1$ and\n\n$$x^2 < x .$$",
    "## Setup",
    ("import numpy", "3"),
    "## A topic\n\n**The idea.** Try.\n\n**In English**\n\n1. Try.\n2. Try again.",
    "**Predict.** How often? (a) once · (b) twice",
    ("tries = 2\nprint(tries)", "2 tries"),
    "**What happened.** (b).\n\n<details><summary>Why?</summary>\n\nIt *did*.\n</details>",
    "**Drag.** Look.",
    ("# drawing\nscrub(x)", "<figure>F</figure>"),
    "1. What moves?\n\n<details><summary>Answers</summary>\n\nAll.\n</details>",
    "## Same as the library?\n\nYes.",
    "## Exercises\n\n### ★ One\n\nDo it.\n\n### ★★ Two\n\nDo more.",
    "## Summary\n\n- **Tried.**",
]


def cells(*parts) -> list[dict]:
    """Markdown cells, and (code, output) pairs."""
    made = []
    for part in parts:
        if isinstance(part, str):
            made.append(nbformat.v4.new_markdown_cell(part))
            continue
        kind = "text/html" if part[1].startswith("<") else "text/plain"
        shown = nbformat.v4.new_output("display_data", {kind: part[1]})
        made.append(nbformat.v4.new_code_cell(part[0], outputs=[shown]))
    return made


@pytest.fixture(scope="module")
def small() -> list[slides.Slide]:
    return slides.cut(cells(*SMALL))


def texts(deck: list[slides.Slide]) -> list[str]:
    return [slides.section(slide) for slide in deck]


def where(deck: list[slides.Slide], words: str) -> int:
    (place,) = [i for i, text in enumerate(texts(deck)) if words in text]
    return place


def test_the_first_slide_has_title_and_question(small):
    assert [block.kind for block in small[0].blocks] == ["title", "text", "text"]
    assert small[1].title == "Why this chapter"


def test_set_up_and_comparison_are_left_out_and_exercises_are_named(small):
    everything = "".join(texts(small))
    assert "import" not in everything and "library" not in everything and "Do it" not in everything
    assert (
        small[where(small, "★★ Two")].title == "Exercises" and "★ One" in texts(small)[where(small, "★★ Two")]
    )
    assert small[-1].title == "Summary"


def test_what_answers_a_question_stands_on_a_later_slide(small):
    question, run, answer = (where(small, words) for words in ("How often", "2 tries", "What happened"))
    assert question < run < answer
    assert where(small, "How often") not in (where(small, "tries"), answer)


def test_a_figure_has_its_questions_beside_it_and_no_drawing_code(small):
    text = texts(small)[where(small, "<figure>F")]
    assert "Look." in text and "What moves?" in text and "beside" in text and "scrub" not in text
    assert text.index("Look.") < text.index("<figure>F") < text.index("What moves?") < text.index("Answers")


def test_mathematics_goes_to_mathjax_unspoilt(small):
    text = texts(small)[where(small, "Because")]
    assert r"\(x &lt; 1\)" in text and r"\[x^2 &lt; x .\]" in text


def test_folded_answers_stay_in_one_piece(small):
    assert "<em>did</em>" in texts(small)[where(small, "Why?")]


def test_long_text_takes_several_slides_and_loses_nothing():
    paragraphs = [f"Paragraph {i}. " + "word " * 60 for i in range(12)]
    deck = slides.cut(cells("## Long\n\n" + "\n\n".join(paragraphs)))
    assert 4 <= len(deck) <= 12 and all(slide.title == "Long" for slide in deck)
    assert all(slide.lines <= slides.ROOM * slides.CROWDED for slide in deck)
    assert "".join(texts(deck)).count("Paragraph") == 12


def test_a_long_table_takes_several_slides_each_with_its_headings():
    rows = [f"| {i} | row {i:02} |" for i in range(20)]
    deck = texts(slides.cut(cells("## Map\n\n" + "\n".join(["| n | what |", "|---|---|", *rows]))))
    assert len(deck) == 3 and all("<th>what</th>" in text for text in deck)
    assert [sum(f"row {i:02}" in text for text in deck) for i in range(20)] == [1] * 20


@pytest.mark.skipif(bool(extras.missing("site")), reason="course.py slides installs what it needs")
def test_links_out_stay_and_links_to_other_chapters_become_words():
    deck = slides.cut(
        cells("## T\n\nSee [chapter 02](02_x.ipynb#top), [above](#t), [there](https://a.org/b).")
    )
    text = slides.html("T", deck)
    assert "See chapter 02, above, " in text and '<a href="https://a.org/b">there</a>' in text


def test_a_lead_goes_along_with_what_it_leads_to():
    items = "\n".join(f"{i}. step {i} " + "word " * 40 for i in range(4))
    deck = slides.cut(cells("## T\n\n**The idea.** " + "word " * 60, f"**In English**\n\n{items}"))
    assert where(deck, "In English") == where(deck, "step 0") == 1


def test_code_keeps_its_output():
    deck = slides.cut(cells("## T", ("x = 1\n" * 11, "output\n" * 3)))
    assert len(deck) == 1 and [block.kind for block in deck[0].blocks] == ["code", "output"]


def test_no_solution_reaches_a_slide():
    for path in CHAPTERS:
        deck = "".join(texts(slides.cut(json.loads(path.read_text(encoding="utf-8"))["cells"])))
        assert "SOLUTION" not in deck and "check." not in deck.replace("check.org", ""), path.name


def test_an_unknown_chapter_is_one_sentence_before_anything_is_installed(monkeypatch):
    monkeypatch.setattr(slides, "need", lambda extra: pytest.fail("installs"))
    with pytest.raises(SystemExit, match=r"course.py slides: there is no chapter '99'\. There are: 00, 01"):
        slides.main(["99"])


# In a browser

LAYOUT = """async () => {
    const found = [];
    for (let i = 0; i < Reveal.getTotalSlides(); i++) {
        Reveal.slide(i);
        await new Promise(requestAnimationFrame);
        const slide = Reveal.getCurrentSlide();
        const { width, right } = slide.getBoundingClientRect();
        if (slide.scrollHeight > slide.clientHeight + 1) found.push(`slide ${i + 1} is too full`);
        for (const e of slide.querySelectorAll("img, figure svg, p, pre, table, mjx-container > svg")) {
            if (e.getBoundingClientRect().right <= right - 30) continue; // a slide's margin is 40
            found.push(`slide ${i + 1}: ${e.tagName} sticks out`);
        }
    }
    if (document.querySelector("mjx-merror, [data-mjx-error]")) found.push("a spoilt formula");
    if (document.querySelector("figure[data-scrub]:not([data-alive])")) found.push("a slider is not alive");
    return found;
}"""


@pytest.fixture(scope="module")
def chrome():
    if extras.missing("site"):
        pytest.skip(f"needs {', '.join(extras.missing('site'))}: python3 course.py slides 03 installs them")
    if not lab.chromium():
        pytest.skip("needs Chromium")
    with lab.browser() as chrome:
        yield chrome


@pytest.fixture
def deck(chrome, tmp_path):
    """Opens the slides of a chapter from a file; the page keeps what went wrong, and may ask no network."""
    pages = []

    def open_deck(path: Path):
        target, count = slides.write(path, tmp_path)
        page = chrome.new_page(viewport={"width": 1280, "height": 720})
        page.wrong = []
        page.on(
            "request", lambda r: None if r.url.startswith(("file:", "data:")) else page.wrong.append(r.url)
        )
        page.on("console", lambda m: page.wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.goto(target.as_uri())
        page.wait_for_function("window.Reveal && Reveal.isReady()", timeout=60_000)
        assert page.evaluate("Reveal.getTotalSlides()") == count
        pages.append(page)
        return page

    yield open_deck
    for page in pages:
        page.close()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_slide_of_every_chapter_fits_without_a_network(deck, path):
    page = deck(path)
    assert page.evaluate(LAYOUT) == []
    assert page.wrong == []


@pytest.mark.slow
@pytest.mark.browser
def test_keys_turn_slides_and_move_a_slider_without_turning(deck):
    page = deck(next(path for path in CHAPTERS if path.name.startswith("03")))
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getState().indexh") == 1
    number = page.evaluate(
        "[...document.querySelectorAll('.slides > section')].findIndex(s => s.querySelector('input'))"
    )
    page.evaluate(f"Reveal.slide({number})")
    figure = page.wait_for_selector("section.present figure[data-alive]")
    slider = figure.query_selector("input")
    slider.focus()
    before = figure.query_selector("svg").inner_html(), figure.query_selector("figcaption").inner_text()
    page.keyboard.press("ArrowRight")
    after = figure.query_selector("svg").inner_html(), figure.query_selector("figcaption").inner_text()
    assert slider.get_attribute("aria-valuetext") == "1" and before[0] != after[0] and before[1] != after[1]
    assert page.evaluate("Reveal.getState().indexh") == number
