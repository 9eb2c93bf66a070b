"""Behind every chapter that nbval has replayed: a second run of its cells, and a move of every control."""

from pathlib import Path

import pytest
from nbval.plugin import IPyNbFile

ROOT = Path(__file__).parent
TOOK = pytest.StashKey[float]()  # seconds of a cell that did what it should
IN_THE_KERNEL = """
def _second_run(names):
    import sys
    sys.path.insert(0, {tests!r})
    try:
        from second_run import check
    finally:
        sys.path.remove({tests!r})
    check({notebook!r}, names, {seconds!r})
_second_run(dict(globals()))
"""


class SecondRun(pytest.Item):
    """`tests/second_run.py`, in the kernel that nbval has left."""

    def __init__(self, *, cells, **where):
        super().__init__(**where)
        self.cells = cells

    def runtest(self):
        if not all(TOOK in cell.stash for cell in self.cells):
            pytest.skip("a cell failed already")
        seconds = [cell.stash[TOOK] for cell in self.cells]
        code = IN_THE_KERNEL.format(tests=str(ROOT / "tests"), notebook=str(self.path), seconds=seconds)
        reply = self.parent.kernel.kc.execute(code, store_history=False, reply=True, timeout=300)["content"]
        if reply["status"] != "ok":
            raise AssertionError("\n".join(reply["traceback"]))

    def repr_failure(self, excinfo):
        return str(excinfo.value)

    def reportinfo(self):
        return self.path, 0, f"{self.path.stem}: second run"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    notebooks = {item.parent for item in items if isinstance(item.parent, IPyNbFile)}
    for notebook in (n for n in notebooks if n.path.parent == ROOT / "chapters"):
        cells = [item for item in items if item.parent is notebook]
        if len(cells) == sum(cell.cell_type == "code" for cell in notebook.nb.cells):  # none was deselected
            again = SecondRun.from_parent(notebook, name="second run", cells=cells)
            items.insert(items.index(cells[-1]) + 1, again)


def pytest_runtest_makereport(item, call):
    if call.when == "call" and call.excinfo is None and isinstance(item.parent, IPyNbFile):
        item.stash[TOOK] = call.duration
