"""Many independent runs, on one machine or a cluster: stored one by one, resumed, everywhere the same."""

import contextlib
import hashlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from tqdm.auto import tqdm

from course_lib import repro

ON = ("processes", "dask", "ray")
Run = Mapping[str, str | int | float]  # what fn is called with; one of its keys is "seed"
Arrays = dict[str, np.ndarray]


class Failure(NamedTuple):
    """A run that raised: which one, and what it said."""

    run: Run
    trouble: str


def sweep(
    fn: Callable[..., Arrays],
    runs: Sequence[Run],
    folder: str | Path,
    *,
    workers: int = 2,
    on: str = "processes",
    address: str | None = None,
    tries: int = 3,
    show: bool = True,
) -> tuple[list[Arrays | None], list[Failure]]:
    """fn(**run) of every run, in their order (None where it failed), and the failures.

    Each result is stored in `folder` as soon as its run ends, in one step and with a checksum, and is never
    computed twice: a sweep that was stopped goes on where it was. Names hold a digest of all of a run's
    values, so that a changed setting is another run. A run that raises is reported with its values, stops no
    other one, and is tried again by the next call. If workers die, what they left is given out again, up to
    `tries` times.

    on        "processes" on this machine, or "dask" or "ray": the cluster at `address`, or, without one, a
              cluster of `workers` processes here. The folder must be one that all workers see.
    ValueError for runs without a seed or twice the same, and for an unknown `on`.
    """
    _check(runs, on)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _progress(runs, folder, show), _backend(on, workers, address):
        failures = _until_done(fn, runs, folder, workers, tries)
    return [_stored(run, folder) for run in runs], failures


def name_of(run: Run) -> str:
    """The name of a run's file: its values in words, and a digest of them and their names."""
    plain = json.dumps(dict(run), sort_keys=True)
    words = "-".join(str(value) for value in run.values() if isinstance(value, str | int))
    readable = "".join(c if c.isalnum() or c in "-." else "_" for c in words)[:80]
    return f"{readable}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}.npz"


def _check(runs: Sequence[Run], on: str) -> None:
    if on not in ON:
        raise ValueError(f"on={on!r}: choose one of {', '.join(ON)}.")
    names = [name_of(run) for run in runs]
    for run, name in zip(runs, names, strict=True):
        if "seed" not in run:
            raise ValueError(f"the run {dict(run)} has no seed: give each run one.")
        if names.count(name) > 1:
            raise ValueError(f"the run {dict(run)} is in the sweep {names.count(name)} times: give it once.")


def _stored(run: Run, folder: Path) -> Arrays | None:
    results, trouble = repro.load(folder / name_of(run), run["seed"])
    return None if trouble else results


def _until_done(fn: Callable, runs: Sequence[Run], folder: Path, workers: int, tries: int) -> list[Failure]:
    """Give out what is not stored yet, and again what dead workers left."""
    failures: dict[str, Failure] = {}
    for attempt in range(tries):
        left = [r for r in runs if name_of(r) not in failures and _stored(r, folder) is None]
        try:
            said = joblib.Parallel(n_jobs=workers)(joblib.delayed(_one)(fn, run, folder) for run in left)
        except Exception as death:  # each cluster has its own name for the death of a worker
            if attempt + 1 == tries:
                raise RuntimeError(
                    f"workers died in each of {tries} tries ({death}). What ended is stored: mend the cause "
                    "(often too little memory: take fewer workers), and call again."
                ) from death
        else:
            failures |= {name_of(r): Failure(r, words) for r, words in zip(left, said, strict=True) if words}
            break
    return list(failures.values())


def _one(fn: Callable, run: Run, folder: Path) -> str:
    """In a worker: run, and store the result; '' or what went wrong."""
    try:
        results = {name: np.asarray(x) for name, x in fn(**run).items()}
        repro.store(folder / name_of(run), results, run["seed"])
    except Exception:  # the others go on
        return traceback.format_exc()
    return ""


@contextlib.contextmanager
def _backend(on: str, workers: int, address: str | None) -> Iterator[None]:
    """The one line that differs between a machine and a cluster, and the cluster if there is none yet."""
    with contextlib.ExitStack() as stack:
        if on == "dask":
            from distributed import Client, LocalCluster

            here = dict(n_workers=workers, threads_per_worker=1, dashboard_address=None)
            where = address or stack.enter_context(LocalCluster(**here))
            stack.enter_context(Client(where))
        if on == "ray":
            import ray
            from ray.util.joblib import register_ray

            how = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
            path = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}  # else workers miss our modules
            ray.init(**how, runtime_env=path, log_to_driver=False)
            stack.callback(ray.shutdown)
            register_ray()
        stack.enter_context(joblib.parallel_config("loky" if on == "processes" else on, n_jobs=workers))
        yield


@contextlib.contextmanager
def _progress(runs: Sequence[Run], folder: Path, show: bool) -> Iterator[None]:
    """A bar with the time left. It counts files, so that it is the same on every kind of cluster."""
    paths, over = [folder / name_of(run) for run in runs], threading.Event()

    def watch():
        done = sum(path.exists() for path in paths)
        with tqdm(total=len(paths), initial=done, desc="sweep", disable=not show, leave=False) as bar:
            while not over.wait(0.5):
                bar.update(sum(path.exists() for path in paths) - bar.n)
            bar.update(sum(path.exists() for path in paths) - bar.n)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
