"""The benchmark scripts run: their small cases, without peers."""

import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent


def quick(script: str) -> list[str]:
    """The lines that benchmarks/<script>.py --quick prints; it needs no peers."""
    command = [sys.executable, f"benchmarks/{script}.py", "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr  # planning.py exits with 1 where V is off
    return run.stdout.strip().splitlines()


def cells(row: str) -> list[str]:
    return [cell.strip("* `") for cell in row.strip("|").split("|")]


def test_the_planning_benchmark_prints_one_table_and_our_values_are_right():
    head, rule, *rows = quick("planning")
    assert head.count("|") == rule.count("|") == 5
    assert [cells(row)[0] for row in rows][:2] == ["solve", "value_iteration"]
    assert len(rows) == 4 and not any("off" in row for row in rows)


def test_the_tabular_benchmark_learns_in_three_worlds_and_many_runs_pay():
    head, rule, *rows = quick("tabular")[:5]
    assert head.count("|") == rule.count("|") == 7
    assert [cells(row)[0] for row in rows] == ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"]
    for row in rows:
        usual, _, many, more = (float(x.replace(",", "")) for x in cells(row)[1:5])
        assert min(many, more) > 5 * usual  # about 50 times, on a quiet machine


def test_the_search_benchmark_plays_without_peers():
    head, rule, *rows = quick("search")
    assert head.count("|") == rule.count("|") == 7
    assert [cells(row)[0] for row in rows] == ["mcts`, one tree", "mcts_many`, 64 trees"]
    assert float(cells(rows[0])[3].rstrip("%")) > 90  # of all positions, with 50 simulations


@pytest.fixture(scope="module")
def portability():
    return runpy.run_path(str(ROOT / "benchmarks" / "portability.py"))


def test_each_condition_of_the_portability_run_reaches_numpy_openblas_and_torch(portability):
    """Else a row of its table would say that an output holds on a machine that was never imitated."""
    code = (
        "import numpy, torch, json, os; from numpy._core._multiarray_umath import __cpu_features__ as f;"
        "print(json.dumps([f['X86_V3'], torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()]))"
    )

    def seen(name: str) -> list:
        variables = os.environ | portability["CONDITIONS"][name] | {"OPENBLAS_VERBOSE": "2"}
        run = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
        return [*json.loads(run.stdout.strip().splitlines()[-1]), "Nehalem" in run.stderr + run.stdout]

    assert seen("an old machine")[:2] == [False, "DEFAULT"] and seen("an old machine")[3]
    assert seen("threads: one")[2] == 1 and not seen("threads: one")[3]


def test_the_portability_run_reports_an_output_that_does_not_hold(portability, tmp_path):
    three = nbformat.v4.new_output("stream", text="3\n")
    cell = nbformat.v4.new_code_cell("print(1 + 1)", execution_count=1, outputs=[three])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "wrong.ipynb")
    outcome = portability["replay"](Path(sys.executable), {}, [tmp_path / "wrong.ipynb"])
    assert outcome.cells == 1 and len(outcome.failed) == 1 and "+ 3" in outcome.failed[0]
    assert "| as it is | 1 | 1 |" in portability["table"]({"as it is": outcome})


def test_the_portability_run_covers_every_notebook_and_refuses_what_is_none(portability):
    assert {path.name for path in portability["notebooks"]([])} == {
        p.name for p in ROOT.glob("chapters/*.ipynb")
    }
    assert all(path.name.startswith("0") for path in portability["notebooks"]([], torch=False))
    with pytest.raises(SystemExit, match="77"):
        portability["notebooks"](["77"])


def test_the_page_keeps_the_tables_that_were_not_made_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = importlib.import_module("page")
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    page.write(
        {name: f"## {page.SCRIPTS[name]}\n\n`benchmarks/{name}.py`\n\n| 1 |\n" for name in ("meta", "deep")}
    )
    page.write({"deep": f"## {page.SCRIPTS['deep']}\n\n`benchmarks/deep.py`\n\n| 2 |\n"})
    found = page.sections(page.PAGE.read_text("utf-8"))
    assert list(found) == ["deep", "meta"] and "| 2 |" in found["deep"] and "| 1 |" in found["meta"]


def test_every_benchmark_beside_peers_is_on_the_page_and_exists(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = importlib.import_module("page")
    assert [name for name in page.SCRIPTS if not (ROOT / "benchmarks" / f"{name}.py").is_file()] == []
    assert set(page.QUICK) <= set(page.SCRIPTS)


def test_a_benchmark_that_fails_says_so_on_the_page(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    page = importlib.import_module("page")
    monkeypatch.setattr(page, "HERE", tmp_path)
    (tmp_path / "deep.py").write_text("print('| a |'); raise SystemExit('the goal is missed')")
    section = page.run("deep", quick=False)
    assert "| a |" in section and "**It ended with 1: the goal is missed**" in section
