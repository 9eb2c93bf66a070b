"""Text → notebooks → text: what build writes, what --check sees, what absorb brings back or refuses."""

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from tools import absorb, build
from tools.cells import cells_of
from tools.chapter import TextError, chapter_view, load, read, solutions_view

ROOT = Path(__file__).resolve().parent.parent
FRONT = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
TEXT = (
    FRONT
    + """# 00 · A small chapter

What is two and two?

Time ~5 min · Needs nothing · Runs in ~5 s

```{code-cell} ipython3
:tags: [setup]

import ipywidgets
import matplotlib.pyplot as plt
from IPython.display import display
from tqdm.auto import tqdm
```

Count aloud, with a bar.

```{code-cell} ipython3
for i in tqdm(range(3)):
    print("count", i)
```

+++

A slider stands apart from the bar.


```{code-cell} ipython3
slider = ipywidgets.IntSlider(3)
slider.observe(print, "value")
display(slider)
```
```{code-cell} ipython3
plt.plot([2, 4])
plt.show()
2 + 2
```

## Exercises

See [the chapter's top](#00-·-A-small-chapter), the [text](text/00_small.md) and [a page](https://example.org/a.html).

### ★★ Double and shift

```{code-cell} ipython3
def double(x):
    x = x + 0
    ...  # 1. twice
    ### BEGIN SOLUTION
    x = 2 * x
    ### END SOLUTION
    ...  # 2. one more
    ### BEGIN SOLUTION
    x = x + 1
    ### END SOLUTION
    return x


print("double(2) is", double(2))
```

+++ {"tags": ["solution"]}

Twice two is four, and one more is five.

+++

### ★ Look

Nothing to do.

## Summary

Four.
"""
)


@pytest.fixture
def root(tmp_path):
    """A course of one chapter, not built."""
    folder = tmp_path / "chapters" / "text"
    folder.mkdir(parents=True)
    (folder / "00_small.md").write_text(TEXT, encoding="utf-8")
    return tmp_path


def stored(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.ipynb")}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The same course built, and the files that the build wrote."""
    root = tmp_path_factory.mktemp("built")
    (root / "chapters" / "text").mkdir(parents=True)
    (root / "chapters" / "text" / "00_small.md").write_text(TEXT, encoding="utf-8")
    assert build.main(["00"], root) == 0
    return root, stored(root)


def notebook(files, name="chapters/00_small.ipynb"):
    return nbformat.reads(files[name].decode(), as_version=4)


def outputs(files):
    return [output for cell in notebook(files).cells for output in cell.get("outputs", [])]


# Reading the text


def test_the_text_is_cut_where_jupytext_cuts_it_and_no_byte_is_lost():
    chapter = read(TEXT, "00_small")
    assert [cell.cell for cell in chapter.cells] == cells_of(jupytext.reads(TEXT, "md:myst"))
    count, gaps = len(chapter.cells), chapter.gaps
    bodies = [cell.body for cell in chapter.cells] + [""]
    assert chapter.head + "".join(gaps[i - 1, i] + bodies[i] for i in range(count + 1)) == TEXT


def test_every_cell_knows_its_line_in_the_file():
    lines = TEXT.split("\n")
    for cell in read(TEXT, "00_small").cells:
        assert lines[cell.line - 1] == cell.cell.source.split("\n")[0]


def test_the_chapter_shows_the_stubs_only():
    sources = [cell.source for cell in chapter_view(read(TEXT, "00_small"))]
    exercise = next(source for source in sources if "def double" in source)
    assert exercise.startswith(
        "def double(x):\n    x = x + 0\n    ...  # 1. twice\n    ...  # 2. one more\n    return x"
    )
    assert not any("Twice two" in source for source in sources)


def test_the_solutions_hold_title_setup_and_the_exercises_solved():
    cells = solutions_view(read(TEXT, "00_small"))
    first = (
        "# 00 · A small chapter: solutions\n\nBack to the chapter: [00 · A small chapter](../00_small.ipynb)"
    )
    assert cells[0].source == first
    assert cells[1].tags == ("setup",) and cells[2].source.startswith("## Exercises")
    assert cells[3].source.startswith(
        "def double(x):\n    x = x + 0\n    x = 2 * x\n    x = x + 1\n    return x"
    )
    assert cells[4].source.startswith("Twice two")
    assert cells[5].source == "### ★ Look\n\nNothing to do." and len(cells) == 6


def test_links_in_the_solutions_lead_one_folder_up():
    exercises = solutions_view(read(TEXT, "00_small"))[2].source
    assert "(../00_small.ipynb#00-·-A-small-chapter)" in exercises and "(../text/00_small.md)" in exercises
    assert "(https://example.org/a.html)" in exercises


def test_a_chapter_without_exercises_has_no_solutions():
    assert solutions_view(read(FRONT + "# 00 · Title\n\n## Summary\n", "00_title")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n    ...", "    ...", "BEGIN SOLUTION inside a solution"),
        ("    x = x + 1\n    ### END SOLUTION\n", "    x = x + 1\n", "without END SOLUTION"),
        ("    ...  # 1. twice\n", "", "must contain `...`"),
        ("    ...  # 1. twice\n    ### BEGIN SOLUTION\n", "", "END without BEGIN"),
        ("    ...  # 2. one more\n", "", "must contain `...`"),
    ],
)
def test_a_fault_in_the_markers_names_file_cell_and_line(old, new, message):
    broken = TEXT.replace(old, new, 1)
    with pytest.raises(TextError, match=message) as caught:
        read(broken, "00_small")
    place = re.match(r"00_small.md, cell-008, line (\d+): ", str(caught.value))
    assert "SOLUTION" in broken.split("\n")[int(place[1]) - 1]


