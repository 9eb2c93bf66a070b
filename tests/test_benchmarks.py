"""The benchmark scripts run: their small cases, without peers."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_planning_benchmark_prints_one_table_and_our_values_are_right():
    command = [sys.executable, "benchmarks/planning.py", "--quick"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr  # it exits with 1 where V is off
    head, rule, *rows = run.stdout.strip().splitlines()
    assert head.count("|") == rule.count("|") == 5
    assert [row.split(" | ")[0].strip("|* `") for row in rows][:2] == ["solve", "value_iteration"]
    assert len(rows) == 4 and "off" not in run.stdout
