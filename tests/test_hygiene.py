"""Every stored notebook keeps the rules, and every rule is broken once here, to see that it is noticed."""

from pathlib import Path

import nbformat
import pytest

from tools import hygiene, page
from tools.cells import to_notebook
from tools.chapter import chapter_view, read, solutions_view

ROOT = Path(__file__).resolve().parent.parent
TEXTS = sorted((ROOT / "chapters" / "text").glob("*.md"))
NOTEBOOKS = [
    *sorted((ROOT / "chapters").glob("*.ipynb")),
    *sorted((ROOT / "chapters" / "solutions").glob("*.ipynb")),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "chapters").as_posix())
def test_notebook_has_no_problems(path):
    problems = hygiene.problems(nbformat.read(path, as_version=4), path)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_text_has_no_problems(path):
    assert hygiene.text_problems(path.read_text(encoding="utf-8")) == []


def test_there_are_notebooks_once_there_are_texts():
    assert bool(NOTEBOOKS) == bool(TEXTS)


# A chapter that breaks no rule

FRONT = "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n\n"
FILLER = "A state is worth what its best action brings, now and later. " * 10
OPENING = """# 03 · Good planning

*When may you stop computing?*

Time ~45 min · Needs 01, 02 · Runs in ~20 s

## Why this chapter

Because chapter 02 left a maximum in the way.

## You will be able to

- write it
- run it
- doubt it

## Warm-up

1. What is V?

<details><summary>Answer</summary>The value.</details>

2. What is Q?

<details><summary>Answer</summary>

See [Setup](#Setup) and [the text](text/03_good.md).
</details>

## Setup

```{code-cell}
:tags: [setup]

import numpy as np
```
"""
TOPIC = f"""
## Topic NUMBER

{FILLER}

```{{code-cell}}
rng = np.random.default_rng(NUMBER)
```

{FILLER}

```{{code-cell}}
V = rng.random(3)
```

**Predict.** Is it (a) zero or (b) one?

```{{code-cell}}
print("a figure")
```

**What happened.** One. {FILLER}

```{{code-cell}}
scrub([V], axes={{"k": range(1)}}, draw=str)
```

1. At which k does it turn?
2. Why there?

+++

{FILLER}

```{{code-cell}}
print(2)
```
"""
EXERCISE = """
### ★★ Exercise NUMBER

Fill it in.

```{code-cell}
def f(x):
    ...  # here
    ### BEGIN SOLUTION
    return x + NUMBER
    ### END SOLUTION


check.f(f)
```
"""
CLOSING = """
## Summary

V, the value.

## Sources and next

Sutton & Barto 2018. Next: [this page](03_good.ipynb#Topic-1).
"""


def numbered(part, count):
    return "".join(part.replace("NUMBER", str(i)) for i in range(count))


GOOD = "".join(
    [
        FRONT + OPENING + numbered(TOPIC, 4),
        "\n## Same as the library?\n\nYes.\n\n```{code-cell}\nprint(3)\n```\n",
        "\n## When it breaks\n\nAt γ = 1.\n\n```{code-cell}\nprint(4)\n```\n",
        "\n## Exercises\n" + numbered(EXERCISE, 4) + CLOSING,
    ]
)
PNG = {"output_type": "display_data", "data": {"image/png": "aGVsbG8=", "text/plain": "V is 1.5."}}
PNG["metadata"] = {"image/png": {"alt": "V is 1.5."}}
STILL = '<img alt="V is 1.5." src="data:image/svg+xml;base64,0x7f0123456789">'
HTML = f'<figure>{STILL}<script>let picture = "<img>"</script></figure>'
SCRUB = {
    "output_type": "display_data",
    "metadata": {},
    "data": {"text/html": HTML, "text/plain": "V is 1.5."},
}
STREAM = {"output_type": "stream", "name": "stdout", "text": "2\n"}