# Building


def test_building_twice_gives_the_same_bytes(built):
    root, files = built
    assert set(files) == {"chapters/00_small.ipynb", "chapters/solutions/00_small.ipynb"}
    assert build.main([], root) == 0
    assert stored(root) == files


def test_the_notebook_is_normalised(built):
    nb = notebook(built[1])
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    assert [cell.id for cell in nb.cells] == [f"cell-{i:03d}" for i in range(len(nb.cells))]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5]
    assert nb.metadata.language_info == {"name": "python"} and nb.metadata.kernelspec.name == "python3"
    assert set(nb.metadata) == {"language_info", "kernelspec"}
    assert [dict(cell.metadata) for cell in nb.cells if cell.metadata] == [{"tags": ["setup"]}]


def test_the_outputs_are_normalised(built):
    streams = [output.text for output in outputs(built[1]) if output.output_type == "stream"]
    assert streams == ["count 0\ncount 1\ncount 2\n", "double(2) is 2\n"]
    data = [output.data for output in outputs(built[1]) if "data" in output]
    views = [
        d["application/vnd.jupyter.widget-view+json"]["model_id"]
        for d in data
        if len(d) == 2 and "image/png" not in d
    ]
    assert views == ["widget-000", "widget-001"]
    assert any("image/png" in d for d in data) and data[-1]["text/plain"] == "4"


def test_the_solutions_ran(built):
    nb = notebook(built[1], "chapters/solutions/00_small.ipynb")
    assert nb.cells[3].outputs[0].text == "double(2) is 5\n"


def test_nbval_accepts_what_was_built(built):
    options = ["-q", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, "chapters/00_small.ipynb"]
    done = subprocess.run(command, check=False, cwd=built[0], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", "cell-001: .*ZeroDivisionError"),
        ("import warnings\nwarnings.warn('careful')", "cell-001 wrote to stderr: .*careful"),
    ],
)
def test_a_run_with_an_error_or_a_warning_writes_nothing(root, capsys, code, message):
    text = root / "chapters" / "text" / "00_small.md"
    text.write_text(FRONT + f"# 00 · Title\n\nWhy?\n\n```{{code-cell}}\n{code}\n```\n", encoding="utf-8")
    assert build.main(["00", "--draft"], root) == 1
    errors = capsys.readouterr().err
    assert re.search(message, errors, re.DOTALL)
    assert "\x1b" not in errors and stored(root) == {}


def test_an_unfinished_text_is_not_executed(root, capsys):
    text = root / "chapters" / "text" / "00_small.md"
    text.write_text(TEXT.replace("2 + 2\n", "2 + 2;\n"), encoding="utf-8")
    assert build.main(["00"], root) == 1
    assert "cell-006 ends in `;`" in capsys.readouterr().err and stored(root) == {}


