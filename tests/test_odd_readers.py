"""Readers do odd things: each is done here, with real kernels and real files. TRUST.md has the table.

What is tested elsewhere is not tested again: cells run twice (second_run), damaged caches (test_repro,
test_networks), a window that changes its size and two tabs (test_browser), awkward paths of the
installation (test_course_script).
"""

import ast
import builtins
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import psutil
import pytest
import tqdm.std
from jupyter_client.manager import start_new_kernel
from second_run import CHAPTERS, cells, run

from course_lib import repro
from tools import absorb, build

ROOT = Path(__file__).resolve().parent.parent
AWKWARD = "Kurs für 学习 者"
SEEDED = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


class Said(NamedTuple):
    """What a cell printed, and its error as "Name: words", or ""."""

    text: str
    error: str


class Kernel:
    """A kernel in a folder, as JupyterLab would start it."""

    def __init__(self, folder: Path, path: Path = ROOT):
        env = {**os.environ, **SEEDED, "PYTHONPATH": str(path)}
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder), env=env)

    def start(self, source: str) -> str:
        return self.client.execute(source)

    def finish(self, cell: str, timeout: float = 60) -> Said:
        text = error = ""
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != cell:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                return Said(text, error)

    def run(self, source: str) -> Said:
        return self.finish(self.start(source))

    def interrupt(self, cell: str) -> tuple[Said, float]:
        """What the cell said at last, and for how many seconds the kernel was still at work."""
        process = psutil.Process(self.manager.provisioner.pid)
        before = sum(process.cpu_times()[:2])
        self.manager.interrupt_kernel()
        return self.finish(cell), sum(process.cpu_times()[:2]) - before

    def restart(self) -> None:
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=60)


@contextmanager
def kernel(*where: Path) -> Iterator[Kernel]:
    started = Kernel(*where)
    try:
        yield started
    finally:
        started.client.stop_channels()
        started.manager.shutdown_kernel(now=True)


def wait_for(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Cells out of order


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_cell_run_first_of_all_names_what_is_missing_or_gives_what_it_always_gives(chapter, monkeypatch):
    monkeypatch.chdir(chapter.parent)
    made: set[str] = set()
    for number, (source, stored) in enumerate(zip(cells(chapter), printed(chapter), strict=True)):
        try:
            said, _ = run(source, {"__name__": "__main__"})
        except NameError as error:
            assert error.name in made, f"code cell {number} lacks {error.name}, which no cell before it makes"
        else:
            assert said == stored, f"code cell {number}, run alone, says something else:\n{source}"
        made |= bound(ast.parse(source))


def printed(chapter: Path) -> list[str]:
    """What each code cell has printed, as it is stored."""
    code = [cell for cell in nbformat.read(chapter, 4).cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.outputs if o.output_type == "stream") for cell in code]


def bound(tree: ast.AST) -> set[str]:
    """The names that a cell makes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


# Training that is interrupted, or whose kernel is restarted

STUDY = """
import time
import numpy as np
import torch
from course_lib.agents.training import generator_from, train
from course_lib.repro import load_or_run, running

def begin():
    return {"x": torch.zeros(3), "rng": torch.Generator().manual_seed(1).get_state()}

def update(state):
    time.sleep(PAUSE)
    UPDATES.append(1)
    rng = generator_from(state["rng"])
    return {"x": 0.9 * state["x"] + torch.randn(3, generator=rng), "rng": rng.get_state()}

def study(seed):
    state = train(begin, update, 300, path=running("run"), every=10, about="study", settings=seed)
    return {"x": state["x"].numpy()}
