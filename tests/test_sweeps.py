"""Sweeps: the same table from every kind of cluster, and after every kind of accident."""

import importlib.util
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from course_lib.sweeps import name_of, sweep

RUNS = [{"method": m, "seed": s, "rate": 0.1} for m in ("walk", "jump") for s in range(4)]


def job(method, seed, rate):
    """A small run with a result that depends on all of its values."""
    rng = np.random.Generator(np.random.PCG64(seed))  # default_rng, the same in a worker under `--reseed`
    steps = rng.normal(size=50) * rate
    return {"path": steps.cumsum() if method == "walk" else steps}


def direct():
    return [job(**run)["path"] for run in RUNS]


def equal(results, want):
    return all(np.array_equal(x["path"], y) for x, y in zip(results, want, strict=True))


def counted(folder):
    """job, which leaves a file for each of its calls."""

    def fn(**run):
        with (folder / f"called-{run['method']}-{run['seed']}").open("a") as file:
            file.write("x")
        return job(**run)

    return fn


def calls(folder):
    return sum(len(path.read_text()) for path in folder.glob("called-*"))


def test_a_sweep_is_the_loop_over_its_runs(tmp_path):
    results, failures = sweep(job, RUNS, tmp_path, show=False)
    assert equal(results, direct()) and failures == []


def test_what_is_stored_is_not_run_again_and_what_is_broken_is(tmp_path):
    kept, notes = tmp_path / "kept", tmp_path / "notes"
    notes.mkdir()
    sweep(counted(notes), RUNS[:5], kept, show=False)
    assert calls(notes) == 5
    sweep(counted(notes), RUNS, kept, show=False)
    assert calls(notes) == 8
    (kept / name_of(RUNS[2])).write_bytes(b"half a file")
    results, _ = sweep(counted(notes), RUNS, kept, show=False)
    assert calls(notes) == 9 and equal(results, direct())


def test_another_setting_is_another_run(tmp_path):
    sweep(job, RUNS, tmp_path, show=False)
    faster = [run | {"rate": 0.2} for run in RUNS]
    results, _ = sweep(job, faster, tmp_path, show=False)
    assert equal(results, [job(**run)["path"] for run in faster]) and len(list(tmp_path.iterdir())) == 16


def test_a_failed_run_is_reported_with_its_seed_and_tried_again_next_time(tmp_path):
    flag = tmp_path / "mended"

    def fn(**run):
        if run["seed"] == 2 and not flag.exists():
            raise ZeroDivisionError("the step is 0")
        return job(**run)

    results, failures = sweep(fn, RUNS, tmp_path / "kept", show=False)
    assert [r is None for r in results] == [run["seed"] == 2 for run in RUNS]
    assert [f.run["seed"] for f in failures] == [2, 2] and "the step is 0" in failures[0].trouble
    flag.touch()
    results, failures = sweep(fn, RUNS, tmp_path / "kept", show=False)
    assert equal(results, direct()) and failures == []


def dies_once(folder, kill=True):
    """job, but the first process to come to seed 3 is killed."""
    flag = folder / "died"

    def fn(**run):
        if run["seed"] == 3 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return job(**run)

    return fn


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_a_killed_worker_costs_nothing(tmp_path):
    results, failures = sweep(dies_once(tmp_path), RUNS, tmp_path / "kept", show=False)
    assert (tmp_path / "died").exists() and equal(results, direct()) and failures == []


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL on Windows")
def test_workers_that_always_die_are_given_up_with_a_sentence(tmp_path):
    def fn(**run):
        if run["seed"] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return job(**run)

    with pytest.raises(RuntimeError, match=r"(?s)died in each of 2 tries .* fewer workers"):
        sweep(fn, RUNS, tmp_path, tries=2, show=False)


SCRIPT = """
import sys, time
sys.path[:0] = {paths!r}
from test_sweeps import RUNS, job
from course_lib.sweeps import sweep

def slow(**run):
    time.sleep(0.3)
    return job(**run)

if __name__ == "__main__":
    sweep(slow, RUNS, sys.argv[1], on=sys.argv[2], show=False)
"""


def killed_midway(tmp_path, on):
    """Start the sweep as a command of its own, and kill all of it when a few runs are stored."""
    script, kept = tmp_path / "script.py", tmp_path / "kept"
    here = os.path.dirname(__file__)
    script.write_text(SCRIPT.format(paths=[here, os.path.dirname(here)]))
    started = subprocess.Popen([sys.executable, str(script), str(kept), on], start_new_session=True)
    until = time.monotonic() + 120
    while len(list(kept.glob("*.npz"))) < 2:
        assert started.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    return kept


@pytest.mark.skipif(os.name == "nt", reason="no process groups on Windows")
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    kept, notes = killed_midway(tmp_path, "processes"), tmp_path / "notes"
    stored = sum((kept / name_of(run)).exists() for run in RUNS)
    assert 2 <= stored < len(RUNS)
    notes.mkdir()
    results, _ = sweep(counted(notes), RUNS, kept, show=False)
    assert equal(results, direct()) and calls(notes) == len(RUNS) - stored


@pytest.mark.parametrize(
    "runs, options, words",
    [
        ([{"method": "walk"}], {}, "has no seed"),
        ([RUNS[0], RUNS[0]], {}, "2 times"),
        (RUNS, {"on": "slurm"}, "processes, dask, ray"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_it_runs(tmp_path, runs, options, words):
    with pytest.raises(ValueError, match=words):
        sweep(job, runs, tmp_path / "kept", show=False, **options)
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
@pytest.mark.parametrize("on", ["dask", "ray"])
@pytest.mark.parametrize("accident", ["none", "worker killed", "sweep killed"])
def test_a_cluster_gives_the_same_table(tmp_path, on, accident):
    needs = {"dask": "distributed", "ray": "ray"}[on]
    if not importlib.util.find_spec(needs):
        pytest.skip(f"{needs} is not installed: python3 course.py setup, then pip install -e '.[cluster]'")
    fn = dies_once(tmp_path) if accident == "worker killed" else job
    kept = killed_midway(tmp_path, on) if accident == "sweep killed" else tmp_path / "kept"
    results, failures = sweep(fn, RUNS, kept, on=on, show=False)
    assert equal(results, direct()) and failures == []
    assert (accident == "worker killed") == (tmp_path / "died").exists()
