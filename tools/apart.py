"""nbgrader's execution step, with the students' code fenced in and the tests run apart from it.

nbgrader runs tests and students' code in one kernel, where a student's cell can read and change the tests.
Here only the student's cells run in the kernel. A test cell runs in this process, on the source in the
gradebook, and what it asks of the student goes through `tools.judge`.
A course's nbgrader_config.py imports this.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, v4
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute
from traitlets import Integer

import course_lib
from tools import fence, judge, wire

ANSWER = "application/vnd.course.answer"
ASK = """{wire}
from IPython.display import display
display({{{kind!r}: answer(student, {name!r}, {question!r})}}, raw=True)
"""
SHOWN = (
    "text/plain",
    "image/png",
    "image/jpeg",
    ANSWER,
)  # no HTML: it would run in the browser of who grades
WIRE = Path(wire.__file__).read_text("utf-8")
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/opt", "/sys", "/dev/urandom", "/dev/random")
NUMBERS = (
    "self",
    "cpuinfo",
    "meminfo",
    "stat",
    "sys",
)  # of /proc, which also shows others' environment
READABLE = (*SYSTEM, *(f"/proc/{name}" for name in NUMBERS))
KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")  # the rest of the environment may hold secrets


class ExecuteApart(Execute):
    """Execute, with limits on time, output and memory, for one submission."""

    seconds = Integer(300, help="for a whole submission; `timeout` is for one cell or one question").tag(
        config=True
    )
    characters = Integer(100_000, help="of output, for one cell").tag(config=True)
    megabytes = Integer(6000, help="of the kernel's memory, addresses included").tag(config=True)

    def preprocess(self, nb, resources, km=None):
        self.given, self.tests, self.answers = read_gradebook(resources["nbgrader"])
        self.stopped, self.store_widget_state, self.shutdown_kernel = "", False, "immediate"
        self.end = time.monotonic() + self.seconds
        self.names = judge.namespace(self.given, self.answers, self.ask)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self.folder = Path(folder).resolve()
            copy_data(Path(resources["metadata"]["path"]), self.folder)
            return super().preprocess(nb, resources, km)

    # Starting the kernel

    async def async_start_new_kernel(self, **options):
        file = "{connection_file}"
        command = (sys.executable, "-m", "ipykernel_launcher", "-f", file)
        self.km.kernel_spec.argv = fence.command(self.settings(file), *command)
        options |= {"cwd": str(self.folder), "env": clean_environment(self.folder)}
        await super().async_start_new_kernel(**options)

    start_new_kernel = run_sync(async_start_new_kernel)  # nbclient binds its own

    def settings(self, connection_file: str) -> dict:
        library = Path(course_lib.__file__).parent
        read = [*READABLE, sys.prefix, sys.base_prefix, str(library), connection_file]
        names = [str(library.parent), jupyter_runtime_dir()]
        write = [str(self.folder), "/dev/null"]
        return {"megabytes": self.megabytes, "read": read, "names": names, "write": write}

    # Running cells

    def preprocess_cell(self, cell, resources, index):
        self.place = index
        if cell.cell_type != "code":
            return cell, resources
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in self.tests:
            sentence = judge.verdict(self.tests[name], self.names, self.answers, self.ask)
            cell.outputs = [failure(sentence)] if sentence else []
        else:
            self.run(cell)
        self.nb.cells[index] = cell  # a question took its place
        return cell, resources

    def run(self, cell: NotebookNode) -> None:
        """Execute a cell in the kernel; what goes wrong becomes an output of the cell."""
        self.printed, self.flood = 0, False
        if time.monotonic() > self.end and not self.stopped:
            self.stopped = f"the {self.seconds} seconds for a submission are over"
        if not self.stopped:
            try:
                self.execute_cell(cell, self.place, store_history=True)
            except DeadKernelError:
                self.stopped = "the kernel died"
            except CellTimeoutError:
                self.stopped = "the kernel does not answer"
        if self.flood:
            cell.outputs.append(failure(f"it printed more than {self.characters} characters"))
        if self.stopped:
            cell.outputs.append(failure(self.stopped))

    def ask(self, name: str, question: str | None) -> str:
        """Ask the student's kernel; the answer is JSON, or AnswerError says why there is none."""
        code = ASK.format(wire=WIRE, kind=ANSWER, name=name, question=question)
        cell = v4.new_code_cell(f"exec({code!r}, {{'student': globals()}})")
        self.run(cell)
        for output in cell.outputs:
            if ANSWER in output.get("data", {}):
                return output.data[ANSWER]
        errors = [o.evalue or o.ename for o in cell.outputs if o.output_type == "error"]
        raise judge.AnswerError(f"{name} gives no answer: {errors[-1] if errors else 'nothing came back'}")

    def output(self, outs, msg, display_id, cell_index):
        """Keep what fits; interrupt a cell that prints too much; never change a display afterwards."""
        content = msg["content"]
        data = {kind: v for kind, v in content.get("data", {}).items() if kind in SHOWN}
        if "data" in content:
            content["data"] = data
        texts = [content.get("text", ""), *content.get("traceback", ()), *map(str, data.values())]
        self.printed += sum(map(len, texts)) if ANSWER not in data else 0
        if self.printed <= self.characters:
            return super().output(outs, msg, None, cell_index)
        if not self.flood:
            self.flood = True
            self.interruption = asyncio.ensure_future(self.km.interrupt_kernel())
        return None


def read_gradebook(where: dict) -> tuple[list[str], dict[str, str], dict[str, bool]]:
    """The code that the course gave, the tests by their id, and the names of the answers: as released."""
    with Gradebook(where["db_url"]) as book:
        notebook = book.find_notebook(where["notebook"], where["assignment"])
        grades = {cell.name for cell in notebook.grade_cells}
        solutions = {cell.name for cell in notebook.solution_cells}
        code = [cell for cell in notebook.source_cells if cell.cell_type == "code"]
        given = [cell.source for cell in code if cell.name not in grades | solutions]
        tests = {cell.name: cell.source for cell in code if cell.name in grades - solutions}
        stubs = [judge.answer_names(cell.source) for cell in code if cell.name in solutions]
    return given, tests, {name: kind for stub in stubs for name, kind in stub.items()}


def copy_data(source: Path, folder: Path) -> None:
    """Data for the kernel's folder. The notebook stays behind: by now it holds the hidden tests."""
    for path in source.iterdir():
        if path.is_file() and not path.is_symlink() and path.suffix != ".ipynb":
            shutil.copy(path, folder)


def clean_environment(folder: Path) -> dict[str, str]:
    own = {name: str(folder) for name in ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR")}
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {name: os.environ[name] for name in KEPT if name in os.environ} | own | one_thread


def failure(sentence: str) -> NotebookNode:
    """An error output, by which nbgrader gives no points; feedback shows the sentence."""
    return v4.new_output("error", ename="Test", evalue=sentence, traceback=[sentence])