"""
CELL = """
PAUSE, UPDATES = 0.05, []
print(load_or_run("data/99_study.npz", study, seed=3)["x"])
"""
QUICK = CELL.replace("0.05", "0.0") + "print(len(UPDATES))"


@pytest.fixture(scope="module")
def torch_kernel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted") / AWKWARD
    folder.mkdir()
    with kernel(folder) as started:
        assert started.run(STUDY).error == ""
        yield started, folder


@pytest.mark.parametrize("how", ["interrupt", "restart"])
def test_training_that_is_cut_short_leaves_no_half_file_and_goes_on(torch_kernel, how):
    reader, folder = torch_kernel
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    part = data / "99_study.unfinished" / "run.pt"
    quick = "PAUSE, UPDATES = 0.0, []\n"
    whole = reader.run(quick + "print(train(begin, update, 300, show=False)['x'].numpy())").text
    cell = reader.start(CELL)
    wait_for(part.exists)
    if how == "interrupt":
        said, seconds = reader.interrupt(cell)
        assert said.error.startswith("KeyboardInterrupt") and seconds < 1
        assert reader.run("print(1 + 1)") == Said("2\n", "")  # the kernel can be used
    else:
        reader.restart()
        assert reader.run(STUDY).error == ""
    left = [path for path in data.rglob("*.*") if path.is_file()]
    assert part in left and not list(data.glob("*.npz"))
    assert how == "restart" or left == [part]  # a kill may leave what was being written, under another name
    said = reader.run(QUICK)
    message, *numbers, updates = said.text.splitlines()
    assert message.startswith("99_study.npz: there is no stored result; running study now.")
    assert "\n".join(numbers) + "\n" == whole and said.error == ""
    assert 0 < int(updates) <= 290, "it went on from what was stored"
    assert list(data.iterdir()) == [data / "99_study.npz"]
    assert reader.run(QUICK).text == whole + "0\n"  # and now it is read, without a word


LIVE = {"13_": "five = train_live(", "14_": "short_run, _ ="}  # cells that train while you wait


@pytest.mark.slow
@pytest.mark.parametrize("number, words", LIVE.items())
def test_a_chapters_own_training_is_interrupted_and_run_again(number, words):
    (chapter,) = [path for path in CHAPTERS if path.name.startswith(number)]
    sources = cells(chapter)
    (at,) = [i for i, source in enumerate(sources) if words in source]
    with kernel(chapter.parent) as reader:
        for i in needed(sources, at)[:-1]:
            assert reader.run(sources[i]).error == ""
        before = files(chapter.parent)
        cell = reader.start(sources[at])
        time.sleep(1.5)
        said, seconds = reader.interrupt(cell)
        assert said.error.startswith("KeyboardInterrupt") and seconds < 1
        assert files(chapter.parent) == before
        assert reader.run(sources[at]).text == printed(chapter)[at]


def files(folder: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in folder.rglob("*.npz")}


def needed(sources: list[str], at: int) -> list[int]:
    """The numbers of the cells without which cell `at` cannot run, and its own."""
    wanted, keep = used(ast.parse(sources[at])), [at]
    for i in reversed(range(at)):
        tree = ast.parse(sources[i])
        if bound(tree) & wanted:
            wanted |= used(tree)
            keep.insert(0, i)
    return keep


def used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - set(dir(builtins))


# The same notebook twice


def test_two_kernels_that_make_the_same_result_at_the_same_time_both_have_it(tmp_path):
    folder = tmp_path / AWKWARD
    folder.mkdir()
    source = """
import time
import numpy as np
from course_lib.repro import load_or_run

def slow(seed):
    time.sleep(2)
    return {"x": np.random.default_rng(seed).normal(size=1000)}

