"""What every notebook of the course keeps: `problems(notebook, path)` names each breach, and the mend."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import yaml

from tools import anatomy, outputs
from tools.page import Page

CODE_AND_PROSE = [  # need neither outputs nor other files
    anatomy.title,
    anatomy.longest_cell,
    anatomy.line_width,
    anatomy.tone,
    outputs.valid_python,
    outputs.last_semicolon,
    outputs.replayable,
    outputs.globals_and_seeds,
    outputs.cells_inside_markdown,
]
LESSON = [
    anatomy.heading_order,
    anatomy.why,
    anatomy.goals,
    anatomy.warm_up,
    anatomy.setup,
    anatomy.topic_count,
    anatomy.predictions,
    anatomy.slider_questions,
    anatomy.exercises,
    anatomy.cell_budget,
    anatomy.word_budget,
    anatomy.code_budget,
    anatomy.cell_median,
]
EXECUTED = [
    outputs.links,
    outputs.one_run,
    outputs.some_outputs,
    outputs.clean_outputs,
    outputs.machine_paths,
    outputs.addresses,
    outputs.alternative_texts,
    outputs.size,
]


def problems(notebook: nbformat.NotebookNode, path: Path, *, executed: bool = True) -> list[str]:
    """A sentence for each breach. `path` says which rules bind; `executed=False` leaves out the outputs."""
    page = Page(notebook, Path(path))
    if not page.cells:
        return ["is empty: write its text"]
    return [sentence for rule in rules(page, executed) for sentence in rule(page)]


def rules(page: Page, executed: bool) -> list:
    kind = [anatomy.way_back] if page.is_solution else LESSON if page.is_lesson else [anatomy.upper_budgets]
    below = anatomy.time_line if page.is_numbered else anatomy.runs_line
    opening = [] if page.is_solution else [anatomy.question, below]
    return CODE_AND_PROSE + opening + kind + (EXECUTED if executed else [])


def text_problems(text: str) -> list[str]:
    """What only the text shows: a front matter with the kernelspec, and nothing that pairs files."""
    block = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    keys = yaml.safe_load(block[1]) if block else {}
    keys = keys if isinstance(keys, dict) else {}
    faults = [] if "kernelspec" in keys else ["the text's front matter lacks the kernelspec"]
    if set(keys) - {"kernelspec", "jupytext", "language_info"}:
        faults.append("the text's front matter holds more than kernelspec and jupytext: remove it")
    if "formats" in (keys.get("jupytext") or {}):
        faults.append(
            "the text's front matter pairs files by `formats`: remove it, one text makes the notebook"
        )
    return faults