def test_over_time_warns_or_refuses(root, capsys, monkeypatch):
    text = root / "chapters" / "text" / "00_small.md"
    text.write_text(FRONT + "# 00 · Title\n\nWhy?\n\n```{code-cell}\nprint(1)\n```\n", encoding="utf-8")
    monkeypatch.setattr(build, "CHAPTER_SECONDS", 0.01)
    assert build.main(["00", "--draft", "--strict-time"], root) == 1 and stored(root) == {}
    assert "budget is 0.01 s" in capsys.readouterr().err
    assert build.main(["00", "--draft"], root) == 0 and stored(root)
    assert "WARNING: It took" in capsys.readouterr().out


def test_an_unknown_name_is_an_error(root, capsys):
    assert build.main(["77"], root) == 1
    assert "no text in chapters/text for 77" in capsys.readouterr().err


# Checking


@pytest.fixture
def copy(built, root):
    """A built course that a test may change."""
    for name, content in built[1].items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(content)
    return root


def change(root, edit, name="chapters/00_small.ipynb"):
    nb = nbformat.read(root / name, as_version=4)
    edit(nb.cells)
    nbformat.write(nb, root / name)


def test_check_is_silent_on_a_fresh_build(copy, capsys):
    assert build.main(["--check"], copy) == 0
    assert "agree" in capsys.readouterr().out


def set_source(number, source):
    return lambda cells: cells[number].update(source=source)


def set_tags(number, tags):
    return lambda cells: cells[number].metadata.update(tags=tags)


NEW_CELL = nbformat.v4.new_markdown_cell("A new thought.", id="new")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_source(2, "Count."), "cell-002 differs from the text in its source"),
        (set_tags(3, ["slow"]), "cell-003 differs from the text in its tags"),
        (lambda cells: cells.insert(3, NEW_CELL), "cell-003 is not in the text"),
        (lambda cells: cells.pop(4), "the text's cell-004 is missing"),
        (lambda cells: cells[4].update(id="other"), "its cell ids are not the build's"),
    ],
)
def test_check_finds_an_edited_notebook(copy, capsys, edit, message):
    change(copy, edit)
    assert build.main(["--check"], copy) == 1
    assert capsys.readouterr().out.strip().startswith(f"chapters/00_small.ipynb: {message}")


def test_check_finds_edited_missing_and_orphaned_files(copy):
    change(copy, set_source(1, "import this"), "chapters/solutions/00_small.ipynb")
    (copy / "chapters" / "00_small.ipynb").rename(copy / "chapters" / "01_lost.ipynb")
    assert build.check(copy) == [
        "chapters/00_small.ipynb: does not exist; build it",
        "chapters/solutions/00_small.ipynb: cell-001 differs from the text in its source",
        "chapters/01_lost.ipynb: no text stands behind it; remove it or write one",
    ]


def test_the_course_text_and_notebooks_agree():
    assert build.check(ROOT) == []


GLOSSARY = (
    FRONT
    + """# Glossary

*What does this word mean?*

For looking up · Runs in ~1 s

| **four** | [00](00_small.ipynb#Summary) |
|:--|:--|

```{code-cell} ipython3
print("four")
```
"""
)


def test_a_page_without_a_number_is_built_checked_and_absorbed_by_its_name(copy, capsys):
    text = copy / "chapters/text/glossary.md"
    text.write_text(GLOSSARY, encoding="utf-8")
    assert build.main(["glossary"], copy) == 0 and build.check(copy) == []
    assert not (copy / "chapters/solutions/glossary.ipynb").exists()
    change(copy, set_source(0, "# Glossary\n\nWhat is this?\n\nRuns in ~1 s"), "chapters/glossary.ipynb")
    assert build.main(["--check", "glossary"], copy) == 1
    assert absorb.main(["glossary"], copy) == 0 and "What is this?" in text.read_text(encoding="utf-8")
    assert build.main(["glossaries"], copy) == 1 and "no text in" in capsys.readouterr().err


# Absorbing


def absorbed(root, edit):
    change(root, edit)
    assert absorb.main(["00"], root) == 0
    return (root / "chapters" / "text" / "00_small.md").read_text(encoding="utf-8")


def replaced(old, new):
    """The text with one place changed, and nothing else."""
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


def test_nothing_edited_is_nothing_absorbed(copy, capsys):
    assert absorbed(copy, lambda cells: None) == TEXT
    assert "nothing to absorb" in capsys.readouterr().out


def test_one_word_is_one_changed_line(copy, capsys):
    text = absorbed(copy, set_source(2, "Count softly, with a bar."))
    assert text == replaced("Count aloud, with", "Count softly, with")
    assert "cell-002 differs" in capsys.readouterr().out


