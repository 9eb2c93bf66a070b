"""The teaching notes against what they are about: chapters, checkers, exercises, problem sets."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEACH = ROOT / "instructor"
SECTIONS = ["90 minutes", "Board", "Drag and ask", "Usual mistakes", "Discuss", "Answers to Predict"]
SECTIONS += ["When time is short", "Problem sets"]
WORDS = (250, 550)  # about a page, formulas and links not counted
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
LINK = re.compile(r"\]\(([^)\s#]*)(#[^)\s]*)?\)")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def built() -> dict[str, Path]:
    """The texts of the chapters that have a notebook, by number."""
    texts = sorted((ROOT / "chapters/text").glob("[0-9]*.md"))
    return {p.stem.split("_")[0]: p for p in texts if (ROOT / f"chapters/{p.stem}.ipynb").exists()}


CHAPTERS = built()
LISTED = set(re.findall(r"\(chapters/(\d\d?b?)_", read(ROOT / "README.md")))  # finished: on the README's map
NOTES = sorted(p.stem for p in TEACH.glob("notes/*.md"))


def note(number: str) -> str:
    return read(TEACH / f"notes/{number}.md")


def sections(text: str) -> dict[str, str]:
    """Heading of level 2 → the text below it."""
    parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    return {name.strip(): body for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def goals(number: str) -> list[str]:
    return re.findall(r"^- (.+)$", sections(read(CHAPTERS[number])).get("You will be able to", ""), re.M)


def exercises(number: str) -> list[str]:
    return re.findall(r"^### (★+ .+)$", sections(read(CHAPTERS[number])).get("Exercises", ""), re.M)


def problems() -> list[str]:
    """`ps1.1` and so on: each problem of each set."""
    texts = sorted(TEACH.glob("problem_sets/*/ps*.md"))
    return [f"{p.stem}.{n}" for p in texts for n in re.findall(r"^## (\d+) ·", read(p), re.M)]


def right_letters(number: str) -> list[set[str]]:
    """For each Predict, the letters with which its What happened begins; none where it is told in words."""
    found = []
    for part in read(CHAPTERS[number]).split("**Predict.**")[1:]:
        answer = part.partition("**What happened.**")[2]
        first = re.split(r"[.:;]", answer, maxsplit=1)[0]
        found.append(set(re.findall(r"(?<!not )\(([a-z])\)", first)))
    return found


def numbers(text: str) -> set[str]:
    """All numbers, with `-` for the typographic minus and no commas for thousands."""
    plain = re.sub(r"(?<=\d)_(?=\d)", "", text.replace("−", "-"))
    return {x.replace(",", "").rstrip(".") for x in NUMBER.findall(plain)}


def shown(number: str) -> str:
    """All that a reader of the chapter sees: sources and outputs of the notebook, and what checkers say."""
    notebook = json.loads(read(ROOT / f"chapters/{CHAPTERS[number].stem}.ipynb"))
    parts = [read(CHAPTERS[number]), read(ROOT / f"course_lib/checks/ch{number}.py")]
    for cell in notebook["cells"]:
        for out in cell.get("outputs", []):
            parts += [
                "".join(text) for text in (out.get("text", ""), out.get("data", {}).get("text/plain", ""))
            ]
    return "\n".join(parts)


# The notes


def test_every_chapter_has_its_note_and_no_note_is_left_over():
    assert not LISTED - set(NOTES), f"write instructor/notes/NN.md for {sorted(LISTED - set(NOTES))}"
    assert not set(NOTES) - set(CHAPTERS)


@pytest.mark.parametrize("number", NOTES)
def test_a_note_has_all_its_parts(number):
    text = note(number)
    title = re.search(r"^# (.+)$", read(CHAPTERS[number]), re.M)[1]
    assert text.startswith(f"# {title}: teaching notes\n")
    assert list(sections(text)) == SECTIONS
    count = len(re.findall(r"[A-Za-z][\w’'-]+", re.sub(r"\]\([^)]*\)|\$[^$]*\$", "", text)))
    assert WORDS[0] <= count <= WORDS[1], f"{count} words"


@pytest.mark.parametrize("number", NOTES)
def test_the_minutes_of_a_session_follow_each_other_up_to_90(number):
    spans = re.findall(r"^- (\d+)–(\d+) · ", sections(note(number))["90 minutes"], re.M)
    marks = [int(x) for span in spans for x in span]
    assert marks[0] == 0 and marks[-1] == 90 and marks[1:-1:2] == marks[2::2], marks
    assert all(a < b for a, b in zip(marks[::2], marks[1::2], strict=True))


@pytest.mark.parametrize("number", NOTES)
def test_a_note_gives_each_predict_the_letter_of_what_happened(number):
    line = sections(note(number))["Answers to Predict"].strip()
    items = [item.strip() for item in line.split(" · ")]
    wanted = right_letters(number)
    assert [int(item.split()[0]) for item in items] == list(range(1, len(wanted) + 1))
    for item, letters in zip(items, wanted, strict=True):
        given = set(re.findall(r"\(([a-z])\)", item))
        assert given == letters or not letters, f"{item}: What happened says {sorted(letters)}"
        assert given or "open:" in item, f"{item}: give a letter, or `open:` and the answer"


@pytest.mark.parametrize("number", NOTES)
def test_every_number_of_a_note_stands_in_its_chapter(number):
    """Small whole numbers are free: they count arms, cells, questions."""
    known = numbers(shown(number))
    known |= {x.lstrip("-") for x in known}
    parts = sections(note(number))
    told = numbers(LINK.sub("", "\n".join(parts[name] for name in SECTIONS[1:5])))
    unknown = {x for x in told if x not in known and ("." in x or abs(int(x)) > 12)}
    assert not unknown, f"{sorted(unknown)} are not in the chapter, its outputs or its checkers"


@pytest.mark.parametrize("number", NOTES)
def test_what_is_quoted_as_a_checkers_words_is_what_it_says(number):
    checker = read(ROOT / f"course_lib/checks/ch{number}.py")
    quoted = re.findall(r'"([^"]+)"', sections(note(number))["Usual mistakes"])
    assert len(quoted) >= 2 and not [q for q in quoted if q not in checker]


@pytest.mark.parametrize("number", NOTES)
def test_each_slider_to_drag_is_in_the_chapter(number):
    source = read(CHAPTERS[number])
    for name in re.findall(r"\*\*(.+?)\*\*", sections(note(number))["Drag and ask"]):
        assert re.search(rf"""["']{re.escape(name)}["']|\b{re.escape(name)}=""", source), name


# Goals, syllabus, projects, links


def test_each_goal_and_each_exercise_of_each_chapter_is_mapped():
    by_chapter = {name.split(" ")[0]: part for name, part in sections(read(TEACH / "GOALS.md")).items()}
    assert not LISTED - set(by_chapter), f"add to instructor/GOALS.md: {sorted(LISTED - set(by_chapter))}"
    for number, part in by_chapter.items():
        rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")][1:]
        assert [row[0] for row in rows] == (goals(number) or ["work through the page"])
        named = re.findall(r"★+ [^;|]+", "; ".join(row[1] for row in rows))
        assert {x.strip() for x in named} == set(exercises(number)), number
        assert set(re.findall(r"ps\d\.\d+", part)) <= set(problems())


def test_each_problem_of_each_set_serves_a_goal_and_stands_in_a_note():
    assert set(re.findall(r"ps\d\.\d+", read(TEACH / "GOALS.md"))) == set(problems())
    in_notes = "".join(map(note, NOTES))
    assert set(re.findall(r"ps\d\.\d+", in_notes)) == set(problems())


def rows_of(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def chapters_in(cell: str) -> list[str]:
    return re.findall(r"\b\d\db?\b", LINK.sub("]", cell))


def reading_minutes(number: str) -> int:
    return int(re.search(r"^Time ~(\d+) min", read(CHAPTERS[number]), re.M)[1])


@pytest.mark.parametrize("plan", ["Fourteen weeks", "Five days"])
def test_a_syllabus_covers_every_chapter_once_and_its_minutes_add_up(plan):
    rows = rows_of(sections(read(TEACH / "SYLLABUS.md"))[plan])
    *parts, total = rows
    covered = [number for row in parts for number in chapters_in(row[1])]
    assert sorted(covered) == sorted(set(covered)) and LISTED <= set(covered)
    for row in parts:  # part, chapters, class minutes, reading minutes, …
        waiting = re.findall(r"(\d\db?) \(in preparation\)", row[1])
        finished = [number for number in chapters_in(row[1]) if number not in waiting]
        assert not set(waiting) & LISTED, f"{waiting}: finished now, add their minutes"
        assert set(finished) <= set(CHAPTERS) and int(row[3]) == sum(map(reading_minutes, finished)), row
    for column in (2, 3):
        assert int(total[column]) == sum(int(row[column]) for row in parts)


def test_the_rubric_adds_up_and_each_project_has_its_parts():
    parts = sections(read(TEACH / "PROJECTS.md"))
    points = [int(row[1]) for row in rows_of(parts["Rubric"])[:-1]]
    assert len(points) == 4 and sum(points) == int(rows_of(parts["Rubric"])[-1][1])
    projects = {name: body for name, body in parts.items() if re.match(r"\d+ · ", name)}
    assert 8 <= len(projects) <= 10
    for name, body in projects.items():
        for word in ("Question", "In the library", "Exact answer", "First week", "Traps"):
            assert f"**{word}.**" in body, f"{name} lacks {word}"


@pytest.mark.parametrize("path", sorted(TEACH.glob("*.md")) + sorted(TEACH.glob("notes/*.md")), ids=str)
def test_all_links_lead_somewhere(path):
    for target, anchor in LINK.findall(read(path)):
        if target.startswith("http"):
            continue
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), target
        if anchor and file.suffix == ".ipynb":
            assert f"# {anchor[1:].replace('-', ' ')}" in read(file).replace("-", " "), anchor


@pytest.mark.parametrize("path", sorted(TEACH.glob("*.md")) + sorted(TEACH.glob("notes/*.md")), ids=str)
def test_house_words(path):
    assert not re.findall(r"\b(simply|just|obviously)\b", read(path), re.I)


def test_modules_named_in_the_projects_exist():
    for name in re.findall(r"`((?:worlds|agents|meta|oracles|show)\.\w+)`", read(TEACH / "PROJECTS.md")):
        assert (ROOT / "course_lib" / (name.replace(".", "/") + ".py")).exists(), name