def executed(notebook):
    """As if it had run: counts, a stream from each print, a picture from each figure and slider."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        kinds = {"figure": PNG, "scrub": SCRUB, "print": STREAM, "check": STREAM}
        cell.outputs = [nbformat.from_dict(out) for word, out in kinds.items() if word in cell.source][:1]
    return notebook


@pytest.fixture
def folder(tmp_path):
    """chapters/, with the text that is linked to, and the good chapter itself."""
    chapters = tmp_path / "chapters"
    (chapters / "text").mkdir(parents=True)
    (chapters / "solutions").mkdir()
    (chapters / "text" / "03_good.md").write_text(GOOD, encoding="utf-8")
    nbformat.write(chapter(GOOD), chapters / "03_good.ipynb")
    return chapters


def chapter(text):
    return executed(to_notebook(chapter_view(read(text, "03_good"))))


def solutions(text):
    return executed(to_notebook(solutions_view(read(text, "03_good"))))


def test_the_good_chapter_has_no_problems(folder):
    assert hygiene.text_problems(GOOD) == []
    assert hygiene.problems(chapter(GOOD), folder / "03_good.ipynb") == []
    assert hygiene.problems(solutions(GOOD), folder / "solutions" / "03_good.ipynb") == []


def test_what_needs_no_outputs_can_be_asked_before_a_run(folder):
    bare = to_notebook(chapter_view(read(GOOD, "03_good")))
    assert hygiene.problems(bare, folder / "03_good.ipynb", executed=False) == []
    assert len(hygiene.problems(bare, folder / "03_good.ipynb")) == 2  # not one run, no outputs


# Breaking the text

WHY = "Because chapter 02 left a maximum in the way."
TEN_LINES = "\n".join(f"x{i} = {i}" for i in range(10))
LONG_CELL = "\n".join(f"x{i} = {i}" for i in range(26))

BROKEN_TEXTS = [
    ("# 03 · Good planning", "# Good planning", ["is titled `Good planning`: call it `03 · Title`"]),
    ("# 03 · Good planning", "# 04 · Good planning", ["is titled"]),
    ("# 03 · Good planning\n\n", "", ["has 0 headings with one `#`"]),
    ("When may you stop computing?", "You may stop.", ["opens without its question"]),
    ("Runs in ~20 s", "Fast", ["lacks, below its question, `Time"]),
    ("Time ~45 min · Needs 01, 02 · Runs in ~20 s\n\n", "", ["lacks, below its question, `Time"]),
    ("## Why this chapter", "## Why", ["lacks `## Why this chapter`"]),
    ("## Summary", "## Summing up", ["lacks `## Summary`"]),
    ("## Summary", "## Warm-up", ["lacks `## Summary`"]),
    ("## When it breaks", "## Summary", ["lacks `## When it breaks`"]),
    ("## Sources and next", "## Sources and next\n\nA.\n\n## Summary", ["headings out of order"]),
    ("## Warm-up", "## Stray\n\nHm.\n\n## Warm-up", ["has `## Stray` out of place"]),
    (WHY, WHY + " Again and again." * 41, ["takes 132 words in `## Why this chapter`: keep to 120"]),
    ("- run it\n", "", ["has 2 items under `## You will be able to`"]),
    ("- run it\n", "- run it\n- a\n- b\n- c\n", ["has 6 items under"]),
    ("<details><summary>Answer</summary>The value.</details>", "The value.", ["has 1 folded answers"]),
    (
        "import numpy as np",
        f"import numpy as np\n{TEN_LINES}",
        ["has code cells of [11] lines in `## Setup`"],
    ),
    ("\n## Topic 0", "\n```{code-cell}\na = 1\n```\n\n## Topic 0", ["has code cells of [1, 1] lines"]),
    ("**What happened.** One.", "One.", ["lacks **What happened.** in `## Topic 0`"]),
    ("**Predict.** Is", "Is", ["lacks **Predict.** in `## Topic 0`"]),
    (
        "1. At which k does it turn?\n2. Why there?\n",
        "Play.\n",
        ["has a slider in `## Topic 0` without questions"],
    ),
    ("### ★★ Exercise 0", "### Exercise 0", ["has the exercise `Exercise 0` without its difficulty"]),
    ("check.f(f)", "f(1)", ["has the exercise `★★ Exercise 0` without a checker"]),
    (WHY, WHY + "\n\n+++\n\nMore." * 30, ["cells: a chapter has 40 to 70"]),
    (FILLER, FILLER + " word" * 1500, ["words: a chapter has 2000 to 3500"]),
    ("print(3)", LONG_CELL, ["has 26 lines of code: cut it to 25"]),
    ("Fill it in.", "You just fill it in.", ["says `just`: leave the word out"]),
    ("Fill it in.", "Simply, fill it in.", ["says `Simply`"]),
    ("print(3)", "print(3)\nx = ", ["is not valid Python (line 2"]),
    ("print(3)", "print(3);", ["ends in `;`"]),
    ("print(3)", "display(a, display_id=True)", ["uses `display_id`"]),
    ("print(3)", "interact(print)", ["uses `interact(`"]),
    ("print(3)", "with widgets.Output():\n    print(3)", ["uses `with widgets.Output(`"]),
    ("print(3)", "def f():\n    global x", ["says `global`"]),
    ("print(3)", "np.random.seed(3)", ["uses `np.random.seed`: draw from rng"]),
    ("print(3)", "numpy.random.RandomState(3)", ["uses `numpy.random.RandomState`"]),
    ("print(3)", "root = '/home/someone/course'", ["shows a path of one machine"]),
    ("Fill it in.", "- ```{code-cell}\n  print(5)\n  ```", ["holds a MyST directive"]),
    ("text/03_good.md", "text/04_good.md", ["links to text/04_good.md, which is not there"]),
    ("#Setup", "#Set-up", ["links to #Set-up, not there"]),
    ("03_good.ipynb#Topic-1", "03_good.ipynb#Topic-9", ["links to #Topic-9, not there"]),
]


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN_TEXTS)
def test_a_breach_in_the_text_is_named_and_nothing_else(folder, old, new, expected):
    assert old in GOOD
    found = hygiene.problems(chapter(GOOD.replace(old, new, 1)), folder / "03_good.ipynb")
    assert len(found) == len(expected) and all(e in f for e, f in zip(expected, found, strict=True)), found


TOPICS, TASKS = numbered(TOPIC, 4), numbered(EXERCISE, 4)
BROKEN_COUNTS = [
    (TOPICS, numbered(TOPIC, 2), "has 2 topic sections"),
    (TOPICS, numbered(TOPIC, 6), "has 6 topic sections"),
    (TOPICS, numbered(TOPIC, 2), "has 37 cells: a chapter has 40 to 70"),
    (FILLER, "Little.", "words: a chapter has 2000 to 3500"),
    (TASKS, numbered(EXERCISE, 3), "has 3 exercises: set four to six"),
    (TASKS, numbered(EXERCISE, 7), "has 7 exercises"),
    (
        "V = rng",
        f"{LONG_CELL}\n{LONG_CELL}\n{LONG_CELL}\nV = rng",
        "has 335 code lines outside the exercises",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN_COUNTS)
def test_a_breach_of_counts_is_among_those_named(folder, old, new, expected):
    found = hygiene.problems(chapter(GOOD.replace(old, new)), folder / "03_good.ipynb")
    assert any(expected in line for line in found), found


def test_code_lines_in_the_exercises_are_free(folder):
    nb = chapter(GOOD.replace("    ...  # here\n", "    x = 1\n" * 18 + "    ...  # here\n"))
    found = hygiene.problems(nb, folder / "03_good.ipynb")
    assert found == []


def test_half_of_the_cells_are_short(folder):
    text, nine = GOOD, "\n".join(f"x{i} = {i}" for i in range(9))
    for line in ("print(2)", "V = rng", 'print("a figure")', "scrub([V]"):
        text = text.replace(line, f"{nine}\n{line}")
    found = hygiene.problems(chapter(text), folder / "03_good.ipynb")
    assert found == ["has code cells of 10 lines (median): cut them until half have at most 8"]


def test_empty_notebooks_and_cells_are_named(folder):
    nb = chapter(GOOD.replace("print(3)", ""))
    assert any("is an empty code cell" in line for line in hygiene.problems(nb, folder / "03_good.ipynb"))
    empty = nbformat.v4.new_notebook()
    assert hygiene.problems(empty, folder / "03_good.ipynb") == ["is empty: write its text"]


# Breaking the outputs


def first(nb, word):
    return next(cell for cell in nb.cells if cell.cell_type == "code" and word in cell.source)


def set_output(word, **changes):
    return lambda nb: first(nb, word).outputs[0].update(changes)


def set_data(word, **changes):
    return lambda nb: first(nb, word).outputs[0].data.update(changes)


def no_outputs(nb):
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = []


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["..."])
BARE_IMG = {"text/html": "<img src='a.png'>"}

BROKEN_OUTPUTS = [
    (lambda nb: first(nb, "print(4)").update(execution_count=99), "not executed in one run"),
    (no_outputs, "has no outputs"),
    (lambda nb: first(nb, "print(4)").outputs.append(ERROR), "stored an error, ValueError"),
    (set_output("print(4)", name="stderr"), "wrote to stderr"),
    (set_output("print(4)", text="/home/someone/x.npz"), "shows a path of one machine"),
    (set_output("print(4)", text="C:\\Users\\someone"), "shows a path of one machine"),
    (set_output("print(4)", text="<object at 0x7f0123456789>"), "shows an object's address"),
    (set_output("figure", metadata={}), "a picture without a number in its alt text"),
    (set_output("figure", metadata={"image/png": {"alt": "A curve."}}), "a picture without a number"),
    (
        set_data("figure", **{"text/plain": "<Figure size 640x480 with 1 Axes>"}),
        "whose text/plain holds no number",
    ),
    (set_data("scrub", **BARE_IMG), "a picture without a number in its alt text"),
    (set_data("scrub", **{"text/plain": "a figure"}), "whose text/plain holds no number"),
    (set_output("print(4)", text="x" * 1_000_001), "takes 1.0 MB: keep to 1"),
]


@pytest.mark.parametrize(("edit", "expected"), BROKEN_OUTPUTS)
def test_a_breach_in_the_outputs_is_named_and_nothing_else(folder, edit, expected):
    nb = chapter(GOOD)
    edit(nb)
    found = hygiene.problems(nb, folder / "03_good.ipynb")
    assert len(found) == 1 and expected in found[0], found


def test_a_path_into_this_very_course_is_named(folder):
    nb = chapter(GOOD)
    first(nb, "print(4)").outputs[0].text = f"{folder.parent}/chapters/data/x.npz"
    assert "shows a path of one machine" in hygiene.problems(nb, folder / "03_good.ipynb")[0]


# The other pages


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (": solutions\n", "\n", "call it `03 · Title: solutions`"),
        ("../03_good.ipynb)", "../04_good.ipynb)", "does not link back"),
        ("Fill it in.", "Obviously.", "says `Obviously`"),
        ("return x + 0", "return np.random.rand()", "uses `np.random.rand`"),
    ],
)
def test_solutions_keep_their_own_rules(folder, old, new, expected):
    nb = solutions(GOOD)
    for cell in nb.cells:
        cell.source = cell.source.replace(old, new)
    assert expected in hygiene.problems(nb, folder / "solutions" / "03_good.ipynb")[0]


SHORT = (
    FRONT
    + """# TITLE