print(load_or_run("data/99_slow.npz", slow, seed=3)["x"].sum())
"""
    with kernel(folder) as one, kernel(folder) as other:
        one.run("import course_lib.repro")
        other.run("import course_lib.repro")
        both = [(reader, reader.start(source)) for reader in (one, other)]
        said = [reader.finish(cell) for reader, cell in both]
    right = np.random.default_rng(3).normal(size=1000)
    assert all("running slow now" in text and f"\n{right.sum()}\n" in text for text, _ in said), said
    stored, trouble = repro.load(folder / "data/99_slow.npz", 3)
    assert not trouble and (stored["x"] == right).all()
    assert len(list((folder / "data").iterdir())) == 1


def test_a_run_whose_unfinished_part_another_kernel_has_cleared_away_ends_all_the_same(tmp_path, capsys):
    torch_training = pytest.importorskip("course_lib.agents.training")

    def update(state):
        if state["x"] == 10:
            shutil.rmtree(tmp_path / "r.unfinished")  # the other one has ended
        return {"x": state["x"] + 1}

    def study(seed):
        path = repro.running("run")
        state = torch_training.train(lambda: {"x": 0}, update, 20, path=path, every=5, show=False)
        return {"x": np.array(state["x"])}

    assert repro.load_or_run(tmp_path / "r.npz", study, seed=0)["x"] == 20
    assert [path.name for path in tmp_path.iterdir()] == ["r.npz"]


# chapters/data is deleted, or edited


def test_no_chapter_reads_a_stored_result_unchecked():
    """np.load trusts whatever lies there; `load_or_run` and `stored` do not, and say what to do."""
    for text in (ROOT / "chapters/text").glob("*.md"):
        assert not re.search(r"np\.(load|loadtxt|genfromtxt|fromfile)\(", text.read_text("utf-8")), text.name


def test_every_stored_result_that_a_chapter_reads_is_there_and_whole():
    call = re.compile(r'(?:load_or_run|stored)\("(data/\S+\.npz)", .*seed=(\d+)\)')
    texts = "\n".join(path.read_text("utf-8") for path in (ROOT / "chapters/text").glob("*.md"))
    found = call.findall(texts)
    assert len(found) == len(re.findall(r"\b(?:load_or_run|stored)\(\"", texts)) > 20
    troubles = {path: repro.load(ROOT / "chapters" / path, int(seed))[1] for path, seed in found}
    assert not any(troubles.values()), troubles
    made = {path.name for path in (ROOT / "chapters/data").glob("*.npz")}
    assert made == {Path(path).name for path in troubles}


class Shown(BaseException):
    """The progress bar has made its second step."""


LONG_RUNS = [path for path in CHAPTERS if any("load_or_run(" in source for source in cells(path))]
SWEEP = "22_all_methods_side_by_side"  # its bar counts files, from a thread that no test can stop


@pytest.mark.slow
@pytest.mark.parametrize("chapter", [p for p in LONG_RUNS if p.stem != SWEEP], ids=lambda path: path.stem)
def test_a_result_that_is_made_again_shows_a_bar_that_says_how_long(chapter, monkeypatch, tmp_path):
    monkeypatch.chdir(chapter.parent)
    for path, fn, seed in long_runs(chapter, monkeypatch):
        steps = []

        def update(bar, n=1, steps=steps):
            steps.extend([] if bar.disable else [bar.total])
            if len(steps) == 2:
                raise Shown

        def each(bar):
            for x in bar.iterable:
                yield x
                bar.update()

        monkeypatch.setattr(tqdm.std.tqdm, "update", update)
        monkeypatch.setattr(tqdm.std.tqdm, "__iter__", each)
        began = time.monotonic()
        with pytest.raises(Shown):
            repro.load_or_run(tmp_path / path.name, fn, seed=seed)
        assert steps[0] > 1 and time.monotonic() - began < 60, path.name
        monkeypatch.undo()
        monkeypatch.chdir(chapter.parent)


@pytest.mark.slow
@pytest.mark.one_seed("it remakes stored results")
def test_what_only_the_page_of_17_can_make_is_made_again(monkeypatch):
    """17_ensembles.npz and 17_learning.npz. On other processors more than bits differ: training is chaos."""
    (chapter,) = [path for path in LONG_RUNS if path.name.startswith("17")]
    monkeypatch.chdir(chapter.parent)
    runs = {path.stem: (fn, seed) for path, fn, seed in long_runs(chapter, monkeypatch)}
    monkeypatch.chdir(chapter.parent)
    (views, seed), (learners, first) = runs["17_ensembles"], runs["17_learning"]
    made, stored = views(seed), repro.load(Path("data/17_ensembles.npz"), seed)[0]
    assert all(np.abs(made[n] - stored[n]).max() < 0.3 for n in made)  # curves from −2 to 2
    steps, missed, _ = learners(first)["last"].T
    assert (missed <= 0.01).sum() >= 7 and 240 <= np.median(steps) <= 440  # stored: 9, and 340


def long_runs(chapter: Path, monkeypatch) -> Iterator[tuple[Path, object, int]]:
    """What the chapter gives `load_or_run`: the path, the function, the seed."""
    sources, found, real = cells(chapter), [], repro.load_or_run

    def noted(path, fn, *, seed):
        found.append((Path(path), fn, seed))
        return real(path, fn, seed=seed)

    monkeypatch.setattr(repro, "load_or_run", noted)
    calls = [i for i, source in enumerate(sources) if "load_or_run(" in source]
    names = {"__name__": "__main__"}
    for i in sorted({j for at in calls for j in needed(sources, at)}):
        run(sources[i], names)
    monkeypatch.undo()
    return found


# A full disk

FULL = """
import sys
from pathlib import Path
import numpy as np
import torch
from course_lib.agents.training import train
from course_lib.repro import load_or_run
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from tools.build import Refused, write_whole

def small(seed):
    return {"x": np.arange(10.0)}

def large(seed):
    return {"x": np.random.default_rng(seed).normal(size=100_000)}

def grow(state):
    return {"x": torch.zeros(10 * len(state["x"]))}

