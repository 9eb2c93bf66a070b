"""The benchmark scripts run: their small cases, without peers."""

import os
import subprocess
import sys
from pathlib import Path

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