What is here?

Time ~5 min · Needs nothing · Runs in ~5 s

```{code-cell}
print(1)
```
"""
)


@pytest.mark.parametrize(
    ("name", "title", "expected"),
    [
        ("00_start_here", "00 · Start here", []),
        ("glossary", "Glossary", []),
        ("claims_checked", "The claims, checked", []),
        ("00_start_here", "Start here", ["is titled `Start here`"]),
        ("01_agents", "01 · Agents", ["lacks `## Why", "has 2 cells", "has 14 words"]),
        ("glossary", "23 · Glossary", ["is titled `23 · Glossary`: the glossary and the"]),
    ],
)
def test_the_short_pages_are_excused_from_the_anatomy(folder, name, title, expected):
    found = hygiene.problems(chapter(SHORT.replace("TITLE", title)), folder / f"{name}.ipynb")
    assert len(found) == len(expected) and all(
        f.startswith(e) for e, f in zip(expected, found, strict=True)
    ), found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("What is here?", "Words.", "opens without its question"),
        ("Time ~5 min · Needs nothing · Runs in ~5 s", "For looking up", "ends in `Runs in ~5 s`"),
        ("Time ~5 min · Needs nothing · Runs in ~5 s", "For looking up · Runs in ~5 s", None),
    ],
)
def test_the_pages_to_look_things_up_in_keep_what_fits(folder, old, new, expected):
    text = SHORT.replace("TITLE", "Glossary").replace(old, new)
    found = hygiene.problems(chapter(text), folder / "glossary.ipynb")
    assert len(found) == bool(expected) and all(expected in line for line in found), found


@pytest.mark.parametrize(
    ("name", "title", "words", "cells", "expected"),
    [
        ("00_start_here", "00 · Start here", 3500, 70, ["has 73 cells", "has 3585 words"]),
        ("glossary", "Glossary", 3500, 70, []),
        ("glossary", "Glossary", 10_000, 140, ["has 143 cells", "has 10153 words"]),
    ],
)
def test_the_short_pages_keep_the_upper_budgets(folder, name, title, words, cells, expected):
    text = SHORT.replace("TITLE", title) + "\nword " * words + "\n\n+++\n\nA." * cells
    found = hygiene.problems(chapter(text), folder / f"{name}.ipynb")
    assert [line.split(":")[0] for line in found] == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "kernelspec:\n  display_name: Python 3\n  name: python3",
            "title: x",
            ["lacks the kernelspec", "holds more than kernelspec"],
        ),
        ("kernelspec:", "jupytext:\n  formats: md,ipynb\nkernelspec:", ["pairs files by `formats`"]),
    ],
)
def test_a_breach_in_the_front_matter_is_named(old, new, expected):
    found = hygiene.text_problems(GOOD.replace(old, new, 1))
    assert len(found) == len(expected) and all(e in f for e, f in zip(expected, found, strict=True)), found


# What counts as a word


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("One two, three-fold isn't 3.5.", 5),
        ("`V[s, a]` and $x + y$ are one each", 6),
        ("See [the text](a/b/c.md) <b>now</b>", 4),
        ("$$V = R + \\gamma P V$$\n\nafter", 1),
        ("```\nno prose here\n```\n\nafter", 1),
        ("<details><summary>Answer</summary>\n\nfour\n\n</details>", 2),
    ],
)
def test_words(source, count):
    assert page.words(source) == count
