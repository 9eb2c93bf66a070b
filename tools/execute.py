"""Run a notebook in a fresh kernel, and take out of it whatever differs from one run to the next."""

from __future__ import annotations

import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tools.cells import METADATA

OPTIONS = {
    "kernel_name": "python3",
    "extra_arguments": ["--log-level=ERROR"],  # the kernel's own start-up notices
    "coalesce_streams": True,
    "record_timing": False,
    "store_widget_state": False,
}
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WIDGET = "application/vnd.jupyter.widget-view+json"


class ExecutionError(RuntimeError):
    """A cell failed, timed out, or wrote to stderr; the message names it."""


def run(notebook: nbformat.NotebookNode, folder: Path, timeout: float = 300) -> float:
    """Execute from top to bottom, in place, in `folder`; `timeout` is a cell's. Returns the seconds."""
    client = NotebookClient(
        notebook, timeout=timeout, **OPTIONS, resources={"metadata": {"path": str(folder)}}
    )
    start = time.perf_counter()
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        message = ANSI_COLOUR.sub("", str(error))
        raise ExecutionError(f"{last_started(notebook)}: {message}") from None
    refuse_stderr(notebook)
    normalise(notebook)
    return time.perf_counter() - start


def last_started(notebook: nbformat.NotebookNode) -> str:
    """nbclient numbers a cell as it starts it, so the last one with a number is the one that failed."""
    started = [i for i, cell in enumerate(notebook.cells) if cell.get("execution_count")]
    errors = [i for i, cell in enumerate(notebook.cells) if any(is_error(o) for o in cell.get("outputs", []))]
    return f"cell-{max([*started, *errors], default=0):03d}"


def is_error(output: nbformat.NotebookNode) -> bool:
    return output.output_type == "error"


def refuse_stderr(notebook: nbformat.NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                first = output.text.strip().split("\n")[0]
                raise ExecutionError(f"cell-{number:03d} wrote to stderr: {first}")


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Stable cell ids, counts and widget ids; no metadata but the tags and the kernel's name."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in ("tags",) if key in cell.metadata}
        )
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    renumber_widgets([output for cell in code for output in cell.outputs])


def renumber_widgets(outputs: list[nbformat.NotebookNode]) -> None:
    views = [output.data[WIDGET] for output in outputs if WIDGET in output.get("data", {})]
    numbers: dict[str, str] = {}
    for view in views:
        view["model_id"] = numbers.setdefault(view["model_id"], f"widget-{len(numbers):03d}")


def to_bytes(notebook: nbformat.NotebookNode) -> bytes:
    nbformat.validate(notebook)
    return (nbformat.writes(notebook) + "\n").encode()
