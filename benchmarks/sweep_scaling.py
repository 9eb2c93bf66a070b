"""The same sweep with one worker and with two, in processes and, where installed, on Dask and Ray.

    python benchmarks/sweep_scaling.py            a minute or two; prints one Markdown table
    python benchmarks/sweep_scaling.py --quick    smaller runs

Eight runs of chapter 22's comparison, each sweep into a fresh folder; the seconds are of the wall clock and
hold the start of the workers. The numbers that come back must be equal everywhere, or this stops.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is loaded

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from course_lib.meta import compare
from course_lib.sweeps import sweep

NEEDS = {"processes": "joblib", "dask": "distributed", "ray": "ray"}


def runs(budget: int) -> list[dict]:
    recipe = compare.METHODS["MAML"][2][0]
    common = dict(method="MAML", family="cousins", budget=budget, split="validation", draws=2)
    return [common | {"seed": seed} | recipe for seed in range(8)]


def timed(budget: int, on: str, workers: int) -> tuple[float, list[np.ndarray]]:
    """Seconds of the sweep, and what it found."""
    with tempfile.TemporaryDirectory() as folder:
        began = perf_counter()
        results, failures = sweep(compare.run, runs(budget), folder, workers=workers, on=on, show=False)
        seconds = perf_counter() - began
    if failures:
        raise SystemExit(failures[0].trouble)
    return seconds, [result["score"] for result in results]


def table(budget: int) -> str:
    rows, first = {}, None
    for on in (on for on, package in NEEDS.items() if importlib.util.find_spec(package)):
        for workers in (1, 2):
            rows[on, workers], found = timed(budget, on, workers)
            first = found if first is None else first
            assert all(map(np.array_equal, first, found)), f"{on} with {workers} workers found other numbers"
    one = rows["processes", 1]
    lines = ["| 8 runs on | workers | seconds | faster than one process by |", "|---|---:|---:|---:|"]
    lines += [f"| {on} | {n} | {s:.1f} | **{one / s:.2f}×** |" for (on, n), s in rows.items()]
    return "\n".join(lines) + "\n\nThe numbers are equal in all rows."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller runs")
    print(table(20_000 if parser.parse_args().quick else 1_000_000))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"\nLoad of the machine {load:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