disk = Path(sys.argv[1])
load_or_run(disk / "r.npz", small, seed=0)
notebook = disk / "notes.ipynb"
notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
before = {path.name: path.read_bytes() for path in disk.iterdir()}
print(len(load_or_run(disk / "r.npz", large, seed=1)["x"]))
try:
    write_whole(notebook, bytes(10**6))
except Refused as error:
    print(error)
page = {"cells": [], "metadata": {"x": "x" * 10**6}, "nbformat": 4, "nbformat_minor": 5}
try:
    LargeFileManager(root_dir=str(disk)).save({"type": "notebook", "content": page}, "notes.ipynb")
except Exception as error:
    print("JupyterLab:", error)
print({path.name: path.read_bytes() for path in disk.iterdir()} == before)
start = lambda: {"x": torch.zeros(1)}
print(len(train(start, grow, 6, path=disk / "run.pt", every=1, show=False)["x"]))
print(len(train(start, grow, 4, path=disk / "run.pt", every=1, show=False)["x"]))
print(sorted(path.name for path in disk.iterdir()))
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("unshare"), reason="makes a disk of 256 KB")
def test_a_full_disk_costs_no_file_and_no_result(tmp_path):
    """The disk is one that only this process sees, and goes with it."""
    mount = f'mount -t tmpfs -o size=256k tmpfs "{tmp_path}" && exec "$0" -c "$1" "{tmp_path}"'
    command = ["unshare", "-rm", "sh", "-c", mount, sys.executable, FULL]
    done = subprocess.run(command, env=os.environ | SEEDED, capture_output=True, text=True, timeout=100)
    if "unshare failed" in done.stderr or "mount:" in done.stderr:
        pytest.skip("this system lends no disks of one's own")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "running" not in line]
    assert said == [
        "r.npz: could not be stored (No space left on device). You have the results until the kernel stops.",
        "100000",
        "notes.ipynb could not be written (No space left on device); it is as it was",
        said[3],
        "True",
        "run.pt: could not be stored (No space left on device). The run goes on; if it is stopped, it starts "
        "again from what was stored last.",
        "1000000",
        "10000",
        "['notes.ipynb', 'r.npz', 'run.pt']",
    ]
    assert said[3].startswith("JupyterLab: HTTP 500") and "No space left on device" in said[3]


# A path with spaces and Chinese characters, and Windows line ends


def windows(path: Path) -> bytes:
    """A text file as an editor on Windows saves it; what is no text stays as it is."""
    content = path.read_bytes()
    return content if b"\0" in content else content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_a_copy_with_windows_line_ends_under_an_awkward_path_builds_the_same_bytes(tmp_path):
    copy, text = tmp_path / AWKWARD, ROOT / "chapters/text/glossary.md"  # it reads its own text again
    code = [path for part in ("course_lib", "tools") for path in (ROOT / part).rglob("*.*")]
    for path in (text, *(path for path in code if path.is_file() and path.suffix != ".pyc")):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(windows(path))
    env = os.environ | SEEDED | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tools.build", "glossary"]
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, encoding="utf-8", timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    built = (copy / "chapters/glossary.ipynb").read_bytes()
    assert built == (ROOT / "chapters/glossary.ipynb").read_bytes()
    assert b"\r\n" in (copy / "course_lib/repro.py").read_bytes()


@pytest.mark.parametrize("where", ["files", "cells"])
def test_windows_line_ends_are_no_edit(tmp_path, capsys, where):
    """In the files, as Git or an editor leaves them; or within the cells of the notebook itself."""
    for path in (path for name in ("03*", "glossary*") for path in (ROOT / "chapters").rglob(name)):
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(windows(path) if where == "files" else path.read_bytes())
    third = next((tmp_path / "chapters").glob("03*.ipynb"))
    notebook = nbformat.read(third, 4)
    if where == "cells":
        for cell in notebook.cells:
            cell.source = cell.source.replace("\n", "\r\n")
        nbformat.write(notebook, third)
    assert build.check(tmp_path) == []
    assert absorb.main(["03"], tmp_path) == 0 and "nothing to absorb" in capsys.readouterr().out
    notebook.cells[1].source = notebook.cells[1].source.replace("**", "__", 1) + "\r\nOne more line."
    nbformat.write(notebook, third)
    assert absorb.main(["03"], tmp_path) == 0
    text = (tmp_path / f"chapters/text/{third.stem}.md").read_bytes()
    assert b"\nOne more line." in text and b"\r" not in text
    assert build.check(tmp_path, ["03"]) == []