def test_edited_code(copy):
    text = absorbed(copy, set_source(6, "plt.plot([2, 5])\nplt.show()\n2 + 3\n"))
    assert text == TEXT.replace("plot([2, 4])", "plot([2, 5])").replace("2 + 2\n", "2 + 3\n")


def test_edited_tags(copy):
    text = absorbed(copy, set_tags(3, ["slow"]))
    assert text == replaced("ipython3\nfor i", "ipython3\n:tags: [slow]\n\nfor i")


def test_an_inserted_markdown_cell_stays_a_cell_of_its_own(copy):
    text = absorbed(copy, lambda cells: cells.insert(3, NEW_CELL))
    assert text == replaced("with a bar.\n", "with a bar.\n\n+++\n\nA new thought.\n")


def test_an_inserted_code_cell(copy):
    cell = nbformat.v4.new_code_cell("3 + 3", id="new")
    text = absorbed(copy, lambda cells: cells.insert(3, cell))
    assert text == replaced("with a bar.\n", "with a bar.\n\n```{code-cell} ipython3\n3 + 3\n```\n")


def test_an_empty_cell_is_ignored(copy):
    cell = nbformat.v4.new_code_cell("", id="new")
    assert absorbed(copy, lambda cells: cells.append(cell)) == TEXT


def test_a_deleted_cell(copy):
    text = absorbed(copy, lambda cells: cells.pop(3))
    bar = '```{code-cell} ipython3\nfor i in tqdm(range(3)):\n    print("count", i)\n```\n\n'
    assert text == replaced(bar, "")


def test_a_deleted_cell_leaves_its_neighbours_apart(copy):
    text = absorbed(copy, lambda cells: cells.pop(5))
    assert "from the bar.\n\n```{code-cell} ipython3\nplt.plot" in text and "IntSlider" not in text


def test_moved_cells(copy):
    text = absorbed(copy, lambda cells: cells.insert(4, cells.pop(6)))
    sources = [cell.source for cell in chapter_view(read(text, "00_small"))]
    old = [cell.source for cell in chapter_view(read(TEXT, "00_small"))]
    assert sources == [*old[:4], old[6], old[4], old[5], *old[7:]]


VISIBLE = """def double(x):
    x = x + 0
    ...  # 1. twice
    ...  # 2. one more
    return x


print(double(2))"""


def test_the_visible_part_of_an_exercise_keeps_its_solution(copy):
    edited = VISIBLE.replace("    x = x + 0\n", '    """An int."""\n').replace("# 1. twice", "# 1. two times")
    text = absorbed(copy, set_source(8, edited))
    expected = replaced("    x = x + 0\n", '    """An int."""\n').replace("# 1. twice", "# 1. two times")
    assert text == expected.replace('print("double(2) is", double(2))', "print(double(2))")


def test_an_explanation_stays_behind_its_exercise(copy):
    text = absorbed(copy, lambda cells: cells.insert(9, NEW_CELL))
    assert text == replaced("+++\n\n### ★ Look", "+++\n\nA new thought.\n\n+++\n\n### ★ Look")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_source(8, VISIBLE.replace("    ...  # 1. twice\n", "    x *= 2\n")), "stub lines"),
        (set_source(8, VISIBLE.replace("    ...  # 1. twice\n", "        ...  # 1. twice\n")), "indentation"),
        (
            set_source(
                8,
                VISIBLE.replace("1. twice", "0")
                .replace("2. one more", "1. twice")
                .replace("# 0", "# 2. one more"),
            ),
            "order",
        ),
        (lambda cells: cells.pop(8), "the text keeps a solution"),
        (set_source(3, "print('''\n```\n''')"), "cannot hold this edit exactly"),
        (set_source(2, "One.\n\n+++\n\nTwo."), "cannot hold this edit exactly"),
        (
            set_source(3, "x = 1\n...\n### BEGIN SOLUTION\n2\n### END SOLUTION"),
            "cannot hold this edit exactly",
        ),
    ],
)
def test_an_edit_that_cannot_be_placed_is_refused(copy, capsys, edit, message):
    change(copy, edit)
    assert absorb.main(["00"], copy) == 1
    errors = capsys.readouterr().err
    assert "nothing written" in errors and message in errors
    assert load(copy / "chapters" / "text" / "00_small.md") == read(TEXT, "00_small")
